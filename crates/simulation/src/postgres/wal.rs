//! The write-ahead logs of one stack's servers, as one tree of records.
//!
//! A server's log is the path from the root to one record, so that shipping WAL is handing over
//! the number of a record, and no record is ever copied. PostgreSQL itself compares logs by
//! timeline number and position alone; the tree knows better (two promotions at one position
//! that took the same number are two branches), and only the world may ask it.

use model::{Lsn, Timeline};

/// The end of somebody's log: a record and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tip(u32);

impl Tip {
    /// Where every log begins.
    pub const ROOT: Self = Self(0);
}

/// Where the first record of a new cluster ends.
const FIRST: u64 = 0x0300_0000;

#[derive(Clone, Copy, Debug)]
struct Record {
    before: Tip,
    end: u64,
    timeline: u32,
    /// The client's write that it commits; 0: none.
    row: u64,
}

/// All records that any server of the stack ever wrote.
#[derive(Clone, Debug)]
pub struct Wal {
    records: Vec<Record>,
}

impl Wal {
    /// A new cluster on timeline 1.
    #[must_use]
    pub fn new() -> Self {
        Self { records: vec![Record { before: Tip::ROOT, end: FIRST, timeline: 1, row: 0 }] }
    }

    fn record(&self, tip: Tip) -> Record {
        self.records[tip.0 as usize]
    }

    /// Writes a record of `size` bytes at the end of `tip`; `row` 0 commits no client's write.
    pub fn append(&mut self, tip: Tip, size: u64, timeline: Timeline, row: u64) -> Tip {
        let end = self.record(tip).end + size;
        let place = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        self.records.push(Record { before: tip, end, timeline: timeline.0, row });
        Tip(place)
    }

    /// Where the log ends.
    #[must_use]
    pub fn end(&self, tip: Tip) -> Lsn {
        Lsn(self.record(tip).end)
    }

    /// The timeline that the log's last record is on.
    #[must_use]
    pub fn timeline(&self, tip: Tip) -> Timeline {
        Timeline(self.record(tip).timeline)
    }

    /// Where the last record of the log begins.
    #[must_use]
    pub fn start_of_last(&self, tip: Tip) -> Lsn {
        self.end(self.record(tip).before)
    }

    /// The record before the last one.
    #[must_use]
    pub fn before(&self, tip: Tip) -> Tip {
        self.record(tip).before
    }

    /// True if `old` is a part of `new`: the truth, that no server can see.
    #[must_use]
    pub fn is_part(&self, old: Tip, new: Tip) -> bool {
        let end = self.record(old).end;
        let mut at = new;
        while self.record(at).end > end {
            at = self.record(at).before;
        }
        at == old
    }

    /// The last place in `tip`'s log that is on a timeline not above `timeline`.
    #[must_use]
    pub fn last_on(&self, tip: Tip, timeline: Timeline) -> Tip {
        let mut at = tip;
        while at != Tip::ROOT && self.record(at).timeline > timeline.0 {
            at = self.record(at).before;
        }
        at
    }

    /// Where the timeline of `tip` begins (0 for a cluster's first one).
    #[must_use]
    pub fn timeline_start(&self, tip: Tip) -> Lsn {
        let timeline = self.record(tip).timeline;
        let mut at = tip;
        while at != Tip::ROOT && self.record(at).timeline == timeline {
            at = self.record(at).before;
        }
        if at == Tip::ROOT && self.record(at).timeline == timeline { Lsn(0) } else { self.end(at) }
    }

    /// True if a record of `tip`'s log ends at `position`.
    #[must_use]
    pub fn has_boundary(&self, tip: Tip, position: Lsn) -> bool {
        let mut at = tip;
        while at != Tip::ROOT && self.record(at).end > position.0 {
            at = self.record(at).before;
        }
        self.record(at).end == position.0
    }

    /// What a standby whose log ends at `own` has after it received `sent` from there on. If its
    /// log is no part of that (only numbers were compared), its own records stay below the new ones.
    pub fn receive(&mut self, own: Tip, sent: Tip) -> Tip {
        if self.is_part(own, sent) {
            return sent;
        }
        let mut above = Vec::new();
        let mut at = sent;
        while self.record(at).end > self.record(own).end {
            above.push(self.record(at));
            at = self.record(at).before;
        }
        above.iter().rev().fold(own, |tip, record| {
            let place = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
            self.records.push(Record { before: tip, ..*record });
            Tip(place)
        })
    }

    /// The first record of `sent`'s log beyond the end of `own`; `sent` if there is none.
    #[must_use]
    pub fn next_of(&self, own: Tip, sent: Tip) -> Tip {
        let (end, mut at) = (self.record(own).end, sent);
        while self.record(self.record(at).before).end > end {
            at = self.record(at).before;
        }
        at
    }

    /// The clients' writes in a log, sorted.
    #[must_use]
    pub fn rows(&self, tip: Tip) -> Vec<u64> {
        let mut rows = Vec::new();
        let mut at = tip;
        while at != Tip::ROOT {
            let record = self.record(at);
            if record.row != 0 {
                rows.push(record.row);
            }
            at = record.before;
        }
        rows.sort_unstable();
        rows
    }
}

impl Default for Wal {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Timeline = Timeline(1);
    const TWO: Timeline = Timeline(2);

    #[test]
    fn equal_numbers_at_equal_positions_are_two_branches() {
        let mut wal = Wal::new();
        let common = wal.append(Tip::ROOT, 100, ONE, 1);
        let (a, b) = (wal.append(common, 100, TWO, 2), wal.append(common, 100, TWO, 3));
        assert_eq!((wal.end(a), wal.timeline(a)), (wal.end(b), wal.timeline(b)));
        assert!(!wal.is_part(a, b) && !wal.is_part(b, a) && wal.is_part(common, a));
        assert_eq!((wal.timeline_start(a), wal.timeline_start(common)), (wal.end(common), Lsn(0)));
    }

    #[test]
    fn who_receives_by_number_alone_keeps_its_own_rows_and_lacks_the_others() {
        let mut wal = Wal::new();
        let common = wal.append(Tip::ROOT, 100, ONE, 1);
        let (a, b) = (wal.append(common, 100, TWO, 2), wal.append(common, 100, TWO, 3));
        let more = wal.append(b, 100, TWO, 4);
        let mixed = wal.receive(a, more);
        assert_eq!(wal.rows(mixed), [1, 2, 4]);
        assert_eq!(wal.rows(more), [1, 3, 4]);
        assert_eq!(wal.receive(b, more), more);
    }

    #[test]
    fn a_log_is_received_record_by_record() {
        let mut wal = Wal::new();
        let one = wal.append(Tip::ROOT, 100, ONE, 1);
        let two = wal.append(one, 100, ONE, 2);
        assert_eq!((wal.next_of(Tip::ROOT, two), wal.next_of(one, two)), (one, two));
        assert_eq!(wal.next_of(two, two), two);
    }

    #[test]
    fn positions_are_found_by_number() {
        let mut wal = Wal::new();
        let common = wal.append(Tip::ROOT, 100, ONE, 1);
        let next = wal.append(common, 100, Timeline(5), 2);
        assert_eq!(wal.last_on(next, TWO), common);
        assert!(wal.has_boundary(next, wal.end(common)));
        assert!(!wal.has_boundary(next, Lsn(wal.end(common).0 + 1)));
        assert_eq!((wal.start_of_last(next), wal.before(next)), (wal.end(common), common));
    }
}
