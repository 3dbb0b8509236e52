//! What must always hold, by the names of the design (section 4). The simulator, the model
//! checker and the chaos lab assert the same list; what can be read off the state alone is
//! checked here.

use crate::state::State;
use alloc::{format, string::String, vec::Vec};
use core::fmt;
use model::StackId;

/// The invariants by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the text is `statement`
pub enum Invariant {
    S1OneWriter,
    S2FenceFirst,
    S3EpochsGrow,
    S4NoLostAcknowledgement,
    S5ClosedByDefault,
    S6OneTransition,
    S7AgreedNotGuessed,
    L1ItEnds,
    L2NoNeedlessFailover,
    L3NoNeedlessOutage,
    L4CoordinatorHarmless,
}

impl Invariant {
    /// All.
    pub const ALL: [Self; 11] = [
        Self::S1OneWriter,
        Self::S2FenceFirst,
        Self::S3EpochsGrow,
        Self::S4NoLostAcknowledgement,
        Self::S5ClosedByDefault,
        Self::S6OneTransition,
        Self::S7AgreedNotGuessed,
        Self::L1ItEnds,
        Self::L2NoNeedlessFailover,
        Self::L3NoNeedlessOutage,
        Self::L4CoordinatorHarmless,
    ];

    /// What it says, in short.
    #[must_use]
    pub const fn statement(self) -> &'static str {
        match self {
            Self::S1OneWriter => "S1: at no instant do two sites run the same stack unfenced",
            Self::S2FenceFirst => {
                "S2: nothing of an epoch begins before every earlier one is fenced or at the same site"
            }
            Self::S3EpochsGrow => "S3: a stack's epoch never goes back",
            Self::S4NoLostAcknowledgement => "S4: what may be lost is bounded, measured and reported",
            Self::S5ClosedByDefault => "S5: who hears nothing keeps the stack fenced",
            Self::S6OneTransition => "S6: one transition at a time for each stack",
            Self::S7AgreedNotGuessed => "S7: every change is a committed entry; replay gives the same state",
            Self::L1ItEnds => "L1: a lost active site is replaced within the bound of the policy",
            Self::L2NoNeedlessFailover => "L2: no fault shorter than detect.after changes the active site",
            Self::L3NoNeedlessOutage => "L3: one witness, link or leader lost costs no site its lease",
            Self::L4CoordinatorHarmless => "L4: no failure of witnesses alone closes an active stack",
        }
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// Of which stack.
    pub stack: StackId,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (stack {}: {})", self.invariant.statement(), self.stack, self.found)
    }
}

/// Everything that one state can violate by itself.
#[must_use]
pub fn violations(state: &State) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, stack) in state.stacks() {
        let mut add = |invariant, text| found.push(Violation { invariant, stack: id.clone(), found: text });
        let holders: Vec<_> =
            state.sites().iter().filter(|(_, site)| site.cover.of(id).is_some()).map(|(s, _)| s).collect();
        if holders.len() > 1 {
            add(Invariant::S1OneWriter, format!("covered at {holders:?}"));
        }
        if stack.closed > stack.epoch() {
            add(Invariant::S3EpochsGrow, format!("closed {} above epoch {}", stack.closed, stack.epoch()));
        }
        let covers_closed = state
            .sites()
            .values()
            .filter_map(|site| site.cover.of(id))
            .any(|entry| entry.epoch <= stack.closed || entry.epoch != stack.epoch());
        if covers_closed {
            add(Invariant::S5ClosedByDefault, String::from("a cover holds a closed or old epoch"));
        }
    }
    found
}

/// Everything that the step from one state to the next can violate.
#[must_use]
pub fn violations_between(before: &State, after: &State) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, now) in after.stacks() {
        let Some(was) = before.stacks().get(id) else { continue };
        let mut add = |invariant, text| found.push(Violation { invariant, stack: id.clone(), found: text });
        if now.epoch() < was.epoch() || now.closed < was.closed {
            add(Invariant::S3EpochsGrow, format!("epoch {} after {}", now.epoch(), was.epoch()));
        }
        let site = |stack: &crate::state::Stack| stack.active.as_ref().map(|a| a.site.clone());
        let moved = was.active.is_some() && site(was) != site(now);
        if moved && !was.is_closed() {
            add(Invariant::S2FenceFirst, format!("moved from {:?} at open epoch {}", site(was), was.epoch()));
        }
    }
    found
}
