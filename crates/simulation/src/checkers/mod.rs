//! One file per invariant. Each takes plain values (what clients and an outside observer saw, on
//! one clock) and returns a plain verdict; none does IO, none knows the product.
//!
//! Times are nanoseconds of one clock of one machine, the same for all clients.

mod leftovers;
mod lost_writes;
mod one_writer;
mod outage;

pub use leftovers::{Leftover, ProcessSeen, leftovers};
pub use lost_writes::{LostWrites, lost_writes};
pub use one_writer::{OneWriter, Overlap, one_writer};
pub use outage::{Gap, Outage, outage};

use std::collections::BTreeSet;

/// Nanoseconds on the observers' clock.
pub type Nanos = u64;

/// A client and the number that it gave to a write: names one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId {
    /// Which client.
    pub client: String,
    /// Its number for the write; never used twice by that client.
    pub number: u64,
}

/// One write that a client was told is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which write.
    pub write: WriteId,
    /// The site whose server acknowledged it.
    pub site: String,
    /// When the client sent it.
    pub sent: Nanos,
    /// When the client read the acknowledgement.
    pub acked: Nanos,
}

/// The rows that the winner's database has once everything has settled.
pub type FinalRows = BTreeSet<WriteId>;

#[cfg(test)]
pub(crate) mod build {
    use super::{Ack, FinalRows, WriteId};

    /// An acknowledgement of client `c`, times in milliseconds.
    pub fn ack(number: u64, site: &str, sent: u64, acked: u64) -> Ack {
        Ack { write: id(number), site: site.to_owned(), sent: sent * 1_000_000, acked: acked * 1_000_000 }
    }

    pub fn id(number: u64) -> WriteId {
        WriteId { client: "c".to_owned(), number }
    }

    pub fn rows(numbers: &[u64]) -> FinalRows {
        numbers.iter().map(|n| id(*n)).collect()
    }
}
