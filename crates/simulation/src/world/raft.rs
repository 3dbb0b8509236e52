//! The replicated log, with the guarantees of Raft and no more.
//!
//! There is one committed log. An entry gets there only from the leader of the newest term, once
//! a majority has stored it. Leaders come from elections among those that reach a majority; one
//! that was deposed goes on believing until somebody tells it, and what it proposes meanwhile
//! comes to nothing, without saying so. What a leader had under way when it was replaced is kept
//! as far as the new one has stored it: it may be committed long after its proposer gave it up.

use super::World;
use crate::history::{Committed, Site, Time, What};
use crate::message::{Caller, Event};
use crate::net::SITES_MAX;
use coordination::{Command, Entry, Outcome};
use model::{LogIndex, WallMillis};
use std::collections::VecDeque;

/// One entry that is not committed.
#[derive(Debug)]
struct Pending {
    entry: Entry,
    caller: Caller,
    /// When each member has stored it; `Time::MAX`: it is not on its way.
    stored: [Time; SITES_MAX],
    /// Its commitment is due at some time.
    scheduled: bool,
}

/// What the log knows of one member.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Committed entries that it has stored.
    stored: u64,
    /// A message with the commit index is on its way.
    learns: bool,
    /// Armed election timer.
    campaign: Time,
    /// Whom it takes for the leader.
    believes: Option<Site>,
    /// Since when it has not heard of that one; `Time::MAX`: it hears it.
    lost: Time,
    /// The term that it believes to lead.
    pub leads: Option<u64>,
    /// It applies nothing before.
    pub lags_until: Time,
}

/// The log.
#[derive(Debug)]
pub struct Raft {
    /// The newest term.
    pub term: u64,
    /// Its leader.
    pub leader: Option<Site>,
    tail: VecDeque<Pending>,
    commit_at: Time,
    /// All members.
    pub members: Vec<Member>,
    /// A leader that no quorum answers goes on believing for ever (otherwise for a while).
    pub stubborn: bool,
    /// A follower that is further behind gets a snapshot.
    pub snapshot_behind: u64,
    /// Elections won.
    pub elections: u64,
}

impl Raft {
    /// A group without a leader.
    pub fn new(sites: Site, stubborn: bool, snapshot_behind: u64) -> Self {
        let member = Member {
            stored: 0,
            learns: false,
            campaign: Time::MAX,
            believes: None,
            lost: 0,
            leads: None,
            lags_until: 0,
        };
        Self {
            term: 0,
            leader: None,
            tail: VecDeque::new(),
            commit_at: 0,
            members: vec![member; usize::from(sites)],
            stubborn,
            snapshot_behind,
            elections: 0,
        }
    }
}

impl World {
    fn committed(&self) -> u64 {
        self.history.entries.len() as u64
    }

    fn majority(&self) -> usize {
        usize::from(self.sites) / 2 + 1
    }

    fn runs(&self, witness: Site) -> bool {
        self.witnesses[usize::from(witness)].process.runs()
    }

    fn both_ways(&self, a: Site, b: Site) -> bool {
        self.runs(b) && self.net.is_up(a, b) && self.net.is_up(b, a)
    }

    /// True if a majority answers this witness.
    fn has_quorum(&self, witness: Site) -> bool {
        let others = (0..self.sites).filter(|v| *v != witness && self.both_ways(witness, *v)).count();
        self.runs(witness) && others + 1 >= self.majority()
    }

    /// A leader without a quorum falls silent, so that others can be elected.
    fn hears_leader(&self, witness: Site) -> bool {
        let Some(leader) = self.raft.leader else { return false };
        if witness == leader {
            return self.runs(leader);
        }
        self.runs(leader) && self.net.is_up(leader, witness) && self.has_quorum(leader)
    }

    /// The leader that a witness knows of; a minority's word is old.
    pub(super) fn believed_leader(&self, witness: Site) -> Option<Site> {
        let member = &self.raft.members[usize::from(witness)];
        if member.leads.is_some() {
            return Some(witness);
        }
        let patience = self.timing().election_max.0 * 1_000;
        let fresh = member.lost == Time::MAX || self.now < member.lost.saturating_add(patience);
        member.believes.filter(|leader| fresh && *leader != witness)
    }

    /// A leader proposes. What a deposed one proposes comes to nothing.
    pub(super) fn propose_at(&mut self, leader: Site, command: Command, caller: Caller) {
        let leads = self.raft.members[usize::from(leader)].leads;
        if self.raft.leader != Some(leader) || leads.is_some_and(|term| term != self.raft.term) {
            return;
        }
        let entry = Entry { at: WallMillis(self.now / 1_000), command };
        self.raft.tail.push_back(Pending { entry, caller, stored: [Time::MAX; SITES_MAX], scheduled: false });
        let last = self.raft.tail.len() - 1;
        self.replicate(last);
    }

    /// Sends one entry of the tail to all that can be reached, and says when it will be committed.
    fn replicate(&mut self, place: usize) {
        let Some(leader) = self.raft.leader else { return };
        let mut acks = [Time::MAX; SITES_MAX];
        let before = place.checked_sub(1).map_or([0; SITES_MAX], |p| self.raft.tail[p].stored);
        for member in 0..self.sites {
            let m = usize::from(member);
            let known = self.raft.tail[place].stored[m];
            let at = if member == leader {
                if known == Time::MAX { self.now + self.fsync() } else { known }
            } else if !self.runs(member) || !self.net.is_up(leader, member) {
                known
            } else if known <= self.now || before[m] == Time::MAX {
                // It is there; or an earlier entry is missing and must come first.
                known
            } else {
                let sent = self.net.stream(&mut self.dice, leader, member, self.now);
                sent.map_or(known, |at| (at + self.fsync()).max(before[m]).min(known))
            };
            self.raft.tail[place].stored[m] = at;
            if at != Time::MAX {
                acks[m] = if member == leader {
                    at
                } else {
                    let back = self.net.stream(&mut self.dice, member, leader, at.max(self.now));
                    back.filter(|_| self.runs(member)).unwrap_or(Time::MAX)
                };
            }
        }
        acks[..usize::from(self.sites)].sort_unstable();
        let due = acks[self.majority() - 1];
        if due == Time::MAX || acks[0] == Time::MAX {
            return;
        }
        let at = due.max(self.raft.commit_at).max(self.now);
        self.raft.commit_at = at;
        self.raft.tail[place].scheduled = true;
        let index = self.committed() + place as u64 + 1;
        self.queue.push(at, Event::Commit(self.raft.term, index));
    }

    fn fsync(&mut self) -> Time {
        self.dice.delay(self.fsync_mean)
    }

    /// Entries of the newest term up to `index` are stored by a majority, if nothing came between.
    pub(super) fn commit(&mut self, term: u64, index: u64) {
        let Some(leader) = self.raft.leader else { return };
        if term != self.raft.term || index <= self.committed() {
            return;
        }
        if !self.runs(leader) {
            self.unschedule();
            return;
        }
        while self.committed() < index {
            let stored = |p: &Pending| p.stored.iter().filter(|at| **at <= self.now).count();
            let Some(first) = self.raft.tail.front() else { return };
            if stored(first) < self.majority() {
                // One on whose answer this counted has died meanwhile.
                self.unschedule();
                self.replicate_rest();
                return;
            }
            self.commit_first(leader);
        }
        self.tell_followers(leader);
    }

    /// Sends again what is not on its way to a majority.
    fn replicate_rest(&mut self) {
        for place in 0..self.raft.tail.len() {
            if !self.raft.tail[place].scheduled {
                self.replicate(place);
            }
        }
    }

    /// Nothing is due any more; when the world changes it is tried again.
    fn unschedule(&mut self) {
        for pending in &mut self.raft.tail {
            pending.scheduled = false;
        }
    }

    fn commit_first(&mut self, leader: Site) {
        let Some(Pending { entry, caller, stored, .. }) = self.raft.tail.pop_front() else { return };
        let index = self.committed() + 1;
        for (member, at) in self.raft.members.iter_mut().zip(stored) {
            if at != Time::MAX && member.stored + 1 == index {
                member.stored = index;
            }
        }
        self.raft.members[usize::from(leader)].stored = index;
        // The outcome is filled in by the application that follows.
        self.history.entries.push(Committed { at: self.now, entry, outcome: Outcome::Applied });
        self.history.add(self.now, What::Committed { index: LogIndex(index) });
        self.note(2, index, u64::from(leader));
        self.apply_up_to(leader, index);
        if matches!(caller, Caller::Nobody) && self.raft.members[usize::from(leader)].leads.is_none() {
            self.begin_leading(leader);
        }
        self.proposal_ended(leader, caller, index);
    }

    fn begin_leading(&mut self, leader: Site) {
        let term = self.raft.term;
        let member = &mut self.raft.members[usize::from(leader)];
        (member.leads, member.believes, member.lost) = (Some(term), Some(leader), Time::MAX);
        self.history.add(self.now, What::Leads { site: leader, term });
        self.say(|w| format!("the witness of {} leads (term {term})", w.name(leader)));
        self.leadership_changed(leader);
    }

    fn tell_followers(&mut self, leader: Site) {
        for member in 0..self.sites {
            if member != leader && !self.raft.members[usize::from(member)].learns {
                self.tell_follower(leader, member);
            }
        }
    }

    fn tell_follower(&mut self, leader: Site, member: Site) {
        if !self.runs(leader) || !self.runs(member) {
            return;
        }
        if let Some(at) = self.net.stream(&mut self.dice, leader, member, self.now) {
            self.raft.members[usize::from(member)].learns = true;
            let committed = self.committed();
            let at = at + self.learn_extra();
            self.queue.push(at, Event::Learn(member, committed));
        }
    }

    /// Now and then the commit index comes only with the next heartbeat.
    fn learn_extra(&mut self) -> Time {
        if self.dice.below(8) == 0 {
            let heartbeat = self.timing().heartbeat.0 * 1_000;
            self.dice.below(heartbeat)
        } else {
            0
        }
    }

    pub(super) fn learn(&mut self, member: Site, index: u64) {
        let m = usize::from(member);
        self.raft.members[m].learns = false;
        if !self.runs(member) {
            return;
        }
        if self.now < self.raft.members[m].lags_until {
            let until = self.raft.members[m].lags_until;
            self.raft.members[m].learns = true;
            self.queue.push(until, Event::Learn(member, index));
            return;
        }
        let known = self.raft.members[m].stored.max(index);
        self.raft.members[m].stored = known;
        self.apply_up_to(member, index);
        // What was committed meanwhile follows.
        if index < self.committed()
            && let Some(leader) = self.raft.leader
            && leader != member
        {
            self.tell_follower(leader, member);
        }
    }

    /// Links or processes changed: who hears whom, who must campaign, what can go on.
    pub(super) fn recheck_log(&mut self) {
        for witness in 0..self.sites {
            self.recheck_member(witness);
        }
        let Some(leader) = self.raft.leader else { return };
        self.recheck_leader(leader);
        if !self.runs(leader) {
            return;
        }
        self.replicate_rest();
        let committed = self.committed();
        for member in 0..self.sites {
            let behind = self.witnesses[usize::from(member)].state.index().0 < committed;
            if member != leader && behind && !self.raft.members[usize::from(member)].learns {
                self.tell_follower(leader, member);
            }
        }
    }

    fn recheck_member(&mut self, witness: Site) {
        let m = usize::from(witness);
        if !self.runs(witness) {
            self.raft.members[m].campaign = Time::MAX;
            return;
        }
        if self.hears_leader(witness) {
            let leader = self.raft.leader;
            let member = &mut self.raft.members[m];
            member.campaign = Time::MAX;
            member.lost = Time::MAX;
            if leader != Some(witness) {
                member.believes = leader;
            }
            let stale = member.leads.is_some_and(|term| term < self.raft.term);
            if stale {
                self.tell_old_leader(witness);
            }
            return;
        }
        if self.raft.members[m].lost == Time::MAX {
            self.raft.members[m].lost = self.now;
        }
        if self.raft.members[m].campaign == Time::MAX && self.raft.leader != Some(witness) {
            self.arm_campaign(witness);
        }
    }

    fn arm_campaign(&mut self, witness: Site) {
        let timing = *self.timing();
        let wait = self.dice.between(timing.election_min.0, timing.election_max.0 * 2) * 1_000;
        let at = self.now + wait;
        self.raft.members[usize::from(witness)].campaign = at;
        self.queue.push(at, Event::Campaign(witness, at));
    }

    /// The leader of the newest term may lose its quorum and find it again.
    fn recheck_leader(&mut self, leader: Site) {
        let l = usize::from(leader);
        if !self.runs(leader) {
            return;
        }
        let quorum = self.has_quorum(leader);
        let leads = self.raft.members[l].leads.is_some();
        if !quorum && leads && !self.raft.stubborn {
            let patience = self.timing().election_max.0 * 2_000;
            self.queue.push(self.now + patience, Event::Depose(leader, self.raft.term));
        }
        let settled = self.raft.tail.iter().all(|p| !matches!(p.caller, Caller::Nobody));
        if quorum && !leads && settled {
            self.begin_leading(leader);
        }
    }

    fn tell_old_leader(&mut self, witness: Site) {
        let heartbeat = self.timing().heartbeat.0 * 1_000;
        let at = self.now + self.dice.below(heartbeat) + 1_000;
        if let Some(term) = self.raft.members[usize::from(witness)].leads {
            self.queue.push(at, Event::Depose(witness, term));
        }
    }

    /// An old leader hears of the new term; or one without a quorum gives up believing.
    pub(super) fn depose(&mut self, witness: Site, term: u64) {
        let m = usize::from(witness);
        if !self.runs(witness) || self.raft.members[m].leads != Some(term) {
            return;
        }
        let newest = self.raft.leader == Some(witness) && term == self.raft.term;
        let goes_on = if newest { self.has_quorum(witness) } else { !self.hears_leader(witness) };
        if goes_on {
            return;
        }
        self.raft.members[m].leads = None;
        self.say(|w| format!("the witness of {} leads no more", w.name(witness)));
        self.leadership_changed(witness);
        self.recheck_member(witness);
    }

    pub(super) fn campaign(&mut self, witness: Site, armed: Time) {
        let m = usize::from(witness);
        if self.raft.members[m].campaign != armed {
            return;
        }
        self.raft.members[m].campaign = Time::MAX;
        if !self.runs(witness) || self.hears_leader(witness) {
            return;
        }
        if self.can_win(witness) && !self.dice.permille(100) {
            let round_trip = self.timing().round_trip_p99.0 * 1_000;
            let at = self.now + self.dice.delay(round_trip) + 2 * self.fsync();
            self.queue.push(at, Event::Won(witness, self.raft.term));
        }
        self.arm_campaign(witness);
    }

    /// Votes of a majority: those that hear no leader and know no more than the candidate.
    fn can_win(&self, witness: Site) -> bool {
        let mine = self.rank(witness);
        let grants = |v: Site| {
            self.both_ways(witness, v)
                && self.net.is_up(witness, v)
                && !self.hears_leader(v)
                && self.rank(v) <= mine
        };
        let votes = (0..self.sites).filter(|v| *v != witness && grants(*v)).count();
        self.runs(witness) && votes + 1 >= self.majority()
    }

    /// How long a member's log is.
    fn rank(&self, witness: Site) -> u64 {
        let m = usize::from(witness);
        let tail = self.raft.tail.iter().take_while(|p| p.stored[m] <= self.now).count() as u64;
        let committed = self.raft.members[m].stored;
        if committed == self.committed() { committed + tail } else { committed }
    }

    pub(super) fn won(&mut self, witness: Site, term: u64) {
        if term == self.raft.term && !self.hears_leader(witness) && self.can_win(witness) {
            self.elect_leader(witness);
        }
    }

    /// The leader hands its seat over, or a fault moves it: the new one reaches a majority and
    /// knows everything that is committed.
    pub(super) fn move_seat(&mut self, to: Site) {
        let whole = self.raft.members[usize::from(to)].stored == self.committed();
        if self.raft.leader != Some(to) && whole && self.has_quorum(to) {
            self.elect_leader(to);
        }
    }

    fn elect_leader(&mut self, witness: Site) {
        let w = usize::from(witness);
        let old = self.raft.leader;
        let kept = if old == Some(witness) {
            self.raft.tail.len()
        } else {
            self.raft.tail.iter().take_while(|p| p.stored[w] <= self.now).count()
        };
        self.raft.tail.truncate(kept);
        for pending in &mut self.raft.tail {
            pending.scheduled = false;
            pending.stored = [Time::MAX; SITES_MAX];
            pending.stored[w] = self.now;
        }
        self.raft.term += 1;
        self.raft.elections += 1;
        self.raft.leader = Some(witness);
        self.raft.commit_at = self.now;
        self.raft.members[w].leads = None;
        self.note(3, u64::from(witness), self.raft.term);
        let entry = Entry { at: WallMillis(self.now / 1_000), command: Command::Nothing };
        let (caller, stored) = (Caller::Nobody, [Time::MAX; SITES_MAX]);
        self.raft.tail.push_back(Pending { entry, caller, stored, scheduled: false });
        self.recheck_log();
    }

    /// The witness process is gone: what was on its way to it is lost, and it leads nothing.
    pub(super) fn member_died(&mut self, witness: Site) {
        let w = usize::from(witness);
        for pending in &mut self.raft.tail {
            if pending.stored[w] > self.now {
                pending.stored[w] = Time::MAX;
            }
        }
        let member = &mut self.raft.members[w];
        (member.leads, member.believes, member.learns) = (None, None, false);
        (member.campaign, member.lost) = (Time::MAX, self.now);
        if self.raft.leader == Some(witness) {
            self.unschedule();
        }
    }

    /// A restarted leader of the newest term is a follower now; somebody must be elected.
    pub(super) fn member_started(&mut self, witness: Site) {
        if self.raft.leader == Some(witness) {
            self.raft.leader = None;
        }
    }

    /// For a snapshot: a follower that is this far behind gets one instead of the entries.
    pub(super) fn wants_snapshot(&self, witness: Site, index: u64) -> bool {
        let behind = index.saturating_sub(self.witnesses[usize::from(witness)].state.index().0);
        behind > self.raft.snapshot_behind
    }

    /// The seat is wanted at no site with more active stacks than need be.
    pub(super) fn seat_candidates(&self, leader: Site) -> impl Iterator<Item = Site> + '_ {
        (0..self.sites).filter(move |v| *v != leader && self.both_ways(leader, *v) && self.has_quorum(*v))
    }
}
