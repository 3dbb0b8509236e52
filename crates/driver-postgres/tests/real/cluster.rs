//! A PostgreSQL primary (site dc1) and its standby (site dc2) in a directory of their own,
//! owned by the user `postgres`. Ended and removed when dropped.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Waits for a condition, 20 s at most.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub struct Cluster {
    directory: tempfile::TempDir,
    binaries: PathBuf,
    pub primary_port: u16,
    pub standby_port: u16,
}

impl Cluster {
    /// Ports `first` and `first + 1`.
    pub fn start(first: u16) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("tripoint-driver-postgres-")
            .tempdir_in("/var/tmp")
            .expect("a temp dir");
        let user = nix::unistd::User::from_name("postgres").expect("user database").expect("user postgres");
        if nix::unistd::geteuid().is_root() {
            chown(directory.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
        }
        let cluster = Self { directory, binaries: binaries(), primary_port: first, standby_port: first + 1 };
        cluster.make_primary();
        cluster.make_standby();
        cluster
    }

    /// How the standby follows the primary.
    pub fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres application_name=dc2", self.primary_port)
    }

    fn primary(&self) -> PathBuf {
        self.directory.path().join("primary")
    }

    fn standby(&self) -> PathBuf {
        self.directory.path().join("standby")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.binaries.join(program);
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.args(arguments).current_dir(self.directory.path());
        command.output().unwrap_or_else(|e| panic!("{}: {e}", program.display()))
    }

    fn must(&self, program: &str, arguments: &[&str]) {
        let output = self.run(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    }

    fn configure(&self, data: &Path, port: u16) {
        let text = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n\
             max_connections = 20\nshared_buffers = 8MB\nmax_wal_senders = 5\nwal_level = replica\n\
             wal_retrieve_retry_interval = 100ms\ninclude_if_exists = 'upstream.conf'\n"
        );
        fs::write(data.join("postgresql.conf"), text).expect("postgresql.conf");
    }

    fn start_server(&self, data: &Path) {
        let log = data.with_extension("log");
        self.must(
            "pg_ctl",
            &["start", "-w", "-D", &data.display().to_string(), "-l", &log.display().to_string()],
        );
    }

    fn make_primary(&self) {
        let data = self.primary();
        self.must(
            "initdb",
            &["-D", &data.display().to_string(), "-A", "trust", "-U", "postgres", "--no-sync"],
        );
        self.configure(&data, self.primary_port);
        self.start_server(&data);
    }

    fn make_standby(&self) {
        let (data, from) = (self.standby(), self.conninfo());
        let target = data.display().to_string();
        self.must("pg_basebackup", &["-D", &target, "-d", &from, "-c", "fast", "-X", "stream", "--no-sync"]);
        self.configure(&data, self.standby_port);
        fs::write(data.join("standby.signal"), "").expect("standby.signal");
        fs::write(data.join("upstream.conf"), format!("primary_conninfo = '{from}'\n"))
            .expect("upstream.conf");
        self.start_server(&data);
    }

    /// What a gate does: clear the setting, reload, end the walreceiver.
    pub fn detach(&self) {
        fs::write(self.standby().join("upstream.conf"), "primary_conninfo = ''\n").expect("upstream.conf");
        self.must("pg_ctl", &["reload", "-D", &self.standby().display().to_string()]);
        for pid in self.processes("walreceiver") {
            // It may have ended by itself.
            let _ = Command::new("kill").args(["-TERM", &pid]).output();
        }
    }

    pub fn restart_standby(&self) {
        // Not `pg_ctl restart`: without a log file the new server would keep our pipe open.
        self.must("pg_ctl", &["stop", "-w", "-m", "fast", "-D", &self.standby().display().to_string()]);
        self.start_server(&self.standby());
    }

    pub fn promote_standby(&self) {
        self.must("pg_ctl", &["promote", "-W", "-D", &self.standby().display().to_string()]);
    }

    pub fn stop_primary(&self) {
        self.must("pg_ctl", &["stop", "-w", "-m", "immediate", "-D", &self.primary().display().to_string()]);
    }

    /// Signals the actor's backends at the primary.
    pub fn signal_backends(&self, signal: &str) {
        let pids = self.processes("tripoint postgres 127.0.0.1");
        assert!(!pids.is_empty(), "no backend of the actor");
        for pid in pids {
            let output = Command::new("kill").args([&format!("-{signal}"), &pid]).output().expect("kill");
            assert!(output.status.success(), "{output:?}");
        }
    }

    /// Processes of ours with `title` in their title: their working directory is one of our
    /// data directories.
    fn processes(&self, title: &str) -> Vec<String> {
        let ours = |pid: &str| {
            let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            directory.starts_with(self.directory.path()) && text.contains(title)
        };
        fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()) && ours(name))
            .collect()
    }

    /// What a superuser's statement says; each statement in a transaction of its own.
    pub fn sql(&self, port: u16, statements: &[&str]) -> String {
        let login = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
        let mut arguments = vec!["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &login];
        for statement in statements {
            arguments.extend(["-c", statement]);
        }
        let output = self.run("psql", &arguments);
        assert!(output.status.success(), "{statements:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// SQLSTATE with which the server refuses this statement of the actor's role.
    pub fn refusal(&self, port: u16, statement: &str) -> String {
        let login = format!("host=127.0.0.1 port={port} user=tripoint dbname=postgres");
        let output = self.run("psql", &["-X", "-v", "VERBOSITY=sqlstate", "-d", &login, "-c", statement]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.trim().rsplit(' ').next().unwrap_or_default().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for data in [self.standby(), self.primary()] {
            let _ = self.run("pg_ctl", &["stop", "-w", "-m", "immediate", "-D", &data.display().to_string()]);
        }
    }
}

fn binaries() -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL below /usr/lib/postgresql; apt-get install postgresql")
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|path| path.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().expect("PostgreSQL's binaries")
}
