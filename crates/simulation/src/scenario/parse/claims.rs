//! `expect`: what must come of it.

use super::Draft;
use super::acts::read_occasion;
use crate::history::{Stack, Time};
use crate::scenario::script::{Answer, Claim, Expectation, Kind, Question, Window};
use crate::scenario::words::{ScriptError, Words};

const CLAIMS: &str = "active, writes, no, never, exactly, at, lost, takeover, against, held, status, or \
                      something that occurs, as elected";
const WINDOWS: &str = "within 20s, throughout, at 30s, from 20s, until 40s, from 20s until 40s";

/// The whole run.
const THROUGHOUT: Window = Window::Between(0, Time::MAX);

/// A claim, and the window that it has if none is given.
type Read = Result<(Claim, Option<Window>), ScriptError>;

impl Draft<'_> {
    pub(super) fn read_expectation(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        let line = words.line();
        words.next();
        let text = String::from(words.text());
        let (claim, usual) = read_claim(words)?;
        let whole = matches!(claim, Claim::Before(..) | Claim::Count(..) | Claim::LostRows(..));
        let window = match read_window(words)? {
            None => usual,
            Some(_) if whole => {
                return Err(words.wrong("no time here", &text, "this is judged over the whole run"));
            }
            given => given,
        };
        let window =
            window.ok_or_else(|| words.wrong("a time", words.peek(), format!("say when: {WINDOWS}")))?;
        words.end(&format!("expect active dc2 within 20s; times are {WINDOWS}"))?;
        fits(&claim, window).map_err(|remedy| words.wrong("another time", &text, remedy))?;
        let after = self.acts.len().checked_sub(1);
        self.expectations.push(Expectation { line, text, after, claim, window });
        Ok(())
    }
}

/// Some things can't be said of a moment, others of nothing else.
fn fits(claim: &Claim, window: Window) -> Result<(), &'static str> {
    match (claim, window) {
        (Claim::Writes(..) | Claim::NoWrites(..) | Claim::Never(_), Window::At(_)) => {
            Err("say it of a span of time, as `from 20s until 40s`")
        }
        (Claim::NoWrites(..) | Claim::NoPrimary(..) | Claim::Never(_), Window::Within(_)) => {
            Err("say from when on, as `from 20s`")
        }
        (Claim::Occurs(_), Window::Between(..) | Window::At(_)) => Err("say `within 20s`, or no time at all"),
        (_, Window::Between(from, to)) if from >= to => Err("the end comes after the beginning"),
        _ => Ok(()),
    }
}

fn read_window(words: &mut Words<'_>) -> Result<Option<Window>, ScriptError> {
    Ok(Some(match words.peek() {
        "within" => {
            words.next();
            Window::Within(words.duration()?)
        }
        "throughout" => {
            words.next();
            THROUGHOUT
        }
        "at" => {
            words.next();
            Window::At(words.duration()?)
        }
        "from" => {
            words.next();
            let from = words.duration()?;
            Window::Between(from, if words.take("until") { words.duration()? } else { Time::MAX })
        }
        "until" => {
            words.next();
            Window::Between(0, words.duration()?)
        }
        _ => return Ok(None),
    }))
}

fn read_claim(words: &mut Words<'_>) -> Read {
    let word = words.peek();
    if Kind::ALL.iter().any(|(name, _)| *name == word) {
        let first = read_occasion(words)?;
        if words.take("before") {
            return Ok((Claim::Before(first, read_occasion(words)?), Some(THROUGHOUT)));
        }
        // At any time.
        return Ok((Claim::Occurs(first), Some(Window::Within(Time::MAX))));
    }
    words.next();
    match word {
        "active" => Ok((Claim::Active(words.stack()?, some_sites(words)?), None)),
        "writes" => {
            let stack = words.stack()?;
            words.need("at", "expect writes at dc2 within 20s")?;
            Ok((Claim::Writes(stack, some_sites(words)?), None))
        }
        "no" => read_no(words),
        "never" => Ok((Claim::Never(read_occasion(words)?), Some(THROUGHOUT))),
        "exactly" => {
            let count = number(words)?;
            Ok((Claim::Count(count, count, read_occasion(words)?), Some(THROUGHOUT)))
        }
        "at" => {
            words.need("most", "expect at most 2 elected")?;
            let most = number(words)?;
            Ok((Claim::Count(0, most, read_occasion(words)?), Some(THROUGHOUT)))
        }
        "lost" => read_lost(words),
        "takeover" | "against" | "held" | "status" => read_answer(word, words),
        other => Err(words.wrong("something to expect", other, format!("there are: {CLAIMS}"))),
    }
}

fn some_sites(words: &mut Words<'_>) -> Result<Vec<crate::history::Site>, ScriptError> {
    let sites = words.sites()?;
    if sites.is_empty() {
        return Err(words.wrong("a site", words.peek(), "say dc1, or `dc2 or dc3`"));
    }
    Ok(sites)
}

fn number(words: &mut Words<'_>) -> Result<usize, ScriptError> {
    Ok(usize::try_from(words.number("how many")?).unwrap_or(usize::MAX))
}

/// `no writes at dc1`, `no primary at dc1`
fn read_no(words: &mut Words<'_>) -> Read {
    let writes = words.one_of("`writes` or `primary`", &[("writes", true), ("primary", false)])?;
    let stack = words.stack()?;
    words.need("at", "expect no writes at dc1 from 20s")?;
    if writes {
        return Ok((Claim::NoWrites(stack, some_sites(words)?), None));
    }
    Ok((Claim::NoPrimary(stack, words.site()?), None))
}

/// `lost rows 0`, `lost rows at most 20 before 9s`
fn read_lost(words: &mut Words<'_>) -> Read {
    let example = "expect lost rows at most 20";
    words.need("rows", example)?;
    let stack: Stack = words.stack()?;
    if words.take("at") {
        words.need("most", example)?;
    }
    let most = number(words)?;
    let before = if words.take("before") { words.duration()? } else { Time::MAX };
    Ok((Claim::LostRows(stack, most, before), Some(THROUGHOUT)))
}

/// `takeover dc2 or dc3`, `takeover nobody`, `against dc2 "..."`, `held "..."`, `status of dc1 "..."`
fn read_answer(word: &str, words: &mut Words<'_>) -> Read {
    let of = if words.take("of") { Some(words.place()?) } else { None };
    let stack = words.stack()?;
    let answer = match word {
        "takeover" if words.take("nobody") => Answer::Takeover(Vec::new()),
        "takeover" => Answer::Takeover(some_sites(words)?),
        "against" => Answer::Against(words.site()?, words.quoted()?),
        "held" => Answer::Held(words.quoted()?),
        _ => Answer::Status(words.quoted()?),
    };
    Ok((Claim::Says(Question { of, stack, answer }), None))
}
