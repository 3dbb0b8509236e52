//! `witness.toml`: a Raft member, the sites, the stacks and the policy that a group begins with.

use super::common::{self, Common};
use super::reader::{Located, Section};
use super::timing;
use coordination::Policy;
use model::{SiteId, StackId};
use rpc::identity::Role;
use std::collections::BTreeMap;
use std::ops::Range;
use witness::config::{Config, MemberConfig, SiteConfig, StackConfig};

/// Smallest group that survives the loss of a witness.
const WITNESSES_MIN: usize = 3;

/// Reads the file's root table; none if anything is wrong.
pub fn read(root: &Section<'_>) -> Option<Config> {
    let common = Common::read(root, Role::Witness);
    let listen = root.listen("listen");
    let data = common::data_directory(root, "data", "\"/var/lib/tripoint/witness\"");
    let policy = policy(root);
    let sites = sites(root);
    let stacks = stacks(root, &sites);
    check_sites(root, &sites, common.as_ref().map(|c| &c.site));
    let Common { group, site, tls } = common?;
    let node = sites.iter().find(|s| s.name.value == site.value)?.node?;
    Some(Config {
        group,
        site: site.value,
        node,
        listen: listen?.value,
        data_directory: data?,
        tls: witness::config::TlsFiles { ca: tls.ca, certificate: tls.cert, key: tls.key },
        members: sites.iter().filter_map(Member::member).collect(),
        sites: sites.into_iter().map(Member::into_config).collect(),
        stacks,
        policy: policy?,
        // The status page comes later.
        http_listen: None,
    })
}

/// One `[[member]]`: a site.
struct Member {
    name: Located<SiteId>,
    node: Option<u64>,
    node_span: Range<usize>,
    /// True if a witness is meant to be there, be its address right or wrong.
    has_witness: bool,
    witness: Option<Located<String>>,
    has_actor: bool,
    actor: Option<String>,
    public: Vec<String>,
}

impl Member {
    fn read(section: Section<'_>) -> Option<Self> {
        let name = section.name("site", "\"dc1\"");
        let node = section.number_opt("node");
        let witness = section.address_opt("witness");
        let has_witness = section.has("witness");
        let has_actor = section.has("actor");
        let actor = section.address_opt("actor").map(|a| a.value);
        let public = section.texts("public").into_iter().map(|t| t.value).collect();
        if witness.is_some() && node.as_ref().is_none_or(|n| n.value == 0) {
            section.fault(
                section.span_of("node"),
                "a site with a witness needs a node number above 0",
                "no usable `node` here",
                "add `node = 1`; a number is never used again for another site",
            );
        }
        if !has_witness && !has_actor {
            section.fault(
                section.span(),
                "a site without witness and actor",
                "neither address is here",
                "add `witness = \"host:port\"`, `actor = \"host:port\"` or both",
            );
        }
        let node_span = section.span_of("node");
        section.finish();
        Some(Self {
            name: name?,
            node: node.map(|n| n.value),
            node_span,
            has_witness,
            witness,
            has_actor,
            actor,
            public,
        })
    }

    fn member(&self) -> Option<MemberConfig> {
        Some(MemberConfig {
            node: self.node?,
            site: self.name.value.clone(),
            address: self.witness.as_ref()?.value.clone(),
        })
    }

    fn into_config(self) -> SiteConfig {
        SiteConfig {
            site: self.name.value,
            witness: self.witness.is_some(),
            actor_address: self.actor,
            endpoints: self.public,
        }
    }
}

fn sites(root: &Section<'_>) -> Vec<Member> {
    let sections = root.tables("member");
    if sections.is_empty() {
        root.fault(
            root.span(),
            "no site is listed",
            "expected [[member]] tables in this file",
            "add [[member]] with site, node, witness and actor for every site of the group",
        );
    }
    sections.into_iter().filter_map(Member::read).collect()
}

/// Rules between the sites: names and numbers once, an odd number of witnesses, ourselves among
/// them.
fn check_sites(root: &Section<'_>, sites: &[Member], own: Option<&Located<SiteId>>) {
    let mut names = BTreeMap::new();
    let mut nodes = BTreeMap::new();
    for site in sites {
        common::once(root, &mut names, site.name.value.to_string(), site.name.span.clone(), "site name");
        if let Some(node) = site.node {
            common::once(root, &mut nodes, node.to_string(), site.node_span.clone(), "node number");
        }
    }
    let witnesses: Vec<&Member> = sites.iter().filter(|s| s.has_witness).collect();
    if !sites.is_empty() && (witnesses.len() < WITNESSES_MIN || witnesses.len().is_multiple_of(2)) {
        let span = witnesses.last().map_or_else(|| root.span(), |s| s.name.span.clone());
        root.fault(
            span,
            format!("{} witnesses: an odd number from {WITNESSES_MIN} on is needed", witnesses.len()),
            "the last site with a witness",
            "add or remove one; a tie-breaker site has `witness` and no `actor`",
        );
    }
    if let Some(own) = own
        && !witnesses.iter().any(|s| s.name.value == own.value)
        && !sites.is_empty()
    {
        root.fault(
            own.span.clone(),
            format!("the own site {} is not among the sites with a witness", own.value),
            "no [[member]] of this name has a `witness`",
            format!("add [[member]] with site = \"{}\" and `witness`, or correct `site`", own.value),
        );
    }
}

fn stacks(root: &Section<'_>, sites: &[Member]) -> Vec<StackConfig> {
    let mut names = BTreeMap::new();
    let mut stacks = Vec::new();
    for section in root.tables("stack") {
        let name = section.name::<StackId>("name", "\"main\"");
        let carried = section.texts("sites");
        let mut own = Vec::new();
        for text in &carried {
            match sites.iter().find(|s| s.name.value.as_str() == text.value && s.has_actor) {
                Some(site) if !own.contains(&site.name.value) => own.push(site.name.value.clone()),
                Some(_) => {
                    section.fault(text.span.clone(), "a site is listed twice", "again", "remove one of them")
                }
                None => section.fault(
                    text.span.clone(),
                    format!("{:?} is no site with an actor", text.value),
                    "not among the [[member]] tables with `actor`",
                    "correct the name, or give that [[member]] an `actor` address",
                ),
            }
        }
        if carried.len() < 2 {
            section.fault(
                section.span_of("sites"),
                "a stack needs at least two sites",
                "fewer than two here",
                "list the sites that carry it, the preferred one first: sites = [\"dc1\", \"dc2\"]",
            );
        }
        section.finish();
        let Some(name) = name else { continue };
        common::once(root, &mut names, name.value.to_string(), name.span.clone(), "stack name");
        stacks.push(StackConfig { stack: name.value, sites: own });
    }
    stacks
}

fn policy(root: &Section<'_>) -> Option<Policy> {
    let keys = timing::read(root);
    let mut policy = Policy::with_timing(keys.checked(root)?);
    if let Some(section) = root.table_opt("policy") {
        timing::set(&mut policy.unhealthy_after, section.duration_opt("unhealthy_after"));
        timing::set(&mut policy.elect_wait, section.duration_opt("elect_wait"));
        timing::set(&mut policy.cooldown, section.duration_opt("cooldown"));
        timing::set(&mut policy.window, section.duration_opt("window"));
        timing::set(&mut policy.promote_deadline, section.duration_opt("promote_deadline"));
        for (key, target) in
            [("revision", &mut policy.revision), ("max_lag_bytes", &mut policy.max_lag_bytes)]
        {
            if let Some(number) = section.number_opt(key) {
                *target = number.value;
            }
        }
        for (key, target) in
            [("max_failovers", &mut policy.failovers_max), ("max_attempts", &mut policy.attempts_max)]
        {
            if let Some(number) = section.number_opt(key) {
                *target = u32::try_from(number.value).unwrap_or(u32::MAX);
            }
        }
        section.finish();
    }
    Some(policy)
}
