//! What scripts do, done to real processes.

use crate::lab::cut::{self, Cut};
use crate::lab::procs;
use crate::product::cluster::Cluster;
use crate::product::site::Part;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simulation::scenario::{Act, Blow, Deed, Part as Named, Place, Script};
use std::time::Duration;

/// Refuses what the lab can't do, before anything is started.
///
/// # Errors
/// The first such line.
pub fn check(script: &Script) -> Result<()> {
    if script.has_policy() || script.stacks.iter().any(|(_, mode)| mode.holds_cover()) {
        bail!("{}: the lab has a policy of its own, and stacks in mode auto", script.file);
    }
    for act in &script.acts {
        let possible = match act.deed {
            Deed::Cut(_, _, both) => both,
            Deed::Heal => true,
            Deed::Blow(blow, ..) => matches!(
                blow,
                Blow::Isolate(..)
                    | Blow::Kill(_)
                    | Blow::KillPostmaster(_)
                    | Blow::Stop(_)
                    | Blow::PowerOff
                    | Blow::Freeze(_)
            ),
            Deed::Failover(..) | Deed::SetMode(..) | Deed::Attest(_) => false,
        };
        if !possible {
            bail!("{}:{}: the lab can't do that: {}; the simulator can", script.file, act.line, act.text);
        }
    }
    Ok(())
}

/// Something that was done and can be undone.
#[derive(Clone, Copy, Debug)]
pub enum Undo {
    /// A cut.
    Mend(Cut),
    /// Killed: the site's service managers start it.
    Start(u8),
    /// Stopped.
    Continue(u8),
}

/// The hands, and what is cut at present.
pub struct Hands<'a> {
    cluster: &'a Cluster,
    cuts: Vec<Cut>,
}

impl<'a> Hands<'a> {
    /// Nothing is cut.
    pub const fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, cuts: Vec::new() }
    }

    /// Does one thing; how it is undone.
    ///
    /// # Errors
    /// If it can't be done.
    pub fn act(&mut self, act: &Act) -> Result<Option<Undo>> {
        match act.deed {
            Deed::Cut(a, b, _) => self.cut(Cut::Link(a + 1, b + 1)).map(Some),
            Deed::Heal => self.heal().map(|()| None),
            Deed::Blow(blow, stack, place) => self.blow(blow, usize::from(stack), place),
            Deed::Failover(..) | Deed::SetMode(..) | Deed::Attest(_) => bail!("refused before"),
        }
    }

    fn cut(&mut self, cut: Cut) -> Result<Undo> {
        self.cuts.push(cut);
        cut::apply(&self.cluster.network, &self.cuts)?;
        Ok(Undo::Mend(cut))
    }

    fn blow(&mut self, blow: Blow, stack: usize, place: Place) -> Result<Option<Undo>> {
        let number = self.number(place, stack)?;
        let (site, network) = (self.cluster.site(number), &self.cluster.network);
        match blow {
            Blow::Isolate(true, true) => self.cut(Cut::Off(number)).map(Some),
            Blow::Isolate(true, false) => self.cut(Cut::Deaf(number)).map(Some),
            Blow::Isolate(..) => self.cut(Cut::Dumb(number)).map(Some),
            Blow::Kill(part) => {
                for service in self.services(number, stack, part) {
                    service.let_end();
                    service.signal(Signal::SIGKILL);
                }
                Ok(Some(Undo::Start(number)))
            }
            Blow::Stop(part) => {
                self.services(number, stack, part).iter().for_each(|s| s.signal(Signal::SIGSTOP));
                Ok(Some(Undo::Continue(number)))
            }
            Blow::PowerOff => site.kill(network).map(|()| Some(Undo::Start(number))),
            Blow::Freeze(_) => {
                site.signal_everything(network, Signal::SIGSTOP).map(|()| Some(Undo::Continue(number)))
            }
            Blow::KillPostmaster(_) => {
                let data = self.cluster.layout.data(number, stack);
                let postmaster = procs::postmaster(&data).context("there is no postmaster to kill")?;
                kill(Pid::from_raw(postmaster.pid), Signal::SIGKILL).context("kill the postmaster")?;
                Ok(None)
            }
            other => bail!("{other:?}: refused before"),
        }
    }

    fn services(&self, site: u8, stack: usize, part: Named) -> Vec<&crate::lab::service::Service> {
        let site = self.cluster.site(site);
        match part {
            Named::Witness => site.services(Part::Witness),
            Named::Actor => site.services(Part::Actor),
            Named::Gate => site.gate(stack).into_iter().collect(),
        }
    }

    fn number(&self, place: Place, stack: usize) -> Result<u8> {
        match place {
            Place::Site(site) => Ok(site + 1),
            Place::Leader => self.cluster.status()?.leader.context("nobody leads"),
            Place::Active => self.cluster.active(stack),
            Place::Standby => {
                let (status, active) = (self.cluster.status()?, self.cluster.active(stack)?);
                status.up.into_iter().find(|site| *site != active).context("there is no standby")
            }
        }
    }

    /// Undoes one thing.
    ///
    /// # Errors
    /// If that fails.
    pub fn undo(&mut self, undo: Undo) -> Result<()> {
        match undo {
            Undo::Mend(cut) => {
                let place = self.cuts.iter().position(|c| *c == cut);
                place.map(|place| self.cuts.remove(place));
                cut::apply(&self.cluster.network, &self.cuts)
            }
            Undo::Start(site) => self.cluster.site(site).start(),
            Undo::Continue(site) => {
                self.cluster.site(site).signal_everything(&self.cluster.network, Signal::SIGCONT)
            }
        }
    }

    fn heal(&mut self) -> Result<()> {
        self.cuts.clear();
        cut::heal(&self.cluster.network)?;
        for site in &self.cluster.sites {
            site.signal_everything(&self.cluster.network, Signal::SIGCONT)?;
            site.start()?;
        }
        Ok(())
    }
}

/// Between two looks at what is due.
pub const LOOK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use simulation::scenario::{find, load};
    use std::path::Path;

    /// Scripts that the lab can play.
    const PLAYED: [&str; 10] = [
        "booth-68-17-restarts",
        "cloudnativepg-11280-open-sessions",
        "cloudnativepg-2144-all-unreachable",
        "datadog-game-day",
        "facebook-2021-all-suspect",
        "github-2018-partition",
        "orchestrator-451-hooks",
        "patroni-3639-last-backend",
        "pg-auto-failover-997-link-cut",
        "roblox-2021-quorum-lost",
    ];

    #[test]
    fn what_the_lab_cannot_do_is_refused_with_its_line() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
        let mut played = Vec::new();
        for file in find(&folder) {
            let script = load(&file).expect("it is a script");
            let name = file.file_stem().and_then(|name| name.to_str()).expect("a plain name").to_owned();
            match check(&script) {
                Ok(()) => played.push(name),
                Err(error) => assert!(error.to_string().contains(".scenario:"), "{error}"),
            }
        }
        assert_eq!(played, PLAYED);
    }
}
