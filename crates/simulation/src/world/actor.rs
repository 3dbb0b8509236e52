//! An actor: the production renewals, book and `reconcile`, driven as its event loop drives them.

mod act;
mod observe;
mod renew;

use super::World;
use super::process::Life;
use crate::history::{Site, Stack, Time};
use crate::message::{Message, Process};
use coordination::book::Book;
use coordination::planted::Bug;
use coordination::reconcile::{Check, StackEpochs};
use coordination::renewal::Renewals;
use coordination::timing::TimingValues;
use model::{
    CoverEntry, CoverKind, Desired, Incarnation, Instruction, LogIndex, Lsn, Millis, Moment, RenewalNumber,
    StackId, StepReport,
};
use observe::Summary;
use std::rc::Rc;

/// An actor's clocks are read at least this often, in parts of R.
const TURNS_IN_R: u64 = 2;

/// A renewal without an answer, after R a silence.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    number: RenewalNumber,
    witness: usize,
    silent_at: Moment,
}

/// A registration without an answer.
#[derive(Clone, Copy, Debug)]
struct Registering {
    witness: Site,
    given_up: Moment,
}

/// A step's report on its way, sent to one witness after the other.
#[derive(Debug)]
struct StepCall {
    report: StepReport,
    stack: Stack,
    witness: usize,
    next: Time,
}

/// Something that is being found out.
#[derive(Clone, Copy, Debug)]
struct Finding {
    check: Check,
    next: Time,
    polls: u32,
}

/// What an actor knows of one stack beside its book.
#[derive(Debug)]
struct Side {
    book: Book,
    /// The attached gate's stream.
    gate: Option<u32>,
    finding: Option<Finding>,
    observe_at: Time,
    probe_at: Time,
    reported: Option<Summary>,
    /// What the gate acknowledged last, through the queue.
    acked: Option<model::TimedAck>,
    /// Planted: the LSN when the detachment was ordered.
    early: Option<Lsn>,
}

/// One actor.
pub struct Actor {
    /// Its process.
    pub process: Life,
    site: Site,
    renewals: Renewals,
    sides: Vec<Side>,
    view: Option<Rc<Desired>>,
    view_index: LogIndex,
    generation: u64,
    read: Moment,
    renew_due: Moment,
    unanswered: Vec<Unanswered>,
    registering: Vec<Registering>,
    order_number: u64,
    /// Writes to the store: the newest last.
    pub persisting: Vec<(u64, Vec<StackEpochs>)>,
    persist_number: u64,
    persist_after: Option<Moment>,
    report_due: Time,
    steps: Vec<StepCall>,
    /// `reconcile` has to look again.
    dirty: bool,
    act_at: Time,
}

/// Planted (`PermissionFromView`): what the view says runs is covered.
fn cover_from_view(
    answer: &mut coordination::permit::Answer,
    view: Option<&Desired>,
    stack: &StackId,
    timing: &TimingValues,
) {
    let desired = view.and_then(|view| view.of(stack));
    if let Some(Instruction::Run { epoch, .. }) = desired.map(|d| &d.instruction) {
        let kind = answer.cover.as_ref().map_or(CoverKind::Timed { since: LogIndex(0) }, |cover| cover.kind);
        answer.cover = Some(CoverEntry { stack: stack.clone(), epoch: *epoch, kind });
        answer.remaining = timing.lease_duration;
    }
}

impl World {
    /// An actor starts.
    pub(super) fn start_actor(&mut self, site: Site) {
        let i = usize::from(site);
        let number = self.hosts[i].lives + 1;
        self.hosts[i].lives = number;
        let now = self.moment(site);
        let timing = *self.timing();
        let incarnation = Incarnation(self.dice.number());
        let id = self.name(site).clone();
        let terms = self.plan.policy.timing.terms();
        let renewals =
            Renewals::new(id, usize::from(self.sites), timing.renew_every, terms, incarnation, now);
        let epochs = self.hosts[i].epochs.clone();
        let sides = (0..usize::from(self.stacks))
            .map(|stack| Side {
                book: Book::new(self.stack_ids[stack].clone(), epochs.as_ref().map(|e| e[stack])),
                gate: None,
                finding: None,
                observe_at: self.now,
                probe_at: self.now,
                reported: None,
                acked: None,
                early: None,
            })
            .collect();
        let actor = Actor {
            process: Life::new(number),
            site,
            renewals,
            sides,
            view: None,
            view_index: LogIndex::default(),
            generation: 1,
            read: now,
            renew_due: now,
            unanswered: Vec::new(),
            registering: Vec::new(),
            order_number: self.dice.number() >> 1,
            persisting: Vec::new(),
            persist_number: 0,
            persist_after: None,
            report_due: self.now,
            steps: Vec::new(),
            dirty: true,
            act_at: Time::MAX,
        };
        self.actors[i] = Some(Box::new(actor));
        self.show_views_again(site);
        self.wake_now(Process::Actor(site));
    }

    /// Every witness shows this site its view anew: its streams were opened anew.
    fn show_views_again(&mut self, site: Site) {
        for witness in 0..self.witnesses.len() {
            self.witnesses[witness].show_again(site);
        }
        for witness in 0..self.sites {
            let soon = self.now + self.dice.delay(20_000);
            self.wake_at(Process::Witness(witness), soon);
        }
    }

    /// One message, or none, and what follows.
    pub(super) fn actor_turn(&mut self, site: Site, message: Option<Message>) {
        let Some(mut actor) = self.actors[usize::from(site)].take() else { return };
        let a = &mut *actor;
        let now = self.moment(site);
        let gap = now.elapsed_longest(a.read);
        a.read = now;
        if gap > self.timing.renew_every {
            self.start_afresh(a, now);
        }
        if let Some(message) = message {
            self.actor_takes(a, message, now);
        }
        self.register_if_due(a, now);
        self.renew_if_due(a, now);
        self.find_out(a, now);
        self.observe_if_due(a, now);
        self.probe_if_due(a, now);
        self.report_if_due(a, now);
        self.send_steps(a);
        if a.dirty || self.now >= a.act_at {
            self.act(a, now);
        }
        self.sleep_actor(a, now);
        self.actors[usize::from(site)] = Some(actor);
    }

    fn actor_takes(&mut self, a: &mut Actor, message: Message, now: Moment) {
        match message {
            Message::Registered(incarnation, witness, result) => {
                self.registered(a, incarnation, witness, result.ok().as_deref(), now);
            }
            Message::Renewed(incarnation, number, witness, result) => {
                self.renewed(a, incarnation, number, witness, result, now);
            }
            Message::View(view, life) if life == a.process.number => self.take_view(a, view),
            Message::StepAnswered(stack, step, epoch, generation, refused) if generation == a.generation => {
                a.steps.retain(|call| {
                    !(call.stack == stack && call.report.step == step && call.report.epoch == epoch)
                });
                a.sides[usize::from(stack)].book.report_answered(step, epoch, refused, now);
                a.dirty = true;
            }
            Message::Attend(stack, session) => {
                let side = &mut a.sides[usize::from(stack)];
                side.gate = Some(session);
                side.book.gate_changed(now);
                a.dirty = true;
            }
            Message::Ask(stack, session, number, report, ack)
                if a.sides[usize::from(stack)].gate == Some(session) =>
            {
                self.asked(a, stack, number, *report, ack, now);
            }
            Message::Done(stack, session, number, outcome) => {
                let side = &mut a.sides[usize::from(stack)];
                if side.gate == Some(session)
                    && side.book.order_ended(number, outcome, "as the gate says", now)
                {
                    if side.finding.is_some() && side.book.check().is_none() {
                        side.finding = None;
                    }
                    a.dirty = true;
                }
            }
            Message::Persisted(number, ok) => self.persisted(a, number, ok, now),
            _ => {}
        }
    }

    fn take_view(&mut self, a: &mut Actor, view: Rc<Desired>) {
        if view.index < a.view_index {
            return;
        }
        a.view_index = view.index;
        for desired in &view.stacks {
            if let Some(stack) = self.stack_of(&desired.stack) {
                let side = &mut a.sides[usize::from(stack)];
                side.book.follow(desired);
                if side.book.check().is_none() {
                    side.finding = None;
                }
            }
        }
        a.view = Some(view);
        a.dirty = true;
    }

    /// The process stood still for longer than R: what it observed, was told and had begun counts
    /// for nothing any more.
    fn start_afresh(&mut self, a: &mut Actor, now: Moment) {
        a.generation += 1;
        a.view = None;
        a.steps.clear();
        for side in &mut a.sides {
            side.book.forget();
            side.finding = None;
            side.reported = None;
            side.observe_at = self.now;
            side.probe_at = self.now;
        }
        a.dirty = true;
        self.show_views_again(a.site);
        self.nudge_gates(a);
        self.hurry(a, now);
    }

    fn asked(
        &mut self,
        a: &mut Actor,
        stack: Stack,
        number: u64,
        report: model::GateReport,
        ack: Option<model::TimedAck>,
        now: Moment,
    ) {
        let side = &mut a.sides[usize::from(stack)];
        let mut answer = side.book.answer(a.renewals.lease(), now);
        if self.bug == Some(Bug::PermissionFromView) {
            cover_from_view(
                &mut answer,
                a.view.as_deref(),
                &self.stack_ids[usize::from(stack)],
                &self.timing,
            );
        }
        side.book.answered(&answer);
        let session = side.gate.unwrap_or_default();
        let news = side.book.gate_says(Some(report));
        if news {
            a.report_due = self.now;
            a.dirty = true;
        }
        let told = a.sides[usize::from(stack)].book.check().is_some();
        a.dirty |= told;
        let message = Message::ToGate(stack, session, number, Box::new(answer));
        self.send(a.site, Process::Gate(stack, a.site), message);
        if ack.is_some_and(|ack| ack.stack == *self.stack_name(stack) && a.renewals.acknowledge(ack)) {
            self.hurry(a, now);
        }
    }

    /// An ask that meets an idle actor.
    pub(in crate::world) fn answer_at_once(
        &mut self,
        stack: Stack,
        site: Site,
        session: u32,
        report: &model::GateReport,
        ack: &Option<model::TimedAck>,
    ) -> Option<coordination::permit::Answer> {
        let now = self.moment(site);
        let (i, s) = (usize::from(site), usize::from(stack));
        let actor = self.actors[i].as_mut()?;
        let idle = actor.process.runs() && now.elapsed_longest(actor.read) <= self.timing.renew_every;
        let side = &mut actor.sides[s];
        if !idle || side.gate != Some(session) || self.bug == Some(Bug::PermissionFromView) {
            return None;
        }
        // Anything that needs a turn of the actor goes through its queue.
        let listed = actor.renewals.lease().listed(&self.stack_ids[s]);
        let news = side.book.gate() != Some(report) || side.book.check().is_some();
        let timed = listed.as_ref().is_some_and(|entry| matches!(entry.kind, CoverKind::Timed { .. }));
        let known_ack = ack.is_none() || (timed && side.acked == *ack);
        if news || !known_ack {
            side.acked.clone_from(ack);
            return None;
        }
        actor.read = now;
        let answer = side.book.answer(actor.renewals.lease(), now);
        side.book.answered(&answer);
        side.book.gate_says(Some(report.clone()));
        Some(answer)
    }

    fn nudge_gates(&mut self, a: &Actor) {
        for stack in 0..self.stacks {
            if let Some(session) = a.sides[usize::from(stack)].gate {
                self.send(a.site, Process::Gate(stack, a.site), Message::Nudge(stack, session));
            }
        }
    }

    /// A gate's process is gone: its stream ended.
    pub(super) fn actor_lost_gate(&mut self, stack: Stack, site: Site) {
        let now = self.moment(site);
        if let Some(actor) = &mut self.actors[usize::from(site)] {
            let side = &mut actor.sides[usize::from(stack)];
            if side.gate.take().is_some() {
                side.book.gate_changed(now);
                actor.dirty = true;
                self.wake_now(Process::Actor(site));
            }
        }
    }

    /// When an actor turns next by itself.
    fn sleep_actor(&mut self, a: &Actor, now: Moment) {
        let renew = self.timing.renew_every.0 * 1_000;
        let clock = self.clock(a.site);
        let registered = a.renewals.lease().incarnation().is_some();
        let mut at = self.now + renew / TURNS_IN_R;
        if registered {
            at = at.min(clock.when_boottime(a.renew_due.boottime, self.now).max(self.now + 500));
            at = at.min(a.report_due.max(self.now + 1_000));
        } else {
            at = at.min(self.now + renew / 8);
        }
        if let Some(first) = a.unanswered.first() {
            at = at.min(clock.when_boottime(first.silent_at.boottime, self.now).max(self.now + 500));
        }
        for side in &a.sides {
            at = at.min(side.observe_at).min(side.finding.map_or(Time::MAX, |f| f.next));
            if side.gate.is_some() {
                at = at.min(side.probe_at.max(self.now + 1_000));
            }
        }
        for call in &a.steps {
            at = at.min(call.next);
        }
        if a.dirty {
            at = at.min(self.now);
        }
        let _ = now;
        at = at.min(a.act_at.max(self.now + 1_000));
        self.wake_at(Process::Actor(a.site), at.max(self.now));
    }

    /// R, in which a silence shows.
    const fn patience(&self) -> Millis {
        self.timing.renew_every
    }
}
