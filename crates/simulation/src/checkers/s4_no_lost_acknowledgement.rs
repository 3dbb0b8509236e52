//! S4: no acknowledged write is lost beyond what was promised.
//!
//! - A row that was acknowledged while the server waited for standbys is on the site that was
//!   elected last.
//! - In asynchronous mode rows may be missing: those acknowledged after the old site's last
//!   renewal that the group heard of, less the time that a report may be old; of those before,
//!   at most `max_lag` bytes.
//! - A standby receives nothing after it has reported the end of its log: where it is promoted,
//!   its new timeline begins at the very position that it reported.
//! - What a standby had reported to have, that streamed and renewed and whose promotion did not
//!   fail, is not lost by electing another.
//!
//! Not judged where the site elected last has lost its data directory since.

use super::agreed::{Agreed, Detachment, entry};
use super::lost_writes::Tally;
use super::s1_one_writer::final_database;
use super::{Checker, Found};
use crate::history::{History, MILLI, Record, SECOND, Setup, Site, Stack, Time, What};
use coordination::invariants::Invariant::S4NoLostAcknowledgement;
use coordination::{Command, Outcome};
use model::{Epoch, Lsn, StepKind, Timeline, WalPosition};

/// A report of a standby's lag, and the news that it makes, may be this much older than the
/// renewal that was heard last.
const REPORT_AGE_MAX: Time = 8 * SECOND;

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
    /// The last renewal of `from` that was committed before.
    heard: Time,
    /// Reported ends of standbys that streamed and did not fail.
    heard_of: Vec<Detachment>,
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
}

/// Judges S4.
pub(super) struct NoLostAcknowledgement {
    max_lag: u64,
    /// Who renewed within this is there.
    fresh: Time,
    /// `elect.wait`
    patience: Time,
    stacks: Vec<OneStack>,
    renewed: Vec<Time>,
}

impl NoLostAcknowledgement {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            max_lag: setup.policy.max_lag_bytes,
            fresh: setup.policy.timing.values().renew_every.0 * 3 / 2 * MILLI,
            patience: setup.policy.elect_wait.0 * MILLI,
            stacks: (0..setup.stacks).map(|_| OneStack::default()).collect(),
            renewed: vec![0; usize::from(setup.sites)],
        }
    }

    fn committed(&mut self, record: &Record, agreed: &Agreed, history: &History, index: model::LogIndex) {
        let Some(committed) = entry(history, index) else { return };
        match (&committed.entry.command, &committed.outcome) {
            (Command::Renew { request, .. }, Outcome::Renewed { repeated: false, .. }) => {
                if let Some(site) = History::site_named(&request.site) {
                    self.renewed[usize::from(site)] = record.at;
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
                let heard = self.renewed[usize::from(from.site)];
                // One that is not there is waited for a moment; after that it must have been there for long.
                let hasty = known.closed.is_some_and(|closed| record.at < closed + self.patience);
                let counts = |d: &&Detachment| {
                    let fresh = record.at <= self.renewed[usize::from(d.site)] + self.fresh;
                    let streamed = (known.streamed & !known.failed & !known.lost) >> d.site & 1 == 1;
                    let away = self.stacks[usize::from(stack)].gates_away >> d.site & 1 == 1;
                    streamed && fresh && !away && (hasty || d.at + self.patience <= record.at)
                };
                let reported = known.detachments.iter().filter(|d| d.epoch == *epoch);
                let position = reported.clone().find(|d| d.site == to).map(|d| d.position);
                let own = position.map(|p| p.lsn);
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
                });
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
                let one = &mut self.stacks[usize::from(stack)];
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
            let winner = active.and_then(|e| final_database(history, stack, e.site));
            if let Some(winner) = winner {
                judge(stack, one, &winner.rows, self.max_lag, found);
            }
        }
    }
}

fn judge(stack: Stack, one: &OneStack, rows: &[u64], max_lag: u64, found: &mut Found) {
    let mut add = |at, text| found.add(S4NoLostAcknowledgement, at, stack, text);
    // Per change of site: what was lost of before the group last heard of the old one.
    let mut tallies: Vec<(Tally, Option<(Lsn, Lsn)>)> =
        one.changes.iter().map(|_| Default::default()).collect();
    for ack in one.acks.iter().filter(|a| rows.binary_search(&a.row).is_err()) {
        if ack.synchronous {
            add(ack.at, format!("dc{} acknowledged row {:x}, and it is lost", ack.site + 1, ack.row));
        }
        // The first new timeline since that begins below the row is where it was lost; or the row's
        // own site was left for one that had let go before the row, promoted or not.
        let place = (ack.timeline, ack.lsn);
        let beside =
            |c: &Change| c.from == ack.site && c.reached.is_some_and(|r| (r.timeline, r.lsn) < place);
        let cuts = |c: &Change| c.at >= ack.at && (c.start.is_some_and(|start| start < ack.lsn) || beside(c));
        let Some(place) = one.changes.iter().position(cuts) else {
            // Acknowledged after its site was left: S1's business.
            if !one.changes.iter().any(|c| c.from == ack.site && c.at < ack.at) {
                let (row, site) = (ack.row, ack.site + 1);
                add(ack.at, format!("row {row:x} of dc{site} is lost, and no change of site explains it"));
            }
            continue;
        };
        let change = &one.changes[place];
        let holds = |d: &&Detachment| d.position.timeline == ack.timeline && d.position.lsn >= ack.lsn;
        if let Some(holder) = change.heard_of.iter().find(holds) {
            let text = format!(
                "row {:x} is lost; dc{} had reported to have it when dc{} was elected",
                ack.row,
                holder.site + 1,
                change.to + 1
            );
            add(ack.at, text);
        }
        if ack.at + REPORT_AGE_MAX < change.heard {
            let (tally, span) = &mut tallies[place];
            tally.lose(ack.at);
            let (low, high) = span.unwrap_or((ack.lsn, ack.lsn));
            *span = Some((low.min(ack.lsn), high.max(ack.lsn)));
        }
    }
    for ((tally, span), change) in tallies.iter().zip(&one.changes) {
        let bytes = span.map_or(0, |(low, high)| high.bytes_since(low));
        if bytes > max_lag {
            let text = format!(
                "{} rows over {bytes} bytes are lost that dc{} acknowledged long before it was lost",
                tally.lost,
                change.from + 1
            );
            add(tally.last.unwrap_or(change.at), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, failover, site, stack};
    use super::*;
    use model::{StepOutcome, StepReport, WalPosition};

    fn judge(story: &Story) -> Vec<super::super::Violation> {
        story.judge(NoLostAcknowledgement::new(&story.history.setup))
    }

    fn detached(story: &mut Story, at: Site, lsn: u64) {
        story.commit(Command::Step(StepReport {
            site: site(at),
            stack: stack(),
            epoch: Epoch(1),
            step: StepKind::Detach,
            outcome: StepOutcome::Done,
            position: Some(WalPosition { timeline: Timeline(1), lsn: Lsn(lsn) }),
            evidence: String::new(),
        }));
    }

    /// dc1 acknowledges rows 1 to 3, dc2 takes over and has the first `kept`.
    fn moved(kept: u64, synchronous: bool, report: impl FnOnce(&mut Story)) -> Story {
        let mut story = Story::adopted(|_| {});
        story.commit(Command::SetStreaming {
            stack: stack(),
            site: site(2),
            epoch: Epoch(1),
            streams: Some(Timeline(1)),
        });
        for row in 1..=3 {
            story.wait(1_000).acked(0, row, 1, row * 600, synchronous);
        }
        story.begin(1);
        report(&mut story);
        story.elect(1, 1).step(1, 2, StepKind::Promote).began(1, 2, kept * 600);
        story.acked(1, 9, 2, 5_000, synchronous);
        let rows: Vec<u64> = (1..=kept).chain([9]).collect();
        story.end(1, &[&[1, 2, 3], &rows, &rows]);
        story
    }

    #[test]
    fn a_clean_failover_loses_nothing() {
        assert_eq!(judge(&failover()), []);
        assert_eq!(judge(&moved(3, true, |_| {})), []);
    }

    #[test]
    fn a_lost_row_is_caught_in_synchronous_mode_and_permitted_in_asynchronous_mode() {
        assert_eq!(judge(&moved(2, false, |_| {})), []);
        assert_eq!(judge(&moved(2, true, |_| {})).len(), 1);
    }

    #[test]
    fn more_than_the_permitted_lag_before_the_last_word_is_caught() {
        let silent = moved(0, false, |_| {});
        assert_eq!(judge(&silent), []);
        let heard = moved(0, false, |story| {
            story.wait(20_000).renew(0, 7, Some((1, false)));
        });
        assert_eq!(judge(&heard).len(), 1);
    }

    #[test]
    fn a_row_that_a_heard_standby_had_is_caught() {
        let present = moved(2, false, |story| {
            detached(story, 2, 1_800);
            story.wait(1_000).renew(2, 1, None);
        });
        let found = judge(&present);
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("dc3 had reported"), "{}", found[0].text);
        let away = moved(2, false, |story| detached(story, 2, 1_800));
        assert_eq!(judge(&away), []);
    }

    #[test]
    fn wal_that_came_after_the_report_is_caught() {
        assert_eq!(judge(&moved(3, false, |story| detached(story, 1, 1_800))), []);
        let found = judge(&moved(3, false, |story| detached(story, 1, 1_200)));
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("begins at"), "{}", found[0].text);
    }

    #[test]
    fn a_row_lost_where_nothing_moved_is_caught() {
        let mut story = Story::adopted(|_| {});
        story.acked(0, 1, 1, 100, false).end(0, &[&[], &[], &[]]);
        assert_eq!(judge(&story).len(), 1);
    }
}
