//! The judge of a world: sees everything, and asks no rule what is right.

use super::rules::{A, B};
use super::site::Did;
use super::world::World;
use coordination::invariants::{self, Invariant};
use coordination::state::Site;
use coordination::{Command, Outcome, State};
use model::{CoverKind, Epoch, GrantTerms, Incarnation, RenewRequest, RenewalNumber, TimedAck};
use std::collections::BTreeMap;

/// Until when a site may run the stack, by what was granted: on the slowest clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// In ticks.
    Tick(u64),
    /// A held cover was granted.
    Held,
}

/// What only the judge sees.
#[derive(Clone, Debug)]
pub struct Judge {
    /// Site of each epoch, from epoch 1 on.
    pub elected: Vec<usize>,
    /// Highest epoch that each site has written down or opened.
    pub highest: [Epoch; 2],
    /// Highest epoch that each site has closed.
    pub closed: [Epoch; 2],
    /// Until when each may run, at most.
    pub until: [Until; 2],
    /// Tick of the first send of each number.
    pub sent: BTreeMap<(usize, Incarnation, RenewalNumber), u64>,
    /// What broke, and how.
    pub broken: Option<(Invariant, String)>,
}

impl World {
    /// Notes the first thing that breaks.
    pub fn breaks(&mut self, invariant: Invariant, how: String) {
        self.judge.broken.get_or_insert((invariant, how));
    }

    pub(super) fn judge_commit(&mut self, command: &Command, outcome: &Outcome, after: &State) {
        let mut found = invariants::violations(after);
        found.extend(invariants::violations_between(&self.head, after));
        if let Some(violation) = found.first() {
            self.breaks(violation.invariant, format!("the state: {violation}"));
        }
        let stack = self.names.stack.clone();
        if let Some((site, epoch)) = after.active(&stack) {
            let site = self.number(site);
            if epoch.0 as usize > self.judge.elected.len() {
                self.judge.elected.push(site);
            }
        }
        if self.head.stacks().contains_key(&stack) {
            self.judge_fence(after);
        }
        match (command, outcome) {
            (Command::Renew { request, terms }, Outcome::Renewed { .. }) => {
                let site = self.number(&request.site);
                let key = (site, request.incarnation, request.number);
                let sent = self.judge.sent.get(&key).copied();
                let acknowledged = self.acknowledges(site, request, after);
                self.grant(site, sent, *terms, acknowledged, after);
            }
            (Command::FenceByTime { .. }, _) => self.judge_proof(after, true),
            (Command::Expire { .. }, _) => self.judge_proof(after, false),
            (Command::BeginTransition { .. }, _) if self.head.stacks()[&stack].transition.is_some() => {
                self.breaks(Invariant::S6OneTransition, "a transition began within another".to_owned());
            }
            (Command::Elect { epoch, .. }, _)
                if after.active(&stack).is_none_or(|(_, now)| now <= *epoch) =>
            {
                self.breaks(
                    Invariant::S3EpochsGrow,
                    format!("an election entry did not raise epoch {epoch}"),
                );
            }
            (Command::Step(_), _) => self.judge_promotions(after),
            _ => {}
        }
    }

    /// What a site says of what is left bars a proof by time.
    fn judge_proof(&mut self, after: &State, stopping_bars: bool) {
        let stack = &self.names.stack;
        let fenced = after.stacks()[stack].closed > self.head.stacks()[stack].closed;
        let site = self.head.active(stack).and_then(|(site, _)| self.head.sites().get(site));
        let left = |s: &Site| s.unstopped.contains(stack) || (stopping_bars && s.stopping.contains(stack));
        if fenced && site.is_some_and(left) {
            let how = "time proved a fence though the site says that something is left";
            self.breaks(Invariant::S2FenceFirst, how.to_owned());
        }
    }

    /// True if this renewal says that the gate knows the present cover to be timed.
    fn acknowledges(&self, site: usize, request: &RenewRequest, after: &State) -> bool {
        let cover = after.cover_of(&self.names.sites[site]);
        let entry = cover.of(&self.names.stack);
        entry.is_some_and(|entry| {
            let names = |ack: &TimedAck| {
                ack.epoch == entry.epoch && entry.kind == CoverKind::Timed { since: ack.since }
            };
            request.timed_acks.iter().any(names)
        })
    }

    /// Fenced means that nothing of it is left.
    fn judge_fence(&mut self, after: &State) {
        let stack = &self.names.stack;
        let (before, now) = (&self.head.stacks()[stack], &after.stacks()[stack]);
        let Some((site, epoch)) = self.head.active(stack) else { return };
        let n = self.number(site);
        let gate = &self.sites[n].gate;
        if now.closed > before.closed && gate.is_primary() && !gate.stuck {
            let how = format!("epoch {epoch} counts as fenced while site {site} runs it");
            self.breaks(Invariant::S2FenceFirst, how);
        }
    }

    fn judge_promotions(&mut self, after: &State) {
        let promotions = &after.stacks()[&self.names.stack].promotions;
        let Some((last, earlier)) = promotions.split_last() else { return };
        let twice = earlier.iter().any(|one| one.epoch == last.epoch);
        let same = earlier.iter().any(|one| one.timeline == last.timeline && one.site != last.site);
        if twice {
            self.breaks(Invariant::S6OneTransition, "one promotion was counted twice".to_owned());
        }
        if same {
            let how = "two sites were promoted to one timeline".to_owned();
            self.breaks(Invariant::S4NoLostAcknowledgement, how);
        }
    }

    /// What this renewal may be taken for, at most.
    fn grant(
        &mut self,
        site: usize,
        sent: Option<u64>,
        terms: GrantTerms,
        acknowledged: bool,
        after: &State,
    ) {
        let cover = after.cover_of(&self.names.sites[site]);
        let Some(entry) = cover.of(&self.names.stack) else { return };
        let span = terms.lease_duration.plus(terms.fence_deadline).0 / super::clock::SLOW;
        let end = Until::Tick(sent.unwrap_or(0) + span);
        let until = &mut self.judge.until[site];
        *until = match (*until, entry.kind, end) {
            (_, CoverKind::Held { .. }, _) => Until::Held,
            (Until::Held, _, end) => {
                if acknowledged {
                    end
                } else {
                    Until::Held
                }
            }
            (Until::Tick(known), _, Until::Tick(new)) => Until::Tick(known.max(new)),
            (known, ..) => known,
        };
    }

    /// The gate's step is judged.
    pub fn judge_gate(&mut self, n: usize, did: Did) {
        if let Did::Opened(epoch) = did {
            self.judge_opening(n, epoch);
        }
        let Some(record) = self.sites[n].gate.disk else { return };
        if record.closed < self.judge.closed[n] {
            let how = format!("the record of site {} went back", self.names.sites[n]);
            self.breaks(Invariant::S3EpochsGrow, how);
        }
        let judge = &mut self.judge;
        judge.highest[n] = judge.highest[n].max(record.highest);
        judge.closed[n] = judge.closed[n].max(record.closed);
        self.judge_writers();
    }

    fn judge_opening(&mut self, n: usize, epoch: Epoch) {
        let fenced = self.head.stacks()[&self.names.stack].closed;
        let judge = &self.judge;
        let ours = |e: u64| judge.elected.get(e as usize - 1) == Some(&n);
        let elected = epoch > Epoch::NONE && ours(epoch.0);
        let before = (1..epoch.0).all(|e| ours(e) || fenced >= Epoch(e));
        let (highest, closed) = (judge.highest[n], judge.closed[n]);
        if epoch < highest || epoch <= closed {
            self.breaks(
                Invariant::S3EpochsGrow,
                format!("epoch {epoch} opened after {highest} was seen and {closed} closed"),
            );
        }
        if fenced >= epoch {
            self.breaks(Invariant::S2FenceFirst, format!("epoch {epoch} opened after it was fenced"));
        }
        if !elected {
            self.breaks(Invariant::S2FenceFirst, format!("epoch {epoch} opened where it was not elected"));
        } else if !before {
            self.breaks(
                Invariant::S2FenceFirst,
                format!("epoch {epoch} opened before an earlier one was fenced"),
            );
        }
        self.judge.highest[n] = highest.max(epoch);
    }

    fn judge_writers(&mut self) {
        // Who can't end its processes has said so; what may follow is judged by what it said.
        if self.sites.iter().all(|site| site.gate.is_primary() && !site.gate.stuck) {
            let open = [A, B].map(|n| self.sites[n].gate.open().unwrap_or_default());
            self.breaks(
                Invariant::S1OneWriter,
                format!("A runs epoch {}, B runs epoch {}", open[A], open[B]),
            );
        }
    }

    pub(super) fn judge_silence(&mut self, n: usize) {
        let over = matches!(self.judge.until[n], Until::Tick(until) if self.tick > until);
        if over && self.sites[n].gate.is_primary() && !self.sites[n].gate.stuck {
            let how =
                format!("site {} runs the stack longer than anything it was granted", self.names.sites[n]);
            self.breaks(Invariant::S5ClosedByDefault, how);
        }
    }
}
