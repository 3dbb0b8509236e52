//! Changes that an operator asks for: each is one committed command.

use crate::Exit;
use crate::connect::{CHANGE_DEADLINE, Client, ConnectionArgs, Failure};
use clap::{Args, ValueEnum};
use rpc::v1;
use std::time::Duration;

/// The gate's acknowledgement of a timed cover takes about two renewals.
const TIMED_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const TIMED_PAUSE: Duration = Duration::from_millis(200);

/// `tripoint adopt`.
#[derive(Debug, Args)]
#[command(
    after_help = "Refused unless every site with a database has registered, exactly one reports a primary\nand the others stream from it. Begins in mode observe.\n\nExample:\n  tripoint adopt --stack main --active dc1"
)]
pub struct AdoptArgs {
    /// The stack
    #[arg(long)]
    pub stack: String,
    /// The site that runs its primary now
    #[arg(long, value_name = "SITE")]
    pub active: String,
    /// How to reach the group.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// `tripoint mode`.
#[derive(Debug, Args)]
#[command(
    after_help = "Modes:\n  auto     the group acts by itself; the active site's lease has a deadline\n  approve  the group prepares everything and waits for a human (not built yet)\n  observe  the group touches nothing and records what it would have done\n\nExample:\n  tripoint mode --stack main auto"
)]
pub struct ModeArgs {
    /// The stack
    #[arg(long)]
    pub stack: String,
    /// What the group may do with it
    #[arg(value_enum)]
    pub mode: ModeName,
    /// How to reach the group.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// A mode's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// Acts.
    Auto,
    /// Waits for a human.
    Approve,
    /// Touches nothing.
    Observe,
}

/// Begins to protect a stack.
///
/// # Errors
/// Refused, or nobody answers.
pub async fn adopt(client: &Client, stack: &str, active: &str) -> Result<String, Failure> {
    let request = v1::AdoptRequest { stack: stack.to_owned(), active: active.to_owned() };
    let answer = client
        .each(CHANGE_DEADLINE, |channel| {
            let request = request.clone();
            async move { v1::operator_client::OperatorClient::new(channel).adopt(request).await }
        })
        .await;
    finish(client, answer.map(|a| a.into_inner().text)).await
}

/// Sets a stack's mode.
///
/// # Errors
/// Refused, or nobody answers.
pub async fn mode(client: &Client, stack: &str, mode: ModeName) -> Result<String, Failure> {
    let mode = match mode {
        ModeName::Auto => v1::Mode::Auto,
        ModeName::Observe => v1::Mode::Observe,
        ModeName::Approve => {
            let text = "mode approve is not built yet: use observe, and switch to auto when you have decided";
            return Err(Failure::Refused(text.to_owned()));
        }
    };
    let request = v1::SetModeRequest { stack: stack.to_owned(), mode: mode.into() };
    let answer = client
        .each(CHANGE_DEADLINE, |channel| {
            let request = request.clone();
            async move { v1::operator_client::OperatorClient::new(channel).set_mode(request).await }
        })
        .await;
    let text = finish(client, answer.map(|a| a.into_inner().text)).await?;
    Ok(if mode == v1::Mode::Auto { format!("{text} {}", covered(client, stack).await) } else { text })
}

/// Held to timed counts once the gate has acknowledged it (design, section 5, rule 6): until then
/// the loss of the site would not be failed over, so that is said.
async fn covered(client: &Client, stack: &str) -> &'static str {
    let end = tokio::time::Instant::now() + TIMED_WITHIN;
    while tokio::time::Instant::now() < end {
        let status = client.status(false).await.ok().map(|(status, _)| status);
        let held =
            status.and_then(|s| s.stacks.into_iter().find(|s| s.stack.as_str() == stack)).map(|s| s.held);
        if held == Some(false) {
            return "Its gate has acknowledged the deadline: from now on the group fails it over.";
        }
        tokio::time::sleep(TIMED_PAUSE).await;
    }
    "Its gate has not acknowledged the deadline yet: until `tripoint status` shows no held cover, time cannot fence the site."
}

/// `tripoint attest`.
#[derive(Debug, Args)]
#[command(
    after_help = "For a site that is lost while its cover is held (mode observe), so that time cannot fence it.\nSee with your own eyes that it is off: if it is not, two sites may write. Kept with your name.\n\nExample:\n  tripoint attest --stack main --epoch 3 --reason 'power is off, seen by Ada' --yes"
)]
pub struct AttestArgs {
    /// The stack
    #[arg(long)]
    pub stack: String,
    /// Exactly this epoch, as `tripoint status` shows it
    #[arg(long)]
    pub epoch: u64,
    /// How you know that the site is off
    #[arg(long)]
    pub reason: String,
    /// You are sure
    #[arg(long, short, required = true)]
    pub yes: bool,
    /// How to reach the group.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Closes an epoch by an operator's word.
///
/// # Errors
/// Refused, or nobody answers.
pub async fn attest(client: &Client, args: &AttestArgs) -> Result<String, Failure> {
    let request = v1::AttestRequest {
        stack: args.stack.clone(),
        epoch: args.epoch,
        operator: String::new(),
        reason: args.reason.clone(),
    };
    let answer = client
        .each(CHANGE_DEADLINE, |channel| {
            let request = request.clone();
            async move { v1::operator_client::OperatorClient::new(channel).attest(request).await }
        })
        .await;
    finish(client, answer.map(|a| a.into_inner().text)).await
}

/// `tripoint stop-and-elect`: a plain stop of the active site and an election, for labs.
#[derive(Debug, Args)]
pub struct StopAndElectArgs {
    /// The stack
    #[arg(long)]
    pub stack: String,
    /// The site to elect
    #[arg(long, value_name = "SITE")]
    pub to: String,
    /// How to reach the group.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Stops the active site and has another elected, without the care of a switchover.
///
/// # Errors
/// Refused, or nobody answers.
pub async fn stop_and_elect(client: &Client, stack: &str, to: &str) -> Result<String, Failure> {
    let request = v1::StopAndElectRequest { stack: stack.to_owned(), to: to.to_owned() };
    let answer = client
        .each(CHANGE_DEADLINE, |channel| {
            let request = request.clone();
            async move { v1::operator_client::OperatorClient::new(channel).stop_and_elect(request).await }
        })
        .await;
    finish(client, answer.map(|a| a.into_inner().text)).await
}

async fn finish(client: &Client, answer: Result<String, Failure>) -> Result<String, Failure> {
    match answer {
        Ok(text) => Ok(text),
        Err(failure) => Err(client.explain_silence(failure).await),
    }
}

/// Prints how a change went.
#[must_use]
pub fn print(result: Result<String, Failure>) -> Exit {
    match result {
        Ok(text) => {
            crate::out::line(&text);
            Exit::Ok
        }
        Err(failure) => crate::fail(&failure),
    }
}
