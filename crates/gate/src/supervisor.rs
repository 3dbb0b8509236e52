//! The main thread's loop: events in, one decision a turn, everything that it does.
//!
//! | part | what it does |
//! | --- | --- |
//! | `open` | starts, takes over, promotes |
//! | `close` | fences, stops, kills, and knows when nothing is left |
//! | `orders` | what the actor wants done once |
//! | `rejoin` | brings a copy home that can't follow as it is |
//! | `switches` | kernel timer, kernel lease, warden; what others are shown |

mod close;
mod open;
mod orders;
mod rejoin;
mod switches;

use crate::data::{Control, DataDirectory, State};
use crate::firewall::KernelLease;
use crate::hold::{Holder, Program, User};
use crate::lock::DataLock;
use crate::processes::DirectoryId;
use crate::record::Store;
use crate::settings::Settings;
use crate::shared::{Answer, Done, Event, Shared};
use crate::timer::KernelTimer;
use crate::{Config, Error, processes, sys};
use close::Stop;
use coordination::permit::{self, Data, Decision, Input, Memory, Mode, Record, Running, Taken};
use model::{DatabaseReport, Deadline, Epoch, Millis, Moment};
use open::{Promotion, Restarts};
use orders::Orders;
use rejoin::Home;
use std::sync::{Arc, mpsc::Receiver, mpsc::RecvTimeoutError};
use std::time::Duration;
use tokio::sync::mpsc;

/// A turn at least this often: somebody else's promotion is seen within it.
const TURN: Millis = Millis(50);
/// While something is under way.
const TURN_FAST: Millis = Millis(5);

/// What there is of the database.
enum Server {
    /// No process is left.
    Down,
    /// What the gate opened.
    Open(Open),
    /// The postmaster is gone, and the rest is being killed.
    Clearing(Open),
    /// A server that this gate did not start, seen since then.
    Foreign(Moment),
}

/// A database that the gate opened.
struct Open {
    mode: Mode,
    since: Moment,
    /// The control file said "in recovery" since the start.
    seen_recovery: bool,
    /// Out of recovery: only then is a primary one.
    settled: bool,
    promotion: Option<Promotion>,
    stop: Option<Stop>,
    exit_code: Option<u8>,
}

impl Open {
    fn new(mode: Mode, since: Moment) -> Self {
        Self {
            mode,
            since,
            seen_recovery: false,
            settled: false,
            promotion: None,
            stop: None,
            exit_code: None,
        }
    }
}

/// How the gate itself ends.
enum Ending {
    /// Told to: once the database is stopped.
    Asked,
    /// With this code: no process is left.
    Now(u8),
}

/// One gate.
pub(crate) struct Supervisor {
    pub(crate) store: Store,
    pub(crate) memory: Memory,
    pub(crate) data: DataDirectory,
    pub(crate) settings: Settings,
    pub(crate) lock: DataLock,
    pub(crate) holder: Holder,
    pub(crate) program: Program,
    pub(crate) user: Option<User>,
    pub(crate) timer: Option<KernelTimer>,
    pub(crate) lease: Option<KernelLease>,
    pub(crate) done: mpsc::Sender<Done>,
    pub(crate) shared: Arc<Shared>,
    life: Life,
}

/// What changes from turn to turn, and is not on disk.
struct Life {
    directory: Option<DirectoryId>,
    server: Server,
    orders: Orders,
    restarts: Restarts,
    ending: Option<Ending>,
    problem: Option<String>,
    waiting: &'static str,
    clean: Option<bool>,
    database: Option<(Moment, DatabaseReport)>,
    control: Option<Control>,
    lease_retry: Option<Moment>,
    /// An ordered stop's epoch, until it is relinquished on disk.
    to_relinquish: Option<Epoch>,
    home: Home,
}

impl Life {
    fn new(directory: Option<DirectoryId>) -> Self {
        Self {
            directory,
            server: Server::Down,
            orders: Orders::default(),
            restarts: Restarts::default(),
            ending: None,
            problem: None,
            waiting: "",
            clean: None,
            database: None,
            control: None,
            lease_retry: None,
            to_relinquish: None,
            home: Home::default(),
        }
    }
}

/// All that is made before the loop begins.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) record: Option<Record>,
    pub(crate) data: DataDirectory,
    pub(crate) settings: Settings,
    pub(crate) lock: DataLock,
    pub(crate) directory: Option<DirectoryId>,
    pub(crate) holder: Holder,
    pub(crate) program: Program,
    pub(crate) user: Option<User>,
    pub(crate) timer: Option<KernelTimer>,
    pub(crate) lease: Option<KernelLease>,
    pub(crate) done: mpsc::Sender<Done>,
    pub(crate) shared: Arc<Shared>,
}

impl Supervisor {
    pub(crate) fn new(config: &Config, parts: Parts) -> Self {
        let life = Life::new(parts.directory);
        let memory = Memory::new(config.stack.clone(), parts.record, config.terms);
        let Parts {
            store,
            record: _,
            data,
            settings,
            lock,
            directory: _,
            holder,
            program,
            user,
            timer,
            lease,
            done,
            shared,
        } = parts;
        Self { store, memory, data, settings, lock, holder, program, user, timer, lease, done, shared, life }
    }

    /// Until the gate is told to end, or must; the exit code.
    pub(crate) fn run(mut self, events: &Receiver<Event>) -> Result<u8, Error> {
        loop {
            self.turn()?;
            if let Some(Ending::Now(code)) = self.life.ending {
                self.leave();
                return Ok(code);
            }
            let mut event = match events.recv_timeout(self.pause()) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::system("wait for events")(std::io::ErrorKind::BrokenPipe.into()));
                }
            };
            while let Some(now) = event {
                self.handle(now);
                event = events.try_recv().ok();
            }
        }
    }

    /// How long to wait for an event. Waking up decides nothing: the clocks are read then.
    fn pause(&self) -> Duration {
        let busy = match &self.life.server {
            Server::Open(open) => open.promotion.is_some() || open.stop.is_some() || !open.settled,
            Server::Clearing(_) => true,
            Server::Down | Server::Foreign(_) => false,
        } || self.life.orders.is_busy();
        let turn = if busy { TURN_FAST } else { TURN };
        let left = self.deadline().map_or(turn, |d| d.remaining(rpc::clock::now()));
        Millis(left.0.clamp(1, turn.0)).into()
    }

    fn deadline(&self) -> Option<Deadline> {
        self.memory.cover().and_then(|cover| cover.deadline)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Signal(signal) => self.take_signal(signal),
            Event::Attached => self.life.orders.forget(),
            Event::Away => {}
            Event::Answer(sent, answer) => self.take_answer(sent, *answer),
            Event::Order(number, order) => self.take_order(number, order),
        }
    }

    /// One turn: look, decide, act, show.
    fn turn(&mut self) -> Result<(), Error> {
        self.reap();
        self.watch();
        self.work_on_rejoin();
        let decision = self.input(self.data.look()).decide();
        self.act(decision)?;
        self.work_on_orders();
        self.set_switches();
        self.publish();
        Ok(())
    }

    fn input(&self, data: Data) -> Input<'_> {
        let (running, promoted_by_others) = match &self.life.server {
            Server::Down | Server::Clearing(_) => (Running::No, false),
            Server::Foreign(_) => (Running::Foreign, false),
            Server::Open(open) => {
                let state = self.life.control.map(|c| c.state);
                let out =
                    open.mode == Mode::Standby && open.seen_recovery && state == Some(State::InProduction);
                (Running::Open(open.mode), out)
            }
        };
        self.memory.input(data, running, promoted_by_others, rpc::clock::now())
    }

    /// What there is of the database, for the rules of orders.
    fn server(&self) -> permit::Server {
        match &self.life.server {
            Server::Down => permit::Server::Down,
            Server::Clearing(_) => permit::Server::Clearing,
            Server::Foreign(_) => permit::Server::Foreign,
            Server::Open(open) => permit::Server::Open {
                mode: open.mode,
                seen_recovery: open.seen_recovery,
                settled: open.settled,
                closing: open.stop.is_some(),
            },
        }
    }

    fn act(&mut self, decision: Decision) -> Result<(), Error> {
        if matches!(self.life.server, Server::Clearing(_)) {
            return Ok(());
        }
        match decision {
            Decision::Keep => {}
            Decision::Wait(reason) => self.wait(reason),
            Decision::StartStandby => self.open(Mode::Standby),
            Decision::StartPlain => self.open(Mode::Plain),
            Decision::StartPrimary(epoch) => self.open(Mode::Primary(epoch)),
            Decision::TakeOver(epoch) => self.take_over(epoch),
            Decision::Fence(reason) => self.fence(reason),
            Decision::Kill(reason) => self.kill(reason),
            Decision::Refuse if self.is_foreign_fresh() => {}
            Decision::Refuse => {
                let pid = self
                    .life
                    .directory
                    .map(processes::servers)
                    .unwrap_or_default()
                    .first()
                    .copied()
                    .unwrap_or(0);
                return Err(Error::Foreign { path: self.data.path().to_owned(), pid });
            }
        }
        if matches!(self.life.ending, Some(Ending::Asked))
            && matches!(self.life.server, Server::Down | Server::Foreign(_))
        {
            self.life.ending = Some(Ending::Now(0));
        }
        Ok(())
    }

    fn wait(&mut self, reason: &'static str) {
        if self.life.waiting != reason {
            tracing::info!("nothing is started: {reason}");
            self.life.waiting = reason;
        }
    }

    /// SIGTERM, SIGINT: planned stop, then the gate ends. A second one: a fence. The rest is
    /// the postmaster's.
    fn take_signal(&mut self, signal: i32) {
        match signal {
            libc::SIGCHLD => self.reap(),
            libc::SIGTERM | libc::SIGINT if self.life.ending.is_some() => {
                self.fence("told to stop a second time")
            }
            libc::SIGTERM | libc::SIGINT => {
                tracing::info!("told to stop: planned stop of the database");
                self.life.ending = Some(Ending::Asked);
                self.stop_planned(None);
            }
            libc::SIGQUIT => {
                self.life.ending = Some(Ending::Asked);
                self.fence("told to quit");
            }
            libc::SIGHUP if matches!(self.life.server, Server::Open(_)) => self.holder.signal(libc::SIGHUP),
            _ => {}
        }
    }

    /// Takes an answer in, unless a newer one was.
    fn take_answer(&mut self, sent: Moment, answer: Answer) {
        let lost = self.memory.record().is_none();
        let (taken, wanted) = self.memory.take(&answer.word, sent, rpc::clock::now());
        if let Some(record) = wanted
            && self.write(record)
            && lost
        {
            let (highest, closed) = (record.highest, record.closed);
            tracing::info!("record: refilled by the group: highest epoch {highest}, closed {closed}");
        }
        match taken {
            Taken::Late => return,
            Taken::CoverOutdated => tracing::warn!("a cover older than the one on disk; ignored"),
            Taken::Yes => {}
        }
        if let Some(database) = answer.database {
            self.life.database = Some((sent, database));
        }
    }

    /// On disk, then in memory; false if the disk refused.
    fn write(&mut self, record: Record) -> bool {
        match self.store.write(&record) {
            Ok(()) => {
                self.memory.written(record);
                true
            }
            Err(e) => {
                self.complain(&e);
                false
            }
        }
    }

    /// Makes `epoch` the highest seen, on disk.
    fn raise(&mut self, epoch: Epoch) -> bool {
        self.memory.to_raise(epoch).is_none_or(|record| self.write(record))
    }

    fn complain(&mut self, what: &dyn std::fmt::Display) {
        let text = what.to_string();
        if self.life.problem.as_ref() != Some(&text) {
            tracing::error!("{text}");
            self.life.problem = Some(text);
        }
    }

    fn reap(&mut self) {
        while let Some(ended) = sys::reap() {
            if let Some(lease) = &mut self.lease {
                lease.reaped(ended.pid);
            }
            if self.holder.reaped(ended.pid) && !self.tool_ended(ended.code) {
                self.postmaster_ended(ended.code);
            }
        }
        if let Err(e) = self.holder.ensure_warden() {
            self.complain(&e);
        }
    }
}
