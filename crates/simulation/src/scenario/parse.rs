//! From a script's text to what it says. Line by line: first who there is, then what is done and
//! what is expected.

mod acts;
mod claims;
#[cfg(test)]
mod tests;

use super::script::{Act, Deed, Expectation, Script};
use super::words::{ScriptError, Words};
use crate::history::{MILLI, Site, Stack, Time};
use crate::net::SITES_MAX;
use crate::plan::Class;
use coordination::timing::Profile;
use coordination::{Policy, Timing};
use model::{Millis, Mode};

/// Stacks that a script can have.
const STACKS_MAX: usize = 5;

/// What lines of a script begin with.
const LINES: &str = "incident, rule, lacks, sites, profile, policy, demand, stack, at, when, expect";

const PROFILES: [(&str, Profile); 3] =
    [("fast", Profile::Fast), ("metro", Profile::Metro), ("wan", Profile::Wan)];

pub(super) const MODES: [(&str, Mode); 3] =
    [("auto", Mode::Auto), ("observe", Mode::Observe), ("approve", Mode::Approve)];

/// Promises that hold only for some faults.
const DEMANDS: [(&str, Class); 3] =
    [("L2", Class::ShortFaults), ("L3", Class::OneLost), ("L4", Class::WitnessesOnly)];

/// What a `policy` line can set.
#[derive(Clone, Copy)]
enum Setting {
    UnhealthyAfter,
    ElectWait,
    Cooldown,
    Window,
    PromoteDeadline,
    MaxLag,
    Failovers,
    Attempts,
}

const SETTINGS: [(&str, Setting); 8] = [
    ("unhealthy-after", Setting::UnhealthyAfter),
    ("elect-wait", Setting::ElectWait),
    ("cooldown", Setting::Cooldown),
    ("window", Setting::Window),
    ("promote-deadline", Setting::PromoteDeadline),
    ("max-lag", Setting::MaxLag),
    ("failovers", Setting::Failovers),
    ("attempts", Setting::Attempts),
];

/// Reads a script; `file` is for messages.
///
/// # Errors
/// If it says something that is no script: the first such line.
pub fn parse(file: &str, text: &str) -> Result<Script, ScriptError> {
    let mut draft = Draft::new(file);
    for (line, text) in (1..).zip(text.lines()) {
        let stacks = Stack::try_from(draft.stacks.len()).unwrap_or(Stack::MAX);
        let mut words = Words::new(file, line, text, draft.sites, stacks);
        if !words.is_empty() {
            draft.read(&mut words)?;
        }
    }
    draft.finish()
}

/// A script that is being read.
struct Draft<'a> {
    file: &'a str,
    incident: String,
    rule: String,
    lacks: Option<String>,
    sites: Site,
    profile: Profile,
    settings: Vec<(Setting, u64)>,
    stacks: Vec<(Site, Mode)>,
    class: Class,
    acts: Vec<Act>,
    expectations: Vec<Expectation>,
    /// The last fixed time.
    at: Time,
}

impl<'a> Draft<'a> {
    const fn new(file: &'a str) -> Self {
        Self {
            file,
            incident: String::new(),
            rule: String::new(),
            lacks: None,
            sites: 3,
            profile: Profile::Metro,
            settings: Vec::new(),
            stacks: Vec::new(),
            class: Class::Calm,
            acts: Vec::new(),
            expectations: Vec::new(),
            at: 0,
        }
    }

    fn read(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        match words.peek() {
            "at" | "when" => self.read_act(words),
            "expect" => self.read_expectation(words),
            _ if self.acts.is_empty() && self.expectations.is_empty() => self.read_header(words),
            other => Err(words.wrong(
                "`at`, `when` or `expect`",
                other,
                format!("lines begin with one of {LINES}; who there is comes before what is done"),
            )),
        }
    }

    fn read_header(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        match words.next() {
            "incident" => self.incident = said(words, "incident GitHub, October 2018")?,
            "rule" => self.rule = said(words, "rule quorum is not permission")?,
            "lacks" => self.lacks = Some(said(words, "lacks the DNS record: not built yet")?),
            "sites" => {
                let sites = words.number("how many sites")?;
                let wrong = |_| words.wrong("3, 5 or 7 sites", &sites.to_string(), "write `sites 3`");
                self.sites = Site::try_from(sites).map_err(wrong)?;
                if ![3, 5, 7].contains(&self.sites) || usize::from(self.sites) > SITES_MAX {
                    return Err(words.wrong("3, 5 or 7 sites", &sites.to_string(), "write `sites 3`"));
                }
                words.end("sites 3")?;
            }
            "profile" => {
                self.profile = words.one_of("a profile", &PROFILES)?;
                words.end("profile metro")?;
            }
            "policy" => self.read_policy(words)?,
            "demand" => {
                self.class = words.one_of("a promise that holds for these faults", &DEMANDS)?;
                words.end("demand L3")?;
            }
            "stack" => self.read_stack(words)?,
            other => return Err(words.wrong("a line of a script", other, format!("there are: {LINES}"))),
        }
        Ok(())
    }

    fn read_policy(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        let setting = words.one_of("a setting of the policy", &SETTINGS)?;
        let value = match setting {
            Setting::MaxLag => words.number("how many bytes")?,
            Setting::Failovers | Setting::Attempts => words.number("how many")?,
            _ => words.duration()? / MILLI,
        };
        self.settings.push((setting, value));
        words.end("policy cooldown 10min")
    }

    /// `stack s1 active dc1 [mode observe]`
    fn read_stack(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        let example = format!("stack s{} active dc1", self.stacks.len() + 1);
        if self.stacks.len() == STACKS_MAX {
            return Err(words.wrong("no more stacks", words.peek(), format!("{STACKS_MAX} are enough")));
        }
        words.need(&format!("s{}", self.stacks.len() + 1), &example)?;
        words.need("active", &example)?;
        let site = words.site()?;
        let mode = if words.take("mode") { words.one_of("a mode", &MODES)? } else { Mode::Auto };
        self.stacks.push((site, mode));
        words.end(&example)
    }

    fn finish(self) -> Result<Script, ScriptError> {
        let lacks = |what: &str, remedy: &str| ScriptError {
            file: self.file.into(),
            line: 0,
            expected: what.into(),
            found: "none".into(),
            remedy: remedy.into(),
        };
        if self.incident.is_empty() {
            return Err(lacks("the incident's name", "add a line `incident GitHub, October 2018`"));
        }
        if self.rule.is_empty() {
            return Err(lacks("the rule that it teaches", "add a line `rule quorum is not permission`"));
        }
        if self.stacks.is_empty() {
            return Err(lacks("a stack", "add a line `stack s1 active dc1`"));
        }
        if self.acts.last().is_none_or(|act| act.deed != Deed::Heal) {
            return Err(lacks(
                "`heal` as the last act",
                "add a line `at 90s heal`: from there on everything must come right",
            ));
        }
        if self.expectations.is_empty() {
            return Err(lacks("an expectation", "add a line as `expect active dc1 throughout`"));
        }
        Ok(Script {
            file: self.file.into(),
            policy: policy(self.profile, &self.settings),
            incident: self.incident,
            rule: self.rule,
            lacks: self.lacks,
            sites: self.sites,
            profile: self.profile,
            stacks: self.stacks,
            class: self.class,
            acts: self.acts,
            expectations: self.expectations,
        })
    }
}

/// The rest of the line, in plain words.
fn said(words: &Words<'_>, example: &str) -> Result<String, ScriptError> {
    if words.is_empty() {
        return Err(words.wrong("some words", "", format!("write it as `{example}`")));
    }
    Ok(words.text().into())
}

fn policy(profile: Profile, settings: &[(Setting, u64)]) -> Policy {
    let timing = Timing::new(profile.values()).expect("the profiles keep the rules");
    let mut policy = Policy::with_timing(timing);
    for (setting, value) in settings {
        let count = u32::try_from(*value).unwrap_or(u32::MAX);
        match setting {
            Setting::UnhealthyAfter => policy.unhealthy_after = Millis(*value),
            Setting::ElectWait => policy.elect_wait = Millis(*value),
            Setting::Cooldown => policy.cooldown = Millis(*value),
            Setting::Window => policy.window = Millis(*value),
            Setting::PromoteDeadline => policy.promote_deadline = Millis(*value),
            Setting::MaxLag => policy.max_lag_bytes = *value,
            Setting::Failovers => policy.failovers_max = count,
            Setting::Attempts => policy.attempts_max = count,
        }
    }
    policy
}
