//! Fenced means that no process of the database is left (design, section 5).
//!
//! An observer outside looks again and again at which processes work in the data directory. A
//! *generation* is one postmaster with all that it forked; a server started later in the same
//! place is another generation and not a leftover.

use super::Nanos;
use std::collections::BTreeMap;

/// One process of a database, as an outside observer saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Its pid in the observer's namespace.
    pub pid: u32,
    /// The postmaster's generation that it belongs to.
    pub generation: u64,
    /// First seen alive.
    pub first: Nanos,
    /// Last seen alive.
    pub last: Nanos,
}

/// A generation of processes that outlived its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Which generation.
    pub generation: u64,
    /// Pids of it that were seen after the deadline.
    pub pids: Vec<u32>,
    /// When the last of them was seen.
    pub last: Nanos,
}

/// The generations that lived at `fault` and of which a process was still seen after `deadline`.
#[must_use]
pub fn leftovers(seen: &[ProcessSeen], fault: Nanos, deadline: Nanos) -> Vec<Leftover> {
    let mut found: BTreeMap<u64, Leftover> = BTreeMap::new();
    let lived = |generation: u64| seen.iter().any(|p| p.generation == generation && p.first <= fault);
    for process in seen.iter().filter(|p| p.last > deadline && lived(p.generation)) {
        let entry = found.entry(process.generation).or_insert(Leftover {
            generation: process.generation,
            pids: Vec::new(),
            last: process.last,
        });
        entry.pids.push(process.pid);
        entry.last = entry.last.max(process.last);
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pid: u32, generation: u64, first: Nanos, last: Nanos) -> ProcessSeen {
        ProcessSeen { pid, generation, first, last }
    }

    #[test]
    fn all_gone_before_the_deadline_leaves_nothing() {
        let history = [seen(1, 7, 0, 140), seen(2, 7, 0, 130)];
        assert_eq!(leftovers(&history, 100, 150), []);
    }

    #[test]
    fn a_backend_that_outlives_its_postmaster_is_found() {
        let history = [seen(1, 7, 0, 110), seen(2, 7, 0, 190)];
        let found = leftovers(&history, 100, 150);
        assert_eq!(found, [Leftover { generation: 7, pids: vec![2], last: 190 }]);
    }

    #[test]
    fn a_backend_forked_after_the_fault_counts_with_its_generation() {
        let history = [seen(1, 7, 0, 110), seen(3, 7, 120, 200)];
        assert_eq!(leftovers(&history, 100, 150).len(), 1);
    }

    #[test]
    fn a_server_started_again_in_place_is_no_leftover() {
        let history = [seen(1, 7, 0, 110), seen(9, 8, 160, 900)];
        assert_eq!(leftovers(&history, 100, 150), []);
    }
}
