//! How long a client that never stopped trying was without an acknowledgement (L1, L2, L3).

use super::{Ack, Nanos};

/// A stretch without an acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last acknowledgement before it, or the begin of the window.
    pub from: Nanos,
    /// The first acknowledgement after it, or the end of the window.
    pub to: Nanos,
    /// The site of the first acknowledgement after it; none if the window ended without one.
    pub ended_by: Option<String>,
}

impl Gap {
    /// Its length.
    #[must_use]
    pub const fn length(&self) -> Nanos {
        self.to.saturating_sub(self.from)
    }
}

/// What a client went through within a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The longest gap.
    pub longest: Gap,
    /// All gaps of at least the threshold together.
    pub total: Nanos,
    /// How many gaps reached the threshold.
    pub gaps: usize,
}

impl Outage {
    /// True if writes were not flowing any more when the window ended.
    #[must_use]
    pub const fn unended(&self) -> bool {
        self.longest.ended_by.is_none()
    }
}

/// Looks at one client's acknowledgements within `[from, to]`; gaps shorter than `threshold` are
/// not added up. The window's own ends count as ends of a gap.
#[must_use]
pub fn outage(acks: &[Ack], from: Nanos, to: Nanos, threshold: Nanos) -> Outage {
    let mut inside: Vec<&Ack> = acks.iter().filter(|a| a.acked >= from && a.acked <= to).collect();
    inside.sort_by_key(|a| a.acked);
    let mut gaps: Vec<Gap> = Vec::with_capacity(inside.len() + 1);
    let mut last = from;
    for ack in inside {
        gaps.push(Gap { from: last, to: ack.acked, ended_by: Some(ack.site.clone()) });
        last = ack.acked;
    }
    gaps.push(Gap { from: last, to, ended_by: None });
    let long = gaps.iter().filter(|g| g.length() >= threshold);
    let (count, total) = long.fold((0, 0), |(n, sum), g| (n + 1, sum + g.length()));
    let longest = gaps.into_iter().max_by_key(Gap::length).unwrap_or(Gap { from, to, ended_by: None });
    Outage { longest, total, gaps: count }
}

#[cfg(test)]
mod tests {
    use super::super::build::ack;
    use super::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn the_longest_gap_is_told_with_the_site_that_ended_it() {
        let history =
            [ack(1, "dc1", 0, 10), ack(2, "dc1", 20, 30), ack(3, "dc2", 500, 530), ack(4, "dc2", 540, 550)];
        let found = outage(&history, 0, 560 * MS, 100 * MS);
        assert_eq!(found.longest.length(), 500 * MS);
        assert_eq!(found.longest.ended_by.as_deref(), Some("dc2"));
        assert_eq!((found.gaps, found.total), (1, 500 * MS));
        assert!(!found.unended());
    }

    #[test]
    fn silence_until_the_end_is_an_unended_outage() {
        let history = [ack(1, "dc1", 0, 10)];
        let found = outage(&history, 0, 5_000 * MS, 100 * MS);
        assert!(found.unended());
        assert_eq!(found.longest.length(), 4_990 * MS);
    }

    #[test]
    fn no_acknowledgement_at_all_is_one_gap() {
        let found = outage(&[], 5, 10, 1);
        assert_eq!(found.longest, Gap { from: 5, to: 10, ended_by: None });
    }

    #[test]
    fn what_lies_outside_of_the_window_does_not_count() {
        let history = [ack(1, "dc1", 0, 10), ack(2, "dc1", 900, 1_000), ack(3, "dc1", 1_005, 1_010)];
        let found = outage(&history, 990 * MS, 1_015 * MS, 100 * MS);
        assert_eq!(found.longest.length(), 10 * MS);
        assert_eq!(found.gaps, 0);
    }
}
