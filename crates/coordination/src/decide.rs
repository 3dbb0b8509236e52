//! What the leader proposes: pure. Every command names what it expects, so that one decided on
//! old knowledge is refused by `apply`.

mod stack;
mod sync;

use crate::state::{Site, State};
use crate::view::LocalView;
use crate::{Command, Policy};
use alloc::vec::Vec;
use model::{Moment, SiteId, Verdict};

pub use stack::holds;
pub use sync::set_is_in_force;

/// All that should be proposed now, in order. Empty unless this witness leads.
#[must_use]
pub fn decide(state: &State, view: &LocalView, now: Moment) -> Vec<Command> {
    let (Some(leading), Some(policy)) = (view.leading_since(), state.policy()) else {
        return Vec::new();
    };
    let timing = &policy.timing;
    // A new leader, and one that has a majority again, waits: renewals that were on their way come
    // first. Every horizon is past by then, also of sites that were well all along.
    let settling = timing.values().renew_every.plus(timing.renew_p99());
    let settled = now.elapsed_shortest(leading) >= settling;
    let mut commands = Vec::new();
    if view.quiet(now) > timing.values().renew_every.times(2) {
        // Nobody renews: that this can be committed shows that there is a majority.
        commands.push(Command::Nothing);
    }
    for (id, site) in state.sites().iter().filter(|(_, site)| site.actor) {
        if settled {
            commands.extend(expire(view, id, site, now));
            commands.extend(suspect(state, view, policy, id, site, now));
        }
    }
    for (id, stack) in state.stacks() {
        commands.extend(stack::decide_stack(state, view, policy, id, stack, settled, now));
    }
    commands.extend(view.shortened_long_ago(state, now).map(|since| Command::ForgetLongGrant { since }));
    commands.extend(state.digest_due().map(|(index, digest)| Command::Digest { index, digest }));
    commands
}

/// `Expire` needs neither matrix nor veto: the site has fenced itself by then.
fn expire(view: &LocalView, id: &SiteId, site: &Site, now: Moment) -> Option<Command> {
    let lease = site.lease.as_ref().filter(|lease| !lease.expired)?;
    let signals = !planted!(ExpireWaitsForTwoSignals) || site.verdict == Verdict::Suspect;
    (view.horizon_is_past(id, now) && signals).then(|| Command::Expire {
        site: id.clone(),
        incarnation: lease.incarnation,
        number: site.number,
    })
}

/// Two signals are wanted: no renewal, and a majority of witnesses that reach nothing of the site.
fn suspect(
    state: &State,
    view: &LocalView,
    policy: &Policy,
    id: &SiteId,
    site: &Site,
    now: Moment,
) -> Option<Command> {
    let registered = state.is_registered(id);
    let silent = view.silence(id, now) >= policy.timing.suspect_after();
    if site.verdict != Verdict::Up || !registered || !silent {
        return None;
    }
    let unreached_by = view.unreached_by(id, policy.timing.values().detect_after, now);
    let majority = unreached_by.len() > view.witnesses().len() / 2 || planted!(SuspectWithoutMajority);
    majority.then(|| Command::SetVerdict {
        site: id.clone(),
        verdict: Verdict::Suspect,
        number: site.number,
        unreached_by,
    })
}
