//! Work on files for a copy that comes home: on a thread, nothing forks there.

use super::super::Supervisor;
use super::tools::{DUMP, NAMES};
use super::{Step, fork_name};
use crate::beside::{self, Beside};
use crate::data::DataDirectory;
use crate::hold::User;
use crate::shared::Job;
use crate::waldump::{self, Beyond};
use coordination::book::SOURCE_AWAY;
use coordination::rejoin::Way;
use model::Diverged;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

/// A source that runs takes a connection within this.
const REACH_MAX: std::time::Duration = std::time::Duration::from_secs(3);

/// One piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// Is the source there?
    Reach,
    /// Keep what will be overwritten.
    Keep,
    /// What the tools found out about diverged WAL.
    ReadDump,
    /// After a rewind: this site's own files, and a standby.
    FinishRewind,
    /// The same in a new copy.
    PrepareNew,
}

impl Supervisor {
    pub(super) fn start_files(&self, job: &Job, files: Files) -> Step {
        let (sender, done) = sync_channel(1);
        let work = FileWork {
            beside: self.data.beside().clone(),
            data: self.data.path().to_owned(),
            user: self.user.clone(),
            job: job.clone(),
            known: self.life.home.diverged.clone(),
            segment_size: self.data.control().and_then(|c| c.more).map_or(16 << 20, |m| m.segment_size),
        };
        let run = move || {
            // Nobody waits any more if the gate ends.
            let _ = sender.send(work.run(files));
        };
        if let Err(e) = std::thread::Builder::new().name("gate-files".into()).spawn(run) {
            tracing::error!("no thread for files: {e}");
        }
        Step::Files(files, done)
    }
}

/// Work on files alone, on a thread.
struct FileWork {
    beside: Beside,
    data: PathBuf,
    user: Option<User>,
    job: Job,
    known: Option<Diverged>,
    segment_size: u64,
}

impl FileWork {
    fn run(&self, files: Files) -> Result<Option<Diverged>, String> {
        match files {
            Files::Reach => reach(&self.job.conninfo).map(|()| None),
            Files::Keep => self.keep().map(|()| None).map_err(|e| format!("keep what is overwritten: {e}")),
            Files::ReadDump => self.read_dump().map(Some).map_err(|e| format!("read what diverged: {e}")),
            Files::FinishRewind => self.make_standby(&self.data.clone()).map(|()| None),
            Files::PrepareNew => {
                let new = self.beside.new_copy();
                self.check_identity(&new)?;
                self.make_standby(&new).map(|()| None)
            }
        }
    }

    fn keep(&self) -> io::Result<()> {
        // What an interrupted rewind left is not this site's own: an empty pg_hba.conf, for one.
        if !self.beside.is_lost() {
            self.beside.keep_own()?;
        }
        if let Some(seen) = self.known.as_ref().filter(|seen| seen.records > 0) {
            let output = BufReader::new(File::open(self.beside.at(DUMP[0]))?);
            let last = Beyond::read(output)?.last;
            let place = |lsn: model::Lsn| lsn.0 / self.segment_size;
            let places = place(seen.fork.lsn)..=place(last) + 1;
            let kept = self.beside.keep_wal(&fork_name(seen.fork), places, self.segment_size)?;
            tracing::info!("the diverged WAL is kept in {}", kept.display());
        }
        beside::remove_tree(&self.beside.new_copy())
    }

    fn read_dump(&self) -> io::Result<Diverged> {
        let (Way::Inspect { fork } | Way::Rewind { fork }) = self.job.way else {
            return Err(io::Error::other("no fork"));
        };
        let mut beyond = Beyond::read(BufReader::new(File::open(self.beside.at(DUMP[0]))?))?;
        beyond.name(&fs::read_to_string(self.beside.at(NAMES[0])).unwrap_or_default());
        let complaint = fs::read_to_string(self.beside.at(DUMP[1])).unwrap_or_default();
        let readable = beyond.records > 0 || waldump::ends_at_the_fork(&complaint);
        let mut summary = beyond.summary();
        if beyond.records > 0 {
            let set = self.beside.at("diverged").join(fork_name(fork));
            fs::create_dir_all(&set)?;
            fs::write(set.join("list.txt"), beyond.list())?;
            summary.push_str(&format!("; kept in {}", set.display()));
        } else if !readable {
            summary = format!("the WAL from there on is not there any more ({})", complaint.trim());
        }
        let Beyond { records, bytes, commits, .. } = beyond;
        Ok(Diverged { fork, readable, records, bytes, commits, summary })
    }

    fn make_standby(&self, data: &Path) -> Result<(), String> {
        let user = self.user.as_ref();
        self.beside
            .restore_own(data, user)
            .and_then(|()| beside::make_file(&data.join("standby.signal"), user))
            .map_err(|e| format!("make {} a standby: {e}", data.display()))
    }

    fn check_identity(&self, new: &Path) -> Result<(), String> {
        let copied = DataDirectory::new(new, None);
        let control = copied.control().ok_or("the base backup has no control file")?;
        match (control.more.map(|m| m.system_id), self.job.system_id) {
            (Some(found), Some(ours)) if found != ours => {
                Err(format!("the base backup is another database's (system identifier {found})"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether somebody listens where the connection string leads; a URI or a socket is not tried.
fn reach(conninfo: &str) -> Result<(), String> {
    let value = |key: &str| {
        let words = conninfo.split_whitespace().filter_map(|word| word.split_once('='));
        words.filter(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('\'')).next_back()
    };
    let Some(host) = value("host").or_else(|| value("hostaddr")).filter(|h| !h.starts_with('/')) else {
        return Ok(());
    };
    let port = value("port").and_then(|p| p.parse().ok()).unwrap_or(5432_u16);
    let tried = (host, port).to_socket_addrs().and_then(|all| {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in all {
            match TcpStream::connect_timeout(&address, REACH_MAX) {
                Ok(_) => return Ok(()),
                Err(e) => last = e,
            }
        }
        Err(last)
    });
    tried.map_err(|e| format!("{SOURCE_AWAY}{host}:{port} is not there ({e}); nothing was touched"))
}
