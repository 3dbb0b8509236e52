//! What lies beside the data directory, in `<data>.tripoint`: the marker of a rewind, a new copy
//! while it is made, the old one until the new one streams, configuration and diverged WAL that
//! were kept. On the same file system, so that directories can change places; never inside, so
//! that nothing overwrites it.

use crate::hold::User;
use model::CopyMark;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

const MARKER: &str = "marker";
const FIRST_LINE: &str = "tripoint rejoin 1";
/// Configuration and keys that tools overwrite and that are this site's own.
const OWN_FILES: [&str; 7] = [
    "postgresql.conf",
    "postgresql.auto.conf",
    "pg_hba.conf",
    "pg_ident.conf",
    "server.crt",
    "server.key",
    "root.crt",
];
/// Sets of diverged WAL that are kept; the oldest goes first.
const DIVERGED_SETS_MAX: usize = 3;

/// What the marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// `pg_rewind` began.
    RewindBegun,
    /// It ended well; the copy has not streamed since.
    RewindDone,
    /// A whole new copy is about to take the old one's place.
    Swap,
}

impl Stage {
    const ALL: [(Self, &'static str); 3] =
        [(Self::RewindBegun, "rewind-begun"), (Self::RewindDone, "rewind-done"), (Self::Swap, "swap")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(stage, _)| *stage == self).map_or("", |(_, word)| word)
    }
}

/// The directory beside one data directory.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    data: PathBuf,
    path: PathBuf,
}

impl Beside {
    /// Of this data directory; nothing is made yet.
    pub(crate) fn new(data: &Path) -> Self {
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push(".tripoint");
        Self { data: data.to_owned(), path: data.with_file_name(name) }
    }

    /// A file or directory in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where a new copy is made.
    pub(crate) fn new_copy(&self) -> PathBuf {
        self.at("new")
    }

    /// Where the old one waits.
    pub(crate) fn old_copy(&self) -> PathBuf {
        self.at("old")
    }

    /// Makes it, for the user that the tools run as.
    pub(crate) fn make(&self, user: Option<&User>) -> io::Result<()> {
        make_directory(&self.path, user)
    }

    /// True if a rewind of the directory that is there now began and did not end, or a swap did
    /// not: it must not run.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.stage(), Some(Stage::RewindBegun | Stage::Swap))
    }

    /// What an earlier rewind left.
    pub(crate) fn mark(&self) -> Option<CopyMark> {
        match self.stage()? {
            Stage::RewindBegun => Some(CopyMark::RewindBegun),
            Stage::RewindDone => Some(CopyMark::RewindDone),
            Stage::Swap => None,
        }
    }

    /// The marker, if it is about the directory that is there now. One about a directory that
    /// somebody has replaced since says nothing. A torn one counts as a begun rewind.
    fn stage(&self) -> Option<Stage> {
        let text = fs::read_to_string(self.at(MARKER)).ok()?;
        let mut lines = text.lines();
        let known = lines.next() == Some(FIRST_LINE);
        let word = lines.next().unwrap_or_default();
        let directory = lines.next().unwrap_or_default();
        let stage = Stage::ALL.iter().find(|(_, w)| *w == word).map(|(stage, _)| *stage);
        match stage.filter(|_| known) {
            Some(Stage::Swap) => Some(Stage::Swap),
            Some(stage) if directory == self.identity() => Some(stage),
            Some(_) => None,
            None => Some(Stage::RewindBegun),
        }
    }

    /// The data directory as the file system knows it.
    fn identity(&self) -> String {
        fs::metadata(&self.data).map_or_else(|_| "none".to_owned(), |m| format!("{}:{}", m.dev(), m.ino()))
    }

    /// On disk for good once this returns.
    pub(crate) fn set(&self, stage: Stage) -> io::Result<()> {
        let next = self.at("marker.next");
        let mut file = File::create(&next)?;
        writeln!(file, "{FIRST_LINE}\n{}\n{}", stage.word(), self.identity())?;
        file.sync_all()?;
        fs::rename(&next, self.at(MARKER))?;
        File::open(&self.path)?.sync_all()
    }

    /// Nothing is marked any more.
    pub(crate) fn clear(&self) -> io::Result<()> {
        match fs::remove_file(self.at(MARKER)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ if self.path.exists() => File::open(&self.path)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Copies this site's own configuration and keys aside, if they lie in the data directory.
    pub(crate) fn keep_own(&self) -> io::Result<()> {
        let kept = self.at("own");
        fs::create_dir_all(&kept)?;
        for name in OWN_FILES {
            let from = self.data.join(name);
            if from.symlink_metadata().is_ok_and(|m| m.is_file()) {
                let to = kept.join(name);
                fs::copy(&from, &to)?;
                File::open(&to)?.sync_all()?;
            }
        }
        File::open(&kept)?.sync_all()
    }

    /// Puts them back, into `data`.
    pub(crate) fn restore_own(&self, data: &Path, user: Option<&User>) -> io::Result<()> {
        for name in OWN_FILES {
            let from = self.at("own").join(name);
            if from.exists() {
                let to = data.join(name);
                // A tool may have put a link or another's file there.
                let _ = fs::remove_file(&to);
                fs::copy(&from, &to)?;
                own(&to, user)?;
                File::open(&to)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Copies WAL segments from `first` on (by their place, on any timeline) and the history files
    /// aside; where to. `last` is the last segment that holds anything: what lies behind is only
    /// kept ready for new WAL.
    pub(crate) fn keep_wal(
        &self,
        name: &str,
        places: std::ops::RangeInclusive<u64>,
        segment_size: u64,
    ) -> io::Result<PathBuf> {
        let sets = self.at("diverged");
        let to = sets.join(name);
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(self.data.join("pg_wal"))? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let place = segment_place(&file, segment_size);
            if file.ends_with(".history") || place.is_some_and(|place| places.contains(&place)) {
                fs::copy(entry.path(), to.join(&file))?;
                File::open(to.join(&file))?.sync_all()?;
            }
        }
        File::open(&to)?.sync_all()?;
        forget_oldest(&sets)?;
        Ok(to)
    }

    /// The new copy takes the data directory's place; the old one waits beside. Done again after a
    /// crash, it goes on where it was.
    pub(crate) fn swap(&self) -> io::Result<()> {
        let (new, old) = (self.new_copy(), self.old_copy());
        if new.exists() {
            if self.data.exists() {
                // An older copy that waits is the one from before: what is there now is a copy
                // that never streamed.
                let away = if old.exists() { self.at("trash-swap") } else { old };
                remove_tree(&self.at("trash-swap"))?;
                fs::rename(&self.data, away)?;
            }
            fs::rename(&new, &self.data)?;
            if let Some(parent) = self.data.parent() {
                File::open(parent)?.sync_all()?;
            }
            File::open(&self.path)?.sync_all()?;
        }
        self.clear()
    }

    /// Ends a swap that a crash interrupted.
    pub(crate) fn recover(&self) -> io::Result<()> {
        if self.stage() == Some(Stage::Swap) { self.swap() } else { Ok(()) }
    }

    /// True while an old copy waits.
    pub(crate) fn has_old(&self) -> bool {
        self.old_copy().exists() || self.at("trash-swap").exists()
    }

    /// The new copy streams: the old one is not needed any more. May take long.
    pub(crate) fn remove_old(&self) -> io::Result<()> {
        remove_tree(&self.old_copy())?;
        remove_tree(&self.at("trash-swap"))
    }
}

/// Removes a directory with all that is in it; nothing if it is not there.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Makes a directory that only PostgreSQL's user enters.
pub(crate) fn make_directory(path: &Path, user: Option<&User>) -> io::Result<()> {
    if let Err(e) = fs::create_dir(path)
        && e.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(e);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    own(path, user)
}

/// Gives a path to PostgreSQL's user.
pub(crate) fn own(path: &Path, user: Option<&User>) -> io::Result<()> {
    match user {
        Some(user) => chown(path, Some(user.uid), Some(user.gid)),
        None => Ok(()),
    }
}

/// An empty file of PostgreSQL's user, on disk: `standby.signal`, or a tool's log.
pub(crate) fn make_file(path: &Path, user: Option<&User>) -> io::Result<()> {
    let file = File::create(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    own(path, user)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Place of a WAL segment, by its name; none if it is no segment's.
pub(crate) fn segment_place(name: &str, segment_size: u64) -> Option<u64> {
    if name.len() != 24 || !name.bytes().all(|b| b.is_ascii_hexdigit()) || segment_size == 0 {
        return None;
    }
    let high = u64::from_str_radix(&name[8..16], 16).ok()?;
    let low = u64::from_str_radix(&name[16..], 16).ok()?;
    Some(high * ((1_u64 << 32) / segment_size) + low)
}

fn forget_oldest(sets: &Path) -> io::Result<()> {
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(sets)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    let surplus = found.len().saturating_sub(DIVERGED_SETS_MAX);
    found.iter().take(surplus).try_for_each(|(_, path)| remove_tree(path))
}

/// Bytes below a directory, without following links; what vanishes meanwhile counts nothing.
pub(crate) fn size_of(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let one = |entry: fs::DirEntry| match entry.metadata() {
        Ok(m) if m.is_dir() => size_of(&entry.path()),
        Ok(m) => m.len(),
        Err(_) => 0,
    };
    entries.flatten().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside() -> (tempfile::TempDir, Beside) {
        let root = tempfile::tempdir().expect("a directory");
        let data = root.path().join("data");
        fs::create_dir(&data).expect("made");
        let beside = Beside::new(&data);
        beside.make(None).expect("made");
        (root, beside)
    }

    #[test]
    fn a_begun_rewind_is_remembered_and_a_replaced_directory_is_another_one() {
        let (_root, b) = beside();
        assert_eq!((b.mark(), b.is_lost()), (None, false));
        b.set(Stage::RewindBegun).expect("written");
        assert_eq!((b.mark(), b.is_lost()), (Some(CopyMark::RewindBegun), true));
        b.set(Stage::RewindDone).expect("written");
        assert_eq!((b.mark(), b.is_lost()), (Some(CopyMark::RewindDone), false));
        b.set(Stage::RewindBegun).expect("written");
        // Both exist at one time: so the new one is surely another one.
        fs::create_dir(b.at("by-hand")).expect("made");
        fs::rename(&b.data, b.at("away")).expect("moved");
        fs::rename(b.at("by-hand"), &b.data).expect("moved");
        assert_eq!((b.mark(), b.is_lost()), (None, false));
        fs::write(b.at(MARKER), "tripoint rej").expect("torn");
        assert!(b.is_lost(), "a torn marker is a begun rewind");
        b.clear().expect("cleared");
        b.clear().expect("twice");
        assert!(!b.is_lost());
    }

    #[test]
    fn a_swap_goes_on_after_a_crash_at_any_place_and_the_first_copy_is_the_one_that_is_kept() {
        for crash in 0..3 {
            let (_root, b) = beside();
            fs::write(b.data.join("which"), "old").expect("written");
            fs::create_dir(b.new_copy()).expect("made");
            fs::write(b.new_copy().join("which"), "new").expect("written");
            b.set(Stage::Swap).expect("written");
            if crash >= 1 {
                fs::rename(&b.data, b.old_copy()).expect("moved");
            }
            if crash >= 2 {
                fs::rename(b.new_copy(), &b.data).expect("moved");
            }
            assert!(b.is_lost(), "nothing starts in between");
            b.recover().expect("goes on");
            assert!(!b.is_lost());
            let which = |path: &Path| fs::read_to_string(path.join("which")).expect("there");
            assert_eq!((which(&b.data).as_str(), which(&b.old_copy()).as_str()), ("new", "old"));
            // Another new one before the first streams.
            fs::create_dir(b.new_copy()).expect("made");
            fs::write(b.new_copy().join("which"), "newer").expect("written");
            b.swap().expect("swapped");
            assert_eq!((which(&b.data).as_str(), which(&b.old_copy()).as_str()), ("newer", "old"));
            b.remove_old().expect("removed");
            assert!(!b.has_old());
        }
    }

    #[test]
    fn own_files_survive() {
        let (_root, b) = beside();
        fs::write(b.data.join("postgresql.conf"), "port = 1").expect("written");
        b.keep_own().expect("kept");
        fs::write(b.data.join("postgresql.conf"), "port = 2").expect("overwritten");
        b.restore_own(&b.data, None).expect("restored");
        assert_eq!(fs::read_to_string(b.data.join("postgresql.conf")).expect("there"), "port = 1");
    }

    #[test]
    fn segments_have_places() {
        let size = 16 << 20;
        assert_eq!(segment_place("000000010000000000000003", size), Some(3));
        assert_eq!(segment_place("0000000200000001000000FF", size), Some(256 + 255));
        assert_eq!(segment_place("00000002.history", size), None);
    }
}
