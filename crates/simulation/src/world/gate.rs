//! A gate: the production `permit::Memory` and its decisions, driven as the gate's main thread
//! drives them, over a modelled database.

mod close;
mod open;
mod orders;

use super::World;
use super::process::Life;
use crate::history::{Site, Stack, Time, What};
use crate::message::{Event, Message, Process};
use crate::postgres::{Control, ControlState};
use coordination::permit::{Data, Decision, Memory, Mode, Running, TIMER_TENTHS, Taken};
use model::{Containment, Deadline, Epoch, GateReport, Millis, Moment};
use orders::Orders;

/// Asks within D.
const ASKS_PER_LEASE: u64 = 12;
/// Not more often than this.
const ASK_EVERY_MIN: u64 = 50;
/// An actor that leaves as many unanswered is dialled anew.
const UNANSWERED_MAX: usize = 6;
/// Of a thousand asks so many wait in queues, theirs or their answers'.
const QUEUED_PERMILLE: u64 = 150;
/// Between two attempts to reach it.
const RECONNECT: Time = 50_000;
/// Between two turns while something is under way.
const TURN_BUSY: Time = 10_000;
/// Between two turns during a fence.
const TURN_FENCE: Time = 25_000;
/// Pauses before a restart in place, in milliseconds, by the number of ends in a row.
const PAUSES: [u64; 7] = [0, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// A server that lived this long ended for a new reason.
const LIVED: Millis = Millis(2_000);

/// What there is of the database.
#[derive(Debug)]
enum Server {
    Down,
    Open(Open),
    Clearing(Open),
    Foreign,
}

/// A database that the gate opened.
#[derive(Debug)]
struct Open {
    mode: Mode,
    since: Moment,
    seen_recovery: bool,
    settled: bool,
    promotion: Option<Promotion>,
    stop: Option<Stop>,
}

impl Open {
    const fn new(mode: Mode, since: Moment) -> Self {
        Self { mode, since, seen_recovery: false, settled: false, promotion: None, stop: None }
    }
}

/// A promotion under way.
#[derive(Debug)]
struct Promotion {
    hup: Moment,
    signalled: Moment,
}

/// How it is being closed.
#[derive(Debug)]
enum Stop {
    Fence { anchor: Moment, reached: Option<coordination::permit::FenceStage> },
    Kill,
}

/// One gate.
pub struct Gate {
    /// Its process.
    pub process: Life,
    stack: Stack,
    site: Site,
    memory: Memory,
    server: Server,
    orders: Orders,
    ends: usize,
    ended: Option<Moment>,
    clean: Option<bool>,
    to_relinquish: Option<Epoch>,
    /// The stream to the actor: its number, and whether it stands.
    session: u32,
    attached: bool,
    redial: Time,
    asked: Vec<(u64, Moment)>,
    ask_number: u64,
    ask_at: Time,
    /// Number of the armed kernel timer, and when it is due by boottime.
    timer: u32,
    timer_due: Option<u64>,
    /// The last cover that was written into the history.
    covered: Option<Epoch>,
    /// The last upstream that was ordered.
    upstream: Option<Site>,
    /// Planted: what a look allowed, and when that is done.
    looked: Option<(Epoch, Time)>,
}

impl World {
    /// A gate starts.
    pub(super) fn start_gate(&mut self, stack: Stack, site: Site) {
        let (s, i) = (usize::from(stack), usize::from(site));
        let number = self.hosts[i].lives + 1;
        self.hosts[i].lives = number;
        let record = self.hosts[i].records[s];
        let id = self.stack_ids[s].clone();
        let terms = self.plan.policy.timing.terms();
        let server = if self.now == 0 {
            let mode =
                if self.databases[s].data(site) == Data::Standby { Mode::Standby } else { Mode::Plain };
            Server::Open(Open { settled: true, ..Open::new(mode, self.moment(site)) })
        } else {
            Server::Down
        };
        let gate = Gate {
            process: Life::new(number),
            stack,
            site,
            memory: Memory::new(id, record, terms),
            server,
            orders: Orders::default(),
            ends: 0,
            ended: None,
            clean: None,
            to_relinquish: None,
            session: number << 8,
            attached: false,
            redial: 0,
            asked: Vec::new(),
            ask_number: 0,
            ask_at: self.now,
            timer: 0,
            timer_due: None,
            covered: None,
            upstream: self.gates[s][i].as_ref().and_then(|gate| gate.upstream),
            looked: None,
        };
        self.gates[s][i] = Some(Box::new(gate));
        self.add(What::GateBegan { stack, site });
        self.wake_now(Process::Gate(stack, site));
    }

    /// One message, or none, and what follows.
    pub(super) fn gate_turn(&mut self, stack: Stack, site: Site, message: Option<Message>) {
        let (s, i) = (usize::from(stack), usize::from(site));
        let Some(mut gate) = self.gates[s][i].take() else { return };
        let g = &mut *gate;
        if let Some(message) = message {
            self.gate_takes(g, message);
        }
        self.reap(g);
        self.watch(g);
        self.decide_gate(g);
        self.work_on_orders(g);
        self.set_timer(g);
        if self.talk_to_actor(g) {
            // What was answered counts at once.
            self.decide_gate(g);
            self.work_on_orders(g);
            self.set_timer(g);
        }
        self.sleep_gate(g);
        self.gates[s][i] = Some(gate);
        self.mind_database(stack);
    }

    fn gate_takes(&mut self, gate: &mut Gate, message: Message) {
        match message {
            Message::ToGate(_, session, number, answer) if session == gate.session => {
                let Some(place) = gate.asked.iter().position(|(n, _)| *n == number) else { return };
                let sent = gate.asked[place].1;
                // Older asks are of no account from now on.
                gate.asked.drain(..=place);
                self.take_answer(gate, &answer, sent);
            }
            Message::Order(_, session, number, kind) if session == gate.session => {
                self.take_order(gate, number, kind);
            }
            Message::Nudge(_, session) if session == gate.session => gate.ask_at = self.now,
            _ => {}
        }
    }

    fn take_answer(&mut self, gate: &mut Gate, answer: &coordination::permit::Answer, sent: Moment) {
        let now = self.moment(gate.site);
        let (taken, record) = gate.memory.take(answer, sent, now);
        if let Some(record) = record
            && self.write_record(gate.stack, gate.site, record)
        {
            gate.memory.written(record);
        }
        if taken != Taken::Yes {
            return;
        }
        let covered = gate.memory.cover().map(|held| (held.entry.epoch, held.entry.kind));
        if gate.covered != covered.map(|(epoch, _)| epoch) {
            gate.covered = covered.map(|(epoch, _)| epoch);
            if let Some((epoch, kind)) = covered {
                self.add(What::CoverTaken { stack: gate.stack, site: gate.site, epoch, kind });
                let (stack, site) = (gate.stack, gate.site);
                self.say(|w| {
                    format!(
                        "the gate of {} at {} holds a cover for epoch {epoch} ({kind:?})",
                        w.stack_name(stack),
                        w.name(site)
                    )
                });
            }
        }
    }

    /// On disk, fsynced; false if the disk refuses.
    fn write_record(&mut self, stack: Stack, site: Site, record: coordination::permit::Record) -> bool {
        let host = &mut self.hosts[usize::from(site)];
        if host.disk_full > 0 {
            return false;
        }
        let known = host.records[usize::from(stack)].replace(record);
        let closed = known.map_or(Epoch::NONE, |r| r.closed);
        if record.closed > closed {
            self.add(What::Relinquished { stack, site, epoch: record.closed });
        }
        true
    }

    fn control(&self, gate: &Gate) -> Option<Control> {
        self.databases[usize::from(gate.stack)].control(gate.site)
    }

    fn data(&self, gate: &Gate) -> Data {
        self.databases[usize::from(gate.stack)].data(gate.site)
    }

    fn is_in(&self, gate: &Gate, state: ControlState) -> bool {
        self.control(gate).is_some_and(|control| control.state == state)
    }

    fn decide_gate(&mut self, gate: &mut Gate) {
        if matches!(gate.server, Server::Clearing(_)) {
            return;
        }
        let (running, by_others) = match &gate.server {
            Server::Down | Server::Clearing(_) => (Running::No, false),
            Server::Foreign => (Running::Foreign, false),
            Server::Open(open) => {
                let out = open.mode == Mode::Standby
                    && open.seen_recovery
                    && self.is_in(gate, ControlState::InProduction);
                (Running::Open(open.mode), out)
            }
        };
        if self.start_as_looked(gate) {
            return;
        }
        let now = self.moment(gate.site);
        let decision = gate.memory.input(self.data(gate), running, by_others, now).decide();
        match decision {
            Decision::Keep | Decision::Wait(_) | Decision::Refuse => {}
            Decision::StartStandby => self.open(gate, Mode::Standby),
            Decision::StartPlain => self.open(gate, Mode::Plain),
            Decision::StartPrimary(epoch) => self.open(gate, Mode::Primary(epoch)),
            Decision::TakeOver(epoch) => self.take_over(gate, epoch),
            Decision::Fence(reason) => self.fence(gate, reason),
            Decision::Kill(reason) => self.kill(gate, reason),
        }
    }

    /// What the actor is told.
    fn gate_report(&self, gate: &Gate) -> GateReport {
        let record = gate.memory.record().unwrap_or_default();
        let open = match &gate.server {
            Server::Open(open) | Server::Clearing(open) if open.promotion.is_none() => match open.mode {
                Mode::Standby => None,
                Mode::Plain => Some(Epoch::NONE),
                Mode::Primary(epoch) => Some(epoch),
            },
            _ => None,
        };
        let data = self.data(gate);
        GateReport {
            highest: record.highest,
            closed: record.closed,
            open,
            running: !matches!(gate.server, Server::Down),
            standby: data == Data::Standby,
            data_present: data != Data::Absent,
            clean_shutdown: gate.clean,
            containment: Containment::Cgroup,
            kernel_lease: false,
            problem: None,
            copy: None,
        }
    }

    fn ask_every(gate: &Gate) -> Time {
        (gate.memory.terms().lease_duration.0 / ASKS_PER_LEASE).max(ASK_EVERY_MIN) * 1_000
    }

    /// Dials, and asks when it is time. True if an answer was taken.
    fn talk_to_actor(&mut self, gate: &mut Gate) -> bool {
        let actor = Process::Actor(gate.site);
        if !gate.attached {
            if self.now < gate.redial {
                return false;
            }
            gate.redial = self.now + RECONNECT;
            if !self.is_alive(actor) {
                return false;
            }
            gate.session += 1;
            gate.attached = true;
            gate.asked.clear();
            gate.orders.forget();
            gate.ask_at = self.now;
            self.send(gate.site, actor, Message::Attend(gate.stack, gate.session));
        }
        if self.now < gate.ask_at {
            return false;
        }
        if gate.asked.len() > UNANSWERED_MAX {
            gate.attached = false;
            gate.redial = self.now + RECONNECT;
            return false;
        }
        gate.ask_at = self.now + Self::ask_every(gate);
        gate.ask_number += 1;
        // Deadlines count from here: read before it is on its way.
        gate.asked.push((gate.ask_number, self.moment(gate.site)));
        let report = Box::new(self.gate_report(gate));
        let ack = gate.memory.timed_ack();
        if let Some(ack) = &ack {
            self.note_timed_ack(gate.site, ack);
        }
        // Mostly the answer is there in an instant, now and then it takes its time.
        if !self.dice.permille(QUEUED_PERMILLE)
            && let Some(answer) = self.answer_at_once(gate.stack, gate.site, gate.session, &report, &ack)
        {
            let sent = gate.asked.pop().map(|(_, sent)| sent);
            gate.asked.clear();
            self.take_answer(gate, &answer, sent.unwrap_or_default());
            return true;
        }
        let ask = Message::Ask(gate.stack, gate.session, gate.ask_number, report, ack);
        self.send(gate.site, actor, ask);
        false
    }

    fn note_timed_ack(&mut self, site: Site, ack: &model::TimedAck) {
        let known = &mut self.hosts[usize::from(site)].acked;
        if known.as_ref() != Some(ack) {
            *known = Some(ack.clone());
            self.history.add(self.now, What::TimedAcked { site, ack: ack.clone() });
        }
    }

    /// The stream broke: the actor is gone.
    pub(super) fn gate_lost_actor(&mut self, stack: Stack, site: Site) {
        if let Some(gate) = &mut self.gates[usize::from(stack)][usize::from(site)] {
            gate.attached = false;
            gate.redial = self.now;
            if gate.process.alive {
                self.wake_now(Process::Gate(stack, site));
            }
        }
    }

    fn deadline(gate: &Gate) -> Option<Deadline> {
        gate.memory.cover().and_then(|held| held.deadline)
    }

    /// The kernel timer follows the state of things.
    fn set_timer(&mut self, gate: &mut Gate) {
        let fence = gate.memory.terms().fence_deadline;
        let due = match &gate.server {
            Server::Open(Open { stop: Some(Stop::Fence { anchor, .. }), .. }) => {
                Some(anchor.after(Millis(fence.0 * TIMER_TENTHS / 10)))
            }
            Server::Open(Open { mode: Mode::Primary(_), .. }) => {
                Self::deadline(gate).map(|end| end.moment().after(Millis(fence.0 / 2)))
            }
            _ => None,
        };
        self.arm_timer(gate, due);
    }

    fn arm_timer(&mut self, gate: &mut Gate, due: Option<Moment>) {
        let due = due.map(|due| due.boottime);
        if due == gate.timer_due {
            return;
        }
        gate.timer_due = due;
        gate.timer += 1;
        if let Some(due) = due {
            let at = self.clock(gate.site).when_boottime(due, self.now);
            self.queue.push(at, Event::KernelTimer(gate.stack, gate.site, gate.timer));
        }
    }

    /// Other clock rates: the kernel counts anew.
    pub(super) fn rearm_timer(&mut self, stack: Stack, site: Site) {
        let (s, i) = (usize::from(stack), usize::from(site));
        if let Some(gate) = &mut self.gates[s][i]
            && let Some(due) = gate.timer_due
        {
            gate.timer += 1;
            let number = gate.timer;
            let at = self.hosts[i].clock.when_boottime(due, self.now);
            self.queue.push(at, Event::KernelTimer(stack, site, number));
        }
    }

    /// The kernel ends a gate that did not re-arm its timer, and with it all of its database.
    pub(super) fn kernel_timer(&mut self, stack: Stack, site: Site, number: u32) {
        let due = self.gates[usize::from(stack)][usize::from(site)]
            .as_ref()
            .is_some_and(|gate| gate.timer == number && gate.timer_due.is_some() && gate.process.alive);
        if !due {
            return;
        }
        if self.hosts[usize::from(site)].frozen > 0 {
            // It fires as soon as the machine goes on.
            self.hosts[usize::from(site)].timers_over.push((stack, number));
            return;
        }
        self.add(What::Closing { stack, site, reason: "the kernel timer ends the gate" });
        self.say(|w| {
            format!("the kernel timer ends the gate of {} at {}", w.stack_name(stack), w.name(site))
        });
        self.gate_died(stack, site, true);
    }

    /// The same, in the instant in which a frozen machine goes on.
    pub(super) fn kernel_timer_at_thaw(&mut self, stack: Stack, site: Site, number: u32) {
        let alive = self.is_alive(Process::Gate(stack, site));
        self.kernel_timer(stack, site, number);
        if alive && !self.is_alive(Process::Gate(stack, site)) {
            self.databases[usize::from(stack)].kill_all(site, self.now);
        }
    }

    fn sleep_gate(&mut self, gate: &Gate) {
        let mut at = self.now + Self::ask_every(gate);
        if gate.attached {
            at = at.min(gate.ask_at);
        } else {
            at = at.min(gate.redial.max(self.now + 1_000));
        }
        match &gate.server {
            Server::Open(open) => {
                if matches!(open.stop, Some(Stop::Fence { .. } | Stop::Kill)) {
                    at = at.min(self.now + TURN_FENCE);
                } else if let Mode::Primary(_) = open.mode
                    && let Some(end) = Self::deadline(gate)
                {
                    at = at.min(self.clock(gate.site).when_over(end, self.now).max(self.now + 500));
                }
                if open.promotion.is_some() {
                    at = at.min(self.now + TURN_BUSY);
                }
                if open.mode == Mode::Plain && gate.memory.record().is_some_and(|r| r.highest > Epoch::NONE) {
                    at = at.min(self.now + 100_000);
                }
            }
            Server::Clearing(_) => at = at.min(self.now + 5_000),
            Server::Foreign => at = at.min(self.now + 50_000),
            Server::Down => at = at.min(self.now + 200_000),
        }
        if gate.orders.is_busy() {
            at = at.min(self.now + TURN_BUSY);
        }
        self.wake_at(Process::Gate(gate.stack, gate.site), at);
    }
}
