//! One witness of a world: the production view over the log's entries, applied when it gets to them.

use super::clock::{Clock, Rates};
use super::encode::Encoder;
use coordination::{Command, Entry, LocalView, Outcome, State, decide};
use model::{LogIndex, Millis, SiteId};
use std::sync::Arc;

/// Any witness may have led for so long: what its clocks prove does not wait for it to settle.
const LEADS_FOR: Millis = Millis(5_000);

/// One committed entry that changed something.
#[derive(Debug)]
pub struct Committed {
    /// Its place.
    pub index: LogIndex,
    /// It.
    pub entry: Entry,
    /// What `apply` made of it.
    pub outcome: Outcome,
    /// The state after it.
    pub state: Arc<State>,
}

/// A witness that believes to lead, as two may at a time.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Its host's clocks.
    pub clock: Clock,
    /// What it has applied.
    pub state: Arc<State>,
    /// What it knows for itself.
    pub view: LocalView,
    /// Committed, not applied here yet.
    pub pending: Vec<Arc<Committed>>,
}

impl Witness {
    /// One that starts with this state on its disk.
    #[must_use]
    pub fn new(me: &SiteId, witnesses: &[SiteId], rates: Rates, state: Arc<State>) -> Self {
        let clock = Clock::new(rates);
        let mut view = LocalView::new(me.clone(), witnesses.to_vec(), clock.now);
        view.restored(&state, clock.now);
        let mut witness = Self { clock, state, view, pending: Vec::new() };
        witness.settle();
        witness
    }

    fn settle(&mut self) {
        self.view.leading(false, self.clock.now);
        self.view.leading(true, self.clock.now.before(LEADS_FOR));
    }

    /// Applies everything that is committed.
    pub fn catch_up(&mut self) {
        for one in std::mem::take(&mut self.pending) {
            self.view.applied(one.index, &one.entry, &one.outcome, &one.state, self.clock.now);
            self.state = one.state.clone();
        }
    }

    /// A snapshot takes the place of the entries.
    pub fn install(&mut self) {
        if let Some(last) = self.pending.last() {
            self.state = last.state.clone();
            self.pending.clear();
            self.view.restored(&self.state, self.clock.now);
        }
    }

    /// The process ends and begins anew, with the state that was on disk.
    pub fn restart(&mut self) {
        let (me, witnesses) = (self.view.me().clone(), self.view.witnesses().to_vec());
        self.view = LocalView::new(me, witnesses, self.clock.now);
        self.view.restored(&self.state, self.clock.now);
        self.settle();
    }

    /// Its clock jumps, and it notices.
    pub fn jump(&mut self) {
        self.clock.jump();
        self.view.tick(&self.state, self.clock.now);
        self.settle();
    }

    /// One tick passes.
    pub fn tick(&mut self) {
        self.clock.tick(false);
        self.view.tick(&self.state, self.clock.now);
        self.settle();
    }

    /// What it would propose of what only its clocks can prove.
    #[must_use]
    pub fn proofs(&self) -> Vec<Command> {
        // The lease of a site that runs nothing may end unseen.
        let runs = |site: &SiteId| self.state.stacks().values().any(|stack| stack.is_open_at(site));
        let proves = |command: &Command| match command {
            Command::Expire { site, .. } => runs(site),
            Command::FenceByTime { .. } | Command::ForgetLongGrant { .. } => true,
            _ => false,
        };
        decide(&self.state, &self.view, self.clock.now).into_iter().filter(proves).collect()
    }

    /// Its part of the world's bytes.
    pub fn encode(&self, head: &Arc<State>, out: &mut Encoder, cut: u64) {
        let now = self.clock.now;
        out.put(&self.view, now, cut);
        out.small(u8::try_from(self.pending.len()).unwrap_or(u8::MAX));
        if !Arc::ptr_eq(&self.state, head) {
            out.put(&*self.state, now, cut);
        }
        for one in &self.pending {
            out.put(&one.entry.command, now, cut);
            if !Arc::ptr_eq(&one.state, head) {
                out.put(&*one.state, now, cut);
            }
        }
    }
}
