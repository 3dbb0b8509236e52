//! A witness's disk: what was synced survives a loss of power, of the rest any sectors may.

use crate::dice::{Dice, FNV, fnv};
use consensus::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Writes reach the disk in pieces of this size.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Default)]
struct Platter {
    /// As a reader sees it.
    seen: Vec<u8>,
    /// As it surely is after a loss of power.
    synced: Vec<u8>,
    /// Since the last sync.
    unsynced: Vec<Change>,
    /// Whoever opened it before the last crash writes nowhere any more.
    generation: u64,
    /// Operations until it fails.
    left: Option<u64>,
    syncs: u64,
    /// See [`Disk::lie`].
    lies: bool,
}

/// One witness's disk; it outlives the witness.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

/// What one run of a witness holds of it.
#[derive(Debug)]
pub struct Open {
    disk: Disk,
    generation: u64,
}

impl Disk {
    /// From now on it says that it synced, and does not: a defect to be found.
    pub fn lie(&self) {
        self.platter().lies = true;
    }

    pub fn open(&self) -> Open {
        Open { disk: self.clone(), generation: self.platter().generation }
    }

    /// Fails after so many more operations: in the middle of a transaction.
    pub fn fail_after(&self, operations: u64) {
        self.platter().left = Some(operations);
    }

    /// The process is killed: the kernel has what was written, synced or not.
    pub fn crash(&self) {
        let mut platter = self.platter();
        platter.generation += 1;
        platter.left = None;
    }

    /// The power goes: what was not synced is there or not, sector by sector.
    pub fn lose_power(&self, dice: &mut Dice) {
        self.crash();
        let mut platter = self.platter();
        // A liar loses all at once, as a cache without a battery does.
        let keep = if platter.lies { 0 } else { dice.between(0, 100) };
        let mut bytes = std::mem::take(&mut platter.synced);
        for change in std::mem::take(&mut platter.unsynced) {
            match change {
                // Cut short, it would lose synced bytes; longer than known is harmless.
                Change::Length(length) => bytes.resize(bytes.len().max(length), 0),
                Change::Write(offset, data) => {
                    for (i, sector) in data.chunks(SECTOR).enumerate() {
                        let at = offset + i * SECTOR;
                        if dice.percent(keep) && at + sector.len() <= bytes.len() {
                            bytes[at..at + sector.len()].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        platter.seen = bytes.clone();
        platter.synced = bytes;
    }

    /// True once it has failed as [`Disk::fail_after`] says, until its power comes back.
    pub fn has_failed(&self) -> bool {
        self.platter().left == Some(0)
    }

    /// Digest of what a reader sees.
    pub fn digest(&self) -> u64 {
        fnv(FNV, &self.platter().seen)
    }

    pub fn syncs(&self) -> u64 {
        self.platter().syncs
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    fn put(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Length(length) => bytes.resize(*length, 0),
            Change::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
        }
    }

    fn take(&mut self, change: Change) {
        Self::put(&mut self.seen, &change);
        self.unsynced.push(change);
    }
}

impl Open {
    fn operate(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let mut platter = self.disk.platter();
        let gone = platter.generation != self.generation || platter.left == Some(0);
        if gone {
            return Err(io::Error::other("the power is gone"));
        }
        if let Some(left) = &mut platter.left {
            *left -= 1;
        }
        Ok(platter)
    }
}

impl StorageBackend for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.platter().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.disk.platter();
        let start = offset as usize;
        let there = platter.seen.get(start..start + out.len());
        out.copy_from_slice(there.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.operate()?.take(Change::Length(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.operate()?;
        platter.syncs += 1;
        if platter.lies {
            return Ok(());
        }
        let changes = std::mem::take(&mut platter.unsynced);
        for change in &changes {
            Platter::put(&mut platter.synced, change);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate()?.take(Change::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}
