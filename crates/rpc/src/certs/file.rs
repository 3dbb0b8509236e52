//! Files of certificates and keys: each appears at once, in full, with its mode.

use super::CertsError;
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Mode of a key's file.
pub(super) const PRIVATE: u32 = 0o600;
/// Mode of a certificate's file.
pub(super) const PUBLIC: u32 = 0o644;

pub(super) fn read(file: &Path) -> Result<String, CertsError> {
    fs::read_to_string(file).map_err(|source| CertsError::File { file: file.to_owned(), source })
}

/// Refuses before anything is written, so that no half of a pair is left.
pub(super) fn refuse_existing(files: &[&Path], replace: bool) -> Result<(), CertsError> {
    match files.iter().find(|file| !replace && file.symlink_metadata().is_ok()) {
        Some(file) => Err(CertsError::Exists { file: (*file).to_owned() }),
        None => Ok(()),
    }
}

/// Writes beside the file, then gives it its name: by a link, which fails where there is a file
/// already, or by renaming over it.
pub(super) fn write(file: &Path, bytes: &[u8], mode: u32, replace: bool) -> Result<(), CertsError> {
    let mut name = OsString::from(file);
    name.push(format!(".new-{}", std::process::id()));
    let beside = Path::new(&name);
    let written = fill(beside, bytes, mode)
        .and_then(|()| if replace { fs::rename(beside, file) } else { fs::hard_link(beside, file) });
    if !(replace && written.is_ok()) {
        // It has its name by now, or is of no use; one that cannot be removed does no harm.
        let _left_behind = fs::remove_file(beside);
    }
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CertsError::Exists { file: file.to_owned() },
        _ => CertsError::File { file: file.to_owned(), source },
    })
}

fn fill(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // One left by a killed predecessor with this very process id.
    let _left_behind = fs::remove_file(file);
    let mut open = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
    open.write_all(bytes)?;
    open.sync_all()
}
