//! What each of the worlds contains, and how much of it: the bounds of the model check.

use super::clock::{FAST, Rates, SLOW};
use model::{GrantTerms, Millis};

/// Site that runs the stack at the beginning.
pub const A: usize = 0;
/// The other one, a standby.
pub const B: usize = 1;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    /// Renewals that each site sends after the beginning.
    pub sends: [u8; 2],
    /// Processes that start anew: of those that `restarts` of the rules names.
    pub restarts: u8,
    /// Actors that were refused and register as a new run.
    pub anew: u8,
    /// Messages that arrive twice.
    pub duplicates: u8,
    /// Proposals of a leader that commit later than they were decided.
    pub late: u8,
    /// Ticks that a host is suspended for.
    pub suspended: u8,
    /// Election entries.
    pub elections: u8,
    /// Changes of the policy.
    pub policies: u8,
    /// Changes of the mode.
    pub modes: u8,
    /// Transitions that the group begins while the epoch is open.
    pub begins: u8,
    /// Reports of promotions, and promotions given up.
    pub promotes: u8,
    /// Jumps of a witness's clock.
    pub jumps: u8,
    /// Gates whose fence does not end what runs.
    pub stuck: u8,
}

/// Who proposes what a clock has no part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leaders {
    /// As soon as an epoch is closed either site may be elected: three entries in one step.
    Elect,
    /// Every command of a transition, in any order, that `apply` does not refuse.
    Anything,
}

/// Processes that may start anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Restarts {
    /// A's actor.
    pub actor: bool,
    /// A's gate, with its database.
    pub gate: bool,
    /// Either witness, with the state that was on its disk.
    pub witness: bool,
}

/// One world.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Its letter.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// D and F in ticks of the slowest clock.
    pub lease: (u64, u64),
    /// D after a change of the policy.
    pub shorter: u64,
    /// Bounds.
    pub budget: Budget,
    /// What may start anew.
    pub restarts: Restarts,
    /// True for a witness that may apply entries later than they are committed.
    pub lags: [bool; 2],
    /// True if a witness may install a snapshot instead.
    pub snapshots: bool,
    /// True if the stack is held at the beginning.
    pub held: bool,
    /// True if A has not renewed since the stack was adopted.
    pub fresh: bool,
    /// True if views and acknowledgements are part of it.
    pub views: bool,
    /// True if a gate asks when it likes; otherwise each answer reaches it at once.
    pub asks: bool,
    /// Who leads.
    pub leaders: Leaders,
    /// Clocks of A, B and both witnesses, one initial state each.
    pub clocks: Vec<[Rates; 4]>,
}

impl Rules {
    /// D and F of this many ticks for D.
    #[must_use]
    pub const fn terms_of(&self, lease: u64) -> GrantTerms {
        GrantTerms { lease_duration: Millis(lease * SLOW), fence_deadline: Millis(self.lease.1 * SLOW) }
    }

    /// D and F at the beginning.
    #[must_use]
    pub const fn terms(&self) -> GrantTerms {
        self.terms_of(self.lease.0)
    }

    /// Ages above this are all the same to a site, in microseconds.
    #[must_use]
    pub const fn cut_site(&self) -> u64 {
        (self.lease.0 + 1) * SLOW * 1_000
    }

    /// Ages above this are all the same to a witness, in microseconds: above any W.
    #[must_use]
    pub const fn cut_witness(&self) -> u64 {
        (self.lease.0 + self.lease.1 + 2) * FAST * 1_000
    }
}

const BOTH_SLOW: Rates = Rates::both(SLOW);
const BOTH_FAST: Rates = Rates::both(FAST);
/// NTP slews the holder's CLOCK_BOOTTIME so that it is slow.
const SLEWED_SLOW: Rates = Rates { boottime: 60, raw: SLOW };
/// NTP slews a waiter's CLOCK_BOOTTIME so that it is fast.
const SLEWED_FAST: Rates = Rates { boottime: 160, raw: FAST };

/// Holders on the slowest clocks, witnesses on the fastest.
const WORST: [Rates; 4] = [BOTH_SLOW, BOTH_SLOW, BOTH_FAST, BOTH_FAST];
/// The same, one clock of each slewed beyond what is allowed.
const SLEWED: [Rates; 4] = [SLEWED_SLOW, BOTH_SLOW, BOTH_FAST, SLEWED_FAST];
/// The other way round.
const MILD: [Rates; 4] = [BOTH_FAST, BOTH_SLOW, BOTH_SLOW, BOTH_FAST];

const NONE: Budget = Budget {
    sends: [0, 0],
    restarts: 0,
    anew: 0,
    duplicates: 0,
    late: 0,
    suspended: 0,
    elections: 1,
    policies: 0,
    modes: 0,
    begins: 0,
    promotes: 0,
    jumps: 0,
    stuck: 0,
};

const NO_RESTART: Restarts = Restarts { actor: false, gate: false, witness: false };
const ANY_RESTART: Restarts = Restarts { actor: true, gate: true, witness: true };

/// The worlds, in the order in which they are run.
#[must_use]
pub fn all(deep: bool) -> Vec<Rules> {
    let more = u8::from(deep);
    vec![
        lease(more),
        witnesses(more),
        runs(more),
        clocks(more),
        policy(more),
        covers(more),
        fences(more),
        transitions(more),
        promotions(more),
        held(more),
    ]
}

/// What most worlds have in common.
fn base(name: &'static str, about: &'static str) -> Rules {
    Rules {
        name,
        about,
        lease: (2, 1),
        shorter: 2,
        budget: NONE,
        restarts: NO_RESTART,
        lags: [false, false],
        snapshots: false,
        held: false,
        fresh: false,
        views: false,
        asks: false,
        leaders: Leaders::Elect,
        clocks: vec![WORST],
    }
}

fn lease(more: u8) -> Rules {
    Rules {
        budget: Budget { sends: [1 + more, 1], restarts: more, duplicates: more, late: more, ..NONE },
        restarts: Restarts { witness: true, ..NO_RESTART },
        lags: [true, false],
        snapshots: true,
        ..base(
            "L",
            "renewal, horizon, expiry, election, promotion: late and out of order; a witness lags or gets a snapshot",
        )
    }
}

fn witnesses(more: u8) -> Rules {
    Rules {
        budget: Budget { sends: [1 + more, 1], restarts: 1, duplicates: 1, elections: more, ..NONE },
        restarts: Restarts { witness: true, ..NO_RESTART },
        lags: [true, false],
        snapshots: true,
        ..base("W", "what witnesses prove: they lag, start anew, install snapshots; messages come twice")
    }
}

fn runs(more: u8) -> Rules {
    Rules {
        budget: Budget {
            sends: [1 + more, 1],
            restarts: 1,
            anew: more,
            duplicates: 1,
            elections: more,
            ..NONE
        },
        restarts: Restarts { actor: true, gate: true, ..NO_RESTART },
        ..base(
            "R",
            "registration and incarnations: actor and gate start anew, old messages arrive late and twice",
        )
    }
}

fn clocks(more: u8) -> Rules {
    Rules {
        budget: Budget { sends: [more, 1], suspended: 1 + more, jumps: 1, elections: more, ..NONE },
        asks: true,
        clocks: vec![WORST, SLEWED, MILD],
        ..base("K", "two clocks a host: drift at its limit, one slewed, suspended, jumps; answers that wait")
    }
}

fn policy(more: u8) -> Rules {
    Rules {
        lease: (3, 1),
        budget: Budget { sends: [1 + more, 1], restarts: more, policies: 1, elections: more, ..NONE },
        restarts: Restarts { witness: true, ..NO_RESTART },
        lags: [true, false],
        ..base("P", "D is made shorter while longer grants run; witnesses start anew and know nothing")
    }
}

fn covers(more: u8) -> Rules {
    Rules {
        budget: Budget { sends: [2 + more, 1], restarts: 1, modes: 2 + more, ..NONE },
        restarts: Restarts { gate: true, actor: more > 0, ..NO_RESTART },
        held: true,
        fresh: true,
        ..base("C", "held and timed covers, their acknowledgements, an operator's word")
    }
}

fn fences(more: u8) -> Rules {
    Rules {
        budget: Budget {
            sends: [1 + more, 1],
            restarts: more,
            begins: 1,
            stuck: more,
            elections: more,
            ..NONE
        },
        restarts: Restarts { witness: more > 0, ..ANY_RESTART },
        lags: [more > 0, false],
        snapshots: more > 0,
        views: true,
        leaders: Leaders::Anything,
        ..base("F", "FenceBegin and its horizon while the lease goes on; stopping, unstopped, acknowledged")
    }
}

fn transitions(more: u8) -> Rules {
    Rules {
        budget: Budget { sends: [1, 1], begins: 1, elections: 1 + more, promotes: more, late: more, ..NONE },
        lags: [false, more > 0],
        leaders: Leaders::Anything,
        ..base("T", "silence, abort, fence, election; deep: proposals that commit late")
    }
}

fn promotions(more: u8) -> Rules {
    Rules {
        budget: Budget { sends: [more, 1], begins: 1, elections: 2, promotes: 1 + more, ..NONE },
        leaders: Leaders::Anything,
        ..base("G", "a promotion is reported, done or not, and given up; the stack is elected elsewhere")
    }
}

fn held(more: u8) -> Rules {
    Rules {
        budget: Budget { sends: [1 + more, 1], begins: 1, elections: 2, modes: 1 + more, ..NONE },
        held: true,
        leaders: Leaders::Anything,
        ..base("H", "transitions of a stack that is or was held: what an election entry inherits")
    }
}
