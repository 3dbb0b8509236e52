//! The steps of a failover as data: printed to `docs/plans.md` and held by a golden file.

use alloc::string::String;
use core::fmt::Write as _;
use model::StepKind;

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The leader, by an entry.
    Leader,
    /// The gate of the site that is left, asked by its actor; or time.
    GateOfFrom,
    /// The gate of each standby, asked by its actor.
    GateOfStandby,
    /// The gate of the elected site, asked by its actor.
    GateOfTo,
    /// The actor of the elected site.
    ActorOfTo,
}

/// What follows when a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Tried for ever; what needs it waits.
    Retry,
    /// Tried for ever while the rest goes on.
    RetryAside,
    /// The elected site is fenced and another election is made, in the same transition.
    FenceAndElectAnew,
}

/// One row of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRule {
    /// The step.
    pub kind: StepKind,
    /// Who does it.
    pub owner: Owner,
    /// Steps that must be done before.
    pub needs: &'static [StepKind],
    /// What a failure leads to.
    pub on_failure: OnFailure,
    /// Why it is there.
    pub comment: &'static str,
}

/// The plan of an unplanned failover in asynchronous mode. Rows do not depend on their order.
pub const FAILOVER: [StepRule; 6] = [
    StepRule {
        kind: StepKind::FenceDatabase,
        owner: Owner::GateOfFrom,
        needs: &[],
        on_failure: OnFailure::Retry,
        comment: "proven by the old site's acknowledgement or by time",
    },
    StepRule {
        kind: StepKind::Detach,
        owner: Owner::GateOfStandby,
        needs: &[StepKind::FenceDatabase],
        on_failure: OnFailure::Retry,
        comment: "only a standby that let go reports the end of its WAL",
    },
    StepRule {
        kind: StepKind::Elect,
        owner: Owner::Leader,
        needs: &[StepKind::FenceDatabase, StepKind::Detach],
        on_failure: OnFailure::Retry,
        comment: "the point of no return: names the site and the next epoch",
    },
    StepRule {
        kind: StepKind::Promote,
        owner: Owner::GateOfTo,
        needs: &[StepKind::Elect],
        on_failure: OnFailure::FenceAndElectAnew,
        comment: "under a cover of exactly the new epoch",
    },
    StepRule {
        kind: StepKind::VerifyWrite,
        owner: Owner::ActorOfTo,
        needs: &[StepKind::Promote],
        on_failure: OnFailure::FenceAndElectAnew,
        comment: "one row is updated and acknowledged",
    },
    StepRule {
        kind: StepKind::Follow,
        owner: Owner::GateOfStandby,
        needs: &[StepKind::Promote],
        on_failure: OnFailure::RetryAside,
        comment: "the other standbys stream from the new primary",
    },
];

/// The plan as a Markdown table.
#[must_use]
pub fn failover_table() -> String {
    let mut text =
        String::from("| step | owner | needs | on failure | why |\n| --- | --- | --- | --- | --- |\n");
    for rule in FAILOVER {
        let needs = rule.needs.iter().fold(String::new(), |mut all, kind| {
            if !all.is_empty() {
                all.push_str(", ");
            }
            // Writing to a String cannot fail.
            let _ = write!(all, "{kind}");
            all
        });
        let _ = writeln!(
            text,
            "| {} | {:?} | {needs} | {:?} | {} |",
            rule.kind, rule.owner, rule.on_failure, rule.comment
        );
    }
    text
}
