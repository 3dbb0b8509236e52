//! Acknowledgements of timed covers on their way to the group: each is sent with every renewal
//! until one that carried it, or a later one, is granted.

use alloc::{collections::BTreeMap, vec::Vec};
use model::{CoverEntry, CoverKind, RenewalNumber, StackId, TimedAck};
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Carried {
    ack: TimedAck,
    first: Option<RenewalNumber>,
    confirmed: bool,
}

/// The last acknowledgement of each stack's gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Acks(BTreeMap<StackId, Carried>);

impl Acks {
    /// A gate acknowledges; `listed` is the stack's entry in the last list of covers. True if it
    /// is news for the group.
    pub fn take(&mut self, ack: TimedAck, listed: Option<&CoverEntry>) -> bool {
        let matches = listed.is_some_and(|entry| {
            entry.epoch == ack.epoch && entry.kind == CoverKind::Timed { since: ack.since }
        });
        let known = self.0.get(&ack.stack).is_some_and(|carried| carried.ack == ack);
        if !matches || known {
            return false;
        }
        self.0.insert(ack.stack.clone(), Carried { ack, first: None, confirmed: false });
        true
    }

    /// What the renewal of this number carries.
    pub fn to_send(&mut self, number: RenewalNumber) -> Vec<TimedAck> {
        let waiting = self.0.values_mut().filter(|carried| !carried.confirmed);
        waiting
            .map(|carried| {
                carried.first.get_or_insert(number);
                carried.ack.clone()
            })
            .collect()
    }

    /// The renewal of this number was granted.
    pub fn confirm(&mut self, number: RenewalNumber) {
        for carried in self.0.values_mut() {
            carried.confirmed |= carried.first.is_some_and(|first| first <= number);
        }
    }
}
