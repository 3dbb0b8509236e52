//! The three copies of the database as they are before Tripoint comes: a primary at dc1 and two
//! standbys made from it.

use super::layout::{Layout, Site, make, own};
use super::postgres::Postgres;
use super::processes::{command, server_arguments};
use anyhow::bail;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Makes the copies. Afterwards no server runs.
pub async fn make_copies(layout: &Layout, postgres: &Postgres) -> anyhow::Result<()> {
    let [primary, standbys @ ..] = layout.sites.as_slice() else { bail!("no site") };
    for site in &layout.sites {
        make(&site.data(), 0o700)?;
        own(&site.data(), postgres)?;
    }
    let data = primary.data().display().to_string();
    run(
        primary,
        postgres,
        "initdb",
        &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-k"],
    )
    .await?;
    let options = server_arguments(primary)[2..].join(" ");
    let log = primary.socket().join("setup.log").display().to_string();
    run(primary, postgres, "pg_ctl", &["-D", &data, "-o", &options, "-l", &log, "-w", "start"]).await?;
    let filled = fill(layout, primary, standbys, postgres).await;
    let stopped = run(primary, postgres, "pg_ctl", &["-D", &data, "-m", "fast", "-w", "stop"]).await;
    filled.and(stopped)
}

async fn fill(layout: &Layout, primary: &Site, standbys: &[Site], postgres: &Postgres) -> anyhow::Result<()> {
    sql(layout, primary, postgres, "postgres", "create database tripoint").await?;
    sql(layout, primary, postgres, "postgres", "create role replicator login replication").await?;
    sql(layout, primary, postgres, "tripoint", driver_postgres::ROLE_SQL).await?;
    sql(layout, primary, postgres, "postgres", driver_postgres::REWIND_SQL).await?;
    let table = driver_postgres::writer::TABLE_SQL;
    let writer = format!("create role writer login; {table}; grant select, insert on demo_row to writer");
    sql(layout, primary, postgres, "tripoint", &writer).await?;
    for site in standbys {
        let data = site.data().display().to_string();
        let from = format!("host={} port={} user=replicator", primary.address, layout.database_port());
        run(site, postgres, "pg_basebackup", &["-D", &data, "-d", &from, "-c", "fast", "-X", "stream"])
            .await?;
        let signal = site.data().join("standby.signal");
        std::fs::write(&signal, "")?;
        own(&signal, postgres)?;
    }
    Ok(())
}

/// Runs SQL as the superuser, by the Unix socket.
pub async fn sql(
    layout: &Layout,
    site: &Site,
    postgres: &Postgres,
    database: &str,
    text: &str,
) -> anyhow::Result<()> {
    let socket = site.socket().display().to_string();
    let port = layout.database_port().to_string();
    let arguments = [
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        &socket,
        "-p",
        &port,
        "-U",
        "postgres",
        "-d",
        database,
        "-c",
        text,
    ];
    run(site, postgres, "psql", &arguments).await
}

/// Runs one of PostgreSQL's programs as PostgreSQL's user, in the site's network.
async fn run(site: &Site, postgres: &Postgres, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut prepared = command(site, &program_path(&postgres.bin, program));
    prepared.args(arguments).env("LC_ALL", "C").env_remove("PGOPTIONS").current_dir("/").stdin(Stdio::null());
    if let Some(user) = &postgres.user {
        as_user(&mut prepared, site, user);
    }
    let output = Command::from(prepared).kill_on_drop(true).output().await?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{program} at {} failed:\n{}{}", site.name, out, err);
    }
    Ok(())
}

/// nsenter must enter the namespace as root and change the user itself.
fn as_user(command: &mut std::process::Command, site: &Site, user: &nix::unistd::User) {
    use std::os::unix::process::CommandExt;
    if site.namespace.is_none() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        return;
    }
    let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    let mut changed = std::process::Command::new("nsenter");
    changed.arg(&arguments[0]).arg(format!("--setuid={}", user.uid)).arg(format!("--setgid={}", user.gid));
    changed.args(&arguments[1..]).env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    *command = changed;
}

fn program_path(bin: &Path, program: &str) -> std::path::PathBuf {
    let own = bin.join(program);
    if own.exists() { own } else { program.into() }
}
