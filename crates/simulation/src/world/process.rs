//! What every process and host has: a life, which can end, and a next waking.

use crate::clock::Clock;
use crate::history::Stack;
use crate::history::Time;
use crate::message::Message;
use coordination::permit::Record;
use coordination::reconcile::StackEpochs;
use model::TimedAck;

/// Messages that wait for a paused process; what is more is lost.
const BACKLOG_MAX: usize = 512;

/// The life of one process.
#[derive(Debug)]
pub struct Life {
    /// It exists.
    pub alive: bool,
    /// It is stopped, and may go on.
    pub paused: bool,
    /// Grows with each start: what was sent to an earlier life never arrives.
    pub number: u32,
    /// When it is woken next; `Time::MAX`: by a message only.
    pub wake: Time,
    /// What arrived while it was stopped.
    pub backlog: Vec<Message>,
}

impl Life {
    /// A process that runs.
    pub const fn new(number: u32) -> Self {
        Self { alive: true, paused: false, number, wake: Time::MAX, backlog: Vec::new() }
    }

    /// It can do something.
    pub const fn runs(&self) -> bool {
        self.alive && !self.paused
    }

    /// It is stopped: the message waits.
    pub fn keep(&mut self, message: Message) {
        if self.backlog.len() < BACKLOG_MAX {
            self.backlog.push(message);
        }
    }
}

/// A machine.
#[derive(Debug)]
pub struct Host {
    /// Its clocks.
    pub clock: Clock,
    /// It has power.
    pub up: bool,
    /// Faults that freeze it, with all its processes.
    pub frozen: u8,
    /// Until then no file can be written.
    pub disk_full: u8,
    /// A write takes this much longer.
    pub disk_slow: Time,
    /// Lives of processes that began here.
    pub lives: u32,
    /// The actor's store, by stack; none if it is lost.
    pub epochs: Option<Vec<StackEpochs>>,
    /// The gates' records, by stack.
    pub records: Vec<Option<Record>>,
    /// Kernel timers that are over since the machine was frozen.
    pub timers_over: Vec<(Stack, u32)>,
    /// The last acknowledgement of a timed cover, for the history.
    pub acked: Option<TimedAck>,
    /// With its next order to relinquish the actor dies, or the postmaster.
    pub dies_ordering: Option<bool>,
}

impl Host {
    /// A machine that runs.
    pub fn new(clock: Clock, stacks: Stack) -> Self {
        Self {
            clock,
            up: true,
            frozen: 0,
            disk_full: 0,
            disk_slow: 0,
            lives: 1,
            epochs: None,
            records: vec![None; usize::from(stacks)],
            timers_over: Vec::new(),
            acked: None,
            dies_ordering: None,
        }
    }
}
