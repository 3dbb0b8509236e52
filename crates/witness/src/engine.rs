//! The witness's one loop: an event comes in, the view takes it, and a leader decides and
//! proposes. It never waits for anything but the next event.

use crate::config::Config;
use crate::event::{Event, Question};
use crate::links::Links;
use crate::proposals::{Ended, Proposals};
use crate::surroundings::Observer;
use crate::{Error, seat, setup};
use consensus::{Applied, Handle, Leadership, ProposeError};
use coordination::explain::{Answering, explain, status};
use coordination::{Command, LocalView, Outcome, State};
use model::{Millis, Moment, SiteId};
use rpc::clock;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Between two turns of the loop while nothing is near: R divided by this, for a gap of R
/// between two turns counts as a pause of the process.
const TICKS_IN_R: u64 = 3;
/// Between two turns while a transition is under way or something waits.
const TICK_NEAR: Millis = Millis(20);
/// For one proposal of the leader. What is not answered by then is unknown, and decided anew.
const PROPOSE_DEADLINE: Millis = Millis(2_000);
/// The leader looks at its seat this often.
const SEAT_EVERY: Millis = Millis(500);
/// A witness whose state is further behind than this is no place for the seat.
const SEAT_LAG_MAX: u64 = 200;

/// The loop and all that it owns.
pub struct Engine {
    config: Arc<Config>,
    consensus: Handle,
    links: Arc<Links>,
    state: Arc<State>,
    view: LocalView,
    leadership: Leadership,
    leading_since: Option<Moment>,
    proposals: Proposals,
    seat: seat::Throttle,
    seat_looked: Moment,
    published: watch::Sender<Arc<State>>,
    events: mpsc::Sender<Event>,
    observer: Option<Arc<dyn Observer>>,
}

/// What the loop listens to.
pub struct Sources {
    /// What was applied here, in the order of the log.
    pub applied: mpsc::Receiver<Applied>,
    /// Everything else.
    pub events: mpsc::Receiver<Event>,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// Ends the loop.
    pub stop: CancellationToken,
}

impl Engine {
    /// A witness that knows nothing yet. `events` is the sending side of its own queue.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        consensus: Handle,
        links: Arc<Links>,
        published: watch::Sender<Arc<State>>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let now = clock::now();
        let witnesses: Vec<SiteId> = config.members.iter().map(|m| m.site.clone()).collect();
        let leadership = consensus.watch_leadership().borrow().clone();
        let state = published.borrow().clone();
        Self {
            view: LocalView::new(config.site.clone(), witnesses, now),
            config,
            consensus,
            links,
            state,
            leadership,
            leading_since: None,
            proposals: Proposals::default(),
            seat: seat::Throttle::default(),
            seat_looked: now,
            published,
            events,
            observer: None,
        }
    }

    /// Shows what happens to somebody.
    #[must_use]
    pub fn observed_by(self, observer: Option<Arc<dyn Observer>>) -> Self {
        Self { observer, ..self }
    }

    /// Turns until it is told to stop.
    ///
    /// # Errors
    /// When the consensus ends, or this witness's state differs from the leader's.
    pub async fn run(mut self, mut sources: Sources) -> Result<(), Error> {
        loop {
            let wake = tokio::time::sleep(self.wake_after(clock::now()).into());
            let event = tokio::select! {
                biased;
                () = sources.stop.cancelled() => return Ok(()),
                applied = sources.applied.recv() => {
                    let Some(applied) = applied else { return Err(Error::ConsensusEnded("it applies nothing any more".to_owned())) };
                    Event::Applied(applied)
                }
                Ok(()) = sources.leadership.changed() => {
                    self.leadership = sources.leadership.borrow_and_update().clone();
                    if let Some(observer) = &self.observer {
                        observer.leadership(&self.leadership);
                    }
                    Event::Leadership
                }
                Some(event) = sources.events.recv() => event,
                () = wake => Event::Tick,
            };
            self.turn(event)?;
        }
    }

    fn turn(&mut self, event: Event) -> Result<(), Error> {
        let now = clock::now();
        self.view.tick(&self.state, now);
        match event {
            Event::Applied(applied) => self.applied(applied, now)?,
            Event::Leadership | Event::Tick => {}
            Event::Report(report) => self.view.report(*report, now),
            Event::Links { from, rows } => self.view.linked(&from, &rows, now),
            Event::Proposed { id, ended } => self.proposals.ended(id, ended, now),
            Event::Asked(question) => {
                self.answer(question, now);
                return Ok(());
            }
        }
        self.lead(now);
        Ok(())
    }

    fn applied(&mut self, applied: Applied, now: Moment) -> Result<(), Error> {
        if let Some(observer) = &self.observer {
            observer.applied(&applied);
        }
        match applied {
            Applied::Entry { index, entry, outcome, state } => {
                if outcome == Outcome::Diverged {
                    return Err(Error::Diverged { index });
                }
                self.view.applied(index, &entry, &outcome, &state, now);
                self.state = state;
            }
            Applied::Restored { state } => {
                self.view.restored(&state, now);
                self.state = state;
            }
        }
        self.published.send_replace(self.state.clone());
        Ok(())
    }

    /// The leader's duties; nothing for the others.
    fn lead(&mut self, now: Moment) {
        let leads = self.leadership.me_leading;
        if leads != self.leading_since.is_some() {
            self.leading_since = leads.then_some(now);
            self.view.leading(leads, now);
            tracing::info!(site = %self.config.site, leads, term = self.leadership.term, "leadership");
            self.compare_timing();
        }
        self.proposals.sweep(self.state.index(), now);
        if !leads {
            return;
        }
        for command in setup::missing(&self.state, &self.config) {
            self.propose(command);
        }
        for command in coordination::decide(&self.state, &self.view, now) {
            self.propose(command);
        }
        self.mind_the_seat(now);
    }

    /// The group keeps the policy that it committed; a file that says otherwise misleads.
    fn compare_timing(&self) {
        let Some(policy) = self.state.policy() else { return };
        if policy.timing != self.config.policy.timing {
            tracing::warn!(
                revision = policy.revision,
                "the configured timing differs from the group's, which stays in force; make the file agree with `tripoint timing`"
            );
        }
    }

    /// Proposes a command unless it is under way.
    fn propose(&mut self, command: Command) {
        let Some(id) = self.proposals.admit(&command) else { return };
        let (consensus, events) = (self.consensus.clone(), self.events.clone());
        tokio::spawn(async move {
            let ended = match consensus.propose(command.clone(), PROPOSE_DEADLINE).await {
                Ok((_, Outcome::Refused(refusal))) => {
                    tracing::debug!(?command, ?refusal, "the group refused what its leader proposed");
                    Ended::Refused
                }
                Ok((index, _)) => Ended::Applied(index),
                Err(error @ ProposeError::TooLong(_)) => {
                    tracing::error!(?command, %error, "the leader cannot propose this");
                    Ended::Refused
                }
                Err(ProposeError::NoLeader | ProposeError::Unknown | ProposeError::Stopped) => Ended::Unknown,
            };
            // The loop has ended if nobody takes it: nothing is left to be told.
            let _ = events.send(Event::Proposed { id, ended }).await;
        });
    }

    /// Moves the leader's seat away from the active sites, now and then.
    fn mind_the_seat(&mut self, now: Moment) {
        let settled = self.leading_since.is_some_and(|since| now.elapsed_shortest(since) >= seat::SETTLE);
        let due = now.elapsed_shortest(self.seat_looked) >= SEAT_EVERY;
        if !settled || !due || !self.seat.allows(now) {
            return;
        }
        self.seat_looked = now;
        let seats = self.seats(now);
        // Where the others are no majority the loss of this site is the group's, wherever the seat
        // is: a move would be an election that is good for nothing.
        if seats.len() < self.config.members.len() / 2 + 1 {
            return;
        }
        let Some(site) = seat::better(&self.state, &self.config.site, &seats) else { return };
        let Some(node) = self.config.node_of(&site) else { return };
        self.seat.tried(now);
        tracing::info!(%site, "the leader's seat moves to a site with fewer active stacks");
        let consensus = self.consensus.clone();
        tokio::spawn(async move {
            if let Err(error) = consensus.transfer_leader(node).await {
                tracing::warn!(%site, %error, "the leader's seat did not move");
            }
        });
    }

    /// Witnesses that answer, are up to date and reach a majority.
    fn seats(&self, now: Moment) -> Vec<SiteId> {
        let Some(policy) = self.state.policy() else { return Vec::new() };
        let fresh = policy.timing.values().detect_after;
        let majority = self.config.members.len() / 2 + 1;
        let fits = |site: &SiteId, link: &crate::links::Link| {
            let answers = link.witness.is_some_and(|at| now.elapsed_longest(at) <= fresh);
            let current = link.applied.0 + SEAT_LAG_MAX >= self.state.index().0;
            // A witness reaches itself, too.
            let connected = link.reached + 1 >= majority;
            (answers && current && connected).then(|| site.clone())
        };
        self.links.all().iter().filter_map(|(site, link)| fits(site, link)).collect()
    }

    fn answer(&self, question: Question, now: Moment) {
        // Whoever asked may have gone away: then nobody takes the answer.
        match question {
            Question::Status { stale, answer } => {
                let _ = answer.send(status(&self.state, &self.view, &self.answering(stale), now));
            }
            Question::Explain { stack, answer } => {
                let _ = answer.send(explain(&self.state, &self.view, stack.as_ref(), now));
            }
        }
    }

    fn answering(&self, stale: bool) -> Answering {
        let links = self.links.all();
        Answering {
            group: self.config.group.clone(),
            stale,
            leader: self.leadership.leader.clone(),
            term: self.leadership.term,
            round_trips: links.into_iter().filter_map(|(site, l)| Some((site, l.round_trip?))).collect(),
            wall: clock::wall(),
        }
    }

    /// Until the next turn, if nothing else happens: exactly at the next horizon.
    fn wake_after(&self, now: Moment) -> Millis {
        let idle = Millis(
            self.state.policy().unwrap_or(&self.config.policy).timing.values().renew_every.0 / TICKS_IN_R,
        );
        if self.leading_since.is_none() {
            return idle;
        }
        let busy = !self.proposals.is_empty() || self.state.stacks().values().any(|s| s.transition.is_some());
        let idle = if busy { TICK_NEAR } else { idle };
        let leases = self.state.sites().iter().filter(|(_, s)| s.lease.as_ref().is_some_and(|l| !l.expired));
        // One that is past already is the business of a proposal under way.
        let left = leases.filter_map(|(site, _)| self.view.horizon_remaining(site, now));
        let next = left.filter(|left| *left > Millis::ZERO).min();
        next.map_or(idle, |left| left.plus(Millis(1)).min(idle))
    }
}
