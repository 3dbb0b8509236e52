//! A site that is not the active one: it follows, and if it can't as it is, it is brought home.

use super::{Action, NEEDS_REJOIN, NO_GATE, OrderKind, Turn};
use crate::rejoin::{Choice, Facts, Way, choose, obstacle_text};
use alloc::{format, vec::Vec};
use model::{
    CopyMark, CopyReport, DatabaseRole, Epoch, GateReport, Millis, SiteId, StepKind, StepOutcome, Timeline,
    WalPosition,
};

/// A standby that does not stream by its slot for this long is told to stream without it.
const SLOT_PATIENCE: Millis = Millis(8_000);
/// One on the chain that does not stream for this long gets a base backup ...
const STREAM_PATIENCE: Millis = Millis(120_000);
/// ... or for this long, if it was rewound: a rewind does not see whether the source still has the
/// WAL that it needs.
const REWOUND_PATIENCE: Millis = Millis(45_000);
/// One that takes no sessions may be replaying much.
const RECOVERY_PATIENCE: Millis = Millis(600_000);
/// A standby that says itself that it is ahead is believed after this.
const AHEAD_PATIENCE: Millis = Millis(2_000);
/// Refusals of a rewind, before it changed anything, until a base backup is made instead.
const REWINDS_REFUSED_MAX: u32 = 3;

impl Turn<'_> {
    pub(super) fn follow(
        &self,
        site: &SiteId,
        epoch: Epoch,
        timeline: Option<Timeline>,
        report_due: bool,
        actions: &mut Vec<Action>,
    ) {
        if !self.is_current(epoch) || *site == self.observed.site {
            return;
        }
        let Some(gate) = &self.observed.gate else {
            actions.push(Action::Problem(NO_GATE));
            return;
        };
        // Its promotion is committed: before that there is nothing to come home to.
        if timeline.is_some() && self.come_home(site, epoch, gate, actions) {
            return;
        }
        let p = &self.observed.progress;
        if !gate.standby {
            // Without a word on the copy nothing is done: it comes with the next report.
            if gate.data_present && timeline.is_none() {
                actions.push(Action::Problem(NEEDS_REJOIN));
            }
            return;
        }
        let slotless = p.slotless == Some(epoch);
        if p.following.as_ref() != Some(&(epoch, site.clone())) {
            self.order(OrderKind::Follow { epoch, site: site.clone(), slot: !slotless }, actions);
            return;
        }
        let Some(timeline) = timeline else { return };
        let upstream = self.observed.database.upstream.as_ref();
        let streams = upstream
            .is_some_and(|up| up.streaming && up.timeline == timeline && up.site.as_ref() == Some(site));
        if !streams {
            if !slotless && self.unstreamed_for(SLOT_PATIENCE) {
                self.order(OrderKind::Follow { epoch, site: site.clone(), slot: false }, actions);
            }
            return;
        }
        let evidence = format!("streaming from {site} on timeline {timeline}");
        if let Some((at, done)) = &p.rejoined
            && *at == epoch
            && !p.told.contains(&(StepKind::Rejoin, epoch))
        {
            let evidence = format!("{done}; {evidence}");
            self.report(StepKind::Rejoin, epoch, StepOutcome::Done, None, evidence, actions);
        }
        if report_due {
            self.report(StepKind::Follow, epoch, StepOutcome::Done, None, evidence, actions);
        }
    }

    fn unstreamed_for(&self, patience: Millis) -> bool {
        let since = self.observed.progress.unstreamed;
        since.is_some_and(|since| self.now.elapsed_shortest(since) >= patience)
    }

    /// True if the copy can't follow as it is, or something is being done to it.
    fn come_home(&self, site: &SiteId, epoch: Epoch, gate: &GateReport, actions: &mut Vec<Action>) -> bool {
        let Some(copy) = &gate.copy else { return false };
        if copy.task.is_some() {
            return true;
        }
        let runs = gate.running && gate.standby;
        if !runs && gate.running {
            // A primary that is being closed.
            return false;
        }
        let position = self.position().filter(|_| runs);
        let p = &self.observed.progress;
        let stuck = self.is_stuck(copy);
        let refused = p.rewind_refused.filter(|(at, _)| *at == epoch).map_or(0, |(_, times)| times);
        let choice = choose(&Facts {
            chain: &self.desired.chain,
            system_id: self.desired.system_id,
            copy,
            position,
            stuck: runs && stuck,
            may_rewind: refused < REWINDS_REFUSED_MAX,
        });
        // A standby goes on as it is unless it had its time to stream, or says that it is ahead.
        let content = gate.standby && !(runs && (stuck || self.is_ahead()));
        match choice {
            Choice::Go(Way::Follow, _) if gate.standby => false,
            _ if content => false,
            Choice::Go(way, because) => {
                if self.list_first(epoch, copy, way, actions) {
                    self.order(OrderKind::Rejoin { epoch, site: site.clone(), way, because }, actions);
                }
                true
            }
            Choice::Not(_) if gate.standby && !stuck => false,
            Choice::Not(obstacle) => {
                actions.push(Action::Problem(obstacle_text(obstacle)));
                true
            }
        }
    }

    /// Where the standby's WAL ends, as it says itself.
    fn position(&self) -> Option<WalPosition> {
        let database = &self.observed.database;
        if database.role != DatabaseRole::Standby {
            return None;
        }
        Some(WalPosition { timeline: database.timeline?, lsn: database.received.max(database.replayed)? })
    }

    /// It had its time to stream and does not.
    fn is_stuck(&self, copy: &CopyReport) -> bool {
        let rewound = copy.mark == Some(CopyMark::RewindDone);
        let answers = self.observed.database.role == DatabaseRole::Standby;
        self.unstreamed_for(match (answers, rewound) {
            (false, _) => RECOVERY_PATIENCE,
            (true, true) => REWOUND_PATIENCE,
            (true, false) => STREAM_PATIENCE,
        })
    }

    fn is_ahead(&self) -> bool {
        self.unstreamed_for(AHEAD_PATIENCE)
    }

    /// What is lost is known to the group before it is overwritten.
    fn list_first(&self, epoch: Epoch, copy: &CopyReport, way: Way, actions: &mut Vec<Action>) -> bool {
        let Some(seen) = copy.diverged.as_ref().filter(|seen| seen.records > 0) else { return true };
        let overwrites = matches!(way, Way::Rewind { .. } | Way::Clone);
        if !overwrites || self.observed.progress.told.contains(&(StepKind::ListDiverged, epoch)) {
            return true;
        }
        let evidence = seen.summary.clone();
        self.report(StepKind::ListDiverged, epoch, StepOutcome::Done, Some(seen.fork), evidence, actions);
        false
    }
}
