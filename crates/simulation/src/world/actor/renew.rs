//! Registration, renewals, and the epochs on disk.

use super::{Actor, Registering, Unanswered};
use crate::history::{Site, What};
use crate::message::{Failure, Message, Process};
use crate::world::World;
use coordination::planted::Bug;
use coordination::reconcile::StackEpochs;
use coordination::renewal::{Leftovers, Registered, Renewed};
use model::{Grant, Incarnation, Millis, Moment, RegistrationAnswer, RenewalNumber};

/// A store that refused is asked again after this.
const PERSIST_PAUSE: Millis = Millis(500);
/// A registration is given up after this.
const REGISTER_DEADLINE: Millis = Millis(2_000);
/// Writes that may wait: one being written, one newer.
const PERSISTING_MAX: usize = 2;

impl World {
    /// The witness at a place of an actor's list: its own site's first.
    pub(super) const fn witness_at(&self, site: Site, place: usize) -> Site {
        ((site as usize + place) % self.sites as usize) as Site
    }

    const fn place_of(&self, site: Site, witness: Site) -> usize {
        (witness as usize + self.sites as usize - site as usize) % self.sites as usize
    }

    /// A call to a witness: one whose process is gone while its host is there refuses at once.
    fn call(&mut self, a: &Actor, witness: Site, message: Message, refusal: Message) {
        let site = a.site;
        let there = self.is_alive(Process::Witness(witness));
        let reached = self.net.is_up(site, witness) && self.net.is_up(witness, site);
        if !there && reached && self.hosts[usize::from(witness)].up {
            // The way there and back.
            let back = self.net.delay(&mut self.dice, site, witness);
            let (Some(at), _) = self.net.send(&mut self.dice, witness, site, self.now + back) else { return };
            let life = a.process.number;
            self.queue.push(at, crate::message::Event::Deliver(Process::Actor(site), life, refusal));
            return;
        }
        self.send(site, Process::Witness(witness), message);
    }

    pub(super) fn register_if_due(&mut self, a: &mut Actor, now: Moment) {
        let over = |call: &Registering| now.boottime >= call.given_up.boottime;
        while let Some(call) = a.registering.first().copied().filter(over) {
            self.registered(a, a.renewals.incarnation(), call.witness, None, now);
        }
        let Some(place) = a.renewals.to_register(now) else { return };
        let witness = self.witness_at(a.site, place);
        let incarnation = a.renewals.incarnation();
        let refusal = Message::Registered(incarnation, witness, Err(Failure::Other));
        a.registering.push(Registering { witness, given_up: now.after(REGISTER_DEADLINE) });
        self.call(a, witness, Message::Register(a.site, incarnation), refusal);
    }

    pub(super) fn registered(
        &mut self,
        a: &mut Actor,
        incarnation: Incarnation,
        witness: Site,
        answer: Option<&RegistrationAnswer>,
        now: Moment,
    ) {
        let place = self.place_of(a.site, witness);
        match a.registering.iter().position(|call| call.witness == witness) {
            Some(call) => drop(a.registering.remove(call)),
            // Given up before.
            None if answer.is_none() => return,
            None => {}
        }
        if a.renewals.registered(incarnation, place, answer, now) != Registered::Yes {
            return;
        }
        let Some(answer) = answer else { return };
        let mut wanted = Vec::with_capacity(a.sides.len());
        for (stack, side) in a.sides.iter_mut().enumerate() {
            let told = answer.epochs.iter().find(|told| told.stack == self.stack_ids[stack]);
            let newer = a.persisting.last().map(|(_, epochs)| epochs[stack]).unwrap_or_default();
            wanted.push(side.book.refill(told).max(newer));
        }
        let whole = a.sides.iter().zip(&wanted).all(|(side, wanted)| side.book.epochs() == Some(*wanted));
        if !whole && !self.persist(a, wanted) {
            a.renewals.register_again(now.after(self.timing.renew_every));
        }
        self.say(|w| format!("the actor of {} is registered (entry {})", w.name(a.site), answer.index));
        a.dirty = true;
        self.hurry(a, now);
    }

    /// Sends a renewal when it is due, whether or not earlier ones were answered; and to the next
    /// witness when one was silent for R.
    pub(super) fn renew_if_due(&mut self, a: &mut Actor, now: Moment) {
        while let Some(first) = a.unanswered.first().copied()
            && now.boottime >= first.silent_at.boottime
        {
            a.unanswered.remove(0);
            if a.renewals.failed(first.witness) {
                self.hurry(a, now);
            }
        }
        if a.renewals.is_due(now) {
            self.hurry(a, now);
        }
    }

    /// Sends a renewal at once. False before the registration.
    pub(super) fn hurry(&mut self, a: &mut Actor, now: Moment) -> bool {
        if a.renewals.lease().incarnation().is_none() {
            return false;
        }
        let fence = a.renewals.terms().fence_deadline;
        let mut leftovers = Leftovers::default();
        for side in &mut a.sides {
            side.book.note_left(a.renewals.lease(), fence, now, &mut leftovers);
        }
        let Some(sending) = a.renewals.send(leftovers, now) else { return false };
        a.renew_due = now.after(self.timing.renew_every);
        let witness = self.witness_at(a.site, sending.witness);
        let (incarnation, number) = (sending.request.incarnation, sending.request.number);
        let silent_at = now.after(self.patience());
        a.unanswered.push(Unanswered { number, witness: sending.witness, silent_at });
        if a.unanswered.len() > 32 {
            a.unanswered.remove(0);
        }
        self.add_renew_sent(What::RenewSent { site: a.site, number, incarnation });
        let refusal = Message::Renewed(incarnation, number, witness, Err(Failure::Other));
        self.call(a, witness, Message::Renew(Box::new(sending.request), a.site), refusal);
        true
    }

    pub(super) fn renewed(
        &mut self,
        a: &mut Actor,
        incarnation: Incarnation,
        number: RenewalNumber,
        witness: Site,
        result: Result<Box<Grant>, Failure>,
        now: Moment,
    ) {
        a.unanswered.retain(|unanswered| unanswered.number != number);
        let place = self.place_of(a.site, witness);
        match result {
            Ok(grant) => match a.renewals.granted(&grant, place, now) {
                Renewed::Ignored(_) => {}
                Renewed::AskAgain => {
                    self.hurry(a, now);
                }
                Renewed::Yes { changed } => {
                    if changed {
                        a.dirty = true;
                        self.nudge_gates(a);
                    }
                    a.dirty |= a.renewals.lease().is_heard() && a.sides.iter().any(|s| s.reported.is_none());
                }
            },
            Err(Failure::Refused) => {
                let fresh = Incarnation(self.dice.number());
                if a.renewals.refused(incarnation, number, fresh, now) {
                    self.say(|w| format!("the actor of {} was refused and registers again", w.name(a.site)));
                }
            }
            Err(Failure::Other) => {
                if a.renewals.failed(place) {
                    self.hurry(a, now);
                }
            }
        }
    }

    /// Hands epochs to the store. False if both places are taken.
    pub(super) fn persist(&mut self, a: &mut Actor, epochs: Vec<StackEpochs>) -> bool {
        if a.persisting.len() >= PERSISTING_MAX {
            return false;
        }
        a.persist_number += 1;
        a.persisting.push((a.persist_number, epochs));
        let host = &self.hosts[usize::from(a.site)];
        let (full, slow) = (host.disk_full > 0, host.disk_slow);
        let at = self.now + self.dice.delay(self.fsync_mean) + slow;
        let written = Message::Persisted(a.persist_number, !full);
        let process = Process::Actor(a.site);
        self.queue.push(at, crate::message::Event::Deliver(process, a.process.number, written));
        true
    }

    pub(super) fn persist_some(&mut self, a: &mut Actor, wanted: &[Option<StackEpochs>], now: Moment) {
        let waits = a.persist_after.is_some_and(|until| now.boottime < until.boottime);
        if !a.persisting.is_empty() || waits {
            return;
        }
        let merged = a
            .sides
            .iter()
            .zip(wanted)
            .map(|(side, wanted)| side.book.epochs().unwrap_or_default().max(wanted.unwrap_or_default()))
            .collect();
        self.persist(a, merged);
    }

    /// The write is over: on disk, or refused.
    pub(super) fn persisted(&mut self, a: &mut Actor, number: u64, ok: bool, now: Moment) {
        let Some(place) = a.persisting.iter().position(|(n, _)| *n == number) else { return };
        let (_, epochs) = a.persisting.remove(place);
        a.dirty = true;
        if ok {
            if self.bug != Some(Bug::EpochNotPersisted) {
                self.hosts[usize::from(a.site)].epochs = Some(epochs.clone());
            }
            for (side, durable) in a.sides.iter_mut().zip(epochs) {
                side.book.persisted(durable);
            }
            self.nudge_gates(a);
            return;
        }
        a.persist_after = Some(now.after(PERSIST_PAUSE));
        a.act_at = a.act_at.min(self.now + PERSIST_PAUSE.0 * 1_100);
        if a.sides.iter().any(|side| side.book.epochs().is_none()) {
            // The store was lost and could not be refilled: the registration brings it again.
            a.renewals.register_again(now.after(PERSIST_PAUSE));
        }
    }
}
