//! Runs scenarios one after the other, on labs that are kept as long as they fit.

use crate::interrupt;
use crate::lab::network::Wan;
use crate::product::cluster::{Cluster, Plan};
use crate::product::files::Settings;
use crate::product::layout::StackPlan;
use crate::product::profile::Profile;
use crate::scenario::judge::{Verdict, judge};
use crate::scenario::plan::{Ground, Scenario};
use crate::scenario::{run, special, table};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to run and how.
pub struct Job {
    /// The scenarios.
    pub scenarios: Vec<&'static Scenario>,
    /// How often each.
    pub runs: usize,
    /// The profile.
    pub profile: Profile,
    /// Prefix of the namespaces.
    pub lab: String,
    /// Where logs and results go.
    pub out: PathBuf,
    /// The product.
    pub binary: PathBuf,
    /// The gates' kernel lease.
    pub kernel_lease: bool,
    /// Keep the product's files and logs.
    pub keep_files: bool,
}

/// Runs everything; the verdicts, also if some are bad.
///
/// # Errors
/// If the results can't be written, or on Ctrl-C.
pub fn run_all(job: &Job) -> Result<Vec<Verdict>> {
    fs::create_dir_all(&job.out).with_context(|| job.out.display().to_string())?;
    let mut verdicts = Vec::new();
    let mut ground: Option<(Ground, Cluster)> = None;
    for scenario in &job.scenarios {
        for number in 1..=job.runs {
            interrupt::check()?;
            let verdict = one(job, scenario, number, &mut ground);
            let file = job.out.join(format!("{}-{}-{number}.json", scenario.name, job.profile.name()));
            fs::write(&file, serde_json::to_string_pretty(&verdict)?)
                .with_context(|| file.display().to_string())?;
            print!("{}", table::line(&verdict));
            verdict.violations.iter().chain(&verdict.invalid).for_each(|why| println!("    {why}"));
            verdicts.push(verdict);
        }
    }
    Ok(verdicts)
}

/// One run. Whatever fails becomes a verdict, and the lab is made anew for the next.
fn one(
    job: &Job,
    scenario: &'static Scenario,
    number: usize,
    ground: &mut Option<(Ground, Cluster)>,
) -> Verdict {
    let begin = Instant::now();
    let result = ready(job, scenario.ground, ground)
        .context("the lab does not get ready")
        .and_then(|cluster| measure(job, scenario, number, cluster));
    let mut verdict = result.unwrap_or_else(|error| {
        let why = format!("{error:#}");
        keep_logs(job, scenario, number, ground);
        *ground = None;
        Verdict::failed(scenario.name, job.profile, number, why)
    });
    if !verdict.violations.is_empty() {
        keep_logs(job, scenario, number, ground);
    }
    let home = ground.as_ref().map_or(Ok(()), |(_, cluster)| cluster.bring_home());
    if let Err(error) = home {
        let note = format!("afterwards the sites could not be brought home: {error:#}");
        eprintln!("chaos: {}: {note}", scenario.name);
        keep_logs(job, scenario, number, ground);
        *ground = None;
        if verdict.violations.is_empty() && scenario.ends != crate::scenario::plan::Ends::Any {
            verdict.violations.push(note);
        }
    }
    eprintln!("chaos: {} run {number} took {:.0} s", scenario.name, begin.elapsed().as_secs_f64());
    verdict
}

fn measure(job: &Job, scenario: &'static Scenario, number: usize, cluster: &Cluster) -> Result<Verdict> {
    match scenario.ground {
        Ground::FiftyStacks => special::fifty_stacks(cluster, scenario, number),
        Ground::ThreeStacks => {
            let (seen, more) = special::three_stacks(cluster, scenario, number, &job.out)?;
            let mut verdict = judge(scenario, job.profile, number, &seen);
            verdict.violations.extend(more);
            Ok(verdict)
        }
        Ground::Plain | Ground::Slow | Ground::Five => {
            let seen = run::run(cluster, scenario, 0, number, &job.out)?;
            Ok(judge(scenario, job.profile, number, &seen))
        }
    }
}

/// The lab for a ground: the one that is up if it fits.
fn ready<'a>(job: &Job, wanted: Ground, ground: &'a mut Option<(Ground, Cluster)>) -> Result<&'a Cluster> {
    let fits = ground.as_ref().is_some_and(|(have, _)| *have == wanted);
    if !fits {
        *ground = None; // ends the old one first: the addresses are the same
        let mut cluster = Cluster::up(plan(job, wanted))?;
        cluster.keep_files = job.keep_files;
        *ground = Some((wanted, cluster));
    }
    ground.as_ref().map(|(_, cluster)| cluster).context("it was just made")
}

fn plan(job: &Job, ground: Ground) -> Plan {
    let stack =
        |name: &str, active: u8, database: bool| StackPlan { name: name.to_owned(), active, database };
    let stacks = match ground {
        Ground::Plain | Ground::Slow | Ground::Five => vec![stack("main", 1, true)],
        Ground::ThreeStacks => vec![stack("one", 1, true), stack("two", 2, true), stack("three", 3, true)],
        Ground::FiftyStacks => {
            let more = (2..=50).map(|n| stack(&format!("s{n}"), 1, false));
            std::iter::once(stack("main", 1, true)).chain(more).collect()
        }
    };
    Plan {
        lab: job.lab.clone(),
        sites: if ground == Ground::Five { 5 } else { 3 },
        wan: (ground == Ground::Slow).then(|| wan(job.profile)),
        stacks,
        settings: Settings { profile: job.profile, kernel_lease: job.kernel_lease },
        binary: job.binary.clone(),
    }
}

/// The network that a profile is made for.
const fn wan(profile: Profile) -> Wan {
    let rtt_ms = match profile {
        Profile::Wan => 100,
        Profile::Metro => 60,
        Profile::Fast => 20,
    };
    Wan { rtt_ms, jitter_ms: 2, loss_permille: 0 }
}

/// Copies the product's logs beside the results of a run that went wrong.
fn keep_logs(job: &Job, scenario: &Scenario, number: usize, ground: &Option<(Ground, Cluster)>) {
    let Some((_, cluster)) = ground else { return };
    for site in 1..=cluster.layout.sites {
        let to = job.out.join(format!("{}-{}-{number}.logs/dc{site}", scenario.name, job.profile.name()));
        if let Err(error) = copy_files(&cluster.layout.site(site).join("log"), &to) {
            eprintln!("chaos: the logs of dc{site} are lost: {error:#}");
        }
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
