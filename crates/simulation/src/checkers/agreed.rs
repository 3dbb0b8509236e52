//! What was committed, as far as checkers ask for it: read off the entries and their outcomes,
//! not off anybody's state.

use crate::history::{Committed, History, Record, Setup, Site, Time, What};
use coordination::{Command, Outcome};
use model::{Cause, Epoch, Mode, SiteId, StackId, StepKind, StepOutcome, WalPosition};

/// A site elected for an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Election {
    pub epoch: Epoch,
    pub site: Site,
    pub at: Time,
}

/// The end of a standby's log, as it reported it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detachment {
    pub site: Site,
    pub epoch: Epoch,
    pub position: WalPosition,
    pub at: Time,
}

/// One stack.
#[derive(Clone, Debug, Default)]
pub(super) struct AgreedStack {
    /// All, the adoption first.
    pub elections: Vec<Election>,
    pub mode: Option<Mode>,
    /// A transition runs.
    pub moving: bool,
    /// Sites that stream from the active one, one bit each.
    pub streaming: u32,
    /// Those at the beginning of the last transition.
    pub streamed: u32,
    pub detachments: Vec<Detachment>,
    /// Sites that failed a promotion in the last transition, one bit each.
    pub failed: u32,
    /// Sites that lost their data directory and neither streamed nor opened since, one bit each.
    pub lost: u32,
    /// When the current epoch was fenced, if it is (or may be, by an expiry).
    pub closed: Option<Time>,
    /// The last transition was begun by an operator, and nothing has gone wrong in it since.
    operator: bool,
    /// The site elected last was elected by a failover.
    failover: bool,
    /// Its promotion was reported, and nobody streamed from it yet.
    unshared: bool,
    /// When the last transition began, if it did since the database took no writes.
    pub sick: Option<Time>,
    /// Elections of the transition that runs.
    pub attempts: u32,
}

impl AgreedStack {
    /// Who was elected last.
    pub fn active(&self) -> Option<Election> {
        self.elections.last().copied()
    }

    /// True once the stack is the group's business.
    pub fn is_adopted(&self) -> bool {
        !self.elections.is_empty()
    }

    /// True if some site has, as far as the group knows, what the active one had; that one itself
    /// has it as long as its data is there.
    pub fn has_heir(&self) -> bool {
        let standbys = if self.moving { self.streamed } else { self.streaming };
        let active = self.active().map_or(0, |active| 1 << active.site);
        (standbys | active) & !self.lost != 0
    }

    /// True if only a human may give up what the site elected last acknowledged (design, section
    /// 7): a failover elected it, it was open, and nobody ever streamed from it.
    pub const fn needs_consent(&self) -> bool {
        self.failover && self.unshared
    }

    /// True if the group holds for that consent: the site can't come back by itself.
    pub fn waits_for_consent(&self) -> bool {
        let away = self.active().is_some_and(|a| self.lost >> a.site & 1 == 1);
        self.closed.is_some() && self.needs_consent() && away
    }

    fn elect(&mut self, site: Site, epoch: Epoch, at: Time) {
        // The abort entry: the site goes on, and so do its standbys.
        let aborts = self.closed.is_none() && self.active().is_some_and(|active| active.site == site);
        self.elections.push(Election { epoch, site, at });
        if aborts {
            self.moving = false;
            return;
        }
        self.streaming = 0;
        self.closed = None;
        self.unshared = false;
        self.failover = self.moving && !self.operator;
        self.attempts += 1;
    }
}

/// What was committed up to a record.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub stacks: Vec<AgreedStack>,
}

impl Agreed {
    pub fn new(setup: &Setup) -> Self {
        Self { stacks: vec![AgreedStack::default(); usize::from(setup.stacks)] }
    }

    pub fn take(&mut self, record: &Record, history: &History) {
        match record.what {
            What::DataLost { stack, site } => self.stacks[usize::from(stack)].lost |= 1 << site,
            What::PrimaryBegan { stack, site, .. } => self.stacks[usize::from(stack)].lost &= !(1 << site),
            _ => {}
        }
        if let What::Committed { index } = record.what
            && let Some(committed) = entry(history, index)
            && matches!(committed.outcome, Outcome::Applied)
        {
            self.apply(committed);
        }
    }

    fn apply(&mut self, committed: &Committed) {
        let at = committed.at;
        match &committed.entry.command {
            Command::Adopt { stack, site, .. } => {
                if let (Some(stack), Some(site)) = (self.stack_mut(stack), site_of(site)) {
                    stack.elect(site, Epoch(1), at);
                    stack.mode = Some(Mode::Observe);
                }
            }
            Command::SetMode { stack, mode } => {
                if let Some(stack) = self.stack_mut(stack) {
                    stack.mode = Some(*mode);
                }
            }
            Command::BeginTransition { stack, cause, .. } => {
                if let Some(stack) = self.stack_mut(stack) {
                    stack.moving = true;
                    stack.attempts = 0;
                    stack.sick = (*cause == Cause::Unhealthy).then_some(at);
                    stack.operator = *cause == Cause::Operator;
                    stack.streamed = stack.streaming;
                    stack.detachments.clear();
                    stack.failed = 0;
                }
            }
            Command::Complete { stack, .. } => {
                if let Some(stack) = self.stack_mut(stack) {
                    stack.moving = false;
                }
            }
            Command::Elect { stack, epoch, site } => {
                if let (Some(stack), Some(site)) = (self.stack_mut(stack), site_of(site)) {
                    stack.elect(site, epoch.next(), at);
                }
            }
            Command::PromoteGivenUp { stack, .. } => {
                if let Some(stack) = self.stack_mut(stack)
                    && let Some(active) = stack.active()
                {
                    stack.failed |= 1 << active.site;
                    stack.operator = false;
                    stack.detachments.clear();
                }
            }
            Command::FenceByTime { stack, .. } | Command::Attest { stack, .. } => self.close(stack, at),
            Command::Step(report)
                if report.step == StepKind::FenceDatabase && report.outcome == StepOutcome::Done =>
            {
                self.close(&report.stack, at);
            }
            Command::Step(report)
                if report.step == StepKind::Promote && report.outcome == StepOutcome::Done =>
            {
                if let Some(stack) = self.stack_mut(&report.stack) {
                    stack.unshared = true;
                }
            }
            Command::Expire { site, .. } => {
                let site = site_of(site);
                for stack in self.stacks.iter_mut().filter(|s| s.active().map(|a| a.site) == site) {
                    stack.closed.get_or_insert(at);
                }
            }
            Command::SetStreaming { stack, site, streams, .. } => {
                if let (Some(stack), Some(site)) = (self.stack_mut(stack), site_of(site)) {
                    let bit = 1 << site;
                    let on = streams.is_some();
                    stack.unshared &= !on;
                    stack.streaming = if on { stack.streaming | bit } else { stack.streaming & !bit };
                    stack.lost &= !(if on { bit } else { 0 });
                }
            }
            Command::Step(report)
                if report.step == StepKind::Detach && report.outcome == StepOutcome::Done =>
            {
                let site = site_of(&report.site);
                if let (Some(stack), Some(site), Some(position)) =
                    (self.stack_mut(&report.stack), site, report.position)
                {
                    let epoch = report.epoch;
                    let again = |d: &Detachment| (d.site, d.epoch, d.position) == (site, epoch, position);
                    // A report that comes twice was heard the first time.
                    if !stack.detachments.iter().any(again) {
                        stack.detachments.retain(|d| d.site != site);
                        stack.detachments.push(Detachment { site, epoch, position, at });
                    }
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, stack: &StackId, at: Time) {
        if let Some(stack) = self.stack_mut(stack) {
            stack.closed.get_or_insert(at);
        }
    }

    fn stack_mut(&mut self, name: &StackId) -> Option<&mut AgreedStack> {
        self.stacks.get_mut(usize::from(History::stack_named(name)?))
    }
}

/// A committed entry by its place.
pub(super) fn entry(history: &History, index: model::LogIndex) -> Option<&Committed> {
    history.entries.get(usize::try_from(index.0.checked_sub(1)?).ok()?)
}

fn site_of(name: &SiteId) -> Option<Site> {
    History::site_named(name)
}
