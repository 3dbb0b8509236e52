//! What a leader has proposed and not yet seen applied, as the witness's own loop keeps it: the
//! same command is never under way twice, and one that was refused or got lost is tried again
//! only after a pause.

use coordination::Command;
use model::{LogIndex, Millis, Moment};

/// Before a command that was refused is proposed again.
const REFUSED_PAUSE: Millis = Millis(200);
/// Before a command whose fate is unknown is proposed again.
const UNKNOWN_PAUSE: Millis = Millis(20);
/// What is not answered by then is unknown.
const DEADLINE: Millis = Millis(2_000);

/// How a proposal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was applied at the leader.
    Applied(LogIndex),
    /// It changed nothing.
    Refused,
}

#[derive(Debug)]
enum Stage {
    RunningSince(Moment),
    AppliedAt(LogIndex),
    PausedTo(Moment),
}

/// The proposals under way.
#[derive(Debug, Default)]
pub struct Proposals {
    last: u64,
    slots: Vec<(u64, Command, Stage)>,
}

impl Proposals {
    /// Takes a command if it is not under way; its number then.
    pub fn admit(&mut self, command: &Command, now: Moment) -> Option<u64> {
        if self.slots.iter().any(|(_, known, _)| known == command) {
            return None;
        }
        self.last += 1;
        self.slots.push((self.last, command.clone(), Stage::RunningSince(now)));
        Some(self.last)
    }

    /// A proposal ended.
    pub fn ended(&mut self, id: u64, ended: Ended, now: Moment) {
        if let Some((.., stage)) = self.slots.iter_mut().find(|(known, ..)| *known == id) {
            *stage = match ended {
                Ended::Applied(index) => Stage::AppliedAt(index),
                Ended::Refused => Stage::PausedTo(now.after(REFUSED_PAUSE)),
            };
        }
    }

    /// Forgets what the state at `index` has already, and pauses that are over.
    pub fn sweep(&mut self, index: LogIndex, now: Moment) {
        self.slots.retain(|(_, _, stage)| match stage {
            Stage::RunningSince(since) => now.elapsed_shortest(*since) < DEADLINE.plus(UNKNOWN_PAUSE),
            Stage::AppliedAt(at) => *at > index,
            Stage::PausedTo(to) => now.boottime < to.boottime,
        });
    }
}
