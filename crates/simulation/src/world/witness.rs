//! A witness: the production `apply`, local view and `decide`, driven as its event loop drives them.

use super::World;
use super::process::Life;
use crate::history::{Site, Stack, Time, What};
use crate::message::{Caller, Failure, Message, Process};
use crate::proposals::{Ended, Proposals};
use coordination::planted::Bug;
use coordination::{Command, Entry, LinkRow, LocalView, Outcome, State};
use model::{DesiredStack, GrantTerms, LogIndex, Millis, Moment, RenewRequest, SiteId, WallMillis};
use std::rc::Rc;

/// A transition that moved within this keeps the leader busy.
const BUSY_AFTER: Time = 2_000_000;
/// Between two turns while it is busy.
const BUSY_EVERY: Time = 50_000;
/// A view that did not arrive is sent again after this.
const VIEW_AGAIN: Time = 200_000;
/// A new leader keeps its seat for so long at least.
const SEAT_SETTLE: Time = 1_500_000;
/// Between two moves of the seat.
const SEAT_PAUSE: Time = 10_000_000;

/// One witness.
pub struct Witness {
    /// Its process.
    pub process: Life,
    /// Its state, applied by itself.
    pub state: State,
    /// Its local view.
    pub view: LocalView,
    me: SiteId,
    all: Vec<SiteId>,
    proposals: Proposals,
    leading: Option<Time>,
    changed: Time,
    seat_moved: Time,
    /// When anything of a site answered last: witness, actor.
    reached: Vec<(Option<Moment>, Option<Moment>)>,
    /// What each site's actor was last shown, if it surely arrived.
    shown: Vec<Option<Vec<DesiredStack>>>,
}

impl Witness {
    /// A witness that knows nothing.
    pub fn new(me: SiteId, all: &[SiteId], now: Moment) -> Self {
        Self {
            process: Life::new(1),
            state: State::default(),
            view: LocalView::new(me.clone(), all.to_vec(), now),
            me,
            all: all.to_vec(),
            proposals: Proposals::default(),
            leading: None,
            changed: 0,
            seat_moved: 0,
            reached: vec![(None, None); all.len()],
            shown: vec![None; all.len()],
        }
    }

    /// The same process again: what it knew for itself is gone, its log and state are not.
    fn restarted(&mut self, now: Moment) {
        self.view = LocalView::new(self.me.clone(), self.all.clone(), now);
        self.view.restored(&self.state, now);
        self.proposals = Proposals::default();
        self.leading = None;
        self.reached = vec![(None, None); self.all.len()];
        self.shown = vec![None; self.all.len()];
    }

    /// An actor that starts, or that dropped what it knew, is shown its view anew.
    pub fn show_again(&mut self, site: Site) {
        self.shown[usize::from(site)] = None;
    }
}

impl World {
    pub(super) fn witness_restarted(&mut self, site: Site) {
        let now = self.moment(site);
        // What was applied but not snapshotted is applied again from the log.
        let again = self.dice.permille(300);
        let witness = &mut self.witnesses[usize::from(site)];
        let applied = witness.state.index().0;
        if again {
            let index = self.dice.below(applied + 1);
            let mut state = State::default();
            for (place, committed) in self.history.entries.iter().enumerate().take(index as usize) {
                state.apply(LogIndex(place as u64 + 1), &committed.entry);
            }
            self.witnesses[usize::from(site)].state = state;
        }
        self.witnesses[usize::from(site)].restarted(now);
        if again {
            self.apply_up_to(site, applied);
        }
        self.see_state(site);
    }

    /// Its digest, for the checkers: equal entries make equal states.
    pub(super) fn see_state(&mut self, site: Site) {
        let state = &self.witnesses[usize::from(site)].state;
        let (index, digest) = (state.index(), state.digest());
        self.add(What::StateSeen { site, index, digest });
    }

    /// A turn without news.
    pub(super) fn witness_turn(&mut self, site: Site) {
        let now = self.moment(site);
        let witness = &mut self.witnesses[usize::from(site)];
        witness.view.tick(&witness.state, now);
        self.show_views(site, false);
        self.lead(site, now);
        self.sleep_witness(site);
    }

    /// One message.
    pub(super) fn witness_takes(&mut self, site: Site, message: Message) {
        let now = self.moment(site);
        let witness = &mut self.witnesses[usize::from(site)];
        witness.view.tick(&witness.state, now);
        match message {
            Message::Register(from, incarnation) => {
                let Some(terms) = self.terms_at(site) else {
                    return self.no_leader(site, &Caller::Register(from, site, incarnation));
                };
                let id = self.name(from).clone();
                let command = Command::Register { site: id, incarnation, terms };
                self.propose_via(site, command, Caller::Register(from, site, incarnation));
            }
            Message::Renew(request, from) => {
                let caller = Caller::Renew(from, site, request.incarnation, request.number);
                let Some(terms) = self.terms_at(site) else { return self.no_leader(site, &caller) };
                if self.bug == Some(Bug::LeaderWithoutCommit)
                    && self.raft.members[usize::from(site)].leads.is_some()
                {
                    return self.grant_uncommitted(site, *request, terms, caller);
                }
                self.propose_via(site, Command::Renew { request: *request, terms }, caller);
            }
            Message::Step(from, report, stack, generation) => {
                let caller = Caller::Step(from, site, stack, report.step, report.epoch, generation);
                self.propose_via(site, Command::Step(*report), caller);
            }
            Message::Reports(reports, handed) => {
                let witness = &mut self.witnesses[usize::from(site)];
                for report in reports.iter() {
                    let carried = witness.state.stacks().get(&report.stack);
                    if handed || carried.is_some_and(|s| s.carries(&report.site)) {
                        witness.view.report(report.clone(), now);
                    }
                }
                match self.believed_leader(site) {
                    Some(leader) if leader != site && !handed => {
                        self.send(site, Process::Witness(leader), Message::Reports(reports, true));
                    }
                    _ => {}
                }
                self.lead(site, now);
            }
            Message::Forward(command, caller) if self.raft.members[usize::from(site)].leads.is_some() => {
                self.propose_at(site, *command, caller);
            }
            Message::Answer(caller, outcome) => self.answer_actor(site, caller, *outcome),
            _ => {}
        }
    }

    /// Planted (`LeaderWithoutCommit`): a leader answers from its own state.
    fn grant_uncommitted(&mut self, site: Site, request: RenewRequest, terms: GrantTerms, caller: Caller) {
        let mut state = self.witnesses[usize::from(site)].state.clone();
        let at = WallMillis(self.now / 1_000);
        let outcome =
            state.apply(state.index().next(), &Entry { at, command: Command::Renew { request, terms } });
        self.answer_actor(site, caller, outcome);
    }

    fn terms_at(&self, site: Site) -> Option<GrantTerms> {
        self.witnesses[usize::from(site)].state.policy().map(|policy| policy.timing.terms())
    }

    pub(super) fn propose_via(&mut self, site: Site, command: Command, caller: Caller) {
        match self.believed_leader(site) {
            None => self.no_leader(site, &caller),
            Some(leader) if leader == site => self.propose_at(site, command, caller),
            Some(leader) => {
                self.send(site, Process::Witness(leader), Message::Forward(Box::new(command), caller));
            }
        }
    }

    /// A witness without a leader says so at once.
    fn no_leader(&mut self, site: Site, caller: &Caller) {
        let (to, message) = match *caller {
            Caller::Register(from, witness, incarnation) => {
                (from, Message::Registered(incarnation, witness, Err(Failure::Other)))
            }
            Caller::Renew(from, witness, incarnation, number) => {
                (from, Message::Renewed(incarnation, number, witness, Err(Failure::Other)))
            }
            Caller::Step(..) | Caller::Nobody | Caller::Leader(..) | Caller::Operator => return,
        };
        self.send(site, Process::Actor(to), message);
    }

    /// A proposal's entry was applied at the leader: who waits for its outcome is told.
    pub(super) fn proposal_ended(&mut self, leader: Site, caller: Caller, index: u64) {
        match caller {
            Caller::Nobody | Caller::Operator => {}
            Caller::Leader(slot, life) => {
                let refused = matches!(self.outcome(index), Outcome::Refused(_));
                let now = self.moment(leader);
                let witness = &mut self.witnesses[usize::from(leader)];
                if witness.process.number == life {
                    let ended = if refused { Ended::Refused } else { Ended::Applied(LogIndex(index)) };
                    witness.proposals.ended(slot, ended, now);
                }
            }
            Caller::Register(_, asked, _) | Caller::Renew(_, asked, ..) | Caller::Step(_, asked, ..) => {
                let outcome = self.outcome(index).clone();
                if asked == leader {
                    self.answer_actor(leader, caller, outcome);
                } else {
                    self.send(leader, Process::Witness(asked), Message::Answer(caller, Box::new(outcome)));
                }
            }
        }
    }

    fn outcome(&self, index: u64) -> &Outcome {
        &self.history.entries[index as usize - 1].outcome
    }

    fn answer_actor(&mut self, witness: Site, caller: Caller, outcome: Outcome) {
        let (to, message) = match (caller, outcome) {
            (Caller::Register(from, asked, incarnation), Outcome::Registered(answer)) => {
                (from, Message::Registered(incarnation, asked, Ok(Box::new(answer))))
            }
            (Caller::Register(from, asked, incarnation), _) => {
                (from, Message::Registered(incarnation, asked, Err(Failure::Refused)))
            }
            (Caller::Renew(from, asked, incarnation, number), Outcome::Renewed { grant, .. }) => {
                (from, Message::Renewed(incarnation, number, asked, Ok(Box::new(grant))))
            }
            (Caller::Renew(from, asked, incarnation, number), _) => {
                (from, Message::Renewed(incarnation, number, asked, Err(Failure::Refused)))
            }
            (Caller::Step(from, _, stack, step, epoch, generation), outcome) => {
                let refused = matches!(outcome, Outcome::Refused(_));
                (from, Message::StepAnswered(stack, step, epoch, generation, refused))
            }
            (Caller::Nobody | Caller::Leader(..) | Caller::Operator, _) => return,
        };
        self.send(witness, Process::Actor(to), message);
    }

    /// Applies what is committed, entry by entry, or takes a snapshot.
    pub(super) fn apply_up_to(&mut self, site: Site, index: u64) {
        let w = usize::from(site);
        if self.witnesses[w].state.index().0 >= index {
            return;
        }
        let now = self.moment(site);
        let witness = &mut self.witnesses[w];
        witness.view.tick(&witness.state, now);
        if self.wants_snapshot(site, index) && self.install_snapshot(site, index, now) {
            return;
        }
        let mut important = false;
        while self.witnesses[w].state.index().0 < index {
            important |= self.apply_next(site, now);
        }
        if important {
            self.witnesses[w].changed = self.now;
            self.show_views(site, true);
        }
        let busy = important || self.now < self.witnesses[w].changed + BUSY_AFTER;
        if busy && self.witnesses[w].leading.is_some() {
            self.lead(site, now);
        }
        self.sleep_witness(site);
    }

    fn apply_next(&mut self, site: Site, now: Moment) -> bool {
        let witness = &mut self.witnesses[usize::from(site)];
        let place = witness.state.index().0 as usize;
        let index = LogIndex(place as u64 + 1);
        let newest = place + 1 == self.history.entries.len();
        let committed = &mut self.history.entries[place];
        let outcome = witness.state.apply(index, &committed.entry);
        witness.view.applied(index, &committed.entry, &outcome, &witness.state, now);
        let important = changes_views(&committed.entry.command) && !matches!(outcome, Outcome::Refused(_));
        if newest && self.raft.leader == Some(site) {
            committed.outcome = outcome;
            self.mind_promotion(place);
            if self.story {
                self.tell_entry(place);
            }
        }
        important
    }

    fn install_snapshot(&mut self, site: Site, index: u64, now: Moment) -> bool {
        let whole = |w: &&Witness| w.state.index().0 == index;
        let Some(state) = self.witnesses.iter().find(whole).map(|w| w.state.clone()) else { return false };
        let witness = &mut self.witnesses[usize::from(site)];
        witness.state = state;
        witness.view.restored(&witness.state, now);
        witness.changed = self.now;
        self.say(|w| format!("the witness of {} installs a snapshot of entry {index}", w.name(site)));
        self.see_state(site);
        self.show_views(site, true);
        self.sleep_witness(site);
        true
    }

    /// Shows each site its view, where it is not known to have it.
    fn show_views(&mut self, site: Site, changed: bool) {
        let w = usize::from(site);
        let due = changed || self.witnesses[w].shown.iter().any(Option::is_none);
        if !due || self.witnesses[w].state.policy().is_none() {
            return;
        }
        for to in 0..self.sites {
            if !changed && self.witnesses[w].shown[usize::from(to)].is_some() {
                continue;
            }
            let process = Process::Actor(to);
            if !self.is_alive(process) || !self.net.is_up(to, site) {
                self.witnesses[w].shown[usize::from(to)] = None;
                continue;
            }
            let view = coordination::desired(&self.witnesses[w].state, &self.site_ids[usize::from(to)]);
            if self.witnesses[w].shown[usize::from(to)].as_ref() == Some(&view.stacks) {
                continue;
            }
            let sent = self.net.stream(&mut self.dice, site, to, self.now);
            self.witnesses[w].shown[usize::from(to)] = sent.map(|_| view.stacks.clone());
            if let Some(at) = sent {
                let life = self.life_of(process);
                let message = Message::View(Rc::new(view), life);
                self.queue.push(at, crate::message::Event::Deliver(process, life, message));
            }
        }
    }

    pub(super) fn leadership_changed(&mut self, site: Site) {
        let now = self.moment(site);
        self.lead(site, now);
        self.sleep_witness(site);
    }

    /// The leader's duties.
    fn lead(&mut self, site: Site, now: Moment) {
        let w = usize::from(site);
        let leads = self.raft.members[w].leads.is_some();
        let witness = &mut self.witnesses[w];
        if leads != witness.leading.is_some() {
            witness.leading = leads.then_some(self.now);
            witness.view.leading(leads, now);
        }
        witness.proposals.sweep(witness.state.index(), now);
        if !leads {
            return;
        }
        self.gather_links(site, now);
        if !self.operator.is_founded() {
            for command in self.missing(site) {
                self.propose_own(site, command, now);
            }
        }
        let witness = &self.witnesses[w];
        for command in coordination::decide(&witness.state, &witness.view, now) {
            self.propose_own(site, command, now);
        }
        self.mind_the_seat(site);
    }

    fn propose_own(&mut self, site: Site, command: Command, now: Moment) {
        let witness = &mut self.witnesses[usize::from(site)];
        let life = witness.process.number;
        if let Some(slot) = witness.proposals.admit(&command, now) {
            self.propose_at(site, command, Caller::Leader(slot, life));
        }
    }

    /// Rows of the link matrix are of use only while a site is silent.
    fn gather_links(&mut self, site: Site, now: Moment) {
        let w = usize::from(site);
        let quiet = Millis(self.timing.renew_every.0 * 3 / 2);
        let witness = &self.witnesses[w];
        let silent = self.site_ids.iter().any(|id| witness.view.silence(id, now) > quiet);
        if !silent {
            return;
        }
        for from in 0..self.sites {
            let answers = from == site
                || (self.runs_at(from) && self.net.is_up(site, from) && self.net.is_up(from, site));
            if !answers {
                continue;
            }
            let rows = self.rows_of(from);
            let id = self.site_ids[usize::from(from)].clone();
            self.witnesses[w].view.linked(&id, &rows, now);
        }
    }

    fn runs_at(&self, witness: Site) -> bool {
        self.witnesses[usize::from(witness)].process.runs()
    }

    /// Whom a witness reaches, as its prober would have found out a moment ago.
    fn rows_of(&mut self, from: Site) -> Vec<LinkRow> {
        let now = self.moment(from);
        let mut rows = Vec::with_capacity(usize::from(self.sites));
        for to in 0..self.sites {
            let both = self.net.is_up(from, to) && self.net.is_up(to, from);
            let witness = to != from && both && self.runs_at(to);
            let actor = both && self.process_runs(Process::Actor(to));
            let reached = &mut self.witnesses[usize::from(from)].reached[usize::from(to)];
            if witness {
                reached.0 = Some(now);
            }
            if actor {
                reached.1 = Some(now);
            }
            let age = |at: Option<Moment>| at.map(|at| now.elapsed_shortest(at));
            rows.push(LinkRow {
                site: self.site_ids[usize::from(to)].clone(),
                witness_age: age(reached.0),
                actor_age: age(reached.1),
                endpoint_age: None,
            });
        }
        rows
    }

    /// Before a link goes, every witness notes whom it had reached.
    pub(super) fn note_reached(&mut self) {
        for from in 0..self.sites {
            if self.runs_at(from) {
                self.rows_of(from);
            }
        }
    }

    /// The seat moves to a site with fewer active stacks.
    fn mind_the_seat(&mut self, site: Site) {
        let w = usize::from(site);
        let settled = self.witnesses[w].leading.is_some_and(|since| self.now >= since + SEAT_SETTLE);
        if !settled || self.now < self.witnesses[w].seat_moved + SEAT_PAUSE {
            return;
        }
        let stacks = self.witnesses[w].state.stacks();
        if stacks.is_empty() || stacks.values().any(|s| s.transition.is_some()) {
            return;
        }
        let load = |site: Site| {
            let id = self.name(site);
            stacks.values().filter(|s| s.active.as_ref().is_some_and(|a| a.site == *id)).count()
        };
        let better = self.seat_candidates(site).map(|v| (load(v), v)).min();
        if let Some((least, to)) = better
            && least < load(site)
        {
            self.witnesses[w].seat_moved = self.now;
            self.move_seat(to);
        }
    }

    /// When a witness turns next by itself.
    fn sleep_witness(&mut self, site: Site) {
        let w = usize::from(site);
        let witness = &self.witnesses[w];
        let renew = self.timing.renew_every.0 * 1_000;
        let mut at = self.now + renew * 3 / 4;
        if witness.shown.iter().any(Option::is_none) {
            at = at.min(self.now + VIEW_AGAIN.min(renew));
        }
        if witness.leading.is_some() {
            let busy = self.now < witness.changed + BUSY_AFTER
                && witness.state.stacks().values().any(|s| s.transition.is_some());
            at = at.min(self.now + if busy { BUSY_EVERY } else { renew / 3 });
            let now = self.moment(site);
            let leases =
                witness.state.sites().iter().filter(|(_, s)| s.lease.as_ref().is_some_and(|l| !l.expired));
            let left = leases.filter_map(|(id, _)| witness.view.horizon_remaining(id, now));
            if let Some(left) = left.filter(|left| *left > Millis::ZERO).min()
                && Millis(renew / 3_000) > left
            {
                at = at.min(self.clock(site).when_past(left, self.now));
            }
        }
        self.wake_at(Process::Witness(site), at);
    }

    pub(super) fn count_entries(&mut self) {
        use model::StepKind;
        for (place, committed) in self.history.entries.iter().enumerate() {
            if matches!(committed.outcome, Outcome::Refused(_)) {
                continue;
            }
            let _ = place;
            match &committed.entry.command {
                Command::Elect { .. } => self.figures.elections += 1,
                Command::Expire { .. } => {
                    self.figures.expired += 1;
                    self.figures.fences += 1;
                }
                Command::FenceByTime { .. } | Command::Attest { .. } => self.figures.fences += 1,
                Command::Step(report) if report.step == StepKind::FenceDatabase => self.figures.fences += 1,
                _ => {}
            }
        }
    }

    /// The newest state that any witness has: for people and operators, not for any process.
    pub(super) fn newest_state(&self) -> &State {
        let newest = self.witnesses.iter().max_by_key(|w| w.state.index().0);
        &newest.expect("a group has witnesses").state
    }

    pub(super) fn active_site(&self, stack: Stack) -> Option<Site> {
        let active = self.newest_state().active(self.stack_name(stack)).map(|(site, _)| site.clone())?;
        self.site_of(&active)
    }

    pub(super) fn add_renew_sent(&mut self, what: What) {
        self.add(what);
    }
}

/// Renewals and the like change nothing that a site is shown.
const fn changes_views(command: &Command) -> bool {
    !matches!(
        command,
        Command::Renew { .. }
            | Command::Register { .. }
            | Command::Nothing
            | Command::Digest { .. }
            | Command::SetStreaming { .. }
            | Command::RecordWouldBegin { .. }
            | Command::ForgetLongGrant { .. }
    )
}
