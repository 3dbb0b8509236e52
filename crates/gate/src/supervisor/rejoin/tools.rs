//! PostgreSQL's tools: their command lines, and how they are started.

use super::super::Supervisor;
use super::{Next, Step, fail};
use crate::Error;
use crate::beside;
use crate::hold::{Program, find_program};
use crate::shared::Job;
use coordination::rejoin::Way;
use std::ffi::OsString;
use std::path::PathBuf;

/// Standard output and standard error of the tools, beside the data directory.
pub(super) const OUTPUT: &str = "tool.out";
pub(super) const LOG: &str = "tool.log";
/// What was found out about diverged WAL stays until it is kept.
pub(super) const DUMP: [&str; 2] = ["dump.out", "dump.log"];
pub(super) const NAMES: [&str; 2] = ["names.out", "names.log"];
/// Names of tables by database and filenode, at the source: those that were there before the fork
/// are there still, unless they were rewritten.
const ASK_NAMES: &str = r#"psql=$1; conninfo=$2
"$psql" -XAtw -d "$conninfo" -c "SELECT oid, datname FROM pg_database WHERE datallowconn AND datname ~ '^[A-Za-z0-9_-]+$'" |
while IFS='|' read -r oid name; do
    "$psql" -XAtw -d "$conninfo dbname=$name" -c "SELECT '$oid/' || pg_relation_filenode(oid) || '|$name.' || oid::regclass FROM pg_class WHERE relkind IN ('r', 'm') AND relpersistence = 'p'"
done"#;
/// Redirects, and becomes the tool.
const SHELL: &str =
    "out=$1; err=$2; shift 2; LC_ALL=C; export LC_ALL; exec \"$@\" >\"$out\" 2>\"$err\" </dev/null";
/// With timeline 0: what counts is the place. The role of `rewind.sql` may call it.
const OLDEST_SEGMENT: &str = "SELECT '00000000' || min(substr(f, 9)) \
     FROM pg_ls_dir('pg_wal', false, false) f WHERE f ~ '^[0-9A-F]{24}$'";
/// A source that is gone is noticed.
const KEEPALIVES: &str =
    " keepalives=1 keepalives_idle=5 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=20000";

/// One run of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// `pg_waldump`: what is beyond the fork.
    Waldump,
    /// `psql`: how the source calls the tables.
    Names,
    /// `postgres --single`: crash recovery, as `pg_rewind` itself would do it.
    Recover,
    /// `psql`: a checkpoint at the source. `pg_rewind` takes the timeline out of its control file,
    /// which a promotion changes only with its next checkpoint, minutes later.
    Checkpoint,
    /// `pg_rewind --dry-run`.
    TryRewind,
    /// `psql`: the oldest WAL that the source has.
    AskSource,
    /// `pg_rewind`.
    Rewind,
    /// `pg_basebackup`.
    Clone,
}

impl Supervisor {
    pub(super) fn start_tool(&mut self, job: &Job, tool: Tool) -> Next {
        let started = self.tool_program(job, tool).and_then(|program| self.holder.start(&program));
        match started {
            Ok(()) => Ok(Some(Step::Tool(tool))),
            Err(e) => fail(format!("{tool:?}: {e}")),
        }
    }

    fn tool_program(&self, job: &Job, tool: Tool) -> Result<Program, Error> {
        let beside = self.data.beside();
        let [output, log] = match tool {
            Tool::Waldump => DUMP,
            Tool::Names => NAMES,
            _ => [OUTPUT, LOG],
        };
        for name in [output, log] {
            let path = beside.at(name);
            beside::make_file(&path, self.user.as_ref()).map_err(Error::file("make", &path))?;
        }
        let mut words: Vec<OsString> = vec!["sh".into(), "-c".into(), SHELL.into(), "tripoint-rejoin".into()];
        words.push(beside.at(output).into());
        words.push(beside.at(log).into());
        words.extend(self.tool_words(job, tool)?);
        Program::new(&words)
    }

    fn tool_words(&self, job: &Job, tool: Tool) -> Result<Vec<OsString>, Error> {
        let data = self.data.path();
        let mut words: Vec<OsString> = Vec::new();
        match tool {
            Tool::Waldump => {
                let (Way::Inspect { fork } | Way::Rewind { fork }) = job.way else { return Ok(words) };
                words.push(self.tool_path("pg_waldump")?.into());
                words.push("-p".into());
                words.push(data.join("pg_wal").into());
                // The copy's own timeline: it has its own segment of the fork.
                let own = self.data.control().map_or(fork.timeline, |c| c.newest_timeline());
                words.push("-t".into());
                words.push(own.to_string().into());
                words.push("-s".into());
                words.push(fork.lsn.to_string().into());
            }
            Tool::Names => {
                words.extend(["sh", "-c", ASK_NAMES, "tripoint-names"].map(OsString::from));
                words.push(self.tool_path("psql")?.into());
                words.push(lasting(&job.rewind_conninfo).into());
            }
            Tool::Recover => {
                words.push(self.tool_path("postgres")?.into());
                words.extend(["--single", "-F", "-D"].map(OsString::from));
                words.push(data.into());
                if let Some(file) = self.own_main_file() {
                    words.push("-c".into());
                    words.push(format!("config_file={}", file.display()).into());
                }
                words.push("template1".into());
            }
            Tool::TryRewind | Tool::Rewind => {
                words.push(self.tool_path("pg_rewind")?.into());
                words.push("-D".into());
                words.push(data.into());
                words.push(format!("--source-server={}", lasting(&job.rewind_conninfo)).into());
                words.extend(["-P", "--no-ensure-shutdown"].map(OsString::from));
                if let Some(file) = self.own_main_file() {
                    words.push(format!("--config-file={}", file.display()).into());
                }
                if tool == Tool::TryRewind {
                    words.push("--dry-run".into());
                }
            }
            Tool::Checkpoint => {
                words.push(self.tool_path("psql")?.into());
                words.extend(["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d"].map(OsString::from));
                words.push(lasting(&job.rewind_conninfo).into());
                words.extend(["-c", "CHECKPOINT"].map(OsString::from));
            }
            Tool::AskSource => {
                words.push(self.tool_path("psql")?.into());
                words.extend(["-X", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d"].map(OsString::from));
                words.push(lasting(&job.rewind_conninfo).into());
                words.push("-c".into());
                words.push(OLDEST_SEGMENT.into());
            }
            Tool::Clone => {
                words.push(self.tool_path("pg_basebackup")?.into());
                words.push("-D".into());
                words.push(self.data.beside().new_copy().into());
                words.push("-d".into());
                words.push(lasting(&job.conninfo).into());
                words.extend(["-X", "stream", "-c", "fast", "-P", "-w"].map(OsString::from));
                if !job.slot.is_empty() {
                    words.push("-S".into());
                    words.push(job.slot.as_str().into());
                }
            }
        }
        Ok(words)
    }

    /// The main configuration file, if it lies outside of the data directory.
    fn own_main_file(&self) -> Option<PathBuf> {
        let file = self.settings.main_file();
        (!file.starts_with(self.data.path())).then(|| file.to_owned())
    }

    /// Beside the server's program, or in PATH.
    fn tool_path(&self, name: &str) -> Result<PathBuf, Error> {
        let beside = self.program.file().canonicalize().ok().map(|p| p.with_file_name(name));
        match beside.filter(|p| p.exists()) {
            Some(path) => Ok(path),
            None => find_program(name.as_ref()),
        }
    }
}

/// A connection string whose connection notices that the other side is gone. A URI stays as it is.
fn lasting(conninfo: &str) -> String {
    if conninfo.contains("://") || conninfo.contains("keepalives") {
        conninfo.to_owned()
    } else {
        format!("{conninfo}{KEEPALIVES}")
    }
}
