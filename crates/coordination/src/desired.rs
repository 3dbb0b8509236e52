//! What each site should do, as the state says. A view of it can close, prepare and hurry; it
//! never opens.

use crate::state::{Stack, State};
use model::{Desired, DesiredStack, Instruction, Mode, SiteId, StepState, SyncSetting, Timeline};

/// The view of one site.
#[must_use]
pub fn desired(state: &State, site: &SiteId) -> Desired {
    let stacks = state
        .stacks()
        .iter()
        .filter(|(_, stack)| stack.carries(site))
        .map(|(id, stack)| DesiredStack {
            stack: id.clone(),
            epoch: stack.epoch(),
            closed: stack.closed_for(site),
            active: stack.active.as_ref().map(|a| a.site.clone()),
            mode: stack.mode,
            system_id: stack.system_id,
            instruction: instruction(stack, site),
            sync: setting(stack, site),
            chain: stack.chain(),
        })
        .collect();
    Desired { index: state.index(), stacks }
}

/// The set is its primary's alone: one that was left may still have standbys that make it
/// acknowledge under the set of its successor.
fn setting(stack: &Stack, site: &SiteId) -> Option<SyncSetting> {
    let own = stack.active.as_ref().is_some_and(|active| active.site == *site) || planted!(SetOfSuccessor);
    let ours = stack.sync.is_ours() && own;
    ours.then(|| SyncSetting { entry: stack.sync.since, set: stack.sync.wanted().clone() })
}

fn instruction(stack: &Stack, site: &SiteId) -> Instruction {
    let Some(active) = &stack.active else { return Instruction::Leave };
    let epoch = active.epoch;
    let mine = active.site == *site;
    if stack.is_closed() {
        // Only a transition detaches; the site that ran the epoch has nothing to let go of
        // unless its promotion never happened.
        let never_promoted = !mine || stack.promoted().is_none();
        return match &stack.transition {
            Some(_) if never_promoted => Instruction::Detach { epoch },
            _ => Instruction::Stay,
        };
    }
    if mine {
        return run_or_fence(stack, active.epoch);
    }
    follow(stack, site)
}

fn run_or_fence(stack: &Stack, epoch: model::Epoch) -> Instruction {
    if stack.fence_begun.is_some() {
        return Instruction::Fence { epoch };
    }
    let elected = stack.transition.as_ref().filter(|t| t.elected == Some(epoch));
    Instruction::Run {
        epoch,
        // The election entry has counted the number that this promotion is to make.
        timeline_highest: match elected {
            Some(_) => Timeline(stack.timeline_highest.0.saturating_sub(1)),
            None => stack.timeline_highest,
        },
        promote_due: elected.is_some_and(|t| t.promote == StepState::Running),
        verify_due: elected.is_some_and(|t| t.verify == StepState::Running),
    }
}

fn follow(stack: &Stack, site: &SiteId) -> Instruction {
    let Some(active) = &stack.active else { return Instruction::Leave };
    if stack.is_fenced_by_replication() {
        return Instruction::Detach { epoch: active.epoch };
    }
    let promoted = stack.promoted();
    match (stack.mode, promoted) {
        // Mode observe touches nothing; before the promotion there is nothing to follow, and
        // while the active site is only suspected a standby goes on receiving.
        (Mode::Auto, Some(promotion)) => Instruction::Follow {
            site: active.site.clone(),
            epoch: active.epoch,
            timeline: Some(promotion.timeline),
            report_due: stack
                .transition
                .as_ref()
                .is_some_and(|t| t.elected == Some(active.epoch) && !t.followed.contains(site)),
        },
        _ => Instruction::Stay,
    }
}
