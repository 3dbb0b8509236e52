//! Probes: the other witnesses, the actors and the public endpoints of every site, each in a
//! task of its own with a deadline of its own, so that none waits for another.

use crate::config::Config;
use crate::door::Door;
use crate::endpoint;
use crate::event::Event;
use crate::links::{self, Links, Part};
use coordination::LinkRow;
use model::{LogIndex, Millis, Moment, SiteId};
use rpc::client::within;
use rpc::clock;
use rpc::health;
use rpc::tonic::{Request, transport::Channel};
use rpc::v1;
use rpc::v1::consensus_client::ConsensusClient;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Between two probes of one target: one may be lost within `detect.after`, and no more work
/// than the renewals themselves.
fn period(config: &Config) -> Millis {
    let values = config.policy.timing.values();
    values.renew_every.max(Millis(values.detect_after.0 / 4)).min(Millis(values.detect_after.0 / 2))
}

/// Probes until the process ends.
pub async fn run(door: Door) {
    let mut tasks = JoinSet::new();
    let every = period(&door.config);
    for (site, channel) in door.peers.witnesses() {
        tasks.spawn(witnesses(door.clone(), site.clone(), channel.clone(), every));
    }
    for (site, channel) in door.peers.actors() {
        tasks.spawn(actors(Arc::clone(&door.links), site.clone(), channel.clone(), every));
    }
    for site in &door.config.sites {
        for target in &site.endpoints {
            tasks.spawn(endpoints(Arc::clone(&door.links), site.site.clone(), target.clone(), every));
        }
    }
    tasks.spawn(own_row(door.clone(), every));
    // The tasks end with the set, which ends with this future.
    door.stop.cancelled().await;
}

fn ticks(every: Millis) -> tokio::time::Interval {
    let mut ticks = interval(every.into());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Asks one witness whom it reaches, and tells the loop.
async fn witnesses(door: Door, site: SiteId, channel: Channel, every: Millis) {
    let mut ticks = ticks(every);
    let limit = limit(&door.config);
    loop {
        ticks.tick().await;
        let started = clock::now();
        let asked = v1::ProbeRequest { from: door.config.site.as_str().to_owned() };
        let mut client = ConsensusClient::new(channel.clone());
        let Ok(answer) = within(limit, client.probe(Request::new(asked))).await else { continue };
        let now = clock::now();
        let answer = answer.into_inner();
        let rows: Vec<LinkRow> = answer.reach.into_iter().filter_map(row).collect();
        let fresh = door.config.policy.timing.values().detect_after;
        let reached = rows.iter().filter(|row| row.witness_age.is_some_and(|age| age <= fresh)).count();
        door.links.answered(&site, now.elapsed_longest(started), LogIndex(answer.applied), reached, now);
        if door.events.send(Event::Links { from: site.clone(), rows }).await.is_err() {
            return;
        }
    }
}

fn row(reach: v1::Reach) -> Option<LinkRow> {
    Some(LinkRow {
        // A name that is none is of no site that we know.
        site: reach.site.parse().ok()?,
        witness_age: reach.witness_age_ms.map(Millis),
        actor_age: reach.actor_age_ms.map(Millis),
        endpoint_age: reach.endpoint_age_ms.map(Millis),
    })
}

/// For one probe: what takes longer is not reached.
fn limit(config: &Config) -> Millis {
    let values = config.policy.timing.values();
    Millis(values.detect_after.0 / 2).max(values.round_trip_p99.times(5)).min(values.detect_after)
}

/// Asks one actor whether it serves. Any answer will do: somebody is there.
async fn actors(links: Arc<Links>, site: SiteId, channel: Channel, every: Millis) {
    let mut ticks = ticks(every);
    loop {
        ticks.tick().await;
        if health::is_there(&channel, every.times(2)).await {
            links.reached(&site, Part::Actor, clock::now());
        }
    }
}

async fn endpoints(links: Arc<Links>, site: SiteId, target: String, every: Millis) {
    let mut ticks = ticks(every);
    loop {
        ticks.tick().await;
        if endpoint::answers(&target, every.times(2).into()).await {
            links.reached(&site, Part::Endpoint, clock::now());
        }
    }
}

/// This witness's own row, for the loop.
async fn own_row(door: Door, every: Millis) {
    let mut ticks = ticks(every);
    loop {
        ticks.tick().await;
        let rows = rows(&door.links, clock::now());
        if door.events.send(Event::Links { from: door.config.site.clone(), rows }).await.is_err() {
            return;
        }
    }
}

fn rows(links: &Links, now: Moment) -> Vec<LinkRow> {
    let row = |(site, link): (SiteId, links::Link)| LinkRow {
        site,
        witness_age: links::age(link.witness, now),
        actor_age: links::age(link.actor, now),
        endpoint_age: links::age(link.endpoint, now),
    };
    links.all().into_iter().map(row).collect()
}
