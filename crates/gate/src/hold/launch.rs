//! Starts a process that cannot outlive the gate.
//!
//! The gate has many threads, so between clone and exec only raw system calls are made: no
//! allocation, no lock, no glibc wrapper that talks to other threads (`setuid` does). All
//! that the child needs is prepared before.
//!
//! Handshake: the child binds its life to the gate's (PDEATHSIG, after setuid, which would
//! erase it), says so, and goes on only once the gate has answered. So a gate that dies
//! before the binding is in force never leaves a child behind.

use crate::Error;
use crate::sys::{self, Mask, Pid};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;
use std::ptr;

/// How long a child may take from the clone to its word that it is bound.
const HANDSHAKE_MS: i32 = 3_000;
const ARMED: u8 = b'A';
const GO: u8 = b'G';
const FAILED: u8 = b'E';

/// Whom a child becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// What a child does.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// Becomes this program (or, in a namespace, its init and parent).
    Program(&'a Program),
    /// Waits to be killed: for trials.
    Pause,
}

/// A command line and environment, ready for exec.
pub(crate) struct Program {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Prepares a command; the first word is looked up in PATH as a shell does.
    pub(crate) fn new(command: &[std::ffi::OsString]) -> Result<Self, Error> {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let name = command.first().ok_or_else(|| {
            Error::Command("nothing stands after `--`: give PostgreSQL's command line".into())
        })?;
        let path = find_program(name)?;
        let text =
            |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Error::Command("a NUL byte in it".into()));
        let mut environment = Vec::new();
        for (key, value) in std::env::vars_os() {
            let mut pair = key.into_vec();
            pair.push(b'=');
            pair.extend(value.as_bytes());
            environment.push(text(pair)?);
        }
        Ok(Self {
            path: text(path.into_os_string().into_vec())?,
            arguments: command.iter().map(|w| text(w.as_bytes().to_vec())).collect::<Result<_, _>>()?,
            environment,
        })
    }
}

impl Program {
    /// Its file.
    pub(crate) fn file(&self) -> std::path::PathBuf {
        use std::os::unix::ffi::OsStrExt;
        std::ffi::OsStr::from_bytes(self.path.to_bytes()).into()
    }
}

/// Where a program's file is.
pub(crate) fn find_program(name: &std::ffi::OsStr) -> Result<std::path::PathBuf, Error> {
    use std::os::unix::fs::PermissionsExt;
    let plain = std::path::Path::new(name);
    let runnable =
        |p: &std::path::Path| p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if plain.components().count() > 1 {
        return if runnable(plain) {
            Ok(plain.to_owned())
        } else {
            Err(Error::Command(format!("{} is no program; give PostgreSQL's path", plain.display())))
        };
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .map(|directory| directory.join(plain))
        .find(|p| runnable(p))
        .ok_or_else(|| Error::Command(format!("{} is not in PATH; give its whole path", plain.display())))
}

/// How a child is held.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bonds<'a> {
    /// A PID namespace of its own, whose init the child is.
    pub(crate) namespace: bool,
    /// A user namespace around that: needed without CAP_SYS_ADMIN.
    pub(crate) user_namespace: bool,
    /// `cgroup.procs` of the cgroup to join.
    pub(crate) cgroup: Option<RawFd>,
    /// Whom it becomes.
    pub(crate) user: Option<&'a User>,
}

/// Starts a child, bound to the life of the calling thread, which must be the main one.
pub(crate) fn launch(body: Body<'_>, bonds: Bonds<'_>, mask: &Mask) -> Result<Pid, Error> {
    let system = Error::system("start a child process");
    let prepared = Prepared::new(body, bonds, mask);
    let (said_read, said_write) = match sys::pipe() {
        Ok(ends) => ends,
        Err(e) => return Err(system(e)),
    };
    let (go_read, go_write) = match sys::pipe() {
        Ok(ends) => ends,
        Err(e) => {
            [said_read, said_write].into_iter().for_each(sys::close);
            return Err(system(e));
        }
    };
    let mut flags = libc::SIGCHLD;
    if bonds.namespace {
        flags |= libc::CLONE_NEWPID;
    }
    if bonds.user_namespace {
        flags |= libc::CLONE_NEWUSER;
    }
    // SAFETY: clone without a stack of its own is fork; the child makes only raw system calls
    // on what was prepared, and never returns.
    let pid = unsafe { clone(flags) };
    if pid == 0 {
        // SAFETY: this is the child: one thread, prepared data, never returns.
        unsafe { child(&prepared, said_write, go_read, go_write) }
    }
    let error = io::Error::last_os_error();
    [said_write, go_read].into_iter().for_each(sys::close);
    let outcome = if pid < 0 { Err(error) } else { shake_hands(said_read, go_write) };
    [said_read, go_write].into_iter().for_each(sys::close);
    match (outcome, Pid::try_from(pid)) {
        (Ok(()), Ok(pid)) => Ok(pid),
        (outcome, pid) => {
            if let Ok(pid) = pid {
                sys::kill(pid, libc::SIGKILL);
            }
            Err(system(outcome.err().unwrap_or_else(|| io::Error::other("no process id"))))
        }
    }
}

fn shake_hands(said: RawFd, go: RawFd) -> io::Result<()> {
    let mut word = [0_u8; 6];
    let n = sys::read_within(said, &mut word, HANDSHAKE_MS)?;
    match (n, word[0]) {
        (1, ARMED) => sys::write(go, &[GO]),
        (6, FAILED) => {
            let code = i32::from_ne_bytes([word[2], word[3], word[4], word[5]]);
            let stage = Stage::NAMES.get(usize::from(word[1])).copied().unwrap_or("?");
            let source = io::Error::from_raw_os_error(code);
            Err(io::Error::new(source.kind(), format!("{stage}: {source}")))
        }
        _ => Err(io::Error::other("the child ended before it was bound to the gate")),
    }
}

/// What a child does before it is bound, for the message if it fails.
#[derive(Clone, Copy)]
enum Stage {
    Cgroup,
    UserNamespace,
    User,
    DeathSignal,
}

impl Stage {
    const NAMES: [&'static str; 4] = ["join the cgroup", "map users", "change the user", "set PDEATHSIG"];
}

/// Everything the child touches, allocated before the clone.
struct Prepared<'a> {
    path: Option<&'a CStr>,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    bonds: Bonds<'a>,
    uid_map: String,
    gid_map: String,
    mask: Mask,
}

impl<'a> Prepared<'a> {
    fn new(body: Body<'a>, bonds: Bonds<'a>, mask: &Mask) -> Self {
        let pointers =
            |words: &[CString]| words.iter().map(|w| w.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
        let (path, arguments, environment) = match body {
            Body::Program(p) => (Some(p.path.as_c_str()), pointers(&p.arguments), pointers(&p.environment)),
            Body::Pause => (None, pointers(&[]), pointers(&[])),
        };
        // SAFETY: plain system calls.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        let (uid_map, gid_map) = (format!("{uid} {uid} 1"), format!("{gid} {gid} 1"));
        Self { path, arguments, environment, bonds, uid_map, gid_map, mask: *mask }
    }
}

/// Raw `clone`: like fork, without glibc's handlers.
pub(super) unsafe fn clone(flags: i32) -> i64 {
    // SAFETY: the caller's: no stack is given, so the child goes on with a copy of this one.
    unsafe { libc::syscall(libc::SYS_clone, i64::from(flags), 0_i64, 0_i64, 0_i64, 0_i64) }
}

/// The child: bind, report, wait for the answer, become the program.
unsafe fn child(p: &Prepared<'_>, said: RawFd, go: RawFd, go_write: RawFd) -> ! {
    // SAFETY: raw system calls on prepared data, in a process of one thread.
    unsafe {
        // Or this very process would keep the pipe open after the gate's death.
        libc::close(go_write);
        if let Err(stage) = bind(p) {
            let code = (*libc::__errno_location()).to_ne_bytes();
            let word = [FAILED, stage as u8, code[0], code[1], code[2], code[3]];
            libc::write(said, word.as_ptr().cast(), word.len());
            libc::_exit(126);
        }
        let mut word = ARMED;
        libc::write(said, (&raw const word).cast(), 1);
        if libc::read(go, (&raw mut word).cast(), 1) != 1 || word != GO {
            libc::_exit(126);
        }
        close_from(3);
        match (p.path, p.bonds.namespace) {
            (None, _) => pause_for_ever(),
            (Some(path), false) => become_program(p, path),
            (Some(path), true) => {
                let pid = clone(libc::SIGCHLD);
                if pid == 0 {
                    become_program(p, path);
                }
                if pid < 0 {
                    libc::_exit(126);
                }
                // The root directory is nobody's data directory: this process is not counted.
                libc::chdir(c"/".as_ptr());
                be_init(i32::try_from(pid).unwrap_or(-1))
            }
        }
    }
}

unsafe fn bind(p: &Prepared<'_>) -> Result<(), Stage> {
    // SAFETY: as in `child`.
    unsafe {
        if let Some(fd) = p.bonds.cgroup {
            ok(libc::write(fd, b"0".as_ptr().cast(), 1) as i64 == 1, Stage::Cgroup)?;
        }
        if p.bonds.user_namespace {
            put(c"/proc/self/setgroups", b"deny")?;
            put(c"/proc/self/uid_map", p.uid_map.as_bytes())?;
            put(c"/proc/self/gid_map", p.gid_map.as_bytes())?;
        }
        if let Some(user) = p.bonds.user {
            // Raw: glibc's forms signal threads that this process does not have.
            let (gid, uid) = (i64::from(user.gid), i64::from(user.uid));
            let groups = user.groups.as_ptr();
            ok(libc::syscall(libc::SYS_setgroups, user.groups.len(), groups) == 0, Stage::User)?;
            ok(libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0, Stage::User)?;
            ok(libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0, Stage::User)?;
        }
        ok(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) == 0, Stage::DeathSignal)
    }
}

fn ok(fine: bool, stage: Stage) -> Result<(), Stage> {
    if fine { Ok(()) } else { Err(stage) }
}

unsafe fn put(path: &CStr, text: &[u8]) -> Result<(), Stage> {
    // SAFETY: as in `child`.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        ok(fd >= 0, Stage::UserNamespace)?;
        let n = libc::write(fd, text.as_ptr().cast(), text.len());
        libc::close(fd);
        ok(usize::try_from(n) == Ok(text.len()), Stage::UserNamespace)
    }
}

pub(super) unsafe fn close_from(first: u32) {
    // SAFETY: as in `child`: nothing of this process uses those descriptors any more.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0_u32) != 0 {
            // Before Linux 5.9.
            for fd in first..65_536 {
                libc::close(fd.cast_signed());
            }
        }
    }
}

pub(super) unsafe fn pause_for_ever() -> ! {
    loop {
        // SAFETY: plain system call; every signal but SIGKILL is blocked.
        unsafe { libc::pause() };
    }
}

/// Signals as a fresh process has them, a session of its own (a terminal's ^C is the gate's), exec.
unsafe fn become_program(p: &Prepared<'_>, path: &CStr) -> ! {
    // SAFETY: as in `child`; the vectors end in a null pointer and outlive the call.
    unsafe {
        libc::setsid();
        for signal in 1..32 {
            if signal != libc::SIGKILL && signal != libc::SIGSTOP {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        libc::sigprocmask(libc::SIG_SETMASK, p.mask.as_ptr(), ptr::null_mut());
        libc::execve(path.as_ptr(), p.arguments.as_ptr(), p.environment.as_ptr());
        libc::_exit(127);
    }
}

/// PID 1 of a namespace: hands signals on to the program, reaps what it leaves, and ends with
/// it; the kernel then kills all the rest before the end of PID 1 is reported.
pub(super) unsafe fn be_init(program: Pid) -> ! {
    // SAFETY: as in `child`.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        loop {
            let signal = libc::sigwaitinfo(&raw const all, ptr::null_mut());
            if signal > 0 && signal != libc::SIGCHLD {
                libc::kill(program, signal);
            }
            loop {
                let mut status = 0;
                let pid = libc::waitpid(-1, &raw mut status, libc::WNOHANG);
                if pid == program {
                    libc::_exit(i32::from(sys::exit_code(status)));
                }
                if pid <= 0 {
                    break;
                }
            }
        }
    }
}

/// When the gate is PID 1 of a container: forks; the parent stays PID 1 as a mere init, so that
/// the kernel timer, which cannot kill a PID 1, can kill the gate, and all die with it. Returns
/// in the child. All signals are blocked, and there is no other thread yet.
pub(crate) fn be_init_for_gate() -> Result<(), Error> {
    // SAFETY: one thread; fork without a stack of its own; the parent never returns.
    unsafe {
        match clone(libc::SIGCHLD) {
            0 => Ok(()),
            pid if pid > 0 => be_init(i32::try_from(pid).unwrap_or(-1)),
            _ => Err(Error::system("start the gate below PID 1")(io::Error::last_os_error())),
        }
    }
}
