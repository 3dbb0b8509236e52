//! The store as openraft wants to see it.

use super::{Store, writer::Write};
use crate::{
    codec::{Kind, convert, seal},
    group::{Group, LogEntry, LogId, Vote},
};
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use std::{fmt::Debug, io, ops::RangeBounds};

impl RaftLogReader<Group> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<LogEntry>, io::Error> {
        if is_empty(&range) {
            return Ok(Vec::new());
        }
        Ok(self.cache().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.vote())
    }
}

/// `BTreeMap::range` panics on a range that ends before it begins.
fn is_empty(range: &impl RangeBounds<u64>) -> bool {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    match (range.start_bound(), range.end_bound()) {
        (Included(start), Excluded(end)) => start >= end,
        (Included(start), Included(end)) => start > end,
        (Excluded(start), Included(end) | Excluded(end)) => start >= end,
        (Unbounded, _) | (_, Unbounded) => false,
    }
}

impl RaftLogStorage<Group> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Group>, io::Error> {
        let cache = self.cache();
        Ok(LogState { last_purged_log_id: cache.purged, last_log_id: cache.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let record = seal(Kind::Ballot, &convert::ballot(vote)).map_err(io::Error::other)?;
        self.written(|done| Write::Vote { record, done }).await?;
        self.cache().vote = Some(*vote);
        Ok(())
    }

    /// Taken along by the next write.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut cache = self.cache();
        cache.committed = committed;
        cache.pending = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.cache().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Group>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        {
            let mut cache = self.cache();
            for entry in entries {
                let index = entry.log_id.index;
                if let Some(last) = cache.last()
                    && last.index.saturating_add(1) != index
                {
                    let reason = format!("log index {index} after {}: it would leave a hole", last.index);
                    return Err(io::Error::other(reason));
                }
                records.push((index, convert::record(&entry).map_err(io::Error::other)?));
                cache.entries.insert(index, entry);
            }
        }
        self.send(Write::Append { records, done: callback }).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let after = last.map(|id| id.index);
        {
            let mut cache = self.cache();
            match after {
                Some(index) => drop(cache.entries.split_off(&index.saturating_add(1))),
                None => cache.entries.clear(),
            }
        }
        self.written(|done| Write::Truncate { after, done }).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        {
            let mut cache = self.cache();
            cache.entries = cache.entries.split_off(&upto.index.saturating_add(1));
            cache.purged = Some(upto);
        }
        self.written(|done| Write::Purge { upto, done }).await
    }
}
