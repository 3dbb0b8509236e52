//! PostgreSQL's settings that the gate owns, in a file that `postgresql.conf` includes.
//!
//! Not ALTER SYSTEM (the gate speaks no SQL, and 17's `allow_alter_system = off` refuses it),
//! and not the command line (which would beat every reload). `postgresql.auto.conf` beats an
//! include, so `primary_conninfo` (`pg_basebackup -R` writes it there) is moved out of it.

use crate::Error;
use crate::hold::User;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

const HEADER: &str = "# Written by tripoint gate. Do not edit: it is replaced whole.";
const MARK: &str = "# tripoint gate";
const CONNINFO: &str = "primary_conninfo";
const SLOT: &str = "primary_slot_name";
const SLOT_WAL: &str = "max_slot_wal_keep_size";
/// The settings that name the primary.
const UPSTREAM: [&str; 2] = [CONNINFO, SLOT];
/// 5 s by default, which a promotion sometimes sleeps out, and a standby that follows too early.
/// Not shorter: a standby without a primary logs a line each time.
const RETRY: &str = "wal_retrieve_retry_interval = '500ms'";

/// The files, and who must be able to read them.
pub(crate) struct Settings {
    /// `postgresql.conf`, wherever the command line has it.
    main: PathBuf,
    /// `postgresql.auto.conf`.
    auto: PathBuf,
    include: PathBuf,
    user: Option<User>,
    slot_wal: SlotWal,
}

/// What slots may keep of the WAL (`max_slot_wal_keep_size`), in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotWal {
    /// Whatever else is set.
    Always(u64),
    /// Unless the main configuration file sets it.
    Unless(u64),
    /// Left alone.
    Never,
}

impl Settings {
    pub(crate) fn new(
        command: &[std::ffi::OsString],
        data: &Path,
        include: &Path,
        user: Option<User>,
        slot_wal: SlotWal,
    ) -> Self {
        let main = main_file(command).unwrap_or_else(|| data.join("postgresql.conf"));
        Self { main, auto: data.join("postgresql.auto.conf"), include: include.to_owned(), user, slot_wal }
    }

    /// Before each start: the include is there, named last in `postgresql.conf`, and nothing
    /// beats it. A copied data directory brings another site's line: it is replaced.
    pub(crate) fn ensure(&self) -> Result<(), Error> {
        let moved = self.strip_auto()?;
        let ours = self.upstream_lines();
        let known = ours.iter().any(|line| sets(line, CONNINFO));
        let lines = if known || moved.is_empty() { ours } else { moved };
        // Written each time: an older gate's file lacks what this one sets.
        if fs::read_to_string(&self.include).ok().as_deref() != Some(&self.text(&lines)) {
            self.write_include(&lines)?;
        }
        self.ensure_readable()
            .map_err(Error::file("hand the gate's settings to the server", &self.include))?;
        let fail = Error::file("add the gate's include to", &self.main);
        self.ensure_included().map_err(fail)
    }

    /// PostgreSQL skips an include that it may not read without a word, and a service manager may
    /// have given the directory, with all that is in it, to another user.
    fn ensure_readable(&self) -> io::Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        let now = self.include.metadata()?;
        if (now.uid(), now.gid()) == (user.uid, user.gid) {
            return Ok(());
        }
        chown(&self.include, Some(user.uid), Some(user.gid))
    }

    /// Sets `primary_conninfo` and `primary_slot_name` on disk; false if they were set so already.
    /// In force after a reload.
    pub(crate) fn set_upstream(&self, conninfo: &str, slot: &str) -> Result<bool, Error> {
        let stripped = !self.strip_auto()?.is_empty();
        let line = |name: &str, value: &str| {
            format!("{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"))
        };
        let lines = [line(CONNINFO, conninfo), line(SLOT, slot)];
        if !stripped && self.upstream_lines() == lines {
            return Ok(false);
        }
        self.write_include(&lines)?;
        Ok(true)
    }

    /// The main configuration file, wherever it is.
    pub(crate) fn main_file(&self) -> &Path {
        &self.main
    }

    /// The last line of each setting that names the primary.
    fn upstream_lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.include).unwrap_or_default();
        last_of_each(&text)
    }

    fn text(&self, upstream: &[String]) -> String {
        let mut text = format!("{HEADER}\n{RETRY}\n");
        if let Some(mib) = self.slot_wal() {
            text.push_str(&format!("{SLOT_WAL} = '{mib}MB'\n"));
        }
        upstream.iter().for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
        text
    }

    fn slot_wal(&self) -> Option<u64> {
        let others = || {
            let text = fs::read_to_string(&self.main).unwrap_or_default();
            text.lines().any(|line| sets(line, SLOT_WAL))
        };
        match self.slot_wal {
            SlotWal::Always(mib) => Some(mib),
            SlotWal::Unless(mib) if !others() => Some(mib),
            SlotWal::Unless(_) | SlotWal::Never => None,
        }
    }

    fn write_include(&self, upstream: &[String]) -> Result<(), Error> {
        let fail = Error::file("write the gate's settings", &self.include);
        let owner = self.user.as_ref().map(|u| (u.uid, u.gid));
        replace(&self.include, &self.text(upstream), owner, 0o600).map_err(fail)
    }

    /// Takes the settings that name the primary out of `postgresql.auto.conf`; those lines.
    fn strip_auto(&self) -> Result<Vec<String>, Error> {
        let Ok(text) = fs::read_to_string(&self.auto) else { return Ok(Vec::new()) };
        let found = last_of_each(&text);
        if found.is_empty() {
            return Ok(found);
        }
        let ours = |line: &&str| UPSTREAM.iter().any(|name| sets(line, name));
        let rest: String = text.lines().filter(|l| !ours(l)).flat_map(|l| [l, "\n"]).collect();
        let fail = Error::file("take primary_conninfo out of", &self.auto);
        rewrite(&self.auto, &rest).map_err(fail)?;
        Ok(found)
    }

    fn ensure_included(&self) -> io::Result<()> {
        let text = fs::read_to_string(&self.main)?;
        let path = self.include.to_str().filter(|p| !p.contains('\''));
        let path =
            path.ok_or_else(|| io::Error::other("the include file's path has a quote or is no UTF-8"))?;
        let ours = format!("include_if_exists = '{path}' {MARK}");
        let marked = text.lines().filter(|l| l.ends_with(MARK)).collect::<Vec<_>>();
        if marked == [ours.as_str()] && text.lines().next_back() == Some(&ours) {
            return Ok(());
        }
        let rest: String = text.lines().filter(|l| !l.ends_with(MARK)).flat_map(|l| [l, "\n"]).collect();
        rewrite(&self.main, &format!("{rest}{ours}\n"))
    }

    /// Directories on the way to the include file that the server's user cannot pass:
    /// PostgreSQL would skip the file without a word.
    pub(crate) fn impassable(&self) -> Option<PathBuf> {
        let user = self.user.as_ref()?;
        let passes = |directory: &Path| {
            directory.metadata().is_ok_and(|m| {
                let bit = if m.uid() == user.uid {
                    0o100
                } else if m.gid() == user.gid || user.groups.contains(&m.gid()) {
                    0o010
                } else {
                    0o001
                };
                m.mode() & bit != 0
            })
        };
        self.include.ancestors().skip(1).find(|d| d.exists() && !passes(d)).map(Path::to_owned)
    }
}

fn sets(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    line.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name))
        && line[name.len()..].starts_with([' ', '=', '\t'])
}

fn last_of_each(text: &str) -> Vec<String> {
    let last = |name: &&str| text.lines().rfind(|line| sets(line, name)).map(str::to_owned);
    UPSTREAM.iter().filter_map(last).collect()
}

/// Where the command line says that the main configuration file is.
fn main_file(command: &[std::ffi::OsString]) -> Option<PathBuf> {
    let words: Vec<&str> = command.iter().skip(1).map(|w| w.to_str().unwrap_or("")).collect();
    let mut found = None;
    for (i, word) in words.iter().enumerate() {
        let setting = match *word {
            "-c" => words.get(i + 1).copied().unwrap_or(""),
            w => w.strip_prefix("--").or_else(|| w.strip_prefix("-c")).unwrap_or(""),
        };
        if let Some((name, value)) = setting.split_once('=')
            && name.replace('-', "_") == "config_file"
        {
            found = Some(PathBuf::from(value));
        }
        let directory = match *word {
            "-D" => words.get(i + 1).copied().unwrap_or(""),
            w => w.strip_prefix("-D").unwrap_or(""),
        };
        if found.is_none() && !directory.is_empty() {
            let inside = Path::new(directory).join("postgresql.conf");
            found = inside.exists().then_some(inside);
        }
    }
    found
}

/// Replaces a file's text; its owner and mode stay.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    // A symlink's target is replaced, not the link.
    let path = path.canonicalize()?;
    let data = path.metadata()?;
    replace(&path, text, Some((data.uid(), data.gid())), data.mode() & 0o7777)
}

fn replace(path: &Path, text: &str, owner: Option<(u32, u32)>, mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tripoint-next");
    let next = directory.join(name);
    let mut file = File::create(&next)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    if let Some((uid, gid)) = owner {
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (uid, gid) {
            chown(&next, Some(uid), Some(gid))?;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> (tempfile::TempDir, Settings) {
        let root = tempfile::tempdir().expect("a directory");
        let data = root.path().join("data");
        fs::create_dir(&data).expect("made");
        fs::write(data.join("postgresql.conf"), "port = 5432").expect("written");
        let settings =
            Settings::new(&[], &data, &root.path().join("etc/tripoint.conf"), None, SlotWal::Unless(7));
        (root, settings)
    }

    #[test]
    fn the_include_is_added_once_and_stays_last() {
        let (_root, s) = settings();
        s.ensure().expect("added");
        let once = fs::read_to_string(&s.main).expect("there");
        s.ensure().expect("nothing to do");
        assert_eq!(fs::read_to_string(&s.main).expect("there"), once);
        fs::write(&s.main, format!("{once}primary_conninfo = 'host=other'\n")).expect("written");
        s.ensure().expect("moved to the end");
        let text = fs::read_to_string(&s.main).expect("there");
        assert_eq!(text.matches(MARK).count(), 1);
        assert!(text.lines().next_back().is_some_and(|l| l.ends_with(MARK)));
    }

    #[test]
    fn another_sites_line_is_replaced() {
        let (_root, s) = settings();
        fs::write(&s.main, format!("include_if_exists = '/dc1/tripoint.conf' {MARK}\n")).expect("written");
        s.ensure().expect("replaced");
        assert!(!fs::read_to_string(&s.main).expect("there").contains("/dc1/"));
    }

    #[test]
    fn an_include_that_was_given_to_another_user_is_the_servers_again() {
        let (_root, mut s) = settings();
        s.ensure().expect("added");
        let own = s.include.metadata().expect("there");
        // To another user only root can give it; others test that nothing is done in vain.
        let uid = if own.uid() == 0 { 65_534 } else { own.uid() };
        s.user = Some(User { uid, gid: own.gid(), groups: Vec::new() });
        s.ensure().expect("handed over");
        assert_eq!(s.include.metadata().expect("there").uid(), uid);
    }

    #[test]
    fn auto_conf_does_not_beat_the_include() {
        let (_root, s) = settings();
        fs::write(&s.auto, "primary_conninfo = 'host=a'\nwork_mem = '4MB'\n").expect("written");
        s.ensure().expect("moved");
        assert_eq!(fs::read_to_string(&s.auto).expect("there"), "work_mem = '4MB'\n");
        assert_eq!(s.upstream_lines(), ["primary_conninfo = 'host=a'"]);
        assert!(s.set_upstream("", "").expect("set"));
        fs::write(&s.auto, "primary_conninfo = 'host=b'\n").expect("written");
        s.ensure().expect("stripped");
        assert_eq!(
            s.upstream_lines(),
            ["primary_conninfo = ''", "primary_slot_name = ''"],
            "detached stays detached"
        );
        assert!(s.set_upstream("host=c password='it''s'", "tripoint_dc1").expect("set"));
        assert!(!s.set_upstream("host=c password='it''s'", "tripoint_dc1").expect("the same"));
        assert!(s.set_upstream("host=c password='it''s'", "").expect("without a slot"));
    }

    #[test]
    fn what_slots_may_keep_is_the_administrators_if_he_says_so() {
        let (_root, s) = settings();
        s.ensure().expect("written");
        let include = || fs::read_to_string(&s.include).expect("there");
        assert!(include().contains("max_slot_wal_keep_size = '7MB'"));
        let text = fs::read_to_string(&s.main).expect("there");
        fs::write(&s.main, format!("max_slot_wal_keep_size = 1GB\n{text}")).expect("written");
        s.ensure().expect("written");
        assert!(!include().contains("max_slot_wal_keep_size"));
    }

    #[test]
    fn the_command_line_tells_where_the_main_file_is() {
        let words = |text: &str| text.split(' ').map(Into::into).collect::<Vec<std::ffi::OsString>>();
        let at = |text: &str| main_file(&words(text));
        assert_eq!(at("postgres -D /none -c config_file=/etc/a.conf"), Some("/etc/a.conf".into()));
        assert_eq!(at("postgres --config-file=/etc/b.conf"), Some("/etc/b.conf".into()));
        assert_eq!(at("postgres -D /none"), None);
    }
}
