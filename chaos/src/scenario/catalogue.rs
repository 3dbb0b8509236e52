//! All scenarios.

use super::plan::{Act, Bound, CutOf, Ends, Ground, Inside, Scenario, Span, Who};
use crate::product::site::Part;

use Who::{Active, Leader, Other, Standby, Winner};

const BOTH: &[Part] = &[Part::Actor, Part::Gate];

/// What most scenarios have in common.
const BASE: Scenario = Scenario {
    name: "",
    about: "",
    ground: Ground::Plain,
    inside: Inside::Nobody,
    acts: &[],
    watch: Span::Fence(2_000),
    ends: Ends::Moved,
    outage: Bound::Site,
    gone: false,
    keeps_all: false,
};

/// A fault after which dc1 must go on as if nothing had been.
const HARMLESS: Scenario = Scenario { ends: Ends::Same, outage: Bound::None, keeps_all: true, ..BASE };

/// A fault in which dc1's database lives on without a lease.
const WITHOUT_LEASE: Scenario = Scenario { inside: Inside::SteadyAndPipeline, gone: true, ..BASE };

/// Every scenario, in the order in which `all` runs them.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "site-killed",
        about: "every process of dc1 killed",
        acts: &[Act::KillSite(Active)],
        gone: true,
        ..BASE
    },
    Scenario {
        name: "site-returns",
        about: "dc1 killed, started again: a streaming standby without a hand",
        acts: &[
            Act::KillSite(Active),
            Act::WaitMoved,
            Act::Wait(Span::Ms(2_000)),
            Act::StartSite(Active),
            Act::WaitHome(Active),
        ],
        gone: true,
        ..BASE
    },
    Scenario {
        name: "site-returns-diverged",
        about: "dc1 cut off while a client inside writes: what only dc1 had is listed, then rewound",
        inside: Inside::SteadyAndPipeline,
        acts: &[
            Act::Cut(&[CutOf::Off(Active)]),
            Act::WaitMoved,
            Act::Wait(Span::Ms(2_000)),
            Act::Cut(&[]),
            Act::WaitHome(Active),
            Act::CheckListed(Active),
        ],
        gone: true,
        ..BASE
    },
    Scenario {
        name: "rewind-killed",
        about: "the same, and pg_rewind killed midway: a base backup, without a hand",
        inside: Inside::SteadyAndPipeline,
        acts: &[
            Act::Cut(&[CutOf::Off(Active)]),
            Act::WaitMoved,
            Act::Wait(Span::Ms(2_000)),
            Act::Cut(&[]),
            Act::KillTool(Active, "pg_rewind"),
            Act::WaitHome(Active),
        ],
        gone: true,
        ..BASE
    },
    Scenario {
        name: "site-partitioned",
        about: "dc1 cut off, alive",
        acts: &[Act::Cut(&[CutOf::Off(Active)])],
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "postgres-killed",
        about: "dc1's postmaster killed, its gate and actor alive: restarted in place",
        acts: &[Act::KillPostmaster(Active)],
        watch: Span::Fence(0),
        outage: Bound::Ms(700),
        ..HARMLESS
    },
    Scenario {
        name: "witness-killed",
        about: "a witness that doesn't lead killed, not started again",
        acts: &[Act::KillForGood(Standby, &[Part::Witness])],
        ..HARMLESS
    },
    Scenario {
        name: "own-witness-killed",
        about: "the active site's witness killed, not started again",
        acts: &[Act::KillForGood(Active, &[Part::Witness])],
        ..HARMLESS
    },
    Scenario {
        name: "leader-killed",
        about: "the leading witness killed, not started again",
        acts: &[Act::KillForGood(Leader, &[Part::Witness])],
        ..HARMLESS
    },
    Scenario {
        name: "actor-killed",
        about: "dc1's actor killed, started again by its service manager",
        acts: &[Act::Kill(Active, &[Part::Actor])],
        ..HARMLESS
    },
    Scenario {
        name: "gate-killed",
        about: "dc1's gate killed, started again: the database dies with it and is restarted in place",
        acts: &[Act::Kill(Active, &[Part::Gate])],
        outage: Bound::Open,
        gone: true,
        ..HARMLESS
    },
    Scenario {
        name: "actor-lost",
        about: "dc1's actor killed, not started again",
        acts: &[Act::KillForGood(Active, &[Part::Actor])],
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "gate-lost",
        about: "dc1's gate killed, not started again; its actor renews on",
        acts: &[Act::KillForGood(Active, &[Part::Gate])],
        ends: Ends::Any,
        outage: Bound::Open,
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "actor-stopped",
        about: "dc1's actor stopped, continued long after its lease",
        acts: &[
            Act::Stop(Active, &[Part::Actor]),
            Act::Wait(Span::Fence(10_000)),
            Act::Continue(Active, &[Part::Actor]),
        ],
        watch: Span::Fence(14_000),
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "gate-stopped",
        about: "dc1's gate stopped while its actor renews on",
        acts: &[Act::Stop(Active, &[Part::Gate])],
        ends: Ends::Any,
        outage: Bound::Open,
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "both-stopped",
        about: "dc1's actor and gate stopped, PostgreSQL runs on",
        acts: &[Act::Stop(Active, BOTH)],
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "site-stopped",
        about: "everything of dc1 stopped for 15 s, then continued",
        acts: &[Act::StopSite(Active), Act::Wait(Span::Ms(15_000)), Act::ContinueSite(Active)],
        watch: Span::Ms(20_000),
        gone: false,
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "both-killed-busy",
        about: "dc1's actor and gate killed for good while a long INSERT runs",
        inside: Inside::Long,
        acts: &[Act::KillForGood(Active, BOTH)],
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "both-killed-pipeline",
        about: "dc1's actor and gate killed for good while a client pipelines",
        inside: Inside::Pipeline,
        acts: &[Act::KillForGood(Active, BOTH)],
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "backend-stopped",
        about: "dc1 cut off, one of its backends stopped just before the deadline",
        acts: &[Act::Cut(&[CutOf::Off(Active)]), Act::Wait(Span::LeaseLess(1_000)), Act::StopBackend(Active)],
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "standby-frozen",
        about: "dc1's actor stopped, a standby's database frozen just before the fence",
        acts: &[
            Act::Stop(Active, &[Part::Actor]),
            Act::Wait(Span::LeaseLess(1_000)),
            Act::FreezeDatabase(Standby),
            Act::WaitMoved,
            Act::Wait(Span::Ms(2_000)),
            Act::ThawDatabase(Standby),
        ],
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "link-cut",
        about: "link dc1-dc2 cut while dc3 sees both",
        acts: &[Act::Cut(&[CutOf::Link(Active, Standby)])],
        ..HARMLESS
    },
    Scenario {
        name: "deaf",
        about: "dc1 hears nothing, what it sends arrives",
        acts: &[Act::Cut(&[CutOf::Deaf(Active)])],
        outage: Bound::Open,
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "dumb",
        about: "dc1 hears everything, nothing that it sends arrives",
        acts: &[Act::Cut(&[CutOf::Dumb(Active)])],
        outage: Bound::Open,
        ..WITHOUT_LEASE
    },
    Scenario {
        name: "blips",
        about: "dc1 cut off 20 times for less than detect.after",
        acts: &[Act::Blips { who: Active, times: 20, cut: Span::Detect(40), pause: Span::Ms(1_000) }],
        watch: Span::Ms(0),
        outage: Bound::Open,
        ..HARMLESS
    },
    Scenario {
        name: "winner-lost",
        about: "dc1 killed; the new primary's database lost within 2 s of the failover",
        acts: &[Act::KillSite(Active), Act::WaitMoved, Act::Wait(Span::Ms(1_500)), Act::LoseDatabase(Winner)],
        watch: Span::Fence(15_000),
        ends: Ends::Any,
        outage: Bound::Open,
        ..BASE
    },
    Scenario {
        name: "all-killed",
        about: "all sites killed and started again in any order",
        acts: &[Act::KillAllSites, Act::Wait(Span::Ms(2_000)), Act::StartAllSites],
        watch: Span::Fence(0),
        ends: Ends::Any,
        outage: Bound::Open,
        keeps_all: true,
        ..BASE
    },
    Scenario {
        name: "two-lost",
        about: "two sites lost, dc1 among them; the other one comes back",
        acts: &[
            Act::KillSite(Standby),
            Act::KillSite(Active),
            Act::Wait(Span::Fence(1_000)),
            Act::StartSite(Standby),
        ],
        watch: Span::Fence(10_000),
        outage: Bound::Open,
        gone: true,
        ..BASE
    },
    Scenario {
        name: "witnesses-restarted",
        about: "dc1 killed; all witnesses killed and restarted during the transition",
        acts: &[Act::KillSite(Active), Act::WaitTransition, Act::KillAllWitnesses],
        outage: Bound::Open,
        ..BASE
    },
    Scenario {
        name: "slow-leader-lost",
        about: "leader killed, with the round trip that the profile is made for",
        ground: Ground::Slow,
        acts: &[Act::KillForGood(Leader, &[Part::Witness])],
        ..HARMLESS
    },
    Scenario {
        name: "slow-witness-lost",
        about: "the active site's witness killed, with that round trip",
        ground: Ground::Slow,
        acts: &[Act::KillForGood(Active, &[Part::Witness])],
        ..HARMLESS
    },
    Scenario {
        name: "slow-site-killed",
        about: "dc1 killed, with that round trip",
        ground: Ground::Slow,
        acts: &[Act::KillSite(Active)],
        gone: true,
        ..BASE
    },
    Scenario {
        name: "five-sites",
        about: "five sites: the active one and another killed at once",
        ground: Ground::Five,
        acts: &[Act::KillSite(Active), Act::KillSite(Other)],
        gone: true,
        ..BASE
    },
    Scenario {
        name: "three-stacks",
        about: "three stacks active at three sites, dc1 killed: one moves",
        ground: Ground::ThreeStacks,
        acts: &[Act::KillSite(Active)],
        gone: true,
        ..BASE
    },
    Scenario {
        name: "fifty-stacks",
        about: "with 50 stacks no more renewals than with one",
        ground: Ground::FiftyStacks,
        ..HARMLESS
    },
];

/// The scenario of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|s| s.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once() {
        for scenario in ALL {
            assert_eq!(ALL.iter().filter(|s| s.name == scenario.name).count(), 1, "{}", scenario.name);
            assert!(!scenario.about.is_empty());
        }
    }
}
