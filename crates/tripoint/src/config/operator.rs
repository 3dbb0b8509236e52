//! `operator.toml`: where a person's commands find the witnesses, and with which identity.

use super::common;
use super::reader::Section;
use ctl::connect::{Target, Witness};
use model::SiteId;
use rpc::identity::Role;
use std::collections::BTreeMap;

/// Reads the file's root table; none if anything is wrong.
pub fn read(root: &Section<'_>) -> Option<Target> {
    let tls = common::tls(root, &[Role::Operator, Role::Viewer]);
    let mut names = BTreeMap::new();
    let mut witnesses = Vec::new();
    for section in root.tables("witness") {
        let site = section.name_opt::<SiteId>("site", "\"dc1\"");
        let address = section.address("address");
        section.finish();
        if let Some(site) = &site {
            common::once(root, &mut names, site.value.to_string(), site.span.clone(), "site name");
        }
        let Some(address) = address else { continue };
        witnesses.push(Witness { site: site.map(|s| s.value), address: address.value });
    }
    if witnesses.is_empty() {
        root.fault(
            root.span(),
            "no witness is listed",
            "expected [[witness]] tables in this file",
            "add [[witness]] with site and address for every witness of the group",
        );
    }
    let (tls, _own) = tls?;
    Some(Target { witnesses, ca: tls.ca, cert: tls.cert, key: tls.key })
}
