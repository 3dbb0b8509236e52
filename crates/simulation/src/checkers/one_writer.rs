//! S1: no write is acknowledged by two sites in overlapping time.
//!
//! The *tenures* are the sites that were active, one after the other, as the group's own log of
//! elections tells (a site elected again right after itself is one tenure). The history is every
//! acknowledgement of every client, in the order in which clients read them.
//!
//! - A tenure begins with the first acknowledgement of its site that was **sent** after the tenure
//!   before it had its own first acknowledgement (a reply under way begins nothing).
//! - An acknowledgement of any other site, read after the present tenure began, is an **overlap**,
//!   unless its row is in the final database: then the write had reached the winner before it was
//!   promoted and only the reply was late. Those are counted apart.
//! - So with one change of site, dc1 to dc2: each write that dc1 acknowledged after the first
//!   acknowledgement of dc2 and that dc2 doesn't have is an overlap.

use super::{Ack, FinalRows, Nanos, WriteId};

/// What S1's checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneWriter {
    /// The violations.
    pub overlaps: Vec<Overlap>,
    /// Late replies to writes that the winner has: no violation.
    pub late_replies: usize,
    /// When each tenure had its first acknowledgement: site and time.
    pub began: Vec<(String, Nanos)>,
}

/// A write acknowledged by one site while another one was the writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The write that should not have been acknowledged.
    pub write: WriteId,
    /// Who acknowledged it.
    pub site: String,
    /// When it was sent.
    pub sent: Nanos,
    /// When its acknowledgement was read.
    pub acked: Nanos,
    /// Whose tenure it was; none if nobody had been active before.
    pub during: String,
}

/// Judges a history. `tenures` are the sites that were active, in order; an empty one permits
/// nothing, so that every acknowledgement is an overlap.
#[must_use]
pub fn one_writer(acks: &[Ack], tenures: &[String], rows: &FinalRows) -> OneWriter {
    let mut ordered: Vec<&Ack> = acks.iter().collect();
    ordered.sort_by_key(|a| (a.acked, a.sent));
    let mut found = OneWriter::default();
    let mut present = Tenures::new(tenures);
    for ack in ordered {
        let during = present.site().cloned();
        match present.take(&ack.site, ack.sent, ack.acked, || rows.contains(&ack.write)) {
            Judged::Within => {}
            Judged::Begins => found.began.push((ack.site.clone(), ack.acked)),
            Judged::LateReply => found.late_replies += 1,
            Judged::Overlap => found.overlaps.push(Overlap {
                write: ack.write.clone(),
                site: ack.site.clone(),
                sent: ack.sent,
                acked: ack.acked,
                during: during.unwrap_or_default(),
            }),
        }
    }
    found
}

/// What one acknowledgement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Of the present tenure.
    Within,
    /// The first of a later tenure.
    Begins,
    /// Of another site, but the winner has its row.
    LateReply,
    /// Of another site, and lost.
    Overlap,
}

/// Tenures, and the one that a history is in; acknowledgements are taken in the order in which
/// they were read. The same for real histories (names of sites) and for simulated ones (places).
pub(super) struct Tenures<'a, S> {
    tenures: &'a [S],
    /// Place of the present one, and its first acknowledgement.
    present: Option<(usize, u64)>,
}

impl<'a, S: PartialEq> Tenures<'a, S> {
    pub(super) const fn new(tenures: &'a [S]) -> Self {
        Self { tenures, present: None }
    }

    /// Whose tenure it is.
    pub(super) fn site(&self) -> Option<&S> {
        self.present.and_then(|(index, _)| self.tenures.get(index))
    }

    pub(super) fn take(&mut self, site: &S, sent: u64, acked: u64, kept: impl FnOnce() -> bool) -> Judged {
        if self.site() == Some(site) {
            return Judged::Within;
        }
        let from = match self.present {
            None => Some(0),
            Some((index, first_acked)) => (sent >= first_acked).then_some(index + 1),
        };
        let next = from.and_then(|from| (from..self.tenures.len()).find(|i| self.tenures[*i] == *site));
        if let Some(next) = next {
            self.present = Some((next, acked));
            Judged::Begins
        } else if self.present.is_some() && kept() {
            Judged::LateReply
        } else {
            Judged::Overlap
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{ack, rows};
    use super::*;

    fn tenures(sites: &[&str]) -> Vec<String> {
        sites.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn a_clean_change_of_site_has_no_overlap() {
        let history =
            [ack(1, "dc1", 0, 1), ack(2, "dc1", 2, 3), ack(3, "dc2", 50, 55), ack(4, "dc2", 60, 61)];
        let found = one_writer(&history, &tenures(&["dc1", "dc2"]), &rows(&[1, 3, 4]));
        assert_eq!(found.overlaps, []);
        assert_eq!(found.began.len(), 2);
    }

    #[test]
    fn an_acknowledgement_of_the_old_site_after_the_first_of_the_new_one_is_an_overlap() {
        let history =
            [ack(1, "dc1", 0, 1), ack(2, "dc2", 50, 55), ack(3, "dc1", 54, 56), ack(4, "dc2", 60, 61)];
        let found = one_writer(&history, &tenures(&["dc1", "dc2"]), &rows(&[1, 2, 4]));
        assert_eq!(found.overlaps.len(), 1);
        assert_eq!(found.overlaps[0].site, "dc1");
        assert_eq!(found.overlaps[0].during, "dc2");
    }

    #[test]
    fn a_late_reply_to_a_write_that_the_winner_has_is_none() {
        let history = [ack(1, "dc1", 0, 1), ack(2, "dc2", 50, 55), ack(3, "dc1", 2, 80)];
        let found = one_writer(&history, &tenures(&["dc1", "dc2"]), &rows(&[1, 2, 3]));
        assert_eq!(found.overlaps, []);
        assert_eq!(found.late_replies, 1);
    }

    #[test]
    fn concurrent_intervals_are_ordered_by_their_acknowledgements() {
        // dc1's write was sent after dc2's was, but acknowledged before it: no proof of an overlap
        let history = [ack(1, "dc1", 0, 1), ack(2, "dc2", 50, 55), ack(3, "dc1", 51, 54)];
        let found = one_writer(&history, &tenures(&["dc1", "dc2"]), &rows(&[1, 2]));
        assert_eq!(found.overlaps, []);
    }

    #[test]
    fn both_sites_writing_for_long_is_counted_write_by_write() {
        let mut history = vec![ack(0, "dc1", 0, 1)];
        for n in 1..=20 {
            let site = if n % 2 == 0 { "dc1" } else { "dc2" };
            history.push(ack(n, site, 100 + n * 10, 105 + n * 10));
        }
        let found = one_writer(&history, &tenures(&["dc1", "dc2"]), &rows(&[0, 1, 3, 5]));
        assert_eq!(found.overlaps.len(), 10);
    }

    #[test]
    fn a_return_to_the_first_site_is_a_tenure_of_its_own() {
        let history =
            [ack(1, "dc1", 0, 1), ack(2, "dc2", 50, 55), ack(3, "dc1", 90, 91), ack(4, "dc2", 92, 93)];
        let clean = one_writer(&history[..3], &tenures(&["dc1", "dc2", "dc1"]), &rows(&[1, 2, 3]));
        assert_eq!(clean.overlaps, []);
        let found = one_writer(&history, &tenures(&["dc1", "dc2", "dc1"]), &rows(&[1, 2, 3]));
        assert_eq!(found.overlaps.len(), 1);
        assert_eq!(found.overlaps[0].site, "dc2");
    }

    #[test]
    fn a_reply_under_way_does_not_begin_a_tenure() {
        // the reply of the old dc1 is read after dc2 began; dc1 is active again later
        let history =
            [ack(1, "dc1", 0, 1), ack(2, "dc2", 50, 55), ack(3, "dc1", 2, 60), ack(4, "dc2", 70, 71)];
        let found = one_writer(&history, &tenures(&["dc1", "dc2", "dc1"]), &rows(&[1, 2, 3, 4]));
        assert_eq!(found.overlaps, []);
        assert_eq!(found.late_replies, 1);
    }

    #[test]
    fn a_tenure_without_a_write_is_passed_over() {
        let history = [ack(1, "dc1", 0, 1), ack(2, "dc3", 50, 55), ack(3, "dc3", 60, 61)];
        let found = one_writer(&history, &tenures(&["dc1", "dc2", "dc3"]), &rows(&[1, 2, 3]));
        assert_eq!(found.overlaps, []);
    }

    #[test]
    fn a_site_that_was_never_active_may_not_acknowledge() {
        let history = [ack(1, "dc1", 0, 1), ack(2, "dc3", 50, 55)];
        let found = one_writer(&history, &tenures(&["dc1", "dc2"]), &rows(&[1]));
        assert_eq!(found.overlaps.len(), 1);
        assert_eq!(one_writer(&history, &[], &rows(&[1, 2])).overlaps.len(), 2);
    }
}
