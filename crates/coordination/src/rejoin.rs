//! How a returning copy comes home: by the cheapest way that is right. Pure.
//!
//! A copy is compared with the *state's* chain of promotions by (timeline, start LSN), never by
//! the timeline's number alone. What diverged is listed before anything is overwritten. A rewind
//! happens at most once between two times of streaming: one that was interrupted, or repeated,
//! leaves a directory that only looks well (`../shared/facts/postgres.md`, section 8).

use model::{ChainLink, CopyMark, CopyReport, CopyState, Lsn, SystemId, Timeline, WalPosition};
use serde::Serialize;

/// What is to be done to a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Way {
    /// Its history is a part of the chain: it follows as a standby, as it is.
    Follow,
    /// First find out what it holds beyond the fork.
    Inspect {
        /// Where it leaves the chain.
        fork: WalPosition,
    },
    /// `pg_rewind` to before the fork, then follow.
    Rewind {
        /// Where it leaves the chain.
        fork: WalPosition,
    },
    /// A base backup beside it, which takes its place; then follow.
    Clone,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Because {
    /// Its timeline is the active site's, or it holds nothing beyond its place in the chain.
    OnTheChain,
    /// It may hold WAL beyond the fork; nobody has looked yet.
    NotInspected,
    /// It holds WAL that the chain doesn't have.
    Diverged,
    /// There is no copy.
    NoCopy,
    /// A rewind of it began and did not end.
    RewindInterrupted,
    /// It was rewound before and has not streamed since.
    RewoundBefore,
    /// It has not streamed for long, and nothing else explains why.
    NotStreaming,
    /// It has neither data checksums nor `wal_log_hints`.
    NoChecksums,
    /// Its own WAL from the fork on is not there any more.
    OwnWalGone,
    /// Rewinds are switched off.
    RewindOff,
    /// Its timeline has the number of one of the chain and another beginning.
    SameNumberOtherStart,
    /// It and the chain have no timeline in common.
    NoCommonHistory,
    /// It was a primary on the timeline of another site.
    OthersTimeline,
}

/// Why nothing may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The chain is not known: a witness of an older version.
    NoChain,
    /// What is there is no copy that this server could start.
    Unreadable,
    /// Another database's.
    OtherDatabase {
        /// Its identity.
        found: SystemId,
    },
    /// Too little space for a base backup beside the old directory, which stays until the new
    /// one streams.
    NoSpace {
        /// Bytes wanted.
        need: u64,
        /// Bytes free.
        free: u64,
    },
    /// Something is being done to it already.
    Busy,
}

/// The choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This way.
    Go(Way, Because),
    /// Nothing, until somebody mends it or it passes.
    Not(Obstacle),
}

/// All that the choice rests on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The state's chain.
    pub chain: &'a [ChainLink],
    /// The stack's identity.
    pub system_id: Option<SystemId>,
    /// The copy.
    pub copy: &'a CopyReport,
    /// Where its WAL ends, if its server runs and says so.
    pub position: Option<WalPosition>,
    /// True if it had its time to stream, and does not.
    pub stuck: bool,
    /// False: base backups only.
    pub may_rewind: bool,
}

/// A base backup needs this much of the old directory's size, in percent.
const CLONE_SPACE_PERCENT: u64 = 110;
/// A rewind needs this much beside the diverged WAL that is kept.
const REWIND_SPACE: u64 = 64 << 20;
/// Bytes that a copy is taken to move in a second, for the estimate that people see.
const BYTES_PER_SECOND: u64 = 50 << 20;

/// Chooses.
#[must_use]
pub fn choose(facts: &Facts<'_>) -> Choice {
    let copy = facts.copy;
    if facts.chain.is_empty() {
        return Choice::Not(Obstacle::NoChain);
    }
    if copy.task.is_some() {
        return Choice::Not(Obstacle::Busy);
    }
    match (copy.mark, copy.state) {
        (Some(CopyMark::RewindBegun), _) => return clone(facts, Because::RewindInterrupted),
        (_, CopyState::Absent) => return clone(facts, Because::NoCopy),
        (_, CopyState::Unreadable) => return Choice::Not(Obstacle::Unreadable),
        _ => {}
    }
    if let (Some(found), Some(ours)) = (copy.system_id, facts.system_id)
        && found != ours
    {
        return Choice::Not(Obstacle::OtherDatabase { found });
    }
    match whereabouts(facts) {
        Whereabouts::OnTheChain if facts.stuck => clone(facts, Because::NotStreaming),
        Whereabouts::OnTheChain => Choice::Go(Way::Follow, Because::OnTheChain),
        Whereabouts::Lost(because) => clone(facts, because),
        Whereabouts::Unknown { fork } => Choice::Go(Way::Inspect { fork }, Because::NotInspected),
        Whereabouts::Beyond { fork } => diverged(facts, fork),
    }
}

/// Where a copy's history stands beside the chain.
enum Whereabouts {
    /// A part of it.
    OnTheChain,
    /// It may go on beyond the fork.
    Unknown { fork: WalPosition },
    /// It goes on beyond the fork.
    Beyond { fork: WalPosition },
    /// It can't be compared.
    Lost(Because),
}

fn whereabouts(facts: &Facts<'_>) -> Whereabouts {
    let copy = facts.copy;
    let timeline = facts.position.map_or(copy.timeline, |p| p.timeline);
    let Some(place) = first_of(facts.chain, timeline) else { return outside(facts) };
    let start = facts.chain[place].start;
    // The beginning is known of timelines that a promotion of the chain made, and of copies that
    // have a history file: both differ, then it is another timeline of that number.
    let own_start = copy.start().filter(|_| timeline == copy.timeline);
    if start != Lsn(0) && own_start.is_some_and(|own| own != start) {
        return Whereabouts::Lost(Because::SameNumberOtherStart);
    }
    let Some(next) = left_at(facts.chain, timeline) else {
        // The timeline on which the chain goes on now.
        return match copy.state {
            CopyState::Primary => Whereabouts::Lost(Because::OthersTimeline),
            _ => Whereabouts::OnTheChain,
        };
    };
    let fork = WalPosition { timeline, lsn: next };
    // A part of a record may have arrived: what counts is whether a whole one is there.
    match (&copy.diverged, facts.position) {
        (Some(seen), _) if seen.fork == fork && seen.readable && seen.records == 0 => Whereabouts::OnTheChain,
        (_, Some(position)) if position.lsn <= next => Whereabouts::OnTheChain,
        (_, Some(_)) => Whereabouts::Beyond { fork },
        (Some(seen), None) if seen.fork == fork => Whereabouts::Beyond { fork },
        _ => Whereabouts::Unknown { fork },
    }
}

/// A copy on a timeline that the chain never had: it is compared where its own history left one
/// that the chain has.
fn outside(facts: &Facts<'_>) -> Whereabouts {
    for parent in facts.copy.parents.iter().rev() {
        if first_of(facts.chain, parent.timeline).is_some() {
            let left = left_at(facts.chain, parent.timeline).unwrap_or(parent.lsn);
            let lsn = left.min(parent.lsn);
            return Whereabouts::Beyond { fork: WalPosition { timeline: parent.timeline, lsn } };
        }
    }
    Whereabouts::Lost(Because::NoCommonHistory)
}

/// The first link with this timeline: a site that is elected again, or restarts in place, goes on
/// upon its own.
fn first_of(chain: &[ChainLink], timeline: Timeline) -> Option<usize> {
    chain.iter().position(|link| link.timeline == timeline)
}

/// Where the chain leaves a timeline; none if it hasn't.
fn left_at(chain: &[ChainLink], timeline: Timeline) -> Option<Lsn> {
    let first = first_of(chain, timeline)?;
    chain[first..].iter().find(|link| link.timeline != timeline).map(|link| link.start)
}

fn diverged(facts: &Facts<'_>, fork: WalPosition) -> Choice {
    let copy = facts.copy;
    let Some(seen) = copy.diverged.as_ref().filter(|seen| seen.fork == fork) else {
        return Choice::Go(Way::Inspect { fork }, Because::NotInspected);
    };
    if copy.mark == Some(CopyMark::RewindDone) {
        return clone(facts, Because::RewoundBefore);
    }
    if !facts.may_rewind {
        return clone(facts, Because::RewindOff);
    }
    if !copy.can_rewind {
        return clone(facts, Because::NoChecksums);
    }
    if !seen.readable {
        return clone(facts, Because::OwnWalGone);
    }
    let need = seen.bytes.saturating_mul(2).saturating_add(REWIND_SPACE);
    if copy.free > 0 && copy.free < need {
        return Choice::Not(Obstacle::NoSpace { need, free: copy.free });
    }
    Choice::Go(Way::Rewind { fork }, Because::Diverged)
}

fn clone(facts: &Facts<'_>, because: Because) -> Choice {
    let copy = facts.copy;
    let need = copy.size / 100 * CLONE_SPACE_PERCENT;
    if copy.free > 0 && copy.free < need {
        return Choice::Not(Obstacle::NoSpace { need, free: copy.free });
    }
    Choice::Go(Way::Clone, because)
}

/// About how long a way takes, in seconds, by the sizes that are known.
#[must_use]
pub fn seconds_about(way: Way, copy: &CopyReport) -> u64 {
    let bytes = match way {
        Way::Follow => 0,
        Way::Inspect { .. } => 16 << 20,
        // It reads the diverged WAL and copies the blocks that it names.
        Way::Rewind { .. } => copy.diverged.as_ref().map_or(0, |seen| seen.bytes).saturating_mul(4),
        Way::Clone => copy.size,
    };
    1 + bytes / BYTES_PER_SECOND
}

/// The choice as a sentence's end, for logs and problems.
#[must_use]
pub const fn because_text(because: Because) -> &'static str {
    match because {
        Because::OnTheChain => "its history is a part of the chain",
        Because::NotInspected => "it may hold WAL beyond the fork",
        Because::Diverged => "it holds WAL that the chain does not have",
        Because::NoCopy => "there is no copy",
        Because::RewindInterrupted => "a rewind of it was interrupted: that directory is lost",
        Because::RewoundBefore => "it was rewound before and never streamed: a second rewind is no cure",
        Because::NotStreaming => "it had its time to stream, and does not",
        Because::NoChecksums => "it has neither data checksums nor wal_log_hints",
        Because::OwnWalGone => "its WAL from the fork on is not there any more",
        Because::RewindOff => "rewinds are switched off",
        Because::SameNumberOtherStart => "its timeline has a number of the chain and another beginning",
        Because::NoCommonHistory => "it has no timeline in common with the chain",
        Because::OthersTimeline => "it was a primary on another site's timeline",
    }
}

/// What stands in the way, and what a person can do.
#[must_use]
pub const fn obstacle_text(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NoChain => "the witnesses do not tell the chain of promotions; upgrade them",
        Obstacle::Unreadable => {
            "the data directory holds no cluster that this server can start; move it away for a base backup"
        }
        Obstacle::OtherDatabase { .. } => {
            "the data directory holds another database; move it away for a base backup"
        }
        Obstacle::NoSpace { .. } => {
            "too little space beside the data directory: the old copy stays until the new one streams; make room"
        }
        Obstacle::Busy => "something is being done to the copy already",
    }
}

#[cfg(test)]
#[path = "rejoin/tests.rs"]
mod tests;
