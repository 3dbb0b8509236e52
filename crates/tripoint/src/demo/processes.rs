//! Starts a site's processes, finds all that belongs to a site, and ends it.

use super::layout::{Layout, Site};
use super::postgres::Postgres;
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Environment variable by which a site's processes are known.
const MARK: &str = "TRIPOINT_DEMO_SITE";
/// All killed processes are gone within this, or something is wrong.
const END_DEADLINE: Duration = Duration::from_secs(10);
/// A cgroup whose processes are gone can be removed within this.
const CGROUP_DEADLINE: Duration = Duration::from_secs(2);
/// Pause between two looks at /proc.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// The kernel's PF_EXITING: dead, but not taken apart yet. The first process of a PID namespace
/// stays so until somebody has reaped all others.
const EXITING: u32 = 0x4;

/// What was started, so that it can be reaped.
pub struct Processes {
    /// The executable of all of them.
    program: PathBuf,
    children: Mutex<Vec<(String, Child)>>,
}

impl Processes {
    /// None yet.
    pub fn new(program: PathBuf) -> Self {
        Self { program, children: Mutex::default() }
    }

    /// Starts `tripoint ROLE` of a site.
    pub fn start(&self, site: &Site, role: &str) -> anyhow::Result<()> {
        self.spawn(site, role, &[role.to_owned(), "--config".to_owned(), toml(site, role)])
    }

    /// Starts a site's gate, and with it its PostgreSQL.
    pub fn start_gate(&self, site: &Site, postgres: &Postgres) -> anyhow::Result<()> {
        let mut arguments: Vec<String> = ["gate", "run", "--config"].map(str::to_owned).to_vec();
        arguments.push(toml(site, "gate"));
        arguments.push("--".to_owned());
        arguments.push(postgres.bin.join("postgres").display().to_string());
        arguments.extend(server_arguments(site));
        self.spawn(site, "gate", &arguments)
    }

    fn spawn(&self, site: &Site, name: &str, arguments: &[String]) -> anyhow::Result<()> {
        let program = self.program.clone();
        let log = File::options().create(true).append(true).open(site.log(name))?;
        let child = command(site, &program)
            .args(arguments)
            .env(MARK, &site.dir)
            .env_remove("RUST_LOG")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C at the terminal is for the demo, which then ends them in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} can't be started", program.display()))?;
        self.children().push((format!("{} {name}", site.name), child));
        Ok(())
    }

    /// The name of a process that has ended by itself, if one has.
    pub fn ended(&self) -> Option<String> {
        let mut children = self.children();
        let at = children.iter_mut().position(|(_, child)| matches!(child.try_wait(), Ok(Some(_))))?;
        Some(children.remove(at).0)
    }

    /// Kills one process of a site, with SIGKILL.
    pub fn kill(&self, site: &Site, role: &str) -> anyhow::Result<()> {
        let name = format!("{} {role}", site.name);
        let mut children = self.children();
        let at =
            children.iter().position(|(n, _)| *n == name).with_context(|| format!("{name} does not run"))?;
        let (_, mut child) = children.remove(at);
        // Under nsenter too the child is the process itself: nsenter replaces itself.
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Kills all processes of a site at once; how many there were.
    pub fn kill_site(&self, site: &Site) -> anyhow::Result<usize> {
        let count = end(&site.dir)?;
        self.reap();
        Ok(count)
    }

    /// Forgets the children that have ended, so that none stays a zombie.
    pub fn reap(&self) {
        self.children().retain_mut(|(_, child)| !matches!(child.try_wait(), Ok(Some(_))));
    }

    fn children(&self) -> std::sync::MutexGuard<'_, Vec<(String, Child)>> {
        self.children.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A command in the site's network namespace, if it has one.
pub fn command(site: &Site, program: &Path) -> Command {
    let Some(namespace) = &site.namespace else { return Command::new(program) };
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program);
    command
}

/// PostgreSQL's arguments at a site.
pub fn server_arguments(site: &Site) -> [String; 4] {
    [
        "-D".to_owned(),
        site.data().display().to_string(),
        "-c".to_owned(),
        format!("config_file={}", site.postgresql_conf().display()),
    ]
}

fn toml(site: &Site, role: &str) -> String {
    site.dir.join(format!("{role}.toml")).display().to_string()
}

/// The postmaster of a site: the server process whose parent is none.
pub fn postmaster(layout: &Layout, site: &str) -> anyhow::Result<Pid> {
    let data = layout.site(site)?.data();
    let servers: Vec<Process> = all().into_iter().filter(|p| p.is_server_in(&data)).collect();
    let found = servers.iter().find(|p| !servers.iter().any(|other| other.pid == p.parent));
    Ok(Pid::from_raw(found.with_context(|| format!("no postmaster at {site}"))?.pid))
}

/// Kills everything below a demo's or a site's directory and waits until nothing is left; how
/// many there were at first.
pub fn end(dir: &Path) -> anyhow::Result<usize> {
    let began = Instant::now();
    let mut first = None;
    let mut cgroups = Cgroups::default();
    loop {
        let left: Vec<Process> = all().into_iter().filter(|p| p.belongs_to(dir)).collect();
        let count = *first.get_or_insert(left.len());
        if left.is_empty() {
            cgroups.remove();
            return Ok(count);
        }
        left.iter().for_each(|process| cgroups.note(process.pid));
        for process in &left {
            // It may be gone by now: that is what is wanted.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        if began.elapsed() > END_DEADLINE {
            bail!("{} processes below {} survive SIGKILL: {:?}", left.len(), dir.display(), left);
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// The cgroups that killed gates leave behind: below their own, with their pid in the name.
#[derive(Default)]
struct Cgroups {
    pids: BTreeSet<i32>,
    parents: BTreeSet<PathBuf>,
}

impl Cgroups {
    fn note(&mut self, pid: i32) {
        let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        if let Some(path) = lines.lines().find_map(|line| line.strip_prefix("0::/")) {
            self.parents.insert(PathBuf::from(path));
        }
        self.pids.insert(pid);
    }

    fn remove(&self) {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let Some(root) =
            mounts.lines().find(|line| line.contains(" cgroup2 ")).and_then(|l| l.split(' ').nth(1))
        else {
            return;
        };
        for parent in &self.parents {
            for entry in std::fs::read_dir(Path::new(root).join(parent)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let ours = |pid: &i32| name.contains(&format!("-{pid}-"));
                if name.starts_with("tripoint-") && self.pids.iter().any(ours) {
                    remove_cgroup(&entry.path());
                }
            }
        }
    }
}

/// Busy for a moment while the last of its processes are taken apart. One that stays busy is
/// somebody else's after all.
fn remove_cgroup(path: &Path) {
    let began = Instant::now();
    while std::fs::remove_dir(path).is_err() && path.exists() && began.elapsed() < CGROUP_DEADLINE {
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// One process of this machine, as far as /proc tells.
#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
    name: String,
    directory: PathBuf,
    site: Option<PathBuf>,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything.
        let (head, tail) = stat.rsplit_once(") ")?;
        let mut fields = tail.split(' ');
        let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
        let flags: u32 = fields.nth(4)?.parse().ok()?;
        if state == "Z" || flags & EXITING != 0 {
            return None;
        }
        let name = head.split_once('(')?.1.to_owned();
        let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mark = format!("{MARK}=");
        let site = environment.split(|b| *b == 0).find_map(|entry| {
            let value = entry.strip_prefix(mark.as_bytes())?;
            Some(PathBuf::from(String::from_utf8_lossy(value).into_owned()))
        });
        Some(Self { pid, parent, name, directory, site })
    }

    fn is_server_in(&self, data: &Path) -> bool {
        self.name == "postgres" && self.directory.starts_with(data)
    }

    /// By the mark in its environment; PostgreSQL's processes, which overwrite theirs, by their
    /// working directory.
    fn belongs_to(&self, dir: &Path) -> bool {
        let marked = self.site.as_deref().is_some_and(|site| site.starts_with(dir));
        self.pid != std::process::id().cast_signed() && (marked || self.is_server_in(dir))
    }
}

fn all() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?)).collect()
}
