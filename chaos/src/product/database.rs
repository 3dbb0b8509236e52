//! Making databases: the first one, copies of it, and questions to them over their Unix sockets
//! (which no partition and no kernel lease touches).

use super::files::conninfo;
use super::layout::{Layout, PG_BIN, site_name};
use crate::lab::netns;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

/// Settings of every server of the lab, as the peers were measured with.
const CONFIGURATION: &str = "
listen_addresses = '*'
max_connections = 100
shared_buffers = 128MB
wal_keep_size = 256MB
wal_level = replica
hot_standby = on
wal_log_hints = on
recovery_init_sync_method = syncfs
log_line_prefix = '%m [%p] '
include_if_exists = '../tripoint.conf'
";

/// User and group that the servers run as.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The user `postgres`.
    ///
    /// # Errors
    /// If there is none.
    pub fn postgres() -> Result<Self> {
        let user = nix::unistd::User::from_name("postgres").context("look up user postgres")?;
        let user = user.context("there is no user postgres: install postgresql-15")?;
        Ok(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    /// Gives a file or directory to it.
    ///
    /// # Errors
    /// If that fails.
    pub fn give(self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).with_context(|| path.display().to_string())
    }
}

/// Words that run a program as user postgres.
const AS_POSTGRES: [&str; 5] = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--", "env"];

/// Makes the first database of a stack, at its first active site; leaves it stopped.
///
/// # Errors
/// If initdb or the first start fails.
pub fn create(layout: &Layout, stack: usize, role_sql: &str) -> Result<()> {
    let site = layout.stacks[stack].active;
    let data = layout.data(site, stack);
    let text = data.display().to_string();
    prepare(layout, site, stack)?;
    as_postgres(
        &format!("{PG_BIN}/initdb"),
        &["-D", &text, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-k"],
    )?;
    append(&data.join("postgresql.conf"), CONFIGURATION)?;
    let net = &layout.net;
    append(
        &data.join("pg_hba.conf"),
        &format!("host all all {net}.0.0/16 trust\nhost replication all {net}.0.0/16 trust\n"),
    )?;
    let socket = layout.stack(site, stack).display().to_string();
    let options =
        format!("-c listen_addresses= -c unix_socket_directories={socket} -p {}", layout.port(stack));
    let log = layout.log(site, "first-start").display().to_string();
    append(Path::new(&log), "")?;
    Owner::postgres()?.give(Path::new(&log))?;
    let pg_ctl = format!("{PG_BIN}/pg_ctl");
    as_postgres(&pg_ctl, &["-D", &text, "-l", &log, "-w", "-o", &options, "start"])?;
    let done = sql_in(layout, site, stack, "postgres", "create database tripoint")
        .and_then(|_| {
            sql_in(
                layout,
                site,
                stack,
                "postgres",
                "create table lab_w(client text, id bigint, primary key(client,id))",
            )
        })
        .and_then(|_| sql_in(layout, site, stack, "tripoint", role_sql));
    as_postgres(&pg_ctl, &["-D", &text, "-m", "fast", "-w", "stop"])?;
    done.map(drop)
}

/// The stack's directory at a site, empty but for the files of the gate.
fn prepare(layout: &Layout, site: u8, stack: usize) -> Result<()> {
    let owner = Owner::postgres()?;
    let data = layout.data(site, stack);
    // what the gate keeps beside it is about the copy that goes
    for path in [&data, &beside(&data)] {
        if path.exists() {
            fs::remove_dir_all(path).with_context(|| path.display().to_string())?;
        }
    }
    fs::create_dir_all(&data)?;
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
    owner.give(&data)?;
    owner.give(&layout.stack(site, stack))
}

/// Where the gate keeps markers, old copies and diverged WAL.
#[must_use]
pub fn beside(data: &Path) -> std::path::PathBuf {
    data.with_extension("tripoint")
}

/// Makes `site` a standby of `primary` by a base backup taken over the network, in `netns`. The
/// gate of that database must be stopped.
///
/// # Errors
/// If the backup fails.
pub fn clone(layout: &Layout, netns: &str, site: u8, primary: u8, stack: usize) -> Result<()> {
    prepare(layout, site, stack)?;
    let data = layout.data(site, stack);
    let mut command = netns::command(netns, "setpriv")?;
    command.args(AS_POSTGRES).arg(format!("{PG_BIN}/pg_basebackup"));
    command.args(["-h", &layout.address(primary), "-p", &layout.port(stack).to_string(), "-U", "postgres"]);
    command.args(["-X", "stream", "-c", "fast", "-D"]).arg(&data);
    finish(&mut command, "pg_basebackup")?;
    let signal = data.join("standby.signal");
    fs::write(&signal, "")?;
    Owner::postgres()?.give(&signal)
}

/// Writes the file that postgresql.conf includes, before the first start of a standby.
///
/// # Errors
/// If it can't be written.
pub fn follow_first(layout: &Layout, site: u8, stack: usize) -> Result<()> {
    let primary = layout.stacks[stack].active;
    let file = layout.include(site, stack);
    let text = if primary == site {
        String::new()
    } else {
        format!("primary_conninfo = '{}'\n", conninfo(layout, site, primary, stack))
    };
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    Owner::postgres()?.give(&file)
}

/// Asks a site's own server, as its superuser; lines of values.
///
/// # Errors
/// If it refuses or doesn't answer within seconds.
pub fn sql(layout: &Layout, site: u8, stack: usize, query: &str) -> Result<String> {
    sql_in(layout, site, stack, "postgres", query)
}

fn sql_in(layout: &Layout, site: u8, stack: usize, database: &str, query: &str) -> Result<String> {
    let mut command = Command::new("timeout");
    command.args(["10", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"]);
    command.arg(layout.stack(site, stack)).args(["-p", &layout.port(stack).to_string()]);
    command.env("PGCONNECT_TIMEOUT", "3").env("PGOPTIONS", "-c statement_timeout=8000").args(["-c", query]);
    finish(&mut command, &format!("psql at {}", site_name(site)))
}

/// True if the site's server is out of recovery.
#[must_use]
pub fn is_primary(layout: &Layout, site: u8, stack: usize) -> bool {
    sql(layout, site, stack, "select pg_is_in_recovery()").is_ok_and(|t| t.trim() == "f")
}

/// The sites that stream from the primary at `site`, by name.
#[must_use]
pub fn streaming(layout: &Layout, site: u8, stack: usize) -> Vec<String> {
    let query = "select application_name from pg_stat_replication where state = 'streaming'";
    let names = sql(layout, site, stack, query).unwrap_or_default();
    names.lines().map(str::to_owned).collect()
}

fn append(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    file.write_all(text.as_bytes()).with_context(|| path.display().to_string())
}

fn as_postgres(program: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new("setpriv");
    command.args(AS_POSTGRES).arg(program).args(args);
    finish(&mut command, program)
}

fn finish(command: &mut Command, what: &str) -> Result<String> {
    command.stdin(Stdio::null()).current_dir("/");
    let output = command.output().with_context(|| what.to_owned())?;
    if !output.status.success() {
        bail!("{what}: {} {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
