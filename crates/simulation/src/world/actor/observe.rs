//! Observing the databases and telling the group what is seen: soft state.

use super::Actor;
use crate::history::{Site, Stack, Time};
use crate::message::{Message, Process};
use crate::world::World;
use model::{DatabaseReport, DatabaseRole, Epoch, Millis, Moment, SiteId, SiteReport, Timeline};
use std::rc::Rc;

/// Between two observations, at most.
const OBSERVE_EVERY_MAX: u64 = 250;
/// Between two write probes, at most.
const PROBE_EVERY_MAX: u64 = 1_000;

/// What is told at once when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    role: DatabaseRole,
    timeline: Option<Timeline>,
    streams_from: Option<Option<SiteId>>,
    streaming: usize,
    trouble: bool,
    gate: Option<(Epoch, Option<Epoch>, bool, bool)>,
}

impl World {
    fn observe_every(&self) -> Time {
        (self.timing.renew_every.0 / 2).min(OBSERVE_EVERY_MAX) * 1_000
    }

    /// Something of a database changed: the next observation will see it.
    pub(in crate::world) fn database_changed(&mut self, stack: Stack, site: Site) {
        let soon = self.now + self.dice.below(self.observe_every());
        if let Some(actor) = &mut self.actors[usize::from(site)] {
            let side = &mut actor.sides[usize::from(stack)];
            side.observe_at = side.observe_at.min(soon);
            let mut wake = side.observe_at;
            if let Some(finding) = &mut side.finding {
                finding.next = finding.next.min(self.now + 5_000);
                wake = wake.min(finding.next);
            }
            self.wake_at(Process::Actor(site), wake);
        }
    }

    pub(super) fn observe_if_due(&mut self, a: &mut Actor, _now: Moment) {
        for stack in 0..self.stacks {
            let s = usize::from(stack);
            if self.now < a.sides[s].observe_at {
                continue;
            }
            a.sides[s].observe_at = Time::MAX;
            let seen = self.databases[s].observe(a.site, self.now);
            let report = seen.unwrap_or_else(|| DatabaseReport {
                problem: Some(String::from("no answer")),
                ..DatabaseReport::unknown()
            });
            let side = &mut a.sides[s];
            side.book.observe(report);
            a.dirty = true;
            let summary = summary(&side.book);
            if side.reported.as_ref() != Some(&summary) {
                a.report_due = self.now;
            }
        }
    }

    /// Every third of `detect.after`, and at once when something changed.
    pub(super) fn report_if_due(&mut self, a: &mut Actor, now: Moment) {
        if self.now < a.report_due || !a.renewals.lease().is_heard() {
            return;
        }
        let pause = self.timing.detect_after.0 / 3 * 1_000;
        a.report_due = self.now + pause;
        let every = self.observe_every();
        let mut reports = Vec::with_capacity(a.sides.len());
        for (stack, side) in a.sides.iter_mut().enumerate() {
            side.reported = Some(summary(&side.book));
            reports.push(SiteReport {
                site: self.site_ids[usize::from(a.site)].clone(),
                stack: self.stack_ids[stack].clone(),
                database: side.book.database_report(now),
                gate: side.book.gate().cloned(),
            });
            // The next report tells what was seen shortly before it.
            let early = self.dice.below(every);
            side.observe_at = side.observe_at.min(self.now + pause.saturating_sub(early).max(1_000));
        }
        let witness = self.witness_at(a.site, a.renewals.witness());
        self.send(a.site, Process::Witness(witness), Message::Reports(Rc::new(reports), false));
    }

    /// A primary under a cover is written to regularly.
    pub(super) fn probe_if_due(&mut self, a: &mut Actor, now: Moment) {
        let every = Millis((self.timing.detect_after.0 / 4).min(PROBE_EVERY_MAX)).0 * 1_000;
        for stack in 0..self.stacks {
            let s = usize::from(stack);
            if self.now < a.sides[s].probe_at && a.sides[s].probe_at != Time::MAX {
                continue;
            }
            // Where nothing runs as a primary, the next turn that comes anyway is soon enough.
            a.sides[s].probe_at = Time::MAX;
            let side = &mut a.sides[s];
            let Some((epoch, _)) = side.book.lease_view(a.renewals.lease(), now).right else { continue };
            let open = side.book.gate().is_some_and(|gate| gate.open == Some(epoch));
            if !open || side.book.database().role != DatabaseRole::Primary {
                continue;
            }
            side.probe_at = self.now + every;
            if self.databases[s].write_probe(a.site, self.now) && side.book.wrote(now) {
                a.report_due = self.now;
            }
            self.mind_database(stack);
        }
    }
}

fn summary(book: &coordination::book::Book) -> Summary {
    let database = book.database();
    let upstream = database.upstream.as_ref().filter(|up| up.streaming);
    Summary {
        role: database.role,
        timeline: database.timeline,
        streams_from: upstream.map(|up| up.site.clone()),
        streaming: database.replicas.iter().filter(|r| r.streaming).count(),
        trouble: database.problem.is_some(),
        gate: book.gate().map(|g| (g.closed, g.open, g.running, g.data_present)),
    }
}
