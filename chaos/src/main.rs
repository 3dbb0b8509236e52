//! The black-box lab: real processes in network namespaces, faults, clients, and a judgement.

mod client;
mod clock;
mod lab;

use anyhow::Result;
use clap::{Parser, Subcommand};
use client::session::Target;
use client::writer::{self, Style};
use lab::network::{Network, Wan};
use lab::{cut, network, switch};
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
    /// The lab's network, for work by hand.
    #[command(subcommand)]
    Lab(LabCommand),
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
        Command::Lab(command) => by_hand(command),
        Command::Writer(arguments) => write(arguments),
        Command::Switch(arguments) => {
            switch::run(&arguments.name.lab, arguments.name.sites, arguments.wan())
        }
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
