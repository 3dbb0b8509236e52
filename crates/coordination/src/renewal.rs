//! Registration and renewals of one site's actor: when, to which witness, under which number,
//! and what an answer changes (design, section 5, rule 1).

mod acks;
mod rota;

pub use acks::Acks;
pub use rota::Rota;

use crate::lease::{LeaseTable, Taken};
use alloc::vec::Vec;
use model::{
    Grant, GrantTerms, Incarnation, Millis, Moment, RegistrationAnswer, RenewRequest, RenewalNumber, SiteId,
    StackId, TimedAck,
};
use serde::Serialize;

/// Stacks of which something is left without a right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// For at most F.
    pub stopping: Vec<StackId>,
    /// For longer.
    pub unstopped: Vec<StackId>,
}

/// One renewal that leaves now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Place of the witness in the actor's list.
    pub witness: usize,
    /// What it is told.
    pub request: RenewRequest,
    /// The answer is of no use after this.
    pub useful_for: Millis,
}

/// What became of the answer to a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// It counts for nothing; another one is under way or was answered.
    Ignored(&'static str),
    /// No yes: the next witness is asked.
    TryNext,
    /// Registered: refill the epochs, then renew at once.
    Yes,
}

/// What became of the answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It counts for nothing.
    Ignored(&'static str),
    /// It names a list that is not known here: renew at once.
    AskAgain,
    /// The rights were prolonged.
    Yes {
        /// True if some stack's cover is another one now.
        changed: bool,
    },
}

/// The lease of one site, as its actor keeps it.
#[derive(Clone, Debug, Serialize)]
pub struct Renewals {
    site: SiteId,
    renew_every: Millis,
    /// Until a grant says otherwise.
    terms: GrantTerms,
    incarnation: Incarnation,
    lease: LeaseTable,
    rota: Rota,
    acks: Acks,
    register_due: Option<Moment>,
    registered_at: Option<Moment>,
    renew_due: Moment,
}

impl Renewals {
    /// An actor that starts: registration is due at once. `incarnation` is drawn at random.
    #[must_use]
    pub fn new(
        site: SiteId,
        witnesses: usize,
        renew_every: Millis,
        terms: GrantTerms,
        incarnation: Incarnation,
        now: Moment,
    ) -> Self {
        Self {
            site,
            renew_every,
            terms,
            incarnation,
            lease: LeaseTable::default(),
            rota: Rota::new(witnesses),
            acks: Acks::default(),
            register_due: Some(now),
            registered_at: None,
            renew_due: now,
        }
    }

    /// If a registration is due: the witness to send it to, for [`Self::incarnation`].
    pub fn to_register(&mut self, now: Moment) -> Option<usize> {
        let due = self.register_due?;
        if now.boottime < due.boottime {
            return None;
        }
        // The next attempt, unless this one is answered; each has its own deadline below it.
        self.register_due = Some(now.after(self.renew_every.times(2)));
        Some(self.rota.current())
    }

    /// A witness answered a registration; none for anything but a yes.
    pub fn registered(
        &mut self,
        incarnation: Incarnation,
        witness: usize,
        answer: Option<&RegistrationAnswer>,
        now: Moment,
    ) -> Registered {
        if incarnation != self.incarnation || self.lease.incarnation() == Some(incarnation) {
            return Registered::Ignored("it is not waited for");
        }
        let Some(answer) = answer else {
            self.rota.pass(witness);
            self.register_due = Some(now.after(Millis(self.renew_every.0 / 4)));
            return Registered::TryNext;
        };
        if let Taken::Ignored(why) = self.lease.register(incarnation, answer) {
            return Registered::Ignored(why);
        }
        self.register_due = None;
        self.registered_at = Some(now);
        self.acks = Acks::default();
        Registered::Yes
    }

    /// Register again, as the same run, not before `at`.
    pub fn register_again(&mut self, at: Moment) {
        self.lease.unregister();
        self.register_due = Some(at);
    }

    /// True if a renewal is due, whether or not earlier ones were answered: a new round.
    pub fn is_due(&mut self, now: Moment) -> bool {
        let due = now.boottime >= self.renew_due.boottime;
        if due {
            self.rota.begin_round();
        }
        due
    }

    /// The next renewal; none before the registration. `now` begins the lease: read the clocks
    /// just before, and send at once.
    pub fn send(&mut self, leftovers: Leftovers, now: Moment) -> Option<Sending> {
        self.lease.incarnation()?;
        self.renew_due = now.after(self.renew_every);
        let witness = self.rota.next_send();
        let send = self.lease.send(now)?;
        let request = RenewRequest {
            site: self.site.clone(),
            incarnation: send.incarnation,
            number: send.number,
            cover_known: send.cover_known,
            stopping: leftovers.stopping,
            unstopped: leftovers.unstopped,
            timed_acks: self.acks.to_send(send.number),
        };
        Some(Sending { witness, request, useful_for: self.terms().lease_duration })
    }

    /// A renewal was granted.
    pub fn granted(&mut self, grant: &Grant, witness: usize, now: Moment) -> Renewed {
        match self.lease.take(grant, now) {
            Taken::Ignored(why) => Renewed::Ignored(why),
            // Asked for in full; a witness that never gives it is not asked in a busy loop.
            Taken::ListUnknown if self.rota.try_again() => Renewed::AskAgain,
            Taken::ListUnknown => Renewed::Ignored("its list of covers is not known here"),
            Taken::Yes { changed } => {
                self.rota.answered(witness);
                self.acks.confirm(grant.number);
                Renewed::Yes { changed }
            }
        }
    }

    /// The group refused a renewal. True if that means another run: the actor registers again as
    /// `fresh`, drawn at random.
    pub fn refused(
        &mut self,
        incarnation: Incarnation,
        number: RenewalNumber,
        fresh: Incarnation,
        now: Moment,
    ) -> bool {
        if !self.lease.refusal_counts(incarnation, number) {
            return false;
        }
        self.lease.unregister();
        self.incarnation = fresh;
        // Two actors of one site would refuse each other for ever: not faster than R.
        let soonest = self.registered_at.map_or(now, |at| at.after(self.renew_every));
        self.register_due = Some(if soonest.boottime > now.boottime { soonest } else { now });
        true
    }

    /// Anything but a yes, or silence of R: the next witness. True if a renewal should go to it
    /// at once.
    pub fn failed(&mut self, witness: usize) -> bool {
        self.rota.failed(witness)
    }

    /// A gate knows that its cover is timed. True if the group has not heard this before: renew
    /// at once.
    pub fn acknowledge(&mut self, ack: TimedAck) -> bool {
        let listed = self.lease.listed(&ack.stack);
        self.acks.take(ack, listed.as_ref())
    }

    /// The lease itself.
    #[must_use]
    pub const fn lease(&self) -> &LeaseTable {
        &self.lease
    }

    /// This run of the actor.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Place of the witness that is talked to.
    #[must_use]
    pub const fn witness(&self) -> usize {
        self.rota.current()
    }

    /// D and F of the last grant; before it, as configured.
    #[must_use]
    pub fn terms(&self) -> GrantTerms {
        self.lease.terms().unwrap_or(self.terms)
    }
}

#[cfg(test)]
mod tests;
