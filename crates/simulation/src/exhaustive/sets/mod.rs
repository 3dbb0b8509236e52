//! Synchronous sets: every way in which a set that is changed, caught up with, detached from and
//! elected from can lose a commit, for ANY 1 of 2 and ANY 2 of 3.
//!
//! What decides is production code: `State::apply`, `desired`, `decide::set_is_in_force`. What is
//! here is a database as far as commits go: a log that standbys have beginnings of, the sets that
//! its walsenders may have at the moment, and which commits clients have heard of. A commit counts
//! as acknowledged as soon as any of those sets allows it. Leaders propose whatever they like
//! whenever they like, proposals commit late, reports are old, views are old, and an old primary
//! that nobody killed runs on.
//!
//! What must never be: a site is elected that lacks a commit of which a client has heard while it
//! was synchronous; a commit is acknowledged after a replication fence. A degradation to nobody
//! ends the promise for what was acknowledged before, once it is settled.

mod action;
mod check;
mod world;

pub use check::{HUNTS, SetVerdict, check, hunt};
pub use world::{Bounds, all};

#[cfg(test)]
mod tests;
