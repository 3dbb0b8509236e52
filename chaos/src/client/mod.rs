//! Clients that write and keep a log of what they were told, and the reading of such logs.

pub mod history;
pub mod log;
pub mod session;
pub mod writer;
