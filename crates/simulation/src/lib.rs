//! The deterministic simulator: one seed, one thread, the production rules in a hostile world.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`run`] | one seed, from its plan to the verdict |
//! | [`plan`] | what a seed means: the group, its clocks, its faults |
//! | [`scenario`] | scripts of incidents |
//! | [`world`] | hosts, processes, links, the replicated log |
//! | [`postgres`] | the modelled databases and their clients |
//! | [`history`] | what happened, for the checkers |
//! | [`checkers`] | the invariants, judged; the chaos lab uses them, too |
//! | [`exhaustive`] | what can be gone through completely |

pub mod checkers;
pub mod clock;
pub mod dice;
pub mod exhaustive;
pub mod history;
pub mod message;
pub mod net;
pub mod plan;
pub mod postgres;
mod proposals;
pub mod queue;
pub mod run;
pub mod scenario;
pub mod tool;
pub mod world;
