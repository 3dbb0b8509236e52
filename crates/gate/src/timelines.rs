//! Lays history files for timeline numbers that an earlier promotion may have taken, so that
//! PostgreSQL's own promotion takes one above them (design, section 8, "Timelines").
//!
//! PostgreSQL goes up from its own number until a history file is missing. The files say
//! nothing but who laid them: a standby that looks for newer timelines meanwhile refuses such
//! a one ("not a child of database system timeline") and stays where it is. At its *start* a
//! standby takes the newest number for its target, and would end over such a file: so those
//! that no promotion went beyond are removed before each start. Those below a real one stay:
//! a standby fetches every number between its own timeline and its primary's.

use crate::Error;
use crate::hold::User;
use model::Timeline;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// More numbers than this were never taken by promotions.
const SKIPPED_MAX: u32 = 10_000;
/// All that such a file holds. A comment, for PostgreSQL.
const MARK: &[u8] = b"# laid by tripoint gate: an earlier promotion may have taken this number\n";

/// Makes sure that a promotion takes a number above `highest`. `current` is the control file's.
/// How many numbers it has to skip for that.
pub(crate) fn skip(
    data: &Path,
    current: Timeline,
    highest: Timeline,
    user: Option<&User>,
) -> Result<u32, Error> {
    let directory = data.join("pg_wal");
    let place = Error::file("lay a timeline history file in", &directory);
    if highest.0.saturating_sub(current.0) > SKIPPED_MAX {
        return Err(place(io::Error::other(format!("timelines {current} to {highest}: too many"))));
    }
    let missing = (current.0 + 1..=highest.0)
        .map(|n| directory.join(format!("{n:08X}.history")))
        .filter(|p| !p.exists());
    let lay_all = || -> io::Result<u32> {
        let mut laid = 0;
        for path in missing {
            lay(&path, user)?;
            laid += 1;
        }
        if laid > 0 {
            File::open(&directory)?.sync_all()?;
        }
        Ok(laid)
    };
    lay_all().map_err(place)
}

fn lay(path: &Path, user: Option<&User>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    if let Some(user) = user {
        std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))?;
    }
    file.write_all(MARK)?;
    file.sync_all()
}

/// Removes laid files that no promotion went beyond; how many.
pub(crate) fn clear(data: &Path) -> Result<u32, Error> {
    let directory = data.join("pg_wal");
    let place = Error::file("clear laid timeline history files in", &directory);
    let clear_all = || -> io::Result<u32> {
        let (laid, real): (Vec<_>, Vec<_>) =
            histories(&directory)?.into_iter().partition(|(_, laid, _)| *laid);
        let highest_real = real.iter().map(|(number, ..)| *number).max().unwrap_or(0);
        let mut cleared = 0;
        for (_, _, path) in laid.iter().filter(|(number, ..)| *number > highest_real) {
            fs::remove_file(path)?;
            cleared += 1;
        }
        Ok(cleared)
    };
    clear_all().map_err(place)
}

/// (number, whether it was laid, path) of each history file.
fn histories(directory: &Path) -> io::Result<Vec<(u32, bool, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".history"));
        if let Some(number) = name.and_then(|n| u32::from_str_radix(n, 16).ok()) {
            // One that was cut short by a crash begins as the whole one does, or is empty.
            let text = fs::read(&path)?;
            found.push((number, MARK.starts_with(&text), path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_numbers_are_laid() {
        let data = tempfile::tempdir().expect("a directory");
        let wal = data.path().join("pg_wal");
        fs::create_dir(&wal).expect("made");
        fs::write(wal.join("00000003.history"), "1\t0/3000000\treal\n").expect("written");
        assert_eq!(skip(data.path(), Timeline(1), Timeline(4), None).expect("laid"), 2);
        assert!(wal.join("00000004.history").exists());
        assert_eq!(fs::read_to_string(wal.join("00000003.history")).expect("there"), "1\t0/3000000\treal\n");
        assert_eq!(skip(data.path(), Timeline(1), Timeline(4), None).expect("laid"), 0);
        assert_eq!(skip(data.path(), Timeline(4), Timeline(2), None).expect("nothing to do"), 0);
    }

    #[test]
    fn only_laid_files_above_the_last_real_one_are_cleared() {
        let data = tempfile::tempdir().expect("a directory");
        let wal = data.path().join("pg_wal");
        fs::create_dir(&wal).expect("made");
        fs::write(wal.join("00000003.history"), "1\t0/3000000\treal\n").expect("written");
        fs::write(wal.join("000000010000000000000003"), "a segment").expect("written");
        assert_eq!(skip(data.path(), Timeline(1), Timeline(5), None).expect("laid"), 3);
        fs::write(wal.join("00000006.history"), "").expect("cut short");
        assert_eq!(clear(data.path()).expect("cleared"), 3);
        let left: std::collections::BTreeSet<_> = fs::read_dir(&wal)
            .expect("there")
            .flatten()
            .map(|e| e.file_name().into_string().expect("text"))
            .collect();
        let expected =
            ["000000010000000000000003", "00000002.history", "00000003.history"].map(str::to_owned);
        assert_eq!(left, expected.into());
    }
}
