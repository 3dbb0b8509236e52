//! Puts a gate together on the main thread, starts the other threads, and runs it.

use crate::beside::Beside;
use crate::data::DataDirectory;
use crate::firewall::KernelLease;
use crate::hold::{Holder, Program, User, be_init_for_gate, find_program};
use crate::link::Link;
use crate::lock::DataLock;
use crate::record::Store;
use crate::settings::{Settings, SlotWal};
use crate::shared::{Event, Shared, Snapshot};
use crate::supervisor::{Parts, Supervisor};
use crate::timer::KernelTimer;
use crate::{Config, ContainmentChoice, Error, KernelLeaseChoice, endpoint, sys};
use coordination::permit::Record;
use model::{Containment, Epoch, GateReport};
use rpc::tls::Identity;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc::SyncSender, mpsc::sync_channel};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Events waiting for the main thread.
const EVENTS: usize = 256;
/// Outcomes of orders waiting for the link.
const OUTCOMES: usize = 64;
/// Slots may keep at least as much: less would be lost at once.
const SLOT_WAL_MIB_MIN: u64 = 256;
/// Threads of the link and the endpoint.
const THREADS: usize = 2;

/// Runs a gate until it is told to stop; the exit code for the process.
///
/// Called on the process's main thread, before it has others if it is PID 1 of a container
/// (it then forks, and goes on in the child). SIGTERM and SIGINT end it by a planned stop of
/// the database, a second one by a fence; SIGHUP is handed on to PostgreSQL.
///
/// # Errors
/// [`Error`] says why it did not start, with the remedy.
pub fn run(config: Config) -> Result<u8, Error> {
    if !sys::on_main_thread() {
        return Err(Error::system("start")(std::io::Error::other(
            "gate::run must be called on the main thread",
        )));
    }
    let mask = sys::block_signals()?;
    let may_be_init =
        matches!(config.containment, ContainmentChoice::Auto | ContainmentChoice::ContainerInit);
    let in_container = may_be_init && std::process::id() == 1;
    if in_container {
        be_init_for_gate()?;
    }
    sys::become_subreaper()?;
    let user = user(&config)?;
    let program = Program::new(&config.command)?;
    let (store, record) = Store::open(&config.state_directory, config.stack.as_str())?;
    let beside = Beside::new(&config.data_directory);
    beside.recover().map_err(Error::file("end the change of copies in", beside.at("")))?;
    let mut lock = DataLock::new(&config.data_directory);
    let directory = match lock.ensure() {
        Ok(directory) => Some(directory),
        Err(Error::DataDirectory { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let settings = settings(&config, user.clone());
    if let Some(path) = settings.impassable() {
        return Err(impassable(&path));
    }
    let holder = Holder::choose(config.containment, in_container, &prefix(&config), user.clone(), mask)?;
    tracing::info!("the database's processes are held by {}", holder.describe());
    let timer = if config.kernel_timer { Some(KernelTimer::new()?) } else { None };
    let lease = kernel_lease(&config)?;
    let identity = Identity::load(&config.tls).map_err(|e| Error::Identity(e.to_string()))?;
    let endpoint = endpoint_listener(&config)?;

    let shared = Arc::new(Shared::new(first_snapshot(record, holder.way())));
    let (events, incoming) = sync_channel(EVENTS);
    let (done, outcomes) = mpsc::channel(OUTCOMES);
    let link = Link::new(&config, identity, Arc::clone(&shared), events.clone(), outcomes);
    let runtime = threads(link, endpoint, &shared)?;
    watch_signals(events)?;
    let data = DataDirectory::new(&config.data_directory, server_version(&config));
    let parts = Parts {
        store,
        record,
        data,
        settings,
        lock,
        directory,
        holder,
        program,
        user,
        timer,
        lease,
        done,
        shared,
    };
    let ended = Supervisor::new(&config, parts).run(&incoming);
    runtime.shutdown_background();
    ended
}

/// PostgreSQL's settings that the gate owns.
pub(crate) fn settings(config: &Config, user: Option<User>) -> Settings {
    let slot_wal = match config.slot_wal_mib {
        Some(0) => SlotWal::Never,
        Some(mib) => SlotWal::Always(mib),
        None => quarter_of_disk(&config.data_directory).map_or(SlotWal::Never, SlotWal::Unless),
    };
    Settings::new(&config.command, &config.data_directory, &config.include_file, user, slot_wal)
}

/// A quarter of the file system that holds the data directory, in MiB: so much may slots keep.
fn quarter_of_disk(data: &Path) -> Option<u64> {
    let place = if data.exists() { data } else { data.parent()? };
    let found = nix::sys::statvfs::statvfs(place).ok()?;
    let mib = found.blocks().saturating_mul(found.fragment_size()) >> 20;
    Some((mib / 4).max(SLOT_WAL_MIB_MIN))
}

pub(crate) fn impassable(path: &Path) -> Error {
    let source = std::io::Error::other(
        "PostgreSQL's user cannot pass this directory (chmod o+x), or name another include_file",
    );
    Error::File { what: "reach the include file through", path: path.to_owned(), source }
}

/// Name of the database's cgroups: the stack, and which data directory.
fn prefix(config: &Config) -> String {
    let path = config.data_directory.canonicalize().unwrap_or_else(|_| config.data_directory.clone());
    format!("tripoint-{}-{:08x}", config.stack, crc32fast::hash(path.as_os_str().as_encoded_bytes()))
}

/// Whom PostgreSQL runs as: it refuses to be root.
pub(crate) fn user(config: &Config) -> Result<Option<User>, Error> {
    let wrong = |text: String| Error::User(text);
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let name = config.run_as.as_ref().ok_or_else(|| {
        wrong("PostgreSQL refuses to run as root: set run_as to the owner of the data directory, usually \"postgres\"".into())
    })?;
    let found = nix::unistd::User::from_name(name).map_err(|e| wrong(format!("run_as = {name:?}: {e}")))?;
    let found =
        found.ok_or_else(|| wrong(format!("run_as = {name:?}: there is no such user on this host")))?;
    if found.uid.is_root() {
        return Err(wrong(format!("run_as = {name:?} is root, which PostgreSQL refuses")));
    }
    let text = std::ffi::CString::new(name.as_str()).map_err(|_| wrong("run_as has a NUL byte".into()))?;
    let groups =
        nix::unistd::getgrouplist(&text, found.gid).map_err(|e| wrong(format!("groups of {name}: {e}")))?;
    let groups = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
    Ok(Some(User { uid: found.uid.as_raw(), gid: found.gid.as_raw(), groups }))
}

/// Major version of the server, as it says itself; none if it does not.
fn server_version(config: &Config) -> Option<String> {
    let program = find_program(config.command.first()?).ok()?;
    let output = Command::new(program).arg("--version").current_dir("/").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(number.split(|c: char| !c.is_ascii_digit()).next()?.to_owned())
}

fn kernel_lease(config: &Config) -> Result<Option<KernelLease>, Error> {
    if config.kernel_lease == KernelLeaseChoice::Off {
        tracing::info!("kernel lease: off");
        return Ok(None);
    }
    match KernelLease::open(config.port) {
        Ok(lease) => {
            tracing::info!("kernel lease: nftables guards port {}", config.port);
            Ok(Some(lease))
        }
        Err(reason) if config.kernel_lease == KernelLeaseChoice::Required => Err(Error::KernelLease(reason)),
        Err(reason) => {
            tracing::info!("kernel lease: none here ({reason})");
            Ok(None)
        }
    }
}

fn endpoint_listener(config: &Config) -> Result<Option<TcpListener>, Error> {
    let Some(address) = config.role_endpoint else { return Ok(None) };
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map(Some).map_err(|source| Error::Endpoint { address, source })
}

fn first_snapshot(record: Option<Record>, containment: Containment) -> Snapshot {
    let known = record.unwrap_or_default();
    let report = GateReport {
        highest: known.highest,
        closed: known.closed,
        open: None::<Epoch>,
        running: false,
        standby: false,
        data_present: false,
        clean_shutdown: None,
        containment,
        kernel_lease: false,
        problem: None,
        copy: None,
    };
    Snapshot { at: rpc::clock::now(), report, timed_ack: None, role: None, timeline: None, database: None }
}

/// The link and the endpoint, on threads of their own.
fn threads(link: Link, endpoint: Option<TcpListener>, shared: &Arc<Shared>) -> Result<Runtime, Error> {
    let runtime =
        Builder::new_multi_thread().worker_threads(THREADS).thread_name("gate-io").enable_all().build();
    let runtime = runtime.map_err(Error::system("start threads"))?;
    runtime.spawn(link.run());
    if let Some(listener) = endpoint {
        let served = endpoint::serve(listener, Arc::clone(shared));
        runtime.spawn(async move {
            if let Err(e) = served.await {
                tracing::error!("role endpoint: {e}");
            }
        });
    }
    Ok(runtime)
}

/// Signals become events. All are blocked in every thread; this one waits for them.
fn watch_signals(events: SyncSender<Event>) -> Result<(), Error> {
    let wait = move || {
        loop {
            if let Some(signal) = sys::wait_signal()
                && events.send(Event::Signal(signal)).is_err()
            {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("gate-signals".into()).spawn(wait);
    thread.map(|_| ()).map_err(Error::system("start the thread for signals"))
}
