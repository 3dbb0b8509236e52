//! One site for a test: a real PostgreSQL 15, a gate as a process of its own, a fake actor.

use crate::actor::{Actor, Group};
use crate::wait_for;
use rpc::identity::Role;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio_postgres::{Client, Config as PgConfig, NoTls};

const BIN: &str = "/usr/lib/postgresql/15/bin";
pub const SOON: Duration = Duration::from_secs(15);

/// How a test wants its gate.
#[derive(Clone)]
pub struct Wish {
    pub containment: &'static str,
    pub kernel_timer: bool,
    pub kernel_lease: bool,
    /// Network namespace.
    pub namespace: Option<String>,
    /// The gate runs as PostgreSQL's user, without any capability.
    pub unprivileged: bool,
    /// The gate is PID 1 of a PID namespace, as in a container.
    pub container: bool,
}

impl Wish {
    pub fn held_by(containment: &'static str) -> Self {
        Self {
            containment,
            kernel_timer: true,
            kernel_lease: false,
            namespace: None,
            unprivileged: false,
            container: false,
        }
    }
}

pub struct Site {
    pub actor: Actor,
    group: Group,
    wish: Wish,
    pub root: tempfile::TempDir,
    pub data: PathBuf,
    pub port: u16,
    pub endpoint: u16,
    pub gate: Option<Child>,
}

/// The user that PostgreSQL runs as.
fn postgres_user() -> (u32, u32) {
    let user = nix::unistd::User::from_name("postgres").expect("readable").expect("PostgreSQL is installed");
    (user.uid.as_raw(), user.gid.as_raw())
}

/// A program of PostgreSQL, as its user.
pub fn program(name: &str) -> Command {
    let (uid, gid) = postgres_user();
    let mut command = Command::new(format!("{BIN}/{name}"));
    command.uid(uid).gid(gid).current_dir("/").stdout(Stdio::null());
    command
}

fn must(command: &mut Command) {
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn directory() -> tempfile::TempDir {
    let directory =
        tempfile::Builder::new().prefix("tripoint-gate-").tempdir_in("/var/tmp").expect("a directory");
    let (uid, gid) = postgres_user();
    std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid)).expect("we are root");
    directory
}

/// A fresh data directory, made once for all runs of the tests, and copied.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tripoint-gate-template-15");
        if !kept.exists() {
            let fresh = directory();
            must(
                program("initdb")
                    .args(["-A", "trust", "-U", "postgres", "-N", "-D"])
                    .arg(fresh.path().join("data")),
            );
            let beside = kept.with_extension(std::process::id().to_string());
            must(Command::new("cp").arg("-a").arg(fresh.path()).arg(&beside));
            // Another run of the tests may have been faster: then theirs is as good.
            if fs::rename(&beside, &kept).is_err() {
                fs::remove_dir_all(&beside).expect("removed");
            }
        }
        kept
    })
}

/// Below the kernel's ephemeral ports: those are taken by anybody's connections at any time.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 200).expect("small") * 50;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Site {
    pub fn new(wish: Wish) -> Self {
        let root = directory();
        let data = root.path().join("data");
        must(Command::new("cp").arg("-a").arg(template().join("data")).arg(&data));
        let group = Group::new();
        let actor = Actor::start(&group, wish.namespace.as_deref());
        let (port, endpoint) = (free_port(), free_port());
        let site = Self { actor, group, wish, root, data, port, endpoint, gate: None };
        site.configure(&format!(
            "port = {port}\nunix_socket_directories = '{}'\nlisten_addresses = '127.0.0.1'\nfsync = off\n\
             shared_buffers = 16MB\nhot_standby = on\nwal_keep_size = 64MB\n",
            site.root.path().display()
        ));
        site
    }

    pub fn namespace(&self) -> Option<&str> {
        self.wish.namespace.as_deref()
    }

    pub fn configure(&self, text: &str) {
        let mut file =
            fs::OpenOptions::new().append(true).open(self.data.join("postgresql.conf")).expect("there");
        file.write_all(text.as_bytes()).expect("written");
    }

    pub fn make_standby(&self) {
        fs::write(self.data.join("standby.signal"), "").expect("written");
        let (uid, gid) = postgres_user();
        std::os::unix::fs::chown(self.data.join("standby.signal"), Some(uid), Some(gid))
            .expect("we are root");
    }

    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub fn include(&self) -> PathBuf {
        self.root.path().join("etc/tripoint.conf")
    }

    /// What a gate that was started so says on standard error, once it has ended.
    pub fn gate_command(&self) -> Command {
        let built = env!("CARGO_BIN_EXE_gate-under-test");
        let copy = self.root.path().join("gate-under-test");
        let binary = if self.wish.unprivileged {
            // The build tree may lie where only root may look.
            if !copy.exists() {
                fs::copy(built, &copy).expect("copied");
            }
            copy.to_str().expect("a path of ours")
        } else {
            built
        };
        let mut command = match &self.wish.namespace {
            None if self.wish.container => {
                let mut command = Command::new("unshare");
                command.args(["--pid", "--fork", "--mount-proc", "--kill-child", binary]);
                command
            }
            None => Command::new(binary),
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, binary]);
                command
            }
        };
        let files = self.group.files(Role::Gate);
        if self.wish.unprivileged {
            let (uid, gid) = postgres_user();
            command.uid(uid).gid(gid);
            for path in [self.group.directory.path(), &files.ca, &files.cert, &files.key] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("we are root");
            }
        }
        let mut setting = |name: &str, value: &str| {
            command.arg(format!("{name}={value}"));
        };
        setting("actor", &self.actor.address.to_string());
        setting("ca", &files.ca.display().to_string());
        setting("cert", &files.cert.display().to_string());
        setting("key", &files.key.display().to_string());
        setting("state", &self.state().display().to_string());
        setting("data", &self.data.display().to_string());
        setting("include", &self.include().display().to_string());
        setting("run_as", "postgres");
        setting("port", &self.port.to_string());
        setting("endpoint", &format!("127.0.0.1:{}", self.endpoint));
        setting("containment", self.wish.containment);
        setting("kernel_lease", if self.wish.kernel_lease { "auto" } else { "off" });
        setting("kernel_timer", if self.wish.kernel_timer { "on" } else { "off" });
        command.arg("--").arg(format!("{BIN}/postgres")).arg("-D").arg(&self.data);
        command
    }

    pub fn start_gate(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root.path().join("log"))
            .expect("opened");
        let mut command = self.gate_command();
        command.stdout(log.try_clone().expect("cloned")).stderr(log).current_dir("/");
        self.gate = Some(command.spawn().expect("it starts"));
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }

    pub fn gate_pid(&self) -> i32 {
        i32::try_from(self.gate.as_ref().expect("a gate runs").id()).expect("a pid")
    }

    pub fn signal_gate(&self, signal: i32) {
        // SAFETY: plain system call on our own child.
        assert_eq!(unsafe { libc::kill(self.gate_pid(), signal) }, 0);
    }

    /// The gate's exit code, once it has ended.
    pub fn gate_ends(&mut self, limit: Duration) -> Option<i32> {
        let gate = self.gate.as_mut().expect("a gate runs");
        let status = wait_for("the gate's end", limit, || gate.try_wait().expect("our own child"));
        self.gate = None;
        status.code()
    }

    /// Processes whose working directory is the data directory, counted from outside.
    pub fn processes(&self) -> Vec<i32> {
        let Ok(own) = fs::metadata(&self.data) else { return Vec::new() };
        let inside = |pid: &i32| {
            fs::metadata(format!("/proc/{pid}/cwd"))
                .is_ok_and(|m| (m.dev(), m.ino()) == (own.dev(), own.ino()))
        };
        let all = fs::read_dir("/proc").expect("readable").flatten();
        all.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(inside).collect()
    }

    pub fn titled(&self, part: &str) -> Vec<i32> {
        let title = |pid: &i32| {
            String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default())
                .into_owned()
        };
        self.processes().into_iter().filter(|pid| title(pid).contains(part)).collect()
    }

    pub fn postmaster(&self) -> i32 {
        *self.titled("bin/postgres").first().expect("it runs")
    }

    pub fn wait_empty(&self, limit: Duration) {
        wait_for("no process left", limit, || self.processes().is_empty().then_some(()));
    }

    pub fn wait_log(&self, part: &str) {
        wait_for(&format!("{part:?} in the log"), SOON, || self.log().contains(part).then_some(()));
    }

    fn pg(&self) -> PgConfig {
        let mut config = PgConfig::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user("postgres")
            .dbname("postgres")
            .connect_timeout(Duration::from_secs(2));
        config
    }

    pub async fn try_connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.pg().connect(NoTls).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }

    pub async fn connect(&self) -> Client {
        let end = std::time::Instant::now() + SOON;
        loop {
            match self.try_connect().await {
                Ok(client) => return client,
                Err(e) if std::time::Instant::now() > end => panic!("no connection: {e}\n{}", self.log()),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Status code of the role endpoint; 0 if nobody answers.
    pub fn role(&self, method: &str, path: &str) -> u16 {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.endpoint))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(
                format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let text = ask().unwrap_or_default();
        text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }
}

/// What gates that were killed left of their cgroups: the next gate of the same database
/// would have removed it.
fn remove_cgroups(data: &Path) {
    let name = format!("tripoint-db-{:08x}-", crc32fast::hash(data.as_os_str().as_encoded_bytes()));
    for root in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&name) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.root.path().display(), self.log());
        }
        if let Some(mut gate) = self.gate.take() {
            let _ = gate.kill();
            let _ = gate.wait();
        }
        for pid in self.processes() {
            // SAFETY: plain system call; these are processes of this test's database.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        remove_cgroups(&self.data);
    }
}
