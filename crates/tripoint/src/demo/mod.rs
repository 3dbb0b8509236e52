//! `tripoint demo`.

use clap::Args;
use ctl::Exit;

/// `tripoint demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {}

/// Runs it.
pub fn run(_args: &DemoArgs, _log: Option<&str>) -> Exit {
    Exit::Failed
}
