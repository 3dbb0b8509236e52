//! Events as sentences.

use super::reason::{cause_text, refusal_text};
use alloc::{format, string::String, vec::Vec};
use model::{EventKind, Replication, SiteId, StandbyLoss};

fn names(sites: &[SiteId]) -> String {
    sites.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", ")
}

/// One event as a sentence.
#[must_use]
pub fn event_text(event: &EventKind) -> String {
    match event {
        EventKind::SiteDefined { site } => format!("site {site} is defined"),
        EventKind::StackDefined { stack, sites } => format!("stack {stack} is defined at {}", names(sites)),
        EventKind::PolicySet { revision } => format!("policy {revision} is in force"),
        EventKind::Registered { site, incarnation } => format!("{site}: actor {incarnation} registered"),
        EventKind::VerdictChanged { site, from, to, unreached_by } if unreached_by.is_empty() => {
            format!("{site}: {from} -> {to}")
        }
        EventKind::VerdictChanged { site, from, to, unreached_by } => {
            format!("{site}: {from} -> {to} (not reached by {})", names(unreached_by))
        }
        EventKind::LeaseExpired { site, number } => {
            format!("{site}: lease expired after renewal {number}; it has surely fenced itself")
        }
        EventKind::Adopted { stack, site, epoch } => {
            format!("{stack}: adopted, {site} is active at epoch {epoch}")
        }
        EventKind::ModeSet { stack, from, to } => format!("{stack}: mode {from} -> {to}"),
        EventKind::CoverTimed { stack, epoch } => {
            format!("{stack}: its gate knows that the cover of epoch {epoch} is timed")
        }
        EventKind::StreamingChanged { stack, site, streams: true } => format!("{stack}: {site} streams"),
        EventKind::StreamingChanged { stack, site, streams: false } => {
            format!("{stack}: {site} does not stream any more")
        }
        EventKind::TransitionBegun { stack, from, epoch, cause } => {
            format!("{stack}: transition away from {from} (epoch {epoch}) begins: {}", cause_text(cause))
        }
        EventKind::WouldHaveBegun { stack, from, epoch, cause } => {
            format!("{stack}: would leave {from} (epoch {epoch}) in mode auto: {}", cause_text(cause))
        }
        EventKind::FenceBegun { stack, site, epoch } => format!("{stack}: {site} must close epoch {epoch}"),
        EventKind::Fenced { stack, site, epoch, method } => {
            format!("{stack}: {site} is fenced for epoch {epoch} ({method})")
        }
        EventKind::Detached { stack, site, epoch, position } => format!(
            "{stack}: {site} let go of the primary of epoch {epoch} at {} on timeline {}",
            position.lsn, position.timeline
        ),
        EventKind::Elected { stack, site, epoch, .. } => {
            format!("{stack}: {site} is elected for epoch {epoch}")
        }
        EventKind::Aborted { stack, site, epoch } => {
            format!("{stack}: {site} is back before any proof: it goes on, at epoch {epoch}")
        }
        EventKind::StepEnded { stack, site, epoch, step, outcome } => {
            let outcome = match outcome {
                model::StepOutcome::Done => "done",
                model::StepOutcome::Failed => "failed",
                model::StepOutcome::Unknown => "unknown",
            };
            format!("{stack}: {step} at {site} (epoch {epoch}) {outcome}")
        }
        EventKind::Completed { stack, site, epoch } => {
            format!("{stack}: transition complete, {site} is active at epoch {epoch}")
        }
        EventKind::Attested { stack, epoch, operator, reason } => {
            format!("{stack}: {operator} attests that epoch {epoch} is off: {reason}")
        }
        EventKind::DivergedListed { stack, site, fork, evidence, .. } => format!(
            "{stack}: {site} returns with WAL beyond {} on timeline {}: {evidence}",
            fork.lsn, fork.timeline
        ),
        EventKind::Rejoined { stack, site, evidence, outcome: model::StepOutcome::Done, .. } => {
            format!("{stack}: {site} is back: {evidence}")
        }
        EventKind::Rejoined { stack, site, evidence, .. } => {
            format!("{stack}: {site} can't be brought back: {evidence}")
        }
        EventKind::ReplicationSet { stack, replication: Replication::Async } => {
            format!("{stack}: a commit waits for no standby")
        }
        EventKind::ReplicationSet { stack, replication: Replication::Sync { k, loss } } => {
            let loss = match loss {
                StandbyLoss::Strict => "without them it waits",
                StandbyLoss::Available => "without them writes go on, and that is said",
            };
            format!("{stack}: a commit waits for {k} standbys; {loss}")
        }
        EventKind::SetBegun { stack, set } => format!("{stack}: commits are to wait for {set}"),
        EventKind::SetSettled { stack, set } => format!("{stack}: commits wait for {set}"),
        EventKind::Refused { refusal } => format!("refused: {}", refusal_text(refusal)),
    }
}
