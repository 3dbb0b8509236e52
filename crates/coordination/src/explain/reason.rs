//! Reasons as sentences, each with its remedy where there is one.

use alloc::{format, string::String, vec::Vec};
use model::{Cause, Hold, Ineligible, Refusal, SiteId};

/// Why a transition was begun.
#[must_use]
pub fn cause_text(cause: &Cause) -> String {
    match cause {
        Cause::Silence { number } => {
            format!("no renewal after number {number}, and a majority of witnesses reach nothing of the site")
        }
        Cause::Expired => "its lease has expired".into(),
        Cause::Unhealthy => "the site answers, but its database takes no writes".into(),
        Cause::DatabaseLost => "the site answers, but its data directory is gone".into(),
        Cause::PromoteFailed => "the elected site did not promote in time".into(),
        Cause::Operator => "an operator asked for it".into(),
    }
}

/// Why a command was refused, and what to do.
#[must_use]
pub fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownSite(site) => {
            format!("there is no site {site}; `tripoint status` lists the sites of the group")
        }
        Refusal::UnknownStack(stack) => {
            format!("there is no stack {stack}; `tripoint status` lists the stacks of the group")
        }
        Refusal::NoActor(site) => format!("site {site} has a witness only, no actor"),
        Refusal::NotAtSite(stack, site) => format!("stack {stack} has no copy at site {site}"),
        Refusal::AlreadyDefined => {
            "it is defined otherwise already; changing it comes with a later version".into()
        }
        Refusal::OtherIncarnation { registered } => {
            format!("another run of the site's actor ({registered}) is registered; register again")
        }
        Refusal::NotRegistered => {
            "the site's actor has not registered; is `tripoint actor` running there?".into()
        }
        Refusal::LeaseExpired => "the site's lease has expired; its actor must register again".into(),
        Refusal::StaleNumber { last } => {
            format!("renewal number {last} was accepted already; use a higher one")
        }
        Refusal::Superseded { last } => format!("renewal {last} has been applied since"),
        Refusal::StaleEpoch { current } => format!("the stack is at epoch {current} by now; look again"),
        Refusal::EpochClosed { closed } => format!("epoch {closed} is closed for ever"),
        Refusal::NotFenced { site, epoch } => {
            format!("site {site} is not fenced for epoch {epoch} yet; it may still write")
        }
        Refusal::TransitionRunning => {
            "a transition is under way; wait for its end (`tripoint status --watch`)".into()
        }
        Refusal::NoTransition => "no transition is under way".into(),
        Refusal::PastElection => "the election entry is committed: the transition goes to its end".into(),
        Refusal::StepNotDue(step) => format!("step {step} is not due"),
        Refusal::AlreadyAdopted => {
            "the stack was adopted before; `tripoint status` shows its active site".into()
        }
        Refusal::NotAdopted => "the stack is not adopted yet; run `tripoint adopt` first".into(),
        Refusal::CoverHeld => "the cover is held: time cannot fence it; an operator's attestation can".into(),
        Refusal::StillStopping => "the site says that something of the stack is still left there".into(),
        Refusal::WrongMode(mode) => {
            format!("the stack is in mode {mode}; `tripoint mode auto` lets the group act")
        }
        Refusal::NotDetached(site) => format!("site {site} has not let go of the old primary yet"),
        Refusal::TimelineUsed => "the timeline is not the one that this step was to make".into(),
        Refusal::OtherEntry { last } => format!("entry {last} is the one that counts"),
        Refusal::StalePolicy => "the policy was changed meanwhile; read it again".into(),
        Refusal::TimingRule => "a timing rule is broken; `tripoint timing` shows which".into(),
        Refusal::StillLeased(site) => {
            format!(
                "the lease of site {site} has not expired: it may well be alive; wait until status says so"
            )
        }
        Refusal::LimitReached => "the group's limit is reached".into(),
        Refusal::SetNotHeard => {
            "too few members of a synchronous set have let go: an acknowledged commit could be lost".into()
        }
        Refusal::LongerLog(site) => format!("site {site} has a longer log"),
        Refusal::ImpossibleSet { standbys } => {
            format!("the stack has {standbys} standbys; ask for 1 to that many")
        }
    }
}

/// Why a site cannot take over now.
#[must_use]
pub fn ineligible_text(reason: &Ineligible) -> String {
    match reason {
        Ineligible::Active => "it is the active one".into(),
        Ineligible::NotRegistered => "its actor is not registered".into(),
        Ineligible::NotRenewing => "its actor does not renew its lease".into(),
        Ineligible::NoReport => "it reported nothing about the stack yet".into(),
        Ineligible::NotStreaming => "it does not stream from the active site".into(),
        Ineligible::OtherDatabase => {
            "its system identifier is another one: not a copy of this database".into()
        }
        Ineligible::ForkedTimeline => {
            "its timeline is not in the chain of promotions: it needs a rejoin".into()
        }
        Ineligible::Lagging { bytes } => format!("it lags by {bytes} bytes, more than max_lag"),
        Ineligible::PositionUnknown => "the end of its WAL is unknown".into(),
        Ineligible::NotDetached => "it has not let go of the old primary yet".into(),
        Ineligible::GateAway => "its gate is not attached to its actor".into(),
        Ineligible::PromoteFailed => "it failed a promotion in this transition".into(),
        Ineligible::DatabaseLost => "its data directory is lost".into(),
        Ineligible::ShorterLog => "another site has a longer log".into(),
    }
}

/// Why the group waits.
#[must_use]
pub fn hold_text(hold: &Hold) -> String {
    match hold {
        Hold::Mode(mode) => format!("mode {mode}: the group does not act by itself"),
        Hold::HeldCover => {
            "its cover is held, so time cannot fence it: see that the site is off, then `tripoint attest`".into()
        }
        Hold::WaitingForFence { method } => format!("waiting for the fence (by {method})"),
        Hold::NoCandidate => "no site is eligible (`tripoint explain` says why)".into(),
        Hold::WaitingForStandbys => "waiting for the other standbys to report the end of their WAL".into(),
        Hold::NoRedundancy => "no standby streams from the new primary yet".into(),
        Hold::Cooldown => "the last automatic failover is too recent".into(),
        Hold::TooManyFailovers => "too many failovers were attempted: a human has to look".into(),
        Hold::NeedsConsent => {
            "nobody ever streamed from the lost site: what it acknowledged is nowhere else, so a takeover needs a human".into()
        }
        Hold::Unstopped(site) => format!("site {site} says that its stop failed: fence it by hand"),
        Hold::Pausing => "pausing before the next attempt".into(),
        Hold::SetNotHeard { missing } => {
            let missing: Vec<&str> = missing.iter().map(SiteId::as_str).collect();
            format!(
                "an acknowledged commit may be at a site that was not heard: waiting for {}",
                missing.join(", ")
            )
        }
        Hold::LongestAway(site) => {
            format!("the longest log is at site {site}, which cannot take over now (`tripoint explain`)")
        }
    }
}
