//! What must hold of a run, judged while it runs, from what witnesses applied, actors were
//! granted and callers were told: never from how a part sees itself.

use crate::clocks;
use crate::dice::{FNV, fnv};
use consensus::{Applied, Leadership};
use coordination::{Command, Entry, Outcome, State};
use model::{
    Epoch, Grant, GroupStatus, Incarnation, LogIndex, Millis, Moment, RenewalNumber, SiteId, StackId,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines of the story that are kept for who asks why.
const LINES_KEPT: usize = 400;

/// What was applied at one index, wherever it was first.
#[derive(Clone, Debug)]
struct Row {
    /// None if only the state after it was ever seen.
    entry: Option<u64>,
    /// Of a renewal that was accepted.
    renewed: Option<(SiteId, Incarnation, RenewalNumber)>,
    digest: u64,
}

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub entries: u64,
    pub leaders: u64,
    pub grants: u64,
    pub refused_grants: u64,
    pub statuses: u64,
    pub refused_statuses: u64,
    pub expiries: u64,
    pub elections: u64,
    pub restarts: u64,
    pub snapshots: u64,
    /// Questions to a witness that was cut from all others, and was refused.
    pub alone_refused: u64,
    pub lapses: u64,
}

/// What an actor holds, on its own clocks.
#[derive(Clone, Debug)]
struct Held {
    host: String,
    /// When the renewal of the latest grant was sent, on the actor's clocks.
    sent: Option<Moment>,
    number: RenewalNumber,
    /// What it may run: the epoch, and until when; none for a held cover.
    right: Option<(StackId, Epoch, Option<model::Deadline>)>,
    epoch: Epoch,
    /// Answers in their order.
    index: LogIndex,
    lapsed: bool,
}

#[derive(Debug, Default)]
struct Witnessed {
    index: LogIndex,
    epochs: BTreeMap<StackId, Epoch>,
}

/// All that is known of one run.
#[derive(Debug, Default)]
pub struct Judge {
    rows: BTreeMap<LogIndex, Row>,
    witnesses: BTreeMap<SiteId, Witnessed>,
    actors: BTreeMap<SiteId, Held>,
    leaders: BTreeMap<u64, SiteId>,
    acknowledged: LogIndex,
    /// The stack's site by the latest state seen anywhere, and that state's index.
    active: Option<(LogIndex, SiteId)>,
    /// D and F.
    lease: Millis,
    fence: Millis,
    /// While set, no actor's lease may lapse and no site may change (L2, L3).
    calm: bool,
    pub counts: Counts,
    pub violations: Vec<String>,
    digest: u64,
    lines: VecDeque<String>,
    aloud: bool,
}

/// Shared by all hosts of a run.
pub type Shared = Arc<Mutex<Judge>>;

/// The judge, whoever holds it.
pub fn lock(judge: &Shared) -> MutexGuard<'_, Judge> {
    judge.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Judge {
    pub fn new(lease: Millis, fence: Millis, aloud: bool) -> Self {
        Self { lease, fence, aloud, digest: FNV, ..Self::default() }
    }

    /// One line of the story. Two runs of a seed are the same if their stories are.
    pub fn tell(&mut self, who: &str, what: &str) {
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = write!(line, "{:>9.3} {who:<8} {what}", clocks::elapsed().as_secs_f64());
        self.digest = fnv(self.digest, line.as_bytes());
        if self.aloud {
            eprintln!("{line}");
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn violated(&mut self, rule: &str, how: String) {
        self.tell("JUDGE", &format!("{rule}: {how}"));
        // One defect shows many times; the first few say it.
        if self.violations.len() < 20 {
            self.violations.push(format!("{rule}: {how}"));
        }
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub fn lines(&self) -> impl Iterator<Item = &String> {
        self.lines.iter()
    }

    /// The leader of the latest term that had one, with a quorum behind it.
    pub fn leader(&self) -> Option<SiteId> {
        self.leaders.last_key_value().map(|(_, site)| site.clone())
    }

    /// The stack's site, by the latest state that any witness applied.
    pub fn active(&self) -> Option<SiteId> {
        self.active.as_ref().map(|(_, site)| site.clone())
    }

    /// From now on, or no longer, a lapse of any actor's lease is a violation.
    pub fn expect_calm(&mut self, calm: bool) {
        self.calm = calm;
    }

    /// A witness's program ended by itself.
    pub fn ended(&mut self, site: &SiteId, error: &str, expected: bool) {
        self.tell(&format!("w-{site}"), &format!("ended: {error}"));
        if !expected {
            self.violated("S6", format!("the witness of {site} ended by itself: {error}"));
        }
    }

    pub fn applied(&mut self, site: &SiteId, applied: &Applied) {
        match applied {
            Applied::Entry { index, entry, outcome, state } => {
                self.follows(site, *index);
                self.expired(entry, outcome, *index);
                if let Outcome::Diverged = outcome {
                    self.violated("S7", format!("{site} diverged at {index}"));
                }
                if let Command::Elect { site: elected, epoch, .. } = &entry.command
                    && *outcome == Outcome::Applied
                    && !self.rows.contains_key(index)
                {
                    self.counts.elections += 1;
                    if self.calm {
                        self.violated("L2", format!("{elected} was elected though no site was away"));
                    }
                    self.tell("group", &format!("elected {elected} after epoch {epoch} at {index}"));
                }
                let hash = fnv(FNV, format!("{entry:?}").as_bytes());
                self.same(site, *index, Some(hash), renewed(entry, outcome), state);
                self.tell(&format!("w-{site}"), &format!("applied {index} {:x}", hash & 0xffff));
            }
            Applied::Restored { state } => {
                let before = self.witnesses.entry(site.clone()).or_default().index;
                self.counts.snapshots += u64::from(before > LogIndex(0));
                self.tell(&format!("w-{site}"), &format!("restored at {}", state.index()));
                self.witnesses.entry(site.clone()).or_default().index = state.index();
                self.same(site, state.index(), None, None, state);
            }
        }
        let state = match applied {
            Applied::Entry { state, .. } | Applied::Restored { state } => state,
        };
        self.epochs_grow(site, state);
    }

    /// A witness applies the log in its order, without a hole.
    fn follows(&mut self, site: &SiteId, index: LogIndex) {
        let last = self.witnesses.entry(site.clone()).or_default();
        let wanted = last.index.next();
        last.index = index;
        if index != wanted {
            self.violated("S7", format!("{site} applied {index} where {wanted} was next"));
        }
    }

    /// Equal entries and equal states at equal indices, everywhere and for ever.
    fn same(
        &mut self,
        site: &SiteId,
        index: LogIndex,
        entry: Option<u64>,
        renewed: Option<(SiteId, Incarnation, RenewalNumber)>,
        state: &State,
    ) {
        let digest = state.digest();
        let Some(row) = self.rows.get_mut(&index) else {
            self.counts.entries += u64::from(entry.is_some());
            self.rows.insert(index, Row { entry, renewed, digest });
            return;
        };
        let other_entry = row.entry.is_some() && entry.is_some() && row.entry != entry;
        let other_state = row.digest != digest;
        row.entry = row.entry.or(entry);
        row.renewed = row.renewed.take().or(renewed);
        if other_entry || other_state {
            let what = if other_entry { "another entry" } else { "another state" };
            self.violated("S7", format!("{site} has {what} at {index} than was committed there before"));
        }
    }

    /// Within one run of a witness: after a restart it begins behind where it was.
    fn epochs_grow(&mut self, site: &SiteId, state: &State) {
        let seen = self.witnesses.entry(site.clone()).or_default();
        let mut wrong = Vec::new();
        for (name, stack) in state.stacks() {
            let epoch = stack.epoch();
            let highest = seen.epochs.entry(name.clone()).or_default();
            if epoch < *highest {
                wrong.push(format!("{site}: {name} went from epoch {highest} back to {epoch}"));
            }
            *highest = epoch.max(*highest);
        }
        let newer = self.active.as_ref().is_none_or(|(index, _)| *index < state.index());
        if newer && let Some(active) = state.stacks().values().find_map(|stack| stack.active.as_ref()) {
            self.active = Some((state.index(), active.site.clone()));
        }
        for how in wrong {
            self.violated("S3", how);
        }
    }

    /// `Expire` may come only once the holder must have stopped, on the holder's own clocks: D,
    /// and F after it.
    fn expired(&mut self, entry: &Entry, outcome: &Outcome, index: LogIndex) {
        let Command::Expire { site, .. } = &entry.command else { return };
        if *outcome != Outcome::Applied || self.rows.contains_key(&index) {
            return;
        }
        self.counts.expiries += 1;
        self.tell("group", &format!("expired {site} at {index}"));
        let Some(actor) = self.actors.get(site) else { return };
        let Some(sent) = actor.sent else { return };
        let held = clocks::of(&actor.host, clocks::elapsed()).elapsed_shortest(sent);
        let least = self.lease.plus(self.fence);
        if held < least {
            let number = actor.number;
            self.violated(
                "S1",
                format!("{site} expired {held} after it sent {number}, and it may act for {least}"),
            );
        }
        if self.calm {
            self.violated("L3", format!("{site} expired though no actor was away"));
        }
    }

    /// Nobody leads in a term in which another one led with a quorum behind it.
    pub fn leads(&mut self, site: &SiteId, leadership: &Leadership) {
        let Leadership { leader, term, me_leading } = leadership;
        let leader = leader.as_ref().map_or("nobody", |l| l.as_str());
        self.tell(&format!("w-{site}"), &format!("term {term}, leader {leader}"));
        if !me_leading {
            return;
        }
        match self.leaders.get(term) {
            None => {
                self.counts.leaders += 1;
                self.leaders.insert(*term, site.clone());
            }
            Some(other) if other == site => {}
            Some(other) => {
                let how = format!("{other} and {site} both led in term {term}");
                self.violated("S7", how);
            }
        }
    }

    /// A witness's program starts.
    pub fn starts(&mut self, site: &SiteId) {
        self.tell(&format!("w-{site}"), "starts");
        self.counts.restarts += u64::from(self.witnesses.contains_key(site));
        let seen = self.witnesses.entry(site.clone()).or_default();
        seen.index = LogIndex(0);
        // What it knew it may have to learn again: the others hold it.
        seen.epochs.clear();
    }

    /// An actor's program starts.
    pub fn actor_starts(&mut self, site: &SiteId, host: &str) {
        self.tell(host, "starts");
        let epoch = self.actors.get(site).map_or(Epoch::NONE, |actor| actor.epoch);
        let held = Held {
            host: host.to_owned(),
            sent: None,
            number: RenewalNumber(0),
            right: None,
            epoch,
            index: LogIndex(0),
            lapsed: false,
        };
        self.actors.insert(site.clone(), held);
    }

    /// An actor is gone, and with it everything that it ran.
    pub fn actor_gone(&mut self, site: &SiteId) {
        if let Some(actor) = self.actors.get_mut(site) {
            actor.right = None;
            actor.sent = None;
        }
    }

    /// An actor took a grant for a renewal that it sent at `sent`.
    pub fn granted(&mut self, site: &SiteId, sent: Moment, grant: &Grant) {
        self.counts.grants += 1;
        self.tell(&format!("a-{site}"), &format!("granted {} at {}", grant.number, grant.index));
        let wanted = (site.clone(), grant.incarnation, grant.number);
        match self.rows.get(&grant.index) {
            Some(row) if row.renewed.as_ref() == Some(&wanted) => {}
            _ => {
                let how = format!(
                    "{site} was granted {} at {}, which holds no such renewal",
                    grant.number, grant.index
                );
                self.violated("S7", how);
            }
        }
        self.acknowledged = self.acknowledged.max(grant.index);
        let Some(actor) = self.actors.get_mut(site) else { return };
        if grant.number >= actor.number {
            actor.number = grant.number;
            actor.sent = Some(sent);
        }
    }

    pub fn not_granted(&mut self, site: &SiteId, why: &str) {
        self.counts.refused_grants += 1;
        self.tell(&format!("a-{site}"), &format!("not granted: {why}"));
    }

    /// What an actor may run from now on, as its own table of grants says.
    pub fn holds(
        &mut self,
        site: &SiteId,
        right: Option<(StackId, Epoch, Option<model::Deadline>)>,
        index: LogIndex,
    ) {
        let Some(actor) = self.actors.get_mut(site) else { return };
        let epoch = right.as_ref().map_or(Epoch::NONE, |(_, epoch, _)| *epoch);
        let back = right.is_some() && index >= actor.index && epoch < actor.epoch;
        let before = actor.epoch;
        actor.index = actor.index.max(index);
        actor.epoch = actor.epoch.max(epoch);
        actor.right = right;
        if back {
            self.violated("S3", format!("{site} was given epoch {epoch} after {before}"));
        }
    }

    /// What a caller asked at `floor` was told: everything acknowledged before is in it. `alone` if
    /// the witness reached no other from before the question until after the answer.
    pub fn told(&mut self, at: &SiteId, floor: LogIndex, alone: bool, status: &GroupStatus) {
        self.counts.statuses += 1;
        self.tell("viewer", &format!("{at} answered with {}", status.index));
        if status.stale {
            return;
        }
        if status.index < floor {
            let how = format!("{at} vouched for index {} after {floor} had been acknowledged", status.index);
            self.violated("linearizable", how);
        }
        if alone {
            self.violated(
                "linearizable",
                format!("{at} vouched for its state, and reached nobody to confirm it"),
            );
        }
    }

    pub fn not_told(&mut self, at: &SiteId, alone: bool, code: &str) {
        self.counts.refused_statuses += 1;
        self.counts.alone_refused += u64::from(alone);
        self.tell("viewer", &format!("{at} refused: {code}"));
    }

    /// Highest index that anybody was told is committed.
    pub fn acknowledged(&self) -> LogIndex {
        self.acknowledged
    }

    /// At every step: who may run the stack now, and whose lease has lapsed.
    pub fn look(&mut self, elapsed: Duration) {
        let mut running: Vec<(SiteId, Epoch)> = Vec::new();
        let mut lapsed = Vec::new();
        for (site, actor) in &mut self.actors {
            let now = clocks::of(&actor.host, elapsed);
            if let Some((_, epoch, deadline)) = &actor.right
                && deadline.is_none_or(|deadline| !deadline.is_over(now))
            {
                running.push((site.clone(), *epoch));
            }
            let over = actor.sent.is_some_and(|sent| now.elapsed_longest(sent) > self.lease);
            if over && !actor.lapsed {
                lapsed.push(site.clone());
            }
            actor.lapsed = over;
        }
        if running.len() > 1 {
            let names: Vec<String> =
                running.iter().map(|(site, epoch)| format!("{site} at {epoch}")).collect();
            self.violated("S1", format!("several may run the stack: {}", names.join(", ")));
        }
        for site in lapsed {
            self.counts.lapses += 1;
            self.tell(&format!("a-{site}"), "its lease lapses");
            if self.calm {
                self.violated("L3", format!("{site} lost its lease though its actor was never away"));
            }
        }
    }

    /// At the end, healed: every witness has everything that was acknowledged, and one state.
    pub fn at_the_end(&mut self, witnesses: &[SiteId]) {
        for site in witnesses {
            let index = self.witnesses.get(site).map_or(LogIndex(0), |seen| seen.index);
            if index < self.acknowledged {
                let how = format!("{site} ends at {index}, and {} was acknowledged", self.acknowledged);
                self.violated("durability", how);
            }
        }
        let idle: Vec<SiteId> = self
            .actors
            .iter()
            .filter(|(_, a)| a.lapsed || a.sent.is_none())
            .map(|(s, _)| s.clone())
            .collect();
        for site in idle {
            self.violated("L1", format!("{site} has no lease at the end, and nothing is broken any more"));
        }
        if !self.actors.values().any(|actor| actor.right.is_some()) {
            self.violated(
                "L1",
                "nobody may run the stack at the end, and nothing is broken any more".to_owned(),
            );
        }
    }
}

fn renewed(entry: &Entry, outcome: &Outcome) -> Option<(SiteId, Incarnation, RenewalNumber)> {
    match (&entry.command, outcome) {
        (Command::Renew { request, .. }, Outcome::Renewed { .. }) => {
            Some((request.site.clone(), request.incarnation, request.number))
        }
        _ => None,
    }
}

/// One witness's window to the judge.
pub struct Watcher {
    pub site: SiteId,
    pub judge: Shared,
}

impl witness::Observer for Watcher {
    fn applied(&self, applied: &Applied) {
        lock(&self.judge).applied(&self.site, applied);
    }

    fn leadership(&self, leadership: &Leadership) {
        lock(&self.judge).leads(&self.site, leadership);
    }
}

#[cfg(test)]
mod tests;
