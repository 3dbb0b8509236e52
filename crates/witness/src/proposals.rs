//! What this leader has proposed and not yet seen applied: the same command is never under way
//! twice, and one that was refused or got lost is tried again only after a pause.

use coordination::Command;
use model::{LogIndex, Millis, Moment};

/// Proposals under way at most; the rest waits for the next turn, when `decide` says it again.
pub const PROPOSALS_MAX: usize = 1_024;
/// Before a command that was refused is proposed again, if `decide` still wants it.
pub const REFUSED_PAUSE: Millis = Millis(200);
/// Before a command whose fate is unknown is proposed again.
pub const UNKNOWN_PAUSE: Millis = Millis(20);

/// How a proposal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is in the log at this index and was applied at the leader.
    Applied(LogIndex),
    /// It is in the log and changed nothing.
    Refused,
    /// No leader, or no answer in time.
    Unknown,
}

#[derive(Debug)]
enum Stage {
    Running,
    /// Until the state shown to `decide` has it.
    AppliedAt(LogIndex),
    /// Until then it is not tried again.
    PausedTo(Moment),
}

#[derive(Debug)]
struct Slot {
    id: u64,
    command: Command,
    stage: Stage,
}

/// The proposals under way.
#[derive(Debug, Default)]
pub struct Proposals {
    last: u64,
    slots: Vec<Slot>,
}

impl Proposals {
    /// Takes a command if it is not under way; its number then.
    pub fn admit(&mut self, command: &Command) -> Option<u64> {
        if self.slots.len() >= PROPOSALS_MAX || self.slots.iter().any(|slot| slot.command == *command) {
            return None;
        }
        self.last += 1;
        self.slots.push(Slot { id: self.last, command: command.clone(), stage: Stage::Running });
        Some(self.last)
    }

    /// A proposal ended.
    pub fn ended(&mut self, id: u64, ended: Ended, now: Moment) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            slot.stage = match ended {
                Ended::Applied(index) => Stage::AppliedAt(index),
                Ended::Refused => Stage::PausedTo(now.after(REFUSED_PAUSE)),
                Ended::Unknown => Stage::PausedTo(now.after(UNKNOWN_PAUSE)),
            };
        }
    }

    /// Forgets what the state at `index` has already, and pauses that are over.
    pub fn sweep(&mut self, index: LogIndex, now: Moment) {
        self.slots.retain(|slot| match slot.stage {
            Stage::Running => true,
            Stage::AppliedAt(at) => at > index,
            Stage::PausedTo(to) => now.boottime < to.boottime,
        });
    }

    /// True if nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment { boottime: 5_000_000, raw: 5_000_000 };

    #[test]
    fn a_command_is_under_way_once_until_the_state_shows_it() {
        let mut proposals = Proposals::default();
        let id = proposals.admit(&Command::Nothing).expect("nothing is under way");
        assert_eq!(proposals.admit(&Command::Nothing), None);
        proposals.ended(id, Ended::Applied(LogIndex(7)), NOW);
        proposals.sweep(LogIndex(6), NOW);
        assert_eq!(proposals.admit(&Command::Nothing), None);
        proposals.sweep(LogIndex(7), NOW);
        assert!(proposals.admit(&Command::Nothing).is_some());
    }

    #[test]
    fn a_refused_command_pauses() {
        let mut proposals = Proposals::default();
        let id = proposals.admit(&Command::Nothing).expect("nothing is under way");
        proposals.ended(id, Ended::Refused, NOW);
        proposals.sweep(LogIndex(9), NOW.after(Millis(100)));
        assert!(!proposals.is_empty());
        proposals.sweep(LogIndex(9), NOW.after(REFUSED_PAUSE));
        assert!(proposals.is_empty());
    }
}
