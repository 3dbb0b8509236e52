//! The warden: a second process that ends the database's cgroup when the gate is dead, or
//! when the deadline that the gate told it last is well past.
//!
//! Only for a cgroup without a PID namespace: a namespace needs nobody to end it.

use super::launch::{clone, close_from};
use crate::Error;
use crate::sys::{self, Pid};
use model::{Deadline, Millis, Moment};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One message to the warden: both readings at which it must act; zeros: no deadline.
const MESSAGE_BYTES: usize = 16;
/// Pause between kills while the cgroup may still hold something.
const KILL_AGAIN_MS: i32 = 20;
/// A gate that is dead has lost its cgroup within this many kills.
const KILLS: u32 = 250;

/// The gate's end of its warden.
pub(crate) struct Warden {
    pid: Pid,
    pipe: RawFd,
    told: Moment,
}

impl Warden {
    /// Starts a warden of the cgroup whose `cgroup.kill` this is. On the main thread.
    pub(crate) fn start(kill_path: &Path) -> Result<Self, Error> {
        let text = |path: &Path| {
            CString::new(path.as_os_str().as_bytes())
                .map_err(|_| Error::system("start the warden")(io::Error::other("NUL in the cgroup's path")))
        };
        let (path, directory) = (text(kill_path)?, text(kill_path.parent().unwrap_or(kill_path))?);
        let (read, write) = sys::pipe().map_err(Error::system("start the warden"))?;
        // SAFETY: clone without a stack is fork; the child makes only raw system calls on
        // prepared data and never returns.
        let pid = unsafe { clone(libc::SIGCHLD) };
        if pid == 0 {
            // SAFETY: the child.
            unsafe { watch(&path, &directory, read) }
        }
        let error = io::Error::last_os_error();
        sys::close(read);
        match Pid::try_from(pid) {
            Ok(pid) if pid > 0 => {
                sys::set_nonblocking(write).map_err(Error::system("start the warden"))?;
                Ok(Self { pid, pipe: write, told: Moment::default() })
            }
            _ => {
                sys::close(write);
                Err(Error::system("start the warden")(error))
            }
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Tells it to act once `due` is over; none: only when the gate dies.
    pub(crate) fn tell(&mut self, due: Option<(Moment, Millis)>) -> io::Result<()> {
        let at = due.map_or(Moment::default(), |(start, span)| Deadline::new(start, span).moment());
        if at == self.told {
            return Ok(());
        }
        let mut message = [0; MESSAGE_BYTES];
        message[..8].copy_from_slice(&at.boottime.to_ne_bytes());
        message[8..].copy_from_slice(&at.raw.to_ne_bytes());
        sys::write(self.pipe, &message)?;
        self.told = at;
        Ok(())
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // It reads the end of the pipe, kills what is left of the cgroup, and ends.
        sys::close(self.pipe);
    }
}

/// The warden's whole life.
unsafe fn watch(kill_path: &CStr, directory: &CStr, pipe: RawFd) -> ! {
    // SAFETY: raw system calls on prepared data, in a process of one thread.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"tripoint-warden".as_ptr(), 0, 0, 0);
        libc::chdir(c"/".as_ptr());
        // The write end above all: it must be the gate's alone. Standard input becomes the pipe.
        libc::dup2(pipe, 0);
        close_from(3);
        let mut due = Moment::default();
        loop {
            let mut wait = until(due);
            if wait == 0 {
                kill_once(kill_path);
                wait = KILL_AGAIN_MS;
            }
            let mut poll = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
            let ready = libc::poll(&raw mut poll, 1, wait);
            if ready > 0 {
                let mut message = [0_u8; MESSAGE_BYTES];
                let n = libc::read(0, message.as_mut_ptr().cast(), MESSAGE_BYTES);
                if n == 0 {
                    break;
                }
                if usize::try_from(n) == Ok(MESSAGE_BYTES) {
                    due = decode(&message);
                }
            }
        }
        for _ in 0..KILLS {
            // Removed once it is empty; the gate may have done so itself.
            if !kill_once(kill_path) || libc::rmdir(directory.as_ptr()) == 0 {
                break;
            }
            libc::poll(std::ptr::null_mut(), 0, KILL_AGAIN_MS);
        }
        libc::_exit(0);
    }
}

fn decode(message: &[u8; MESSAGE_BYTES]) -> Moment {
    let part = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&message[from..from + 8]);
        u64::from_ne_bytes(bytes)
    };
    Moment { boottime: part(0), raw: part(8) }
}

/// Milliseconds until the first of the two clocks is there, in short pieces since a suspend
/// stops poll's own clock; -1: no deadline.
fn until(due: Moment) -> i32 {
    if due.boottime == 0 {
        return -1;
    }
    let (deadline, now) = (Deadline::new(due, Millis::ZERO), rpc::clock::now());
    if deadline.is_over(now) {
        0
    } else {
        i32::try_from(deadline.remaining(now).0.clamp(1, 100)).unwrap_or(100)
    }
}

/// False once the cgroup is gone.
unsafe fn kill_once(path: &CStr) -> bool {
    // SAFETY: as in `watch`.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return false;
        }
        libc::write(fd, b"1".as_ptr().cast(), 1);
        libc::close(fd);
        true
    }
}
