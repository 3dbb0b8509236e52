//! `actor.toml`: a site's hand: the witnesses that it renews with, and its databases.

use super::common::{self, Common};
use super::reader::{Located, Section};
use super::timing;
use actor::config::{Config, DatabaseConfig, StackConfig, TlsFiles, WitnessAddress};
use model::{SiteId, StackId};
use rpc::identity::Role;
use std::collections::BTreeMap;

/// PostgreSQL's own port.
const POSTGRES_PORT: u16 = 5432;

/// Reads the file's root table; none if anything is wrong.
pub fn read(root: &Section<'_>) -> Option<Config> {
    let common = Common::read(root, Role::Actor);
    let listen = root.listen("listen");
    let data = common::data_directory(root, "data", "\"/var/lib/tripoint/actor\"");
    let keys = timing::read(root);
    let timing = keys.checked(root);
    let own = common.as_ref().map(|c| c.site.value.clone());
    let witnesses = witnesses(root, own.as_ref());
    let stacks = stacks(root, own.as_ref());
    let Common { group, site, tls } = common?;
    Some(Config {
        group,
        site: site.value,
        listen: listen?.value,
        witnesses,
        tls: TlsFiles { ca: tls.ca, certificate: tls.cert, key: tls.key },
        state_directory: data?,
        timing: *timing?.values(),
        stacks,
    })
}

/// The witnesses, this site's own first whatever the file's order.
fn witnesses(root: &Section<'_>, own: Option<&SiteId>) -> Vec<WitnessAddress> {
    let sections = root.tables("witness");
    if sections.is_empty() {
        root.fault(
            root.span(),
            "no witness is listed",
            "expected [[witness]] tables in this file",
            "add [[witness]] with site and address for every witness of the group",
        );
    }
    let count = sections.len();
    let mut names = BTreeMap::new();
    let mut last = root.span();
    let mut witnesses = Vec::new();
    for section in sections {
        last = section.span();
        let site = section.name::<SiteId>("site", "\"dc1\"");
        let address = section.address("address");
        section.finish();
        let (Some(site), Some(address)) = (site, address) else { continue };
        common::once(root, &mut names, site.value.to_string(), site.span, "site name");
        witnesses.push(WitnessAddress { site: site.value, address: address.value });
    }
    if count > 0 && count.is_multiple_of(2) {
        root.fault(
            last,
            format!("{count} witnesses: an odd number is needed"),
            "the last one",
            "list every witness of the group; a group has an odd number of them",
        );
    }
    witnesses.sort_by_key(|w| Some(&w.site) != own);
    witnesses
}

fn stacks(root: &Section<'_>, own: Option<&SiteId>) -> Vec<StackConfig> {
    let sections = root.tables("stack");
    if sections.is_empty() {
        root.fault(
            root.span(),
            "no stack is listed",
            "expected [[stack]] tables in this file",
            "add [[stack]] with name, [stack.database] and [stack.primary_conninfo]",
        );
    }
    let mut names = BTreeMap::new();
    let mut stacks = Vec::new();
    for section in sections {
        let name = section.name::<StackId>("name", "\"main\"");
        let database = section.table("database", "host, port, user and dbname").map(database);
        let primary_conninfo = section
            .table("primary_conninfo", "one connection string for each other site")
            .map(|table| conninfo(&table, own))
            .unwrap_or_default();
        let rewind_conninfo =
            section.table_opt("rewind_conninfo").map(|table| conninfo(&table, own)).unwrap_or_default();
        let slots = section.flag_opt("slots").is_none_or(|flag| flag.value);
        section.finish();
        let (Some(name), Some(Some(database))) = (name, database) else { continue };
        common::once(root, &mut names, name.value.to_string(), name.span.clone(), "stack name");
        stacks.push(StackConfig { stack: name.value, database, primary_conninfo, rewind_conninfo, slots });
    }
    stacks
}

fn database(section: Section<'_>) -> Option<DatabaseConfig> {
    let host = section.text("host", "\"/var/run/postgresql\"");
    let port = port(&section);
    let user = section.text_opt("user").map_or_else(|| "tripoint".to_owned(), |t| t.value);
    let dbname = section.text_opt("dbname").map_or_else(|| "tripoint".to_owned(), |t| t.value);
    let password = section.path_opt("password_file");
    let application_name =
        section.text_opt("application_name").map_or_else(|| "tripoint-actor".to_owned(), |t| t.value);
    if let Some(file) = &password
        && let Err(error) = std::fs::read_to_string(&file.value)
    {
        section.fault(
            file.span.clone(),
            format!("the password file {} can't be read", file.value.display()),
            common::plain(&error),
            "make it readable for the actor's user, with the password in its first line",
        );
    }
    section.finish();
    Some(DatabaseConfig {
        host: host?.value,
        port: port?,
        user,
        dbname,
        password_file: password.map(|p| p.value),
        application_name,
    })
}

/// `port`, 5432 if it is absent; none if it is no port.
pub fn port(section: &Section<'_>) -> Option<u16> {
    let Some(number) = section.number_opt("port") else {
        return (!section.has("port")).then_some(POSTGRES_PORT);
    };
    match u16::try_from(number.value) {
        Ok(port) if port > 0 => Some(port),
        _ => {
            let title = format!("`{}` = {} is no port", section.full("port"), number.value);
            section.fault(
                number.span,
                title,
                "not from 1 to 65535",
                "write the port that PostgreSQL listens on",
            );
            None
        }
    }
}

fn conninfo(table: &Section<'_>, own: Option<&SiteId>) -> BTreeMap<SiteId, String> {
    let mut all = BTreeMap::new();
    for (key, text) in table.entries() {
        let Located { value: name, span } = key;
        match SiteId::new(&name) {
            Err(error) => {
                table.fault(span, format!("{name:?} is no site"), error.to_string(), "write the site's name")
            }
            Ok(site) if Some(&site) == own => table.fault(
                span,
                format!("a connection string to the own site {site}"),
                "a standby does not follow its own site",
                "remove this line; name the other sites alone",
            ),
            Ok(site) => {
                all.insert(site, text.value);
            }
        }
    }
    all
}
