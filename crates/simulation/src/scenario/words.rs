//! The words of one line, taken one after the other; and what is said when one is wrong.

use super::script::Place;
use crate::history::{MILLI, SECOND, Site, Stack, Time};
use std::fmt;

/// What is wrong with a script: where, what was expected there, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The script.
    pub file: String,
    /// Its line, from 1 on; 0: the script as a whole.
    pub line: usize,
    /// What was expected.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, expected, found, remedy } = self;
        write!(f, "{file}:{line}: expected {expected}, found {found}; {remedy}")
    }
}

impl std::error::Error for ScriptError {}

/// The words of a line that are not taken yet.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    file: &'a str,
    line: usize,
    rest: &'a str,
    sites: Site,
    stacks: Stack,
}

impl<'a> Words<'a> {
    /// All words of a line; what follows a `#` and a space is a remark. So many sites
    /// and stacks can be named.
    pub fn new(file: &'a str, line: usize, text: &'a str, sites: Site, stacks: Stack) -> Self {
        let remark = text.match_indices('#').map(|(at, _)| at).find(|at| {
            let after = text[at + 1..].chars().next();
            (text[..*at].trim().is_empty() || text[..*at].ends_with(' ')) && after.is_none_or(|c| c == ' ')
        });
        let rest = text[..remark.unwrap_or(text.len())].trim();
        Self { file, line, rest, sites, stacks }
    }

    /// Number of the line.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// True if nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left, as it stands there.
    pub fn text(&self) -> &'a str {
        self.rest
    }

    fn split(&self) -> (&'a str, &'a str) {
        match self.rest.split_once(char::is_whitespace) {
            Some((word, rest)) => (word, rest.trim_start()),
            None => (self.rest, ""),
        }
    }

    /// The next word, which stays.
    pub fn peek(&self) -> &'a str {
        self.split().0
    }

    /// The next word; empty at the end of the line.
    pub fn next(&mut self) -> &'a str {
        let (word, rest) = self.split();
        self.rest = rest;
        word
    }

    /// Takes the next word if it is this one.
    pub fn take(&mut self, word: &str) -> bool {
        let there = self.peek() == word;
        if there {
            self.next();
        }
        there
    }

    /// What is wrong here.
    pub fn wrong(&self, expected: &str, found: &str, remedy: impl Into<String>) -> ScriptError {
        let found = if found.is_empty() { "the end of the line".into() } else { format!("`{found}`") };
        let (file, line) = (self.file.into(), self.line);
        ScriptError { file, line, expected: expected.into(), found, remedy: remedy.into() }
    }

    /// Takes this very word.
    pub fn need(&mut self, word: &str, example: &str) -> Result<(), ScriptError> {
        if self.take(word) {
            return Ok(());
        }
        Err(self.wrong(&format!("`{word}`"), self.peek(), format!("write it as `{example}`")))
    }

    /// Nothing may be left.
    pub fn end(&self, example: &str) -> Result<(), ScriptError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(self.wrong("the end of the line", self.rest, format!("write it as `{example}`")))
    }

    /// One of some words, by name.
    pub fn one_of<T: Copy>(&mut self, what: &str, all: &[(&str, T)]) -> Result<T, ScriptError> {
        let word = self.peek();
        if let Some((_, value)) = all.iter().find(|(name, _)| *name == word) {
            self.next();
            return Ok(*value);
        }
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        Err(self.wrong(what, word, format!("there are: {}", names.join(", "))))
    }

    /// A whole number.
    pub fn number(&mut self, what: &str) -> Result<u64, ScriptError> {
        let word = self.peek();
        let number = word.parse().map_err(|_| self.wrong(what, word, "write a whole number, as `3`"))?;
        self.next();
        Ok(number)
    }

    /// A length of time.
    pub fn duration(&mut self) -> Result<Time, ScriptError> {
        let word = self.peek();
        let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        let unit = match &word[digits..] {
            "ms" => Some(MILLI),
            "s" => Some(SECOND),
            "min" => Some(60 * SECOND),
            _ => None,
        };
        let time = unit.and_then(|unit| word[..digits].parse::<Time>().ok()?.checked_mul(unit));
        let time = time.ok_or_else(|| {
            self.wrong("a length of time", word, "write a whole number of ms, s or min, as `43s`")
        })?;
        self.next();
        Ok(time)
    }

    /// A text in quotes.
    pub fn quoted(&mut self) -> Result<String, ScriptError> {
        let whole = self.rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let Some((text, rest)) = whole.filter(|(text, _)| !text.is_empty()) else {
            return Err(self.wrong("a text in quotes", self.rest, "write it as `\"does not stream\"`"));
        };
        self.rest = rest.trim_start();
        Ok(text.into())
    }

    /// A site by its name.
    pub fn site(&mut self) -> Result<Site, ScriptError> {
        let word = self.peek();
        let site = numbered(word, "dc").filter(|n| *n < self.sites);
        let site = site.ok_or_else(|| {
            self.wrong(
                "a site",
                word,
                format!("this script has dc1 to dc{}; `sites` says how many", self.sites),
            )
        })?;
        self.next();
        Ok(site)
    }

    /// Sites with `or` between them; none if the next word is no site.
    pub fn sites(&mut self) -> Result<Vec<Site>, ScriptError> {
        let mut sites = Vec::new();
        if numbered(self.peek(), "dc").is_none() {
            return Ok(sites);
        }
        sites.push(self.site()?);
        while self.take("or") {
            sites.push(self.site()?);
        }
        Ok(sites)
    }

    /// A site by its name or by the part that it plays at that moment.
    pub fn place(&mut self) -> Result<Place, ScriptError> {
        match self.peek() {
            "leader" => self.next_is(Place::Leader),
            "active" => self.next_is(Place::Active),
            "standby" => self.next_is(Place::Standby),
            word if numbered(word, "dc").is_some() => Ok(Place::Site(self.site()?)),
            word => Err(self.wrong("a site", word, "say dc1, dc2, ..., or leader, active, standby")),
        }
    }

    fn next_is<T>(&mut self, value: T) -> Result<T, ScriptError> {
        self.next();
        Ok(value)
    }

    /// A stack, if one is named here; otherwise the first.
    pub fn stack(&mut self) -> Result<Stack, ScriptError> {
        Ok(self.stack_named()?.unwrap_or(0))
    }

    /// A stack, if one is named here.
    pub fn stack_named(&mut self) -> Result<Option<Stack>, ScriptError> {
        let word = self.peek();
        let Some(number) = numbered(word, "s") else { return Ok(None) };
        if number >= self.stacks {
            return Err(self.wrong(
                "a stack of this script",
                word,
                format!("define it: `stack {word} active dc1`"),
            ));
        }
        self.next();
        Ok(Some(number))
    }
}

/// `dc3` is 2.
fn numbered(word: &str, prefix: &str) -> Option<u8> {
    let digits = word.strip_prefix(prefix)?;
    let number: u8 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    number.checked_sub(1)
}
