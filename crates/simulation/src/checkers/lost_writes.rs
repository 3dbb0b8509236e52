//! Acknowledged writes that the final database does not have.
//!
//! In synchronous mode each is a violation of S4. In asynchronous mode they are the price of the
//! failover and must be bounded: counted, and told with when the first and the last were
//! acknowledged.

use super::{Ack, FinalRows, Nanos};

/// What was acknowledged and is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostWrites {
    /// All acknowledgements looked at.
    pub acknowledged: usize,
    /// Those whose row is not in the final database.
    pub lost: usize,
    /// When the first of the lost was acknowledged.
    pub first: Option<Nanos>,
    /// When the last of the lost was acknowledged.
    pub last: Option<Nanos>,
}

/// Lost writes, counted one by one, of real histories and of simulated ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub lost: usize,
    pub first: Option<u64>,
    pub last: Option<u64>,
}

impl Tally {
    /// One more, acknowledged at `acked`.
    pub fn lose(&mut self, acked: u64) {
        self.lost += 1;
        self.first = Some(self.first.map_or(acked, |t| t.min(acked)));
        self.last = Some(self.last.map_or(acked, |t| t.max(acked)));
    }
}

/// Counts the acknowledged writes that are not in `rows`.
#[must_use]
pub fn lost_writes(acks: &[Ack], rows: &FinalRows) -> LostWrites {
    let mut tally = Tally::default();
    acks.iter().filter(|a| !rows.contains(&a.write)).for_each(|a| tally.lose(a.acked));
    LostWrites { acknowledged: acks.len(), lost: tally.lost, first: tally.first, last: tally.last }
}

#[cfg(test)]
mod tests {
    use super::super::build::{ack, rows};
    use super::*;

    #[test]
    fn nothing_is_lost_when_every_row_is_there() {
        let history = [ack(1, "dc1", 0, 1), ack(2, "dc1", 2, 3)];
        let found = lost_writes(&history, &rows(&[1, 2, 3]));
        assert_eq!(found, LostWrites { acknowledged: 2, ..LostWrites::default() });
    }

    #[test]
    fn the_lost_are_counted_with_the_first_and_the_last() {
        let history = [ack(1, "dc1", 0, 1), ack(4, "dc1", 6, 9), ack(2, "dc1", 2, 3), ack(3, "dc1", 4, 5)];
        let found = lost_writes(&history, &rows(&[1, 3]));
        assert_eq!(found.lost, 2);
        assert_eq!(found.first, Some(3_000_000));
        assert_eq!(found.last, Some(9_000_000));
    }

    #[test]
    fn the_same_number_of_another_client_is_another_write() {
        let mut other = ack(1, "dc1", 0, 1);
        "d".clone_into(&mut other.write.client);
        assert_eq!(lost_writes(&[other], &rows(&[1])).lost, 1);
    }
}
