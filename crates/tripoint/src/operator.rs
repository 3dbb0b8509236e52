//! A person's commands: finds the witnesses and the identity, then hands over to `ctl`.

use crate::config::{self, Config, Role};
use ctl::connect::{Client, ConnectionArgs, Failure, Target};
use ctl::{Exit, style};
use std::path::PathBuf;

/// Directory with `operator.toml` unless $TRIPOINT_HOME names another.
const HOME_DEFAULT: &str = "/etc/tripoint";

/// `tripoint adopt`.
pub fn adopt(args: &ctl::change::AdoptArgs) -> Exit {
    with_client(&args.connection, async |client| {
        ctl::change::print(ctl::change::adopt(&client, &args.stack, &args.active).await)
    })
}

/// `tripoint mode`.
pub fn mode(args: &ctl::change::ModeArgs) -> Exit {
    with_client(&args.connection, async |client| {
        ctl::change::print(ctl::change::mode(&client, &args.stack, args.mode).await)
    })
}

/// `tripoint attest`.
pub fn attest(args: &ctl::change::AttestArgs) -> Exit {
    with_client(&args.connection, async |client| ctl::change::print(ctl::change::attest(&client, args).await))
}

/// `tripoint stop-and-elect`.
pub fn stop_and_elect(args: &ctl::change::StopAndElectArgs) -> Exit {
    with_client(&args.connection, async |client| {
        ctl::change::print(ctl::change::stop_and_elect(&client, &args.stack, &args.to).await)
    })
}

/// `tripoint status`.
pub fn status(args: &ctl::status::StatusArgs) -> Exit {
    with_client(&args.connection, async |client| ctl::status::run(&client, args).await)
}

/// `tripoint explain`.
pub fn explain(args: &ctl::explain::ExplainArgs) -> Exit {
    with_client(&args.connection, async |client| ctl::explain::run(&client, args).await)
}

/// `tripoint events`.
pub fn events(args: &ctl::events::EventsArgs) -> Exit {
    with_client(&args.connection, async |client| ctl::events::run(&client, args).await)
}

fn with_client(connection: &ConnectionArgs, run: impl AsyncFnOnce(Client) -> Exit) -> Exit {
    let target = match target(connection) {
        Ok(target) => target,
        Err(text) => {
            eprintln!("{text}");
            return Exit::Usage;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ctl::fail(&Failure::Refused(format!("no runtime: {error}"))),
    };
    runtime.block_on(async {
        match Client::new(&target) {
            Ok(client) => tokio::select! {
                exit = run(client) => exit,
                _ = tokio::signal::ctrl_c() => Exit::Ok,
            },
            Err(failure) => ctl::fail(&failure),
        }
    })
}

fn target(connection: &ConnectionArgs) -> Result<Target, String> {
    if let Some(target) = connection.complete() {
        return Ok(target);
    }
    let home = std::env::var_os("TRIPOINT_HOME").map_or_else(|| PathBuf::from(HOME_DEFAULT), PathBuf::from);
    let file = connection.file.clone().unwrap_or_else(|| home.join("operator.toml"));
    match config::load(&file, Some(Role::Operator), gate::check, style::colour_on_stderr()) {
        Ok(Config::Operator(target)) => Ok(connection.over(target)),
        Ok(_) => Err("the file has another role".to_owned()),
        Err(unusable) if connection.file.is_none() => Err(format!(
            "{unusable}\nhelp: set TRIPOINT_HOME to the directory of your operator.toml, give --config FILE, \
             or give --witnesses, --ca, --cert and --key"
        )),
        Err(unusable) => Err(unusable.to_string()),
    }
}
