//! `tripoint explain`.

use crate::connect::{CALL_DEADLINE, Client, ConnectionArgs};
use crate::style::{self, WIDTH_DEFAULT};
use crate::{Exit, fail, out};
use clap::Args;
use rpc::v1;

/// `tripoint explain`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tripoint explain --stack main")]
pub struct ExplainArgs {
    /// One stack; all without it
    #[arg(long)]
    pub stack: Option<String>,
    /// How to reach the group.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Prints why the group thinks what it thinks.
pub async fn run(client: &Client, args: &ExplainArgs) -> Exit {
    let answer = client
        .each(CALL_DEADLINE, |channel| {
            let request = v1::ExplainRequest { stack: args.stack.clone() };
            async move { v1::status_client::StatusClient::new(channel).explain(request).await }
        })
        .await;
    match answer {
        Ok(answer) => {
            for line in answer.into_inner().lines {
                let indent = " ".repeat(line.len() - line.trim_start().len());
                let width = WIDTH_DEFAULT - indent.len().min(WIDTH_DEFAULT / 2);
                out::text_or_end(&format!("{indent}{}\n", style::wrap(&line, width, &format!("{indent}  "))));
            }
            Exit::Ok
        }
        Err(failure) => fail(&client.explain_silence(failure).await),
    }
}
