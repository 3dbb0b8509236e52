//! The gate's own record on disk: highest epoch, highest closed epoch, last cover.
//!
//! Written whole to a new file, fsynced, renamed, directory fsynced. A file that is absent or
//! fails its checksum counts as lost: then nothing opens until the group's answer refills it.

use crate::Error;
use coordination::permit::Record;
use model::{CoverKind, Epoch, LogIndex};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

const FILE: &str = "gate.record";
const FIRST_LINE: &str = "tripoint gate record 1";

/// The record's place on disk.
pub(crate) struct Store {
    directory: PathBuf,
    path: PathBuf,
}

impl Store {
    /// Makes the directory if it is not there, and reads the record; none if it is lost.
    pub(crate) fn open(state_directory: &Path, stack: &str) -> Result<(Self, Option<Record>), Error> {
        let directory = state_directory.join(stack);
        fs::create_dir_all(&directory).map_err(Error::file("make the state directory", &directory))?;
        let path = directory.join(FILE);
        let store = Self { directory, path };
        let record = match fs::read_to_string(&store.path) {
            Ok(text) => parse(&text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => None,
            Err(e) => return Err(Error::file("read the gate's record", &store.path)(e)),
        };
        Ok((store, record))
    }

    /// On disk for good once this returns.
    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        let next = self.path.with_extension("next");
        let fail = Error::file("write the gate's record", &self.path);
        replace(&self.directory, &next, &self.path, render(record).as_bytes()).map_err(fail)
    }
}

fn replace(directory: &Path, next: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(next, path)?;
    File::open(directory)?.sync_all()
}

fn render(record: &Record) -> String {
    let cover = match record.cover {
        None => "none".to_owned(),
        Some((epoch, CoverKind::Timed { since })) => format!("timed {epoch} {since}"),
        Some((epoch, CoverKind::Held { since })) => format!("held {epoch} {since}"),
    };
    let body = format!("{FIRST_LINE}\nhighest {}\nclosed {}\ncover {cover}\n", record.highest, record.closed);
    let sum = crc32fast::hash(body.as_bytes());
    format!("{body}crc32 {sum:08x}\n")
}

fn parse(text: &str) -> Option<Record> {
    let (body, sum) = text.split_at(text.find("crc32 ")?);
    let sum = u32::from_str_radix(sum.strip_prefix("crc32 ")?.strip_suffix('\n')?, 16).ok()?;
    if sum != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let mut lines = body.lines();
    (lines.next()? == FIRST_LINE).then_some(())?;
    let highest = Epoch(lines.next()?.strip_prefix("highest ")?.parse().ok()?);
    let closed = Epoch(lines.next()?.strip_prefix("closed ")?.parse().ok()?);
    let mut words = lines.next()?.strip_prefix("cover ")?.split(' ');
    let kind = words.next()?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let cover = match kind {
        "none" => None,
        "timed" => Some((Epoch(number()?), CoverKind::Timed { since: LogIndex(number()?) })),
        "held" => Some((Epoch(number()?), CoverKind::Held { since: LogIndex(number()?) })),
        _ => return None,
    };
    Some(Record { highest, closed, cover })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        let cover = Some((Epoch(7), CoverKind::Timed { since: LogIndex(99) }));
        Record { highest: Epoch(7), closed: Epoch(5), cover }
    }

    #[test]
    fn what_was_written_is_read() {
        for cover in [None, sample().cover, Some((Epoch(1), CoverKind::Held { since: LogIndex(0) }))] {
            let record = Record { cover, ..sample() };
            assert_eq!(parse(&render(&record)), Some(record));
        }
        let directory = tempfile::tempdir().expect("a directory");
        let (store, none) = Store::open(directory.path(), "db").expect("opens");
        assert_eq!(none, None);
        store.write(&sample()).expect("writes");
        let (_, read) = Store::open(directory.path(), "db").expect("opens");
        assert_eq!(read, Some(sample()));
    }

    #[test]
    fn any_changed_byte_means_lost() {
        let good = render(&sample()).into_bytes();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            let parsed = String::from_utf8(bad).ok().and_then(|text| parse(&text));
            assert_eq!(parsed, None, "byte {place}");
            assert_eq!(parse(&String::from_utf8_lossy(&good[..place])), None, "cut at {place}");
        }
    }
}
