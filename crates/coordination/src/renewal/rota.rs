//! Which witness is asked: the one that answered last, its own site's again after a while, and
//! after anything but a yes the next one.

use serde::Serialize;

/// After this many sends the first witness of the list, the own site's, is tried again.
const SENDS_BEFORE_HOME: u64 = 60;

/// The turn of the witnesses; they are known by their place in the actor's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rota {
    witnesses: usize,
    current: usize,
    /// Sends that may still follow a failure at once, before the next regular one.
    tries_left: usize,
    sends: u64,
}

impl Rota {
    /// The first of so many.
    #[must_use]
    pub const fn new(witnesses: usize) -> Self {
        Self { witnesses, current: 0, tries_left: witnesses, sends: 0 }
    }

    /// Who is asked now.
    #[must_use]
    pub const fn current(&self) -> usize {
        self.current
    }

    /// A regular send: each witness may be tried once at once before the next one.
    pub const fn begin_round(&mut self) {
        self.tries_left = self.witnesses;
    }

    /// Counts a send; to whom it goes.
    pub const fn next_send(&mut self) -> usize {
        self.sends = self.sends.wrapping_add(1);
        if self.sends.is_multiple_of(SENDS_BEFORE_HOME) {
            self.current = 0;
        }
        self.current
    }

    /// This one said yes.
    pub const fn answered(&mut self, witness: usize) {
        self.current = witness;
        self.tries_left = self.witnesses;
    }

    /// The one after this.
    pub const fn pass(&mut self, witness: usize) {
        self.current = if self.witnesses == 0 { 0 } else { (witness + 1) % self.witnesses };
    }

    /// True if one more send may follow at once.
    pub const fn try_again(&mut self) -> bool {
        let may = self.tries_left > 0;
        self.tries_left = self.tries_left.saturating_sub(1);
        may
    }

    /// This one did not say yes: the next, if it is the current one. True if it may be asked at once.
    pub fn failed(&mut self, witness: usize) -> bool {
        if witness != self.current || planted!(OneWitnessForEver) {
            return false;
        }
        self.pass(witness);
        self.try_again()
    }
}
