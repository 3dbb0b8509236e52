//! One actor process, put together: lock, store, self-fence, server, event loop.

use crate::Error;
use crate::config::Config;
use crate::drivers::Drivers;
use crate::engine::{Engine, Parts};
use crate::epochs::{EpochMap, EpochStore, Loaded};
use crate::event::{EVENTS_MAX, Event};
use crate::guard::{Guard, OnHang};
use crate::service::Service;
use crate::stack::Stack;
use crate::witnesses::Witnesses;
use model::StackId;
use nix::fcntl::{Flock, FlockArg};
use rpc::server::{serve, with_standard};
use rpc::tls::Identity;
use rpc::tonic::service::Routes;
use rpc::v1::gate_server::GateServer;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const LOCK: &str = "lock";
/// Saves that may wait: one being written, one newer.
const SAVES_MAX: usize = 2;

/// Runs one actor until `shutdown` completes or something fatal happens. Drivers are given for
/// every stack of the configuration.
///
/// # Errors
/// Whatever keeps it from starting, and the end of its server. Failures of witnesses, gates and
/// databases are waited out, never fatal.
///
/// # Panics
/// Never; but the process is ended by SIGABRT if its event loop hangs for longer than F.
pub async fn run(
    config: Config,
    drivers: Drivers,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let (events, queue) = mpsc::channel(EVENTS_MAX);
    let on_hang: OnHang = Box::new(|| {
        eprintln!("tripoint actor: the event loop hangs for longer than fence.deadline; ending the process");
        std::process::abort();
    });
    run_with(config, drivers, shutdown, events, queue, on_hang).await
}

/// The same, with the queue and what a hang leads to from outside, for tests.
pub(crate) async fn run_with(
    config: Config,
    drivers: Drivers,
    shutdown: impl Future<Output = ()> + Send,
    events: mpsc::Sender<Event>,
    queue: mpsc::Receiver<Event>,
    on_hang: OnHang,
) -> Result<(), Error> {
    check(&config, &drivers)?;
    let _lock = lock(&config.state_directory)?;
    let store = EpochStore::new(config.state_directory.clone());
    let loaded = match store.load()? {
        Loaded::Whole(map) => Some(map),
        Loaded::Lost(what) => {
            tracing::warn!(what, "the epoch store is lost or new; the registration refills it");
            None
        }
    };
    let identity = identity(&config)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|e| {
        Error::Rpc(format!("cannot listen on {}: {e}; is another actor running there?", config.listen))
    })?;
    let witnesses = Witnesses::new(&config, &identity);
    let service = Service::new(
        config.site.clone(),
        config.stacks.iter().map(|s| s.stack.clone()).collect(),
        events.clone(),
    );
    let (routes, health) = with_standard(Routes::new(GateServer::new(service)));
    health.set_serving::<GateServer<Service>>().await;

    let guard = Arc::new(Guard::new(config.timing.fence_deadline, rpc::clock::now));
    let _self_fence = start_self_fence(&guard, &drivers, on_hang)?;
    let saves = start_store(store, &events)?;
    let stacks = stacks(&config, &drivers, loaded.as_ref());
    let engine = Engine::new(Parts { config, witnesses, events, store: saves, guard, stacks });

    let ends = CancellationToken::new();
    let server = tokio::spawn(serve(listener, identity, routes, ends.clone().cancelled_owned()));
    let both = async {
        tokio::select! {
            () = shutdown => {}
            () = ends.cancelled() => {}
        }
    };
    let (watching, ended) = (ends.clone(), tokio::spawn(server));
    let watcher = tokio::spawn(async move {
        let outcome = ended.await;
        watching.cancel();
        outcome
    });
    engine.run(queue, both).await;
    ends.cancel();
    match watcher.await {
        Ok(Ok(Ok(Err(e)))) => Err(Error::Rpc(e.to_string())),
        _ => Ok(()),
    }
}

fn check(config: &Config, drivers: &Drivers) -> Result<(), Error> {
    if config.witnesses.is_empty() {
        return Err(Error::Configuration("no witness is named: list this site's and the others".to_owned()));
    }
    match config.stacks.iter().find(|s| !drivers.databases.contains_key(&s.stack)) {
        Some(stack) => Err(Error::Configuration(format!("stack {} has no database driver", stack.stack))),
        None => Ok(()),
    }
}

fn identity(config: &Config) -> Result<Identity, Error> {
    let files = rpc::tls::TlsFiles {
        ca: config.tls.ca.clone(),
        cert: config.tls.certificate.clone(),
        key: config.tls.key.clone(),
    };
    let identity = Identity::load(&files).map_err(|e| Error::Rpc(e.to_string()))?;
    let own = identity.own();
    let right = own.role == rpc::identity::Role::Actor
        && own.name == config.site.as_str()
        && own.group == config.group;
    if right {
        return Ok(identity);
    }
    Err(Error::Configuration(format!(
        "{} belongs to {own}, not to the actor of {} in group {}; issue one with `tripoint certs`",
        config.tls.certificate.display(),
        config.site,
        config.group
    )))
}

/// Two actors with one state directory would be one actor twice.
fn lock(directory: &Path) -> Result<Flock<File>, Error> {
    let fail = |what| move |source| Error::State { path: directory.to_owned(), what, source };
    fs::create_dir_all(directory).map_err(fail("create the directory"))?;
    let path = directory.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(fail("open the lock file"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::Locked(path),
        other => fail("lock it")(other.into()),
    })
}

fn stacks(config: &Config, drivers: &Drivers, loaded: Option<&EpochMap>) -> BTreeMap<StackId, Stack> {
    config
        .stacks
        .iter()
        .filter_map(|s| {
            let driver = drivers.databases.get(&s.stack)?.clone();
            // A whole store without this stack: the stack is new here, and refilled like a lost one.
            let epochs = loaded.and_then(|map| map.get(&s.stack).copied());
            Some((s.stack.clone(), Stack::new(s.clone(), driver, epochs)))
        })
        .collect()
}

/// Ends the thread of the self-fence when dropped.
struct SelfFence(Arc<Guard>);

impl Drop for SelfFence {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn start_self_fence(guard: &Arc<Guard>, drivers: &Drivers, on_hang: OnHang) -> Result<SelfFence, Error> {
    let (watched, databases) = (guard.clone(), drivers.databases.clone());
    std::thread::Builder::new()
        .name("self-fence".to_owned())
        .spawn(move || watched.watch(&databases, &on_hang))
        .map_err(|e| {
            Error::Configuration(format!("no thread for the self-fence: {e}; raise the limit on tasks"))
        })?;
    Ok(SelfFence(guard.clone()))
}

/// The store has a thread of its own: an fsync may take long, and renewals must not wait for it.
fn start_store(
    store: EpochStore,
    events: &mpsc::Sender<Event>,
) -> Result<std::sync::mpsc::SyncSender<EpochMap>, Error> {
    let (saves, waiting) = std::sync::mpsc::sync_channel::<EpochMap>(SAVES_MAX);
    let events = events.clone();
    std::thread::Builder::new()
        .name("epoch-store".to_owned())
        .spawn(move || {
            // Ends with the sender, which the event loop owns.
            while let Ok(epochs) = waiting.recv() {
                let result = store.save(&epochs).map_err(|e| e.to_string());
                if events.blocking_send(Event::Persisted { epochs, result }).is_err() {
                    return;
                }
            }
        })
        .map_err(|e| {
            Error::Configuration(format!("no thread for the epoch store: {e}; raise the limit on tasks"))
        })?;
    Ok(saves)
}
