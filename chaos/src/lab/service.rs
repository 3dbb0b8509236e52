//! A service manager in little: starts one process in a site, and starts it again when it ends,
//! unless it was told not to.

use super::netns;
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pause before a process that ended is started again: below the second that the design gives.
pub const RESTART_PAUSE: Duration = Duration::from_millis(300);

/// What to run and where.
#[derive(Clone, Debug)]
pub struct Spec {
    /// For logs: `dc1/gate`.
    pub name: String,
    /// The namespace that it runs in.
    pub netns: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// More environment.
    pub env: Vec<(String, String)>,
    /// Where its output goes, appended.
    pub log: PathBuf,
}

impl Spec {
    fn command(&self) -> Result<Command> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| self.log.display().to_string())?;
        let (program, args) = self.argv.split_first().context("an empty command")?;
        let mut command = netns::command(&self.netns, program)?;
        command.args(args).envs(self.env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

#[derive(Default)]
struct State {
    pid: Option<i32>,
    restart: bool,
    supervised: bool,
}

/// One process under supervision. Dropping it ends neither the process nor the supervision: the
/// lab's own end does.
#[derive(Clone)]
pub struct Service {
    spec: Arc<Spec>,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Service {
    /// Not started yet.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        Self { spec: Arc::new(spec), state: Arc::default() }
    }

    /// Starts it and keeps it running; does nothing if it is supervised already (but a supervision
    /// that was told to stop goes on).
    ///
    /// # Errors
    /// If the program can't be started at all.
    pub fn start(&self) -> Result<()> {
        {
            let mut state = self.lock();
            state.restart = true;
            if state.supervised {
                return Ok(());
            }
            state.supervised = true;
        }
        let first = self.spawn();
        match first {
            Ok(child) => {
                let this = self.clone();
                std::thread::spawn(move || this.supervise(child));
                Ok(())
            }
            Err(error) => {
                self.lock().supervised = false;
                Err(error.context(self.spec.name.clone()))
            }
        }
    }

    /// From now on it is not started again once it ends.
    pub fn let_end(&self) {
        self.lock().restart = false;
        self.state.1.notify_all();
    }

    /// Sends a signal to the process, if it runs.
    pub fn signal(&self, signal: Signal) {
        // under the lock the pid is not reaped, so it can't be another process's
        let state = self.lock();
        if let Some(pid) = state.pid {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Asks it to end (SIGTERM), kills it after `patience`, and doesn't start it again.
    pub fn stop(&self, patience: Duration) {
        self.let_end();
        self.signal(Signal::SIGTERM);
        self.signal(Signal::SIGCONT);
        if !self.wait_ended(patience) {
            self.signal(Signal::SIGKILL);
            let _ = self.wait_ended(Duration::from_secs(5)); // in D state: the lab's end sees to it
        }
    }

    /// Waits until it has ended and is not supervised any more.
    #[must_use]
    pub fn wait_ended(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while state.supervised {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.state.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> Result<std::process::Child> {
        let mut command = self.spec.command()?;
        let mut state = self.lock();
        let child = command.spawn().with_context(|| self.spec.argv.join(" "))?;
        state.pid = i32::try_from(child.id()).ok();
        Ok(child)
    }

    fn supervise(&self, mut child: std::process::Child) {
        loop {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
                == Err(nix::errno::Errno::EINTR)
            {}
            let mut state = self.lock();
            let _ = child.wait();
            state.pid = None;
            drop(state);
            match self.next_child() {
                Some(next) => child = next,
                None => return,
            }
        }
    }

    /// The process started again after the pause, or none if it is to stay away.
    fn next_child(&self) -> Option<std::process::Child> {
        loop {
            let deadline = Instant::now() + RESTART_PAUSE;
            let mut state = self.lock();
            loop {
                if !state.restart {
                    state.supervised = false;
                    self.state.1.notify_all();
                    return None;
                }
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state = self.state.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            drop(state);
            if let Ok(child) = self.spawn() {
                return Some(child);
            }
        }
    }
}
