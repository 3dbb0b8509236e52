//! Lays history files for timeline numbers that an earlier promotion may have taken, so that
//! PostgreSQL's own promotion takes one above them (design, section 8, "Timelines").
//!
//! PostgreSQL goes up from its own number until a history file is missing. The files say
//! nothing but who laid them: a standby that looks for newer timelines meanwhile refuses such
//! a one ("not a child of database system timeline"), and stays where it is.

use crate::Error;
use crate::hold::User;
use model::Timeline;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// More numbers than this were never taken by promotions.
const SKIPPED_MAX: u32 = 10_000;

/// Makes sure that a promotion takes a number above `highest`. `current` is the control file's.
pub(crate) fn skip(
    data: &Path,
    current: Timeline,
    highest: Timeline,
    user: Option<&User>,
) -> Result<u32, Error> {
    let directory = data.join("pg_wal");
    let place = Error::file("lay a timeline history file in", &directory);
    if highest.0.saturating_sub(current.0) > SKIPPED_MAX {
        return Err(place(std::io::Error::other(format!("timelines {current} to {highest}: too many"))));
    }
    let mut laid = 0;
    let lay = |number: u32| -> std::io::Result<bool> {
        let path = directory.join(format!("{number:08X}.history"));
        if path.exists() {
            return Ok(false);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(b"# laid by tripoint gate: an earlier promotion may have taken this number\n")?;
        file.sync_all()?;
        if let Some(user) = user {
            std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid))?;
        }
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(true)
    };
    let all = || -> std::io::Result<u32> {
        for number in current.0 + 1..=highest.0 {
            laid += u32::from(lay(number)?);
        }
        if laid > 0 {
            File::open(&directory)?.sync_all()?;
        }
        Ok(laid)
    };
    let mut all = all;
    all().map_err(place)
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
}
