//! `gate.toml`: one database, its actor, and how its processes are held.

use super::common::{self, Common};
use super::problem::Problem;
use super::reader::{Located, Section};
use super::{actor, timing};
use gate::{Config, ContainmentChoice, Error, KernelLeaseChoice};
use model::{GrantTerms, StackId};
use rpc::identity::Role;
use std::ops::Range;

/// A gate's configuration and where its file says what, for faults that the host shows.
pub struct GateFile {
    /// The configuration; the database's command line comes from elsewhere.
    pub config: Config,
    places: Places,
}

struct Places {
    data_directory: Range<usize>,
    containment: Range<usize>,
    kernel_lease: Range<usize>,
    run_as: Range<usize>,
    endpoint: Range<usize>,
    state: Range<usize>,
    root: Range<usize>,
}

/// Reads the file's root table; none if anything is wrong.
pub fn read(root: &Section<'_>) -> Option<GateFile> {
    let common = Common::read(root, Role::Gate);
    let stack = root.name::<StackId>("stack", "\"main\"");
    let actor_address = root.address("actor");
    let state = common::data_directory(root, "data", "\"/var/lib/tripoint/gate\"");
    let containment = choice(root, "containment", CONTAINMENTS);
    let kernel_lease = choice(root, "kernel_lease", KERNEL_LEASES);
    let kernel_timer = root.flag_opt("kernel_timer").is_none_or(|flag| flag.value);
    let role_endpoint = root.listen_opt("role_endpoint");
    let keys = timing::read(root);
    let timing = keys.checked(root);
    let database = root.table("database", "data_directory, port and include_file").and_then(database);
    let Common { group, site, tls } = common?;
    let database = database?;
    let values = *timing?.values();
    Some(GateFile {
        places: Places {
            data_directory: database.data_directory.span,
            containment: root.span_of("containment"),
            kernel_lease: root.span_of("kernel_lease"),
            run_as: database.run_as.as_ref().map_or_else(|| root.span(), |r| r.span.clone()),
            endpoint: root.span_of("role_endpoint"),
            state: root.span_of("data"),
            root: root.span(),
        },
        config: Config {
            group,
            site: site.value,
            stack: stack?.value,
            actor_address: actor_address?.value,
            tls: rpc::tls::TlsFiles { ca: tls.ca, cert: tls.cert, key: tls.key },
            state_directory: state?,
            data_directory: database.data_directory.value,
            command: Vec::new(),
            run_as: database.run_as.map(|r| r.value),
            port: database.port,
            containment: containment?,
            kernel_lease: kernel_lease?,
            kernel_timer,
            role_endpoint: role_endpoint.map(|l| l.value),
            include_file: database.include_file,
            slot_wal_mib: database.slot_wal_mib,
            terms: GrantTerms {
                lease_duration: values.lease_duration,
                fence_deadline: values.fence_deadline,
            },
        },
    })
}

impl GateFile {
    /// A fault that the host shows, at the line that asks for what it can't give.
    pub fn problem(&self, error: &Error) -> Option<Problem> {
        let (span, label) = match error {
            // The command line is not in the file.
            Error::Command(_) => return None,
            Error::DataDirectory { .. } | Error::Locked(_) | Error::Foreign { .. } => {
                (&self.places.data_directory, "this data directory")
            }
            Error::Containment(_) => (&self.places.containment, "not possible on this host"),
            Error::KernelLease(_) => (&self.places.kernel_lease, "not possible on this host"),
            Error::User(_) => (&self.places.run_as, "this user"),
            Error::Endpoint { .. } => (&self.places.endpoint, "this address"),
            Error::File { .. } => (&self.places.state, "found while checking"),
            Error::System { .. } | Error::Identity(_) => (&self.places.root, "found while checking"),
        };
        let text = error.to_string();
        let (title, remedy) = match text.split_once(". Remedy: ").or_else(|| text.split_once("; ")) {
            Some((title, remedy)) => (title.to_owned(), remedy.to_owned()),
            None => (text, "correct it, then check again".to_owned()),
        };
        Some(Problem::new(span.clone(), title, label, remedy))
    }
}

struct Database {
    data_directory: Located<std::path::PathBuf>,
    port: u16,
    run_as: Option<Located<String>>,
    include_file: std::path::PathBuf,
    slot_wal_mib: Option<u64>,
}

fn database(section: Section<'_>) -> Option<Database> {
    let data_directory = section.path("data_directory", "\"/var/lib/postgresql/15/main\"");
    let port = actor::port(&section);
    let run_as = section.text_opt("run_as");
    let include_file = section.path("include_file", "\"/etc/tripoint/main.conf\"");
    if let (Some(data), Some(file)) = (&data_directory, &include_file)
        && file.value.starts_with(&data.value)
    {
        section.fault(
            file.span.clone(),
            "the include file lies in the data directory",
            "a base backup would copy it",
            "put it outside, or another site's settings come with a copy",
        );
    }
    let slot_wal_mib = section.number_opt("slot_wal_mib").map(|n| n.value);
    section.finish();
    let include_file = include_file?.value;
    Some(Database { data_directory: data_directory?, port: port?, run_as, include_file, slot_wal_mib })
}

const CONTAINMENTS: &[(&str, ContainmentChoice)] = &[
    ("auto", ContainmentChoice::Auto),
    ("cgroup", ContainmentChoice::Cgroup),
    ("pid-namespace", ContainmentChoice::PidNamespace),
    ("container-init", ContainmentChoice::ContainerInit),
    ("none-accepted", ContainmentChoice::NoneAccepted),
];

const KERNEL_LEASES: &[(&str, KernelLeaseChoice)] = &[
    ("auto", KernelLeaseChoice::Auto),
    ("off", KernelLeaseChoice::Off),
    ("required", KernelLeaseChoice::Required),
];

/// One of some words; the first if the key is absent.
fn choice<T: Copy>(root: &Section<'_>, key: &'static str, words: &[(&str, T)]) -> Option<T> {
    let Some(text) = root.text_opt(key) else {
        return (!root.has(key)).then(|| words[0].1);
    };
    let found = words.iter().find(|(word, _)| *word == text.value);
    if found.is_none() {
        let list = words.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let title = format!("`{key}` = {:?} can't be used", text.value);
        root.fault(text.span, title, "not one of the words", format!("write one of {list}"));
    }
    found.map(|(_, value)| *value)
}
