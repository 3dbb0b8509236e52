//! The four faults, and what must be true afterwards.

use super::layout::{Layout, STACK};
use super::measure::{Tally, Writer};
use super::narrate::{Fault, Story, heading, step};
use super::postgres::Postgres;
use super::{Running, network, processes};
use anyhow::{Context, bail};
use clap::ValueEnum;
use ctl::out;
use ctl::style::{Tone, colour_on_stdout, paint};
use model::{EventKind, GroupStatus};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// More than any outage that is promised, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);
/// Writing goes on for this long after all is well again.
const AFTERMATH: Duration = Duration::from_secs(2);
/// A gap that a client notices as an outage, on a machine with other work.
const OUTAGE_NOTICED: Duration = Duration::from_millis(1_000);
/// The postmaster is back within this, on a machine with other work.
const RESTART_MAX: Duration = Duration::from_secs(4);
/// A loaded machine may add this to the outage that follows from the durations.
const OUTAGE_SLACK: Duration = Duration::from_secs(1);

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Every process of the active site is killed: another site takes over
    SiteLoss,
    /// The active site's PostgreSQL is killed: restarted in place
    PostgresCrash,
    /// A witness is killed, later the leader: nobody notices
    WitnessLoss,
    /// The active site is cut off, with a client inside (root; network namespaces)
    Partition,
}

/// How it went.
#[derive(Default)]
pub struct Verdict {
    rows: Vec<(String, String)>,
    faults: Vec<String>,
}

impl Verdict {
    fn row(&mut self, name: &str, value: impl Into<String>) {
        self.rows.push((name.to_owned(), value.into()));
    }

    fn must(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.faults.push(otherwise.into());
        }
    }

    fn tally(&mut self, tally: &Tally, what: &str) {
        self.row(&format!("rows acknowledged{what}"), tally.acknowledged.to_string());
        self.row(&format!("rows kept{what}"), (tally.acknowledged - tally.lost.len()).to_string());
        self.row(&format!("rows lost{what}"), tally.lost.len().to_string());
    }

    /// Prints the end of the story; true if it went well.
    pub fn print(&self) -> bool {
        heading("Result");
        for (name, value) in &self.rows {
            out::line(&format!("  {name:<44} {value}"));
        }
        for fault in &self.faults {
            out::line(&format!(
                "  {}",
                paint(&format!("not as promised: {fault}"), Tone::Bad, colour_on_stdout())
            ));
        }
        let well = self.faults.is_empty();
        let (word, tone) = if well { ("PASS", Tone::Good) } else { ("FAIL", Tone::Bad) };
        out::line(&format!("  {}", paint(word, tone, colour_on_stdout())));
        well
    }
}

/// Lets one fault happen.
pub async fn play(scenario: Scenario, running: &Running, postgres: &Postgres) -> anyhow::Result<Verdict> {
    match scenario {
        Scenario::SiteLoss => site_loss(running, postgres).await,
        Scenario::PostgresCrash => postgres_crash(running).await,
        Scenario::WitnessLoss => witness_loss(running).await,
        Scenario::Partition => partition(running).await,
    }
}

async fn site_loss(running: &Running, postgres: &Postgres) -> anyhow::Result<Verdict> {
    let (site, before) = active(running).await?;
    heading(&format!("Fault: every process of {site} is killed"));
    let (fault, story) = running.begin(&before, &[&site]);
    let writer = running.writer.clone();
    let killed = running.processes.kill_site(running.layout.site(&site)?)?;
    let took = fault.at.elapsed().as_millis();
    let text = format!("{killed} processes of {site} killed in {took} ms: witness, actor, gate, PostgreSQL");
    fault.tell(fault.at, &text, Tone::Bad);
    let mut verdict = taken_over(running, &fault, &story, &site, &writer).await?;
    come_home(running, &fault, &site, postgres, &mut verdict).await?;
    Ok(verdict)
}

/// The lost site is started again, as its service managers would: nobody tells it anything.
async fn come_home(
    running: &Running,
    fault: &Fault,
    site: &str,
    postgres: &Postgres,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let place = running.layout.site(site)?;
    for role in ["witness", "actor"] {
        running.processes.start(place, role)?;
    }
    running.processes.start_gate(place, postgres)?;
    let began = Instant::now();
    fault.tell_now(&format!("{site} started again: witness, actor, gate"), Tone::Bold);
    let (primary, _) = active(running).await?;
    until("the lost site streams again", || async {
        group(running).await.is_ok_and(|status| streams_from(&status, site, &primary))
    })
    .await?;
    let took = began.elapsed().as_secs_f64();
    fault.tell_now(&format!("{site} started again: streams from {primary} without a hand"), Tone::Good);
    verdict.row(&format!("{site} started again: streams from {primary}"), format!("after {took:.1} s"));
    Ok(())
}

/// True if a site's standby says that it streams from another's primary, and that one says so too.
fn streams_from(status: &GroupStatus, site: &str, primary: &str) -> bool {
    let Some(stack) = status.stacks.iter().find(|s| s.stack.as_str() == STACK) else { return false };
    let report = |name: &str| stack.reports.iter().find(|r| r.site.as_str() == name).map(|r| &r.database);
    let below = report(site).and_then(|d| d.upstream.as_ref());
    let seen_below =
        below.is_some_and(|up| up.streaming && up.site.as_ref().is_some_and(|s| s.as_str() == primary));
    let seen_above =
        report(primary).is_some_and(|d| d.replicas.iter().any(|r| r.streaming && r.name == site));
    seen_below && seen_above
}

async fn partition(running: &Running) -> anyhow::Result<Verdict> {
    let (site, before) = active(running).await?;
    let prefix = running.prefix.as_deref().context("a partition needs namespaces")?;
    let number = running.layout.sites.iter().position(|s| s.name == site).context("the active site")? + 1;
    let inner = Writer::new(&running.layout, "inside", &[&site]);
    let thread = inside(inner.clone(), format!("{prefix}-{site}"))?;
    until("the client inside writes", || async { inner.last().is_some() }).await?;
    heading(&format!("Fault: {site} is cut off from the others, with a client inside it"));
    let (fault, story) = running.begin(&before, &[&site]);
    network::cut(prefix, number)?;
    fault.tell_now(&format!("{site} is cut off: its packets are dropped on arrival"), Tone::Bad);
    let mut verdict = taken_over(running, &fault, &story, &site, &running.writer.clone()).await?;
    drop(thread);
    let first = running.writer.first_elsewhere(&site, fault.at).context("no write at the new site")?;
    let last = inner.last().context("no write inside")?;
    fault.tell_row("(looking back) inside the cut-off site: last", &last);
    verdict.row(
        "last write acknowledged inside, before that",
        format!("{:.3} s", (first.at - last.at.min(first.at)).as_secs_f64()),
    );
    verdict.must(
        last.at < first.at,
        format!("{site} acknowledged a write after {} did: two writers", first.site),
    );
    verdict.must(
        last.at > fault.at,
        "the client inside wrote nothing after the cut: the trial shows nothing".to_owned(),
    );
    verdict.tally(&inner.lost_elsewhere(&running.layout, &first.site).await?, " inside");
    verdict.row("", "asynchronous replication: nothing was shipped after the cut");
    Ok(verdict)
}

/// A writer in a namespace of its own thread; it ends when the handle is dropped.
fn inside(writer: Writer, namespace: String) -> anyhow::Result<tokio::sync::oneshot::Sender<()>> {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("inside".to_owned()).spawn(move || {
        let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (Ok(()), Ok(runtime)) = (network::enter(&namespace), built) else { return };
        runtime.block_on(async {
            tokio::select! {
                () = writer.run() => {}
                // Dropped, or told to: either way it is over.
                _ = stopped => {}
            }
        });
    })?;
    Ok(stop)
}

/// Waits for another site to take over, and judges it.
async fn taken_over(
    running: &Running,
    fault: &Fault,
    story: &Story,
    site: &str,
    writer: &Writer,
) -> anyhow::Result<Verdict> {
    if let Some(last) = writer.acknowledged().into_iter().rfind(|a| a.site == *site) {
        fault.tell_row("last", &last);
    }
    until("another site takes over", || async { writer.first_elsewhere(site, fault.at).is_some() }).await?;
    let first = writer.first_elsewhere(site, fault.at).context("no write at another site")?;
    fault.tell_row("first", &first);
    until("the transition is complete", || async {
        story.when(|kind| matches!(kind, EventKind::Completed { .. })).is_some()
    })
    .await?;
    sleep(AFTERMATH).await;
    let mut verdict = Verdict::default();
    let last =
        writer.acknowledged().into_iter().rfind(|a| a.at < first.at).context("no write before the fault")?;
    let outage = first.at.duration_since(last.at);
    let promised = Duration::from(running.timing.outage_by_time_max());
    verdict.row("new active site", first.site.clone());
    verdict.row(
        "outage seen by the client",
        format!("{:.3} s (at most {:.3} s follows)", outage.as_secs_f64(), promised.as_secs_f64()),
    );
    verdict.must(outage <= promised + OUTAGE_SLACK, format!("an outage of {:.3} s", outage.as_secs_f64()));
    if let Some(fenced) = story.when(|kind| matches!(kind, EventKind::Fenced { .. })) {
        let write = first.at.duration_since(fault.at).as_secs_f64();
        verdict.row("from the proof of the fence to that write", format!("{:.3} s", write - fenced));
    }
    let tally = writer.lost_at(&first.site).await?;
    verdict.tally(&tally, "");
    if !tally.lost.is_empty() {
        verdict.row("", "asynchronous replication: rows not shipped yet at the fault");
    }
    let late = last_seconds(writer, fault.at, &tally);
    verdict.must(late, "a row is lost that was acknowledged more than 1 s before the fault");
    Ok(verdict)
}

/// True if all lost rows were acknowledged within the last second before the fault, or after it.
fn last_seconds(writer: &Writer, fault: Instant, tally: &Tally) -> bool {
    let earliest = fault - Duration::from_secs(1);
    writer.acknowledged().iter().filter(|a| tally.lost.contains(&a.id)).all(|a| a.at >= earliest)
}

async fn postgres_crash(running: &Running) -> anyhow::Result<Verdict> {
    let (site, before) = active(running).await?;
    heading(&format!("Fault: the postmaster of {site} is killed; gate and actor live"));
    let (fault, story) = running.begin(&before, &[]);
    let postmaster = processes::postmaster(&running.layout, &site)?;
    nix::sys::signal::kill(postmaster, nix::sys::signal::Signal::SIGKILL)?;
    fault.tell_now(&format!("postmaster of {site} killed (pid {postmaster})"), Tone::Bad);
    let writer = &running.writer;
    let again =
        || writer.last().filter(|a| a.at > fault.at + LOOK_PAUSE && writer.gap_longest(fault.at).1 < a.at);
    until("rows are acknowledged again", || async {
        again().is_some() && processes::postmaster(&running.layout, &site).is_ok_and(|pid| pid != postmaster)
    })
    .await?;
    if let Some(row) = writer.acknowledged().into_iter().find(|a| a.at > writer.gap_longest(fault.at).1) {
        fault.tell_row("first", &row);
    }
    sleep(AFTERMATH).await;
    let mut verdict = Verdict::default();
    let (gap, _) = writer.gap_longest(fault.at);
    verdict.row("outage seen by the client", format!("{:.3} s", gap.as_secs_f64()));
    verdict.must(gap <= RESTART_MAX, format!("the restart in place took {:.3} s", gap.as_secs_f64()));
    unchanged(running, &mut verdict, &before, &site, &story).await?;
    Ok(verdict)
}

async fn witness_loss(running: &Running) -> anyhow::Result<Verdict> {
    let (site, before) = active(running).await?;
    let leader = before.leader.as_ref().context("no leader")?.to_string();
    let other =
        running.layout.sites.iter().find(|s| s.name != leader).context("no other witness")?.name.clone();
    heading(&format!("Fault: the witness of {other} is killed, then the leader, the one of {leader}"));
    let (fault, story) = running.begin(&before, &[]);
    for name in [&other, &leader] {
        let place = running.layout.site(name)?;
        running.processes.kill(place, "witness")?;
        fault.tell_now(&format!("witness of {name} killed"), Tone::Bad);
        sleep(Duration::from(running.timing.values().lease_duration)).await;
        // Late on a busy machine; whether that cost anything is what the client's gap tells.
        until("a witness answers", || async { group(running).await.is_ok() }).await?;
        let status = group(running).await?;
        let led = status.leader.as_ref().map_or("nobody".to_owned(), ToString::to_string);
        fault.tell_now(
            &format!("a lease's length later: the leader is {led}, term {}", status.term),
            Tone::Bold,
        );
        running.processes.start(place, "witness")?;
        fault.tell_now(&format!("witness of {name} started again"), Tone::Bold);
        until("all witnesses are reachable", || async {
            group(running)
                .await
                .is_ok_and(|s| s.witnesses.iter().all(|w| w.reachable || w.site == s.answered_by))
        })
        .await?;
        // The one that came back has to catch up before the next is taken away.
        sleep(AFTERMATH).await;
    }
    let mut verdict = Verdict::default();
    let (gap, _) = running.writer.gap_longest(fault.at);
    verdict.row("longest time without an acknowledged row", format!("{:.3} s", gap.as_secs_f64()));
    verdict.must(gap <= OUTAGE_NOTICED, format!("an outage of {:.3} s", gap.as_secs_f64()));
    unchanged(running, &mut verdict, &before, &site, &story).await?;
    Ok(verdict)
}

/// The same site, the same epoch, no lease lost, no row lost.
async fn unchanged(
    running: &Running,
    verdict: &mut Verdict,
    before: &GroupStatus,
    site: &str,
    story: &Story,
) -> anyhow::Result<()> {
    let (now, after) = active(running).await?;
    verdict.row(
        "active site",
        if now == site { format!("{now}, as before") } else { format!("{now} instead of {site}") },
    );
    verdict.must(now == site && epoch(before) == epoch(&after), "the active site or its epoch changed");
    let expired = story.when(|kind| matches!(kind, EventKind::LeaseExpired { .. }));
    verdict.must(expired.is_none(), "a healthy site lost its lease");
    let tally = running.writer.lost_at(site).await?;
    verdict.tally(&tally, "");
    verdict.must(tally.lost.is_empty(), "acknowledged rows are lost");
    Ok(())
}

fn epoch(status: &GroupStatus) -> Option<u64> {
    status.stacks.iter().find(|s| s.stack.as_str() == STACK).map(|s| s.epoch.0)
}

/// The active site, and the status that names it.
async fn active(running: &Running) -> anyhow::Result<(String, GroupStatus)> {
    let status = group(running).await?;
    let stack = status.stacks.iter().find(|s| s.stack.as_str() == STACK).context("the stack is unknown")?;
    let site = stack.active.as_ref().context("no site is active")?.to_string();
    Ok((site, status))
}

async fn group(running: &Running) -> anyhow::Result<GroupStatus> {
    Ok(running.client.status(false).await?.0)
}

/// Waits until something is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) -> anyhow::Result<()> {
    let wait = async {
        while !so().await {
            sleep(LOOK_PAUSE).await;
        }
    };
    if timeout(PATIENCE, wait).await.is_err() {
        bail!("waited {} s in vain until {what}", PATIENCE.as_secs());
    }
    Ok(())
}

/// What to try while a demo is left running.
pub fn suggest(layout: &Layout) {
    heading("Left running. Try:");
    let program = layout.program().display().to_string();
    step(&format!("export TRIPOINT_HOME={}", layout.dir.display()));
    for command in ["status --watch", "explain", "events --follow", "status -o json"] {
        step(&format!("{program} {command}"));
    }
    step(&format!("curl -i http://{}:{}/primary", layout.sites[1].address, layout.role_port()));
    heading("To end it:");
    step(&format!("{program} demo --stop {}", layout.dir.display()));
}
