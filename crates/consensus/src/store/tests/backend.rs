//! A disk that forgets what was not synced.

use redb::StorageBackend;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Default)]
struct Disk {
    /// As a reader sees it.
    seen: Vec<u8>,
    /// As it is after a power loss, with none of `unsynced`.
    synced: Vec<u8>,
    /// Writes since the last sync, and lengths set.
    unsynced: Vec<Change>,
    /// Operations until the power goes.
    left: Option<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// Clones share the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<Disk>>);

/// Writes reach the disk in pieces of this size.
const SECTOR: usize = 512;

impl Memory {
    /// A disk with these contents, all synced.
    pub(super) fn with(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Disk { seen: bytes.clone(), synced: bytes, ..Disk::default() })))
    }

    /// The power goes after so many more operations.
    pub(super) fn fail_after(&self, operations: u64) {
        self.disk().left = Some(operations);
    }

    /// What a reader sees now.
    pub(super) fn contents(&self) -> Vec<u8> {
        self.disk().seen.clone()
    }

    /// What is there after the power loss: everything synced, and of the rest the sectors that
    /// `kept` picks.
    pub(super) fn after_power_loss(&self, mut kept: impl FnMut() -> bool) -> Vec<u8> {
        let disk = self.disk();
        let mut bytes = disk.synced.clone();
        for change in &disk.unsynced {
            match change {
                Change::Length(length) => {
                    // A file that is longer than known is harmless; one cut short would lose synced bytes.
                    bytes.resize(bytes.len().max(*length as usize), 0);
                }
                Change::Write(offset, data) => {
                    for (i, sector) in data.chunks(SECTOR).enumerate() {
                        let at = *offset as usize + i * SECTOR;
                        if kept() && at + sector.len() <= bytes.len() {
                            bytes[at..at + sector.len()].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        bytes
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operate(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk();
        match &mut disk.left {
            Some(0) => return Err(io::Error::other("the power is gone")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(disk)
    }
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk();
        let start = offset as usize;
        let there = disk.seen.get(start..start + out.len());
        let there = there.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(there);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut disk = self.operate()?;
        disk.seen.resize(length as usize, 0);
        disk.unsynced.push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.operate()?;
        disk.synced = disk.seen.clone();
        disk.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.operate()?;
        let start = offset as usize;
        if disk.seen.len() < start + data.len() {
            disk.seen.resize(start + data.len(), 0);
        }
        disk.seen[start..start + data.len()].copy_from_slice(data);
        disk.unsynced.push(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}
