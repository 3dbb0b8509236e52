//! Probes: the other witnesses, the actors and the public endpoints of every site, each in a
//! task of its own with a deadline of its own, so that none waits for another.

use crate::config::Config;
use crate::door::Door;
use crate::endpoint;
use crate::event::Event;
use crate::links::{self, Links, Part};
use coordination::LinkRow;
use model::{LogIndex, Millis, Moment, SiteId};
use rpc::client::within;
use rpc::clock;
use rpc::health;
use rpc::tonic::{Request, transport::Channel};
use rpc::v1;
use rpc::v1::consensus_client::ConsensusClient;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Between two probes of one target: one may be lost within `detect.after`, and no more work
/// than the renewals themselves.
fn period(config: &Config) -> Millis {
    let values = config.policy.timing.values();
    values.renew_every.max(Millis(values.detect_after.0 / 4)).min(Millis(values.detect_after.0 / 2))
}

/// While a site's witness answers, its actor and endpoints are asked at every third tick only: they
/// are wanted when it does not.
const REST_TICKS: u32 = 2;

/// Whether a tick of a probe may be left out.
struct Pace {
    /// None for the witness's own site, which is reached in any case.
    site: Option<SiteId>,
    every: Millis,
    left_out: u32,
}

impl Pace {
    fn new(door: &Door, site: &SiteId, every: Millis) -> Self {
        Self { site: (*site != door.config.site).then(|| site.clone()), every, left_out: 0 }
    }

    /// True if this tick is left out. A witness that has missed one probe is no reason to rest.
    fn rests(&mut self, links: &Links, now: Moment) -> bool {
        let fresh = self.every.plus(Millis(self.every.0 / 4));
        let reached = |site: &SiteId| links.witness_age(site, now).is_some_and(|age| age <= fresh);
        let rests = self.left_out < REST_TICKS && self.site.as_ref().is_none_or(reached);
        self.left_out = if rests { self.left_out + 1 } else { 0 };
        rests
    }
}

/// Probes until the process ends.
pub async fn run(door: Door) {
    let mut tasks = JoinSet::new();
    let every = period(&door.config);
    for (site, channel) in door.peers.witnesses() {
        tasks.spawn(witnesses(door.clone(), site.clone(), channel.clone(), every));
    }
    for (site, channel) in door.peers.actors() {
        let pace = Pace::new(&door, site, every);
        tasks.spawn(actors(Arc::clone(&door.links), site.clone(), channel.clone(), pace));
    }
    for site in &door.config.sites {
        for target in &site.endpoints {
            let pace = Pace::new(&door, &site.site, every);
            tasks.spawn(endpoints(Arc::clone(&door.links), site.site.clone(), target.clone(), pace));
        }
    }
    tasks.spawn(own_row(door.clone(), every));
    // The tasks end with the set, which ends with this future.
    door.stop.cancelled().await;
}

fn ticks(every: Millis) -> tokio::time::Interval {
    let mut ticks = interval(every.into());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Asks one witness whom it reaches, and tells the loop.
async fn witnesses(door: Door, site: SiteId, channel: Channel, every: Millis) {
    let mut ticks = ticks(every);
    let limit = limit(&door.config);
    loop {
        ticks.tick().await;
        let started = clock::now();
        let asked = v1::ProbeRequest { from: door.config.site.as_str().to_owned() };
        let mut client = ConsensusClient::new(channel.clone());
        let Ok(answer) = within(limit, client.probe(Request::new(asked))).await else { continue };
        let now = clock::now();
        let answer = answer.into_inner();
        let rows: Vec<LinkRow> = answer.reach.into_iter().filter_map(row).collect();
        let fresh = door.config.policy.timing.values().detect_after;
        let reached = rows.iter().filter(|row| row.witness_age.is_some_and(|age| age <= fresh)).count();
        door.links.answered(&site, now.elapsed_longest(started), LogIndex(answer.applied), reached, now);
        if door.events.send(Event::Links { from: site.clone(), rows }).await.is_err() {
            return;
        }
    }
}

fn row(reach: v1::Reach) -> Option<LinkRow> {
    Some(LinkRow {
        // A name that is none is of no site that we know.
        site: reach.site.parse().ok()?,
        witness_age: reach.witness_age_ms.map(Millis),
        actor_age: reach.actor_age_ms.map(Millis),
        endpoint_age: reach.endpoint_age_ms.map(Millis),
    })
}

/// For one probe: what takes longer is not reached.
fn limit(config: &Config) -> Millis {
    let values = config.policy.timing.values();
    Millis(values.detect_after.0 / 2).max(values.round_trip_p99.times(5)).min(values.detect_after)
}

/// Asks one actor whether it serves. Any answer will do: somebody is there.
async fn actors(links: Arc<Links>, site: SiteId, channel: Channel, mut pace: Pace) {
    let mut ticks = ticks(pace.every);
    loop {
        ticks.tick().await;
        if pace.rests(&links, clock::now()) {
            continue;
        }
        if health::is_there(&channel, pace.every.times(2)).await {
            links.reached(&site, Part::Actor, clock::now());
        }
    }
}

async fn endpoints(links: Arc<Links>, site: SiteId, target: String, mut pace: Pace) {
    let mut ticks = ticks(pace.every);
    loop {
        ticks.tick().await;
        if pace.rests(&links, clock::now()) {
            continue;
        }
        if endpoint::answers(&target, pace.every.times(2).into()).await {
            links.reached(&site, Part::Endpoint, clock::now());
        }
    }
}

/// This witness's own row, for the loop.
async fn own_row(door: Door, every: Millis) {
    let mut ticks = ticks(every);
    loop {
        ticks.tick().await;
        let rows = rows(&door.links, clock::now());
        if door.events.send(Event::Links { from: door.config.site.clone(), rows }).await.is_err() {
            return;
        }
    }
}

fn rows(links: &Links, now: Moment) -> Vec<LinkRow> {
    let row = |(site, link): (SiteId, links::Link)| LinkRow {
        site,
        witness_age: links::age(link.witness, now),
        actor_age: links::age(link.actor, now),
        endpoint_age: links::age(link.endpoint, now),
    };
    links.all().into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment { boottime: 1_000_000, raw: 1_000_000 }.after(Millis(ms))
    }

    #[test]
    fn a_site_whose_witness_is_silent_is_asked_at_every_tick() {
        let site = SiteId::new("dc2").unwrap();
        let links = Links::default();
        let mut pace = Pace { site: Some(site.clone()), every: Millis(700), left_out: 0 };
        assert!(!pace.rests(&links, at(0)), "nobody answered yet");
        links.answered(&site, Millis(1), LogIndex(1), 3, at(600));
        let asked: Vec<bool> = [700, 1_400].map(|now| !pace.rests(&links, at(now))).into();
        assert_eq!(asked, [false, false], "it answers");
        links.answered(&site, Millis(1), LogIndex(1), 3, at(2_000));
        assert!(!pace.rests(&links, at(2_100)), "every third tick all the same");
        let asked: Vec<bool> = [2_800, 3_500, 4_200].map(|now| !pace.rests(&links, at(now))).into();
        assert_eq!(asked, [false, true, true], "it is silent since 2.0 s");
    }
}
