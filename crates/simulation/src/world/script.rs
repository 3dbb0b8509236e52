//! A script in the world: its acts when they are due, its questions, and the tale of it all.

use super::World;
use crate::checkers::liveness_bound;
use crate::history::{MILLI, SECOND, Site, Stack, Time, What};
use crate::message::{Event, Process};
use crate::plan::{Fault, FaultKind};
use crate::scenario::{
    Act, Blow, Claim, Deed, Happening, Kind, Look, Occasion, Place, Question, Script, Tale, When, Window,
    answering, answers, happening,
};
use coordination::explain::{explain, status};
use model::{LogIndex, Millis};

/// A group that does not come up within this never does.
const UP_WITHIN: Time = 120 * SECOND;
/// It must be up for so long before the script begins.
const UP_FOR: Time = 3 * SECOND;
/// How often questions are asked, and whether the group is up is looked at.
const LOOKS_EVERY: Time = 100 * MILLI;

/// A script that is being played.
struct Stage<'a> {
    script: &'a Script,
    /// Since when the group has been up.
    up: Option<Time>,
    began: Option<Time>,
    /// The act that is next.
    next: usize,
    /// When what it waits for occurred.
    occasion: Option<Time>,
    /// Events of the log and records of the history up to here are told.
    told: LogIndex,
    records: usize,
    /// Questions are asked next at this time, in time of the script.
    look: Time,
    tale: Tale,
}

impl World {
    /// Plays a script to its end and tells what happened.
    pub fn play(&mut self, script: &Script) -> Tale {
        let mut stage = Stage::new(script);
        for (stack, (_, mode)) in (0..).zip(&script.stacks) {
            self.operator.want(stack, *mode);
        }
        self.plan.ends = UP_WITHIN;
        self.queue.push(LOOKS_EVERY, Event::Script);
        while let Some(at) = self.queue.next() {
            if at > self.plan.ends {
                break;
            }
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            let looks = matches!(event, Event::Script);
            self.handle(event);
            self.follow_script(&mut stage, looks);
            if self.settled && stage.is_over(self.now) {
                break;
            }
        }
        self.now = if self.settled { self.now } else { self.plan.ends };
        self.finish();
        self.finish_tale(stage)
    }

    fn follow_script(&mut self, stage: &mut Stage<'_>, looks: bool) {
        let Some(began) = stage.began else {
            if looks {
                self.wait_for_group(stage);
            }
            return;
        };
        self.listen(stage);
        while self.act_if_due(stage, began) {}
        if looks {
            self.ask_questions(stage, began);
        }
    }

    /// The script begins once every stack is adopted, in its mode, and every standby streams.
    fn wait_for_group(&mut self, stage: &mut Stage<'_>) {
        self.queue.push(self.now + LOOKS_EVERY, Event::Script);
        if !self.is_up(stage.script) {
            stage.up = None;
            return;
        }
        if self.now < *stage.up.get_or_insert(self.now) + UP_FOR {
            return;
        }
        let began = self.now;
        stage.began = Some(began);
        stage.tale.began = true;
        stage.told = self.newest_state().index();
        stage.records = self.history.records.len();
        stage.tale.active = (0..self.stacks).map(|stack| self.active_site(stack)).collect();
        let heals = stage.script.acts.iter().rev().find_map(|act| match act.when {
            When::At(at) => Some(at),
            When::On(..) => None,
        });
        self.plan.heals = began + heals.unwrap_or_default();
        self.plan.ends = self.plan.heals + liveness_bound(&self.plan.policy) + 2 * SECOND;
        self.plan.ends = self.plan.ends.max(began + stage.script.latest() + SECOND);
        for time in stage.script.times() {
            self.queue.push(began + time, Event::Script);
        }
        self.say(|w| format!("THE SCRIPT BEGINS: its times count from {:.3} s", w.now as f64 / 1e6));
    }

    fn is_up(&self, script: &Script) -> bool {
        let state = self.newest_state();
        let led = self.raft.leader.is_some_and(|l| self.raft.members[usize::from(l)].leads.is_some());
        led && (0..).zip(&script.stacks).all(|(stack, (site, mode))| {
            let Some(known) = state.stacks().get(self.stack_name(stack)) else { return false };
            let whole = known.streaming.len() + 1 == usize::from(self.sites);
            let timed = known.cover.is_fenced_by_time() || mode.holds_cover();
            known.mode == *mode && whole && timed && self.active_site(stack) == Some(*site)
        })
    }

    /// What the log and the history told since.
    fn listen(&mut self, stage: &mut Stage<'_>) {
        let began = stage.began.unwrap_or_default();
        let at = self.now - began;
        let state = self.newest_state();
        if state.index() > stage.told {
            let new = state.events().rev().take_while(|event| event.index > stage.told);
            let mut new: Vec<Happening> = new.filter_map(|event| happening(&event.kind)).collect();
            new.reverse();
            stage.told = state.index();
            new.into_iter().for_each(|happening| stage.tell(at, happening));
        }
        for place in stage.records..self.history.records.len() {
            if let What::Leads { site, .. } = self.history.records[place].what {
                stage.tell(at, Happening { kind: Kind::Leads, stack: None, site });
            }
        }
        stage.records = self.history.records.len();
    }

    /// Does the next act if its time has come. True if there may be another.
    fn act_if_due(&mut self, stage: &mut Stage<'_>, began: Time) -> bool {
        let Some(act) = stage.script.acts.get(stage.next) else { return false };
        let now = self.now - began;
        let due = match &act.when {
            When::At(at) => *at,
            When::On(_, later) => match stage.occasion {
                Some(at) => at + later,
                // The next line with a fixed time does not wait for it.
                None if stage.fixed_after().is_some_and(|at| now >= at) => return stage.pass(None),
                None => return false,
            },
        };
        if now < due {
            self.queue.push(began + due, Event::Script);
            return false;
        }
        let done = self.do_act(act);
        stage.pass(done.then_some(now))
    }

    /// False if it can't be done now.
    fn do_act(&mut self, act: &Act) -> bool {
        let Some(faults) = self.faults_of(act.deed) else { return false };
        self.say(|_| format!("SCRIPT line {}: {}", act.line, act.text));
        if act.deed == Deed::Heal {
            self.heal();
        }
        for kind in faults {
            let number = self.plan.faults.len();
            self.plan.faults.push(Fault { at: self.now, lasts: act.lasts, kind });
            self.holding.push(false);
            self.fault(number, true);
        }
        self.settle_wakes();
        true
    }

    /// What happens to whom, now; none if there is nobody whom it could happen to.
    fn faults_of(&self, deed: Deed) -> Option<Vec<FaultKind>> {
        Some(match deed {
            Deed::Cut(a, b, true) => vec![FaultKind::Cut(a, b), FaultKind::Cut(b, a)],
            Deed::Cut(a, b, false) => vec![FaultKind::Cut(a, b)],
            Deed::Failover(stack, to) => vec![FaultKind::StopAndElect(stack, to)],
            Deed::SetMode(stack, mode) => vec![FaultKind::SetMode(stack, mode)],
            Deed::Attest(stack) => vec![FaultKind::Attest(stack)],
            Deed::Heal => Vec::new(),
            Deed::Blow(blow, stack, place) => {
                let site = self.site_at(place, stack)?;
                if blow == Blow::LoseData && !self.has_spare_copies(stack, site) {
                    return None;
                }
                vec![blow.fault(stack, site)]
            }
        })
    }

    fn site_at(&self, place: Place, stack: Stack) -> Option<Site> {
        match place {
            Place::Site(site) => Some(site),
            Place::Leader => self.raft.leader.filter(|leader| self.is_alive(Process::Witness(*leader))),
            Place::Active => self.active_site(stack),
            Place::Standby => {
                let active = self.active_site(stack);
                (0..self.sites).find(|site| Some(*site) != active && self.hosts[usize::from(*site)].up)
            }
        }
    }

    /// Asks what is to be asked now.
    fn ask_questions(&mut self, stage: &mut Stage<'_>, began: Time) {
        let now = self.now - began;
        if now >= stage.look {
            stage.look = now + LOOKS_EVERY;
            self.queue.push(self.now + LOOKS_EVERY, Event::Script);
        }
        for (place, expectation) in stage.script.expectations.iter().enumerate() {
            let Claim::Says(question) = &expectation.claim else { continue };
            let known = stage.tale.looks[place].as_ref();
            let after = expectation.after.map_or(Some(0), |act| stage.tale.done[act]);
            let due = match expectation.window {
                Window::At(at) => now >= at && known.is_none(),
                Window::Between(from, to) => {
                    (from..=to).contains(&now) && known.is_none_or(|look| look.said.is_ok())
                }
                Window::Within(time) => {
                    let open = after.is_some_and(|from| now <= from.saturating_add(time));
                    open && known.is_none_or(|look| look.said.is_err())
                }
            };
            if due {
                stage.tale.looks[place] = Some(Look { at: now, said: self.ask(question) });
            }
        }
    }

    /// What a witness says. A question is about what it knows: no message is sent.
    fn ask(&self, question: &Question) -> Result<String, String> {
        let site = match question.of {
            Some(place) => self.site_at(place, question.stack),
            None => self.site_at(Place::Leader, question.stack),
        };
        let site = site.ok_or("nobody is there to be asked")?;
        if !self.process_runs(Process::Witness(site)) {
            return Err(format!("the witness of {} does not run", self.name(site)));
        }
        let (witness, now) = (&self.witnesses[usize::from(site)], self.moment(site));
        let answering = answering("simulated", Millis(self.now / MILLI));
        let status = status(&witness.state, &witness.view, &answering, now);
        answers(question, &status, &explain(&witness.state, &witness.view, None, now))
    }

    fn finish_tale(&self, stage: Stage<'_>) -> Tale {
        let began = stage.began.unwrap_or_default();
        let mut tale = stage.tale;
        tale.ended = self.now.saturating_sub(began);
        for record in &self.history.records {
            let at = record.at.saturating_sub(began);
            match record.what {
                What::Acked { stack, site, row, .. } => {
                    tale.acked.push((at, stack, site));
                    if self.lacks(stack, row) {
                        tale.lost.push((at, stack));
                    }
                }
                What::PrimaryBegan { stack, site, .. } => tale.primaries.push((at, stack, site, true)),
                What::PrimaryEnded { stack, site, .. } => tale.primaries.push((at, stack, site, false)),
                _ => {}
            }
        }
        tale
    }

    /// True if the site that is active in the end has no such row.
    fn lacks(&self, stack: Stack, row: u64) -> bool {
        let Some(site) = self.active_site(stack) else { return true };
        let rows = &self.history.databases[usize::from(stack)][usize::from(site)].rows;
        rows.binary_search(&row).is_err()
    }
}

impl<'a> Stage<'a> {
    fn new(script: &'a Script) -> Self {
        let tale = Tale {
            done: vec![None; script.acts.len()],
            looks: vec![None; script.expectations.len()],
            ..Tale::default()
        };
        let (up, began, occasion) = (None, None, None);
        Self { script, up, began, next: 0, occasion, told: LogIndex(0), records: 0, look: 0, tale }
    }

    /// Something occurred: perhaps what the next act waits for.
    fn tell(&mut self, at: Time, happening: Happening) {
        if self.occasion.is_none() && self.awaits().is_some_and(|occasion| occasion.is(&happening)) {
            self.occasion = Some(at);
        }
        self.tale.occurred.push((at, happening));
    }

    /// What the next act waits for.
    fn awaits(&self) -> Option<&'a Occasion> {
        match &self.script.acts.get(self.next)?.when {
            When::On(occasion, _) => Some(occasion),
            When::At(_) => None,
        }
    }

    /// The next act is done, or can't be. Lines that wait for the same are done together.
    fn pass(&mut self, done: Option<Time>) -> bool {
        let before = self.awaits();
        self.tale.done[self.next] = done;
        self.next += 1;
        if before.is_none() || before != self.awaits() {
            self.occasion = None;
        }
        true
    }

    /// The next fixed time after an act that waits.
    fn fixed_after(&self) -> Option<Time> {
        self.script.acts[self.next..].iter().find_map(|act| match act.when {
            When::At(at) => Some(at),
            When::On(..) => None,
        })
    }

    /// Nothing is left to be looked at.
    fn is_over(&self, now: Time) -> bool {
        self.began.is_some_and(|began| now >= began + self.script.latest())
    }
}
