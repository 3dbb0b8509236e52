//! From an empty directory to three sites under Tripoint's care.

use super::layout::{Layout, STACK};
use super::measure::Writer;
use super::narrate::{show, step};
use super::postgres::Postgres;
use super::processes::Processes;
use super::scenario::until;
use super::{Running, database};
use anyhow::bail;
use coordination::Timing;
use ctl::change::ModeName;
use ctl::connect::{Client, Failure, Target, Witness};
use model::{GroupStatus, SiteId, StackView};
use std::time::Duration;
use tokio::time::sleep;

/// Pause between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(200);
/// Writing goes on for this long before the fault.
const QUIET: Duration = Duration::from_secs(2);

/// Starts everything; returns once a takeover is possible and rows are written.
pub async fn start(
    layout: Layout,
    postgres: &Postgres,
    timing: Timing,
    prefix: Option<String>,
) -> anyhow::Result<Running> {
    layout.write(postgres)?;
    step("certificates made, configuration written");
    database::make_copies(&layout, postgres).await?;
    step("database made at dc1, copied to dc2 and dc3");
    let processes = Processes::new(layout.program());
    for role in ["witness", "actor"] {
        for site in &layout.sites {
            processes.start(site, role)?;
        }
    }
    for site in &layout.sites {
        processes.start_gate(site, postgres)?;
    }
    step("witness, actor and gate started at three sites");
    let client = client(&layout, &[])?;
    let sites: Vec<&str> = layout.sites.iter().map(|s| s.name.as_str()).collect();
    let writer = Writer::new(&layout, "outside", &sites);
    tokio::spawn(writer.clone().run());
    let running = Running { layout, processes, client, writer, timing, prefix };
    adopt(&running).await?;
    until("rows are written", || async { running.writer.last().is_some() }).await?;
    sleep(QUIET).await;
    let (status, _) = running.client.status(false).await?;
    show(&status);
    Ok(running)
}

/// A client of the witnesses of all sites but some.
pub fn client(layout: &Layout, without: &[&str]) -> anyhow::Result<Client> {
    let mut witnesses = Vec::new();
    for site in layout.sites.iter().filter(|site| !without.contains(&site.name.as_str())) {
        let address = format!("{}:{}", site.address, layout.witness_port());
        witnesses.push(Witness { site: Some(SiteId::new(&site.name)?), address });
    }
    let dir = layout.dir.join("pki").join("operator");
    let (ca, cert, key) = (dir.join("ca.pem"), dir.join("operator.pem"), dir.join("operator.key"));
    Ok(Client::new(&Target { witnesses, ca, cert, key })?)
}

/// Adopts the stack, lets the group act, and waits until it could.
async fn adopt(running: &Running) -> anyhow::Result<()> {
    let active = running.layout.sites[0].name.clone();
    repeated(running, "the group adopts the stack", || ctl::change::adopt(&running.client, STACK, &active))
        .await?;
    step(&format!("tripoint adopt --stack {STACK} --active {active}"));
    repeated(running, "the mode is set", || ctl::change::mode(&running.client, STACK, ModeName::Auto))
        .await?;
    step(&format!("tripoint mode --stack {STACK} auto"));
    let waited = until("a takeover is possible", || async {
        running.client.status(false).await.is_ok_and(|(status, _)| stack(&status).is_some_and(ready))
    });
    if let Err(error) = waited.await {
        let (status, _) = running.client.status(true).await?;
        bail!("{error}\n{}", ctl::render::status(&status, false));
    }
    Ok(())
}

fn stack(status: &GroupStatus) -> Option<&StackView> {
    status.stacks.iter().find(|s| s.stack.as_str() == STACK)
}

/// Somebody would take over, the lease has a deadline, and both standbys would do.
fn ready(stack: &StackView) -> bool {
    let eligible = stack.takeover.candidates.iter().filter(|c| c.against.is_empty()).count();
    stack.takeover.to.is_some() && !stack.held && eligible >= 2
}

/// Tries a change until it is not refused any more: right after the start the group has no
/// leader yet, and not every site has registered and reported.
async fn repeated<F>(running: &Running, what: &str, change: impl Fn() -> F) -> anyhow::Result<()>
where
    F: Future<Output = Result<String, Failure>>,
{
    let last = std::cell::RefCell::new(None);
    let done = until(what, || async {
        let result = change().await;
        let done = result.is_ok();
        if let Err(failure) = result {
            last.replace(Some(failure.to_string()));
            sleep(TRY_PAUSE).await;
        }
        done || running.processes.ended().is_some_and(|name| {
            last.replace(Some(format!("{name} has ended by itself")));
            true
        })
    });
    let waited = done.await;
    match (waited, last.take()) {
        (Ok(()), Some(text)) if text.ends_with("by itself") => bail!("{text}"),
        (Ok(()), _) => Ok(()),
        (Err(error), Some(why)) => bail!("{error}; the last answer was: {why}"),
        (Err(error), None) => Err(error),
    }
}
