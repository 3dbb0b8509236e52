//! The configuration files of all processes.

use super::layout::{ACTOR_PORT, GROUP, Layout, ROLE_PORT, WITNESS_PORT, quoted, site_name};
use super::profile::Profile;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;

/// What a lab may want otherwise than the default.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The durations.
    pub profile: Profile,
    /// False: the gates' kernel lease is off.
    pub kernel_lease: bool,
}

/// Writes every file; the directories are made as well.
///
/// # Errors
/// If one can't be written.
pub fn write(layout: &Layout, settings: Settings) -> Result<()> {
    for site in 1..=layout.sites {
        let directory = layout.site(site);
        for sub in ["log", "witness", "actor"] {
            make(&directory.join(sub))?;
        }
        put(&directory.join("witness.toml"), &witness(layout, settings, site))?;
        put(&directory.join("actor.toml"), &actor(layout, settings, site))?;
        for stack in layout.databases() {
            make(&layout.stack(site, stack).join("gate"))?;
            put(&layout.stack(site, stack).join("gate.toml"), &gate(layout, settings, site, stack))?;
        }
    }
    put(&layout.root.join("operator.toml"), &operator(layout))
}

fn make(path: &std::path::Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| path.display().to_string())
}

fn put(path: &std::path::Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// `group`, `site` and `[tls]`; the table comes last in every file.
fn head(role: &str, site: u8, settings: Settings) -> String {
    format!(
        "role = \"{role}\"\ngroup = \"{GROUP}\"\nsite = \"{}\"\nprofile = \"{}\"\n",
        site_name(site),
        settings.profile.name()
    )
}

/// `owner` is a site, or the person of a role without one.
fn tls(layout: &Layout, owner: &str, role: &str) -> String {
    format!(
        "\n[tls]\nca = {}\ncert = {}\nkey = {}\n",
        quoted(&layout.certificate(owner, "ca.pem")),
        quoted(&layout.certificate(owner, &format!("{role}.pem"))),
        quoted(&layout.certificate(owner, &format!("{role}.key"))),
    )
}

fn witness(layout: &Layout, settings: Settings, site: u8) -> String {
    let mut text = head("witness", site, settings);
    let _ = write!(
        text,
        "listen = \"{}:{WITNESS_PORT}\"\ndata = {}\n",
        layout.address(site),
        quoted(&layout.site(site).join("witness"))
    );
    text += &tls(layout, &site_name(site), "witness");
    // a lab fails over again and again: the brakes against flapping would end it
    text += "\n[policy]\ncooldown = \"1ms\"\nmax_failovers = 100000\n";
    for n in 1..=layout.sites {
        let address = layout.address(n);
        let _ = write!(
            text,
            "\n[[member]]\nsite = \"{}\"\nnode = {n}\nwitness = \"{address}:{WITNESS_PORT}\"\nactor = \"{address}:{ACTOR_PORT}\"\n",
            site_name(n)
        );
    }
    let sites: Vec<String> = (1..=layout.sites).map(|n| format!("\"{}\"", site_name(n))).collect();
    for stack in &layout.stacks {
        let _ = write!(text, "\n[[stack]]\nname = \"{}\"\nsites = [{}]\n", stack.name, sites.join(", "));
    }
    text
}

fn actor(layout: &Layout, settings: Settings, site: u8) -> String {
    let mut text = head("actor", site, settings);
    let _ = write!(
        text,
        "listen = \"{}:{ACTOR_PORT}\"\ndata = {}\n",
        layout.address(site),
        quoted(&layout.site(site).join("actor"))
    );
    text += &tls(layout, &site_name(site), "actor");
    text += &witnesses(layout);
    for (index, stack) in layout.stacks.iter().enumerate() {
        let _ = write!(
            text,
            "\n[[stack]]\nname = \"{}\"\n[stack.database]\nhost = {}\nport = {}\nuser = \"tripoint\"\ndbname = \"tripoint\"\n[stack.primary_conninfo]\n",
            stack.name,
            quoted(&layout.stack(site, index)),
            layout.port(index)
        );
        for other in (1..=layout.sites).filter(|n| *n != site) {
            let _ = writeln!(text, "{} = \"{}\"", site_name(other), conninfo(layout, site, other, index));
        }
    }
    text
}

/// How `site`'s standby follows `primary`.
#[must_use]
pub fn conninfo(layout: &Layout, site: u8, primary: u8, stack: usize) -> String {
    format!(
        "host={} port={} user=postgres application_name={} connect_timeout=3",
        layout.address(primary),
        layout.port(stack),
        site_name(site)
    )
}

fn gate(layout: &Layout, settings: Settings, site: u8, stack: usize) -> String {
    let mut text = head("gate", site, settings);
    let role_port = ROLE_PORT + u16::try_from(stack).unwrap_or(0);
    let _ = write!(
        text,
        "stack = \"{}\"\nactor = \"{}:{ACTOR_PORT}\"\ndata = {}\nrole_endpoint = \"{}:{role_port}\"\n",
        layout.stacks[stack].name,
        layout.address(site),
        quoted(&layout.stack(site, stack).join("gate")),
        layout.address(site),
    );
    if !settings.kernel_lease {
        text += "kernel_lease = \"off\"\n";
    }
    text += &tls(layout, &site_name(site), "gate");
    let _ = write!(
        text,
        "\n[database]\ndata_directory = {}\nport = {}\nrun_as = \"postgres\"\ninclude_file = {}\n",
        quoted(&layout.data(site, stack)),
        layout.port(stack),
        quoted(&layout.include(site, stack)),
    );
    text
}

fn operator(layout: &Layout) -> String {
    format!("role = \"operator\"\n{}{}", tls(layout, "operator", "operator"), witnesses(layout))
}

fn witnesses(layout: &Layout) -> String {
    let one = |n: u8| {
        format!(
            "\n[[witness]]\nsite = \"{}\"\naddress = \"{}:{WITNESS_PORT}\"\n",
            site_name(n),
            layout.address(n)
        )
    };
    (1..=layout.sites).map(one).collect()
}
