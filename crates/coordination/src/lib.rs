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
//! | [`decide`] | what the leader proposes |
//! | [`desired`] | what each site should do, as the state says |
//! | [`reconcile`] | what an actor does about it |
//! | [`permit`] | what a gate may open, and when it must close |
//! | [`explain`] | English, in this one place |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod command;
pub mod policy;
pub mod state;
pub mod timing;

pub use command::{Command, Entry, Outcome};
pub use policy::Policy;
pub use state::State;
pub use timing::Timing;
