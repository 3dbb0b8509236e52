//! What the world did, as an outside observer with a perfect clock would have written it down.
//!
//! Checkers read this and nothing else: neither the core's state nor which bug is planted.

use coordination::{Entry, Outcome};
use model::{
    CoverKind, Epoch, Incarnation, LogIndex, Lsn, Millis, RenewalNumber, StepKind, TimedAck, Timeline,
};

/// Microseconds of true time since the run began.
pub type Time = u64;

/// Place of a site in the run: 0 is `dc1`.
pub type Site = u8;

/// Place of a stack in the run: 0 is `s1`.
pub type Stack = u8;

/// One second of true time.
pub const SECOND: Time = 1_000_000;
/// One millisecond of true time.
pub const MILLI: Time = 1_000;

/// What a run was set up as. Known to checkers because it says which promises count.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Sites; each has a witness, an actor, and per stack a gate and a database.
    pub sites: Site,
    /// Stacks.
    pub stacks: Stack,
    /// The policy of the group.
    pub policy: coordination::Policy,
    /// False for a run in which clocks break `clock.max_drift` or stand still: S1 isn't judged.
    pub clocks_hold: bool,
    /// All faults are shorter than `detect.after`: no failover is needed (L2).
    pub short_faults: bool,
    /// One witness, link or leader is lost, nothing else: no lease may be lost (L3).
    pub one_lost: bool,
    /// Only witnesses are touched: no active stack may close (L4).
    pub witnesses_only: bool,
    /// The seed; for messages.
    pub seed: u64,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
}

/// Why a gate closed a stack, in the gate's words.
pub type Reason = &'static str;

/// What can happen. A closed list.
#[derive(Clone, Debug)]
pub enum What {
    /// A database is out of recovery: from here on it may acknowledge a write.
    PrimaryBegan {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
        /// On which timeline.
        timeline: Timeline,
        /// Where that timeline begins (0 for the first).
        start: Lsn,
    },
    /// No process of a database that was a primary is left there.
    PrimaryEnded {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
        /// True after a clean shutdown.
        clean: bool,
    },
    /// A data directory is lost for good.
    DataLost {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
    },
    /// The processes of a database that is a primary are stopped, host and all or by a signal.
    Frozen {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
    },
    /// They run again.
    Thawed {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
    },
    /// A client read an acknowledgement.
    Acked {
        /// Of which stack.
        stack: Stack,
        /// The site whose server acknowledged it.
        site: Site,
        /// Names the row; never used twice in a stack.
        row: u64,
        /// Timeline and position of its commit record.
        timeline: Timeline,
        /// See `timeline`.
        lsn: Lsn,
        /// When the client sent it.
        sent: Time,
        /// True if the server was told to wait for standbys, and nobody lowered that.
        synchronous: bool,
    },
    /// A gate holds a cover.
    CoverTaken {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
        /// For which epoch.
        epoch: Epoch,
        /// Timed or held.
        kind: CoverKind,
    },
    /// A gate began to do something that opens or moves a stack: start or promote a primary
    /// (`Promote`), let go (`Detach`), attach (`Follow`), close (`FenceDatabase`).
    StepBegan {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
        /// Under which epoch.
        epoch: Epoch,
        /// Which kind.
        step: StepKind,
    },
    /// A gate has written down, durably, that an epoch is closed here.
    Relinquished {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
        /// Which epoch.
        epoch: Epoch,
    },
    /// A gate began to close a stack, or a kernel timer did.
    Closing {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
        /// Why.
        reason: Reason,
    },
    /// An actor sends a renewal: from here its validity counts.
    RenewSent {
        /// Whose.
        site: Site,
        /// Which run of the actor.
        incarnation: Incarnation,
        /// Number of this send.
        number: RenewalNumber,
    },
    /// A witness's state was looked at: at restarts, after snapshots, at the end.
    StateSeen {
        /// Whose.
        site: Site,
        /// The last entry that it has applied.
        index: LogIndex,
        /// Its digest.
        digest: u64,
    },
    /// A gate told the group that its cover is timed.
    TimedAcked {
        /// Where.
        site: Site,
        /// What it said.
        ack: TimedAck,
    },
    /// An entry was committed (and applied by the first witness).
    Committed {
        /// Its place in [`History::entries`].
        index: LogIndex,
    },
    /// A gate's process began.
    GateBegan {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
    },
    /// A gate's process ended.
    GateEnded {
        /// Of which stack.
        stack: Stack,
        /// Where.
        site: Site,
    },
    /// A witness began to lead.
    Leads {
        /// Which.
        site: Site,
        /// Its term.
        term: u64,
    },
    /// A fault began or ended, in words (for people; no checker may read the words).
    Fault {
        /// The site that it hits.
        site: Site,
        /// How long it lasts; none: until healed.
        lasts: Option<Millis>,
    },
    /// All faults are over; from here on liveness is demanded.
    Healed,
}

/// One committed entry.
#[derive(Clone, Debug)]
pub struct Committed {
    /// When it was committed.
    pub at: Time,
    /// The entry.
    pub entry: Entry,
    /// What `apply` made of it.
    pub outcome: Outcome,
}

/// One row of a database when the run ended.
#[derive(Clone, Debug, Default)]
pub struct FinalDatabase {
    /// Rows that it holds, sorted.
    pub rows: Vec<u64>,
    /// True if it is a primary that takes writes.
    pub primary: bool,
    /// True if it streams from the primary.
    pub streams: bool,
    /// True if any of its processes is left.
    pub running: bool,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct History {
    /// What it was.
    pub setup: Setup,
    /// What happened, in the order of time.
    pub records: Vec<Record>,
    /// The committed log: place `i` holds entry `i + 1`.
    pub entries: Vec<Committed>,
    /// `databases[stack][site]` at the end.
    pub databases: Vec<Vec<FinalDatabase>>,
    /// When the run ended.
    pub ended: Time,
}

impl History {
    /// Nothing has happened.
    #[must_use]
    pub const fn new(setup: Setup) -> Self {
        Self { setup, records: Vec::new(), entries: Vec::new(), databases: Vec::new(), ended: 0 }
    }

    /// Something happened.
    pub fn add(&mut self, at: Time, what: What) {
        self.records.push(Record { at, what });
    }

    /// The name of a site in committed entries: `dc1` is 0.
    #[must_use]
    pub fn site_named(name: &model::SiteId) -> Option<Site> {
        let number: Site = name.as_str().strip_prefix("dc")?.parse().ok()?;
        number.checked_sub(1)
    }

    /// The name of a stack in committed entries: `s1` is 0.
    #[must_use]
    pub fn stack_named(name: &model::StackId) -> Option<Stack> {
        let number: Stack = name.as_str().strip_prefix('s')?.parse().ok()?;
        number.checked_sub(1)
    }
}
