//! `tripoint demo`: three sites on this machine, each with witness, actor, gate and a real
//! PostgreSQL as separate processes; one fault; what happens, live; and a clean machine after it.

mod cleanup;
mod database;
mod layout;
mod measure;
mod narrate;
mod network;
mod postgres;
mod processes;
mod scenario;
mod start;
#[cfg(test)]
mod tests;

use crate::telemetry::{self, LogFormat};
use clap::{Args, ValueEnum};
use cleanup::Cleanup;
use coordination::Timing;
use coordination::timing::Profile;
use ctl::Exit;
use ctl::connect::Client;
use layout::Layout;
use measure::Writer;
use model::GroupStatus;
use narrate::{Fault, Story, heading, show, step};
use processes::Processes;
use scenario::Scenario;
use std::path::PathBuf;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `tripoint demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Runs unattended. Exits 0 if everything went as promised, 1 if not.\n\nExamples:\n  tripoint demo\n  tripoint demo --scenario witness-loss --profile fast\n  tripoint demo --keep"
)]
pub struct DemoArgs {
    /// What is broken
    #[arg(long, value_enum, default_value_t = Scenario::SiteLoss)]
    scenario: Scenario,
    /// Leave it running afterwards, and say what to try
    #[arg(long)]
    keep: bool,
    /// The durations (`tripoint timing` shows them)
    #[arg(long, value_enum, default_value_t = DemoProfile::Metro)]
    profile: DemoProfile,
    /// Where everything goes: a directory that is not there yet (default: in /var/tmp)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Do not ask before PostgreSQL is installed
    #[arg(long, short)]
    yes: bool,
    /// End a demo that was left running, and remove its directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["scenario", "keep", "profile", "dir"])]
    stop: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DemoProfile {
    /// Sites over the internet, noisy machines.
    Wan,
    /// Own lines.
    Metro,
    /// One region.
    Fast,
}

impl From<DemoProfile> for Profile {
    fn from(profile: DemoProfile) -> Self {
        match profile {
            DemoProfile::Wan => Self::Wan,
            DemoProfile::Metro => Self::Metro,
            DemoProfile::Fast => Self::Fast,
        }
    }
}

/// A demo that is up.
pub struct Running {
    layout: Layout,
    processes: Processes,
    client: Client,
    writer: Writer,
    timing: Timing,
    /// Prefix of the network namespaces, if there are any.
    prefix: Option<String>,
}

impl Running {
    /// Begins a fault: now, told by the witnesses of all sites but some.
    fn begin(&self, before: &GroupStatus, without: &[&str]) -> (Fault, Story) {
        let fault = Fault::now();
        let story = Story::new(fault);
        if let Ok(client) = start::client(&self.layout, without) {
            let lost = without.first().map(|site| (*site).to_owned());
            tokio::spawn(story.clone().run(client, before.index.0 + 1, lost));
        }
        (fault, story)
    }
}

/// Runs a demo from the preparations to the cleaning.
pub fn run(args: &DemoArgs, log: Option<&str>) -> Exit {
    if let Some(dir) = &args.stop {
        return report(cleanup::stop(dir).map(|()| true));
    }
    // The demo speaks for itself; its own libraries only when something is wrong.
    if let Err(error) = telemetry::start(Some(log.unwrap_or("error")), LogFormat::Text) {
        return report(Err(error));
    }
    report(demonstrate(args))
}

fn report(result: anyhow::Result<bool>) -> Exit {
    match result {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Failed,
        Err(error) => {
            let word = ctl::style::paint("error", ctl::style::Tone::Bad, ctl::style::colour_on_stderr());
            eprintln!("{word}: {error:#}");
            Exit::Failed
        }
    }
}

fn demonstrate(args: &DemoArgs) -> anyhow::Result<bool> {
    heading("Preparations");
    let postgres = postgres::find_or_install(args.yes)?;
    step(&format!("PostgreSQL {} in {}", postgres.version, postgres.bin.display()));
    let prefix =
        (args.scenario == Scenario::Partition).then(|| format!("tripoint-demo{}", std::process::id()));
    let profile = Profile::from(args.profile);
    let timing = Timing::new(profile.values()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let default = || PathBuf::from(format!("/var/tmp/tripoint-demo-{}", std::process::id()));
    let dir = std::path::absolute(args.dir.clone().unwrap_or_else(default))?;
    let mut interruption = Interruption::watch()?;
    let mut cleanup = Cleanup::claim(dir.clone(), prefix.clone())?;
    if let Some(prefix) = &prefix {
        network::prepare(args.yes)?;
        network::up(prefix)?;
        // Before the runtime: its threads then live in the bridge's namespace, as clients do.
        network::enter(&format!("{prefix}-br"))?;
    }
    let layout = Layout::new(dir, crate::timing::profile_name(profile), prefix.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let well = runtime.block_on(async {
        tokio::select! {
            result = play(args, layout.clone(), &postgres, timing, prefix) => result,
            () = interruption.came() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    // The writers end here, before their servers do.
    runtime.shutdown_background();
    if well.is_err() {
        cleanup::show_logs(&layout);
    }
    if args.keep && well.is_ok() {
        scenario::suggest(&layout);
        cleanup.keep();
    } else {
        heading("Cleaning up");
    }
    drop(cleanup);
    well
}

/// Ctrl-C, SIGTERM, and the end of the terminal. From its making on none of them ends the
/// process before it has cleaned up.
struct Interruption([Signal; 3]);

impl Interruption {
    fn watch() -> anyhow::Result<Self> {
        // Needed for the making alone: the streams live on in whichever runtime there is.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _inside = runtime.enter();
        let [one, two, three] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([one?, two?, three?]))
    }

    async fn came(&mut self) {
        let [one, two, three] = &mut self.0;
        tokio::select! {
            _ = one.recv() => {}
            _ = two.recv() => {}
            _ = three.recv() => {}
        }
    }
}

async fn play(
    args: &DemoArgs,
    layout: Layout,
    postgres: &postgres::Postgres,
    timing: Timing,
    prefix: Option<String>,
) -> anyhow::Result<bool> {
    let running = start::start(layout, postgres, timing, prefix).await?;
    let verdict = scenario::play(args.scenario, &running, postgres).await?;
    let well = verdict.print();
    if let Ok((status, _)) = running.client.status(false).await {
        show(&status);
    }
    Ok(well)
}
