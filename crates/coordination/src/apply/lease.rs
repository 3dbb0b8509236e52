//! Registration, renewal, expiry and verdicts (design, section 5, rules 1 to 6).

use super::Applied;
use crate::Outcome;
use crate::state::{CoverState, Lease, Site, State};
use alloc::{collections::BTreeSet, format, vec::Vec};
use model::{
    Cover, EventKind, FenceMethod, Grant, GrantTerms, Incarnation, LogIndex, Refusal, RegistrationAnswer,
    RenewRequest, RenewalNumber, SiteId, StackId, TimedAck, Verdict, WallMillis,
};

impl State {
    pub(super) fn register(
        &mut self,
        at: WallMillis,
        site: &SiteId,
        incarnation: Incarnation,
        terms: GrantTerms,
    ) -> Applied {
        let known = self.site_with_actor(site)?;
        known.lease = Some(Lease { incarnation, renewed: false, expired: false });
        let last_number = known.number;
        self.remember_terms(terms);
        self.record(at, EventKind::Registered { site: site.clone(), incarnation });
        Ok(Outcome::Registered(RegistrationAnswer {
            index: self.index,
            last_number,
            terms,
            epochs: self.epochs_of(site),
            cover: Cover::default(),
        }))
    }

    pub(super) fn renew(&mut self, at: WallMillis, request: &RenewRequest, terms: GrantTerms) -> Applied {
        let site = self.site_with_actor(&request.site)?;
        let last = site.number;
        let lease = site.lease.as_mut().ok_or(Refusal::NotRegistered)?;
        if lease.incarnation != request.incarnation && !planted!(NoIncarnation) {
            return Err(Refusal::OtherIncarnation { registered: lease.incarnation });
        }
        if lease.expired {
            return Err(Refusal::LeaseExpired);
        }
        let repeated = lease.renewed && request.number == last;
        if request.number <= last && !repeated {
            return Err(Refusal::StaleNumber { last });
        }
        if !repeated {
            lease.renewed = true;
            site.number = request.number;
            self.accept_renewal(at, request);
            self.remember_terms(terms);
        }
        Ok(Outcome::Renewed { grant: self.grant(request, terms), repeated })
    }

    fn accept_renewal(&mut self, at: WallMillis, request: &RenewRequest) {
        let known = |stacks: &[StackId]| -> BTreeSet<StackId> {
            stacks.iter().filter(|s| self.stacks.contains_key(s)).cloned().collect()
        };
        let (stopping, unstopped) = (known(&request.stopping), known(&request.unstopped));
        if let Some(site) = self.sites.get_mut(&request.site) {
            site.stopping = stopping;
            site.unstopped = unstopped;
            let from = core::mem::replace(&mut site.verdict, Verdict::Up);
            if from != Verdict::Up {
                let site = request.site.clone();
                self.record(
                    at,
                    EventKind::VerdictChanged { site, from, to: Verdict::Up, unreached_by: Vec::new() },
                );
            }
        }
        for ack in &request.timed_acks {
            self.acknowledge_timed(at, &request.site, ack);
        }
    }

    /// Held to timed counts once that gate has acknowledged it, naming the entry's index; any
    /// but the last is of no account (rule 6).
    fn acknowledge_timed(&mut self, at: WallMillis, site: &SiteId, ack: &TimedAck) {
        let Some(stack) = self.stacks.get_mut(&ack.stack) else { return };
        let awaited = CoverState::TimedUnacknowledged { since: ack.since };
        let last = stack.cover == awaited || (planted!(OldAckCounts) && stack.cover.kind() != awaited.kind());
        if stack.is_open_at(site) && stack.epoch() == ack.epoch && last {
            stack.cover = CoverState::Timed { since: ack.since };
            self.record(at, EventKind::CoverTimed { stack: ack.stack.clone(), epoch: ack.epoch });
        }
    }

    /// The cover is filled in once the entry is applied in full.
    fn grant(&self, request: &RenewRequest, terms: GrantTerms) -> Grant {
        Grant {
            index: self.index,
            incarnation: request.incarnation,
            number: request.number,
            terms,
            cover_revision: LogIndex::default(),
            cover: None,
        }
    }

    pub(super) fn expire(
        &mut self,
        at: WallMillis,
        site: &SiteId,
        incarnation: Incarnation,
        number: RenewalNumber,
    ) -> Applied {
        let known = self.site_with_actor(site)?;
        let last = known.number;
        let lease = known.lease.as_mut().ok_or(Refusal::NotRegistered)?;
        if lease.expired {
            return Err(Refusal::LeaseExpired);
        }
        if lease.incarnation != incarnation {
            return Err(Refusal::OtherIncarnation { registered: lease.incarnation });
        }
        if last != number && !planted!(ExpireIgnoresRenewal) {
            return Err(Refusal::Superseded { last });
        }
        lease.expired = true;
        let from = core::mem::replace(&mut known.verdict, Verdict::Lost);
        let unstopped = known.unstopped.clone();
        self.record(at, EventKind::LeaseExpired { site: site.clone(), number });
        if from != Verdict::Lost {
            let kind = EventKind::VerdictChanged {
                site: site.clone(),
                from,
                to: Verdict::Lost,
                unreached_by: Vec::new(),
            };
            self.record(at, kind);
        }
        self.fence_expired(at, site, number, &unstopped);
        Ok(Outcome::Applied)
    }

    fn fence_expired(
        &mut self,
        at: WallMillis,
        site: &SiteId,
        number: RenewalNumber,
        unstopped: &BTreeSet<StackId>,
    ) {
        let index = self.index;
        let mut fenced = Vec::new();
        for (id, stack) in &mut self.stacks {
            let unstopped = unstopped.contains(id) && !planted!(UnstoppedIgnored);
            let proven = stack.cover.is_fenced_by_time() && !unstopped;
            if stack.is_open_at(site) && proven {
                let evidence = format!("the lease ended after renewal {number} of {site}");
                stack.close(FenceMethod::Time, index, evidence);
                fenced.push((id.clone(), stack.epoch()));
            }
        }
        for (stack, epoch) in fenced {
            let method = FenceMethod::Time;
            self.record(at, EventKind::Fenced { stack, site: site.clone(), epoch, method });
        }
    }

    pub(super) fn set_verdict(
        &mut self,
        at: WallMillis,
        site: &SiteId,
        verdict: Verdict,
        number: RenewalNumber,
        unreached_by: &[SiteId],
    ) -> Applied {
        let known = self.site_with_actor(site)?;
        if known.number != number && !planted!(VerdictIgnoresRenewal) {
            return Err(Refusal::Superseded { last: known.number });
        }
        // Up comes with a renewal, lost with an expiry.
        if verdict != Verdict::Suspect || known.verdict != Verdict::Up {
            return Err(Refusal::AlreadyDefined);
        }
        let from = core::mem::replace(&mut known.verdict, verdict);
        let unreached_by = unreached_by.to_vec();
        self.record(at, EventKind::VerdictChanged { site: site.clone(), from, to: verdict, unreached_by });
        Ok(Outcome::Applied)
    }

    fn site_with_actor(&mut self, site: &SiteId) -> Result<&mut Site, Refusal> {
        match self.sites.get_mut(site) {
            None => Err(Refusal::UnknownSite(site.clone())),
            Some(known) if !known.actor => Err(Refusal::NoActor(site.clone())),
            Some(known) => Ok(known),
        }
    }

    fn remember_terms(&mut self, terms: GrantTerms) {
        let span = terms.lease_duration.plus(terms.fence_deadline);
        self.longest.span = self.longest.span.max(span);
    }
}
