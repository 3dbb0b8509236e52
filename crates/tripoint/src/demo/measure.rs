//! What the writers saw: gaps between acknowledgements, and rows acknowledged, kept and lost.

use super::layout::Layout;
use driver_postgres::writer::{self, Place, Write, WriterConfig};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// One row each: 50 a second.
const INTERVAL: Duration = Duration::from_millis(20);
/// Results that may wait to be noted.
const WAITING_MAX: usize = 256;

/// One acknowledged row.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// Its number.
    pub id: u64,
    /// When the acknowledgement came.
    pub at: Instant,
    /// Who gave it.
    pub site: String,
}

/// A running writer and all that it has seen.
#[derive(Clone)]
pub struct Writer {
    config: WriterConfig,
    seen: Arc<Mutex<Vec<Acknowledged>>>,
}

impl Writer {
    /// A writer that may write at some sites. Nothing is started yet.
    pub fn new(layout: &Layout, client: &str, sites: &[&str]) -> Self {
        let chosen = layout.sites.iter().filter(|site| sites.contains(&site.name.as_str()));
        let place = |site: &super::layout::Site| Place {
            site: site.name.clone(),
            host: site.address.clone(),
            port: layout.database_port(),
        };
        let config = WriterConfig {
            places: chosen.map(place).collect(),
            user: "writer".to_owned(),
            dbname: "tripoint".to_owned(),
            client: client.to_owned(),
            interval: INTERVAL,
        };
        Self { config, seen: Arc::default() }
    }

    /// Writes and notes until it is dropped.
    pub async fn run(self) {
        let (sender, mut results) = mpsc::channel(WAITING_MAX);
        let note = async {
            while let Some(write) = results.recv().await {
                if let Write::Acknowledged { id, at, site, .. } = write {
                    self.seen().push(Acknowledged { id, at, site });
                }
            }
        };
        tokio::join!(writer::run(self.config.clone(), sender), note);
    }

    /// All rows that were acknowledged.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.seen().clone()
    }

    /// The last acknowledgement.
    pub fn last(&self) -> Option<Acknowledged> {
        self.seen().last().cloned()
    }

    /// The first acknowledgement after an instant that another site than `site` gave.
    pub fn first_elsewhere(&self, site: &str, after: Instant) -> Option<Acknowledged> {
        self.seen().iter().find(|a| a.at > after && a.site != site).cloned()
    }

    /// The longest time without an acknowledgement from `from` on, and when it began. A gap that
    /// goes on until now counts too.
    pub fn gap_longest(&self, from: Instant) -> (Duration, Instant) {
        let seen = self.seen();
        let before = seen.iter().rev().find(|a| a.at <= from).map_or(from, |a| a.at);
        let mut times = vec![before];
        times.extend(seen.iter().map(|a| a.at).filter(|at| *at > from));
        times.push(Instant::now());
        let gaps = times.windows(2).map(|pair| (pair[1].saturating_duration_since(pair[0]), pair[0]));
        gaps.max().unwrap_or((Duration::ZERO, from))
    }

    /// Which acknowledged rows a site lacks.
    pub async fn lost_at(&self, place: &str) -> anyhow::Result<Tally> {
        let acknowledged: BTreeSet<u64> = self.seen().iter().map(|a| a.id).collect();
        let place = self.config.places.iter().find(|p| p.site == place);
        let place = place.ok_or_else(|| anyhow::anyhow!("the writer does not know that site"))?;
        let kept: BTreeSet<u64> =
            writer::rows_kept(&self.config, place).await.map_err(anyhow::Error::msg)?.into_iter().collect();
        let lost: Vec<u64> = acknowledged.difference(&kept).copied().collect();
        Ok(Tally { acknowledged: acknowledged.len(), lost })
    }

    /// The same writer's rows, looked for at a site that it does not write to.
    pub async fn lost_elsewhere(&self, layout: &Layout, site: &str) -> anyhow::Result<Tally> {
        let mut other = Self::new(layout, &self.config.client, &[site]);
        other.seen = Arc::clone(&self.seen);
        other.lost_at(site).await
    }

    fn seen(&self) -> MutexGuard<'_, Vec<Acknowledged>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of the acknowledged rows.
pub struct Tally {
    /// How many were acknowledged.
    pub acknowledged: usize,
    /// Numbers of those that are not there.
    pub lost: Vec<u64>,
}
