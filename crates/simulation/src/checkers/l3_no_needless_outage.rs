//! L3: the loss of one witness, of one link, or of the leader alone makes no active site lose its
//! lease: no expiry of it is agreed, and its database is not closed.

use super::agreed::{Agreed, entry};
use super::{Checker, Found};
use crate::history::{History, Record, Stack, What};
use coordination::invariants::Invariant::L3NoNeedlessOutage;
use coordination::{Command, Outcome};

/// Judges L3, in runs in which nothing else is lost.
pub(super) struct NoNeedlessOutage;

impl Checker for NoNeedlessOutage {
    fn take(&mut self, record: &Record, agreed: &Agreed, history: &History, found: &mut Found) {
        if !history.setup.one_lost {
            return;
        }
        match record.what {
            What::Committed { index } => {
                let Some(committed) = entry(history, index) else { return };
                let (Command::Expire { site, .. }, Outcome::Applied) =
                    (&committed.entry.command, &committed.outcome)
                else {
                    return;
                };
                let lost = History::site_named(site);
                let is_active = |(_, s): &(Stack, &super::agreed::AgreedStack)| {
                    s.active().is_some_and(|active| Some(active.site) == lost)
                };
                if let Some((stack, _)) = (0..).zip(&agreed.stacks).find(is_active) {
                    found.add(L3NoNeedlessOutage, record.at, stack, format!("the lease of {site} expired"));
                }
            }
            What::Closing { stack, site, reason } => {
                let active = agreed.stacks[usize::from(stack)].active();
                if active.is_some_and(|active| active.site == site) {
                    let text = format!("dc{} is closed: {reason}", site + 1);
                    found.add(L3NoNeedlessOutage, record.at, stack, text);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, failover, site};
    use super::*;
    use model::{Incarnation, RenewalNumber};

    fn expired(at: crate::history::Site) -> Story {
        let mut story = Story::adopted(|setup| setup.one_lost = true);
        let (incarnation, number) = (Incarnation(1), RenewalNumber(1));
        story.commit(Command::Expire { site: site(at), incarnation, number });
        story
    }

    #[test]
    fn a_passive_site_may_lose_its_lease() {
        assert_eq!(expired(1).judge(NoNeedlessOutage), []);
        assert_eq!(failover().judge(NoNeedlessOutage), []);
    }

    #[test]
    fn the_active_one_that_loses_it_or_closes_is_caught() {
        assert_eq!(expired(0).judge(NoNeedlessOutage).len(), 1);
        let mut story = Story::adopted(|setup| setup.one_lost = true);
        story.tell(What::Closing { stack: 0, site: 0, reason: "the deadline is over" });
        assert_eq!(story.judge(NoNeedlessOutage).len(), 1);
    }
}
