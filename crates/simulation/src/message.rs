//! What processes say to each other, and what else can happen in the world.

use crate::history::{Site, Stack, Time};
use coordination::{Command, Outcome, permit, reconcile::OrderKind};
use model::{
    Desired, Epoch, GateReport, Grant, Incarnation, RegistrationAnswer, RenewRequest, RenewalNumber,
    SiteReport, StepKind, StepOutcome, StepReport, TimedAck,
};
use std::rc::Rc;

/// A process of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// The witness of a site.
    Witness(Site),
    /// The actor of a site.
    Actor(Site),
    /// The gate of a stack at a site.
    Gate(Stack, Site),
}

impl Process {
    /// Where it runs.
    #[must_use]
    pub const fn site(self) -> Site {
        match self {
            Self::Witness(site) | Self::Actor(site) | Self::Gate(_, site) => site,
        }
    }
}

/// Who waits for a proposal's outcome.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody: a leader's first entry.
    Nobody,
    /// The leader itself: slot of its proposals, and its life.
    Leader(u64, u32),
    /// An operator.
    Operator,
    /// An actor that registers: through which witness.
    Register(Site, Site, Incarnation),
    /// An actor that renews: through which witness.
    Renew(Site, Site, Incarnation, RenewalNumber),
    /// An actor that reports a step: through which witness, in which generation of what it observed.
    Step(Site, Site, Stack, StepKind, Epoch, u64),
}

/// A call that brought no yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The group refuses.
    Refused,
    /// Anything else.
    Other,
}

/// One message.
#[derive(Clone, Debug)]
pub enum Message {
    /// Actor to witness.
    Register(Site, Incarnation),
    /// Actor to witness.
    Renew(Box<RenewRequest>, Site),
    /// Actor to witness.
    Step(Site, Box<StepReport>, Stack, u64),
    /// Actor to witness; true if it was handed on by another witness.
    Reports(Rc<Vec<SiteReport>>, bool),
    /// Witness to leader.
    Forward(Box<Command>, Caller),
    /// Leader to actor.
    Answer(Caller, Box<Outcome>),
    /// Witness to actor.
    Registered(Incarnation, Site, Result<Box<RegistrationAnswer>, Failure>),
    /// Witness to actor.
    Renewed(Incarnation, RenewalNumber, Site, Result<Box<Grant>, Failure>),
    /// Witness to actor; generation, and true if it was refused.
    StepAnswered(Stack, StepKind, Epoch, u64, bool),
    /// Witness to actor, with the life of the actor that watches.
    View(Rc<Desired>, u32),
    /// Gate to actor: session.
    Attend(Stack, u32),
    /// Gate to actor: session, number, its report, what it acknowledges.
    Ask(Stack, u32, u64, Box<GateReport>, Option<TimedAck>),
    /// Gate to actor: session, number of the order, its end.
    Done(Stack, u32, u64, StepOutcome),
    /// Actor to gate: session, number of the ask.
    ToGate(Stack, u32, u64, Box<permit::Answer>),
    /// Actor to gate: session, number.
    Order(Stack, u32, u64, OrderKind),
    /// Actor to gate: ask now.
    Nudge(Stack, u32),
    /// The actor's own disk: the epochs are there, or not.
    Persisted(u64, bool),
}

/// What a plot does when its moment has come.
#[derive(Clone, Copy, Debug)]
pub enum Betrayal {
    /// The actor of a site dies; it is started again.
    Actor(Site),
    /// The postmaster dies; a busy backend goes on.
    Postmaster(Stack, Site),
    /// A site is cut off from all others.
    Isolate(Stack, Site),
}

/// What can happen.
#[derive(Debug)]
pub enum Event {
    /// A process wanted to be woken.
    Wake(Process, u32),
    /// A message arrives at a process.
    Deliver(Process, u32, Message),
    /// The model log: entries up to this index of a term can be committed.
    Commit(u64, u64),
    /// A follower learns what is committed.
    Learn(Site, u64),
    /// An election timer.
    Campaign(Site, Time),
    /// A witness has the votes of a majority of this term.
    Won(Site, u64),
    /// The leader of this term hears of a newer one, or of nobody.
    Depose(Site, u64),
    /// A fault of the plan begins or ends.
    Fault(u32, bool),
    /// Something happens in a database by itself.
    Database(Stack, Time),
    /// A kernel timer of a gate, by number.
    KernelTimer(Stack, Site, u32),
    /// What a dead gate contained is gone.
    Contained(Stack, Site),
    /// A service manager looks whether this process is there.
    Restart(Process),
    /// An operator looks.
    Operator,
    /// All faults end.
    Heal,
    /// The script of a scenario goes on.
    Script,
    /// What a plot waited for has happened.
    Betray(Betrayal),
}
