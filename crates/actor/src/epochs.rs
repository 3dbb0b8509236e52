//! The highest and the highest closed epoch of each stack, on disk, fsynced before anything
//! acts on them (design, S3).
//!
//! One small file, replaced as a whole: written beside, fsynced, renamed, directory fsynced. A
//! file that is absent or fails its checksum is *lost*: nothing opens until the answer to the
//! registration has refilled it.

use crate::Error;
use coordination::reconcile::StackEpochs;
use model::StackId;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "epochs";
const FILE_NEW: &str = "epochs.new";
const MAGIC: &str = "tripoint-epochs-1";
/// A file above this is none of ours: 10,000 stacks take less.
const FILE_LENGTH_MAX: u64 = 1 << 20;

/// All stacks' epochs.
pub type EpochMap = BTreeMap<StackId, StackEpochs>;

/// What was found on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// A whole file.
    Whole(EpochMap),
    /// No file, or a damaged one; the text says which.
    Lost(String),
}

/// Where a save is cut short by a test, as a crash would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    #[cfg(test)]
    HalfWritten,
    #[cfg(test)]
    Written,
    End,
}

/// The file.
#[derive(Clone, Debug)]
pub struct EpochStore {
    directory: PathBuf,
}

impl EpochStore {
    /// The store in this directory, which exists.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// The directory or file cannot be read at all: no reason to think that it is lost.
    pub fn load(&self) -> Result<Loaded, Error> {
        let path = self.directory.join(FILE);
        let fail = |source| Error::State { path: path.clone(), what: "read the epochs", source };
        let length = match fs::metadata(&path) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Lost("no file".to_owned())),
            Err(e) => return Err(fail(e)),
        };
        if length > FILE_LENGTH_MAX {
            return Ok(Loaded::Lost(format!("{length} bytes long")));
        }
        let bytes = fs::read(&path).map_err(fail)?;
        Ok(match decode(&bytes) {
            Ok(map) => Loaded::Whole(map),
            Err(what) => Loaded::Lost(what.to_owned()),
        })
    }

    /// Replaces the file; durable on return.
    ///
    /// # Errors
    /// The disk refused: then the old content stands.
    pub fn save(&self, map: &EpochMap) -> Result<(), Error> {
        self.save_until(map, Until::End)
    }

    fn save_until(&self, map: &EpochMap, until: Until) -> Result<(), Error> {
        let path = self.directory.join(FILE_NEW);
        self.replace(&path, &encode(map), until).map_err(|source| Error::State {
            path,
            what: "write the epochs durably",
            source,
        })
    }

    fn replace(&self, path: &Path, bytes: &[u8], until: Until) -> io::Result<()> {
        let mut file = File::create(path)?;
        #[cfg(test)]
        if until == Until::HalfWritten {
            return file.write_all(&bytes[..bytes.len() / 2]);
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        if until != Until::End {
            return Ok(());
        }
        fs::rename(path, self.directory.join(FILE))?;
        File::open(&self.directory)?.sync_all()
    }
}

fn encode(map: &EpochMap) -> Vec<u8> {
    let body = serde_json::to_vec(map).expect("a map with string keys and plain numbers is always JSON");
    let mut bytes = format!("{MAGIC} {:08x} {}\n", crc32fast::hash(&body), body.len()).into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(bytes: &[u8]) -> Result<EpochMap, &'static str> {
    let line = bytes.iter().position(|b| *b == b'\n').ok_or("cut off in its first line")?;
    let head = std::str::from_utf8(&bytes[..line]).map_err(|_| "first line damaged")?;
    let body = &bytes[line + 1..];
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) {
        return Err("not an epoch file of this version");
    }
    let sum = words.next().and_then(|w| u32::from_str_radix(w, 16).ok()).ok_or("checksum damaged")?;
    let length = words.next().and_then(|w| w.parse::<usize>().ok()).ok_or("length damaged")?;
    if length != body.len() || words.next().is_some() {
        return Err("cut off or longer than it says");
    }
    if crc32fast::hash(body) != sum {
        return Err("checksum does not match");
    }
    serde_json::from_slice(body).map_err(|_| "content damaged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Epoch;

    fn map(highest: u64, closed: u64) -> EpochMap {
        let stack = StackId::new("ess").expect("a name of the test");
        BTreeMap::from([(stack, StackEpochs { highest: Epoch(highest), closed: Epoch(closed) })])
    }

    fn store() -> (tempfile::TempDir, EpochStore) {
        let dir =
            tempfile::Builder::new().prefix("tripoint-actor-").tempdir_in("/var/tmp").expect("a temp dir");
        let store = EpochStore::new(dir.path().to_owned());
        (dir, store)
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let (_dir, store) = store();
        assert!(matches!(store.load().expect("readable"), Loaded::Lost(_)));
        store.save(&map(2, 1)).expect("saved");
        store.save(&map(3, 2)).expect("saved");
        assert_eq!(store.load().expect("readable"), Loaded::Whole(map(3, 2)));
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_content() {
        for until in [Until::HalfWritten, Until::Written] {
            let (_dir, store) = store();
            store.save(&map(2, 1)).expect("saved");
            store.save_until(&map(3, 3), until).expect("the part before the crash");
            assert_eq!(store.load().expect("readable"), Loaded::Whole(map(2, 1)), "{until:?}");
            store.save(&map(4, 3)).expect("saved over the leftover");
            assert_eq!(store.load().expect("readable"), Loaded::Whole(map(4, 3)));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let whole = encode(&map(3, 2));
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                // A flip of a hex digit's case in the checksum is the same checksum.
                assert!(decode(&bytes).map_or(true, |m| m == map(3, 2)), "byte {at} bit {bit}");
            }
            assert!(decode(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn epochs_only_grow() {
        let a = StackEpochs { highest: Epoch(3), closed: Epoch(1) };
        let b = StackEpochs { highest: Epoch(2), closed: Epoch(5) };
        assert_eq!(a.max(b), StackEpochs { highest: Epoch(5), closed: Epoch(5) });
    }
}
