//! S1: at no instant do two sites run the same stack unfenced.
//!
//! Judged twice. By processes: from the instant at which a database is out of recovery until
//! none of its processes is left it is a writer, except while they are stopped; no two sites may
//! be one at a time. By acknowledgements: as the lab judges real histories.
//!
//! Not judged in runs whose clocks break `clock.max_drift`: S1 rests on that.

use super::agreed::Agreed;
use super::one_writer::{Judged, Tenures};
use super::{Checker, Found};
use crate::history::{FinalDatabase, History, Record, Setup, Site, Stack, Time, What};
use coordination::invariants::Invariant::S1OneWriter;

/// One stack's processes: a bit for each site.
#[derive(Clone, Copy, Debug, Default)]
struct Writers {
    there: u32,
    frozen: u32,
}

/// Judges S1.
pub(super) struct OneWriterEver {
    judged: bool,
    stacks: Vec<Writers>,
    acks: Vec<(Stack, Site, u64, Time, Time)>,
}

impl OneWriterEver {
    pub(super) fn new(setup: &Setup) -> Self {
        let stacks = vec![Writers::default(); usize::from(setup.stacks)];
        Self { judged: setup.clocks_hold, stacks, acks: Vec::new() }
    }

    fn runs(&self, at: Time, stack: Stack, site: Site, agreed: &Agreed, found: &mut Found) {
        let place = usize::from(stack);
        let others = self.stacks[place].there & !self.stacks[place].frozen & !(1 << site);
        if others != 0 && agreed.stacks[place].is_adopted() {
            let text = format!("dc{} writes while {} does, too", site + 1, sites(others));
            found.add(S1OneWriter, at, stack, text);
        }
    }
}

/// Names of the sites of a bit mask.
pub(super) fn sites(mask: u32) -> String {
    let names: Vec<String> =
        (0..32).filter(|site| mask >> site & 1 == 1).map(|site| format!("dc{}", site + 1)).collect();
    names.join(", ")
}

impl Checker for OneWriterEver {
    fn take(&mut self, record: &Record, agreed: &Agreed, _: &History, found: &mut Found) {
        if !self.judged {
            return;
        }
        match record.what {
            What::PrimaryBegan { stack, site, .. } => {
                self.runs(record.at, stack, site, agreed, found);
                self.stacks[usize::from(stack)].there |= 1 << site;
            }
            What::PrimaryEnded { stack, site, .. } => {
                let writers = &mut self.stacks[usize::from(stack)];
                writers.there &= !(1 << site);
                writers.frozen &= !(1 << site);
            }
            What::Frozen { stack, site } => self.stacks[usize::from(stack)].frozen |= 1 << site,
            What::Thawed { stack, site } => {
                self.stacks[usize::from(stack)].frozen &= !(1 << site);
                self.runs(record.at, stack, site, agreed, found);
            }
            What::Acked { stack, site, row, sent, .. } => {
                self.acks.push((stack, site, row, sent, record.at));
            }
            _ => {}
        }
    }

    fn finish(&mut self, agreed: &Agreed, history: &History, found: &mut Found) {
        for (stack, agreed) in (0..).zip(&agreed.stacks) {
            let mut tenures: Vec<Site> = agreed.elections.iter().map(|e| e.site).collect();
            tenures.dedup();
            let winner = tenures.last().and_then(|site| final_database(history, stack, *site));
            let (Some(winner), true) = (winner, self.judged) else { continue };
            let mut present = Tenures::new(&tenures);
            for (_, site, row, sent, at) in self.acks.iter().filter(|a| a.0 == stack) {
                let during = present.site().copied();
                let kept = || winner.rows.binary_search(row).is_ok();
                if present.take(site, *sent, *at, kept) == Judged::Overlap {
                    let during = during.map_or_else(|| "nobody's".to_owned(), |s| format!("dc{}'s", s + 1));
                    let text = format!("dc{} acknowledged row {row:x} in {during} tenure", site + 1);
                    found.add(S1OneWriter, *at, stack, text);
                }
            }
        }
    }
}

/// A site's database at the end of the run.
pub(super) fn final_database(history: &History, stack: Stack, site: Site) -> Option<&FinalDatabase> {
    history.databases.get(usize::from(stack))?.get(usize::from(site))
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, failover};
    use super::*;

    fn judge(story: &Story) -> Vec<super::super::Violation> {
        story.judge(OneWriterEver::new(&story.history.setup))
    }

    /// dc2 opens while dc1 still runs.
    fn two() -> Story {
        let mut story = Story::adopted(|_| {});
        story.begin(1).elect(1, 1).began(1, 2, 200);
        story
    }

    #[test]
    fn a_clean_failover_has_one_writer_at_a_time() {
        assert_eq!(judge(&failover()), []);
    }

    #[test]
    fn two_writers_at_one_instant_are_caught() {
        let found = judge(&two());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].invariant, S1OneWriter);
    }

    #[test]
    fn a_frozen_one_is_a_writer_again_when_it_thaws() {
        let mut story = Story::adopted(|_| {});
        story.tell(What::Frozen { stack: 0, site: 0 }).begin(1).elect(1, 1).began(1, 2, 200);
        assert_eq!(judge(&story), []);
        story.wait(10).tell(What::Thawed { stack: 0, site: 0 });
        assert_eq!(judge(&story).len(), 1);
    }

    #[test]
    fn an_acknowledgement_of_the_old_site_that_the_winner_lacks_is_caught() {
        let mut story = failover();
        story.wait(10).acked(0, 9, 1, 300, false);
        assert_eq!(judge(&story).len(), 1);
        let mut kept = failover();
        kept.wait(10).acked(0, 2, 1, 200, false);
        assert_eq!(judge(&kept), []);
    }

    #[test]
    fn runs_with_broken_clocks_are_not_judged() {
        let mut story = two();
        story.history.setup.clocks_hold = false;
        assert_eq!(judge(&story), []);
    }
}
