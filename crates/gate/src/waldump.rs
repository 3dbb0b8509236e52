//! Reads what `pg_waldump` says of WAL beyond a fork: transactions, tables, bytes.

use model::Lsn;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::BufRead;

/// Tables that the summary names.
const TABLES_SHOWN: usize = 10;

/// What is beyond the fork.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) commits: u64,
    /// Where the last record begins.
    pub(crate) last: Lsn,
    /// Changed rows (records of the heap) by "tablespace/database/filenode".
    pub(crate) tables: BTreeMap<String, u64>,
    /// Transactions that committed, and when, by their own clock.
    pub(crate) transactions: Vec<(String, String)>,
}

/// Transactions that the list names one by one.
const TRANSACTIONS_LISTED: usize = 100_000;

impl Beyond {
    /// Of the tool's standard output.
    pub(crate) fn read(output: impl BufRead) -> std::io::Result<Self> {
        let mut beyond = Self::default();
        for line in output.split(b'\n') {
            beyond.take(&String::from_utf8_lossy(&line?));
        }
        Ok(beyond)
    }

    /// `rmgr: Heap        len (rec/tot):     54/    54, tx:        735, lsn: 0/01535E28, prev ...,
    /// desc: INSERT off 2 flags 0x00, blkref #0: rel 1663/5/16384 blk 0`
    fn take(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("rmgr: ") else { return };
        let manager = rest.split(' ').next().unwrap_or_default();
        let after = |mark: &str| line.split_once(mark).map(|(_, after)| after);
        let total = after("len (rec/tot):").and_then(|t| t.split_once('/')?.1.split(',').next());
        let lsn = after("lsn: ").and_then(|t| t.split(',').next()?.trim().parse::<Lsn>().ok());
        self.records += 1;
        self.bytes += total.and_then(|t| t.trim().parse::<u64>().ok()).unwrap_or(0);
        self.last = lsn.unwrap_or_default().max(self.last);
        let what = after("desc: ").unwrap_or_default();
        let verb = what.split([' ', '+']).next().unwrap_or_default();
        match (manager, verb) {
            ("Transaction", "COMMIT" | "COMMIT_PREPARED") => {
                self.commits += 1;
                if self.transactions.len() < TRANSACTIONS_LISTED {
                    let number = after("tx:").and_then(|t| t.split(',').next()).unwrap_or_default();
                    let when = what.split_once(' ').map_or("", |(_, when)| when);
                    self.transactions.push((number.trim().to_owned(), when.trim().to_owned()));
                }
            }
            ("Heap" | "Heap2", "INSERT" | "UPDATE" | "HOT_UPDATE" | "DELETE" | "MULTI_INSERT") => {
                let table = after("rel ").and_then(|t| t.split(' ').next()).unwrap_or("?");
                *self.tables.entry(table.to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }

    /// Gives tables their names where they are known: lines of `database oid/filenode|name`.
    pub(crate) fn name(&mut self, names: &str) {
        let known: BTreeMap<&str, &str> = names.lines().filter_map(|line| line.split_once('|')).collect();
        let tables = std::mem::take(&mut self.tables);
        for (table, changes) in tables {
            let node = table.split_once('/').map_or("", |(_, node)| node);
            let name = known.get(node).map_or(table.clone(), |name| format!("{name} ({table})"));
            *self.tables.entry(name).or_default() += changes;
        }
    }

    /// One line for people.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!(
            "{} committed transactions in {} records, {} bytes",
            self.commits, self.records, self.bytes
        );
        let mut tables: Vec<(&String, &u64)> = self.tables.iter().collect();
        tables.sort_by(|a, b| b.1.cmp(a.1));
        for (i, (table, changes)) in tables.iter().take(TABLES_SHOWN).enumerate() {
            let before = if i == 0 { "; changes by table: " } else { ", " };
            // Writing to a String does not fail.
            let _ = write!(text, "{before}{table} {changes}");
        }
        if tables.len() > TABLES_SHOWN {
            let _ = write!(text, " and {} more tables", tables.len() - TABLES_SHOWN);
        }
        text
    }

    /// The whole list, for a file.
    pub(crate) fn list(&self) -> String {
        let mut text = format!("{}\n\nchanged records by tablespace/database/filenode:\n", self.summary());
        for (table, changes) in &self.tables {
            let _ = writeln!(text, "{table} {changes}");
        }
        text.push_str("\ncommitted transactions, with their commit times:\n");
        for (number, when) in &self.transactions {
            let _ = writeln!(text, "{number} {when}");
        }
        text
    }
}

/// Whether the tool's complaint is that there is nothing valid after the fork (then the WAL ends
/// there), and not that the WAL is not there.
pub(crate) fn ends_at_the_fork(complaint: &str) -> bool {
    complaint.contains("could not find a valid record after")
}

/// Where `pg_rewind` goes back to, from what it says:
/// `pg_rewind: rewinding from last common checkpoint at 0/3000060 on timeline 1`.
pub(crate) fn common_checkpoint(said: &str) -> Option<Lsn> {
    said.split_once("last common checkpoint at ")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_a_rewind_goes_back_to_is_read() {
        let said = "pg_rewind: servers diverged at WAL location 0/3004060 on timeline 1\n\
                    pg_rewind: rewinding from last common checkpoint at 0/3000060 on timeline 1\n";
        assert_eq!(common_checkpoint(said), Some(Lsn(0x300_0060)));
        assert_eq!(common_checkpoint("pg_rewind: no rewind required"), None);
    }

    #[test]
    fn transactions_tables_and_bytes_are_counted() {
        let output = "\
rmgr: Heap        len (rec/tot):     54/   154, tx:        735, lsn: 0/01535E28, prev 0/01535DE8, desc: INSERT off 2 flags 0x00, blkref #0: rel 1663/5/16384 blk 0
rmgr: Heap        len (rec/tot):     60/    60, tx:        735, lsn: 0/01535E60, prev 0/01535E28, desc: INSERT+INIT off 1 flags 0x00, blkref #0: rel 1663/5/16390 blk 0
rmgr: Btree       len (rec/tot):     64/    64, tx:        735, lsn: 0/01535EA0, prev 0/01535E28, desc: INSERT_LEAF off 2, blkref #0: rel 1663/5/16387 blk 1
rmgr: Transaction len (rec/tot):     34/    34, tx:        735, lsn: 0/01535EE0, prev 0/01535EA0, desc: COMMIT 2026-11-22 20:00:00.1 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        736, lsn: 0/01535F10, prev 0/01535EE0, desc: ABORT 2026-11-22 20:00:00.2 UTC
rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 1/00000028, prev 0/01535F10, desc: CHECKPOINT_SHUTDOWN redo 0/1535F38
";
        let beyond = Beyond::read(output.as_bytes()).expect("read");
        assert_eq!((beyond.records, beyond.commits, beyond.bytes), (6, 1, 154 + 60 + 64 + 34 + 34 + 114));
        assert_eq!(beyond.last, Lsn((1 << 32) + 0x28));
        assert_eq!(beyond.tables.get("1663/5/16384"), Some(&1));
        assert_eq!(beyond.tables.get("1663/5/16390"), Some(&1));
        let mut named = beyond.clone();
        named.name("5/16384|postgres.lab\n9/16390|other.x\n");
        assert_eq!(named.tables.get("postgres.lab (1663/5/16384)"), Some(&1));
        assert_eq!(named.tables.get("1663/5/16390"), Some(&1));
        assert!(beyond.summary().starts_with("1 committed transactions in 6 records"));
        assert!(beyond.list().contains("735 2026-11-22 20:00:00.1 UTC"));
    }
}
