//! What this witness reached, and when: the row that it adds to the group's link matrix.

use model::{LogIndex, Millis, Moment, SiteId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What of a site answered, beside its witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its actor.
    Actor,
    /// One of its public endpoints.
    Endpoint,
}

/// What was reached of one site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Last answer of its witness.
    pub witness: Option<Moment>,
    /// Last answer of its actor.
    pub actor: Option<Moment>,
    /// Last answer of any of its public endpoints.
    pub endpoint: Option<Moment>,
    /// Round trip of the last answered probe of its witness.
    pub round_trip: Option<Millis>,
    /// Log index that its witness had applied when it answered last.
    pub applied: LogIndex,
    /// Witnesses that its witness had reached when it answered last.
    pub reached: usize,
}

/// All links of this witness. Shared by the prober, which writes, and the services, which read.
#[derive(Debug, Default)]
pub struct Links(Mutex<BTreeMap<SiteId, Link>>);

impl Links {
    /// Something of a site answered.
    pub fn reached(&self, site: &SiteId, part: Part, now: Moment) {
        let mut links = self.locked();
        let link = links.entry(site.clone()).or_default();
        match part {
            Part::Actor => link.actor = Some(now),
            Part::Endpoint => link.endpoint = Some(now),
        }
    }

    /// How long ago a site's witness answered last.
    pub fn witness_age(&self, site: &SiteId, now: Moment) -> Option<Millis> {
        age(self.locked().get(site)?.witness, now)
    }

    /// A site's witness answered a probe with what it knows.
    pub fn answered(
        &self,
        site: &SiteId,
        round_trip: Millis,
        applied: LogIndex,
        reached: usize,
        now: Moment,
    ) {
        let mut links = self.locked();
        let link = links.entry(site.clone()).or_default();
        link.witness = Some(now);
        link.round_trip = Some(round_trip);
        link.applied = applied;
        link.reached = reached;
    }

    /// All links as they stand.
    #[must_use]
    pub fn all(&self) -> BTreeMap<SiteId, Link> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<SiteId, Link>> {
        // A writer that panicked left a moment or a number, each whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long ago, the smaller of the two clocks' answers: who suspects a site waits.
#[must_use]
pub fn age(at: Option<Moment>, now: Moment) -> Option<Millis> {
    at.map(|at| now.elapsed_shortest(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_grow_from_the_last_answer() {
        let start = Moment { boottime: 1_000_000, raw: 1_000_000 };
        let dc2 = SiteId::new("dc2").unwrap();
        let links = Links::default();
        links.reached(&dc2, Part::Actor, start);
        let link = links.all().remove(&dc2).unwrap();
        assert_eq!(age(link.actor, start.after(Millis(250))), Some(Millis(250)));
        assert_eq!(age(link.witness, start), None);
    }
}
