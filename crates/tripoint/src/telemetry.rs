//! Logs: to stderr, so that stdout stays the commands' own.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged unless `--log` or RUST_LOG says otherwise.
const FILTER_DEFAULT: &str = "info,openraft=warn,h2=warn,hyper=warn,tower=warn,tonic=warn";

/// Starts logging.
///
/// # Errors
/// The filter can't be read.
pub fn start(filter: Option<&str>, format: LogFormat) -> anyhow::Result<()> {
    let filter = match filter {
        Some(text) => EnvFilter::try_new(text)?,
        None => EnvFilter::try_new(FILTER_DEFAULT)?,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let ended = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    ended.map_err(|error| anyhow::anyhow!("logging can't be started: {error}"))
}
