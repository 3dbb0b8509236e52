//! Which planted bug is looked for in which world.

use super::check::{Verdict, check};
use super::rules::{Budget, all};
use coordination::planted::Bug;

/// How much of the world is needed: a smaller one has the same counterexample sooner.
type Trim = fn(&mut Budget);

/// One renewal of A: what counts as fenced is judged at once, without an election.
const fn few(budget: &mut Budget) {
    quiet(budget);
    budget.sends = [1, 0];
}

/// Nothing goes wrong but time and order.
const fn quiet(budget: &mut Budget) {
    budget.sends = [2, 0];
    budget.duplicates = 0;
    budget.restarts = 0;
    budget.anew = 0;
    budget.late = 0;
    budget.suspended = 0;
    budget.jumps = 0;
    budget.stuck = 0;
    budget.promotes = 0;
    budget.elections = 0;
}

/// One process starts anew.
const fn restarts(budget: &mut Budget) {
    few(budget);
    budget.restarts = 1;
}

/// One process starts anew, and its site renews before and after.
const fn runs(budget: &mut Budget) {
    quiet(budget);
    budget.restarts = 1;
}

const fn suspended(budget: &mut Budget) {
    few(budget);
    budget.suspended = 2;
}

const fn jumps(budget: &mut Budget) {
    few(budget);
    budget.jumps = 1;
}

const fn stuck(budget: &mut Budget) {
    few(budget);
    budget.stuck = 1;
    budget.begins = 0;
}

/// Held to timed, with three renewals.
const fn timed(budget: &mut Budget) {
    quiet(budget);
    budget.sends = [3, 0];
    budget.modes = 1;
}

/// Timed, held and timed again.
const fn modes(budget: &mut Budget) {
    quiet(budget);
    budget.modes = 2;
}

/// Elections, and renewals of both sites.
const fn elections(budget: &mut Budget) {
    quiet(budget);
    budget.sends = [1, 1];
    budget.elections = 2;
}

const fn promotes(budget: &mut Budget) {
    elections(budget);
    budget.promotes = 2;
}

/// Two transitions are begun.
const fn begins(budget: &mut Budget) {
    quiet(budget);
    budget.begins = 2;
}

/// Bugs of the lease, the covers, the fences and the transitions, each with the world whose rules
/// it weakens and what of that world is needed.
pub const HUNTS: &[(Bug, &str, Trim)] = &[
    (Bug::LeaseFromArrival, "L", few),
    (Bug::LeaseFromLastSend, "L", quiet),
    (Bug::NumberResent, "L", quiet),
    (Bug::ExpireIgnoresRenewal, "L", few),
    (Bug::HorizonKeptOverSnapshot, "L", few),
    (Bug::DriftIgnored, "L", few),
    (Bug::FactorOnePlusTwoRho, "L", few),
    (Bug::FenceLeavesEpochOpen, "L", few),
    (Bug::EpochNotRaised, "L", elections),
    (Bug::DeadlineIgnored, "L", few),
    (Bug::LeaderWithoutCommit, "L", few),
    (Bug::NoIncarnation, "R", runs),
    (Bug::CheckThenAct, "R", restarts),
    (Bug::OneClock, "K", suspended),
    (Bug::HorizonKeptOverJump, "K", jumps),
    (Bug::DeadlineFromArrival, "K", few),
    (Bug::HorizonOfCurrentPolicy, "P", few),
    (Bug::LongGrantForgotten, "P", restarts),
    (Bug::HeldFencedByTime, "C", few),
    (Bug::TimedBeforeGateKnows, "C", few),
    (Bug::OldAckCounts, "C", modes),
    (Bug::AnswersOutOfOrder, "C", timed),
    (Bug::AttestedWhileLeased, "C", few),
    (Bug::CoverAfterFenceBegin, "F", few),
    (Bug::FenceWithoutHorizon, "F", few),
    (Bug::DroppedCoverStays, "F", few),
    (Bug::StoppingIgnored, "F", few),
    (Bug::UnstoppedIgnored, "F", stuck),
    (Bug::RelinquishNotOnDisk, "F", restarts),
    (Bug::EpochNotPersisted, "F", restarts),
    (Bug::AckBeforeLastProcess, "F", few),
    (Bug::RecordGoesBack, "F", few),
    (Bug::FenceFromNow, "L", few),
    (Bug::CoverEpochUnseen, "C", timed),
    (Bug::PermissionFromView, "F", few),
    (Bug::ElectUnfenced, "T", elections),
    (Bug::RollbackAfterElection, "G", promotes),
    (Bug::TwoTransitions, "T", begins),
    (Bug::StepRepeated, "G", promotes),
    (Bug::TimelineNotCounted, "G", promotes),
    (Bug::InheritsTimed, "H", elections),
];

/// Looks for one bug in its world; at most `limit` steps are tried.
#[must_use]
pub fn hunt(bug: Bug, limit: usize) -> Option<Verdict> {
    let (_, world, trim) = HUNTS.iter().find(|(one, ..)| *one == bug)?;
    let mut rules = all(false).into_iter().find(|rules| rules.name == *world)?;
    trim(&mut rules.budget);
    Some(check(&rules, Some(bug), Some(limit)))
}
