//! The gate's lock on the data directory. PostgreSQL's own does not hold across PID and IPC
//! namespaces: two pods with one volume both start.
//!
//! `flock` of the directory itself, so that nothing lies in it. A directory that was replaced
//! (a base backup moved into place) is a new one: it is locked anew before each start.

use crate::Error;
use crate::processes::DirectoryId;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// Where directories cannot be locked (NFS): a file inside.
const FILE: &str = "tripoint-gate.lock";

/// The lock, for as long as it lives.
pub(crate) struct DataLock {
    path: PathBuf,
    held: Option<(DirectoryId, Flock<File>)>,
}

impl DataLock {
    /// Not locked yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), held: None }
    }

    /// Holds the lock of the directory that is at the path now; which one that is.
    ///
    /// # Errors
    /// Another gate holds it, or it is not there.
    pub(crate) fn ensure(&mut self) -> Result<DirectoryId, Error> {
        let absent = |source| Error::DataDirectory { path: self.path.clone(), source };
        let current =
            DirectoryId::of(&self.path).ok_or_else(|| absent(std::io::ErrorKind::NotFound.into()))?;
        if self.held.as_ref().is_some_and(|(id, _)| *id == current) {
            return Ok(current);
        }
        let directory = File::open(&self.path).map_err(absent)?;
        let lock = match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Err(Error::Locked(self.path.clone())),
            Err(_) => self.lock_file()?,
        };
        self.held = Some((current, lock));
        Ok(current)
    }

    fn lock_file(&self) -> Result<Flock<File>, Error> {
        let path = self.path.join(FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::file("open the lock file", &path))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => Error::Locked(self.path.clone()),
            other => Error::file("lock", &path)(other.into()),
        })
    }
}
