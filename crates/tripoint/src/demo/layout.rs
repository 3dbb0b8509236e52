//! What the demo puts where: three sites with their addresses, directories, certificates and
//! configuration files.

use super::postgres::Postgres;
use anyhow::{Context, bail};
use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The group's and the stack's names.
pub const GROUP: &str = "demo";
/// See [`GROUP`].
pub const STACK: &str = "main";
/// Number of sites.
pub const SITES: usize = 3;
/// Tells a demo's directory from all others.
pub const MARKER_FILE: &str = "tripoint-demo";

/// First version that can sync a whole file system before it recovers.
const SYNCFS_SINCE: u32 = 14;

/// Ports are looked for from here on, in steps.
const PORT_FIRST: u16 = 17_400;
const PORT_STEP: u16 = 10;
const PORT_TRIES: u16 = 100;

/// One site.
#[derive(Clone, Debug)]
pub struct Site {
    /// dc1, dc2, dc3.
    pub name: String,
    /// Its IP address.
    pub address: String,
    /// All that is its own.
    pub dir: PathBuf,
    /// The network namespace that its processes live in, if any.
    pub namespace: Option<String>,
}

/// The whole demo on disk and on the network.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Everything lies below.
    pub dir: PathBuf,
    /// The three sites.
    pub sites: Vec<Site>,
    /// First port: witness; then actor, role endpoint, PostgreSQL.
    pub port: u16,
    /// Profile of the durations.
    pub profile: &'static str,
    /// The addresses of all sites, for pg_hba.conf.
    pub network: &'static str,
}

impl Site {
    /// PostgreSQL's data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Directory of PostgreSQL's Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// PostgreSQL's configuration, outside the data directory.
    pub fn postgresql_conf(&self) -> PathBuf {
        self.dir.join("postgresql.conf")
    }

    /// What the gate sets.
    pub fn include_file(&self) -> PathBuf {
        self.dir.join("gate.conf")
    }

    /// Log of one of its processes.
    pub fn log(&self, process: &str) -> PathBuf {
        self.dir.join("log").join(format!("{process}.log"))
    }
}

impl Layout {
    /// A layout on loopback, or in the namespaces named `prefix`-dcN.
    pub fn new(dir: PathBuf, profile: &'static str, prefix: Option<&str>) -> anyhow::Result<Self> {
        let site = |n: usize| Site {
            name: format!("dc{n}"),
            address: if prefix.is_some() { format!("10.77.{n}.1") } else { format!("127.0.{n}.1") },
            dir: dir.join(format!("dc{n}")),
            namespace: prefix.map(|prefix| format!("{prefix}-dc{n}")),
        };
        let sites: Vec<Site> = (1..=SITES).map(site).collect();
        let port = if prefix.is_some() { PORT_FIRST } else { free_port(&sites)? };
        let network = if prefix.is_some() { "10.77.0.0/16" } else { "127.0.0.0/8" };
        Ok(Self { dir, sites, port, profile, network })
    }

    /// The site of a name.
    pub fn site(&self, name: &str) -> anyhow::Result<&Site> {
        self.sites.iter().find(|site| site.name == name).with_context(|| format!("no site {name}"))
    }

    /// The witnesses' port.
    pub const fn witness_port(&self) -> u16 {
        self.port
    }

    const fn actor_port(&self) -> u16 {
        self.port + 1
    }

    /// The role endpoints' port.
    pub const fn role_port(&self) -> u16 {
        self.port + 2
    }

    /// PostgreSQL's port.
    pub const fn database_port(&self) -> u16 {
        self.port + 3
    }

    /// How `from`'s standby follows `to`'s primary.
    pub fn conninfo(&self, from: &Site, to: &Site) -> String {
        format!(
            "host={} port={} user=replicator application_name={} connect_timeout=2",
            to.address,
            self.database_port(),
            from.name
        )
    }

    /// Makes directories, certificates and files.
    pub fn write(&self, postgres: &Postgres) -> anyhow::Result<()> {
        let names: Vec<String> = self.sites.iter().map(|s| s.name.clone()).collect();
        ctl::certs::site_set(&self.dir.join("pki"), GROUP, &names)?;
        self.keep_program()?;
        for site in &self.sites {
            for sub in ["witness", "actor", "gate", "log"] {
                make(&site.dir.join(sub), 0o755)?;
            }
            make(&site.socket(), 0o700)?;
            own(&site.socket(), postgres)?;
            write(&site.dir.join("witness.toml"), &self.witness_toml(site))?;
            write(&site.dir.join("actor.toml"), &self.actor_toml(site))?;
            write(&site.dir.join("gate.toml"), &self.gate_toml(site, postgres))?;
            write(&site.postgresql_conf(), &self.postgresql_conf_text(site, postgres))?;
            write(&site.dir.join("pg_hba.conf"), &self.hba())?;
            let upstream = &self.sites[0];
            let line = format!("primary_conninfo = '{}'\n", self.conninfo(site, upstream));
            write(&site.include_file(), if site.name == upstream.name { "" } else { &line })?;
        }
        write(&self.dir.join("operator.toml"), &self.operator_toml())
    }

    /// The executable that all processes run.
    pub fn program(&self) -> PathBuf {
        self.dir.join("tripoint")
    }

    /// A copy or link of this very executable: its own path may name another one after a build.
    fn keep_program(&self) -> anyhow::Result<()> {
        let own = Path::new("/proc/self/exe");
        let linked = std::fs::read_link(own).and_then(|path| std::fs::hard_link(path, self.program()));
        if linked.is_err() {
            std::fs::copy(own, self.program()).context("the own executable can't be copied")?;
        }
        Ok(())
    }

    fn tls(&self, owner: &str, role: &str) -> String {
        let dir = self.dir.join("pki").join(owner);
        let dir = dir.display();
        format!("[tls]\nca = \"{dir}/ca.pem\"\ncert = \"{dir}/{role}.pem\"\nkey = \"{dir}/{role}.key\"\n")
    }

    fn head(&self, role: &str, site: &Site) -> String {
        format!(
            "role = \"{role}\"\ngroup = \"{GROUP}\"\nsite = \"{}\"\ndata = \"{}\"\nprofile = \"{}\"\n",
            site.name,
            site.dir.join(role).display(),
            self.profile
        )
    }

    fn witness_toml(&self, site: &Site) -> String {
        let mut text = self.head("witness", site);
        add(&mut text, format_args!("listen = \"{}:{}\"\n", site.address, self.witness_port()));
        text.push_str(&self.tls(&site.name, "witness"));
        for (n, other) in self.sites.iter().enumerate() {
            let (name, ip) = (&other.name, &other.address);
            add(&mut text, format_args!("\n[[member]]\nsite = \"{name}\"\nnode = {}\n", n + 1));
            add(&mut text, format_args!("witness = \"{ip}:{}\"\n", self.witness_port()));
            add(&mut text, format_args!("actor = \"{ip}:{}\"\n", self.actor_port()));
            add(&mut text, format_args!("public = [\"{ip}:{}\"]\n", self.database_port()));
        }
        let names: Vec<String> = self.sites.iter().map(|s| format!("\"{}\"", s.name)).collect();
        add(&mut text, format_args!("\n[[stack]]\nname = \"{STACK}\"\nsites = [{}]\n", names.join(", ")));
        text
    }

    fn actor_toml(&self, site: &Site) -> String {
        let mut text = self.head("actor", site);
        add(&mut text, format_args!("listen = \"{}:{}\"\n", site.address, self.actor_port()));
        text.push_str(&self.tls(&site.name, "actor"));
        text.push_str(&self.witness_tables());
        add(&mut text, format_args!("\n[[stack]]\nname = \"{STACK}\"\n\n[stack.database]\n"));
        add(
            &mut text,
            format_args!("host = \"{}\"\nport = {}\n", site.socket().display(), self.database_port()),
        );
        text.push_str("user = \"tripoint\"\ndbname = \"tripoint\"\n\n[stack.primary_conninfo]\n");
        for other in self.sites.iter().filter(|other| other.name != site.name) {
            add(&mut text, format_args!("{} = \"{}\"\n", other.name, self.conninfo(site, other)));
        }
        text.push_str("\n[stack.rewind_conninfo]\n");
        for other in self.sites.iter().filter(|other| other.name != site.name) {
            let (name, address, port) = (&other.name, &other.address, self.database_port());
            let login = "user=tripoint_rewind dbname=postgres connect_timeout=2";
            add(&mut text, format_args!("{name} = \"host={address} port={port} {login}\"\n"));
        }
        text
    }

    fn gate_toml(&self, site: &Site, postgres: &Postgres) -> String {
        let mut text = self.head("gate", site);
        add(
            &mut text,
            format_args!("stack = \"{STACK}\"\nactor = \"{}:{}\"\n", site.address, self.actor_port()),
        );
        add(&mut text, format_args!("role_endpoint = \"{}:{}\"\n", site.address, self.role_port()));
        // On loopback the kernel lease would put a table into the machine's own firewall.
        let kernel_lease = if site.namespace.is_some() { "auto" } else { "off" };
        add(&mut text, format_args!("kernel_lease = \"{kernel_lease}\"\n"));
        text.push_str(&self.tls(&site.name, "gate"));
        add(&mut text, format_args!("\n[database]\ndata_directory = \"{}\"\n", site.data().display()));
        add(&mut text, format_args!("port = {}\n", self.database_port()));
        add(&mut text, format_args!("include_file = \"{}\"\n", site.include_file().display()));
        if let Some(user) = &postgres.user {
            add(&mut text, format_args!("run_as = \"{}\"\n", user.name));
        }
        text
    }

    fn witness_tables(&self) -> String {
        let mut text = String::new();
        for site in &self.sites {
            let address = format!("{}:{}", site.address, self.witness_port());
            add(
                &mut text,
                format_args!("\n[[witness]]\nsite = \"{}\"\naddress = \"{address}\"\n", site.name),
            );
        }
        text
    }

    fn operator_toml(&self) -> String {
        format!("role = \"operator\"\n\n{}{}", self.tls("operator", "operator"), self.witness_tables())
    }

    fn postgresql_conf_text(&self, site: &Site, postgres: &Postgres) -> String {
        let mut text = String::from("# Of the Tripoint demo. The gate's settings come last.\n");
        add(
            &mut text,
            format_args!("listen_addresses = '{}'\nport = {}\n", site.address, self.database_port()),
        );
        add(&mut text, format_args!("unix_socket_directories = '{}'\n", site.socket().display()));
        add(&mut text, format_args!("hba_file = '{}'\n", site.dir.join("pg_hba.conf").display()));
        text.push_str(
            "wal_level = replica\nmax_wal_senders = 10\nhot_standby = on\nwal_log_hints = on\nwal_keep_size = '256MB'\n\
             max_connections = 40\nshared_buffers = '32MB'\nwal_sender_timeout = '5s'\nwal_receiver_timeout = '5s'\n\
             wal_retrieve_retry_interval = '500ms'\nlog_line_prefix = '%m [%p] '\n",
        );
        if postgres.major >= SYNCFS_SINCE {
            // After a crash PostgreSQL syncs a thousand files, each with a flush of the disk, or
            // the file system once: the difference is most of a restart in place.
            text.push_str("recovery_init_sync_method = syncfs\n");
        }
        add(&mut text, format_args!("include = '{}'\n", site.include_file().display()));
        text
    }

    /// Superusers by the Unix socket alone, in a directory that only its owner enters.
    fn hba(&self) -> String {
        let network = self.network;
        format!(
            "local all all trust\nlocal replication all trust\nhost tripoint writer {network} trust\n\
             host replication replicator {network} trust\nhost all tripoint_rewind {network} trust\n"
        )
    }
}

fn add(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = text.write_fmt(arguments);
}

/// Makes a directory and those above it.
pub fn make(dir: &Path, mode: u32) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} can't be made", dir.display()))?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Gives a path to PostgreSQL's user.
pub fn own(path: &Path, postgres: &Postgres) -> anyhow::Result<()> {
    if let Some(user) = &postgres.user {
        nix::unistd::chown(path, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("{} can't be written", file.display()))
}

/// The first port of a run of ports that is free at every site's address.
fn free_port(sites: &[Site]) -> anyhow::Result<u16> {
    let free = |port: u16| {
        let addresses =
            sites.iter().filter_map(|site| format!("{}:{port}", site.address).parse::<SocketAddr>().ok());
        addresses.map(TcpListener::bind).all(|bound| bound.is_ok())
    };
    for step in 0..PORT_TRIES {
        let first = PORT_FIRST + step * PORT_STEP;
        if (first..first + 4).all(free) {
            return Ok(first);
        }
    }
    bail!("no free ports from {PORT_FIRST} on at 127.0.1.1 to 127.0.3.1")
}
