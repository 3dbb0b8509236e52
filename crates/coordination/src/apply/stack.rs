//! Adoption, mode, and which standbys stream.

use super::Applied;
use crate::Outcome;
use crate::state::{Assignment, CoverState, Promotion, State};
use model::{Epoch, EventKind, Lsn, Mode, Refusal, SiteId, StackId, SystemId, Timeline, WallMillis};

impl State {
    pub(super) fn adopt(
        &mut self,
        at: WallMillis,
        id: &StackId,
        site: &SiteId,
        system_id: SystemId,
        timeline: Timeline,
    ) -> Applied {
        let index = self.index;
        if !self.is_registered(site) {
            return Err(Refusal::NotRegistered);
        }
        let stack = self.stack_mut(id)?;
        if stack.active.is_some() {
            return Err(Refusal::AlreadyAdopted);
        }
        if !stack.carries(site) {
            return Err(Refusal::NotAtSite(id.clone(), site.clone()));
        }
        let epoch = Epoch::NONE.next();
        stack.active = Some(Assignment { site: site.clone(), epoch, index, at });
        stack.mode = Mode::Observe;
        stack.cover = CoverState::Held { since: index };
        stack.system_id = Some(system_id);
        stack.timeline = timeline;
        stack.timeline_highest = timeline;
        stack.push_promotion(Promotion { epoch, site: site.clone(), timeline, start: Lsn::default() });
        self.record(at, EventKind::Adopted { stack: id.clone(), site: site.clone(), epoch });
        Ok(Outcome::Applied)
    }

    pub(super) fn set_mode(&mut self, at: WallMillis, id: &StackId, mode: Mode) -> Applied {
        let index = self.index;
        let stack = self.stack_mut(id)?;
        if stack.active.is_none() {
            return Err(Refusal::NotAdopted);
        }
        if stack.transition.is_some() {
            return Err(Refusal::TransitionRunning);
        }
        let from = stack.mode;
        if from == mode {
            return Ok(Outcome::Applied);
        }
        stack.mode = mode;
        stack.would = None;
        stack.cover = match (stack.cover, mode.holds_cover()) {
            (held @ CoverState::Held { .. }, true) => held,
            (_, true) => CoverState::Held { since: index },
            (_, false) if planted!(TimedBeforeGateKnows) => CoverState::Timed { since: index },
            (_, false) => CoverState::TimedUnacknowledged { since: index },
        };
        self.record(at, EventKind::ModeSet { stack: id.clone(), from, to: mode });
        Ok(Outcome::Applied)
    }

    pub(super) fn set_streaming(
        &mut self,
        at: WallMillis,
        id: &StackId,
        site: &SiteId,
        epoch: Epoch,
        streams: Option<Timeline>,
    ) -> Applied {
        let stack = self.stack_at(id, epoch)?;
        if !stack.carries(site) {
            return Err(Refusal::NotAtSite(id.clone(), site.clone()));
        }
        // A closed epoch's standbys are judged by what was committed before the loss.
        if stack.is_closed() || stack.is_open_at(site) {
            return Err(Refusal::EpochClosed { closed: stack.closed });
        }
        match streams {
            Some(timeline) if timeline != stack.timeline => return Err(Refusal::TimelineUsed),
            Some(timeline) => {
                stack.streaming.insert(site.clone(), timeline);
                stack.streamed_once = true;
            }
            None => {
                stack.streaming.remove(site);
            }
        }
        let (stack, site) = (id.clone(), site.clone());
        self.record(at, EventKind::StreamingChanged { stack, site, streams: streams.is_some() });
        Ok(Outcome::Applied)
    }
}
