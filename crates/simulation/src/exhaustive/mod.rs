//! Exhaustive parts of the proof: every state of small worlds, not a sample of large ones.

mod action;
mod check;
mod clock;
mod encode;
mod hunts;
pub mod links;
mod rules;
mod site;
mod transition;
mod witness;
mod world;

pub use check::{Counterexample, Verdict, check};
pub use hunts::{HUNTS, hunt};
pub use rules::{Rules, all};

#[cfg(test)]
mod tests;
