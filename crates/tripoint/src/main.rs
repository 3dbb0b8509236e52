//! `tripoint`: the one binary. Reads the command line and the files, puts the parts together;
//! what they do is theirs.

mod cli;
mod config;
mod demo;
mod operator;
mod process;
mod telemetry;
mod timing;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command, ConfigCommand, GateCommand, ProfileName, TimingArgs};
use coordination::timing::Profile;
use ctl::{Exit, style};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    rpc::tls::install_provider();
    let log = (cli.log.as_deref(), cli.log_format);
    match cli.command {
        Command::Witness(args) => process::witness(&args.config, log),
        Command::Actor(args) => process::actor(&args.config, log),
        Command::Gate { command: GateCommand::Run { config, command } } => {
            process::gate(&config, command, log)
        }
        Command::Adopt(args) => operator::adopt(&args).into(),
        Command::Mode(args) => operator::mode(&args).into(),
        Command::Attest(args) => operator::attest(&args).into(),
        Command::StopAndElect(args) => operator::stop_and_elect(&args).into(),
        Command::Status(args) => operator::status(&args).into(),
        Command::Explain(args) => operator::explain(&args).into(),
        Command::Events(args) => operator::events(&args).into(),
        Command::Timing(args) => timing_report(&args).into(),
        Command::Certs { command } => ctl::certs::run(&command).into(),
        Command::Config { command: ConfigCommand::Check { file } } => config_check(&file).into(),
        Command::Demo(args) => demo::run(&args, cli.log.as_deref()).into(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tripoint", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

fn config_check(file: &std::path::Path) -> Exit {
    match config::load(file, None, gate::check, style::colour_on_stderr()) {
        Ok(config) => {
            ctl::out::line(&format!("{}: ok, for {}", file.display(), config.owner()));
            Exit::Ok
        }
        Err(unusable) => {
            eprintln!("{unusable}");
            Exit::Usage
        }
    }
}

fn timing_report(args: &TimingArgs) -> Exit {
    let mut reports = Vec::new();
    match (&args.config, args.profile) {
        (Some(file), _) => match config::durations(file, style::colour_on_stderr()) {
            Ok(values) => reports.push(timing::report(&file.display().to_string(), &values)),
            Err(unusable) => {
                eprintln!("{unusable}");
                return Exit::Usage;
            }
        },
        (None, chosen) => {
            let wanted = |p: &Profile| chosen.is_none_or(|name| profile(name) == *p);
            for profile in Profile::ALL.into_iter().filter(wanted) {
                let title = format!("Profile {}", timing::profile_name(profile));
                reports.push(timing::report(&title, &profile.values()));
            }
        }
    }
    let texts: Vec<&str> = reports.iter().map(|(text, _)| text.as_str()).collect();
    ctl::out::text_or_end(&texts.join("\n"));
    if reports.iter().all(|(_, holds)| *holds) { Exit::Ok } else { Exit::Failed }
}

const fn profile(name: ProfileName) -> Profile {
    match name {
        ProfileName::Wan => Profile::Wan,
        ProfileName::Metro => Profile::Metro,
        ProfileName::Fast => Profile::Fast,
    }
}
