//! The seeded world of a later issue, and what it shares with the chaos lab from the first day:
//! the checkers that judge histories against the invariants.

pub mod checkers;
pub mod dice;
pub mod history;
pub mod exhaustive;
pub mod postgres;
