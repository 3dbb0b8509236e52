//! Where the Raft leader should sit: at a site with the fewest active stacks, because a leader
//! that dies with the active site costs an election on top of the failover.

use coordination::State;
use model::{Millis, Moment, SiteId};

/// A new leader moves its seat only after this: it has something better to do at first.
pub const SETTLE: Millis = Millis(1_500);
/// Between two moves, at first; doubled while moves follow each other.
pub const PAUSE_MIN: Millis = Millis(10_000);
/// Between two moves, at most; after this much rest the pause is short again.
pub const PAUSE_MAX: Millis = Millis(300_000);

/// Stacks that are active at a site.
fn load(state: &State, site: &SiteId) -> usize {
    state.stacks().values().filter(|s| s.active.as_ref().is_some_and(|a| a.site == *site)).count()
}

/// The reachable witness that should lead instead of `me`, if one has fewer active stacks and
/// no transition is under way.
#[must_use]
pub fn better(state: &State, me: &SiteId, reachable: &[SiteId]) -> Option<SiteId> {
    if state.stacks().values().any(|stack| stack.transition.is_some()) {
        return None;
    }
    let mine = load(state, me);
    let best = reachable.iter().filter(|s| *s != me).min_by_key(|site| (load(state, site), *site))?;
    (load(state, best) < mine).then(|| best.clone())
}

/// When the next move is allowed.
#[derive(Debug, Default)]
pub struct Throttle {
    last: Option<Moment>,
    pause: Millis,
}

impl Throttle {
    /// True if a move may be tried now.
    #[must_use]
    pub fn allows(&self, now: Moment) -> bool {
        self.last.is_none_or(|last| now.elapsed_shortest(last) >= self.pause)
    }

    /// A move was tried.
    pub fn tried(&mut self, now: Moment) {
        let rested = self.last.is_none_or(|last| now.elapsed_shortest(last) >= PAUSE_MAX);
        self.pause = if rested { PAUSE_MIN } else { self.pause.times(2).min(PAUSE_MAX) };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_get_rarer_and_rest_makes_them_quick_again() {
        let start = Moment { boottime: 1_000_000, raw: 1_000_000 };
        let mut throttle = Throttle::default();
        assert!(throttle.allows(start));
        throttle.tried(start);
        assert!(!throttle.allows(start.after(Millis(9_999))));
        let second = start.after(PAUSE_MIN);
        assert!(throttle.allows(second));
        throttle.tried(second);
        assert!(!throttle.allows(second.after(Millis(19_999))));
        assert!(throttle.allows(second.after(Millis(20_000))));
        let rested = second.after(PAUSE_MAX);
        throttle.tried(rested);
        assert!(throttle.allows(rested.after(PAUSE_MIN)));
    }

    #[test]
    fn nobody_has_fewer_than_none() {
        let site = |name| SiteId::new(name).unwrap();
        assert_eq!(better(&State::default(), &site("dc1"), &[site("dc2"), site("dc3")]), None);
    }
}
