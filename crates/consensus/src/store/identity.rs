//! Whose store it is: in the database, and in a marker file beside it that outlives it.

use crate::{
    codec::{Kind, open, seal, wire::StoreIdentity},
    error::StoreError,
};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Name of the marker file.
const MARKER: &str = "consensus.initialised";

/// Who opens the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub group: String,
    pub node: u64,
    pub site: String,
    pub founding: u64,
}

impl Identity {
    pub(super) fn record(&self, store: u64, rejoining: bool) -> StoreIdentity {
        StoreIdentity {
            group: self.group.clone(),
            node: self.node,
            site: self.site.clone(),
            founding: self.founding,
            store,
            rejoining,
        }
    }

    /// Refuses the store of another group, node or set of members.
    pub(super) fn check(&self, found: &StoreIdentity, path: &Path) -> Result<(), StoreError> {
        if (&found.group, found.node, &found.site) != (&self.group, self.node, &self.site) {
            return Err(StoreError::Foreign {
                path: path.to_owned(),
                found: describe(&found.group, found.node, &found.site),
                wanted: describe(&self.group, self.node, &self.site),
            });
        }
        if found.founding != self.founding {
            return Err(StoreError::OtherMembers { path: path.to_owned() });
        }
        Ok(())
    }
}

fn describe(group: &str, node: u64, site: &str) -> String {
    format!("node {node} of site {site} in group {group}")
}

pub(super) fn marker_path(directory: &Path) -> PathBuf {
    directory.join(MARKER)
}

pub(super) fn read_marker(path: &Path) -> Result<Option<StoreIdentity>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::Io { path: path.to_owned(), reason: e.to_string() }),
    };
    open(Kind::StoreIdentity, &bytes)
        .map(Some)
        .map_err(|e| StoreError::Damaged { path: path.to_owned(), reason: e.to_string() })
}

/// Writes the marker, durable on return.
pub(super) fn write_marker(directory: &Path, record: &StoreIdentity) -> Result<(), StoreError> {
    let path = marker_path(directory);
    let failed = |reason: String| StoreError::Io { path: path.clone(), reason };
    let bytes = seal(Kind::StoreIdentity, record).map_err(|e| failed(e.to_string()))?;
    let temporary = directory.join(format!("{MARKER}.new"));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_directory(directory)
    };
    write().map_err(|e| failed(e.to_string()))
}

/// redb doesn't do this: a new file's name is durable only once its directory is.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
