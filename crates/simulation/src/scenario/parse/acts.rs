//! `at` and `when`: what is done.

use super::{Draft, MODES};
use crate::history::Time;
use crate::plan::Clocks;
use crate::postgres::Ill;
use crate::scenario::script::{Act, Blow, Deed, Kind, Occasion, Part, When};
use crate::scenario::words::{ScriptError, Words};

const PARTS: [(&str, Part); 3] = [("witness", Part::Witness), ("actor", Part::Actor), ("gate", Part::Gate)];

const ILLS: [(&str, Ill); 6] = [
    ("hangs", Ill::Hangs),
    ("promote-hangs", Ill::PromoteStalls),
    ("promote-fails", Ill::PromoteFails),
    ("slow-stop", Ill::SlowStop),
    ("disk-full", Ill::DiskFull),
    ("outlives-kill", Ill::OutlivesKill),
];

/// What can be lost for good.
const LOSSES: [(&str, Blow); 3] =
    [("data", Blow::LoseData), ("store", Blow::LoseStore), ("record", Blow::LoseRecord)];

const DEEDS: &str = "cut, isolate, deafen, mute, slow, kill, stop, power-off, freeze, suspend, lag, lose, \
                     disk-full, ill, operator, heal";

impl Draft<'_> {
    pub(super) fn read_act(&mut self, words: &mut Words<'_>) -> Result<(), ScriptError> {
        let (line, text) = (words.line(), String::from(words.text()));
        if self.acts.last().is_some_and(|act| act.deed == Deed::Heal) {
            return Err(words.wrong("nothing after `heal`", words.peek(), "`heal` is the last act"));
        }
        let when = self.read_when(words)?;
        let word = words.peek();
        let deed = read_deed(words)?;
        if deed == Deed::Heal && !matches!(when, When::At(_)) {
            return Err(words.wrong("a fixed time for `heal`", word, "write it as `at 90s heal`"));
        }
        let lasts = if words.take("for") { words.duration()? } else { Time::MAX };
        words.end("at 10s isolate dc1 for 43s")?;
        self.acts.push(Act { line, text, when, deed, lasts });
        Ok(())
    }

    fn read_when(&mut self, words: &mut Words<'_>) -> Result<When, ScriptError> {
        if words.next() == "when" {
            let occasion = read_occasion(words)?;
            words.need("then", "when elected dc2 then kill leader")?;
            let later = if words.take("after") { words.duration()? } else { 0 };
            return Ok(When::On(occasion, later));
        }
        let word = words.peek();
        let at = words.duration()?;
        if at < self.at {
            let earliest = format!("at least {:.1} s", self.at as f64 / 1e6);
            return Err(words.wrong(&earliest, word, "write what is done in the order of time"));
        }
        self.at = at;
        Ok(When::At(at))
    }
}

/// `elected s1 dc2 or dc3`: the stack and the sites may be left out.
pub(super) fn read_occasion(words: &mut Words<'_>) -> Result<Occasion, ScriptError> {
    let kind = words.one_of("something that occurs", &Kind::ALL)?;
    let stack = words.stack()?;
    Ok(Occasion { kind, stack, sites: words.sites()? })
}

fn read_deed(words: &mut Words<'_>) -> Result<Deed, ScriptError> {
    let word = words.peek();
    words.next();
    let blow = match word {
        "cut" => return read_cut(words),
        "operator" => return read_operator(words),
        "heal" => return Ok(Deed::Heal),
        "isolate" => Blow::Isolate(true, true),
        "deafen" => Blow::Isolate(true, false),
        "mute" => Blow::Isolate(false, true),
        "kill" => return read_kill(words),
        "stop" => Blow::Stop(words.one_of("a process", &PARTS)?),
        "power-off" => Blow::PowerOff,
        "freeze" => Blow::Freeze(Clocks::Run),
        "suspend" => Blow::Freeze(Clocks::Suspend),
        "lag" => Blow::Lag,
        "lose" => words.one_of("what is lost", &LOSSES)?,
        "disk-full" => Blow::DiskFull,
        "ill" => {
            let (stack, place) = (words.stack()?, words.place()?);
            return Ok(Deed::Blow(Blow::Ill(words.one_of("an illness", &ILLS)?), stack, place));
        }
        "slow" => {
            let (stack, place) = (words.stack()?, words.place()?);
            words.need("by", "slow dc1 by 200ms")?;
            return Ok(Deed::Blow(Blow::Slow(words.duration()?), stack, place));
        }
        other => return Err(words.wrong("something that is done", other, format!("there are: {DEEDS}"))),
    };
    Ok(Deed::Blow(blow, words.stack()?, words.place()?))
}

/// `cut dc1 dc2`, `cut dc1 to dc2`
fn read_cut(words: &mut Words<'_>) -> Result<Deed, ScriptError> {
    let from = words.site()?;
    let one_way = words.take("to");
    let word = words.peek();
    let to = words.site()?;
    if from == to {
        return Err(words.wrong("another site", word, "a link is between two sites"));
    }
    Ok(Deed::Cut(from, to, !one_way))
}

/// `kill gate dc1`, `kill leader`, `kill postmaster dc1 leaving backend`
fn read_kill(words: &mut Words<'_>) -> Result<Deed, ScriptError> {
    if words.peek() == "leader" {
        return Ok(Deed::Blow(Blow::Kill(Part::Witness), 0, words.place()?));
    }
    if words.take("postmaster") {
        let (stack, place) = (words.stack()?, words.place()?);
        let leaves = words.take("leaving");
        if leaves {
            words.need("backend", "kill postmaster dc1 leaving backend")?;
        }
        return Ok(Deed::Blow(Blow::KillPostmaster(leaves), stack, place));
    }
    let part = words.one_of("a process, `postmaster` or `leader`", &PARTS)?;
    Ok(Deed::Blow(Blow::Kill(part), words.stack()?, words.place()?))
}

/// `operator failover s1 to dc2`, `operator mode s1 observe`, `operator attest s1`
fn read_operator(words: &mut Words<'_>) -> Result<Deed, ScriptError> {
    let word = words.peek();
    words.next();
    match word {
        "failover" => {
            let stack = words.stack()?;
            words.need("to", "operator failover s1 to dc2")?;
            Ok(Deed::Failover(stack, words.site()?))
        }
        "mode" => Ok(Deed::SetMode(words.stack()?, words.one_of("a mode", &MODES)?)),
        "attest" => Ok(Deed::Attest(words.stack()?)),
        other => {
            Err(words.wrong("what an operator does", other, "there are: failover, mode, attest (so far)"))
        }
    }
}
