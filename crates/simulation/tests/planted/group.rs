//! A group by hand: the replicated state and nothing else, for directed scenarios.

use coordination::policy::Policy;
use coordination::timing::Profile;
use coordination::{Command, Entry, Outcome, State, Timing, invariants};
use model::{
    Cause, Epoch, GrantTerms, Incarnation, LogIndex, Lsn, Mode, Moment, RenewRequest, RenewalNumber, SiteId,
    StackId, StepKind, StepOutcome, StepReport, SystemId, TimedAck, Timeline, WalPosition, WallMillis,
};

use crate::methods::Seen;

/// Where every scenario begins.
pub const START: Moment = Moment { boottime: 1_000_000_000, raw: 900_000_000 };

/// `dc1`, `dc2`, `dc3`.
pub fn site(n: u64) -> SiteId {
    SiteId::new(&format!("dc{n}")).expect("a valid name")
}

/// The stack.
pub fn stack() -> StackId {
    StackId::new("s1").expect("a valid name")
}

/// The state, and the last renewal of each site.
pub struct Group {
    pub state: State,
    pub index: LogIndex,
    numbers: [u64; 3],
    /// The first thing that broke.
    pub broken: Seen,
}

impl Group {
    /// Three sites, each registered; the stack runs at `dc1` under a timed cover, epoch 1.
    pub fn new() -> Self {
        let mut group = Self { state: State::default(), index: LogIndex(0), numbers: [0; 3], broken: None };
        let timing = Timing::new(Profile::Metro.values()).expect("the profile holds");
        group.commit(Command::SetPolicy(Policy::with_timing(timing)));
        let sites: Vec<SiteId> = (1..=3).map(site).collect();
        for id in &sites {
            group.commit(Command::DefineSite { site: id.clone(), actor: true });
        }
        group.commit(Command::DefineStack { stack: stack(), sites: sites.clone() });
        for id in &sites {
            let terms = timing.terms();
            group.commit(Command::Register { site: id.clone(), incarnation: Incarnation(1), terms });
        }
        let (system_id, timeline) = (SystemId(7), Timeline(1));
        group.commit(Command::Adopt { stack: stack(), site: site(1), system_id, timeline });
        group.commit(Command::SetMode { stack: stack(), mode: Mode::Auto });
        let since = group.index;
        group.renew(1, vec![TimedAck { stack: stack(), epoch: Epoch(1), since }]);
        for n in [2, 3] {
            group.renew(n, Vec::new());
            let (stack, site, epoch) = (stack(), site(n), Epoch(1));
            group.commit(Command::SetStreaming { stack, site, epoch, streams: Some(timeline) });
        }
        group
    }

    /// One entry; what the invariants of the state say of it is remembered.
    pub fn commit(&mut self, command: Command) -> Outcome {
        self.index = self.index.next();
        let before = self.state.clone();
        let outcome = self.state.apply(self.index, &Entry { at: WallMillis(0), command });
        let mut violations = invariants::violations(&self.state);
        violations.extend(invariants::violations_between(&before, &self.state));
        if let Some(first) = violations.into_iter().next() {
            self.broken.get_or_insert((first.invariant, first.found));
        }
        outcome
    }

    /// A renewal of `dc{n}`.
    pub fn renew(&mut self, n: u64, timed_acks: Vec<TimedAck>) -> Outcome {
        self.renew_with(n, |request| request.timed_acks = timed_acks)
    }

    /// A renewal of `dc{n}` that says more.
    pub fn renew_with(&mut self, n: u64, say: impl FnOnce(&mut RenewRequest)) -> Outcome {
        let number = usize::try_from(n - 1).expect("one of three");
        self.numbers[number] += 1;
        let mut request = RenewRequest {
            site: site(n),
            incarnation: Incarnation(1),
            number: RenewalNumber(self.numbers[number]),
            cover_known: LogIndex(0),
            stopping: Vec::new(),
            unstopped: Vec::new(),
            timed_acks: Vec::new(),
        };
        say(&mut request);
        self.commit(Command::Renew { request, terms: self.terms() })
    }

    /// D and F of a grant.
    pub fn terms(&self) -> GrantTerms {
        self.state.policy().expect("there is one").timing.terms()
    }

    /// True if the current epoch is fenced.
    pub fn is_closed(&self) -> bool {
        self.state.stacks()[&stack()].is_closed()
    }

    /// The number of the last renewal of `dc{n}`.
    pub fn number(&self, n: u64) -> RenewalNumber {
        self.state.sites()[&site(n)].number
    }

    /// A transition for silence of `dc1`.
    pub fn begin(&mut self, epoch: u64) -> Outcome {
        let cause = Cause::Silence { number: self.number(1) };
        self.commit(Command::BeginTransition { stack: stack(), epoch: Epoch(epoch), cause, to: None })
    }

    /// `dc1` is silent until its lease has expired.
    pub fn expire(&mut self) -> Outcome {
        let (site, incarnation, number) = (site(1), Incarnation(1), self.number(1));
        self.commit(Command::Expire { site, incarnation, number })
    }

    /// `dc{n}` reports a step as done.
    pub fn report(&mut self, n: u64, step: StepKind, epoch: u64, timeline: u64, lsn: u64) -> Outcome {
        let timeline = Timeline(u32::try_from(timeline).expect("a small number"));
        self.commit(Command::Step(StepReport {
            site: site(n),
            stack: stack(),
            epoch: Epoch(epoch),
            step,
            outcome: StepOutcome::Done,
            position: Some(WalPosition { timeline, lsn: Lsn(lsn) }),
            evidence: String::new(),
        }))
    }

    /// The election entry.
    pub fn elect(&mut self, n: u64, epoch: u64) -> Outcome {
        self.commit(Command::Elect { stack: stack(), epoch: Epoch(epoch), site: site(n) })
    }
}
