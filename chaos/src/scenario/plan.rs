//! The words that scenarios are written in: values, no code.

use crate::product::profile::Profile;
use crate::product::site::Part;
use std::time::Duration;

/// A site by its part in the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The site that is active when the scenario begins; called dc1 in the texts.
    Active,
    /// The first of the others.
    Standby,
    /// The second of the others.
    Other,
    /// The site that took over.
    Winner,
    /// The site of the Raft leader when the scenario begins.
    Leader,
}

/// A length of time, by the profile's own durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Milliseconds.
    Ms(u64),
    /// D less this many milliseconds.
    LeaseLess(u64),
    /// D + F and this many milliseconds.
    Fence(u64),
    /// Percent of `detect.after`.
    Detect(u64),
}

impl Span {
    /// Its length with a profile.
    #[must_use]
    pub fn of(self, profile: Profile) -> Duration {
        match self {
            Self::Ms(ms) => Duration::from_millis(ms),
            Self::LeaseLess(ms) => profile.lease().saturating_sub(Duration::from_millis(ms)),
            Self::Fence(ms) => profile.lease() + profile.fence() + Duration::from_millis(ms),
            Self::Detect(percent) => profile.detect() * u32::try_from(percent).unwrap_or(100) / 100,
        }
    }
}

/// A cut by the parts that sites play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutOf {
    /// Nothing in, nothing out.
    Off(Who),
    /// Nothing in.
    Deaf(Who),
    /// Nothing out.
    Dumb(Who),
    /// The link between two sites.
    Link(Who, Who),
}

/// One thing that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// kill -9 of every process of the site; nothing is started again.
    KillSite(Who),
    /// Starts the site's services.
    StartSite(Who),
    /// kill -9 of every process of every site.
    KillAllSites,
    /// Starts all sites, in an order that changes from run to run.
    StartAllSites,
    /// kill -9 of these processes; the service manager starts them again.
    Kill(Who, &'static [Part]),
    /// kill -9 of these processes; nobody starts them again.
    KillForGood(Who, &'static [Part]),
    /// kill -9 of the postmaster.
    KillPostmaster(Who),
    /// SIGSTOP of these processes.
    Stop(Who, &'static [Part]),
    /// SIGCONT of these processes.
    Continue(Who, &'static [Part]),
    /// SIGSTOP of every process of the site.
    StopSite(Who),
    /// SIGCONT of every process of the site.
    ContinueSite(Who),
    /// SIGSTOP of one backend that serves a client.
    StopBackend(Who),
    /// SIGSTOP of every process of the site's database.
    FreezeDatabase(Who),
    /// SIGCONT of every process of the site's database.
    ThawDatabase(Who),
    /// The database dies and its files are gone.
    LoseDatabase(Who),
    /// These cuts and no others.
    Cut(&'static [CutOf]),
    /// Cuts the site off and heals it, again and again.
    Blips {
        /// Which site.
        who: Who,
        /// How often.
        times: u32,
        /// How long each time.
        cut: Span,
        /// Between two.
        pause: Span,
    },
    /// kill -9 of every witness; the service managers start them again.
    KillAllWitnesses,
    /// Waits.
    Wait(Span),
    /// Waits until a site other than the first active one acknowledges.
    WaitMoved,
    /// Waits until the site streams from the winner: nobody but the product brings it home.
    WaitHome(Who),
    /// The list of what only that site had must name what was lost.
    CheckListed(Who),
    /// Waits for this tool of PostgreSQL at the site and kills it.
    KillTool(Who, &'static str),
    /// Waits until the group's log shows that a transition has begun.
    WaitTransition,
}

/// Clients beside the one outside, which is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// None.
    Nobody,
    /// Rows without waiting, with patience for late replies.
    Pipeline,
    /// A backend busy for seconds.
    Long,
    /// A steady one and a pipelining one.
    SteadyAndPipeline,
}

/// Who must be active at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The same site, with no change between.
    Same,
    /// Another one, after exactly one change.
    Moved,
    /// Whoever; what counts are the invariants.
    Any,
}

/// The outage that the issue allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// "No outage at all": not above this, in milliseconds, for the client's own hiccups.
    None,
    /// That of a lost site.
    Site,
    /// Milliseconds.
    Ms(u64),
    /// Not given.
    Open,
}

/// Longest gap that still counts as no outage on a busy machine.
const HICCUP: Duration = Duration::from_millis(500);

impl Bound {
    /// Its length with a profile.
    #[must_use]
    pub const fn of(self, profile: Profile) -> Option<Duration> {
        match self {
            Self::None => Some(HICCUP),
            Self::Site => Some(profile.outage_site()),
            Self::Ms(ms) => Some(Duration::from_millis(ms)),
            Self::Open => None,
        }
    }
}

/// The ground that a scenario needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Three sites, one stack, a fast network.
    Plain,
    /// Three sites with the round trip that the profile is made for.
    Slow,
    /// Five sites.
    Five,
    /// Three stacks active at three sites.
    ThreeStacks,
    /// Fifty stacks, one of them with databases.
    FiftyStacks,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Where.
    pub ground: Ground,
    /// Clients inside of the active site.
    pub inside: Inside,
    /// What is done.
    pub acts: &'static [Act],
    /// At least this long is watched after the first act.
    pub watch: Span,
    /// Who is active at the end.
    pub ends: Ends,
    /// The outage that is allowed: printed and compared.
    pub outage: Bound,
    /// True if every process of the first active site's database must be gone by D + F.
    pub gone: bool,
    /// True if no acknowledged write may be lost.
    pub keeps_all: bool,
}
