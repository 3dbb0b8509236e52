//! Pieces for `chaos/ctl`: files, databases and supervised processes in namespaces that somebody
//! else made (the peers' lab, so that we are measured where the peers were).

use crate::lab::network::OUTSIDE;
use crate::product::cluster;
use crate::product::command::tripoint;
use crate::product::database;
use crate::product::files::Settings;
use crate::product::layout::{Layout, StackPlan};
use crate::product::profile::Profile;
use crate::product::site::{Part, Site};
use anyhow::{Context, Result};
use clap::Subcommand;
use std::path::PathBuf;
use std::time::Duration;

/// What `ctl` asks for.
#[derive(Subcommand)]
pub enum PeerCommand {
    /// Makes all files, certificates and the first database.
    Provision {
        #[command(flatten)]
        place: Place,
        /// The durations.
        #[arg(long, value_enum)]
        profile: Profile,
    },
    /// Makes a site's database a copy of another's; its gate must be stopped.
    Clone {
        #[command(flatten)]
        place: Place,
        /// The site that gets the copy.
        #[arg(long)]
        site: u8,
        /// The site that is copied.
        #[arg(long)]
        primary: u8,
    },
    /// Starts a site's processes and keeps them running until it is killed.
    Services {
        #[command(flatten)]
        place: Place,
        /// The site.
        #[arg(long)]
        site: u8,
        /// Which of them.
        #[arg(long, value_enum, value_delimiter = ',')]
        parts: Vec<Part>,
    },
}

/// Where the lab is.
#[derive(clap::Args)]
pub struct Place {
    /// Prefix of the namespaces.
    #[arg(long, env = "LAB")]
    lab: String,
    /// Directory of everything.
    #[arg(long)]
    root: PathBuf,
    /// First two numbers of all addresses.
    #[arg(long, default_value = "10.77")]
    net: String,
    /// The product.
    #[arg(long, env = "TRIPOINT_BIN")]
    binary: PathBuf,
}

impl Place {
    fn layout(&self) -> Layout {
        let stacks = vec![StackPlan { name: "main".to_owned(), active: 1, database: true }];
        Layout { root: self.root.clone(), net: self.net.clone(), sites: 3, stacks }
    }

    fn netns(&self, site: u8) -> String {
        if site == OUTSIDE { format!("{}-br", self.lab) } else { format!("{}-dc{site}", self.lab) }
    }
}

/// Does it.
///
/// # Errors
/// If it can't be done.
pub fn run(command: PeerCommand) -> Result<()> {
    match command {
        PeerCommand::Provision { place, profile } => {
            let layout = place.layout();
            let cli = tripoint(&layout, place.binary.clone(), place.netns(OUTSIDE));
            cluster::write_files(&layout, &cli, Settings { profile, kernel_lease: true })?;
            database::create(&layout, 0, &cluster::role_sql()?)?;
            (1..=layout.sites).try_for_each(|site| database::follow_first(&layout, site, 0))
        }
        PeerCommand::Clone { place, site, primary } => {
            database::clone(&place.layout(), &place.netns(site), site, primary, 0)
        }
        PeerCommand::Services { place, site, parts } => {
            let binary = place.binary.canonicalize().with_context(|| place.binary.display().to_string())?;
            let site = Site::new(&place.layout(), &binary, &place.netns(site), site);
            parts.iter().flat_map(|part| site.services(*part)).try_for_each(|service| service.start())?;
            loop {
                std::thread::sleep(Duration::from_secs(3_600));
            }
        }
    }
}
