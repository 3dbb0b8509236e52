//! `tripoint events`: what the group agreed, entry by entry.

use crate::connect::{CALL_DEADLINE, Client, ConnectionArgs, Failure};
use crate::{Exit, Output, fail, out};
use clap::Args;
use rpc::v1;
use std::time::{Duration, SystemTime};
use tokio_stream::StreamExt;

/// Pause before the next witness is asked for a stream.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Without `--follow` the log is at its end once nothing came for this long.
const END_AFTER: Duration = Duration::from_secs(5);

/// `tripoint events`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tripoint events\n  tripoint events --follow -o json")]
pub struct EventsArgs {
    /// Go on with what comes
    #[arg(long, short)]
    pub follow: bool,
    /// Begin with this entry of the log
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub from: u64,
    /// How to print them; json: one object a line
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
    /// How to reach the group.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Prints events until the log's end, or for ever.
pub async fn run(client: &Client, args: &EventsArgs) -> Exit {
    let mut next = args.from;
    loop {
        let request = v1::EventsRequest { from_index: next, follow: args.follow };
        let opened = client
            .each(CALL_DEADLINE, |channel| async move {
                v1::status_client::StatusClient::new(channel).events(request).await
            })
            .await;
        let mut stream = match opened {
            Ok(answer) => answer.into_inner(),
            Err(failure @ Failure::Unreachable(_)) if args.follow && next > args.from => {
                eprintln!("{failure}");
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            Err(failure) => return fail(&failure),
        };
        loop {
            let item = if args.follow {
                stream.next().await
            } else {
                tokio::time::timeout(END_AFTER, stream.next()).await.unwrap_or(None)
            };
            match item {
                Some(Ok(event)) => {
                    next = event.index + 1;
                    print(&event, args.output);
                }
                None if !args.follow => return Exit::Ok,
                Some(Err(_)) | None => break,
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn print(event: &v1::EventResponse, output: Output) {
    match output {
        Output::Json => out::text_or_end(&format!("{}\n", event.json)),
        Output::Text => {
            out::text_or_end(&format!("{:>6}  {}  {}\n", event.index, clock(event.at_wall_ms), event.text));
        }
    }
}

/// A wall clock's milliseconds as UTC, to the millisecond.
#[must_use]
pub fn clock(wall_ms: u64) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(wall_ms);
    humantime::format_rfc3339_millis(at).to_string()
}
