//! Connections to the other witnesses and to the actors, made once and kept.

use crate::config::Config;
use model::{Millis, SiteId};
use rpc::client::{ChannelTiming, channel_over};
use rpc::identity::Role;
use rpc::network::Network;
use rpc::tls::{Expected, Identity};
use rpc::tonic::transport::Channel;
use std::collections::BTreeMap;

/// Channels by site.
#[derive(Debug)]
pub struct Peers {
    witnesses: BTreeMap<SiteId, Channel>,
    actors: BTreeMap<SiteId, Channel>,
}

impl Peers {
    /// Nothing is dialled before the first call.
    #[must_use]
    pub fn new(config: &Config, identity: &Identity, network: &Network) -> Self {
        let to = |address: &str, role: Role, site: &SiteId, timing: ChannelTiming| {
            let expected = Expected { role, name: Some(site.as_str().to_owned()) };
            (site.clone(), channel_over(network, address, identity, expected, timing))
        };
        let timing = timing(config);
        let others = config.members.iter().filter(|m| m.site != config.site);
        let actors = config.sites.iter().filter_map(|s| s.actor_address.as_ref().map(|a| (&s.site, a)));
        Self {
            witnesses: others.map(|m| to(&m.address, Role::Witness, &m.site, timing)).collect(),
            actors: actors.map(|(site, address)| to(address, Role::Actor, site, timing)).collect(),
        }
    }

    /// The other witnesses.
    pub fn witnesses(&self) -> impl Iterator<Item = (&SiteId, &Channel)> {
        self.witnesses.iter()
    }

    /// One of the other witnesses.
    #[must_use]
    pub fn witness(&self, site: &SiteId) -> Option<Channel> {
        self.witnesses.get(site).cloned()
    }

    /// The actors of all sites.
    pub fn actors(&self) -> impl Iterator<Item = (&SiteId, &Channel)> {
        self.actors.iter()
    }
}

/// A connection that cannot be made within `detect.after` is of no use to a probe.
fn timing(config: &Config) -> ChannelTiming {
    let values = config.policy.timing.values();
    let connect = values.round_trip_p99.times(5).max(Millis(300)).min(values.detect_after);
    ChannelTiming {
        connect_timeout: connect,
        keepalive_interval: values.detect_after,
        keepalive_timeout: values.detect_after,
    }
}
