//! The event loop: takes one event after the other, and after each says what is to be done.
//!
//! Nothing here waits for anything outside. Calls, queries and disk writes are tasks of their
//! own, each with a deadline, and their ends are events.

mod gates;
mod observe;
mod renewal;
mod slots;
mod steps;

use crate::config::Config;
use crate::epochs::EpochMap;
use crate::event::{Event, Generation};
use crate::guard::Guard;
use crate::stack::Stack;
use crate::witnesses::Witnesses;
use coordination::reconcile::LeaseView;
use coordination::renewal::Renewals;
use model::{Desired, GrantTerms, Incarnation, LogIndex, Millis, Moment, SiteId, StackId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// The loop turns at least this often, and reads the clocks each time.
const TICK: Duration = Duration::from_millis(20);
/// A store that refused is asked again after this.
const PERSIST_PAUSE: Millis = Millis(500);

/// The event loop and all that it knows.
pub(crate) struct Engine {
    site: SiteId,
    config: Config,
    witnesses: Witnesses,
    events: mpsc::Sender<Event>,
    store: std::sync::mpsc::SyncSender<EpochMap>,
    guard: Arc<Guard>,
    renewals: Renewals,
    stacks: BTreeMap<StackId, Stack>,

    read: Moment,
    generation: Generation,
    /// The same, for the tasks that observe.
    generation_shared: Arc<AtomicU64>,
    /// Ends the tasks of this generation.
    stop: CancellationToken,
    view: Option<Desired>,
    view_index: LogIndex,

    persisting: Option<EpochMap>,
    persist_after: Option<Moment>,
    report_due: Moment,
    reporting: bool,
    reported: BTreeMap<StackId, observe::Summary>,
    observe_soon: BTreeMap<StackId, Arc<observe::Pace>>,
    order_number: u64,
}

/// What an engine begins with.
pub(crate) struct Parts {
    pub config: Config,
    pub witnesses: Witnesses,
    pub events: mpsc::Sender<Event>,
    pub store: std::sync::mpsc::SyncSender<EpochMap>,
    pub guard: Arc<Guard>,
    pub stacks: BTreeMap<StackId, Stack>,
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = rpc::clock::now();
        let Parts { config, witnesses, events, store, guard, stacks } = parts;
        let observe_soon = stacks.keys().map(|id| (id.clone(), Arc::new(observe::Pace::default()))).collect();
        let timing = &config.timing;
        let renewals = Renewals::new(
            config.site.clone(),
            witnesses.len(),
            timing.renew_every,
            GrantTerms { lease_duration: timing.lease_duration, fence_deadline: timing.fence_deadline },
            Incarnation(rand::random()),
            now,
        );
        Self {
            site: config.site.clone(),
            config,
            witnesses,
            events,
            store,
            guard,
            renewals,
            stacks,
            read: now,
            generation: Generation(1),
            generation_shared: Arc::new(AtomicU64::new(1)),
            stop: CancellationToken::new(),
            view: None,
            view_index: LogIndex::default(),
            persisting: None,
            persist_after: None,
            report_due: now,
            reporting: false,
            reported: BTreeMap::new(),
            observe_soon,
            // Numbers of another run of this actor mean nothing to a gate that outlived it.
            order_number: rand::random::<u64>() >> 1,
        }
    }

    /// Turns until `shutdown` completes.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Event>, shutdown: impl Future<Output = ()>) {
        self.witnesses.watch(self.generation, &self.events, &self.stop);
        self.start_observing();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            let event = tokio::select! {
                biased;
                () = &mut shutdown => break,
                event = queue.recv() => event,
                _ = tick.tick() => None,
            };
            self.turn(event);
        }
        self.stop.cancel();
        for stack in self.stacks.values_mut() {
            stack.running = None;
        }
    }

    /// One event, or none, and what follows.
    fn turn(&mut self, event: Option<Event>) {
        self.guard.turn();
        let now = rpc::clock::now();
        let gap = now.elapsed_longest(self.read);
        self.read = now;
        if gap > self.config.timing.renew_every {
            self.start_afresh(gap, now);
        }
        if let Some(event) = event {
            self.take(event, now);
        }
        self.register_if_due(now);
        self.renew_if_due(now);
        self.expire_orders(now);
        self.probe_if_due(now);
        self.keep_slots_if_due(now);
        self.report_if_due(now);
        self.act(now);
        self.guard_rights(now);
    }

    fn take(&mut self, event: Event, now: Moment) {
        match event {
            Event::Registered { incarnation, witness, result } => {
                self.registered(incarnation, witness, result, now);
            }
            Event::Renewed { incarnation, number, witness, result } => {
                self.renewed(incarnation, number, witness, result, now);
            }
            Event::Silent { witness } => self.move_on(witness, now),
            Event::View { generation, view } => self.take_view(generation, view, now),
            Event::Attended { session, stack, to_gate } => self.attended(session, &stack, to_gate, now),
            Event::Said { session, stack, message } => self.said(session, &stack, message, now),
            Event::Left { session, stack } => self.left(session, &stack, now),
            Event::Observed { generation, stack, report } => self.observed(generation, &stack, report, now),
            Event::Probed { generation, stack, result } => self.probed(generation, &stack, result, now),
            Event::SlotsKept { stack, result } => self.slots_kept(&stack, result),
            Event::Checked { generation, stack, check, found } => {
                self.checked(generation, &stack, check, found, now);
            }
            Event::StepAnswered { generation, stack, step, epoch, refusal } => {
                if generation == self.generation {
                    self.step_answered(&stack, step, epoch, &refusal, now);
                }
            }
            Event::Reported => self.reporting = false,
            Event::Persisted { epochs, result } => self.persisted(&epochs, result, now),
            #[cfg(test)]
            Event::Hang(span) => std::thread::sleep(span),
        }
    }

    /// The process stood still for longer than R: what it observed, was told and had begun counts
    /// for nothing any more. Leases end by themselves: they hang on when renewals were sent.
    fn start_afresh(&mut self, gap: Millis, now: Moment) {
        tracing::warn!(%gap, "the process stood still; what it had observed is dropped");
        self.generation.0 += 1;
        self.generation_shared.store(self.generation.0, std::sync::atomic::Ordering::SeqCst);
        self.stop.cancel();
        self.stop = CancellationToken::new();
        self.view = None;
        self.reporting = false;
        self.reported.clear();
        for stack in self.stacks.values_mut() {
            stack.forget();
        }
        self.witnesses.watch(self.generation, &self.events, &self.stop);
        self.hurry(now);
    }

    fn take_view(&mut self, generation: Generation, view: Desired, now: Moment) {
        if generation != self.generation || view.index < self.view_index {
            return;
        }
        self.view_index = view.index;
        for desired in &view.stacks {
            if let Some(stack) = self.stacks.get_mut(&desired.stack) {
                stack.book.follow(desired);
                stack.system_id = desired.system_id;
                stack.end_stale_check();
            }
        }
        self.view = Some(view);
        self.set_paces(now);
    }

    /// What one stack may run, as the lease has it, less what this site has closed by itself.
    fn lease_view(&self, id: &StackId, now: Moment) -> LeaseView {
        let lease = self.renewals.lease();
        self.stacks.get(id).map(|stack| stack.book.lease_view(lease, now)).unwrap_or_default()
    }

    /// The self-fence knows what the lease table knows.
    fn guard_rights(&self, now: Moment) {
        for id in self.stacks.keys() {
            self.guard.set(id, self.lease_view(id, now));
        }
    }
}
