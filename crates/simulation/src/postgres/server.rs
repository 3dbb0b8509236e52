//! One server: what is on its disk, and its processes.

use super::settings::SyncSet;
use super::wal::Tip;
use crate::history::{Site, Time};
use model::{Lsn, SystemId, Timeline};

/// Never.
pub(super) const NEVER: Time = Time::MAX;

/// State of the cluster in the control file (DBState).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // PostgreSQL's names
pub enum ControlState {
    ShutDown,
    ShutDownInRecovery,
    InCrashRecovery,
    InArchiveRecovery,
    InProduction,
}

/// What a gate reads of the control file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// What the server last wrote there.
    pub state: ControlState,
    /// Where the last checkpoint record begins.
    pub checkpoint: Lsn,
    /// Timeline of that checkpoint.
    pub timeline: Timeline,
}

impl Control {
    /// True after a clean shutdown, of a primary or in recovery.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        matches!(self.state, ControlState::ShutDown | ControlState::ShutDownInRecovery)
    }
}

/// What outlives every process.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub present: bool,
    pub control: Control,
    /// End of the flushed WAL.
    pub tip: Tip,
    pub system: SystemId,
    /// `standby.signal`.
    pub standby: bool,
    pub conninfo: Option<Site>,
    pub sync: SyncSet,
    pub promote_file: bool,
    /// Highest number of a history file that a promotion made, here or above in the chain.
    pub history: Timeline,
    /// Highest number of a laid one.
    pub laid: Timeline,
}

/// What the server is, as its processes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No process is left.
    Down,
    /// Started, and takes no session yet.
    Recovering,
    /// In recovery; takes sessions.
    Standby,
    /// Out of recovery.
    Primary,
}

/// A shutdown under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// SIGINT came; clients are being closed.
    Fast,
    /// Clients are gone, walsenders with more to send than fits into their buffers hold up the
    /// checkpoint; SIGTERM to them has no effect.
    Clogged,
    /// `shut down` is on disk; walsenders ship the rest.
    Shipping,
}

/// A walsender and what it knows of its standby.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub site: Site,
    pub link: u32,
    pub acked: Lsn,
    /// An acknowledgement under way: position and arrival.
    pub coming: (Lsn, Time),
    pub heard: Time,
    pub streaming: bool,
}

impl Sender {
    /// What the standby has flushed, as the primary knows it at `now`.
    pub fn flushed(&self, now: Time) -> Lsn {
        if self.coming.1 <= now { self.acked.max(self.coming.0) } else { self.acked }
    }
}

/// Where a walreceiver stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Not connected yet.
    Connecting,
    /// Receives.
    Streaming,
    /// Ahead of its primary: connected, and gets nothing.
    Waiting,
}

/// A standby's walreceiver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiver {
    pub from: Site,
    pub link: u32,
    pub state: Link,
    /// WAL under way.
    pub coming: Option<Tip>,
    /// Last message of the primary.
    pub heard: Time,
    /// End of the primary's log as it last said.
    pub told: Lsn,
    /// Pause before what could not be sent is tried again.
    pub retry: Time,
}

/// What a backend is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Waits for its client.
    Idle,
    /// Its statement commits at `due`.
    Runs,
    /// Committed here up to a position, waits for standbys (SyncRep).
    Waits(Tip),
}

/// A session's process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backend {
    pub client: u8,
    pub session: u32,
    pub work: Work,
    pub due: Time,
    pub row: u64,
    /// Statements of the burst that are left, with this one.
    pub left: u8,
    /// How long each takes.
    pub takes: Time,
    pub sent: Time,
}

/// One server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub disk: Disk,
    pub phase: Phase,
    /// False while orphans are left.
    pub postmaster: bool,
    pub stop: Stop,
    /// PrimaryBegan is told and PrimaryEnded is not.
    pub began: bool,
    /// Told at the next advance.
    pub to_tell: Option<Tell>,
    /// Setting as sessions see it.
    pub shown: Option<Site>,
    /// Setting as the startup process has it.
    pub in_force: Option<Site>,
    /// A reload that the startup process has not come to.
    pub reload_waits: bool,
    pub receiver: Option<Receiver>,
    /// WAL arrived since the start: the received position is known.
    pub received: bool,
    pub replayed: Tip,
    /// All WAL that was there at the start is replayed.
    pub caught_up: bool,
    /// Replay is paused or held by a query until then.
    pub held_until: Time,
    pub held_by_query: bool,
    pub promotion_sleeps: bool,
    pub senders: Vec<Sender>,
    pub backends: Vec<Backend>,
    pub sync_shown: SyncSet,
    pub sync_in_force: SyncSet,
    pub ill: u8,
    /// Where it left recovery since its start.
    pub left_recovery: Option<Lsn>,
    /// Whose base backup is being made here.
    pub clone_of: Option<Site>,
    pub frozen_until: Time,
    pub timers: Timers,
}

/// What is told with the next advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Frozen,
    DataLost,
}

/// When what happens next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    /// The control file says "in recovery".
    pub control: Time,
    /// Recovery at a start is over.
    pub ready: Time,
    /// WAL found at the start is replayed, or replay is released.
    pub replay: Time,
    /// The startup process comes to a reload.
    pub reload: Time,
    pub receiver: Time,
    pub promote: Time,
    pub stop: Time,
    pub commit: Time,
    pub acks: Time,
    pub sync: Time,
    /// Every process is gone.
    pub gone: Time,
    /// After SIGKILL nobody commits from here on.
    pub mute: Time,
    pub clone: Time,
}

impl Timers {
    pub const NONE: Self = Self {
        control: NEVER,
        ready: NEVER,
        replay: NEVER,
        reload: NEVER,
        receiver: NEVER,
        promote: NEVER,
        stop: NEVER,
        commit: NEVER,
        acks: NEVER,
        sync: NEVER,
        gone: NEVER,
        mute: NEVER,
        clone: NEVER,
    };

    fn first(&self) -> Time {
        let a = self.control.min(self.ready).min(self.replay).min(self.reload);
        let b = self.receiver.min(self.promote).min(self.stop).min(self.commit);
        let c = self.acks.min(self.sync).min(self.gone).min(self.clone);
        a.min(b).min(c)
    }
}

impl Server {
    pub fn new(tip: Tip, end: Lsn, system: SystemId, standby: Option<Site>, sync: SyncSet) -> Self {
        let state =
            if standby.is_some() { ControlState::InArchiveRecovery } else { ControlState::InProduction };
        let disk = Disk {
            present: true,
            control: Control { state, checkpoint: end, timeline: Timeline(1) },
            tip,
            system,
            standby: standby.is_some(),
            conninfo: standby,
            sync,
            promote_file: false,
            history: Timeline(1),
            laid: Timeline(0),
        };
        Self {
            phase: if standby.is_some() { Phase::Standby } else { Phase::Primary },
            postmaster: true,
            stop: Stop::No,
            began: false,
            to_tell: None,
            shown: standby,
            in_force: standby,
            reload_waits: false,
            receiver: None,
            received: false,
            replayed: tip,
            caught_up: true,
            held_until: 0,
            held_by_query: false,
            promotion_sleeps: false,
            senders: Vec::with_capacity(2),
            backends: Vec::with_capacity(4),
            sync_shown: disk.sync,
            sync_in_force: disk.sync,
            ill: 0,
            left_recovery: None,
            clone_of: None,
            frozen_until: 0,
            timers: Timers::NONE,
            disk,
        }
    }

    /// When something happens here by itself.
    pub fn due(&self) -> Time {
        let first = self.timers.first();
        if self.to_tell.is_some() {
            0
        } else if self.frozen_until > 0 {
            self.frozen_until.min(self.timers.gone)
        } else {
            first
        }
    }

    pub const fn is_frozen(&self) -> bool {
        self.frozen_until > 0
    }

    /// True if it answers a session.
    pub fn answers(&self) -> bool {
        self.postmaster
            && matches!(self.phase, Phase::Standby | Phase::Primary)
            && self.stop == Stop::No
            && !self.is_frozen()
            && self.timers.gone == NEVER
    }

    /// True if a new session could write.
    pub fn takes_writes(&self) -> bool {
        self.phase == Phase::Primary && self.answers()
    }

    /// True if it ships WAL.
    pub fn ships(&self) -> bool {
        self.postmaster
            && matches!(self.phase, Phase::Standby | Phase::Primary)
            && self.timers.gone == NEVER
            && matches!(self.stop, Stop::No | Stop::Fast | Stop::Clogged | Stop::Shipping)
    }

    pub const fn is_held(&self, now: Time) -> bool {
        self.held_until > now
    }
}
