//! L4: no failure of witnesses closes an active stack.
//!
//! Judged in runs in which only witnesses are touched, and for stacks whose cover is held (modes
//! `observe` and `approve`): a timed cover still ends when the majority is gone for long, until
//! the failsafe of section 5, rule 7 is built.

use super::agreed::Agreed;
use super::{Checker, Found};
use crate::history::{History, Record, Setup, Site, Stack, Time, What};
use coordination::invariants::Invariant::L4CoordinatorHarmless;

/// Judges L4.
pub(super) struct CoordinatorHarmless {
    judged: bool,
}

impl CoordinatorHarmless {
    pub(super) const fn new(setup: &Setup) -> Self {
        Self { judged: setup.witnesses_only }
    }

    fn closed(
        &self,
        at: Time,
        (stack, site): (Stack, Site),
        agreed: &Agreed,
        found: &mut Found,
        why: &dyn std::fmt::Display,
    ) {
        let known = &agreed.stacks[usize::from(stack)];
        let held = known.mode.is_some_and(model::Mode::holds_cover);
        if self.judged && held && known.active().is_some_and(|active| active.site == site) {
            let text = format!("dc{} is closed under a held cover: {why}", site + 1);
            found.add(L4CoordinatorHarmless, at, stack, text);
        }
    }
}

impl Checker for CoordinatorHarmless {
    fn take(&mut self, record: &Record, agreed: &Agreed, _: &History, found: &mut Found) {
        match record.what {
            What::Closing { stack, site, reason } => {
                self.closed(record.at, (stack, site), agreed, found, &reason);
            }
            What::PrimaryEnded { stack, site, .. } => {
                self.closed(record.at, (stack, site), agreed, found, &"no process is left");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, stack};
    use super::*;
    use coordination::Command;
    use model::Mode;

    fn closing(mode: Mode, witnesses_only: bool) -> Story {
        let mut story = Story::adopted(|setup| setup.witnesses_only = witnesses_only);
        story.commit(Command::SetMode { stack: stack(), mode });
        story.tell(What::Closing { stack: 0, site: 0, reason: "the deadline is over" });
        story
    }

    fn judge(story: &Story) -> Vec<super::super::Violation> {
        story.judge(CoordinatorHarmless::new(&story.history.setup))
    }

    #[test]
    fn what_fails_beside_the_witnesses_may_close_a_stack() {
        assert_eq!(judge(&closing(Mode::Observe, false)), []);
        assert_eq!(judge(&closing(Mode::Auto, true)), []);
    }

    #[test]
    fn a_held_stack_that_closes_for_witnesses_alone_is_caught() {
        assert_eq!(judge(&closing(Mode::Observe, true)).len(), 1);
        assert_eq!(judge(&closing(Mode::Approve, true)).len(), 1);
    }
}
