//! Sites, stacks and the policy.

use super::Applied;
use crate::Outcome;
use crate::policy::Policy;
use crate::state::{SITES_MAX, STACKS_MAX, Site, Stack, State};
use model::{EventKind, LogIndex, Refusal, SiteId, StackId, WallMillis};

impl State {
    pub(super) fn define_site(&mut self, at: WallMillis, site: &SiteId, actor: bool) -> Applied {
        match self.sites.get(site) {
            Some(known) if known.actor == actor => return Ok(Outcome::Applied),
            Some(_) => return Err(Refusal::AlreadyDefined),
            None if self.sites.len() == SITES_MAX => return Err(Refusal::LimitReached),
            None => {}
        }
        self.sites.insert(site.clone(), Site::new(actor));
        self.record(at, EventKind::SiteDefined { site: site.clone() });
        Ok(Outcome::Applied)
    }

    pub(super) fn define_stack(&mut self, at: WallMillis, stack: &StackId, sites: &[SiteId]) -> Applied {
        if let Some(known) = self.stacks.get(stack) {
            return if known.sites == sites { Ok(Outcome::Applied) } else { Err(Refusal::AlreadyDefined) };
        }
        if self.stacks.len() == STACKS_MAX {
            return Err(Refusal::LimitReached);
        }
        for site in sites {
            match self.sites.get(site) {
                None => return Err(Refusal::UnknownSite(site.clone())),
                Some(known) if !known.actor => return Err(Refusal::NoActor(site.clone())),
                Some(_) => {}
            }
        }
        self.stacks.insert(stack.clone(), Stack::new(sites.to_vec()));
        self.record(at, EventKind::StackDefined { stack: stack.clone(), sites: sites.to_vec() });
        Ok(Outcome::Applied)
    }

    pub(super) fn set_policy(&mut self, at: WallMillis, policy: &Policy) -> Applied {
        let expected = self.policy.as_ref().map_or(1, |p| p.revision + 1);
        if policy.revision != expected {
            return Err(Refusal::StalePolicy);
        }
        let terms = policy.timing.terms();
        let span = terms.lease_duration.plus(terms.fence_deadline);
        let longest = &mut self.longest;
        longest.drift_max_ppm = longest.drift_max_ppm.max(policy.timing.values().drift_max_ppm);
        longest.shortened = (span < longest.span).then_some(self.index);
        longest.span = if planted!(LongGrantForgotten) { span } else { longest.span.max(span) };
        self.policy = Some(policy.clone());
        self.record(at, EventKind::PolicySet { revision: policy.revision });
        Ok(Outcome::Applied)
    }

    /// A longer grant is forgotten by an entry of its own, which the leader proposes once W_max
    /// is past since the entry that shortened it (design, section 5, rule 3).
    pub(super) fn forget_long_grant(&mut self, since: LogIndex) -> Applied {
        let Some(policy) = &self.policy else { return Err(Refusal::StalePolicy) };
        if self.longest.shortened != Some(since) {
            return Err(Refusal::StalePolicy);
        }
        let terms = policy.timing.terms();
        self.longest.span = terms.lease_duration.plus(terms.fence_deadline);
        self.longest.drift_max_ppm = policy.timing.values().drift_max_ppm;
        self.longest.shortened = None;
        Ok(Outcome::Applied)
    }
}
