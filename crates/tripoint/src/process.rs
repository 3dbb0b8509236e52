//! The three long-running processes: configuration, telemetry, runtime, shutdown.

use crate::config::{self, Config, Role};
use crate::telemetry::{self, LogFormat};
use ctl::{Exit, style};
use driver_postgres::Postgres;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

/// `--log` and `--log-format`.
pub type Log<'a> = (Option<&'a str>, LogFormat);

/// Threads of an actor: its work is small, and a second one keeps renewals going while the
/// first waits for the disk. A witness has one: its log has a thread of its own, and waking
/// a second one for each message costs more than all its work.
const WORKER_THREADS: usize = 2;

/// Runs a witness until SIGTERM or SIGINT.
pub fn witness(file: &Path, log: Log<'_>) -> ExitCode {
    let Some(Config::Witness(config)) = prepare(file, Role::Witness, log) else { return Exit::Usage.into() };
    serve(Builder::new_current_thread(), async {
        info!(group = %config.group, site = %config.site, listen = %config.listen, "witness starts");
        witness::run(*config, shutdown()).await.map_err(anyhow::Error::from)
    })
}

/// Runs an actor until SIGTERM or SIGINT.
pub fn actor(file: &Path, log: Log<'_>) -> ExitCode {
    let Some(Config::Actor(config)) = prepare(file, Role::Actor, log) else { return Exit::Usage.into() };
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(WORKER_THREADS);
    serve(threads, async {
        info!(group = %config.group, site = %config.site, listen = %config.listen, "actor starts");
        let mut drivers = actor::Drivers::default();
        for stack in &config.stacks {
            let driver = Postgres::new(stack.database.clone(), &stack.primary_conninfo);
            drivers.databases.insert(stack.stack.clone(), Arc::new(driver));
        }
        actor::run(*config, drivers, shutdown()).await.map_err(anyhow::Error::from)
    })
}

/// Runs a gate on this very thread: it forks, and its children's lives hang on the thread.
pub fn gate(file: &Path, command: Vec<OsString>, log: Log<'_>) -> ExitCode {
    let Some(Config::Gate(mut config)) = prepare(file, Role::Gate, log) else { return Exit::Usage.into() };
    config.command = command;
    match gate::run(*config) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error!("{error}");
            Exit::Failed.into()
        }
    }
}

/// The configuration, with logging started; none once the fault was printed.
fn prepare(file: &Path, role: Role, (filter, format): Log<'_>) -> Option<Config> {
    // What the host can't give is found by the gate itself, with the same words.
    let config = match config::load(file, Some(role), |_| Vec::new(), style::colour_on_stderr()) {
        Ok(config) => config,
        Err(unusable) => {
            eprintln!("{unusable}");
            return None;
        }
    };
    match telemetry::start(filter, format) {
        Ok(()) => Some(config),
        Err(error) => {
            eprintln!("error: {error}\nhelp: --log takes what RUST_LOG takes, such as info or witness=debug");
            None
        }
    }
}

fn serve(mut runtime: Builder, run: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = runtime.enable_all().build().map_err(anyhow::Error::from);
    let ended = runtime.and_then(|runtime| runtime.block_on(run));
    match ended {
        Ok(()) => {
            info!("ended");
            Exit::Ok.into()
        }
        Err(error) => {
            error!("{error:#}");
            Exit::Failed.into()
        }
    }
}

/// Completes at SIGTERM or SIGINT. A SIGHUP, with which other programs are told to read their
/// files again, does no harm: changed certificates are found without it.
async fn shutdown() {
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        error!("signals can't be watched: end this process with SIGKILL");
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return info!("SIGTERM: ending"),
            _ = interrupt.recv() => return info!("SIGINT: ending"),
            _ = hangup.recv() => info!("SIGHUP: changed certificates are found without it; the rest needs a restart"),
        }
    }
}
