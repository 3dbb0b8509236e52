//! Weakenings of the rules, one line each, that the checkers must catch.
//!
//! `planted!(Name)` is the constant `false` in the package `coordination`, the one that production
//! is built from. Only the package `planted`, the same sources for the simulator, can switch one on.

#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(feature = "planted")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_on($crate::planted::Bug::$bug)
    };
}

#[cfg(feature = "planted")]
pub use switch::{Bug, Planting, is_on};

#[cfg(feature = "planted")]
mod switch {
    extern crate std;
    use core::cell::Cell;

    /// Declares the bugs: name, and in words what is weakened.
    macro_rules! bugs {
        ($($name:ident: $text:literal,)*) => {
            /// A planted bug.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub enum Bug {
                $(#[doc = $text] $name,)*
            }

            impl Bug {
                /// All.
                pub const ALL: &'static [Self] = &[$(Self::$name,)*];

                /// What is weakened.
                #[must_use]
                pub const fn text(self) -> &'static str {
                    match self {
                        $(Self::$name => $text,)*
                    }
                }
            }
        };
    }

    bugs! {
        // the actor's lease
        LeaseFromArrival: "a lease counts from the arrival of its answer, not from the send",
        LeaseFromLastSend: "an answer prolongs the lease from the last send, whichever it answers",
        NumberResent: "a renewal without an answer is sent again under its old number, with a new t_send",
        DroppedCoverStays: "a stack that the new list does not name keeps its right",
        AnswersOutOfOrder: "actor and gate take answers that are older than the last one",
        OneWitnessForEver: "a renewal without a yes is not tried at the next witness",
        // registration, renewal, expiry
        NoIncarnation: "renewals of an earlier run of the actor are accepted",
        ExpireIgnoresRenewal: "Expire is applied though a later renewal was",
        UnstoppedIgnored: "Expire fences a stack that its site reported unstopped",
        VerdictIgnoresRenewal: "a verdict is applied though a later renewal was",
        SuspectWithoutMajority: "one witness's view is enough to suspect a site",
        ExpireWaitsForTwoSignals: "Expire waits until a majority reaches nothing of the site",
        // horizons
        HorizonKeptOverSnapshot: "a snapshot is installed and the horizons stay as they were",
        HorizonKeptOverJump: "a witness's clock jumped and the horizons stay as they were",
        HorizonOfCurrentPolicy: "the horizon of a renewal is reckoned from today's D, not from its own",
        LongGrantForgotten: "a shorter D counts for all who know nothing as soon as it is set",
        DriftIgnored: "W is D + F: clocks are trusted to run alike",
        FactorOnePlusTwoRho: "W is (D + F)(1 + 2 rho)",
        // covers and fences
        HeldFencedByTime: "time fences a held cover",
        TimedBeforeGateKnows: "held turned timed counts before the gate knows",
        OldAckCounts: "any acknowledgement makes the cover timed, not only that of the last entry",
        InheritsTimed: "an election entry for the same site makes a held cover timed",
        CoverAfterFenceBegin: "covers go on holding a stack after its FenceBegin",
        FenceWithoutHorizon: "FenceBegin is proven by time at once, without its horizon",
        StoppingIgnored: "a stack that is still stopping is fenced by time",
        FenceLeavesEpochOpen: "the fence leaves the epoch open: its site gets the cover again",
        AttestedWhileLeased: "an operator's word counts against a site that renews",
        // elections and transitions
        ElectUnfenced: "the election entry does not ask for the fence",
        EpochNotRaised: "the election entry names the same epoch again",
        RollbackAfterElection: "after a failed promotion the stack is given back without a fence",
        TwoTransitions: "a second transition may begin before the first has ended",
        StepRepeated: "a step that is reported twice takes effect twice",
        TimelineNotCounted: "two promote steps may make the same timeline number",
        PromoteBlocksForEver: "a promotion has no deadline",
        OldSiteNeverCandidate: "the site that ran the closed epoch is no candidate",
        CooldownCountsUnfinished: "the cooldown counts failovers that were not finished",
        UnhealthyAtOnce: "a database that is ill for a second is failed over",
        NeverStreamedEligible: "a standby that did not stream may be elected",
        LagIgnored: "a standby beyond max_lag counts as streaming",
        LsnsAcrossTimelines: "LSNs are compared across timelines",
        ConsentNotNeeded: "a site that nobody streamed from is given up without consent",
        LongestNotAwaited: "a standby with a longer log that was heard and is away for the moment is not waited for",
        AwaitedSinceFence: "such a standby is waited for from the fence on, not from the last detachment on",
        WishCostsRows: "an operator's wish is granted to a standby with a shorter log",
        ClosedStaysClosed: "cooldown and redundancy hold a stack whose epoch is closed",
        FailedNeverAgain: "a site whose promotion failed is no choice for the rest of the transition",
        SickPrimaryTakesOff: "a primary that takes no writes takes standbys off the list",
        DigestIgnored: "a witness whose state differs goes on",
        // synchronous sets
        SetOfSuccessor: "a primary that was left is told its successor's set",
        JointSkipped: "a new set counts alone from its first entry on",
        LastSetAlone: "of the sets that may be in effect the last one alone is asked",
        ElectionSetAtOnce: "the election's set counts at once, before it has caught up",
        SettledUnseen: "a set is settled though nobody saw it in force",
        SettledBeforeCaughtUp: "a set is settled before its members have what was written before",
        ElectBeforeSetHeard: "a site is elected before enough members of each set were heard",
        ShorterLogElected: "a site is elected though a heard one has a longer log",
        OlderSetReloaded: "in the model: an actor reloads a set that is older than the one on disk",
        // the gate
        DeadlineIgnored: "a gate opens and keeps open after the deadline",
        DeadlineFromArrival: "the gate's deadline counts from when it read the answer",
        ClosedIgnored: "a gate opens an epoch that is closed",
        RecordGoesBack: "the gate's record takes over a lower closed epoch",
        OpensWhatItFinds: "a gate that starts opens a former primary as it finds it",
        PromotedByOthersKept: "a standby that others promoted is left running",
        StaleOrderObeyed: "an order below the highest epoch is obeyed",
        AckBeforeLastProcess: "a fence is acknowledged while processes are left",
        FenceFromNow: "F counts from when the gate looks, not from the end of the cover",
        CoverEpochUnseen: "a cover's epoch does not count as seen before the word on the epochs",
        // shells
        OneClock: "in the simulated shell: both clocks of a host are the one that stops in a suspend",
        CheckThenAct: "in the simulated shell: the gate looks, and starts or promotes a while later",
        RelinquishNotOnDisk: "in the simulated shell: a relinquishment is acknowledged before it is on disk",
        EpochNotPersisted: "in the simulated shell: the actor's epochs are lost with its process",
        LeaderWithoutCommit: "in the simulated shell: a leader grants renewals without committing them",
        PermissionFromView: "in the simulated shell: an actor covers its gate by a view, without a renewal",
        PromoteBeforeElection: "in the simulated shell: a detached standby is promoted before the entry",
        LsnBeforeDetach: "in the simulated shell: a standby's LSN is read before it let go",
        StandbyReattaches: "in the simulated shell: a restarted standby attaches again after its report",
    }

    std::thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// True if this bug is planted in this thread.
    #[must_use]
    pub fn is_on(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }

    /// A bug is planted in this thread while this lives.
    #[derive(Debug)]
    pub struct Planting {
        before: Option<Bug>,
    }

    impl Planting {
        /// Plants it, or none.
        #[must_use]
        pub fn new(bug: Option<Bug>) -> Self {
            Self { before: ON.replace(bug) }
        }
    }

    impl Drop for Planting {
        fn drop(&mut self) {
            ON.set(self.before);
        }
    }
}
