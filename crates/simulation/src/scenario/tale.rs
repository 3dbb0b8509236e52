//! What happened in a run of a script, as far as scripts can speak of it: what the group's log
//! told, what clients were told, what it said of itself. The simulated world and real processes
//! are told of in the same way. All times count from the beginning of the script.

use super::script::{Answer, Kind, Question};
use crate::history::{History, Site, Stack, Time};
use coordination::explain::{hold_text, ineligible_text};
use model::{EventKind, GroupStatus, Millis, StackView, StepKind, StepOutcome, Verdict, WallMillis};
use serde::{Deserialize, Deserializer};

/// Something that the group's log told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// What.
    pub kind: Kind,
    /// Of which stack, if of one.
    pub stack: Option<Stack>,
    /// Where.
    pub site: Site,
}

/// What was said to a question: the moment that decides, and what was wanted or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it was asked.
    pub at: Time,
    /// What was said; an error if it is not what is expected.
    pub said: Result<String, String>,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Tale {
    /// True once the group was up and the script began.
    pub began: bool,
    /// By stack: who was active when the script began.
    pub active: Vec<Option<Site>>,
    /// What the log told, in its order.
    pub occurred: Vec<(Time, Happening)>,
    /// Every row that a client was told is committed: where.
    pub acked: Vec<(Time, Stack, Site)>,
    /// A primary began (true), or its last process is gone.
    pub primaries: Vec<(Time, Stack, Site, bool)>,
    /// Acknowledged rows that the active site lacks in the end, by when they were acknowledged.
    pub lost: Vec<(Time, Stack)>,
    /// By act: when it was done, if it was.
    pub done: Vec<Option<Time>>,
    /// By expectation: what was said.
    pub looks: Vec<Option<Look>>,
    /// When the run ended.
    pub ended: Time,
}

/// What an event of the group's log is to a script, if it is anything.
#[must_use]
pub fn happening(event: &EventKind) -> Option<Happening> {
    let (kind, stack, site) = match event {
        EventKind::VerdictChanged { site, to: Verdict::Suspect, .. } => (Kind::Suspected, None, site),
        EventKind::LeaseExpired { site, .. } => (Kind::Expired, None, site),
        EventKind::WouldHaveBegun { stack, from, .. } => (Kind::WouldBegin, Some(stack), from),
        EventKind::TransitionBegun { stack, from, .. } => (Kind::Begun, Some(stack), from),
        EventKind::FenceBegun { stack, site, .. } => (Kind::Fencing, Some(stack), site),
        EventKind::Fenced { stack, site, .. } => (Kind::Fenced, Some(stack), site),
        EventKind::Detached { stack, site, .. } => (Kind::Detached, Some(stack), site),
        EventKind::Elected { stack, site, .. } | EventKind::Aborted { stack, site, .. } => {
            (Kind::Elected, Some(stack), site)
        }
        EventKind::StepEnded { stack, site, step: StepKind::Promote, outcome: StepOutcome::Done, .. } => {
            (Kind::Promoted, Some(stack), site)
        }
        EventKind::Completed { stack, site, .. } => (Kind::Completed, Some(stack), site),
        EventKind::StreamingChanged { stack, site, streams: true } => (Kind::Streams, Some(stack), site),
        _ => return None,
    };
    let stack = match stack {
        Some(stack) => Some(History::stack_named(stack)?),
        None => None,
    };
    Some(Happening { kind, stack, site: History::site_named(site)? })
}

/// The same, from an event as `tripoint events -o json` prints it.
pub fn read_happening<'de, D: Deserializer<'de>>(event: D) -> Option<Happening> {
    EventKind::deserialize(event).ok().as_ref().and_then(happening)
}

/// What a status answers, as `tripoint status -o json` prints it.
///
/// # Errors
/// What was said instead; or that it is no status.
pub fn read_answer<'de, D: Deserializer<'de>>(
    question: &Question,
    status: D,
    explained: &[String],
) -> Result<String, String> {
    let status = GroupStatus::deserialize(status).map_err(|error| error.to_string())?;
    answers(question, &status, explained)
}

/// What a witness's status and explanation answer to a question: an error if it is not what is
/// expected.
///
/// # Errors
/// What was said instead.
pub fn answers(question: &Question, status: &GroupStatus, explained: &[String]) -> Result<String, String> {
    let place = status.stacks.iter().position(|s| History::stack_named(&s.stack) == Some(question.stack));
    let Some(place) = place else { return Err(format!("nothing of s{}", question.stack + 1)) };
    let view = &status.stacks[place];
    match &question.answer {
        Answer::Takeover(sites) => takeover(view, sites),
        Answer::Against(site, text) => {
            let candidates = view.takeover.candidates.iter();
            let against = candidates.filter(|c| History::site_named(&c.site) == Some(*site));
            contains(against.flat_map(|c| &c.against).map(ineligible_text), text)
        }
        Answer::Held(text) => contains(view.holds.iter().map(hold_text), text),
        Answer::Status(text) => {
            let lines = status.sentences.get(place).into_iter().chain(explained);
            contains(lines.cloned(), text)
        }
    }
}

fn takeover(view: &StackView, wanted: &[Site]) -> Result<String, String> {
    let name = |site: &Site| format!("dc{}", site + 1);
    let known = view.takeover.to.as_ref().and_then(History::site_named);
    let said = match known {
        Some(site) => format!("{} would take over", name(&site)),
        None => String::from("nobody would take over"),
    };
    let right = known.map_or(wanted.is_empty(), |site| wanted.contains(&site));
    if right { Ok(said) } else { Err(said) }
}

fn contains(lines: impl Iterator<Item = String>, text: &str) -> Result<String, String> {
    let lines: Vec<String> = lines.collect();
    match lines.iter().find(|line| line.contains(text)) {
        Some(line) => Ok(line.clone()),
        None if lines.is_empty() => Err(String::from("nothing")),
        None => Err(lines.join(" | ")),
    }
}

/// Who answers a question in a simulated run: nothing that it says is of account to a script.
pub(crate) fn answering(group: &str, wall: Millis) -> coordination::explain::Answering {
    coordination::explain::Answering {
        group: group.into(),
        stale: false,
        leader: None,
        term: 0,
        round_trips: Vec::new(),
        wall: WallMillis(wall.0),
    }
}
