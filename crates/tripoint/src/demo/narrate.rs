//! Says what happens, live, with times relative to the fault.

use super::measure::Acknowledged;
use ctl::connect::{CALL_DEADLINE, Client};
use ctl::out;
use ctl::style::{Tone, colour_on_stdout, paint, wrap};
use model::{Event, EventKind, GroupStatus};
use rpc::v1;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_stream::StreamExt;

/// Columns for text beside the times.
const TEXT_WIDTH: usize = 64;
/// Pause between two looks at the renewals.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// A site's renewals have ended if none came for this long.
const SILENCE: Duration = Duration::from_millis(1_600);
/// Pause before another witness is asked for its events.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A line about the preparations.
pub fn step(text: &str) {
    out::line(&format!("  {}", wrap(text, 76, "    ")));
}

/// A heading.
pub fn heading(text: &str) {
    out::line(&format!("\n{}", paint(text, Tone::Bold, colour_on_stdout())));
}

/// The status as `tripoint status` shows it.
pub fn show(status: &GroupStatus) {
    heading("tripoint status");
    out::line(ctl::render::status(status, colour_on_stdout()).trim_end());
}

/// The instant that all times are relative to, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// For this process's own sightings.
    pub at: Instant,
    /// For events, which carry their proposer's wall clock: the same machine's.
    wall_ms: u64,
}

impl Fault {
    /// Now.
    pub fn now() -> Self {
        Self { at: Instant::now(), wall_ms: rpc::clock::wall().0 }
    }

    /// Says something that was seen at an instant.
    pub fn tell(&self, at: Instant, text: &str, tone: Tone) {
        let seconds = match at.checked_duration_since(self.at) {
            Some(after) => after.as_secs_f64(),
            None => -self.at.duration_since(at).as_secs_f64(),
        };
        line(seconds, text, tone);
    }

    /// Says something now.
    pub fn tell_now(&self, text: &str, tone: Tone) {
        self.tell(Instant::now(), text, tone);
    }

    /// Says who acknowledged a row.
    pub fn tell_row(&self, what: &str, row: &Acknowledged) {
        self.tell(row.at, &format!("{what} row acknowledged by {} (row {})", row.site, row.id), Tone::Good);
    }

    /// Seconds after the fault by an event's own time.
    fn seconds(&self, event: &Event) -> f64 {
        (event.at.0 as f64 - self.wall_ms as f64) / 1_000.0
    }
}

fn line(seconds: f64, text: &str, tone: Tone) {
    let text = wrap(text, TEXT_WIDTH, "               ");
    out::line(&format!("  {seconds:+9.3} s  {}", paint(&text, tone, colour_on_stdout())));
}

/// All events since the fault, told as they come.
#[derive(Clone)]
pub struct Story {
    fault: Fault,
    events: Arc<Mutex<Vec<(f64, EventKind)>>>,
}

impl Story {
    /// A story that begins now.
    pub fn new(fault: Fault) -> Self {
        Self { fault, events: Arc::default() }
    }

    /// Tells what the witnesses agree from an entry on, whichever of them answers, and when a
    /// lost site's renewals ended.
    pub async fn run(self, client: Client, from_index: u64, lost: Option<String>) {
        tokio::join!(self.follow(&client, from_index), self.last_renewal(&client, lost));
    }

    async fn last_renewal(&self, client: &Client, lost: Option<String>) {
        let Some(lost) = lost else { return };
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            let Ok((status, _)) = client.status(true).await else { continue };
            let seen = Instant::now();
            let renewed = status.sites.iter().find(|s| s.site.as_str() == lost).and_then(|s| s.renewed_ago);
            let Some(at) = renewed.and_then(|ago| seen.checked_sub(ago.into())) else { continue };
            if seen.duration_since(at) > SILENCE {
                self.fault.tell(
                    at,
                    &format!("the last renewal of {lost} was applied; silence since then"),
                    Tone::Watch,
                );
                return;
            }
        }
    }

    async fn follow(&self, client: &Client, from_index: u64) {
        let mut next = from_index;
        loop {
            let request = v1::EventsRequest { from_index: next, follow: true };
            let opened = client
                .each(CALL_DEADLINE, |channel| async move {
                    v1::status_client::StatusClient::new(channel).events(request).await
                })
                .await;
            if let Ok(answer) = opened {
                let mut stream = answer.into_inner();
                while let Some(Ok(event)) = stream.next().await {
                    next = event.index + 1;
                    self.tell(&event);
                }
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    fn tell(&self, answer: &v1::EventResponse) {
        let Ok(event) = serde_json::from_str::<Event>(&answer.json) else { return };
        let seconds = self.fault.seconds(&event);
        if let Some(tone) = tone(&event.kind) {
            line(seconds, &answer.text, tone);
        }
        self.events().push((seconds, event.kind));
    }

    /// When, in seconds after the fault, the first event came that `is` says yes to.
    pub fn when(&self, is: impl Fn(&EventKind) -> bool) -> Option<f64> {
        self.events().iter().find(|(_, kind)| is(kind)).map(|(seconds, _)| *seconds)
    }

    fn events(&self) -> MutexGuard<'_, Vec<(f64, EventKind)>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an event is shown; none for what would only distract.
const fn tone(kind: &EventKind) -> Option<Tone> {
    match kind {
        EventKind::Refused { .. } | EventKind::PolicySet { .. } => None,
        EventKind::VerdictChanged { .. } | EventKind::LeaseExpired { .. } => Some(Tone::Watch),
        EventKind::Elected { .. } | EventKind::Completed { .. } => Some(Tone::Good),
        _ => Some(Tone::Bold),
    }
}
