//! A script on a running cluster: its acts when they are due, and the tale of what was seen.

use super::hands::{Hands, LOOK, Undo};
use super::watch::{Seen, Watch};
use super::{client::Clients, log_of};
use crate::product::cluster::Cluster;
use crate::{clock, interrupt};
use anyhow::{Context, Result};
use serde_json::Value;
use simulation::scenario::{Claim, Look, Script, Tale, When, Window, read_happening};
use std::path::Path;
use std::time::Duration;

/// After the last line everything must be whole within this.
const WHOLE_WITHIN: Duration = Duration::from_secs(75);
/// Clients write for so long before the script begins.
const PRELUDE: Duration = Duration::from_secs(3);

/// What was seen, and what went wrong beside the script's own lines.
pub struct Told {
    /// For the judge.
    pub told: Tale,
    /// What could not be done, and whether everything came right.
    pub wrong: Vec<String>,
}

struct Stage<'a> {
    script: &'a Script,
    hands: Hands<'a>,
    began: u64,
    wall_offset: i128,
    next: usize,
    occasion: Option<u64>,
    undo: Vec<(u64, Undo)>,
    /// The last event that was told.
    index: u64,
    tale: Tale,
    wrong: Vec<String>,
}

/// Plays it to its end.
///
/// # Errors
/// If the clients don't get going, or on Ctrl-C.
pub fn play(cluster: &Cluster, script: &Script, out: &Path) -> Result<Told> {
    let mut clients = Clients::start(cluster, script, |name| log_of(out, name))?;
    std::thread::sleep(PRELUDE);
    let questions = script.expectations.iter().enumerate();
    let questions = questions.filter_map(|(n, e)| match &e.claim {
        Claim::Says(question) => Some((n, question.clone())),
        _ => None,
    });
    let watch = Watch::start(&cluster.cli, &cluster.layout, questions.collect());
    let index = cluster.status()?.index;
    let tale = Tale {
        began: true,
        active: script.stacks.iter().map(|(site, _)| Some(*site)).collect(),
        done: vec![None; script.acts.len()],
        looks: vec![None; script.expectations.len()],
        ..Tale::default()
    };
    let mut stage = Stage {
        script,
        hands: Hands::new(cluster),
        began: clock::now(),
        wall_offset: wall_offset(),
        next: 0,
        occasion: None,
        undo: Vec::new(),
        index,
        tale,
        wrong: Vec::new(),
    };
    while stage.next < script.acts.len() || stage.now() <= script.latest() {
        interrupt::check()?;
        stage.turn(&watch);
        std::thread::sleep(LOOK);
    }
    if let Err(error) = cluster.wait_healthy(WHOLE_WITHIN) {
        stage.wrong.push(format!("not everything came right after `heal`: {error:#}"));
    }
    stage.hear(watch.finish());
    stage.tale.ended = stage.now();
    let (began, mut tale, wrong) = (stage.began, stage.tale, stage.wrong);
    clients.tell(cluster, began, &mut tale).context("what the clients saw")?;
    Ok(Told { told: tale, wrong })
}

impl Stage<'_> {
    /// Time of the script: microseconds.
    fn now(&self) -> u64 {
        self.since(clock::now())
    }

    const fn since(&self, nanos: u64) -> u64 {
        nanos.saturating_sub(self.began) / 1_000
    }

    fn turn(&mut self, watch: &Watch) {
        self.hear(watch.news());
        let now = self.now();
        let over: Vec<Undo> = self.undo.iter().filter(|(at, _)| *at <= now).map(|(_, undo)| *undo).collect();
        self.undo.retain(|(at, _)| *at > now);
        for undo in over {
            if let Err(error) = self.hands.undo(undo) {
                self.wrong.push(format!("{undo:?}: {error:#}"));
            }
        }
        while self.act_if_due() {}
    }

    fn act_if_due(&mut self) -> bool {
        let Some(act) = self.script.acts.get(self.next) else { return false };
        let now = self.now();
        let fixed = self.script.acts[self.next..].iter().find_map(|act| match act.when {
            When::At(at) => Some(at),
            When::On(..) => None,
        });
        let due = match (&act.when, self.occasion) {
            (When::At(at), _) => *at,
            (When::On(_, later), Some(at)) => at + later,
            (When::On(..), None) if fixed.is_some_and(|at| now >= at) => return self.pass(None),
            (When::On(..), None) => return false,
        };
        if now < due {
            return false;
        }
        println!("{:>8.3} s  {}", now as f64 / 1e6, act.text);
        match self.hands.act(act) {
            Ok(undo) => {
                let end = now.saturating_add(act.lasts);
                self.undo.extend(undo.filter(|_| act.lasts < u64::MAX).map(|undo| (end, undo)));
                self.pass(Some(now))
            }
            Err(error) => {
                self.wrong.push(format!("line {}: {error:#}", act.line));
                self.pass(None)
            }
        }
    }

    /// Lines that wait for the same are done together.
    fn pass(&mut self, done: Option<u64>) -> bool {
        let waits = |n: usize| match self.script.acts.get(n).map(|act| &act.when) {
            Some(When::On(occasion, _)) => Some(occasion),
            _ => None,
        };
        if waits(self.next).is_none() || waits(self.next) != waits(self.next + 1) {
            self.occasion = None;
        }
        self.tale.done[self.next] = done;
        self.next += 1;
        true
    }

    fn hear(&mut self, news: Vec<Seen>) {
        for one in news {
            match one {
                Seen::Events(events) => {
                    // One entry may tell several things: what is new is so as a whole.
                    let index = |event: &Value| event["index"].as_u64().unwrap_or_default();
                    let new = events.iter().filter(|event| index(event) > self.index);
                    let newest = new.clone().map(index).max();
                    new.collect::<Vec<_>>().into_iter().for_each(|event| self.take_event(event));
                    self.index = newest.unwrap_or(self.index);
                }
                Seen::Primary(at, stack, site, is) => {
                    self.tale.primaries.push((self.since(at), stack, site, is));
                }
                Seen::Said(number, at, said) => self.take_word(number, self.since(at), said),
            }
        }
    }

    fn take_event(&mut self, event: &Value) {
        let Some(happening) = read_happening(event["kind"].clone()) else { return };
        let wall = i128::from(event["at"].as_u64().unwrap_or_default()) * 1_000_000;
        let at = self.since(u64::try_from(wall - self.wall_offset).unwrap_or_default());
        let awaited = match self.script.acts.get(self.next).map(|act| &act.when) {
            Some(When::On(occasion, _)) => occasion.is(&happening),
            _ => false,
        };
        if awaited {
            self.occasion.get_or_insert(at);
        }
        self.tale.occurred.push((at, happening));
    }

    fn take_word(&mut self, number: usize, at: u64, said: Result<String, String>) {
        let expectation = &self.script.expectations[number];
        let known = self.tale.looks[number].as_ref();
        let after = expectation.after.map_or(Some(0), |act| self.tale.done[act]);
        let counts = match expectation.window {
            Window::At(time) => at >= time && known.is_none(),
            Window::Between(from, to) => (from..=to).contains(&at) && known.is_none_or(|l| l.said.is_ok()),
            Window::Within(time) => {
                let open = after.is_some_and(|from| (from..=from.saturating_add(time)).contains(&at));
                open && known.is_none_or(|look| look.said.is_err())
            }
        };
        if counts {
            self.tale.looks[number] = Some(Look { at, said });
        }
    }
}

/// The wall clock less the observers' clock.
fn wall_offset() -> i128 {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i128::try_from(wall.as_nanos()).unwrap_or(0) - i128::from(clock::now())
}
