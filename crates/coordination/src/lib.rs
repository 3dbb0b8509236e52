//! The rules: everything that decides, nothing that acts.
//!
//! Pure: no clock, no IO, no randomness, no floats, no logging; `no_std` keeps it so. `now` is
//! an argument, and [`State::apply`] has none. The simulator, the model checker and production
//! run these same functions.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`timing`] | whether durations fit together, and the outage that follows |
//! | [`state`], [`command`] | what is agreed, and every change of it (`apply`) |
//! | [`view`] | what one witness knows for itself: horizons, reports, links |
//! | [`mod@decide`] | what the leader proposes |
//! | [`candidates`] | who may take over, and why the others may not |
//! | [`mod@desired`] | what each site should do, as the state says |
//! | [`mod@reconcile`] | what an actor does about it |
//! | [`book`] | what an actor remembers of one stack |
//! | [`renewal`] | when an actor registers and renews, and at which witness |
//! | [`lease`] | what a site may run until when, by its own clocks |
//! | [`permit`] | what a gate may open, and when it must close |
//! | [`plan`] | the steps of a transition, as data |
//! | [`explain`] | English, in this one place |
//! | [`invariants`] | what must always hold, by name |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
pub mod planted;

mod apply;
pub mod book;
pub mod candidates;
pub mod command;
pub mod decide;
pub mod desired;
pub mod explain;
pub mod invariants;
pub mod lease;
pub mod permit;
pub mod plan;
pub mod policy;
pub mod reconcile;
pub mod rejoin;
pub mod renewal;
pub mod state;
pub mod timing;
pub mod view;

pub use command::{Command, Entry, Outcome};
pub use decide::decide;
pub use desired::desired;
pub use policy::Policy;
pub use state::State;
pub use timing::Timing;
pub use view::{LinkRow, LocalView};

#[cfg(test)]
mod tests;
