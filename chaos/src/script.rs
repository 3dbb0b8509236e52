//! Scripts of `tests/scenarios` on real processes: the same parser and the same judge as in the
//! simulator. What the lab can't do is refused, with the line; what it can't look at is said and
//! not judged.

mod client;
mod hands;
mod stage;
mod watch;

use crate::product::cluster::{Cluster, Plan};
use crate::product::files::Settings;
use crate::product::layout::StackPlan;
use crate::product::profile::Profile;
use anyhow::{Context, Result};
use clap::ValueEnum;
use simulation::scenario::{Claim, Script, judge, load};
use std::path::{Path, PathBuf};

/// Where, and with what.
pub struct Job {
    /// The script.
    pub file: PathBuf,
    /// Prefix of the namespaces.
    pub lab: String,
    /// Where the clients' logs go.
    pub out: PathBuf,
    /// The product.
    pub binary: PathBuf,
    /// The gates' kernel lease.
    pub kernel_lease: bool,
}

/// Plays a script in a lab of its own and prints what came of each line; false if anything is not as
/// expected.
///
/// # Errors
/// If it is no script, asks for what the lab can't do, or the lab does not get ready.
pub fn run(job: &Job) -> Result<bool> {
    let mut script = load(&job.file)?;
    hands::check(&script)?;
    std::fs::create_dir_all(&job.out).with_context(|| job.out.display().to_string())?;
    let cluster = Cluster::up(plan(job, &script)?)?;
    let (kept, left): (Vec<_>, Vec<_>) = script.expectations.drain(..).partition(|e| is_seen(&e.claim));
    script.expectations = kept;
    let tale = stage::play(&cluster, &script, &job.out)?;
    for expectation in &left {
        println!("{}:{}: {}: not looked at in the lab", script.file, expectation.line, expectation.text);
    }
    let findings = judge(&script, &tale.told);
    findings.iter().for_each(|finding| println!("{finding}"));
    tale.wrong.iter().for_each(|why| println!("WRONG: {why}"));
    Ok(tale.wrong.is_empty() && findings.iter().all(|finding| finding.seen.is_ok()))
}

/// What one witness says for itself is not asked for here, nor who leads.
fn is_seen(claim: &Claim) -> bool {
    let leads = |o: &simulation::scenario::Occasion| o.kind == simulation::scenario::Kind::Leads;
    match claim {
        Claim::Says(question) => question.of.is_none(),
        Claim::Occurs(o) | Claim::Never(o) | Claim::Count(_, _, o) => !leads(o),
        _ => true,
    }
}

fn plan(job: &Job, script: &Script) -> Result<Plan> {
    let profile = Profile::from_str(script.profile_name(), true).map_err(anyhow::Error::msg)?;
    let stack =
        |n: usize, site: u8| StackPlan { name: format!("s{}", n + 1), active: site + 1, database: true };
    Ok(Plan {
        lab: job.lab.clone(),
        sites: script.sites,
        wan: None,
        stacks: script.stacks.iter().enumerate().map(|(n, (site, _))| stack(n, *site)).collect(),
        settings: Settings { profile, kernel_lease: job.kernel_lease },
        binary: job.binary.clone(),
    })
}

/// A client's log in the folder of results.
fn log_of(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{name}.log"))
}
