//! Stories of the core, told with a small world: one leader's view, actors that renew or do not.

mod failover;
mod heard;
mod lease;
mod plan;
mod random;
mod streaming;
mod sync;
mod world;
