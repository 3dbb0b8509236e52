//! The ground that scenarios stand on: network namespaces, cuts, a slow network, processes.

pub mod cut;
pub mod netns;
pub mod network;
pub mod procs;
pub mod service;
pub mod switch;
