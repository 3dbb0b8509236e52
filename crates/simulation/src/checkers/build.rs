//! Histories for the checkers' tests, made by hand.

use super::{Ack, FinalRows, Violation, WriteId};
use crate::history::{Committed, FinalDatabase, History, SECOND, Setup, Site, Time, What};
use coordination::timing::Timing;
use coordination::{Command, Entry, Outcome, Policy};
use model::{
    Cover, CoverEntry, CoverKind, Epoch, Grant, Incarnation, LogIndex, Lsn, Millis, Mode, RenewRequest,
    RenewalNumber, SiteId, StackId, StepKind, StepOutcome, StepReport, SystemId, Timeline, WalPosition,
    WallMillis,
};

/// An acknowledgement of client `c`, times in milliseconds.
pub fn ack(number: u64, site: &str, sent: u64, acked: u64) -> Ack {
    Ack { write: id(number), site: site.to_owned(), sent: sent * 1_000_000, acked: acked * 1_000_000 }
}

pub fn id(number: u64) -> WriteId {
    WriteId { client: "c".to_owned(), number }
}

pub fn rows(numbers: &[u64]) -> FinalRows {
    numbers.iter().map(|n| id(*n)).collect()
}

/// Three sites, one stack, the default timing, nothing special promised.
pub fn setup() -> Setup {
    let timing = Timing::new(coordination::timing::Profile::Wan.values()).expect("the default profile");
    let policy = Policy { max_lag_bytes: 1_000, ..Policy::with_timing(timing) };
    Setup {
        sites: 3,
        stacks: 1,
        policy,
        clocks_hold: true,
        short_faults: false,
        one_lost: false,
        witnesses_only: false,
        seed: 1,
    }
}

pub fn site(site: Site) -> SiteId {
    SiteId::new(&format!("dc{}", site + 1)).expect("a name")
}

pub fn stack() -> StackId {
    StackId::new("s1").expect("a name")
}

/// A history of stack s1 that is written down line by line; times are in milliseconds.
pub struct Story {
    pub history: History,
    pub now: Time,
}

impl Story {
    pub fn new(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = setup();
        change(&mut setup);
        Self { history: History::new(setup), now: 0 }
    }

    /// Adopted at dc1, in mode auto, open there.
    pub fn adopted(change: impl FnOnce(&mut Setup)) -> Self {
        let mut story = Self::new(change);
        story.began(0, 1, 0);
        story.commit(Command::Adopt {
            stack: stack(),
            site: site(0),
            system_id: SystemId(1),
            timeline: Timeline(1),
        });
        story.commit(Command::SetMode { stack: stack(), mode: Mode::Auto });
        story
    }

    pub fn wait(&mut self, millis: u64) -> &mut Self {
        self.now += millis * 1_000;
        self
    }

    pub fn tell(&mut self, what: What) -> &mut Self {
        self.history.add(self.now, what);
        self
    }

    pub fn commit(&mut self, command: Command) -> &mut Self {
        self.commit_as(command, Outcome::Applied)
    }

    pub fn commit_as(&mut self, command: Command, outcome: Outcome) -> &mut Self {
        let entry = Entry { at: WallMillis(self.now / 1_000), command };
        self.history.entries.push(Committed { at: self.now, entry, outcome });
        let index = LogIndex(self.history.entries.len() as u64);
        self.tell(What::Committed { index })
    }

    pub fn began(&mut self, site: Site, timeline: u32, start: u64) -> &mut Self {
        self.tell(What::PrimaryBegan { stack: 0, site, timeline: Timeline(timeline), start: Lsn(start) })
    }

    pub fn ended(&mut self, site: Site) -> &mut Self {
        self.tell(What::PrimaryEnded { stack: 0, site, clean: false })
    }

    pub fn step(&mut self, site: Site, epoch: u64, step: StepKind) -> &mut Self {
        self.tell(What::StepBegan { stack: 0, site, epoch: Epoch(epoch), step })
    }

    /// The gate takes a timed cover.
    pub fn covered(&mut self, site: Site, epoch: u64) -> &mut Self {
        let kind = CoverKind::Timed { since: LogIndex(1) };
        self.tell(What::CoverTaken { stack: 0, site, epoch: Epoch(epoch), kind })
    }

    pub fn relinquished(&mut self, site: Site, epoch: u64) -> &mut Self {
        self.tell(What::Relinquished { stack: 0, site, epoch: Epoch(epoch) })
    }

    /// A row that was sent 5 ms ago.
    pub fn acked(&mut self, site: Site, row: u64, timeline: u32, lsn: u64, synchronous: bool) -> &mut Self {
        let sent = self.now.saturating_sub(5_000);
        let (timeline, lsn) = (Timeline(timeline), Lsn(lsn));
        self.tell(What::Acked { stack: 0, site, row, timeline, lsn, sent, synchronous })
    }

    /// A site's report that a step is done, and where.
    pub fn report(&mut self, at: Site, epoch: u64, step: StepKind, timeline: u32, lsn: u64) -> &mut Self {
        self.commit(Command::Step(StepReport {
            site: site(at),
            stack: stack(),
            epoch: Epoch(epoch),
            step,
            outcome: StepOutcome::Done,
            position: Some(WalPosition { timeline: Timeline(timeline), lsn: Lsn(lsn) }),
            evidence: String::new(),
        }))
    }

    pub fn begin(&mut self, epoch: u64) -> &mut Self {
        let cause = model::Cause::Expired;
        self.commit(Command::BeginTransition { stack: stack(), epoch: Epoch(epoch), cause, to: None })
    }

    /// The election entry for the epoch after `epoch`.
    pub fn elect(&mut self, epoch: u64, at: Site) -> &mut Self {
        self.commit(Command::Elect { stack: stack(), epoch: Epoch(epoch), site: site(at) })
    }

    pub fn complete(&mut self, epoch: u64) -> &mut Self {
        self.commit(Command::Complete { stack: stack(), epoch: Epoch(epoch) })
    }

    /// A renewal that is sent now and committed 50 ms later; it covers s1 at `epoch`, if any.
    pub fn renew(&mut self, at: Site, number: u64, cover: Option<(u64, bool)>) -> &mut Self {
        let (incarnation, number) = (Incarnation(u64::from(at)), RenewalNumber(number));
        self.tell(What::RenewSent { site: at, incarnation, number });
        self.wait(50);
        let since = LogIndex(1);
        let entries = cover.map(|(epoch, held)| CoverEntry {
            stack: stack(),
            epoch: Epoch(epoch),
            kind: if held { CoverKind::Held { since } } else { CoverKind::Timed { since } },
        });
        let terms = self.history.setup.policy.timing.terms();
        let request = RenewRequest {
            site: site(at),
            incarnation,
            number,
            cover_known: LogIndex(0),
            stopping: Vec::new(),
            unstopped: Vec::new(),
            timed_acks: Vec::new(),
        };
        let grant = Grant {
            index: LogIndex(1),
            incarnation,
            number,
            terms,
            cover_revision: LogIndex(1),
            cover: Some(Cover { revision: LogIndex(1), entries: entries.into_iter().collect() }),
        };
        self.commit_as(Command::Renew { request, terms }, Outcome::Renewed { grant, repeated: false })
    }

    /// Ends the run: what each site's database holds, and who is the primary.
    pub fn end(&mut self, primary: Site, held: &[&[u64]]) -> &mut Self {
        let databases = held.iter().enumerate().map(|(site, rows)| FinalDatabase {
            rows: rows.to_vec(),
            primary: site == usize::from(primary),
            streams: site != usize::from(primary),
            running: true,
        });
        self.history.databases.push(databases.collect());
        self.history.ended = self.now;
        self
    }

    /// What one checker finds.
    pub(super) fn judge(&self, mut checker: impl super::Checker) -> Vec<Violation> {
        super::run(&mut [&mut checker], &self.history)
    }
}

/// A clean failover from dc1 to dc2, every checker's example that must pass: dc1 is silent after
/// 10 s, and closed by its own deadline before the group's wait is over.
pub fn failover() -> Story {
    let mut story = Story::adopted(|_| {});
    story.renew(0, 1, Some((1, true)));
    story.tell(What::TimedAcked {
        site: 0,
        ack: model::TimedAck { stack: stack(), epoch: Epoch(1), since: LogIndex(1) },
    });
    story.renew(0, 2, Some((1, false)));
    story.covered(0, 1).step(0, 1, StepKind::Promote);
    story.wait(1_000).acked(0, 1, 1, 100, false).wait(1_000).acked(0, 2, 1, 200, false);
    story.wait(10_500).relinquished(0, 1).ended(0);
    story.wait(8_000).commit(Command::Expire {
        site: site(0),
        incarnation: Incarnation(0),
        number: RenewalNumber(2),
    });
    story.begin(1).step(1, 1, StepKind::Detach).elect(1, 1);
    story.renew(1, 1, Some((2, false)));
    story.covered(1, 2).step(1, 2, StepKind::Promote).wait(50).began(1, 2, 200);
    story.wait(20).acked(1, 3, 2, 300, false).complete(2);
    story.wait(1_000).acked(1, 4, 2, 400, false);
    let _ = (SECOND, Millis::ZERO);
    story.end(1, &[&[1, 2], &[1, 2, 3, 4], &[1, 2, 3, 4]]);
    story
}
