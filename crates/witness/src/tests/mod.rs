//! Three witnesses and scripted actors, from the first election to a finished failover.

mod lab;
mod script;

use lab::{LIMIT, Lab, SITES, eventually, site, stack};
use model::{Event, EventKind, Millis, Mode, SiteId, StepKind};
use rpc::identity::Role;
use rpc::tonic::Code;
use rpc::v1::{
    self, actor_client::ActorClient, consensus_client::ConsensusClient, operator_client::OperatorClient,
    status_client::StatusClient,
};
use script::Script;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::timeout;

async fn events(lab: &Lab, at: &SiteId) -> Vec<Event> {
    let mut client = StatusClient::new(lab.channel(at, Role::Viewer, "eve"));
    let request = v1::EventsRequest { from_index: 0, follow: false };
    let mut stream = client.events(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        assert!(!event.text.is_empty());
        events.push(serde_json::from_str(&event.json).unwrap());
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registers_renews_and_watches_through_any_witness() {
    let lab = Lab::start();
    lab.ready().await;
    for name in SITES {
        let mut actor = Script::new(&lab, &site(name), &site("dc2"), None, 1_000);
        let registered = actor.register().await.unwrap();
        assert_eq!(registered.epochs.len(), 1);
        let first = actor.renew().await.unwrap();
        let second = actor.renew().await.unwrap();
        assert!(second.number > first.number && second.index > first.index);
    }
    let mut client = ActorClient::new(lab.channel(&site("dc3"), Role::Actor, "dc1"));
    let mut views = client.watch(v1::WatchRequest { site: "dc1".into() }).await.unwrap().into_inner();
    let view = timeout(LIMIT, views.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(view.stacks.len(), 1);
    // A run that another one replaced is told so, with the remedy.
    let mut old = Script::new(&lab, &site("dc1"), &site("dc1"), None, 5);
    old.register().await.unwrap();
    let mut new = Script::new(&lab, &site("dc1"), &site("dc1"), None, 6);
    new.register().await.unwrap();
    let refused = old.renew().await.expect_err("another run is registered");
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

/// The actors of all sites play, and the stack is adopted at dc1 and set to act.
async fn protected(lab: &Lab) -> [JoinHandle<()>; 3] {
    let follows = Some(site("dc1"));
    let dc1 = Script::new(lab, &site("dc1"), &site("dc1"), None, 1_000).play();
    let dc2 = Script::new(lab, &site("dc2"), &site("dc2"), follows.clone(), 990).play();
    let dc3 = Script::new(lab, &site("dc3"), &site("dc3"), follows, 995).play();
    // Adopted once all have reported, and set to act.
    let mut operator = OperatorClient::new(lab.channel(&site("dc2"), Role::Operator, "alice"));
    let adopt = v1::AdoptRequest { stack: stack().into(), active: "dc1".into() };
    let mut refusal = None;
    let adopted = eventually(async || {
        refusal = operator.clone().adopt(adopt.clone()).await.err();
        refusal.is_none()
    });
    assert!(adopted.await, "{refusal:?}");
    let mode = v1::SetModeRequest { stack: stack().into(), mode: v1::Mode::from(Mode::Auto).into() };
    operator.set_mode(mode).await.unwrap();
    lab.until(&site("dc3"), "the group would take over", |s| {
        s.stacks[0].active == Some(site("dc1")) && !s.stacks[0].held && s.stacks[0].takeover.to.is_some()
    })
    .await;
    // The leader's seat leaves the active site.
    lab.until(&site("dc2"), "the seat is elsewhere", |s| {
        s.leader.as_ref().is_some_and(|l| *l != site("dc1"))
    })
    .await;
    [dc1, dc2, dc3]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_site_is_replaced() {
    let lab = Lab::start();
    lab.ready().await;
    let [dc1, dc2, dc3] = protected(&lab).await;
    dc1.abort();
    let after = lab
        .until(&site("dc2"), "another site is active", |s| {
            s.stacks[0].active != Some(site("dc1")) && s.stacks[0].transition.is_none()
        })
        .await;
    // The longest log wins.
    assert_eq!(after.stacks[0].active, Some(site("dc3")), "{:#?}", after.stacks);
    let all = events(&lab, &site("dc2")).await;
    assert_order(&all);
    dc2.abort();
    dc3.abort();
}

/// Fence, detach, election, promotion, first write: in this order, and without waiting.
fn assert_order(events: &[Event]) {
    let find = |what: &str, is: &dyn Fn(&EventKind) -> bool| {
        events.iter().find(|e| is(&e.kind)).unwrap_or_else(|| panic!("no {what} in {events:#?}"))
    };
    let expired = find("expiry", &|k| matches!(k, EventKind::LeaseExpired { .. }));
    let detached = find("detachment", &|k| matches!(k, EventKind::Detached { .. }));
    let elected =
        find("election", &|k| matches!(k, EventKind::Elected { site, .. } if site.as_str() == "dc3"));
    let verified =
        find("first write", &|k| matches!(k, EventKind::StepEnded { step: StepKind::VerifyWrite, .. }));
    assert!(
        expired.index < detached.index && detached.index < elected.index && elected.index < verified.index
    );
    let took = verified.at.0.saturating_sub(expired.at.0);
    assert!(took < 2_000, "{took} ms from the proof of the fence to the first write: {events:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_the_status_is_stale_and_says_so() {
    let mut lab = Lab::start();
    lab.ready().await;
    let dc1 = site("dc1");
    lab.stop_one(&site("dc2")).await.unwrap();
    lab.stop_one(&site("dc3")).await.unwrap();
    let refused = eventually(async || {
        let status = lab.status(&dc1, false).await;
        status.is_err_and(|e| e.code() == Code::Unavailable && e.message().contains("--stale"))
    });
    assert!(refused.await, "UNAVAILABLE tells to ask with --stale");
    let stale = lab.status(&dc1, true).await.unwrap();
    assert!(stale.stale && stale.stacks.len() == 1 && stale.answered_by == dc1);
    let mut last = None;
    let unavailable = eventually(async || {
        let mut actor = Script::new(&lab, &dc1, &dc1, None, 1);
        last = actor.register().await.err();
        last.as_ref().is_some_and(|e| e.code() == Code::Unavailable)
    });
    assert!(unavailable.await, "an actor is sent on to the next witness at once, not {last:?}");
    assert!(!events(&lab, &dc1).await.is_empty());

    lab.start_one(&site("dc3"));
    lab.until(&dc1, "the quorum is back", |s| !s.stale).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_role_is_refused() {
    let lab = Lab::start();
    lab.ready().await;
    let to = site("dc1");
    let mode = v1::SetModeRequest { stack: stack().into(), mode: v1::Mode::Auto.into() };
    for (role, name) in [(Role::Viewer, "eve"), (Role::Actor, "dc1"), (Role::Witness, "dc2")] {
        let refused = OperatorClient::new(lab.channel(&to, role, name)).set_mode(mode.clone()).await;
        assert_eq!(refused.expect_err("not an operator").code(), Code::PermissionDenied);
    }
    let register = v1::RegisterRequest { site: "dc1".into(), incarnation: 1 };
    for (role, name) in [(Role::Actor, "dc2"), (Role::Operator, "alice"), (Role::Gate, "dc1")] {
        let refused = ActorClient::new(lab.channel(&to, role, name)).register(register.clone()).await;
        assert_eq!(refused.expect_err("not dc1's actor").code(), Code::PermissionDenied);
    }
    let probe = v1::ProbeRequest { from: "dc2".into() };
    for (role, name) in [(Role::Operator, "alice"), (Role::Witness, "dc3")] {
        let refused = ConsensusClient::new(lab.channel(&to, role, name)).probe(probe.clone()).await;
        assert_eq!(refused.expect_err("not dc2's witness").code(), Code::PermissionDenied);
    }
    let mut gate = StatusClient::new(lab.channel(&to, Role::Gate, "dc1"));
    let status = gate.get(v1::StatusRequest { stale: true }).await;
    assert_eq!(status.expect_err("a gate").code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transition_outlives_the_end_of_all_witnesses() {
    let mut lab = Lab::start();
    lab.ready().await;
    for actor in protected(&lab).await {
        actor.abort();
    }
    lab.until(&site("dc3"), "a transition waits for standbys", |s| {
        s.stacks[0].closed && s.stacks[0].transition.is_some()
    })
    .await;
    for name in SITES {
        lab.stop_one(&site(name)).await.unwrap();
    }
    for name in SITES {
        lab.start_one(&site(name));
    }
    // Other runs of the actors, the same databases.
    let dc2 = Script::new(&lab, &site("dc2"), &site("dc2"), Some(site("dc1")), 991).play();
    let dc3 = Script::new(&lab, &site("dc3"), &site("dc3"), Some(site("dc1")), 996).play();
    let after = lab.until(&site("dc1"), "it went to its end", |s| s.stacks[0].transition.is_none()).await;
    // Whoever is heard first: a site that has not registered again is not waited for.
    assert!(after.stacks[0].active.as_ref().is_some_and(|active| *active != site("dc1")));
    let all = events(&lab, &site("dc1")).await;
    let begun = all.iter().filter(|e| matches!(e.kind, EventKind::TransitionBegun { .. })).count();
    let elected = all.iter().filter(|e| matches!(e.kind, EventKind::Elected { .. })).count();
    assert_eq!((begun, elected), (1, 1), "{all:#?}");
    dc2.abort();
    dc3.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_ends_hands_its_seat_over() {
    let mut lab = Lab::start();
    let leader = lab.ready().await.leader.unwrap();
    let other = SITES.map(site).into_iter().find(|s| *s != leader).unwrap();
    let mut actor = Script::new(&lab, &other, &other, None, 1);
    actor.register().await.unwrap();
    actor.renew().await.unwrap();
    let (started, term) = (Instant::now(), lab.status(&other, true).await.unwrap().term);
    lab.stop_one(&leader).await.unwrap();
    assert!(eventually(async || actor.renew().await.is_ok()).await);
    // An election by timeout alone takes 200 to 700 ms after the last heartbeat; the end itself
    // is bounded too, so this only shows that renewals go on well within a lease.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(lab.status(&other, true).await.unwrap().term > term);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_answered_to_any_role() {
    let lab = Lab::start();
    let channel = lab.channel(&site("dc2"), Role::Gate, "dc1");
    assert!(eventually(async || rpc::health::is_there(&channel, Millis(1_000)).await).await);
    let nobody = lab.channel(&site("dc2"), Role::Viewer, "eve");
    let identity = StatusClient::new(nobody).get(v1::StatusRequest { stale: true }).await;
    assert!(identity.is_ok(), "{identity:?}");
}
