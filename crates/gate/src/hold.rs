//! Holds the database's processes: starts them, signals them, kills them all, and knows when
//! none is left, also once the gate itself is dead (design, section 5).

mod cgroup;
mod launch;
mod warden;

pub(crate) use launch::{Program, User, be_init_for_gate, find_program};

use crate::processes::{self, DirectoryId};
use crate::sys::{self, Mask, Pid};
use crate::{ContainmentChoice, Error};
use cgroup::Cgroup;
use launch::{Body, Bonds, launch};
use model::{Containment, Millis, Moment};
use std::collections::BTreeSet;
use warden::Warden;

/// How a namespace is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    /// With CAP_SYS_ADMIN.
    Plain,
    /// Within a user namespace.
    User,
}

/// The one way, or the two ways together, that this host allows.
pub(crate) struct Holder {
    way: Containment,
    cgroup: Option<Cgroup>,
    namespace: Option<Namespace>,
    warden: Option<Warden>,
    user: Option<User>,
    mask: Mask,
    child: Option<Pid>,
}

impl Holder {
    /// Tries the ways that `choice` allows, best first, and takes what works.
    ///
    /// # Errors
    /// None works; each one's reason is named.
    pub(crate) fn choose(
        choice: ContainmentChoice,
        in_container: bool,
        prefix: &str,
        user: Option<User>,
        mask: Mask,
    ) -> Result<Self, Error> {
        let mut holder = Self {
            way: Containment::None,
            cgroup: None,
            namespace: None,
            warden: None,
            user,
            mask,
            child: None,
        };
        let mut reasons = Vec::new();
        let auto = choice == ContainmentChoice::Auto;
        if auto || choice == ContainmentChoice::PidNamespace {
            holder.try_namespace(&mut reasons);
        }
        if auto || choice == ContainmentChoice::Cgroup {
            holder.try_cgroup(prefix, &mut reasons);
        }
        let container = in_container && (auto || choice == ContainmentChoice::ContainerInit);
        holder.way = match (&holder.cgroup, holder.namespace, container) {
            (Some(_), _, _) => Containment::Cgroup,
            (None, Some(_), _) => Containment::PidNamespace,
            (None, None, true) => Containment::ContainerInit,
            (None, None, false) if choice == ContainmentChoice::NoneAccepted => Containment::None,
            _ => {
                reasons.push("PID 1 of a container: this process is not".to_owned());
                return Err(Error::Containment(reasons.join("; ")));
            }
        };
        if holder.namespace.is_none() && holder.cgroup.is_some() {
            holder.ensure_warden()?;
        }
        Ok(holder)
    }

    fn try_namespace(&mut self, reasons: &mut Vec<String>) {
        for kind in [Namespace::Plain, Namespace::User] {
            self.namespace = Some(kind);
            match self.trial() {
                Ok(()) => return,
                Err(e) => reasons.push(format!("PID namespace ({kind:?}): {e}")),
            }
        }
        self.namespace = None;
    }

    fn try_cgroup(&mut self, prefix: &str, reasons: &mut Vec<String>) {
        match Cgroup::create(prefix) {
            Err(e) => reasons.push(format!("cgroup: {e}")),
            Ok(cgroup) => {
                self.cgroup = Some(cgroup);
                if let Err(e) = self.trial() {
                    reasons.push(format!("cgroup: {e}"));
                    self.cgroup = None;
                }
            }
        }
    }

    /// Holds a process that only waits, kills it, and sees it gone.
    fn trial(&mut self) -> Result<(), Error> {
        let pid = launch(Body::Pause, self.bonds(), &self.mask)?;
        match &self.cgroup {
            Some(cgroup) => cgroup.kill().map_err(Error::system("write cgroup.kill"))?,
            None => sys::kill(pid, libc::SIGKILL),
        }
        let start = rpc::clock::now();
        while rpc::clock::now().elapsed_longest(start) < TRIAL_WAIT {
            let empty = self.cgroup.as_ref().is_none_or(|c| !c.is_populated());
            if self.child_is_gone(pid) && empty {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        sys::kill(pid, libc::SIGKILL);
        Err(Error::system("trial")(std::io::Error::other(
            "the trial's process did not end when it was killed",
        )))
    }

    fn child_is_gone(&self, pid: Pid) -> bool {
        let mut status = 0;
        // SAFETY: plain system call on our own child.
        unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) != 0 }
    }

    fn bonds(&self) -> Bonds<'_> {
        Bonds {
            namespace: self.namespace.is_some(),
            user_namespace: self.namespace == Some(Namespace::User),
            cgroup: self.cgroup.as_ref().map(Cgroup::procs),
            user: self.user.as_ref(),
        }
    }

    /// The way, for reports.
    pub(crate) fn way(&self) -> Containment {
        self.way
    }

    /// The way in words, for the log.
    pub(crate) fn describe(&self) -> &'static str {
        match (self.way, self.namespace.is_some()) {
            (Containment::Cgroup, true) => {
                "a cgroup of its own, within a PID namespace that dies with the gate"
            }
            (Containment::Cgroup, false) => {
                "a cgroup of its own, ended by cgroup.kill, with a warden process"
            }
            (Containment::PidNamespace, _) => "a PID namespace that dies with the gate",
            (Containment::ContainerInit, _) => "the container: its PID 1 ends with the gate",
            (Containment::None, _) => "NOTHING: backends may outlive a killed gate, as was accepted by name",
        }
    }

    /// Starts the database.
    pub(crate) fn start(&mut self, program: &Program) -> Result<(), Error> {
        debug_assert!(self.child.is_none(), "one database at a time");
        self.child = Some(launch(Body::Program(program), self.bonds(), &self.mask)?);
        Ok(())
    }

    /// A signal for the postmaster.
    pub(crate) fn signal(&self, signal: i32) {
        if let Some(pid) = self.child {
            sys::kill(pid, signal);
        }
    }

    /// Takes note that a child was reaped; true if it was the database's.
    pub(crate) fn reaped(&mut self, pid: Pid) -> bool {
        if self.warden.as_ref().is_some_and(|w| w.pid() == pid) {
            self.warden = None;
        }
        let ours = self.child == Some(pid);
        if ours {
            self.child = None;
        }
        ours
    }

    /// SIGKILL to everything of the database, once; call again until [`Self::is_empty`].
    pub(crate) fn kill_all(&self, directory: Option<DirectoryId>, except: &BTreeSet<Pid>) {
        if let Some(cgroup) = &self.cgroup
            && let Err(e) = cgroup.kill()
        {
            tracing::error!("cgroup.kill failed: {e}; killing one by one");
        }
        self.signal(libc::SIGKILL);
        if self.namespace.is_none() && self.cgroup.is_none() {
            let own = Pid::try_from(std::process::id()).unwrap_or(0);
            processes::descendants(own, except).into_iter().for_each(|pid| sys::kill(pid, libc::SIGKILL));
        }
        for pid in directory.map(processes::servers).unwrap_or_default() {
            sys::kill(pid, libc::SIGKILL);
        }
    }

    /// True once no process of the database is left: the child reaped (in a namespace that
    /// alone is proof), the cgroup empty, no server process in the data directory.
    pub(crate) fn is_empty(&self, directory: Option<DirectoryId>) -> bool {
        self.child.is_none()
            && self.cgroup.as_ref().is_none_or(|c| !c.is_populated())
            && directory.is_none_or(|d| processes::servers(d).is_empty())
    }

    /// Sees to it that the warden, if this way needs one, is there.
    pub(crate) fn ensure_warden(&mut self) -> Result<(), Error> {
        if let (Some(cgroup), None, None) = (&self.cgroup, self.namespace, &self.warden) {
            self.warden = Some(Warden::start(&cgroup.kill_path())?);
        }
        Ok(())
    }

    /// The warden's process, which is none of the database's.
    pub(crate) fn warden_pid(&self) -> Option<Pid> {
        self.warden.as_ref().map(Warden::pid)
    }

    /// Tells the warden when to act by itself; none: only at the gate's death.
    pub(crate) fn tell_warden(&mut self, due: Option<(Moment, Millis)>) {
        if let Some(warden) = &mut self.warden
            && let Err(e) = warden.tell(due)
        {
            tracing::warn!("the warden does not listen: {e}");
        }
    }
}

/// How long a trial may take.
const TRIAL_WAIT: Millis = Millis(3_000);
