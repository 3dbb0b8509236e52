//! What the group has granted this site, and until when (design, section 5, rules 1 and 2).
//!
//! Pure: the caller brings the clock. A right begins at the instant at which the renewal that
//! brought it was *sent*; when its answer came is of no account.

use alloc::{collections::BTreeMap, vec::Vec};
use model::{
    Cover, CoverEntry, CoverKind, Deadline, Epoch, Grant, GrantTerms, Incarnation, LogIndex, Millis, Moment,
    RegistrationAnswer, RenewalNumber, StackId,
};
use serde::Serialize;

/// Sends that are remembered at once. One every R and D = 6 R or more leave less than ten in
/// flight; hurried ones come on top.
pub const SENDS_MAX: usize = 256;

/// One renewal to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// The run of the actor that was registered.
    pub incarnation: Incarnation,
    /// Number of this send.
    pub number: RenewalNumber,
    /// Revision of the cover that is known; 0 asks for the full list.
    pub cover_known: LogIndex,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The rights were prolonged; `changed` if the list of (stack, epoch) or a kind changed.
    Yes {
        /// True if some stack's cover is another one now.
        changed: bool,
    },
    /// The answer names a list that this actor does not hold: ask for it in full, at once.
    ListUnknown,
    /// The answer counts for nothing.
    Ignored(&'static str),
}

/// The right to run one stack at one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Right {
    kind: CoverKind,
    /// t_send + D of the latest renewal whose cover held this (stack, epoch), timed. None while
    /// only a registration or held covers named it.
    deadline: Option<Deadline>,
}

/// A right that counts now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Stack, epoch, and whether it ends by itself.
    pub entry: CoverEntry,
    /// When it ends; none for a held cover.
    pub deadline: Option<Deadline>,
}

/// The state of this site's lease.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LeaseTable {
    incarnation: Option<Incarnation>,
    number_last: RenewalNumber,
    number_accepted: Option<RenewalNumber>,
    sends: BTreeMap<RenewalNumber, Moment>,
    index: LogIndex,
    revision: Option<LogIndex>,
    rights: BTreeMap<(StackId, Epoch), Right>,
    terms: Option<GrantTerms>,
    heard: bool,
}

impl LeaseTable {
    /// A registration was answered. It gives a lease, not a stack: no right changes by it. Rights
    /// that were earned before stand until their deadlines; the first renewal's answer brings the
    /// list in full.
    pub fn register(&mut self, incarnation: Incarnation, answer: &RegistrationAnswer) -> Taken {
        if answer.index < self.index {
            return Taken::Ignored("an answer with a higher index was taken before");
        }
        self.incarnation = Some(incarnation);
        self.number_accepted = None;
        self.sends.clear();
        self.number_last = self.number_last.max(answer.last_number);
        self.terms = Some(answer.terms);
        self.index = answer.index;
        self.revision = None;
        Taken::Yes { changed: false }
    }

    /// The group refuses this run: register again. Rights stand until their deadlines.
    pub fn unregister(&mut self) {
        self.incarnation = None;
        self.number_accepted = None;
        self.sends.clear();
    }

    /// The registered run.
    #[must_use]
    pub const fn incarnation(&self) -> Option<Incarnation> {
        self.incarnation
    }

    /// True if a refusal of this send says that the run is not registered any more. One of a send
    /// that a later, accepted one has overtaken says nothing: the group takes numbers in order.
    #[must_use]
    pub fn refusal_counts(&self, incarnation: Incarnation, number: RenewalNumber) -> bool {
        self.incarnation == Some(incarnation) && self.number_accepted.is_none_or(|accepted| accepted < number)
    }

    /// True once a renewal of this process was answered: before, nothing is known.
    #[must_use]
    pub const fn is_heard(&self) -> bool {
        self.heard
    }

    /// D and F of the last answer.
    #[must_use]
    pub const fn terms(&self) -> Option<GrantTerms> {
        self.terms
    }

    /// Log index of the highest answer taken.
    #[must_use]
    pub const fn index(&self) -> LogIndex {
        self.index
    }

    /// Notes a new send, at `now`, before it leaves. None before the registration.
    pub fn send(&mut self, now: Moment) -> Option<Send> {
        let incarnation = self.incarnation?;
        self.prune(now);
        let resent = planted!(NumberResent) && self.sends.contains_key(&self.number_last);
        self.number_last = if resent { self.number_last } else { self.number_last.next() };
        self.sends.insert(self.number_last, now);
        let cover_known = self.revision.unwrap_or_default();
        Some(Send { incarnation, number: self.number_last, cover_known })
    }

    fn prune(&mut self, now: Moment) {
        if let Some(terms) = self.terms {
            self.sends.retain(|_, sent| !Deadline::new(*sent, terms.lease_duration).is_over(now));
        }
        while self.sends.len() >= SENDS_MAX {
            self.sends.pop_first();
        }
    }

    /// Takes the answer to a renewal.
    pub fn take(&mut self, grant: &Grant, now: Moment) -> Taken {
        if self.incarnation != Some(grant.incarnation) {
            return Taken::Ignored("it names another incarnation");
        }
        let number = if planted!(LeaseFromLastSend) { self.number_last } else { grant.number };
        let Some(sent) = self.sends.get(&number).copied() else {
            return Taken::Ignored("no send of this number is waiting");
        };
        if grant.index < self.index && !planted!(AnswersOutOfOrder) {
            return Taken::Ignored("an answer with a higher index was taken before");
        }
        self.index = grant.index;
        self.terms = Some(grant.terms);
        self.number_accepted = self.number_accepted.max(Some(grant.number));
        let changed = match &grant.cover {
            Some(cover) => self.set_cover(cover),
            None if self.revision == Some(grant.cover_revision) => false,
            None => {
                self.revision = None;
                return Taken::ListUnknown;
            }
        };
        self.heard = true;
        let sent = if planted!(LeaseFromArrival) { now } else { sent };
        self.prolong(Deadline::new(sent, grant.terms.lease_duration), now);
        Taken::Yes { changed }
    }

    /// Every right of the current list lasts until this deadline, if that is later.
    fn prolong(&mut self, deadline: Deadline, now: Moment) {
        for right in self.rights.values_mut() {
            right.deadline = match (right.kind, right.deadline) {
                (CoverKind::Held { .. }, _) => None,
                (CoverKind::Timed { .. }, None) => Some(deadline),
                (CoverKind::Timed { .. }, Some(earlier)) => Some(earlier.later(deadline, now)),
            };
        }
    }

    /// Another list: what it does not name any more ends at once.
    fn set_cover(&mut self, cover: &Cover) -> bool {
        self.revision = Some(cover.revision);
        let mut rights = if planted!(DroppedCoverStays) { self.rights.clone() } else { BTreeMap::new() };
        for entry in &cover.entries {
            let key = (entry.stack.clone(), entry.epoch);
            // A deadline earned under a timed cover of this very epoch stands; a held one has none
            // to hand on.
            let deadline = match entry.kind {
                CoverKind::Timed { .. } => self.rights.get(&key).and_then(|right| right.deadline),
                CoverKind::Held { .. } => None,
            };
            rights.insert(key, Right { kind: entry.kind, deadline });
        }
        let kinds = |map: &BTreeMap<(StackId, Epoch), Right>| -> Vec<_> {
            map.iter().map(|(key, right)| (key.clone(), right.kind)).collect()
        };
        let changed = kinds(&rights) != kinds(&self.rights);
        self.rights = rights;
        changed
    }

    /// What this stack may run now, if anything.
    #[must_use]
    pub fn valid(&self, stack: &StackId, now: Moment) -> Option<Valid> {
        let entry = self.listed(stack)?;
        let right = self.rights.get(&(stack.clone(), entry.epoch))?;
        match (right.kind, right.deadline) {
            (CoverKind::Held { .. }, _) => Some(Valid { entry, deadline: None }),
            (CoverKind::Timed { .. }, Some(deadline)) if !deadline.is_over(now) => {
                Some(Valid { entry, deadline: Some(deadline) })
            }
            (CoverKind::Timed { .. }, _) => None,
        }
    }

    /// The stack's entry in the last list taken, whether its time is over or not.
    #[must_use]
    pub fn listed(&self, stack: &StackId) -> Option<CoverEntry> {
        let ((_, epoch), right) = self.rights.iter().rfind(|((name, _), _)| name == stack)?;
        Some(CoverEntry { stack: stack.clone(), epoch: *epoch, kind: right.kind })
    }

    /// What is left of this stack's right: zero for none, and of no account for a held one.
    #[must_use]
    pub fn remaining(&self, stack: &StackId, now: Moment) -> Millis {
        self.valid(stack, now)
            .and_then(|valid| valid.deadline)
            .map_or(Millis::ZERO, |deadline| deadline.remaining(now))
    }
}

#[cfg(test)]
#[path = "lease/tests.rs"]
mod tests;
