//! Observing the databases and telling the group what is seen: soft state.

use super::Engine;
use crate::drivers::{DatabaseDriver, Permit};
use crate::event::{Event, Generation};
use model::{
    DatabaseReport, DatabaseRole, Epoch, Instruction, Millis, Moment, SiteReport, StackId, Timeline,
};
use rpc::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Between two observations, at most.
const OBSERVE_EVERY_MAX: Millis = Millis(250);
/// While a standby's first streaming from its new primary is waited for.
const OBSERVE_EVERY_SOON: Millis = Millis(20);
/// Between two write probes, at most.
const PROBE_EVERY_MAX: Millis = Millis(1_000);

/// How often one stack is observed.
#[derive(Debug, Default)]
pub(super) struct Pace {
    every: AtomicU64,
    changed: Notify,
}

impl Pace {
    fn set(&self, every: Millis) {
        if self.every.swap(every.0, Ordering::Relaxed) > every.0 {
            self.changed.notify_one();
        }
    }
}

/// What is told at once when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    role: DatabaseRole,
    timeline: Option<Timeline>,
    streams_from: Option<Option<model::SiteId>>,
    streaming: Vec<String>,
    trouble: bool,
    gate: Option<(Epoch, Option<Epoch>, bool, bool)>,
}

impl Engine {
    fn observe_every(&self) -> Millis {
        Millis((self.config.timing.renew_every.0 / 2).min(OBSERVE_EVERY_MAX.0))
    }

    /// One task a stack, so that a hanging database keeps nothing else waiting.
    pub(super) fn start_observing(&self) {
        for (id, stack) in &self.stacks {
            let Some(pace) = self.observe_soon.get(id) else { continue };
            pace.set(self.observe_every());
            let observer = Observer {
                stack: id.clone(),
                driver: stack.driver.clone(),
                pace: pace.clone(),
                generation: self.generation_shared.clone(),
                events: self.events.clone(),
            };
            tokio::spawn(observer.run());
        }
    }

    pub(super) fn set_paces(&self, _now: Moment) {
        let Some(view) = &self.view else { return };
        for desired in &view.stacks {
            let soon = matches!(desired.instruction, Instruction::Follow { report_due: true, .. });
            if let Some(pace) = self.observe_soon.get(&desired.stack) {
                pace.set(if soon { OBSERVE_EVERY_SOON } else { self.observe_every() });
            }
        }
    }

    pub(super) fn observed(
        &mut self,
        generation: Generation,
        id: &StackId,
        report: DatabaseReport,
        now: Moment,
    ) {
        if generation != self.generation {
            return;
        }
        let Some(stack) = self.stacks.get_mut(id) else { return };
        let (before, after) = (stack.book.database().role, report.role);
        let problem = report.problem.clone();
        let changed = stack.book.observe(report);
        stack.book.note_streaming(now);
        if changed {
            tracing::info!(stack = %id, from = %before, to = %after, problem, "the database's role");
            stack.slots_kept = None;
        }
        if self.reported.get(id) != Some(&self.summary(id)) {
            self.report_due = now;
        }
    }

    fn summary(&self, id: &StackId) -> Summary {
        let stack = self.stacks.get(id);
        let database = stack.map_or_else(DatabaseReport::unknown, |stack| stack.book.database().clone());
        let upstream = database.upstream.filter(|up| up.streaming);
        let gate = stack.and_then(|stack| stack.book.gate());
        Summary {
            role: database.role,
            timeline: database.timeline,
            streams_from: upstream.map(|up| up.site),
            streaming: database.replicas.into_iter().filter(|r| r.streaming).map(|r| r.name).collect(),
            trouble: database.problem.is_some(),
            gate: gate.map(|g| (g.closed, g.open, g.running, g.data_present)),
        }
    }

    /// Every third of `detect.after`, and at once when something changed.
    pub(super) fn report_if_due(&mut self, now: Moment) {
        if now.boottime < self.report_due.boottime || self.reporting || !self.renewals.lease().is_heard() {
            return;
        }
        self.report_due = now.after(Millis((self.config.timing.detect_after.0 / 3).max(1)));
        let ids: Vec<StackId> = self.stacks.keys().cloned().collect();
        self.reported = ids.into_iter().map(|id| (id.clone(), self.summary(&id))).collect();
        let reports = self.stacks.iter().map(|(id, stack)| {
            v1::SiteReport::from(SiteReport {
                site: self.site.clone(),
                stack: id.clone(),
                database: stack.book.database_report(now),
                gate: stack.book.gate().cloned(),
            })
        });
        self.reporting = true;
        let deadline = self.config.timing.renew_every;
        self.witnesses.report(self.renewals.witness(), reports.collect(), deadline, self.events.clone());
    }

    /// A primary under a cover is written to regularly: so its health is known, and WAL flows.
    pub(super) fn probe_if_due(&mut self, now: Moment) {
        let every = Millis((self.config.timing.detect_after.0 / 4).min(PROBE_EVERY_MAX.0));
        let ids: Vec<StackId> = self.stacks.keys().cloned().collect();
        for id in ids {
            let Some((epoch, _)) = self.lease_view(&id, now).right else { continue };
            let permit = self.permit(&id, epoch);
            let (generation, events) = (self.generation, self.events.clone());
            let Some(stack) = self.stacks.get_mut(&id) else { continue };
            let open = stack.book.gate().is_some_and(|gate| gate.open == Some(epoch));
            let recent = stack.probed.is_some_and(|at| now.elapsed_shortest(at) < every);
            if stack.probing || recent || !open || stack.book.database().role != DatabaseRole::Primary {
                continue;
            }
            (stack.probing, stack.probed) = (true, Some(now));
            let driver = stack.driver.clone();
            tokio::spawn(async move {
                let result = driver.write_probe(permit).await.map_err(|e| e.to_string());
                let _loop_ended = events.send(Event::Probed { generation, stack: id, result }).await;
            });
        }
    }

    pub(super) fn permit(&self, id: &StackId, epoch: Epoch) -> Permit {
        let (guard, id) = (self.guard.clone(), id.clone());
        Arc::new(move || guard.permits(&id, epoch))
    }

    pub(super) fn probed(
        &mut self,
        generation: Generation,
        id: &StackId,
        result: Result<(), String>,
        now: Moment,
    ) {
        if generation != self.generation {
            return;
        }
        let Some(stack) = self.stacks.get_mut(id) else { return };
        stack.probing = false;
        match result {
            Ok(()) => {
                if stack.book.wrote(now) {
                    self.report_due = now;
                }
            }
            Err(why) => tracing::warn!(stack = %id, why, "the write probe failed"),
        }
    }
}

/// Observes one database for ever.
struct Observer {
    stack: StackId,
    driver: Arc<dyn DatabaseDriver>,
    pace: Arc<Pace>,
    generation: Arc<AtomicU64>,
    events: mpsc::Sender<Event>,
}

impl Observer {
    async fn run(self) {
        loop {
            // Read before the question: an answer to an earlier life's question is dropped.
            let generation = Generation(self.generation.load(Ordering::SeqCst));
            let report = self.driver.observe().await.unwrap_or_else(|e| DatabaseReport {
                problem: Some(e.to_string()),
                ..DatabaseReport::unknown()
            });
            let observed = Event::Observed { generation, stack: self.stack.clone(), report };
            if self.events.send(observed).await.is_err() {
                return;
            }
            let pause = Duration::from_millis(self.pace.every.load(Ordering::Relaxed).max(1));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.pace.changed.notified() => {}
            }
        }
    }
}
