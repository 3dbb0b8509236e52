//! Where everything of one lab lies, and who listens where.

use std::path::{Path, PathBuf};

/// The witness's port at every site.
pub const WITNESS_PORT: u16 = 7001;
/// The actor's port at every site.
pub const ACTOR_PORT: u16 = 7002;
/// PostgreSQL's port of the first stack; the next stacks have the next ports.
pub const POSTGRES_PORT: u16 = 5432;
/// The role endpoint's port of the first stack.
pub const ROLE_PORT: u16 = 8008;
/// Where Debian keeps PostgreSQL 15.
pub const PG_BIN: &str = "/usr/lib/postgresql/15/bin";
/// The group's name.
pub const GROUP: &str = "lab";

/// One stack of a lab.
#[derive(Clone, Debug)]
pub struct StackPlan {
    /// Its name.
    pub name: String,
    /// The site that is active first.
    pub active: u8,
    /// False for one that exists in the group's files only.
    pub database: bool,
}

/// Paths and addresses of one lab. No IO.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Everything lies below it; user postgres can reach it.
    pub root: PathBuf,
    /// First two numbers of all addresses.
    pub net: String,
    /// How many sites.
    pub sites: u8,
    /// All stacks.
    pub stacks: Vec<StackPlan>,
}

impl Layout {
    /// A site's address.
    #[must_use]
    pub fn address(&self, site: u8) -> String {
        format!("{}.{site}.1", self.net)
    }

    /// All sites' addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        (1..=self.sites).map(|n| self.address(n)).collect()
    }

    /// A site's directory.
    #[must_use]
    pub fn site(&self, site: u8) -> PathBuf {
        self.root.join(format!("dc{site}"))
    }

    /// A stack's directory at a site: data directory, socket, included file.
    #[must_use]
    pub fn stack(&self, site: u8, stack: usize) -> PathBuf {
        self.site(site).join(&self.stacks[stack].name)
    }

    /// A database's data directory.
    #[must_use]
    pub fn data(&self, site: u8, stack: usize) -> PathBuf {
        self.stack(site, stack).join("data")
    }

    /// The file that the gate writes and postgresql.conf includes.
    #[must_use]
    pub fn include(&self, site: u8, stack: usize) -> PathBuf {
        self.stack(site, stack).join("tripoint.conf")
    }

    /// Where a process of a site logs.
    #[must_use]
    pub fn log(&self, site: u8, name: &str) -> PathBuf {
        self.site(site).join("log").join(format!("{name}.log"))
    }

    /// A file of the certificates of a site or a person.
    #[must_use]
    pub fn certificate(&self, owner: &str, name: &str) -> PathBuf {
        self.certificates().join(owner).join(name)
    }

    /// The directory of all certificates.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.root.join("certs")
    }

    /// PostgreSQL's port of a stack.
    #[must_use]
    pub fn port(&self, stack: usize) -> u16 {
        POSTGRES_PORT + u16::try_from(stack).unwrap_or(0)
    }

    /// The indices of the stacks that have databases.
    pub fn databases(&self) -> impl Iterator<Item = usize> + '_ {
        self.stacks.iter().enumerate().filter(|(_, s)| s.database).map(|(i, _)| i)
    }
}

/// `dcN`.
#[must_use]
pub fn site_name(site: u8) -> String {
    format!("dc{site}")
}

/// The number in `dcN`.
#[must_use]
pub fn site_number(name: &str) -> Option<u8> {
    name.strip_prefix("dc")?.parse().ok()
}

/// Quotes a path for TOML.
#[must_use]
pub fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}
