//! A witness from its start to its end: puts the parts together and takes them down again.

use crate::config::Config;
use crate::door::Door;
use crate::engine::{Engine, Sources};
use crate::event::EVENTS_WAITING_MAX;
use crate::links::Links;
use crate::peers::Peers;
use crate::surroundings::Surroundings;
use crate::{Error, prober, service};
use consensus::{Consensus, Handle, Member};
use coordination::State;
use model::Millis;
use rpc::clock;
use rpc::identity::{PeerIdentity, Role};
use rpc::server::{serve_over, with_standard};
use rpc::tls::Identity;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Applied entries that may wait for the loop; the state machine waits for room.
const APPLIED_WAITING_MAX: usize = 1_024;
/// A leader that is asked to end hands its seat over within this, or leaves without.
const HAND_OVER_DEADLINE: Duration = Duration::from_millis(800);
/// After that, tasks that have not ended by themselves are dropped.
const END_DEADLINE: Duration = Duration::from_secs(2);

/// Runs one witness until `shutdown` completes or something fatal happens.
///
/// # Errors
/// Whatever keeps it from starting, and any fatal error of the consensus.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
    run_on(Surroundings::default(), config, shutdown).await
}

/// As [`run`], on other ground than this host's.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    surroundings: Surroundings,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let Surroundings { consensus: ground, observer } = surroundings;
    let network = ground.network.clone();
    let identity = identity(&config)?;
    let address = config.listen;
    let listener = network.bind(address).await.map_err(|source| Error::Listen { address, source })?;
    let (applied_sender, applied) = mpsc::channel(APPLIED_WAITING_MAX);
    let (consensus, consensus_service) =
        Consensus::start_with(consensus_config(&config), identity.clone(), applied_sender, ground).await?;
    let (published, state) = watch::channel(Arc::new(State::default()));
    let (events_sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
    let door = Door {
        leadership: consensus.watch_leadership(),
        consensus: consensus.clone(),
        state,
        events: events_sender.clone(),
        links: Arc::new(Links::default()),
        peers: Arc::new(Peers::new(&config, &identity, &network)),
        stop: CancellationToken::new(),
        config: Arc::new(config),
    };
    let engine =
        Engine::new(door.config.clone(), consensus.clone(), door.links.clone(), published, events_sender)
            .observed_by(observer);
    let sources =
        Sources { applied, events, leadership: consensus.watch_leadership(), stop: door.stop.clone() };
    let (routes, health) = with_standard(service::routes(&door, consensus_service));
    service::set_serving(&health).await;
    let stopping = door.stop.clone().cancelled_owned();
    let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
    tasks.spawn(engine.run(sources));
    tasks.spawn(async move { Ok(serve_over(listener, identity, routes, stopping).await?) });
    let probing = door.clone();
    tasks.spawn(async move {
        prober::run(probing).await;
        Ok(())
    });
    tracing::info!(site = %door.config.site, node = door.config.node, %address, "witness started");
    let ended = tokio::select! {
        () = shutdown => {
            hand_over(&door).await;
            Ok(())
        }
        Some(ended) = tasks.join_next() => settle(ended),
        reason = consensus.stopped() => Err(Error::ConsensusEnded(reason.to_string())),
    };
    end(&door, &consensus, tasks).await;
    ended
}

/// The files' identity, if it is that of this very witness.
fn identity(config: &Config) -> Result<Identity, Error> {
    let files = &config.tls;
    let files =
        rpc::tls::TlsFiles { ca: files.ca.clone(), cert: files.certificate.clone(), key: files.key.clone() };
    let identity = Identity::load(&files)?;
    let own: PeerIdentity = identity.own();
    let right = own.group == config.group && own.role == Role::Witness && own.name == config.site.as_str();
    if !right {
        return Err(Error::Config(format!(
            "{} is the certificate of {own}, and this is the witness of {} in group {}; issue one with `tripoint certs`",
            config.tls.certificate.display(),
            config.site,
            config.group
        )));
    }
    match config.site_of(config.node) {
        Some(site) if *site == config.site => Ok(identity),
        _ => {
            Err(Error::Config(format!("node {} of the members is not at site {}", config.node, config.site)))
        }
    }
}

fn consensus_config(config: &Config) -> consensus::Config {
    let member =
        |m: &crate::MemberConfig| (m.node, Member { site: m.site.clone(), address: m.address.clone() });
    consensus::Config {
        data_directory: config.data_directory.clone(),
        group: config.group.clone(),
        me: config.node,
        members: config.members.iter().map(member).collect(),
        timing: *config.policy.timing.values(),
        reset_identity: false,
    }
}

fn settle(ended: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    match ended {
        Ok(result) => result,
        Err(error) => Err(Error::TaskFailed(error.to_string())),
    }
}

/// Gives the leader's seat to the witness that answered last, if this one has it.
async fn hand_over(door: &Door) {
    if !door.is_leading() {
        return;
    }
    let now = clock::now();
    let links = door.links.all();
    let heard = links.iter().filter_map(|(site, link)| Some((now.elapsed_longest(link.witness?), site)));
    let others = heard.filter(|(_, site)| **site != door.config.site);
    let Some((_, site)) = others.min_by_key(|(age, _): &(Millis, _)| *age) else { return };
    let Some(node) = door.config.node_of(site) else { return };
    let mut leadership = door.leadership.clone();
    let moved = async {
        if door.consensus.transfer_leader(node).await.is_ok() {
            // Its sender lives as long as the consensus; either way there is nothing more to wait for.
            let _ = leadership.wait_for(|l| !l.me_leading).await;
        }
    };
    if timeout(HAND_OVER_DEADLINE, moved).await.is_err() {
        tracing::warn!(%site, "the leader's seat was not handed over in time; the others will elect");
    }
}

async fn end(door: &Door, consensus: &Handle, mut tasks: JoinSet<Result<(), Error>>) {
    door.stop.cancel();
    let all = async {
        consensus.shutdown().await;
        while tasks.join_next().await.is_some() {}
    };
    if timeout(END_DEADLINE, all).await.is_err() {
        tracing::warn!("some tasks did not end in time and are dropped");
    }
    tracing::info!(site = %door.config.site, "witness ended");
}
