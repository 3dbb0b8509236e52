//! S7: every change of verdict, assignment and step is a committed entry; replaying the log gives
//! the same state.
//!
//! The entries are applied once more from the beginning: each must come to the outcome that it
//! had in the run, every witness must have had the digest of that very state, and nobody may have
//! found that states differ.

use super::agreed::Agreed;
use super::{Checker, Found};
use crate::history::{History, Record, Site, Time, What};
use coordination::invariants::Invariant::S7AgreedNotGuessed;
use coordination::{Outcome, State};
use model::LogIndex;

/// Judges S7.
#[derive(Default)]
pub(super) struct AgreedNotGuessed {
    seen: Vec<(LogIndex, Site, u64, Time)>,
}

impl Checker for AgreedNotGuessed {
    fn take(&mut self, record: &Record, _: &Agreed, _: &History, _: &mut Found) {
        if let What::StateSeen { site, index, digest } = record.what {
            self.seen.push((index, site, digest, record.at));
        }
    }

    fn finish(&mut self, _: &Agreed, history: &History, found: &mut Found) {
        self.seen.sort_unstable();
        let mut seen = self.seen.iter().peekable();
        let mut state = State::default();
        let mut digest = None;
        let mut index = LogIndex(0);
        loop {
            while let Some((_, site, seen_digest, at)) = seen.next_if(|s| s.0 <= index) {
                if *digest.get_or_insert_with(|| state.digest()) != *seen_digest {
                    let text = format!("dc{}'s state after entry {index} is not that of the log", site + 1);
                    found.add(S7AgreedNotGuessed, *at, None, text);
                }
            }
            let Some(committed) = super::agreed::entry(history, index.next()) else { break };
            index = index.next();
            digest = None;
            let outcome = state.apply(index, &committed.entry);
            if outcome != committed.outcome || outcome == Outcome::Diverged {
                let text = format!("entry {index} came to {:?}, and again to {outcome:?}", committed.outcome);
                found.add(S7AgreedNotGuessed, committed.at, None, text);
            }
        }
        for (index, site, _, at) in seen {
            let text = format!("dc{} has applied entry {index}, which was never committed", site + 1);
            found.add(S7AgreedNotGuessed, *at, None, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, site};
    use super::*;
    use coordination::Command;

    /// Two entries, and the digest that they lead to.
    fn agreed() -> (Story, u64) {
        let mut story = Story::new(|_| {});
        let mut state = State::default();
        for at in 0..2 {
            let command = Command::DefineSite { site: site(at), actor: true };
            story.commit(command);
            let entry = &story.history.entries[usize::from(at)].entry;
            state.apply(LogIndex(u64::from(at) + 1), entry);
        }
        (story, state.digest())
    }

    fn judge(story: &Story) -> Vec<super::super::Violation> {
        story.judge(AgreedNotGuessed::default())
    }

    #[test]
    fn a_witness_with_the_state_of_the_log_is_right() {
        let (mut story, digest) = agreed();
        story.tell(What::StateSeen { site: 2, index: LogIndex(2), digest });
        assert_eq!(judge(&story), []);
    }

    #[test]
    fn a_witness_with_another_state_is_caught() {
        let (mut story, digest) = agreed();
        story.tell(What::StateSeen { site: 2, index: LogIndex(1), digest });
        assert_eq!(judge(&story).len(), 1);
        let (mut story, digest) = agreed();
        story.tell(What::StateSeen { site: 2, index: LogIndex(3), digest });
        assert_eq!(judge(&story).len(), 1);
    }

    #[test]
    fn an_entry_that_comes_to_something_else_when_replayed_is_caught() {
        let (mut story, _) = agreed();
        story.history.entries[1].outcome = Outcome::Diverged;
        assert_eq!(judge(&story).len(), 1);
    }
}
