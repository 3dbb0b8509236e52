//! The command line: names, help and examples. What the commands do stands elsewhere.

use crate::telemetry::LogFormat;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Examples:
  tripoint demo                            three sites on this machine, one of them lost
  tripoint status --watch                  who is active, who takes over, in how long
  tripoint adopt --stack main --active dc1 begin with a database that runs already
  tripoint mode --stack main auto          let the group act by itself
  tripoint config check /etc/tripoint/witness.toml

Exit codes (stable):
  0  done, and all is well
  1  the operation was refused or failed
  2  wrong usage or configuration
  3  no witness could be reached
  4  a witness answered, but its view is stale or there is no quorum

Environment:
  TRIPOINT_HOME       directory with operator.toml (default: /etc/tripoint)
  TRIPOINT_WITNESSES  host:port,... instead of the file's
  TRIPOINT_CA, TRIPOINT_CERT, TRIPOINT_KEY  files of your identity
  RUST_LOG, NO_COLOR";

/// Failover of PostgreSQL between datacenters: witnesses agree, actors act, gates keep to the lease.
#[derive(Debug, Parser)]
#[command(name = "tripoint", version, after_help = AFTER_HELP, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What to log, as in RUST_LOG: a level, or target=level,...
    #[arg(long, global = true, env = "RUST_LOG", hide_env_values = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run this site's witness: a Raft member that knows, agrees and decides
    Witness(ProcessArgs),
    /// Run this site's actor: the only one with credentials
    Actor(ProcessArgs),
    /// Run a database under the lease
    Gate {
        /// What the gate does.
        #[command(subcommand)]
        command: GateCommand,
    },
    /// Begin to protect a stack that runs already (epoch 1, mode observe)
    Adopt(ctl::change::AdoptArgs),
    /// Set what the group may do with a stack by itself
    Mode(ctl::change::ModeArgs),
    /// Say that a lost site is off, so that its epoch counts as fenced
    Attest(ctl::change::AttestArgs),
    /// Stop the active site and elect another, without the care of a switchover (for labs)
    #[command(hide = true)]
    StopAndElect(ctl::change::StopAndElectArgs),
    /// Show who is active, who takes over if it is lost now, and why nobody can
    Status(ctl::status::StatusArgs),
    /// Say why the group thinks what it thinks
    Explain(ctl::explain::ExplainArgs),
    /// Show what the group agreed, entry by entry
    Events(ctl::events::EventsArgs),
    /// Show the rules between the durations and the outage that follows
    Timing(TimingArgs),
    /// Make a CA and the certificates of all roles
    Certs {
        /// What to make.
        #[command(subcommand)]
        command: ctl::certs::CertsCommand,
    },
    /// Check configuration files
    Config {
        /// What to do with them.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show a failover: three sites on this machine, real PostgreSQL, one fault
    Demo(crate::demo::DemoArgs),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  tripoint completions bash > /etc/bash_completion.d/tripoint")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How a long-running process is started.
#[derive(Debug, Args)]
pub struct ProcessArgs {
    /// The process's TOML file; `tripoint config check` explains what is wrong with it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// What a gate can be told.
#[derive(Debug, Subcommand)]
pub enum GateCommand {
    /// Start the database and keep it to the lease; exits as it does
    #[command(
        after_help = "Example:\n  tripoint gate run --config /etc/tripoint/gate.toml -- \\\n      /usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main"
    )]
    Run {
        /// The gate's TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The database's command line
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

/// `tripoint config ...`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a file of any role and name all that is wrong with it; exits 2 if anything is
    Check {
        /// The TOML file.
        file: PathBuf,
    },
}

/// A profile's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// Sites over the internet, noisy machines.
    Wan,
    /// Own lines.
    Metro,
    /// One region.
    Fast,
}

/// `tripoint timing`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits 1 if a rule is broken.\n\nExamples:\n  tripoint timing\n  tripoint timing --profile metro\n  tripoint timing --config /etc/tripoint/witness.toml"
)]
pub struct TimingArgs {
    /// One profile; all three without it
    #[arg(long, value_enum)]
    pub profile: Option<ProfileName>,
    /// The durations of a file
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub config: Option<PathBuf>,
}
