//! Finds PostgreSQL on this machine, or installs it.

use anyhow::{Context, bail};
use nix::unistd::{Uid, User};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian keeps its versions, one directory each.
const DEBIAN_VERSIONS: &str = "/usr/lib/postgresql";
/// Programs without which a directory does not count.
const NEEDED: [&str; 4] = ["postgres", "initdb", "pg_basebackup", "pg_ctl"];

/// PostgreSQL's programs, and as whom they run.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// Directory of the programs.
    pub bin: PathBuf,
    /// What `postgres --version` says.
    pub version: String,
    /// The first number of it.
    pub major: u32,
    /// The user to run as; none for this process's own.
    pub user: Option<User>,
}

/// The newest PostgreSQL here; installed by apt if there is none and we may.
pub fn find_or_install(yes: bool) -> anyhow::Result<Postgres> {
    if newest().is_none() {
        install("PostgreSQL", &["postgresql"], yes)?;
    }
    let bin = newest()
        .context("no PostgreSQL server under /usr/lib/postgresql/*/bin, even after the installation")?;
    let output = Command::new(bin.join("postgres")).arg("--version").output()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().replace("postgres (PostgreSQL) ", "");
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    let major = digits.parse().with_context(|| format!("PostgreSQL's version {version:?} can't be read"))?;
    Ok(Postgres { bin, version, major, user: user()? })
}

/// PostgreSQL does not run as root: then it runs as `postgres`, whom the package brings.
fn user() -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?;
    Ok(Some(user.context("no user `postgres`; make one: useradd --system postgres")?))
}

fn newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN_VERSIONS).into_iter().flatten().flatten();
    let numbered = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let mut found: Vec<(u32, PathBuf)> = numbered.filter(|(_, bin)| complete(bin)).collect();
    found.sort();
    found.pop().map(|(_, bin)| bin).or_else(on_path)
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find(|dir| complete(dir))
}

fn complete(bin: &Path) -> bool {
    NEEDED.iter().all(|program| bin.join(program).exists())
}

/// Installs Debian packages as root; says how otherwise.
pub fn install(what: &str, packages: &[&str], yes: bool) -> anyhow::Result<()> {
    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "{what} is needed and not there. Install it with your system's package manager, then run this again"
        );
    }
    if !Uid::effective().is_root() {
        bail!("{what} is needed and not there. Install it: sudo apt-get install {list}");
    }
    if !yes
        && std::io::stdin().is_terminal()
        && !agreed(&format!("{what} is not there. Install {list} with apt-get?"))
    {
        bail!("{what} is needed. Install it: apt-get install {list}");
    }
    super::narrate::step(&format!("installing {list} with apt-get ..."));
    let apt = |arguments: &[&str]| {
        Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Keeps the package from starting a server of its own.
            .env("RUNLEVEL", "1")
            .stdin(Stdio::null())
            .output()
    };
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    let output = apt(&arguments)?;
    if !output.status.success() {
        bail!("apt-get install {list} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn agreed(question: &str) -> bool {
    ctl::out::line(&format!("{question} [Y/n]"));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && !answer.trim().to_lowercase().starts_with('n')
}
