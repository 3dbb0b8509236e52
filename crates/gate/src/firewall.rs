//! The kernel lease: nftables lets the database's clients through only while an element with
//! a timeout lives. Nobody has to be alive for the kernel to close the port.
//!
//! Opening moves (a table made, a port guarded before a promotion) wait for `nft`'s own word;
//! renewals go to one `nft -i` kept open, and what it complains of is seen at the next one.

use crate::sys;
use model::{Deadline, Millis, Moment};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What the kernel does with the port's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Lets all through: a standby's readers, a held cover, a stack that is not adopted.
    Open,
    /// Lets nobody through.
    Closed,
    /// Lets all through until then.
    Leased(Deadline),
}

/// The guard of one port.
pub(crate) struct KernelLease {
    nft: PathBuf,
    port: u16,
    /// What is in force; none if that is not known.
    current: Option<Guard>,
    kept: Option<Child>,
}

impl KernelLease {
    /// Makes the table, closed, by way of trial.
    ///
    /// # Errors
    /// `nft` is missing or refuses: no CAP_NET_ADMIN, no nftables in the kernel.
    pub(crate) fn open(port: u16) -> Result<Self, String> {
        let nft = ["nft".into(), "/usr/sbin/nft".into(), "/sbin/nft".into()]
            .iter()
            .find_map(|name: &std::ffi::OsString| crate::hold::find_program(name).ok())
            .ok_or("`nft` is not there")?;
        let mut lease = Self { nft, port, current: None, kept: None };
        lease.now(&lease.table()).map_err(|e| e.to_string())?;
        lease.current = Some(Guard::Closed);
        Ok(lease)
    }

    /// Puts `wanted` in force. Anything but a renewal is in force when this returns.
    pub(crate) fn set(&mut self, wanted: Guard) -> io::Result<()> {
        if self.current == Some(wanted) {
            return Ok(());
        }
        let before = self.current.take();
        match (before, wanted) {
            (Some(Guard::Leased(_)), Guard::Leased(deadline)) => self.renew(deadline)?,
            (_, Guard::Leased(deadline)) => {
                let text = self.element(deadline.remaining(rpc::clock::now()));
                self.now(&format!("{}{text}", self.guarded(true)))?;
                self.look_again(deadline)?;
            }
            (_, Guard::Closed) => {
                self.now(&format!("{}{}", self.element(Millis::ZERO), self.guarded(true)))?
            }
            (_, Guard::Open) => self.now(&self.guarded(false))?,
        }
        self.current = Some(wanted);
        Ok(())
    }

    /// True while clients may pass or the guard is known to be in force.
    pub(crate) fn is_known(&self) -> bool {
        self.current.is_some()
    }

    /// The process kept open, which is none of the database's.
    pub(crate) fn process(&self) -> Option<sys::Pid> {
        self.kept.as_ref().and_then(|c| sys::Pid::try_from(c.id()).ok())
    }

    /// Takes note that a child was reaped: its number may be somebody else's from now on.
    pub(crate) fn reaped(&mut self, pid: sys::Pid) {
        if self.process() == Some(pid) {
            self.kept = None;
        }
    }

    /// Removes the table: only once no process of the database is left.
    pub(crate) fn remove(&mut self) {
        if let Err(e) = self.now(&format!("delete table inet {}", self.name())) {
            tracing::warn!("the kernel lease's table stays: {e}");
        }
    }

    fn renew(&mut self, deadline: Deadline) -> io::Result<()> {
        let text = self.element(deadline.remaining(rpc::clock::now()));
        if let Err(e) = self.feed(&text) {
            tracing::warn!("kernel lease: {e}; asking anew");
            self.end_kept();
            self.now(&text)?;
        }
        self.look_again(deadline)
    }

    /// The remaining time was computed before it was set: if it is over meanwhile, close.
    fn look_again(&mut self, deadline: Deadline) -> io::Result<()> {
        let now: Moment = rpc::clock::now();
        if deadline.is_over(now) { self.now(&self.element(Millis::ZERO)) } else { Ok(()) }
    }

    fn name(&self) -> String {
        format!("tripoint-lease-{}", self.port)
    }

    fn table(&self) -> String {
        let (name, port) = (self.name(), self.port);
        format!(
            "add table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n\
             set guarded {{ type inet_service; elements = {{ {port} }} }}\n\
             set lease {{ type inet_service; flags timeout; }}\n\
             chain in {{ type filter hook input priority -10; tcp dport @guarded tcp dport != @lease reject with tcp reset; }}\n\
             chain out {{ type filter hook output priority -10; \
             tcp sport @guarded tcp sport != @lease tcp flags & rst == 0 drop; }}\n}}\n"
        )
    }

    /// The lease's element for this long; zero: gone. Right whether it is there or not, on
    /// every kernel (`add` alone prolongs nothing before Linux 6.12). One transaction.
    fn element(&self, left: Millis) -> String {
        let set = format!("inet {} lease {{ {}", self.name(), self.port);
        let gone = format!("add element {set} timeout 60s }}; delete element {set} }}");
        if left == Millis::ZERO {
            format!("{gone}\n")
        } else {
            format!("{gone}; add element {set} timeout {}ms }}\n", left.0)
        }
    }

    fn guarded(&self, on: bool) -> String {
        let element = format!("element inet {} guarded {{ {} }}", self.name(), self.port);
        if on { format!("add {element}\n") } else { format!("add {element}\ndelete {element}\n") }
    }

    /// One `nft` for this text; in force when it returns.
    fn now(&self, text: &str) -> io::Result<()> {
        let mut child = Command::new(&self.nft)
            .args(["-f", "-"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(text.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("nft: {}", complaint.lines().next().unwrap_or("failed without a word"))))
    }

    /// A line for the `nft` kept open.
    fn feed(&mut self, text: &str) -> io::Result<()> {
        if self.kept.is_none() {
            self.kept = Some(self.keep()?);
        }
        let Some(child) = &mut self.kept else { return Err(io::ErrorKind::NotFound.into()) };
        let mut complaint = [0_u8; 512];
        if let Some(errors) = &mut child.stderr
            && let Ok(n @ 1..) = errors.read(&mut complaint)
        {
            return Err(io::Error::other(String::from_utf8_lossy(&complaint[..n]).into_owned()));
        }
        match &mut child.stdin {
            Some(input) => input.write_all(text.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn keep(&self) -> io::Result<Child> {
        let child = Command::new(&self.nft)
            .arg("-i")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        // A stuck `nft` must not hold up the gate: a full pipe is an error, and a new one is started.
        for fd in
            [child.stdin.as_ref().map(AsRawFd::as_raw_fd), child.stderr.as_ref().map(AsRawFd::as_raw_fd)]
        {
            sys::set_nonblocking(fd.ok_or(io::ErrorKind::BrokenPipe)?)?;
        }
        Ok(child)
    }

    fn end_kept(&mut self) {
        if let Some(mut child) = self.kept.take() {
            // Gone already, or ours to end: either way it is waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for KernelLease {
    fn drop(&mut self) {
        self.end_kept();
    }
}
