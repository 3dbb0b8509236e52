//! Looking on from outside: the group's events, its status, and which databases are primaries. Each
//! in a thread of its own, since the product's command line may take seconds to say no.

use crate::clock;
use crate::lab::procs;
use crate::product::command::Tripoint;
use crate::product::layout::Layout;
use serde_json::Value;
use simulation::scenario::{Question, read_answer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);

/// Something that was seen, with the observers' time.
pub enum Seen {
    /// All events that the group tells.
    Events(Vec<Value>),
    /// A primary's processes are there, or not: stack, site.
    Primary(u64, u8, u8, bool),
    /// What was said to a question: which, when it was asked, what.
    Said(usize, u64, Result<String, String>),
}

/// The threads that look on.
pub struct Watch {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    seen: Receiver<Seen>,
}

impl Watch {
    /// Begins to look on. Questions are asked again and again, all of them; by their number.
    pub fn start(cli: &Tripoint, layout: &Layout, questions: Vec<(usize, Question)>) -> Self {
        let (sender, seen) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        let (events, status, files) = (cli.clone(), cli.clone(), layout.clone());
        let (a, b, c) = (sender.clone(), sender.clone(), sender);
        let threads = vec![
            again(&ended, move || tell_events(&events, &a)),
            again(&ended, move || ask(&status, &questions, &b)),
            again(&ended, {
                let mut known = Vec::new();
                move || look_for_primaries(&files, &mut known, &c)
            }),
        ];
        Self { ended, threads, seen }
    }

    /// What was seen since.
    pub fn news(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }

    /// Ends it; the last news.
    pub fn finish(self) -> Vec<Seen> {
        self.ended.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap_or_default());
        self.seen.try_iter().collect()
    }
}

/// Calls `look` until it is ended.
fn again(ended: &Arc<AtomicBool>, mut look: impl FnMut() + Send + 'static) -> JoinHandle<()> {
    let ended = ended.clone();
    std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            look();
            std::thread::sleep(EVERY);
        }
    })
}

fn tell_events(cli: &Tripoint, to: &Sender<Seen>) {
    if let Ok(events) = cli.events() {
        // Nobody listens any more: the run is over.
        let _ = to.send(Seen::Events(events));
    }
}

fn ask(cli: &Tripoint, questions: &[(usize, Question)], to: &Sender<Seen>) {
    if questions.is_empty() {
        return;
    }
    let at = clock::now();
    let status = cli.run(&["status", "-o", "json"]);
    let status = status.and_then(|text| Ok(serde_json::from_str::<Value>(&text)?));
    let explained: Vec<String> =
        cli.run(&["explain"]).map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default();
    for (number, question) in questions {
        let said = match &status {
            Ok(status) => read_answer(question, status.clone(), &explained),
            Err(error) => Err(format!("{error:#}")),
        };
        let _ = to.send(Seen::Said(*number, at, said));
    }
}

fn look_for_primaries(layout: &Layout, known: &mut Vec<(u8, u8)>, to: &Sender<Seen>) {
    for stack in layout.databases() {
        for site in 1..=layout.sites {
            let data = layout.data(site, stack);
            let stack = u8::try_from(stack).unwrap_or(u8::MAX);
            let standby = data.join("standby.signal").exists();
            let was = known.contains(&(stack, site));
            // What began as a primary is one as long as any of its processes is left.
            let is = if was {
                !procs::working_in(&data).is_empty()
            } else {
                !standby && procs::postmaster(&data).is_some_and(|server| serves(server.pid))
            };
            if is != was {
                let _ = to.send(Seen::Primary(clock::now(), stack, site - 1, is));
                if is { known.push((stack, site)) } else { known.retain(|one| *one != (stack, site)) }
            }
        }
    }
}

/// What `pg_rewind` starts to recover a copy (`--single`) takes no clients.
fn serves(pid: i32) -> bool {
    !procs::command_line(pid).iter().any(|word| word == "--single")
}
