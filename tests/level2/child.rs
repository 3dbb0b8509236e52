//! A process for each run: what libraries count for themselves begins anew, so that a seed alone
//! is the same run as a seed among others.

use crate::entropy;
use crate::faults::Kind;
use crate::run::{Planted, Report, Spec, run};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// `SEED[,KIND[,SITES[,PLANTED]]]`.
const ASK: &str = "TRIPOINT_LEVEL2_RUN";
/// Set by us for a run that nobody reads along.
const QUIET: &str = "TRIPOINT_LEVEL2_QUIET";
/// A run takes a few seconds; on a busy machine some more.
const WALL_MAX: Duration = Duration::from_secs(180);
/// Begins the lines that are read back.
const MARK: &str = "level2:";

/// What came back from a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub violations: Vec<String>,
    pub numbers: BTreeMap<String, u64>,
}

impl Outcome {
    pub fn number(&self, name: &str) -> u64 {
        self.numbers.get(name).copied().unwrap_or_default()
    }
}

fn text(spec: &Spec) -> String {
    let planted = spec.planted.map_or(String::new(), |p| format!(",{p:?}"));
    format!("{},{},{}{planted}", spec.seed, spec.kind, spec.sites)
}

/// Replays a run, with its story.
pub fn command(spec: &Spec) -> String {
    format!("{ASK}={} cargo test -p tests --test level2 -- --exact one_run --nocapture", text(spec))
}

pub fn complaint(spec: &Spec, violations: &[String]) -> String {
    format!("seed {} ({}):\n  {}\nreplay: {}", spec.seed, spec.kind, violations.join("\n  "), command(spec))
}

/// The run that the environment asks for.
pub fn asked() -> Option<Spec> {
    let text = std::env::var(ASK).ok()?;
    let mut parts = text.split(',');
    let seed =
        parts.next().and_then(|part| part.parse().ok()).unwrap_or_else(|| panic!("{ASK}={text}: no seed"));
    let mut spec = Spec { aloud: std::env::var_os(QUIET).is_none(), ..Spec::of(seed) };
    if let Some(kind) = parts.next() {
        let found = Kind::ALL.into_iter().find(|k| k.to_string() == kind);
        spec.kind = found.unwrap_or_else(|| panic!("{ASK}={text}: the kinds are {:?}", Kind::ALL));
    }
    if let Some(sites) = parts.next() {
        spec.sites = sites.parse().unwrap_or_else(|_| panic!("{ASK}={text}: {sites} is no number of sites"));
    }
    spec.planted = parts.next().map(|name| match name {
        "LyingDisks" => Planted::LyingDisks,
        "WildClocks" => Planted::WildClocks,
        _ => panic!("{ASK}={text}: nothing is called {name}"),
    });
    Some(spec)
}

/// Runs in a thread of its own, whose randomness is the seed's from its first use on.
pub fn in_a_thread(spec: &Spec) -> Report {
    let panics = count_panics();
    let spec = spec.clone();
    let running = thread::Builder::new().name("simulation".to_owned()).spawn(move || {
        entropy::seeded(spec.seed);
        let _log = log(spec.aloud);
        run(&spec)
    });
    let mut report = running.expect("a thread can be made").join().expect("the simulation does not panic");
    let panics = panics.load(Ordering::Relaxed);
    if panics > 0 {
        report.violations.push(format!("{panics} tasks panicked; see above"));
    }
    report
}

/// tokio keeps a panic to its task; here each is a defect.
fn count_panics() -> &'static AtomicU64 {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(panic);
    }));
    &PANICS
}

/// The witnesses' own log, filtered as `RUST_LOG` says.
fn log(aloud: bool) -> Option<tracing::subscriber::DefaultGuard> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().ok().filter(|_| aloud)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).finish();
    Some(tracing::subscriber::set_default(subscriber))
}

/// For [`in_a_process`], and for who reads.
pub fn print(report: &Report) {
    let counts = &report.counts;
    let numbers: [(&str, u64); 17] = [
        ("simulated_ms", report.simulated.as_millis() as u64),
        ("entries", counts.entries),
        ("leaders", counts.leaders),
        ("grants", counts.grants),
        ("refused_grants", counts.refused_grants),
        ("statuses", counts.statuses),
        ("refused_statuses", counts.refused_statuses),
        ("expiries", counts.expiries),
        ("elections", counts.elections),
        ("restarts", counts.restarts),
        ("snapshots", counts.snapshots),
        ("alone_refused", counts.alone_refused),
        ("lapses", counts.lapses),
        ("syncs", report.syncs),
        ("digest", report.digest),
        ("disks", report.disks),
        ("lines", report.lines.len() as u64),
    ];
    for (name, number) in numbers {
        println!("{MARK} {name}={number}");
    }
    for violation in &report.violations {
        println!("{MARK} violated {}", violation.replace('\n', " "));
    }
}

/// Runs a seed in a process of its own.
pub fn in_a_process(spec: &Spec) -> Outcome {
    let program = std::env::current_exe().expect("a process knows its program");
    let mut child = Command::new(program)
        .args(["--exact", "one_run", "--nocapture", "--test-threads=1"])
        .env(ASK, text(spec))
        .env(QUIET, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program that runs can be run");
    let said = reader(child.stdout.take().expect("it is piped"));
    let complained = reader(child.stderr.take().expect("it is piped"));
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    while child.try_wait().expect("our own child").is_none() {
        if begun.elapsed() > WALL_MAX {
            // A livelock: simulated time stands still while something turns.
            child.kill().expect("our own child");
            outcome.violations.push(format!("it did not end within {} s", WALL_MAX.as_secs()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    let said = said.join().expect("reading does not panic");
    for line in said.lines().filter_map(|line| line.split_once(MARK).map(|(_, rest)| rest.trim())) {
        if let Some(violation) = line.strip_prefix("violated ") {
            outcome.violations.push(violation.to_owned());
        } else if let Some((name, number)) = line.split_once('=') {
            outcome.numbers.insert(name.to_owned(), number.parse().expect("we printed a number"));
        }
    }
    if outcome.numbers.is_empty() {
        let complained = complained.join().expect("reading does not panic");
        outcome.violations.push(format!("no result; the process said: {complained}"));
    }
    outcome
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came until then is what there is.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What happened, kind by kind.
pub fn table(by_kind: &BTreeMap<Kind, Vec<Outcome>>) -> String {
    let columns = [
        ("sim s", "simulated_ms"),
        ("entries", "entries"),
        ("leaders", "leaders"),
        ("grants", "grants"),
        ("status", "statuses"),
        ("refused", "refused_statuses"),
        ("alone", "alone_refused"),
        ("restarts", "restarts"),
        ("snapshots", "snapshots"),
        ("expiries", "expiries"),
        ("elections", "elections"),
        ("lapses", "lapses"),
    ];
    let mut text = format!("{:<12}{:>6}", "kind", "seeds");
    for (title, _) in columns {
        text.push_str(&format!("{title:>10}"));
    }
    for (kind, outcomes) in by_kind {
        text.push_str(&format!("\n{kind:<12}{:>6}", outcomes.len()));
        for (_, name) in columns {
            let sum: u64 = outcomes.iter().map(|outcome| outcome.number(name)).sum();
            text.push_str(&format!("{:>10}", if name.ends_with("_ms") { sum / 1_000 } else { sum }));
        }
    }
    text
}
