//! Registration and renewals: sending them, and what their answers set off.

use super::Engine;
use crate::event::Failure;
use coordination::renewal::{Leftovers, Registered, Renewed};
use model::{Grant, Incarnation, Moment, RegistrationAnswer, RenewalNumber};

impl Engine {
    pub(super) fn register_if_due(&mut self, now: Moment) {
        if let Some(witness) = self.renewals.to_register(now) {
            self.witnesses.register(witness, self.renewals.incarnation(), self.events.clone());
        }
    }

    pub(super) fn registered(
        &mut self,
        incarnation: Incarnation,
        witness: usize,
        result: Result<RegistrationAnswer, Failure>,
        now: Moment,
    ) {
        let taken = self.renewals.registered(incarnation, witness, result.as_ref().ok(), now);
        match (taken, result) {
            (Registered::Yes, Ok(answer)) => {
                tracing::info!(%incarnation, index = %answer.index, number = %answer.last_number, "registered");
                self.guard.set_fence_deadline(answer.terms.fence_deadline);
                self.refill(&answer);
                self.hurry(now);
            }
            (Registered::TryNext, Err(Failure::Refused(why) | Failure::Other(why))) => {
                let witness = self.witnesses.name(witness);
                tracing::warn!(witness, why, "the registration was not answered with a yes");
            }
            (Registered::Ignored(why), Ok(_)) => {
                tracing::debug!(why, "an answer to a registration is ignored");
            }
            _ => {}
        }
    }

    /// The registration says what the store must know: at least that goes to disk before
    /// anything opens.
    fn refill(&mut self, answer: &RegistrationAnswer) {
        let mut wanted = self.persisting.clone().unwrap_or_default();
        for (id, stack) in &mut self.stacks {
            let told = answer.epochs.iter().find(|e| e.stack == *id);
            let most = stack.book.refill(told).max(wanted.get(id).copied().unwrap_or_default());
            wanted.insert(id.clone(), most);
        }
        let whole = self.stacks.iter().all(|(id, stack)| stack.book.epochs() == wanted.get(id).copied());
        if !whole && !self.persist(wanted) {
            tracing::warn!("the disk does not keep up with the epochs; registering again");
            self.renewals.register_again(rpc::clock::now().after(self.config.timing.renew_every));
        }
    }

    /// Sends a renewal when it is due, whether or not earlier ones were answered.
    pub(super) fn renew_if_due(&mut self, now: Moment) {
        if self.renewals.is_due(now) {
            self.hurry(now);
        }
    }

    /// Sends a renewal at once. False before the registration.
    pub(super) fn hurry(&mut self, now: Moment) -> bool {
        let fence = self.renewals.terms().fence_deadline;
        let mut leftovers = Leftovers::default();
        for stack in self.stacks.values_mut() {
            stack.book.note_left(self.renewals.lease(), fence, now, &mut leftovers);
        }
        // The clocks are read again as late as can be: t_send begins the lease.
        let Some(sending) = self.renewals.send(leftovers, rpc::clock::now()) else { return false };
        let every = self.config.timing.renew_every;
        self.witnesses.renew(
            sending.witness,
            sending.request,
            every,
            sending.useful_for,
            self.events.clone(),
        );
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
                let fresh = Incarnation(rand::random());
                if self.renewals.refused(incarnation, number, fresh, now) {
                    tracing::warn!(%number, why, "the renewal was refused; registering again as a new run");
                }
            }
            Err(Failure::Other(why)) => {
                tracing::debug!(%number, witness = self.witnesses.name(witness), why, "a renewal without a yes");
                self.move_on(witness, now);
            }
        }
    }

    fn granted(&mut self, grant: &Grant, witness: usize, now: Moment) {
        match self.renewals.granted(grant, witness, now) {
            Renewed::Ignored(why) => tracing::debug!(number = %grant.number, why, "an answer is ignored"),
            Renewed::AskAgain => {
                self.hurry(now);
            }
            Renewed::Yes { changed } => {
                self.guard.set_fence_deadline(grant.terms.fence_deadline);
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
        if self.renewals.failed(witness) {
            self.hurry(now);
        }
    }
}
