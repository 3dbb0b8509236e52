//! What a script says, as values: who there is, what is done, what is expected.

use crate::history::{SECOND, Site, Stack, Time};
use crate::message::Process;
use crate::plan::{Class, Clocks, FaultKind};
use crate::postgres::Ill;
use coordination::Policy;
use coordination::timing::Profile;
use model::Mode;

/// Clients that may write are never silent for longer than this.
pub const WRITE_GAP_MAX: Time = 3 * SECOND;

/// One script.
#[derive(Clone, Debug)]
pub struct Script {
    /// Where it was read.
    pub file: String,
    /// The incident, by its name in the table of incidents.
    pub incident: String,
    /// The rule that it teaches.
    pub rule: String,
    /// What of the rule it does not show.
    pub lacks: Option<String>,
    /// How many sites there are.
    pub sites: Site,
    /// Their timing.
    pub profile: Profile,
    /// The group's policy.
    pub policy: Policy,
    /// The stacks: where each is active when the script begins, and its mode.
    pub stacks: Vec<(Site, Mode)>,
    /// Promises that hold for these faults beside those that always hold.
    pub class: Class,
    /// What is done, in this order.
    pub acts: Vec<Act>,
    /// What is expected.
    pub expectations: Vec<Expectation>,
}

impl Script {
    /// The profile's name.
    #[must_use]
    pub const fn profile_name(&self) -> &'static str {
        match self.profile {
            Profile::Wan => "wan",
            Profile::Metro => "metro",
            Profile::Fast => "fast",
        }
    }

    /// True if it has a policy of its own.
    #[must_use]
    pub fn has_policy(&self) -> bool {
        self.policy != Policy::with_timing(self.policy.timing)
    }

    /// Fixed times at which something is done or looked at.
    #[must_use]
    pub fn times(&self) -> Vec<Time> {
        let acts = self.acts.iter().filter_map(|act| match act.when {
            When::At(at) => Some(at),
            When::On(..) => None,
        });
        let looks = self.expectations.iter().filter_map(|e| match e.window {
            Window::At(at) => Some(at),
            Window::Within(_) | Window::Between(..) => None,
        });
        acts.chain(looks).chain([0]).collect()
    }

    /// The last time that an expectation speaks of.
    #[must_use]
    pub fn latest(&self) -> Time {
        let fixed = self.times().into_iter().max().unwrap_or_default();
        let windows = self.expectations.iter().map(|e| match e.window {
            Window::Within(Time::MAX) | Window::Between(_, Time::MAX) => 0,
            // At the latest the act above is the last one.
            Window::Within(time) => fixed + time,
            Window::Between(_, to) => to,
            Window::At(at) => at,
        });
        windows.max().unwrap_or_default().max(fixed)
    }
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub struct Act {
    /// Its line.
    pub line: usize,
    /// As it stands there.
    pub text: String,
    /// When it is done.
    pub when: When,
    /// What is done.
    pub deed: Deed,
    /// How long it lasts; `Time::MAX`: until everything is healed.
    pub lasts: Time,
}

/// When something is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the script began.
    At(Time),
    /// So long after this occurs for the first time since the line above was done.
    On(Occasion, Time),
}

/// A site, by name or by its part at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This one.
    Site(Site),
    /// The one whose witness leads.
    Leader,
    /// The active one of the stack.
    Active,
    /// The first other one of the stack that has power.
    Standby,
}

/// A process of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The witness.
    Witness,
    /// The actor.
    Actor,
    /// The gate.
    Gate,
}

impl Part {
    const fn at(self, stack: Stack, site: Site) -> Process {
        match self {
            Self::Witness => Process::Witness(site),
            Self::Actor => Process::Actor(site),
            Self::Gate => Process::Gate(stack, site),
        }
    }
}

/// What is done to one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Its links carry nothing: inward, outward.
    Isolate(bool, bool),
    /// Its links are slower.
    Slow(Time),
    /// SIGKILL of a process.
    Kill(Part),
    /// SIGKILL of the postmaster; with or without a backend that goes on.
    KillPostmaster(bool),
    /// SIGSTOP of a process.
    Stop(Part),
    /// No power.
    PowerOff,
    /// The machine stands still.
    Freeze(Clocks),
    /// The witness applies nothing.
    Lag,
    /// The data directory is gone.
    LoseData,
    /// The actor's store is gone.
    LoseStore,
    /// The gate's record is gone.
    LoseRecord,
    /// No file can be written by actor and gate.
    DiskFull,
    /// The database is ill.
    Ill(Ill),
}

impl Blow {
    /// The fault that does it.
    #[must_use]
    pub const fn fault(self, stack: Stack, site: Site) -> FaultKind {
        match self {
            Self::Isolate(inward, outward) => FaultKind::Isolate(site, inward, outward),
            Self::Slow(by) => FaultKind::Degrade(site, by, 0, 0),
            Self::Kill(part) => FaultKind::Kill(part.at(stack, site)),
            Self::KillPostmaster(backend) => FaultKind::KillServer(stack, site, backend),
            Self::Stop(part) => FaultKind::Pause(part.at(stack, site)),
            Self::PowerOff => FaultKind::LoseSite(site),
            Self::Freeze(clocks) => FaultKind::Freeze(site, clocks),
            Self::Lag => FaultKind::Lag(site),
            Self::LoseData => FaultKind::LoseData(stack, site),
            Self::LoseStore => FaultKind::LoseStore(site),
            Self::LoseRecord => FaultKind::LoseRecord(stack, site),
            Self::DiskFull => FaultKind::DiskFull(site),
            Self::Ill(ill) => FaultKind::Ill(stack, site, ill),
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The link between two sites; true: in both directions.
    Cut(Site, Site, bool),
    /// Something happens to a site.
    Blow(Blow, Stack, Place),
    /// An operator wants another site to be active.
    Failover(Stack, Site),
    /// An operator sets a mode.
    SetMode(Stack, Mode),
    /// An operator attests that the active site is off.
    Attest(Stack),
    /// Everything is mended; from here on everything must come right.
    Heal,
}

/// One thing that is expected.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Its line.
    pub line: usize,
    /// As it stands there, without `expect`.
    pub text: String,
    /// The act above it, from which `within` counts; none: the beginning.
    pub after: Option<usize>,
    /// What must be so.
    pub claim: Claim,
    /// When.
    pub window: Window,
}

/// When something must be so, in time since the script began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// At some time within so long after the act above.
    Within(Time),
    /// All the time from here to there; `Time::MAX`: to the end of the run.
    Between(Time, Time),
    /// At that time.
    At(Time),
}

/// What must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// One of these sites was elected last.
    Active(Stack, Vec<Site>),
    /// A client is acknowledged there; for a span of time: never silent for long.
    Writes(Stack, Vec<Site>),
    /// No client is acknowledged there.
    NoWrites(Stack, Vec<Site>),
    /// No process of a primary is left there.
    NoPrimary(Stack, Site),
    /// It occurs.
    Occurs(Occasion),
    /// It does not.
    Never(Occasion),
    /// The second one occurs, and the first one comes before it each time.
    Before(Occasion, Occasion),
    /// It occurs so often: at least, at most.
    Count(usize, usize, Occasion),
    /// At most so many rows that were acknowledged before that time are missing in the end.
    LostRows(Stack, usize, Time),
    /// Somebody who asks is told so.
    Says(Question),
}

/// What is asked of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which witness; none: the one that leads.
    pub of: Option<Place>,
    /// About which stack.
    pub stack: Stack,
    /// What it must say.
    pub answer: Answer,
}

/// What a witness says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One of these would take over now; empty: nobody could.
    Takeover(Vec<Site>),
    /// Why this site can't take over.
    Against(Site, String),
    /// Why the group waits.
    Held(String),
    /// Its sentence about the stack, or its explanation, has this in it.
    Status(String),
}

/// Something that the group's log tells of (`tripoint events`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// What.
    pub kind: Kind,
    /// Of which stack; of no account where no stack is named by it.
    pub stack: Stack,
    /// At one of these sites; none: anywhere.
    pub sites: Vec<Site>,
}

/// What can occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A site is suspected.
    Suspected,
    /// A site's lease has ended for sure.
    Expired,
    /// In a mode that does not act: a transition would have begun.
    WouldBegin,
    /// A transition begins, away from that site.
    Begun,
    /// That site must close the stack.
    Fencing,
    /// That site is fenced.
    Fenced,
    /// A standby has let go.
    Detached,
    /// An election entry, an abort entry too.
    Elected,
    /// The elected site has promoted.
    Promoted,
    /// The transition is at its end.
    Completed,
    /// A standby streams.
    Streams,
    /// A witness begins to lead.
    Leads,
}

impl Kind {
    /// All, by the words of scripts.
    pub const ALL: [(&'static str, Self); 12] = [
        ("suspected", Self::Suspected),
        ("expired", Self::Expired),
        ("would-begin", Self::WouldBegin),
        ("begun", Self::Begun),
        ("fencing", Self::Fencing),
        ("fenced", Self::Fenced),
        ("detached", Self::Detached),
        ("elected", Self::Elected),
        ("promoted", Self::Promoted),
        ("completed", Self::Completed),
        ("streams", Self::Streams),
        ("leads", Self::Leads),
    ];
}
