//! What a renewal says of a stack that may not run (design, section 5, rule 5).

use super::Book;
use crate::lease::LeaseTable;
use crate::renewal::Leftovers;
use model::{Epoch, Millis, Moment};

/// Something of the stack is left without a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// For at most F.
    Stopping,
    /// For longer.
    Unstopped,
}

impl Book {
    /// Notes in `leftovers` what a renewal that leaves now must say of this stack. `fence` is F.
    pub fn note_left(&mut self, lease: &LeaseTable, fence: Millis, now: Moment, leftovers: &mut Leftovers) {
        // Before the first answer nothing is known: neither is a right, nor the lack of one.
        let may_run = self.lease_view(lease, now).right.is_some() || !lease.is_heard();
        match self.left(may_run, fence, now) {
            Some(Left::Stopping) => leftovers.stopping.push(self.stack.clone()),
            Some(Left::Unstopped) => leftovers.unstopped.push(self.stack.clone()),
            None => {}
        }
    }

    fn left(&mut self, may_run: bool, fence: Millis, now: Moment) -> Option<Left> {
        let gone = self.gone.as_ref().filter(|(_, since)| now.elapsed_shortest(*since) <= fence);
        let runs = match (&self.gate, gone) {
            (Some(gate), _) => gate.running && (gate.open.is_some() || !gate.standby),
            // Whoever held it has died or hangs; its timers end it within F.
            (None, Some((gate, _))) => gate.open.is_some(),
            (None, None) => false,
        };
        let adopted = self.epochs.is_some_and(|epochs| epochs.highest > Epoch::NONE);
        if may_run || !runs || !adopted {
            self.lapsed = None;
            return None;
        }
        let since = *self.lapsed.get_or_insert(now);
        let long = now.elapsed_shortest(since) > fence;
        Some(if long { Left::Unstopped } else { Left::Stopping })
    }
}
