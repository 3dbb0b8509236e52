//! What one witness knows for itself: horizons on its own clocks, when it applied what, what
//! actors reported, and who reaches whom. Never replicated, lost at a restart, and then assumed
//! to be the worst (design, section 5, rule 3).

use crate::state::{SITES_MAX, Stack, State, Transition};
use crate::{Command, Entry, Outcome};
use alloc::collections::BTreeMap;
use alloc::{string::String, vec::Vec};
use model::{DatabaseRole, Epoch, Horizon, LogIndex, Millis, Moment, SiteId, SiteReport, StackId};
use serde::Serialize;

/// What one witness reached of one site: how long ago, or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    /// The site.
    pub site: SiteId,
    /// Its witness answered this long ago.
    pub witness_age: Option<Millis>,
    /// Its actor answered this long ago.
    pub actor_age: Option<Millis>,
    /// One of its public endpoints answered this long ago.
    pub endpoint_age: Option<Millis>,
}

/// When somebody reached something of a site, on this witness's clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Its witness.
    pub witness: Option<Moment>,
    /// Its actor.
    pub actor: Option<Moment>,
    /// A public endpoint.
    pub endpoint: Option<Moment>,
}

impl Reached {
    /// True if anything of the site answered within `span`.
    #[must_use]
    pub fn within(&self, span: Millis, now: Moment) -> bool {
        let fresh = |at: &Moment| now.elapsed_longest(*at) <= span;
        [self.witness, self.actor, self.endpoint].iter().flatten().any(fresh)
    }
}

/// The row of one witness: when it was heard, and what it reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    heard: Moment,
    reached: BTreeMap<SiteId, Reached>,
}

/// A site's report of one stack, and what followed from earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// The last report.
    pub report: SiteReport,
    /// When it came.
    pub at: Moment,
    /// When a report last showed a primary that takes writes.
    pub healthy: Moment,
    /// Since when every report says that the data directory is gone.
    pub gone: Option<Moment>,
    /// Since when every report of a standby says that it does not stream.
    pub not_streaming: Option<Moment>,
    /// When a report of a primary last showed a standby as streaming, by its name.
    pub streamed: BTreeMap<String, Moment>,
}

/// When this witness saw the state of one stack change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Mark<K> {
    key: K,
    at: Moment,
}

impl<K: PartialEq> Mark<K> {
    const fn new(key: K, at: Moment) -> Self {
        Self { key, at }
    }

    fn follow(&mut self, key: K, now: Moment) {
        if self.key != key {
            *self = Self { key, at: now };
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct StackMarks {
    closed: Mark<Epoch>,
    elected: Mark<Epoch>,
    promoted: Mark<Option<Epoch>>,
    completed: Mark<Option<LogIndex>>,
    detached: Mark<usize>,
    fence: Option<(LogIndex, Horizon)>,
    automatic: BTreeMap<LogIndex, Moment>,
}

/// Standbys that let go of the present epoch: a later attempt of a transition begins at none.
fn detachments(stack: &Stack) -> usize {
    let ours = |transition: &Transition| {
        transition.detached.values().filter(|detached| detached.epoch == stack.epoch()).count()
    };
    stack.transition.as_ref().map_or(0, ours)
}

impl StackMarks {
    fn new(stack: &Stack, now: Moment) -> Self {
        Self {
            closed: Mark::new(stack.closed, now),
            elected: Mark::new(stack.epoch(), now),
            promoted: Mark::new(stack.promoted().map(|p| p.epoch), now),
            completed: Mark::new(stack.completed, now),
            detached: Mark::new(detachments(stack), now),
            fence: None,
            automatic: stack.automatic.iter().map(|index| (*index, now)).collect(),
        }
    }

    fn follow(&mut self, stack: &Stack, now: Moment) {
        self.closed.follow(stack.closed, now);
        self.elected.follow(stack.epoch(), now);
        self.promoted.follow(stack.promoted().map(|p| p.epoch), now);
        self.completed.follow(stack.completed, now);
        self.detached.follow(detachments(stack), now);
        self.automatic.retain(|index, _| stack.automatic.contains(index));
        for index in &stack.automatic {
            self.automatic.entry(*index).or_insert(now);
        }
    }
}

/// A standby that no report showed for this long is forgotten: longer than any patience with one.
const REMEMBERED: Millis = Millis(60_000);

/// True if the report shows a primary that takes writes.
fn takes_writes(report: &SiteReport) -> bool {
    let database = &report.database;
    database.role == DatabaseRole::Primary && database.write_age.is_some_and(|age| age <= WRITE_AGE_HEALTHY)
}

/// A primary's report that shows fewer standbys tells nothing of when they went, so what was known
/// of them stays; a site that is no primary has none.
fn streamed_at(
    report: &SiteReport,
    mut known: BTreeMap<String, Moment>,
    now: Moment,
) -> BTreeMap<String, Moment> {
    if report.database.role != DatabaseRole::Primary {
        return BTreeMap::new();
    }
    for replica in report.database.replicas.iter().filter(|r| r.streaming).take(SITES_MAX) {
        known.insert(replica.name.clone(), now);
    }
    known.retain(|_, at| now.elapsed_longest(*at) < REMEMBERED);
    known
}

impl Heard {
    /// How long no report has shown this standby as streaming; from `leading` on if none ever did.
    #[must_use]
    pub fn missed_for(&self, standby: &SiteId, leading: Option<Moment>, now: Moment) -> Millis {
        let known = [self.streamed.get(standby.as_str()).copied(), leading];
        known.into_iter().flatten().map(|at| now.elapsed_shortest(at)).min().unwrap_or(Millis::ZERO)
    }

    /// True if the report is not older than `span` and shows a primary that takes writes.
    #[must_use]
    pub fn takes_writes(&self, span: Millis, now: Moment) -> bool {
        now.elapsed_longest(self.at) <= span && takes_writes(&self.report)
    }
}

/// One witness's own knowledge.
#[derive(Clone, Debug, Serialize)]
pub struct LocalView {
    me: SiteId,
    witnesses: Vec<SiteId>,
    ticked: Moment,
    horizons: BTreeMap<SiteId, Horizon>,
    renewed: BTreeMap<SiteId, Moment>,
    seen: BTreeMap<SiteId, Moment>,
    stacks: BTreeMap<StackId, StackMarks>,
    reports: BTreeMap<(SiteId, StackId), Heard>,
    rows: BTreeMap<SiteId, Row>,
    leading: Option<Moment>,
    /// When the last entry was applied.
    applied: Moment,
    shortened: Option<Mark<LogIndex>>,
    renewals: u64,
}

impl LocalView {
    /// A witness that has just started and knows nothing.
    #[must_use]
    pub fn new(me: SiteId, witnesses: Vec<SiteId>, now: Moment) -> Self {
        Self {
            me,
            witnesses,
            ticked: now,
            horizons: BTreeMap::new(),
            renewed: BTreeMap::new(),
            seen: BTreeMap::new(),
            stacks: BTreeMap::new(),
            reports: BTreeMap::new(),
            rows: BTreeMap::new(),
            leading: None,
            applied: now,
            shortened: None,
            renewals: 0,
        }
    }

    /// The state came from disk or as a snapshot: every horizon is W_max from now.
    pub fn restored(&mut self, state: &State, now: Moment) {
        if !planted!(HorizonKeptOverSnapshot) || self.horizons.is_empty() {
            self.assume_worst(state, now);
        }
        self.follow(state, now);
    }

    /// An entry was applied; `state` is the one after it. Stamp `now` after the application: a
    /// horizon may be late, never early.
    pub fn applied(&mut self, index: LogIndex, entry: &Entry, outcome: &Outcome, state: &State, now: Moment) {
        self.applied = now;
        match (&entry.command, outcome) {
            (Command::Register { site, terms, .. }, Outcome::Registered(_)) => {
                self.extend(site, Horizon::new(now, state.wait_of(*terms)));
                self.seen.insert(site.clone(), now);
            }
            (Command::Renew { request, terms }, Outcome::Renewed { repeated: false, .. }) => {
                let current = state.policy().map_or(*terms, |policy| policy.timing.terms());
                let terms = if planted!(HorizonOfCurrentPolicy) { current } else { *terms };
                self.extend(&request.site, Horizon::new(now, state.wait_of(terms)));
                self.renewed.insert(request.site.clone(), now);
                self.seen.insert(request.site.clone(), now);
                self.renewals = self.renewals.saturating_add(1);
            }
            (Command::FenceBegin { stack, .. } | Command::PromoteGivenUp { stack, .. }, Outcome::Applied) => {
                // The horizon as it stands now: later renewals no longer cover this epoch.
                let site = state.active(stack).map(|(site, _)| site);
                let known = site.and_then(|site| self.horizons.get(site).copied());
                let horizon = known.unwrap_or_else(|| Horizon::new(now, state.wait_max()));
                let marks = state.stacks().get(stack).map(|s| StackMarks::new(s, now));
                if let Some(marks) = marks {
                    self.stacks.entry(stack.clone()).or_insert(marks).fence = Some((index, horizon));
                }
            }
            _ => {}
        }
        self.follow(state, now);
    }

    /// Called on every turn of the loop. After a pause of its own above `detect.after` the
    /// witness renews all horizons; above R it drops what it observed. A leader that could commit
    /// nothing for `detect.after` has no majority to speak for: it begins to lead anew.
    pub fn tick(&mut self, state: &State, now: Moment) {
        let gap = now.elapsed_longest(self.ticked);
        self.ticked = now;
        let Some(policy) = state.policy() else { return };
        let timing = policy.timing.values();
        if gap > timing.renew_every {
            self.reports.clear();
            self.rows.clear();
            self.seen = state.sites().keys().map(|site| (site.clone(), now)).collect();
            if self.leading.is_some() {
                self.leading = Some(now);
            }
        }
        if gap > timing.detect_after && !planted!(HorizonKeptOverJump) {
            self.assume_worst(state, now);
        }
        if self.leading.is_some() && self.quiet(now) > timing.detect_after {
            self.leading(false, now);
            self.leading(true, now);
        }
    }

    /// Leadership begins (at the first commit of the term) or ends.
    pub fn leading(&mut self, leads: bool, now: Moment) {
        match (leads, self.leading) {
            (true, None) => {
                self.leading = Some(now);
                for heard in self.reports.values_mut() {
                    heard.healthy = now;
                    heard.gone = None;
                    heard.not_streaming = None;
                }
            }
            (false, _) => self.leading = None,
            (true, Some(_)) => {}
        }
    }

    /// An actor's report.
    pub fn report(&mut self, report: SiteReport, now: Moment) {
        let key = (report.site.clone(), report.stack.clone());
        let before = self.reports.remove(&key);
        let healthy = takes_writes(&report);
        let gone = report.gate.as_ref().is_some_and(|gate| !gate.data_present && !gate.running);
        let streams = report.database.upstream.as_ref().is_some_and(|up| up.streaming);
        let since = |now_true: bool, earlier: Option<Moment>| now_true.then(|| earlier.unwrap_or(now));
        let heard = Heard {
            at: now,
            healthy: if healthy { now } else { before.as_ref().map_or(now, |b| b.healthy) },
            gone: since(gone, before.as_ref().and_then(|b| b.gone)),
            not_streaming: since(!streams, before.as_ref().and_then(|b| b.not_streaming)),
            streamed: streamed_at(&report, before.map(|b| b.streamed).unwrap_or_default(), now),
            report,
        };
        self.reports.insert(key, heard);
    }

    /// The row of a witness: whom it reached, how long ago.
    pub fn linked(&mut self, from: &SiteId, rows: &[LinkRow], now: Moment) {
        let at = |age: Option<Millis>| age.map(|age| now.before(age));
        let reached = rows
            .iter()
            .map(|row| {
                let reached = Reached {
                    witness: at(row.witness_age),
                    actor: at(row.actor_age),
                    endpoint: at(row.endpoint_age),
                };
                (row.site.clone(), reached)
            })
            .collect();
        self.rows.insert(from.clone(), Row { heard: now, reached });
    }

    fn extend(&mut self, site: &SiteId, horizon: Horizon) {
        let known = self.horizons.get(site).copied();
        self.horizons.insert(site.clone(), known.map_or(horizon, |h| h.max(horizon)));
    }

    fn assume_worst(&mut self, state: &State, now: Moment) {
        let worst = Horizon::new(now, state.wait_max());
        for site in state.sites().keys() {
            self.extend(site, worst);
            self.seen.insert(site.clone(), now);
        }
        for (id, stack) in state.stacks() {
            let marks = self.stacks.entry(id.clone()).or_insert_with(|| StackMarks::new(stack, now));
            marks.fence = stack.fence_begun.map(|index| match marks.fence {
                Some((known, horizon)) if known == index => (index, horizon.max(worst)),
                _ => (index, worst),
            });
        }
        if let Some(mark) = &mut self.shortened {
            mark.at = now;
        }
    }

    fn follow(&mut self, state: &State, now: Moment) {
        for (id, stack) in state.stacks() {
            let marks = self.stacks.entry(id.clone()).or_insert_with(|| StackMarks::new(stack, now));
            marks.follow(stack, now);
        }
        for site in state.sites().keys() {
            self.seen.entry(site.clone()).or_insert(now);
        }
        self.shortened = match (state.longest_grant().shortened, self.shortened) {
            (Some(index), Some(mark)) if mark.key == index => Some(mark),
            (Some(index), _) => Some(Mark::new(index, now)),
            (None, _) => None,
        };
    }
}

/// A primary whose last acknowledged write probe is older than this takes no writes.
pub const WRITE_AGE_HEALTHY: Millis = Millis(5_000);

/// Questions that the rules ask.
impl LocalView {
    /// The witness's own site.
    #[must_use]
    pub const fn me(&self) -> &SiteId {
        &self.me
    }

    /// All witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[SiteId] {
        &self.witnesses
    }

    /// How long ago the last entry was applied.
    #[must_use]
    pub fn quiet(&self, now: Moment) -> Millis {
        now.elapsed_longest(self.applied)
    }

    /// Since when this witness leads, and commits.
    #[must_use]
    pub const fn leading_since(&self) -> Option<Moment> {
        self.leading
    }

    /// Renewals applied since the start, for measurement.
    #[must_use]
    pub const fn renewals(&self) -> u64 {
        self.renewals
    }

    /// True once the site's last grant has surely ended. Unknown is no.
    #[must_use]
    pub fn horizon_is_past(&self, site: &SiteId, now: Moment) -> bool {
        self.horizons.get(site).is_some_and(|horizon| horizon.is_past(now))
    }

    /// What is left of the site's horizon.
    #[must_use]
    pub fn horizon_remaining(&self, site: &SiteId, now: Moment) -> Option<Millis> {
        self.horizons.get(site).map(|horizon| horizon.remaining(now))
    }

    /// The `FenceBegin` entry of the stack whose horizon is past.
    #[must_use]
    pub fn fence_horizon_past(&self, stack: &StackId, now: Moment) -> Option<LogIndex> {
        let (index, horizon) = self.stacks.get(stack)?.fence?;
        (horizon.is_past(now) || planted!(FenceWithoutHorizon)).then_some(index)
    }

    /// When the site's last renewal was applied here.
    #[must_use]
    pub fn renewed(&self, site: &SiteId) -> Option<Moment> {
        self.renewed.get(site).copied()
    }

    /// How long no renewal or registration of the site was applied here; counted from this
    /// witness's start if none was.
    #[must_use]
    pub fn silence(&self, site: &SiteId, now: Moment) -> Millis {
        self.seen.get(site).map_or(Millis::ZERO, |at| now.elapsed_shortest(*at))
    }

    /// True if a renewal was applied within `span`.
    #[must_use]
    pub fn renews_within(&self, site: &SiteId, span: Millis, now: Moment) -> bool {
        self.renewed.get(site).is_some_and(|at| now.elapsed_longest(*at) <= span)
    }

    /// The last report of a site about a stack.
    #[must_use]
    pub fn heard(&self, site: &SiteId, stack: &StackId) -> Option<&Heard> {
        self.reports.get(&(site.clone(), stack.clone()))
    }

    /// What `from` reached of `site`.
    #[must_use]
    pub fn reached(&self, from: &SiteId, site: &SiteId) -> Option<Reached> {
        self.rows.get(from)?.reached.get(site).copied()
    }

    /// Witnesses whose row was heard within `span` and that reached nothing of `site` within it.
    #[must_use]
    pub fn unreached_by(&self, site: &SiteId, span: Millis, now: Moment) -> Vec<SiteId> {
        let blind = |(from, row): (&SiteId, &Row)| {
            let fresh = now.elapsed_longest(row.heard) <= span;
            let sees = row.reached.get(site).is_some_and(|r| r.within(span, now));
            (fresh && from != site && !sees).then(|| from.clone())
        };
        self.rows.iter().filter_map(blind).collect()
    }

    /// Time since this witness saw the stack's epoch closed.
    #[must_use]
    pub fn since_closed(&self, stack: &StackId, now: Moment) -> Millis {
        self.stacks.get(stack).map_or(Millis::ZERO, |m| now.elapsed_shortest(m.closed.at))
    }

    /// Time since this witness applied the election of the current epoch.
    #[must_use]
    pub fn since_elected(&self, stack: &StackId, now: Moment) -> Millis {
        self.stacks.get(stack).map_or(Millis::ZERO, |m| now.elapsed_shortest(m.elected.at))
    }

    /// Time since this witness applied the promotion's report.
    #[must_use]
    pub fn since_promoted(&self, stack: &StackId, now: Moment) -> Millis {
        self.stacks.get(stack).map_or(Millis::ZERO, |m| now.elapsed_shortest(m.promoted.at))
    }

    /// Time since this witness applied the last detachment of a standby.
    #[must_use]
    pub fn since_detached(&self, stack: &StackId, now: Moment) -> Millis {
        self.stacks.get(stack).map_or(Millis::ZERO, |m| now.elapsed_shortest(m.detached.at))
    }

    /// Time since the last completed automatic failover, if one was; from the restart again.
    #[must_use]
    pub fn since_completed(&self, stack: &StackId, now: Moment) -> Option<Millis> {
        let mark = self.stacks.get(stack)?.completed;
        mark.key.map(|_| now.elapsed_shortest(mark.at))
    }

    /// Automatic elections within `window`; from the restart again.
    #[must_use]
    pub fn automatic_within(&self, stack: &StackId, window: Millis, now: Moment) -> usize {
        let recent = |at: &&Moment| now.elapsed_shortest(**at) < window;
        self.stacks.get(stack).map_or(0, |m| m.automatic.values().filter(recent).count())
    }

    /// The shortening of the policy that is long enough ago to forget the longer grants.
    #[must_use]
    pub fn shortened_long_ago(&self, state: &State, now: Moment) -> Option<LogIndex> {
        let mark = self.shortened?;
        (now.elapsed_shortest(mark.at) > state.wait_max()).then_some(mark.key)
    }
}
