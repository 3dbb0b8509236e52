//! Directed scenarios over the production functions: for rules whose breach the world meets too
//! seldom, and for guards of `apply` that only a leader with a bug of its own would run into.

use crate::group::{Group, START, site, stack};
use crate::methods::Seen;
use coordination::invariants::Invariant::{
    S1OneWriter, S2FenceFirst, S3EpochsGrow, S4NoLostAcknowledgement, S5ClosedByDefault, S6OneTransition,
    S7AgreedNotGuessed,
};
use coordination::permit::{Data, Decision, Memory, Mode, Record, Running};
use coordination::{Command, LinkRow, LocalView, Outcome, candidates, decide};
use model::{Epoch, GrantTerms, LogIndex, Millis, RenewalNumber, SiteEpochs, StepKind, Timeline, Verdict};

/// A leader elects before the fence is proven.
pub fn unfenced_election() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.elect(2, 1);
    group.broken.filter(|(invariant, _)| *invariant == S2FenceFirst)
}

/// Two leaders, one after the other, begin the same transition.
pub fn two_beginnings() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    let second = group.begin(1);
    let text = "a transition begins while one runs";
    (second == Outcome::Applied).then(|| (S6OneTransition, text.to_owned()))
}

/// An actor reports its promotion twice: the first answer was lost.
pub fn promotion_reported_twice() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    group.expire();
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.elect(2, 1);
    group.report(2, StepKind::Promote, 2, 2, 100);
    let before = group.state.stacks()[&stack()].clone();
    group.report(2, StepKind::Promote, 2, 2, 100);
    let after = &group.state.stacks()[&stack()];
    let text = format!("{} promotions of one epoch", after.promotions.len() - 1);
    (before != *after).then_some((S6OneTransition, text))
}

/// A verdict is proposed, and a renewal is applied before it.
pub fn verdict_after_a_renewal() -> Seen {
    let mut group = Group::new();
    let number = group.number(1);
    group.renew(1, Vec::new());
    let unreached_by = vec![site(2), site(3)];
    let verdict = Verdict::Suspect;
    let outcome = group.commit(Command::SetVerdict { site: site(1), verdict, number, unreached_by });
    let text = "suspected though a later renewal was applied";
    (outcome == Outcome::Applied).then(|| (S7AgreedNotGuessed, text.to_owned()))
}

/// `dc1` is silent; one witness of three reaches nothing of it.
pub fn one_accuser() -> Seen {
    let group = Group::new();
    let sites: Vec<_> = (1..=3).map(site).collect();
    let mut view = LocalView::new(site(3), sites.clone(), START);
    view.restored(&group.state, START);
    view.leading(true, START);
    let mut now = START;
    for _ in 0..35 {
        now = now.after(Millis(100));
        view.tick(&group.state, now);
        for from in &sites {
            let rows: Vec<LinkRow> = sites
                .iter()
                .filter(|to| *from != site(2) || **to != site(1))
                .map(|to| LinkRow {
                    site: to.clone(),
                    witness_age: Some(Millis(0)),
                    actor_age: None,
                    endpoint_age: None,
                })
                .collect();
            view.linked(from, &rows, now);
        }
    }
    let accused = decide(&group.state, &view, now).into_iter().find_map(|command| match command {
        Command::SetVerdict { unreached_by, .. } => Some(unreached_by.len()),
        _ => None,
    });
    accused.map(|by| (S7AgreedNotGuessed, format!("suspected by {by} of 3")))
}

/// Two witnesses whose states differ, and the leader's digest.
pub fn states_that_differ() -> Seen {
    let mut group = Group::new();
    while !group.index.0.is_multiple_of(coordination::state::DIGEST_EVERY) {
        group.commit(Command::Nothing);
    }
    let (index, digest) = group.state.digest_due()?;
    let outcome = group.commit(Command::Digest { index, digest: digest ^ 1 });
    let text = "a witness with another state goes on";
    (outcome != Outcome::Diverged).then(|| (S7AgreedNotGuessed, text.to_owned()))
}

/// An operator says that `dc1` is off. It is not.
pub fn attested_while_it_renews() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    let (operator, reason) = (String::from("somebody"), String::from("it must be off"));
    group.commit(Command::Attest { stack: stack(), epoch: Epoch(1), operator, reason });
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.elect(2, 1);
    let elected = group.state.active(&stack()).is_some_and(|(active, _)| *active == site(2));
    let leased = group.state.is_registered(&site(1));
    (elected && leased).then(|| (S1OneWriter, String::from("dc2 is elected while dc1's lease goes on")))
}

/// A second failover: `dc3` never followed the first one, and its LSN is higher.
pub fn a_longer_log_of_an_older_timeline() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    group.expire();
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.report(3, StepKind::Detach, 1, 1, 90);
    group.elect(2, 1);
    group.report(2, StepKind::Promote, 2, 2, 100);
    group.commit(Command::PromoteGivenUp {
        stack: stack(),
        epoch: Epoch(2),
        cause: model::Cause::PromoteFailed,
    });
    group.report(2, StepKind::FenceDatabase, 2, 2, 150);
    group.report(3, StepKind::Detach, 2, 1, 900);
    group.report(1, StepKind::Detach, 2, 2, 140);
    let view = LocalView::new(site(3), (1..=3).map(site).collect(), START);
    let judged = candidates::judge(&group.state, &view, &stack(), START);
    let reach = |n: u64| judged.iter().find(|c| c.site == site(n)).and_then(|c| c.reach);
    let wrong = reach(3) > reach(1);
    wrong.then(|| (S4NoLostAcknowledgement, String::from("LSN 900 of timeline 1 beats 140 of timeline 2")))
}

const TERMS: GrantTerms = GrantTerms { lease_duration: Millis(5_000), fence_deadline: Millis(2_000) };

/// An administrator promotes a standby by hand.
pub fn promoted_by_hand() -> Seen {
    let record = Record { highest: Epoch(2), closed: Epoch(1), cover: None };
    let memory = Memory::new(stack(), Some(record), TERMS);
    let decision = memory.input(Data::Primary, Running::Open(Mode::Standby), true, START).decide();
    let text = "a primary that the gate did not open goes on";
    (!matches!(decision, Decision::Kill(_))).then(|| (S5ClosedByDefault, text.to_owned()))
}

/// Epoch 2 is relinquished on disk; the group has not heard of it yet.
pub fn an_answer_from_before_the_relinquishment() -> Seen {
    let record = Record { highest: Epoch(2), closed: Epoch(2), cover: None };
    let mut memory = Memory::new(stack(), Some(record), TERMS);
    let (highest, closed, timeline_highest) = (Epoch(2), Epoch(1), Timeline(2));
    let answer = coordination::permit::Answer {
        known: true,
        index: LogIndex(9),
        epochs: Some(SiteEpochs { stack: stack(), highest, closed, timeline_highest }),
        cover: None,
        remaining: Millis(0),
        terms: None,
    };
    let (_, wanted) = memory.take(&answer, START, START);
    let lower = wanted.filter(|record| record.closed < Epoch(2));
    lower.map(|record| (S3EpochsGrow, format!("the closed epoch goes from 2 to {}", record.closed)))
}

/// A renewal was applied after the leader looked, before its `Expire` was.
pub fn expire_after_a_renewal() -> Seen {
    let mut group = Group::new();
    let before = group.number(1);
    group.renew(1, Vec::new());
    let incarnation = model::Incarnation(1);
    let outcome = group.commit(Command::Expire { site: site(1), incarnation, number: before });
    let applied = outcome == Outcome::Applied && before != RenewalNumber(0);
    applied.then(|| (S1OneWriter, String::from("the epoch is closed while a later grant runs")))
}
