//! The few system calls that nix has no safe form for, and the signals of the gate's process.

use crate::Error;
use std::io;
use std::os::fd::RawFd;

/// A process id as the kernel gives it.
pub(crate) type Pid = i32;

/// A signal mask, to be given back to what the gate starts.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

impl Mask {
    /// For `sigprocmask` in a child.
    pub(crate) fn as_ptr(&self) -> *const libc::sigset_t {
        &raw const self.0
    }

    /// Every signal.
    pub(crate) fn full() -> Self {
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: sigfillset writes the whole set and cannot fail with a valid pointer.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }
}

/// Blocks every signal in this thread and those that it starts later; the mask of before.
pub(crate) fn block_signals() -> Result<Mask, Error> {
    let full = Mask::full();
    let mut old = Mask::full();
    // SAFETY: both pointers are to live sets.
    let code = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, full.as_ptr(), &raw mut old.0) };
    if code == 0 { Ok(old) } else { Err(Error::system("block signals")(io::Error::from_raw_os_error(code))) }
}

/// Waits for the next signal of the process. All are blocked.
pub(crate) fn wait_signal() -> Option<i32> {
    let full = Mask::full();
    // SAFETY: the set is live; no information about the signal is asked for.
    let signal = unsafe { libc::sigwaitinfo(full.as_ptr(), std::ptr::null_mut()) };
    (signal > 0).then_some(signal)
}

/// Sends a signal; an ended process is no error.
pub(crate) fn kill(pid: Pid, signal: i32) {
    if pid > 1 {
        // SAFETY: plain system call. pid > 1: never a group, never everything, never init.
        unsafe { libc::kill(pid, signal) };
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Which.
    pub(crate) pid: Pid,
    /// Its exit code, or 128 + the signal that ended it.
    pub(crate) code: u8,
}

/// One ended child (own or adopted), if there is one.
pub(crate) fn reap() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: status is live.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then(|| Ended { pid, code: exit_code(status) })
}

/// Exit code of a wait status, as a shell gives it.
pub(crate) fn exit_code(status: i32) -> u8 {
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    u8::try_from(code).unwrap_or(255)
}

/// Orphans of the database become children of the gate, so that it can reap them.
pub(crate) fn become_subreaper() -> Result<(), Error> {
    // SAFETY: plain system call.
    let code = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    checked(code).map(|_| ()).map_err(Error::system("become a subreaper"))
}

/// True on the thread that the process began with: PDEATHSIG ends children with their thread.
pub(crate) fn on_main_thread() -> bool {
    // SAFETY: plain system calls.
    unsafe { i64::from(libc::getpid()) == libc::syscall(libc::SYS_gettid) }
}

/// A pipe, closed on exec: (read, write).
pub(crate) fn pipe() -> io::Result<(RawFd, RawFd)> {
    let mut ends = [0; 2];
    // SAFETY: ends has room for two descriptors.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((ends[0], ends[1]))
}

/// Closes a descriptor that this process owns.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: plain system call; a wrong descriptor is an error code that nobody needs.
    unsafe { libc::close(fd) };
}

/// Waits until something can be read, at most `timeout_ms`; then reads into `buffer`.
pub(crate) fn read_within(fd: RawFd, buffer: &mut [u8], timeout_ms: i32) -> io::Result<usize> {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd; the buffer is live and its length is given.
    unsafe {
        if checked(libc::poll(&raw mut poll, 1, timeout_ms))? == 0 {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        let n = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

/// Writes all of a short message.
pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the buffer is live and its length is given.
    let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    match usize::try_from(n) {
        Ok(n) if n == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Makes reads and writes of a descriptor fail rather than wait.
pub(crate) fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: plain system calls.
    unsafe {
        let flags = checked(libc::fcntl(fd, libc::F_GETFL))?;
        checked(libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK))?;
    }
    Ok(())
}

/// Result of a system call by its return value.
pub(crate) fn checked(code: i32) -> io::Result<i32> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code) }
}

/// This thread's signal mask.
pub(crate) fn current_mask() -> Result<Mask, Error> {
    let mut old = Mask::full();
    // SAFETY: no new mask; the old one goes to a live set.
    let code = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut old.0) };
    if code == 0 {
        Ok(old)
    } else {
        Err(Error::system("read the signal mask")(io::Error::from_raw_os_error(code)))
    }
}
