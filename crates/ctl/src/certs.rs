//! `tripoint certs`: a group's CA and the certificates of all roles.

use crate::{Exit, style};
use clap::{Args, Subcommand, ValueEnum};
use rpc::certs::{Authority, CA_CERT, CA_DAYS, CA_KEY, CertsError, LEAF_DAYS};
use rpc::identity::Role;
use std::path::{Path, PathBuf};

/// `tripoint certs ...`.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Make a group's CA: ca.pem goes to every process, ca.key to none of the sites
    #[command(after_help = "Example:\n  tripoint certs ca --group prod --dir ca")]
    Ca(CaArgs),
    /// Issue one certificate for a site's process or for a person
    #[command(
        after_help = "Examples:\n  tripoint certs issue witness dc1 --ca ca --dir dc1\n  tripoint certs issue operator alice --ca ca --dir alice --days 90"
    )]
    Issue(IssueArgs),
    /// Make a CA and the certificates of all processes of some sites, and one operator and viewer
    #[command(
        after_help = "Example:\n  tripoint certs site-set --group prod --dir pki dc1 dc2 dc3\n\nMakes pki/ca, pki/dc1/{witness,actor,gate}.{pem,key}, ..., pki/operator and pki/viewer."
    )]
    SiteSet(SetArgs),
}

/// `tripoint certs ca`.
#[derive(Debug, Args)]
pub struct CaArgs {
    /// The group's name; every certificate carries it
    #[arg(long)]
    pub group: String,
    /// Where ca.pem and ca.key go
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Days of validity
    #[arg(long, default_value_t = CA_DAYS)]
    pub days: u32,
    /// Replace what is there: all that the old CA issued becomes worthless
    #[arg(long)]
    pub replace: bool,
}

/// `tripoint certs issue`.
#[derive(Debug, Args)]
pub struct IssueArgs {
    /// What the owner is; decides what it may call
    #[arg(value_enum)]
    pub role: RoleName,
    /// The site of a witness, actor or gate; otherwise the person's name
    pub name: String,
    /// The directory with ca.pem and ca.key
    #[arg(long, value_name = "DIR")]
    pub ca: PathBuf,
    /// Where ROLE.pem, ROLE.key and a copy of ca.pem go
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Days of validity
    #[arg(long, default_value_t = LEAF_DAYS)]
    pub days: u32,
    /// IP addresses or DNS names to add, for other tools; Tripoint does not look at them
    #[arg(long = "also", value_name = "NAME")]
    pub names: Vec<String>,
    /// Replace what is there
    #[arg(long)]
    pub replace: bool,
}

/// `tripoint certs site-set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The sites
    #[arg(required = true)]
    pub sites: Vec<String>,
    /// The group's name
    #[arg(long)]
    pub group: String,
    /// Where everything goes
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// A role's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// A site's Raft member.
    Witness,
    /// A site's hand.
    Actor,
    /// The supervisor of a database.
    Gate,
    /// Somebody who may change the group.
    Operator,
    /// Somebody who may look.
    Viewer,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Witness => Self::Witness,
            RoleName::Actor => Self::Actor,
            RoleName::Gate => Self::Gate,
            RoleName::Operator => Self::Operator,
            RoleName::Viewer => Self::Viewer,
        }
    }
}

/// Makes what was asked for.
#[must_use]
pub fn run(command: &CertsCommand) -> Exit {
    let made = match command {
        CertsCommand::Ca(args) => Authority::create(&args.dir, &args.group, args.days, args.replace)
            .map(|_| vec![args.dir.join(CA_CERT), args.dir.join(CA_KEY)]),
        CertsCommand::Issue(args) => issue(args),
        CertsCommand::SiteSet(args) => site_set(&args.dir, &args.group, &args.sites),
    };
    match made {
        Ok(files) => {
            for file in files {
                crate::out::line(&file.display().to_string());
            }
            Exit::Ok
        }
        Err(error) => {
            let word = style::paint("error", style::Tone::Bad, style::colour_on_stderr());
            eprintln!("{word}: {error}");
            Exit::Failed
        }
    }
}

fn issue(args: &IssueArgs) -> Result<Vec<PathBuf>, CertsError> {
    let authority = Authority::open(&args.ca)?;
    let role = Role::from(args.role);
    let pair = authority.issue(role, &args.name, &args.names, args.days)?;
    write(&pair, role, &args.ca, &args.dir, args.replace)
}

/// ROLE.pem, ROLE.key and ca.pem in `dir`.
fn write(
    pair: &rpc::certs::Pair,
    role: Role,
    ca: &Path,
    dir: &Path,
    replace: bool,
) -> Result<Vec<PathBuf>, CertsError> {
    let at = |file: &Path| {
        let file = file.to_owned();
        move |source| CertsError::File { file, source }
    };
    std::fs::create_dir_all(dir).map_err(at(dir))?;
    let (cert, key) = (dir.join(format!("{role}.pem")), dir.join(format!("{role}.key")));
    pair.write(&cert, &key, replace)?;
    let (from, to) = (ca.join(CA_CERT), dir.join(CA_CERT));
    if from != to {
        std::fs::copy(&from, &to).map_err(at(&to))?;
    }
    Ok(vec![cert, key, to])
}

/// A CA in `dir`/ca, three certificates in `dir`/SITE, `dir`/operator and `dir`/viewer.
///
/// # Errors
/// As `rpc::certs` says; something is there already.
pub fn site_set(dir: &Path, group: &str, sites: &[String]) -> Result<Vec<PathBuf>, CertsError> {
    let ca = dir.join("ca");
    let authority = Authority::create(&ca, group, CA_DAYS, false)?;
    let mut files = vec![ca.join(CA_CERT), ca.join(CA_KEY)];
    for site in sites {
        for role in [Role::Witness, Role::Actor, Role::Gate] {
            let pair = authority.issue(role, site, &[], LEAF_DAYS)?;
            files.extend(write(&pair, role, &ca, &dir.join(site), false)?);
        }
    }
    for role in [Role::Operator, Role::Viewer] {
        let pair = authority.issue(role, role.as_str(), &[], LEAF_DAYS)?;
        files.extend(write(&pair, role, &ca, &dir.join(role.as_str()), false)?);
    }
    files.dedup();
    Ok(files)
}
