//! S4: no acknowledged write is lost beyond what was promised.
//!
//! - A row that was acknowledged while the server waited for standbys is on the site that was
//!   elected last.
//! - In asynchronous mode rows may be missing: those acknowledged after the group last heard of
//!   the old site, less the time that a report may be old; of those before, at most `max_lag`
//!   bytes. Reports leave no trace; they take the way of the renewals: the group heard of a site
//!   while one after the other was committed in time.
//! - A standby receives nothing after it has reported the end of its log: where it is promoted,
//!   its new timeline begins at the very position that it reported.
//! - What a standby had reported to have, that streamed and renewed and whose promotion did not
//!   fail, is not lost by electing another.
//! - What a failover's new site acknowledged before anybody streamed from it is given up by nobody
//!   but a human.
//!
//! Where the last epoch is closed, or was never opened, nothing is lost yet: what counts is what
//! all sites together have. Not judged where the site elected last has lost its data directory since.

use super::agreed::{Agreed, Detachment, entry};
use super::lost_writes::Tally;
use super::s1_one_writer::final_database;
use super::{Checker, Found};
use crate::history::{History, MILLI, Record, SECOND, Setup, Site, Stack, Time, What};
use coordination::invariants::Invariant::S4NoLostAcknowledgement;
use coordination::{Command, Outcome};
use model::{Epoch, Incarnation, Lsn, RenewRequest, RenewalNumber, StepKind, Timeline, WalPosition};
use std::collections::VecDeque;

/// A report of a standby's lag, and the news that it makes, may be this much older than the
/// renewal that was heard last.
const REPORT_AGE_MAX: Time = 8 * SECOND;
/// Sends of a site that are remembered; older ones are answered or lost.
const SENDS_MAX: usize = 32;

/// An acknowledgement.
#[derive(Clone, Copy, Debug)]
struct Ack {
    at: Time,
    site: Site,
    row: u64,
    timeline: Timeline,
    lsn: Lsn,
    synchronous: bool,
}

/// A change of site: what was known when it was agreed.
struct Change {
    from: Site,
    to: Site,
    at: Time,
    /// Where the new timeline begins: what is beyond is lost there.
    start: Option<Lsn>,
    /// How far `to` had come when it let go.
    reached: Option<WalPosition>,
    /// When the group last heard of `from`, and had done so for long.
    heard: Time,
    /// Reported ends of standbys that streamed and did not fail.
    heard_of: Vec<Detachment>,
    /// Since when `from` ran what only a human may give up.
    alone: Option<Time>,
}

#[derive(Default)]
struct OneStack {
    acks: Vec<Ack>,
    changes: Vec<Change>,
    /// Where the epoch that a gate promotes for must begin, by its own report.
    due: Vec<(Site, Epoch, Lsn)>,
    promoting: Vec<(Site, Epoch)>,
    /// Sites whose gate does not run, one bit each: they cannot be elected.
    gates_away: u32,
    /// A primary began at the site that was elected last, since it was.
    opened: bool,
}

/// Judges S4.
pub(super) struct NoLostAcknowledgement {
    max_lag: u64,
    /// Who renewed within this is there.
    fresh: Time,
    /// `elect.wait`
    patience: Time,
    /// `detect.unhealthy_after`
    illness: Time,
    stacks: Vec<OneStack>,
    /// By site: when its last two renewals were committed.
    renewed: Vec<[Time; 2]>,
    hearing: Vec<Hearing>,
}

/// How well the group hears of a site.
#[derive(Clone, Debug, Default)]
struct Hearing {
    sends: VecDeque<(Incarnation, RenewalNumber, Time)>,
    /// The last send that was committed in time, and since when none was missing.
    last: Time,
    since: Time,
    /// The last one that was preceded by others for as long as a report may be old.
    steady: Time,
}

impl Hearing {
    fn sent(&mut self, incarnation: Incarnation, number: RenewalNumber, at: Time) {
        if self.sends.len() == SENDS_MAX {
            self.sends.pop_front();
        }
        self.sends.push_back((incarnation, number, at));
    }

    fn committed(&mut self, request: &RenewRequest, at: Time, gap_max: Time) {
        let send = self.sends.iter().find(|(i, n, _)| (*i, *n) == (request.incarnation, request.number));
        let Some(sent) = send.map(|(.., sent)| *sent) else { return };
        if sent > self.last + gap_max || at > sent + gap_max {
            self.since = at;
        }
        self.last = self.last.max(sent);
        if sent >= self.since + REPORT_AGE_MAX {
            self.steady = sent;
        }
    }
}

impl NoLostAcknowledgement {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            max_lag: setup.policy.max_lag_bytes,
            fresh: setup.policy.timing.values().renew_every.0 * 3 / 2 * MILLI,
            patience: setup.policy.elect_wait.0 * MILLI,
            illness: setup.policy.unhealthy_after.0 * MILLI,
            stacks: (0..setup.stacks).map(|_| OneStack::default()).collect(),
            renewed: vec![[0; 2]; usize::from(setup.sites)],
            hearing: vec![Hearing::default(); usize::from(setup.sites)],
        }
    }

    fn committed(&mut self, record: &Record, agreed: &Agreed, history: &History, index: model::LogIndex) {
        let Some(committed) = entry(history, index) else { return };
        match (&committed.entry.command, &committed.outcome) {
            (Command::Renew { request, .. }, Outcome::Renewed { repeated: false, .. }) => {
                if let Some(site) = History::site_named(&request.site) {
                    let [_, last] = self.renewed[usize::from(site)];
                    self.renewed[usize::from(site)] = [last, record.at];
                    self.hearing[usize::from(site)].committed(request, record.at, self.fresh * 2);
                }
            }
            (Command::Elect { stack, epoch, site }, Outcome::Applied) => {
                let (Some(stack), Some(to)) = (History::stack_named(stack), History::site_named(site)) else {
                    return;
                };
                let known = &agreed.stacks[usize::from(stack)];
                let Some(from) = known.active() else { return };
                if from.site == to {
                    return;
                }
                // Of one that seemed to be ill, only what it said while it was well counts.
                let well = known.sick.map_or(Time::MAX, |begun| begun.saturating_sub(self.illness));
                let heard = self.hearing[usize::from(from.site)].steady.min(well);
                // Who is there counts: for a moment after the fence, and later if it let go a moment
                // before. And so does everybody, there or not, for a moment after the last detachment.
                // What came while the election was under way already counts for nothing.
                let decided = committed.entry.at.0 * MILLI;
                let all = known.detachments.iter().filter(|d| d.epoch == *epoch);
                let reported = all.clone().filter(|d| d.at < decided);
                let last = reported.clone().map(|d| d.at).max();
                let hasty = known.closed.is_some_and(|closed| decided < closed + self.patience);
                let waits = last.is_some_and(|last| decided < last + self.patience * 9 / 10);
                let counts = |d: &&Detachment| {
                    let renewed = self.renewed[usize::from(d.site)];
                    let fresh = renewed.iter().any(|at| *at < decided && decided <= at + self.fresh);
                    let streamed = (known.streamed & !known.failed & !known.lost) >> d.site & 1 == 1;
                    let away = self.stacks[usize::from(stack)].gates_away >> d.site & 1 == 1;
                    let there = fresh && !away && (hasty || d.at + self.patience <= decided);
                    streamed && (there || waits)
                };
                let position = all.clone().find(|d| d.site == to).map(|d| d.position);
                let own = position.map(|p| p.lsn);
                let alone = known.needs_consent().then_some(from.at);
                let heard_of = reported.filter(counts).copied().collect();
                let one = &mut self.stacks[usize::from(stack)];
                one.changes.push(Change {
                    from: from.site,
                    to,
                    at: record.at,
                    start: None,
                    reached: position,
                    heard,
                    heard_of,
                    alone,
                });
                one.opened = false;
                one.due.retain(|(site, ..)| *site != to);
                one.due.extend(own.map(|lsn| (to, epoch.next(), lsn)));
            }
            _ => {}
        }
    }
}

impl Checker for NoLostAcknowledgement {
    fn take(&mut self, record: &Record, agreed: &Agreed, history: &History, found: &mut Found) {
        match record.what {
            What::RenewSent { site, incarnation, number } => {
                self.hearing[usize::from(site)].sent(incarnation, number, record.at);
            }
            What::GateBegan { stack, site } => self.stacks[usize::from(stack)].gates_away &= !(1 << site),
            What::GateEnded { stack, site } => self.stacks[usize::from(stack)].gates_away |= 1 << site,
            What::Acked { stack, site, row, timeline, lsn, synchronous, .. } => {
                let ack = Ack { at: record.at, site, row, timeline, lsn, synchronous };
                self.stacks[usize::from(stack)].acks.push(ack);
            }
            What::StepBegan { stack, site, epoch, step: StepKind::Promote } => {
                let promoting = &mut self.stacks[usize::from(stack)].promoting;
                promoting.retain(|(s, _)| *s != site);
                promoting.push((site, epoch));
            }
            What::PrimaryBegan { stack, site, start, .. } => {
                let active = agreed.stacks[usize::from(stack)].active();
                let one = &mut self.stacks[usize::from(stack)];
                one.opened |= active.is_none_or(|active| active.site == site);
                if let Some(change) = one.changes.last_mut().filter(|c| c.to == site && c.start.is_none()) {
                    change.start = Some(start);
                }
                let epoch = one.promoting.iter().find(|(s, _)| *s == site).map(|(_, e)| *e);
                let due = one.due.iter().position(|(s, e, _)| *s == site && Some(*e) == epoch);
                if let Some(due) = due {
                    let (_, epoch, reported) = one.due.swap_remove(due);
                    if reported != start {
                        let text = format!(
                            "dc{} reported {reported} as the end of its log, and epoch {epoch} begins at {start}",
                            site + 1
                        );
                        found.add(S4NoLostAcknowledgement, record.at, stack, text);
                    }
                }
            }
            What::Committed { index } => self.committed(record, agreed, history, index),
            _ => {}
        }
    }

    fn finish(&mut self, agreed: &Agreed, history: &History, found: &mut Found) {
        for (stack, one) in (0..).zip(&self.stacks) {
            let known = &agreed.stacks[usize::from(stack)];
            let gone = |site: Site| known.lost >> site & 1 == 1;
            let active = known.active().filter(|active| !gone(active.site));
            let Some(winner) = active.and_then(|e| final_database(history, stack, e.site)) else { continue };
            // An expiry closes no held cover: one that takes writes is open, whatever was agreed.
            let decided = winner.primary || (one.opened && known.closed.is_none());
            if decided {
                judge(stack, one, &winner.rows, self.max_lag, found);
            } else {
                judge(stack, one, &rows_of_all(history, stack), self.max_lag, found);
            }
        }
    }
}

/// What any site still has, sorted.
fn rows_of_all(history: &History, stack: Stack) -> Vec<u64> {
    let databases = history.databases.get(usize::from(stack)).into_iter().flatten();
    let mut rows: Vec<u64> = databases.flat_map(|database| &database.rows).copied().collect();
    rows.sort_unstable();
    rows
}

/// What was lost of before the group last heard of the old site, by one change of site.
#[derive(Clone, Copy, Default)]
struct Cost {
    tally: Tally,
    span: Option<(Lsn, Lsn)>,
}

impl Cost {
    fn lose(&mut self, ack: &Ack) {
        self.tally.lose(ack.at);
        let (low, high) = self.span.unwrap_or((ack.lsn, ack.lsn));
        self.span = Some((low.min(ack.lsn), high.max(ack.lsn)));
    }

    fn bytes(&self) -> u64 {
        self.span.map_or(0, |(low, high)| high.bytes_since(low))
    }
}

impl Change {
    /// The winner's new timeline begins below the row.
    fn cuts(&self, ack: &Ack) -> bool {
        self.start.is_some_and(|start| start < ack.lsn)
    }

    /// The winner had let go before the row, promoted or not.
    fn passes_over(&self, ack: &Ack) -> bool {
        self.reached.is_some_and(|r| (r.timeline, r.lsn) < (ack.timeline, ack.lsn))
    }

    /// What speaks against losing the row here, if anything.
    fn blame(&self, ack: &Ack) -> Option<String> {
        let row = ack.row;
        let holds = |d: &&Detachment| d.position.timeline == ack.timeline && d.position.lsn >= ack.lsn;
        if let Some(holder) = self.heard_of.iter().find(holds) {
            let (holder, to) = (holder.site + 1, self.to + 1);
            return Some(format!(
                "row {row:x} is lost; dc{holder} had reported to have it when dc{to} was elected"
            ));
        }
        let alone = self.alone.is_some_and(|since| ack.site == self.from && ack.at >= since);
        let from = self.from + 1;
        alone.then(|| format!("row {row:x} is lost; nobody had streamed from dc{from}, and nobody was asked"))
    }
}

fn judge(stack: Stack, one: &OneStack, rows: &[u64], max_lag: u64, found: &mut Found) {
    let mut add = |at, text| found.add(S4NoLostAcknowledgement, at, stack, text);
    let mut costs = vec![Cost::default(); one.changes.len()];
    for ack in one.acks.iter().filter(|a| rows.binary_search(&a.row).is_err()) {
        let (row, site) = (ack.row, ack.site + 1);
        if ack.synchronous {
            add(ack.at, format!("dc{site} acknowledged row {row:x}, and it is lost"));
        }
        // Sites may be passed over one after the other; the first new timeline that begins below
        // the row is the end of it.
        let later = one.changes.iter().enumerate().filter(|(_, c)| c.at >= ack.at);
        let mut places = Vec::new();
        for (place, change) in later {
            if change.cuts(ack) || change.passes_over(ack) {
                places.push(place);
            }
            if change.cuts(ack) {
                break;
            }
        }
        let Some(first) = places.first().copied() else {
            // Acknowledged after its site was left: S1's business.
            if !one.changes.iter().any(|c| c.from == ack.site && c.at < ack.at) {
                add(ack.at, format!("row {row:x} of dc{site} is lost, and no change of site explains it"));
            }
            continue;
        };
        if let Some(text) = places.iter().find_map(|place| one.changes[*place].blame(ack)) {
            add(ack.at, text);
        }
        if ack.at + REPORT_AGE_MAX < one.changes[first].heard {
            costs[first].lose(ack);
        }
    }
    for (cost, change) in costs.iter().zip(&one.changes) {
        let (bytes, lost) = (cost.bytes(), cost.tally.lost);
        if bytes > max_lag {
            let from = change.from + 1;
            let text = format!(
                "{lost} rows over {bytes} bytes are lost that dc{from} acknowledged long before it was lost"
            );
            add(cost.tally.last.unwrap_or(change.at), text);
        }
    }
}

#[cfg(test)]
mod tests;
