//! Registration and renewals.

use super::Engine;
use crate::event::Failure;
use coordination::lease::Taken;
use coordination::reconcile::StackEpochs;
use model::{
    CoverKind, Grant, Incarnation, Millis, Moment, RegistrationAnswer, RenewRequest, RenewalNumber, StackId,
    TimedAck,
};

/// After this many sends the first witness of the list, the own site's, is tried again.
const SENDS_BEFORE_HOME: u64 = 60;

impl Engine {
    fn renew_every(&self) -> Millis {
        self.config.timing.renew_every
    }

    pub(super) fn register_if_due(&mut self, now: Moment) {
        let Some(due) = self.register_due else { return };
        if now.boottime < due.boottime {
            return;
        }
        // The next attempt, unless this one is answered; each has its own deadline below it.
        self.register_due = Some(now.after(self.renew_every().times(2)));
        self.witnesses.register(self.witness, self.incarnation, self.events.clone());
    }

    pub(super) fn registered(
        &mut self,
        incarnation: Incarnation,
        witness: usize,
        result: Result<RegistrationAnswer, Failure>,
        now: Moment,
    ) {
        if incarnation != self.incarnation || self.lease.incarnation() == Some(incarnation) {
            return;
        }
        let answer = match result {
            Ok(answer) => answer,
            Err(Failure::Refused(why) | Failure::Other(why)) => {
                tracing::warn!(
                    witness = self.witnesses.name(witness),
                    why,
                    "the registration was not answered with a yes"
                );
                self.witness = (witness + 1) % self.witnesses.len();
                self.register_due = Some(now.after(Millis(self.renew_every().0 / 4)));
                return;
            }
        };
        if let Taken::Ignored(why) = self.lease.register(incarnation, &answer) {
            tracing::info!(why, "an answer to a registration is ignored");
            return;
        }
        tracing::info!(%incarnation, index = %answer.index, number = %answer.last_number, "registered");
        self.register_due = None;
        self.registered_at = Some(now);
        self.timed_acks.clear();
        self.guard.set_fence_deadline(answer.terms.fence_deadline);
        self.refill(&answer);
        self.hurry(now);
    }

    /// The registration says what the store must know: at least that goes to disk before
    /// anything opens.
    fn refill(&mut self, answer: &RegistrationAnswer) {
        let mut wanted = self.persisting.clone().unwrap_or_default();
        for (id, stack) in &mut self.stacks {
            let told = answer.epochs.iter().find(|e| e.stack == *id);
            if let Some(told) = told {
                stack.hear(told);
            }
            let told = told
                .map_or_else(StackEpochs::default, |e| StackEpochs { highest: e.highest, closed: e.closed });
            let known = stack.epochs.unwrap_or_default();
            let most = known.max(told).max(wanted.get(id).copied().unwrap_or_default());
            wanted.insert(id.clone(), most);
        }
        let whole = self.stacks.iter().all(|(id, stack)| stack.epochs == wanted.get(id).copied());
        if !whole && !self.persist(wanted) {
            tracing::warn!("the disk does not keep up with the epochs; registering again");
            self.lease.unregister();
            self.register_due = Some(rpc::clock::now().after(self.renew_every()));
        }
    }

    /// Sends a renewal when it is due, whether or not earlier ones were answered.
    pub(super) fn renew_if_due(&mut self, now: Moment) {
        if now.boottime < self.renew_due.boottime {
            return;
        }
        self.tries_left = self.witnesses.len();
        self.send_renewal(now);
    }

    /// Sends a renewal at once. False before the registration.
    pub(super) fn hurry(&mut self, now: Moment) -> bool {
        self.renew_due = now;
        self.send_renewal(now)
    }

    fn send_renewal(&mut self, now: Moment) -> bool {
        if self.lease.incarnation().is_none() {
            return false;
        }
        self.renew_due = now.after(self.renew_every());
        self.sends += 1;
        if self.sends.is_multiple_of(SENDS_BEFORE_HOME) {
            self.witness = 0;
        }
        let (stopping, unstopped) = self.leftovers(now);
        // The clocks are read again as late as can be: t_send begins the lease.
        let Some(send) = self.lease.send(rpc::clock::now()) else { return false };
        let timed_acks = self.acks_to_send(send.number);
        let request = RenewRequest {
            site: self.site.clone(),
            incarnation: send.incarnation,
            number: send.number,
            cover_known: send.cover_known,
            stopping,
            unstopped,
            timed_acks,
        };
        let useful =
            self.lease.terms().map_or(self.config.timing.lease_duration, |terms| terms.lease_duration);
        self.witnesses.renew(self.witness, request, self.renew_every(), useful, self.events.clone());
        true
    }

    pub(super) fn renewed(
        &mut self,
        incarnation: Incarnation,
        number: RenewalNumber,
        witness: usize,
        result: Result<Grant, Failure>,
        now: Moment,
    ) {
        match result {
            Ok(grant) => self.granted(&grant, witness, now),
            Err(Failure::Refused(why)) => {
                if self.lease.refusal_counts(incarnation, number) {
                    tracing::warn!(%number, why, "the renewal was refused; registering again as a new run");
                    self.lease.unregister();
                    self.incarnation = Incarnation(rand::random());
                    // Two actors of one site would refuse each other for ever: not faster than R.
                    let soonest = self.registered_at.map_or(now, |at| at.after(self.renew_every()));
                    self.register_due = Some(if soonest.boottime > now.boottime { soonest } else { now });
                }
            }
            Err(Failure::Other(why)) => {
                tracing::debug!(%number, witness = self.witnesses.name(witness), why, "a renewal without a yes");
                self.move_on(witness, now);
            }
        }
    }

    fn granted(&mut self, grant: &Grant, witness: usize, now: Moment) {
        match self.lease.take(grant, now) {
            Taken::Ignored(why) => tracing::debug!(number = %grant.number, why, "an answer is ignored"),
            Taken::ListUnknown => {
                // Asked for in full; a witness that never gives it is not asked in a busy loop.
                if self.tries_left > 0 {
                    self.tries_left -= 1;
                    self.hurry(now);
                }
            }
            Taken::Yes { changed } => {
                self.witness = witness;
                self.tries_left = self.witnesses.len();
                self.guard.set_fence_deadline(grant.terms.fence_deadline);
                self.confirm_acks(grant.number);
                if changed {
                    tracing::info!(index = %grant.index, "the cover changed");
                    self.nudge_all();
                }
            }
        }
    }

    /// Anything but a yes, or silence: the next witness, at once, but each only once before the
    /// next regular send.
    pub(super) fn move_on(&mut self, witness: usize, now: Moment) {
        if witness != self.witness {
            return;
        }
        self.witness = (witness + 1) % self.witnesses.len();
        if self.tries_left > 0 {
            self.tries_left -= 1;
            self.send_renewal(now);
        }
    }

    /// Stacks of which something is left without a right: for at most F, and for longer.
    fn leftovers(&mut self, now: Moment) -> (Vec<StackId>, Vec<StackId>) {
        let fence =
            self.lease.terms().map_or(self.config.timing.fence_deadline, |terms| terms.fence_deadline);
        let heard = self.lease.is_heard();
        let (mut stopping, mut unstopped) = (Vec::new(), Vec::new());
        let rights: Vec<_> = self.stacks.keys().map(|id| self.lease_view(id, now).right.is_some()).collect();
        for ((id, stack), has_right) in self.stacks.iter_mut().zip(rights) {
            match stack.left_over(has_right || !heard, fence, now) {
                Some(true) => unstopped.push(id.clone()),
                Some(false) => stopping.push(id.clone()),
                None => {}
            }
        }
        (stopping, unstopped)
    }

    /// A gate knows that its cover is timed. True if the group has not heard this before.
    pub(super) fn acknowledge(&mut self, ack: TimedAck) -> bool {
        let listed = self.lease.listed(&ack.stack);
        let matches = listed.is_some_and(|entry| {
            entry.epoch == ack.epoch && entry.kind == CoverKind::Timed { since: ack.since }
        });
        let known = self.timed_acks.get(&ack.stack).is_some_and(|(known, ..)| *known == ack);
        if !matches || known {
            return false;
        }
        self.timed_acks.insert(ack.stack.clone(), (ack, None, false));
        true
    }

    fn acks_to_send(&mut self, number: RenewalNumber) -> Vec<TimedAck> {
        let mut acks = Vec::new();
        for (ack, first, confirmed) in self.timed_acks.values_mut() {
            if !*confirmed {
                first.get_or_insert(number);
                acks.push(ack.clone());
            }
        }
        acks
    }

    fn confirm_acks(&mut self, number: RenewalNumber) {
        for (_, first, confirmed) in self.timed_acks.values_mut() {
            if first.is_some_and(|first| first <= number) {
                *confirmed = true;
            }
        }
    }
}
