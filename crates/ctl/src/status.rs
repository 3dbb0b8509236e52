//! `tripoint status`.

use crate::connect::{Client, ConnectionArgs, Failure, parse};
use crate::{Exit, Output, fail, out, render, style};
use clap::Args;
use model::GroupStatus;
use rpc::v1;
use std::io::IsTerminal;
use std::time::Duration;
use tokio_stream::StreamExt;

/// A watched status comes at most this often.
const WATCH_INTERVAL_MS: u64 = 500;
/// Pause before the next witness is asked for a stream.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// `tripoint status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits 0 if the group answered, 4 if only one witness's own, perhaps old view could be had.\n\nExamples:\n  tripoint status\n  tripoint status --watch\n  tripoint status -o json | jq '.stacks[].active'"
)]
pub struct StatusArgs {
    /// Show each change until interrupted
    #[arg(long, short)]
    pub watch: bool,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
    /// Take one witness's own view, without asking the others
    #[arg(long)]
    pub stale: bool,
    /// How to reach the group.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Shows the status.
pub async fn run(client: &Client, args: &StatusArgs) -> Exit {
    if args.watch {
        return watch(client, args).await;
    }
    match fetch(client, args.stale).await {
        Ok((status, json)) => {
            print(&status, &json, args.output);
            if status.stale { Exit::Stale } else { Exit::Ok }
        }
        Err(failure) => fail(&failure),
    }
}

/// The status; one witness's own view, marked stale, if the group can't be asked.
///
/// # Errors
/// No witness answers at all.
pub async fn fetch(client: &Client, stale: bool) -> Result<(GroupStatus, String), Failure> {
    match client.status(stale).await {
        Err(Failure::Unreachable(tries)) if !stale => {
            client.status(true).await.map_err(|_| Failure::Unreachable(tries))
        }
        other => other,
    }
}

fn print(status: &GroupStatus, json: &str, output: Output) {
    match output {
        Output::Json => out::text_or_end(&format!("{json}\n")),
        Output::Text => out::text_or_end(&render::status(status, style::colour_on_stdout())),
    }
}

async fn watch(client: &Client, args: &StatusArgs) -> Exit {
    let clear = args.output == Output::Text && std::io::stdout().is_terminal();
    loop {
        let request = v1::WatchStatusRequest { interval_ms: WATCH_INTERVAL_MS };
        let opened = client
            .each(crate::connect::CALL_DEADLINE, |channel| async move {
                v1::status_client::StatusClient::new(channel).watch(request).await
            })
            .await;
        let mut stream = match opened {
            Ok(answer) => answer.into_inner(),
            Err(failure @ Failure::Unreachable(_)) => {
                eprintln!("{failure}");
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            Err(failure) => return fail(&failure),
        };
        while let Some(Ok(answer)) = stream.next().await {
            match parse::<GroupStatus>(&answer.json) {
                Ok(status) => {
                    if clear {
                        out::text_or_end("\u{1b}[H\u{1b}[2J");
                    }
                    print(&status, &answer.json, args.output);
                    if !clear && args.output == Output::Text {
                        out::text_or_end("\n");
                    }
                }
                Err(failure) => return fail(&failure),
            }
        }
        eprintln!("the witness went away; asking the next");
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
