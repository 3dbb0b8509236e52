//! Whether what happened is what was expected. Pure: the same for the simulated world and for
//! real processes.

use super::script::{Claim, Expectation, Occasion, Question, Script, WRITE_GAP_MAX, Window};
use super::tale::{Happening, Tale};
use crate::history::{Site, Stack, Time};
use std::fmt;

/// What became of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The script.
    pub file: String,
    /// The line.
    pub line: usize,
    /// As it stands there.
    pub text: String,
    /// What was seen; an error if it is not what is expected.
    pub seen: Result<String, String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, text, seen } = self;
        match seen {
            Ok(seen) => write!(f, "{file}:{line}: {text}: yes, {seen}"),
            Err(seen) => write!(f, "{file}:{line}: {text}: NO, {seen}"),
        }
    }
}

/// Judges every line that expects something, and every act that was never done.
#[must_use]
pub fn judge(script: &Script, tale: &Tale) -> Vec<Finding> {
    let finding =
        |line, text: &str, seen| Finding { file: script.file.clone(), line, text: text.into(), seen };
    if !tale.began {
        return vec![finding(0, "the group comes up", Err("it did not".into()))];
    }
    let undone = script.acts.iter().zip(&tale.done).filter(|(_, done)| done.is_none());
    let undone = undone.map(|(act, _)| finding(act.line, &act.text, Err("it never came to that".into())));
    let claims = script.expectations.iter().enumerate();
    let claims = claims.map(|(place, e)| finding(e.line, &e.text, Court { script, tale }.hold(place, e)));
    let mut all: Vec<Finding> = undone.chain(claims).collect();
    all.sort_by_key(|finding| finding.line);
    all
}

struct Court<'a> {
    script: &'a Script,
    tale: &'a Tale,
}

type Verdict = Result<String, String>;

impl Court<'_> {
    fn hold(&self, place: usize, expectation: &Expectation) -> Verdict {
        let (from, to) = self.span(expectation)?;
        let window = expectation.window;
        match &expectation.claim {
            Claim::Active(stack, sites) => self.active(*stack, sites, window, from, to),
            Claim::Writes(stack, sites) => self.writes(*stack, sites, window, from, to),
            Claim::NoWrites(stack, sites) => self.no_writes(*stack, sites, from, to),
            Claim::NoPrimary(stack, site) => self.no_primary(*stack, *site, from, to),
            Claim::Occurs(occasion) => match self.first(occasion, from, to) {
                Some(at) => Ok(format!("at {}", seconds(at))),
                None => Err("it did not".into()),
            },
            Claim::Never(occasion) => match self.first(occasion, from, to) {
                Some(at) => Err(format!("it did, at {}", seconds(at))),
                None => Ok("it did not".into()),
            },
            Claim::Before(first, second) => self.before(first, second),
            Claim::Count(least, most, occasion) => {
                let count = self.all(occasion).count();
                let text = format!("{count} times");
                if (*least..=*most).contains(&count) { Ok(text) } else { Err(text) }
            }
            Claim::LostRows(stack, most, before) => self.lost_rows(*stack, *most, *before),
            Claim::Says(question) => self.says(place, question),
        }
    }

    /// From when to when it is looked at.
    fn span(&self, expectation: &Expectation) -> Result<(Time, Time), String> {
        Ok(match expectation.window {
            Window::Between(from, to) => (from, to.min(self.tale.ended)),
            Window::At(at) => (at, at),
            Window::Within(time) => {
                let after = expectation.after.map(|act| (act, self.tale.done[act]));
                let from = match after {
                    None => 0,
                    Some((_, Some(at))) => at,
                    Some((act, None)) => {
                        return Err(format!("line {} was never done", self.script.acts[act].line));
                    }
                };
                (from, from.saturating_add(time).min(self.tale.ended))
            }
        })
    }

    /// Changes of the active site, the beginning first.
    fn elections(&self, stack: Stack) -> Vec<(Time, Option<Site>)> {
        let first = (0, self.tale.active.get(usize::from(stack)).copied().flatten());
        let any = Occasion { kind: super::Kind::Elected, stack, sites: Vec::new() };
        std::iter::once(first).chain(self.all(&any).map(|(at, h)| (at, Some(h.site)))).collect()
    }

    fn active(&self, stack: Stack, sites: &[Site], window: Window, from: Time, to: Time) -> Verdict {
        let elections = self.elections(stack);
        let ends = elections.iter().skip(1).map(|(at, _)| *at).chain([Time::MAX]);
        let held: Vec<(Time, Option<Site>)> = elections
            .iter()
            .zip(ends)
            .filter(|((began, _), end)| *began <= to && *end > from)
            .map(|(election, _)| *election)
            .collect();
        let right = |site: Option<Site>| site.is_some_and(|site| sites.contains(&site));
        let said = |(at, site): (Time, Option<Site>)| match site {
            Some(site) => format!("dc{} since {}", site + 1, seconds(at)),
            None => String::from("nobody"),
        };
        let all = held.iter().copied().map(said).collect::<Vec<_>>().join(", then ");
        let holds = match window {
            Window::Within(_) => held.iter().any(|(_, site)| right(*site)),
            _ => held.iter().all(|(_, site)| right(*site)),
        };
        if holds { Ok(all) } else { Err(all) }
    }

    fn acks(&self, stack: Stack, sites: &[Site]) -> impl Iterator<Item = (Time, Site)> {
        let here = move |(_, s, site): &&(Time, Stack, Site)| *s == stack && sites.contains(site);
        self.tale.acked.iter().filter(here).map(|(at, _, site)| (*at, *site))
    }

    fn writes(&self, stack: Stack, sites: &[Site], window: Window, from: Time, to: Time) -> Verdict {
        let mut within = self.acks(stack, sites).filter(|(at, _)| (from..=to).contains(at));
        if let Window::Within(_) = window {
            return match within.next() {
                Some((at, site)) => Ok(format!("at {}, dc{}", seconds(at), site + 1)),
                None => Err(format!("none until {}", seconds(to))),
            };
        }
        let (mut last, mut longest) = (from, (0, from));
        for at in within.map(|(at, _)| at).chain([to]) {
            longest = longest.max((at.saturating_sub(last), last));
            last = at;
        }
        let text = format!("the longest pause is {}, from {} on", seconds(longest.0), seconds(longest.1));
        if longest.0 <= WRITE_GAP_MAX { Ok(text) } else { Err(text) }
    }

    fn no_writes(&self, stack: Stack, sites: &[Site], from: Time, to: Time) -> Verdict {
        match self.acks(stack, sites).find(|(at, _)| (from..=to).contains(at)) {
            Some((at, site)) => Err(format!("dc{} acknowledged a row at {}", site + 1, seconds(at))),
            None => Ok("none".into()),
        }
    }

    fn no_primary(&self, stack: Stack, site: Site, from: Time, to: Time) -> Verdict {
        let here = self.tale.primaries.iter().filter(|(_, s, at, _)| (*s, *at) == (stack, site));
        let mut since = None;
        for (at, _, _, began) in here {
            if let Some(since) = since.filter(|since| *since <= to && *at > from) {
                return Err(format!("one was there from {} to {}", seconds(since), seconds(*at)));
            }
            since = began.then_some(*at);
        }
        match since.filter(|since| *since <= to) {
            Some(since) => Err(format!("one is there since {}", seconds(since))),
            None => Ok("none".into()),
        }
    }

    fn all<'a>(&'a self, occasion: &'a Occasion) -> impl Iterator<Item = (Time, &'a Happening)> {
        self.tale.occurred.iter().filter(|(_, h)| occasion.is(h)).map(|(at, h)| (*at, h))
    }

    fn first(&self, occasion: &Occasion, from: Time, to: Time) -> Option<Time> {
        self.all(occasion).map(|(at, _)| at).find(|at| (from..=to).contains(at))
    }

    /// Each time anew: what came before the last time does not count again.
    fn before(&self, first: &Occasion, second: &Occasion) -> Verdict {
        let (mut ready, mut times) = (false, 0);
        for (at, happening) in &self.tale.occurred {
            if second.is(happening) {
                if !ready {
                    return Err(format!("not before {}", seconds(*at)));
                }
                (ready, times) = (false, times + 1);
            }
            ready |= first.is(happening);
        }
        if times > 0 { Ok(format!("{times} times")) } else { Err("the second one never came".into()) }
    }

    fn lost_rows(&self, stack: Stack, most: usize, before: Time) -> Verdict {
        let lost = self.tale.lost.iter().filter(|(at, s)| *s == stack && *at < before);
        let (count, last) = lost.fold((0, 0), |(count, last), (at, _)| (count + 1, last.max(*at)));
        let text = match count {
            0 => String::from("none"),
            _ => format!("{count}, the last one of {}", seconds(last)),
        };
        if count <= most { Ok(text) } else { Err(text) }
    }

    fn says(&self, place: usize, question: &Question) -> Verdict {
        match &self.tale.looks[place] {
            Some(look) => {
                let word = |text: &String| format!("at {}: {text}", seconds(look.at));
                look.said.as_ref().map(word).map_err(word)
            }
            None => Err(format!("{} was never asked", question.who())),
        }
    }
}

impl Question {
    fn who(&self) -> String {
        match self.of {
            Some(place) => format!("{place:?}"),
            None => String::from("the leader"),
        }
    }
}

impl Occasion {
    /// True if this is one.
    #[must_use]
    pub fn is(&self, happening: &Happening) -> bool {
        let here = self.sites.is_empty() || self.sites.contains(&happening.site);
        self.kind == happening.kind && here && happening.stack.is_none_or(|stack| stack == self.stack)
    }
}

fn seconds(time: Time) -> String {
    format!("{:.3} s", time as f64 / 1e6)
}
