//! The black-box lab: real processes in network namespaces, faults, clients, and a judgement.

mod client;
mod clock;
mod interrupt;
mod lab;
mod peer;
mod product;
mod runner;
mod scenario;
mod script;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use client::session::Target;
use client::writer::{self, Style};
use lab::network::{Network, Wan};
use lab::{cut, network, switch};
use product::profile::Profile;
use runner::Job;
use scenario::{catalogue, table};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(name = "chaos", about = "Black-box lab: sites in network namespaces, faults, clients, a judgement")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs scenarios and judges them; exits 1 if one went against its expectation.
    Run(RunArguments),
    /// Lists the scenarios.
    List,
    /// The lab's network, for work by hand.
    #[command(subcommand)]
    Lab(LabCommand),
    /// Pieces for `chaos/ctl`, which runs the product in the peers' lab.
    #[command(hide = true, subcommand)]
    Peer(peer::PeerCommand),
    /// A writing client (started by the lab itself).
    #[command(hide = true)]
    Writer(WriterArguments),
    /// The slow network (started by the lab itself).
    #[command(hide = true)]
    Switch(SwitchArguments),
}

#[derive(Subcommand)]
enum LabCommand {
    /// Makes the namespaces.
    Up(SwitchArguments),
    /// Ends what lives in them and removes them.
    Down(LabName),
    /// Cuts: off:N deaf:N dumb:N link:N-M, as many as you like; none heals.
    Cut {
        #[command(flatten)]
        name: LabName,
        /// What to cut.
        cuts: Vec<String>,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// Names from `chaos list`, or `all`, or `ci` (each once, as quick as can be).
    #[arg(required_unless_present = "script")]
    scenarios: Vec<String>,
    /// A script of `tests/scenarios`, with the sites, the profile and the faults that it says.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "runs", "profile"])]
    script: Option<PathBuf>,
    /// How often each.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// The durations.
    #[arg(long, value_enum, default_value = "metro")]
    profile: Profile,
    /// Where results and logs go.
    #[arg(long, default_value = "/var/tmp/tripoint-chaos-results")]
    out: PathBuf,
    /// Prefix of the namespaces.
    #[arg(long, env = "LAB", default_value = "tpchaos")]
    lab: String,
    /// The product.
    #[arg(long, env = "TRIPOINT_BIN", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/tripoint"))]
    binary: PathBuf,
    /// Run the gates without their kernel lease.
    #[arg(long)]
    no_kernel_lease: bool,
    /// A longer outage than allowed, and a run that does not count, are failures too.
    #[arg(long)]
    strict: bool,
    /// Leave the product's files in place.
    #[arg(long)]
    keep_files: bool,
}

#[derive(clap::Args)]
struct LabName {
    /// Prefix of the namespaces.
    #[arg(long, env = "LAB", default_value = "tpchaos")]
    lab: String,
    /// How many sites.
    #[arg(long, default_value_t = 3)]
    sites: u8,
}

#[derive(clap::Args)]
struct SwitchArguments {
    #[command(flatten)]
    name: LabName,
    /// Round trip, milliseconds; 0 with no jitter and no loss: a plain bridge.
    #[arg(long, default_value_t = 0)]
    rtt: u32,
    /// Up to this many milliseconds more each way.
    #[arg(long, default_value_t = 0)]
    jitter: u32,
    /// Frames lost of a thousand.
    #[arg(long, default_value_t = 0)]
    loss: u32,
}

impl SwitchArguments {
    const fn wan(&self) -> Wan {
        Wan { rtt_ms: self.rtt, jitter_ms: self.jitter, loss_permille: self.loss }
    }
}

#[derive(clap::Args)]
struct WriterArguments {
    /// Addresses, comma between.
    #[arg(long, value_delimiter = ',')]
    hosts: Vec<String>,
    #[arg(long)]
    client: String,
    #[arg(long)]
    log: PathBuf,
    #[arg(long, value_enum, default_value = "steady")]
    style: Style,
    /// Milliseconds between two rows.
    #[arg(long, default_value_t = 20)]
    every: u64,
    #[arg(long, default_value_t = 5432)]
    port: u16,
    #[arg(long, default_value = "postgres")]
    database: String,
    #[arg(long, default_value = "postgres")]
    user: String,
    /// Deadline of a connection, a probe and a steady write, milliseconds.
    #[arg(long, default_value_t = 1_000)]
    patience: u64,
}

fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run(arguments) => run(arguments),
        Command::List => {
            for scenario in catalogue::ALL {
                println!("{:<22} {}", scenario.name, scenario.about);
            }
            Ok(())
        }
        Command::Lab(command) => by_hand(command),
        Command::Peer(command) => peer::run(command),
        Command::Writer(arguments) => write(arguments),
        Command::Switch(arguments) => switch::run(&arguments.name.lab, arguments.name.sites, arguments.wan()),
    }
}

fn run(arguments: RunArguments) -> Result<()> {
    let mut scenarios = Vec::new();
    for name in &arguments.scenarios {
        match name.as_str() {
            "all" | "ci" => scenarios.extend(catalogue::ALL),
            name => scenarios.push(
                catalogue::find(name).with_context(|| format!("no scenario {name:?}: see `chaos list`"))?,
            ),
        }
    }
    interrupt::watch()?;
    let binary = arguments.binary.canonicalize().with_context(|| arguments.binary.display().to_string())?;
    if let Some(file) = arguments.script {
        let (lab, out) = (arguments.lab, std::path::absolute(&arguments.out)?);
        let kernel_lease = !arguments.no_kernel_lease;
        return match script::run(&script::Job { file, lab, out, binary, kernel_lease })? {
            true => Ok(()),
            false => bail!("the script did not come true"),
        };
    }
    let job = Job {
        scenarios,
        runs: arguments.runs,
        profile: arguments.profile,
        lab: arguments.lab,
        out: std::path::absolute(&arguments.out)?,
        binary,
        kernel_lease: !arguments.no_kernel_lease,
        keep_files: arguments.keep_files,
    };
    let verdicts = runner::run_all(&job)?;
    println!("\n{}", table::render(&verdicts));
    let bad = verdicts
        .iter()
        .filter(|v| !v.violations.is_empty() || (arguments.strict && (v.over() || v.invalid.is_some())));
    match bad.count() {
        0 => Ok(()),
        count => bail!(
            "{count} of {} runs went against their expectation; see {}",
            verdicts.len(),
            job.out.display()
        ),
    }
}

fn by_hand(command: LabCommand) -> Result<()> {
    match command {
        LabCommand::Up(arguments) => {
            let wan = Some(arguments.wan()).filter(|w| *w != Wan::default());
            Network::up(&arguments.name.lab, arguments.name.sites, wan)?.keep();
            Ok(())
        }
        LabCommand::Down(name) => network::down(&name.lab),
        LabCommand::Cut { name, cuts } => {
            let cuts = cuts.iter().map(|c| cut::parse(c)).collect::<Result<Vec<_>>>()?;
            cut::apply(&Network::attach(&name.lab, name.sites), &cuts)
        }
    }
}

fn write(arguments: WriterArguments) -> Result<()> {
    writer::run(&writer::Plan {
        hosts: arguments.hosts,
        client: arguments.client,
        log: arguments.log,
        style: arguments.style,
        every: Duration::from_millis(arguments.every),
        target: Target {
            port: arguments.port,
            database: arguments.database,
            user: arguments.user,
            patience: Duration::from_millis(arguments.patience),
        },
    })
}
