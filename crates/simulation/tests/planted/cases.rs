//! Every planted bug: who must catch it, and how it is looked for.

use crate::methods::How::{self, Scenario, Seeds, Sets, World};
use crate::{at_site, elections, scenarios};
use coordination::invariants::Invariant::{
    self, L1ItEnds, L2NoNeedlessFailover, L3NoNeedlessOutage, S1OneWriter, S2FenceFirst, S3EpochsGrow,
    S4NoLostAcknowledgement, S5ClosedByDefault, S6OneTransition, S7AgreedNotGuessed,
};
use coordination::planted::Bug;
use simulation::plan::Class;

/// One bug.
pub struct Case {
    /// Which.
    pub bug: Bug,
    /// The checkers, each of which names it.
    pub caught_by: &'static [Invariant],
    /// How it is looked for.
    pub how: How,
}

const fn case(bug: Bug, caught_by: &'static [Invariant], how: How) -> Case {
    Case { bug, caught_by, how }
}

/// Who runs what nobody permits breaks S5 first, and S1 or S2 as soon as somebody else runs it.
const WRITER: &[Invariant] = &[S5ClosedByDefault, S1OneWriter, S2FenceFirst];
const S1: &[Invariant] = &[S1OneWriter, S2FenceFirst];
const S2: &[Invariant] = &[S2FenceFirst];
const S3: &[Invariant] = &[S3EpochsGrow];
const S4: &[Invariant] = &[S4NoLostAcknowledgement];
const S5: &[Invariant] = &[S5ClosedByDefault];
const S6: &[Invariant] = &[S6OneTransition];
const S7: &[Invariant] = &[S7AgreedNotGuessed];
const L1: &[Invariant] = &[L1ItEnds];
const L2: &[Invariant] = &[L2NoNeedlessFailover];
const L3: &[Invariant] = &[L3NoNeedlessOutage];

const STEPS: usize = 300_000;
const ALL: Class = Class::All;

/// All, in the order of the list of bugs.
pub const CASES: &[Case] = &[
    case(Bug::LeaseFromArrival, WRITER, World(STEPS)),
    case(Bug::LeaseFromLastSend, WRITER, Seeds(ALL, 800)),
    case(Bug::NumberResent, WRITER, Seeds(ALL, 100)),
    case(Bug::DroppedCoverStays, S5, Scenario("a list without the stack", at_site::a_list_without_the_stack)),
    case(Bug::AnswersOutOfOrder, S1, Scenario("an older answer", at_site::an_older_answer)),
    case(Bug::OneWitnessForEver, L3, Seeds(Class::OneLost, 100)),
    case(
        Bug::NoIncarnation,
        S1,
        Scenario("a late renewal of an earlier run", scenarios::a_late_renewal_of_an_earlier_run),
    ),
    case(
        Bug::ExpireIgnoresRenewal,
        S1,
        Scenario("a renewal overtakes Expire", scenarios::expire_after_a_renewal),
    ),
    case(
        Bug::UnstoppedIgnored,
        S1,
        Scenario("lost with something unstopped", scenarios::lost_with_something_unstopped),
    ),
    case(
        Bug::VerdictIgnoresRenewal,
        S7,
        Scenario("a renewal overtakes a verdict", scenarios::verdict_after_a_renewal),
    ),
    case(Bug::SuspectWithoutMajority, S7, Scenario("one accuser of three", scenarios::one_accuser)),
    case(
        Bug::ExpireWaitsForTwoSignals,
        L1,
        Scenario("a dead actor, a living witness", scenarios::a_dead_actor_beside_a_living_witness),
    ),
    case(
        Bug::HorizonKeptOverSnapshot,
        S1,
        Scenario("a snapshot with a later renewal", scenarios::a_snapshot_with_a_later_renewal),
    ),
    case(Bug::HorizonKeptOverJump, S1, Scenario("a clock that jumps", scenarios::a_clock_that_jumps)),
    case(
        Bug::HorizonOfCurrentPolicy,
        S1,
        Scenario("a longer grant commits late", scenarios::a_longer_grant_that_commits_late),
    ),
    case(
        Bug::LongGrantForgotten,
        S1,
        Scenario("a restart while a longer grant runs", scenarios::a_restart_while_a_longer_grant_runs),
    ),
    case(
        Bug::DriftIgnored,
        S1,
        Scenario("slowest holder, fastest witness", scenarios::the_slowest_holder_and_the_fastest_witness),
    ),
    case(
        Bug::FactorOnePlusTwoRho,
        S1,
        Scenario("slowest holder, fastest witness", scenarios::the_slowest_holder_and_the_fastest_witness),
    ),
    case(Bug::HeldFencedByTime, WRITER, World(STEPS)),
    case(Bug::TimedBeforeGateKnows, WRITER, World(STEPS)),
    case(
        Bug::OldAckCounts,
        S1,
        Scenario("an earlier entry is acknowledged", scenarios::an_acknowledgement_of_an_earlier_entry),
    ),
    case(
        Bug::InheritsTimed,
        S1,
        Scenario("an abort before the acknowledgement", scenarios::an_abort_before_the_acknowledgement),
    ),
    case(
        Bug::CoverAfterFenceBegin,
        S1,
        Scenario("a renewal after FenceBegin", scenarios::a_renewal_after_the_fence_began),
    ),
    case(Bug::FenceWithoutHorizon, S1, Seeds(ALL, 300)),
    case(Bug::StoppingIgnored, S1, Scenario("fenced while stopping", scenarios::fenced_while_stopping)),
    case(Bug::FenceLeavesEpochOpen, WRITER, World(STEPS)),
    case(
        Bug::AttestedWhileLeased,
        S1,
        Scenario("an operator is mistaken", scenarios::attested_while_it_renews),
    ),
    case(Bug::ElectUnfenced, S2, Scenario("a leader elects too early", scenarios::unfenced_election)),
    case(Bug::EpochNotRaised, S3, Seeds(ALL, 300)),
    case(Bug::RollbackAfterElection, S2, Scenario("a failed promotion is given back", scenarios::given_back)),
    case(Bug::TwoTransitions, S6, Seeds(ALL, 600)),
    case(
        Bug::StepRepeated,
        S6,
        Scenario("a promotion is reported twice", scenarios::promotion_reported_twice),
    ),
    case(
        Bug::TimelineNotCounted,
        S6,
        Scenario("after an unseen promotion", scenarios::the_number_after_an_unseen_promotion),
    ),
    case(
        Bug::PromoteBlocksForEver,
        L1,
        Scenario("a promotion that hangs", scenarios::a_promotion_that_hangs),
    ),
    case(Bug::OldSiteNeverCandidate, L1, Seeds(ALL, 300)),
    case(
        Bug::CooldownCountsUnfinished,
        L1,
        Scenario("the second attempt", scenarios::the_second_attempt_of_a_transition),
    ),
    case(Bug::UnhealthyAtOnce, L2, Seeds(Class::ShortFaults, 200)),
    case(
        Bug::NeverStreamedEligible,
        S4,
        Scenario("a standby that did not stream", scenarios::a_standby_that_did_not_stream),
    ),
    case(Bug::LagIgnored, S4, Seeds(ALL, 400)),
    case(
        Bug::LsnsAcrossTimelines,
        S4,
        Scenario("a longer log of an older timeline", scenarios::a_longer_log_of_an_older_timeline),
    ),
    case(Bug::ConsentNotNeeded, S4, Seeds(ALL, 300)),
    case(
        Bug::LongestNotAwaited,
        S4,
        Scenario("a longer log is away for a moment", elections::the_longer_log_is_away_for_a_moment),
    ),
    case(Bug::AwaitedSinceFence, S4, Seeds(ALL, 3_000)),
    case(Bug::WishCostsRows, S4, Seeds(ALL, 1_500)),
    case(Bug::ClosedStaysClosed, L1, Seeds(ALL, 1_000)),
    case(Bug::FailedNeverAgain, L1, Seeds(ALL, 200)),
    case(
        Bug::SickPrimaryTakesOff,
        L1,
        Scenario("a sick primary and its standbys", elections::a_sick_primary_and_its_standbys),
    ),
    case(Bug::DigestIgnored, S7, Scenario("states that differ", scenarios::states_that_differ)),
    case(Bug::SetOfSuccessor, S4, Sets(STEPS)),
    case(Bug::JointSkipped, S4, Sets(STEPS)),
    case(Bug::LastSetAlone, S4, Sets(STEPS)),
    case(Bug::ElectionSetAtOnce, S4, Sets(STEPS)),
    case(Bug::SettledUnseen, S4, Sets(STEPS)),
    case(Bug::SettledBeforeCaughtUp, S4, Sets(STEPS)),
    case(Bug::ElectBeforeSetHeard, S4, Sets(STEPS)),
    case(Bug::ShorterLogElected, S4, Sets(STEPS)),
    case(Bug::OlderSetReloaded, S4, Sets(STEPS)),
    case(Bug::DeadlineIgnored, WRITER, World(STEPS)),
    case(
        Bug::DeadlineFromArrival,
        S5,
        Scenario("an answer is read late", at_site::an_answer_that_is_read_late),
    ),
    case(Bug::ClosedIgnored, S3, Seeds(ALL, 200)),
    case(
        Bug::RecordGoesBack,
        S3,
        Scenario("an answer from before a relinquishment", at_site::an_answer_from_before_the_relinquishment),
    ),
    case(
        Bug::OpensWhatItFinds,
        S5,
        Scenario("a former primary is found", at_site::a_former_primary_is_found),
    ),
    case(Bug::PromotedByOthersKept, S5, Scenario("promoted by hand", at_site::promoted_by_hand)),
    case(Bug::StaleOrderObeyed, S3, Seeds(ALL, 300)),
    case(Bug::AckBeforeLastProcess, S1, Seeds(ALL, 300)),
    case(Bug::FenceFromNow, WRITER, World(STEPS)),
    case(Bug::CoverEpochUnseen, WRITER, World(STEPS)),
    case(Bug::OneClock, WRITER, Seeds(ALL, 400)),
    case(Bug::CheckThenAct, WRITER, World(STEPS)),
    case(Bug::RelinquishNotOnDisk, S3, World(2 * STEPS)),
    case(Bug::EpochNotPersisted, S3, World(2 * STEPS)),
    case(Bug::LeaderWithoutCommit, WRITER, Seeds(ALL, 100)),
    case(Bug::PermissionFromView, WRITER, Seeds(ALL, 400)),
    case(Bug::PromoteBeforeElection, S2, Seeds(ALL, 300)),
    case(Bug::LsnBeforeDetach, S4, Seeds(ALL, 300)),
    // In asynchronous mode a standby lets go only once the fence is proven: whom it attaches to again
    // sends nothing any more. 300 seeds pass.
    case(Bug::StandbyReattaches, S4, Sets(STEPS)),
];
