//! Putting a member together.

use crate::{
    config::Config,
    error::{Error, Stopped},
    group::Raft,
    handle::{Handle, Inner},
    leadership::{self, Heard, Leadership},
    network::{Network, Peer},
    rejoin,
    service::ConsensusService,
    silence::Silence,
    state_machine::{Applied, Output, StateMachine},
    stop::StopCell,
    store::{Identity, Options, Store},
    surroundings::{Disk, Surroundings},
};
use coordination::State;
use model::Millis;
use openraft::{SnapshotPolicy, async_runtime::WatchReceiver};
use rpc::{
    client::{self, ChannelTiming, Expected},
    identity::Role,
    tls,
    v1::consensus_client::ConsensusClient,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// A snapshot is written each time that the log has grown by this many entries.
pub const SNAPSHOT_EVERY: u64 = 5_000;
/// Entries that stay in the log behind a snapshot, for followers that were away for a while.
pub const LOG_KEPT: u64 = 2_000;
/// Entries in one message to a follower: with the longest command it stays below gRPC's 4 MiB.
const ENTRIES_PER_MESSAGE: u64 = 64;
/// How long sending and installing a whole snapshot may take.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(20);

/// How often a snapshot is written, and how much log stays behind it.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// See [`SNAPSHOT_EVERY`].
    pub snapshot_every: u64,
    /// See [`LOG_KEPT`].
    pub log_kept: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { snapshot_every: SNAPSHOT_EVERY, log_kept: LOG_KEPT }
    }
}

/// The way in.
pub struct Consensus;

impl Consensus {
    /// Opens the store, starts the member, and founds the group if it is new: any number of
    /// witnesses may do so, in any order, any number of times. `applied` gets
    /// [`Applied::Restored`] first; it must be drained, or nothing more is applied.
    ///
    /// # Errors
    /// [`Error`] names the place and the remedy; nothing runs then.
    pub async fn start(
        config: Config,
        identity: tls::Identity,
        applied: mpsc::Sender<Applied>,
    ) -> Result<(Handle, ConsensusService), Error> {
        Self::start_with(config, identity, applied, Surroundings::default()).await
    }

    /// As [`Consensus::start`], on other ground than this host's.
    ///
    /// # Errors
    /// As [`Consensus::start`].
    pub async fn start_with(
        config: Config,
        identity: tls::Identity,
        applied: mpsc::Sender<Applied>,
        surroundings: Surroundings,
    ) -> Result<(Handle, ConsensusService), Error> {
        check(&config, &identity)?;
        let raft_config = raft_config(&config, surroundings.compaction)?;
        let store = open_store(&config, surroundings.disk)?;
        let stop = StopCell::new();
        let (state_sender, state) = watch::channel(Arc::<State>::default());
        let live = Arc::new(AtomicBool::new(false));
        let output = Output {
            applied: applied.clone(),
            state: state_sender,
            live: Arc::clone(&live),
            stop: stop.clone(),
        };
        let network = network(&config, &identity, &surroundings.network);
        let (peers, silence) = (Arc::clone(&network.peers), Arc::clone(&network.silence));
        rejoin::ask(&config, &network, &store).await?;
        let warm = network.clone().keep_warm();
        let machine = StateMachine::new(store.clone(), output);
        let built = Raft::build(config.me, Arc::new(raft_config), network, store.clone(), machine).await;
        let raft = built
            .map_err(|error| Error::Raft(stop.get().map_or_else(|| error.to_string(), |s| s.to_string())))?;
        silence.watch(raft.metrics());
        live.store(true, Ordering::Release);
        let restored = Applied::Restored { state: state.borrow().clone() };
        applied.send(restored).await.map_err(|_| Error::Config("nobody takes what is applied".to_owned()))?;
        // Switched on again once it has caught up.
        raft.runtime_config().elect(!store.is_quarantined());
        raft.run();
        let (leadership_sender, leadership) = watch::channel(Leadership::default());
        let inner = Inner { config, raft, store, peers, heard: Heard::default(), state, leadership, stop };
        let handle = Handle { inner: Arc::new(inner) };
        found(&handle).await?;
        tokio::spawn(observe(handle.clone(), leadership_sender));
        let until = handle.inner.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = warm => {}
                _ = until.wait() => {}
            }
        });
        Ok((handle.clone(), ConsensusService { handle }))
    }
}

fn check(config: &Config, identity: &tls::Identity) -> Result<(), Error> {
    let Some(me) = config.members.get(&config.me) else {
        return Err(Error::Config(format!("node {} is not among the members", config.me)));
    };
    let sites: BTreeSet<_> = config.members.values().map(|member| &member.site).collect();
    if sites.len() != config.members.len() {
        return Err(Error::Config("two members have the same site".to_owned()));
    }
    let own = identity.own();
    if own.role != Role::Witness || own.group != config.group || own.name != me.site.as_str() {
        let wanted =
            format!("the certificate is {own}, and the configuration wants the witness of {}", me.site);
        return Err(Error::Config(wanted));
    }
    Ok(())
}

fn open_store(config: &Config, disk: Disk) -> Result<Store, Error> {
    let site = config.members.get(&config.me).map(|member| member.site.to_string()).unwrap_or_default();
    let identity =
        Identity { group: config.group.clone(), node: config.me, site, founding: config.founding() };
    Ok(match disk {
        Disk::Directory => {
            let options =
                Options { directory: &config.data_directory, identity, reset: config.reset_identity };
            Store::open(&options)?
        }
        Disk::Simulated { backend, write_time } => Store::simulated(backend, &identity, write_time)?,
    })
}

fn raft_config(config: &Config, compaction: Compaction) -> Result<openraft::Config, Error> {
    let timing = &config.timing;
    let raft = openraft::Config {
        cluster_name: config.group.clone(),
        heartbeat_interval: timing.heartbeat.0,
        election_timeout_min: timing.election_min.0,
        election_timeout_max: timing.election_max.0,
        install_snapshot_timeout: u64::try_from(SNAPSHOT_DEADLINE.as_millis()).unwrap_or(u64::MAX),
        max_payload_entries: ENTRIES_PER_MESSAGE,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(compaction.snapshot_every),
        max_in_snapshot_log_to_keep: compaction.log_kept,
        replication_lag_threshold: compaction.snapshot_every.saturating_add(compaction.log_kept),
        // A peer that is back must be found within a heartbeat or two.
        backoff: format!("20ms 50ms 100ms ..{}ms", timing.heartbeat.0.max(100)),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        quorum_loss_probe_interval: Some(silent_phase(timing.election_max).0),
        // A witness whose store was reset on purpose must not make the leader fall over.
        allow_log_reversion: Some(true),
        // The latency of one commit counts, not throughput.
        broadcast_submitted_on_append: Some(true),
        ..openraft::Config::default()
    };
    raft.validate().map_err(|error| Error::Config(error.to_string()))
}

/// Longer than a follower's patience and its random election time together.
fn silent_phase(election_max: Millis) -> Millis {
    election_max.times(3)
}

fn network(config: &Config, identity: &tls::Identity, over: &rpc::network::Network) -> Network {
    let others = config.members.iter().filter(|(id, _)| **id != config.me);
    let peers: BTreeMap<u64, Peer> = others
        .map(|(id, member)| {
            let channel = || {
                let expected = Expected { role: Role::Witness, name: Some(member.site.to_string()) };
                let timing = ChannelTiming::default();
                ConsensusClient::new(client::channel_over(over, &member.address, identity, expected, timing))
            };
            (*id, Peer { log: channel(), small: channel(), snapshot: channel() })
        })
        .collect();
    let silence =
        Silence::new(config.timing.election_max.into(), silent_phase(config.timing.election_max).into());
    Network { me: config.me, founding: config.founding(), peers: Arc::new(peers), silence: Arc::new(silence) }
}

/// The first entry names the members. It is the same at every witness, whoever is first.
async fn found(handle: &Handle) -> Result<(), Error> {
    let raft = &handle.inner.raft;
    let initialized = raft.is_initialized().await.map_err(|e| Error::Raft(e.to_string()))?;
    if initialized || handle.inner.store.is_replacement() {
        return Ok(());
    }
    let members: BTreeSet<u64> = handle.inner.config.members.keys().copied().collect();
    match raft.initialize(members).await {
        Ok(()) => Ok(()),
        // The leader's log came first.
        Err(openraft::errors::RaftError::APIError(openraft::errors::InitializeError::NotAllowed(_))) => {
            Ok(())
        }
        Err(error) => Err(Error::Raft(error.to_string())),
    }
}

/// Tells changes of leadership, and that Raft has ended by itself.
async fn observe(handle: Handle, leadership: watch::Sender<Leadership>) {
    let patience: Duration = handle.inner.config.timing.election_max.into();
    let mut metrics = handle.inner.raft.metrics();
    let mut quarantined = handle.inner.store.is_quarantined();
    loop {
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(patience / 4) => {}
            _ = handle.inner.stop.wait() => break,
        }
        let now = {
            let metrics = metrics.borrow_watched();
            if let Err(fatal) = &metrics.running_state {
                handle.inner.stop.set(Stopped::Raft(fatal.to_string()));
            }
            let leader = leadership::leader(&metrics, &handle.inner.heard, patience);
            Leadership {
                leader: leader
                    .and_then(|id| handle.inner.config.members.get(&id))
                    .map(|member| member.site.clone()),
                term: metrics.current_term,
                me_leading: leadership::leads(&metrics, patience),
            }
        };
        tell(&leadership, now);
        if quarantined && !handle.inner.store.is_quarantined() {
            tracing::info!("caught up with the group after the loss of the store: this witness votes again");
            quarantined = false;
            handle.inner.raft.runtime_config().elect(true);
        }
    }
    handle.inner.stop.set(Stopped::Raft("its task is gone".to_owned()));
    // Apart from the call below: the guard of `borrow` must be gone by then.
    let term = leadership.borrow().term;
    tell(&leadership, Leadership { term, ..Leadership::default() });
    handle.stop_raft().await;
}

fn tell(leadership: &watch::Sender<Leadership>, now: Leadership) {
    leadership.send_if_modified(|current| {
        let changed = *current != now;
        *current = now;
        changed
    });
}
