//! Arrows go one way (design, section 11): which of our crates each may import, and the libraries
//! that only one may name.

use crate::tree::{packages, read};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Crate, and ours that it may import. Every crate of the tree has a row.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("coordination", &["model"]),
    ("rpc", &["model"]),
    ("consensus", &["model", "coordination", "rpc"]),
    ("planted", &["model"]),
    ("simulation", &["model", "coordination"]),
    ("witness", &["model", "coordination", "consensus", "rpc"]),
    ("actor", &["model", "coordination", "rpc"]),
    ("gate", &["model", "coordination", "rpc"]),
    ("driver-postgres", &["model", "actor"]),
    ("ctl", &["model", "rpc"]),
    (
        "tripoint",
        &["model", "coordination", "rpc", "consensus", "witness", "actor", "gate", "driver-postgres", "ctl"],
    ),
    ("chaos", &["model", "rpc", "simulation"]),
];

/// Library, and the crates that alone may name it. `chaos` is a black box with clients of its own.
const ONLY: &[(&str, &[&str])] = &[
    ("tonic", &["rpc"]),
    ("prost", &["rpc"]),
    ("openraft", &["consensus"]),
    ("redb", &["consensus"]),
    ("tokio-postgres", &["driver-postgres", "chaos"]),
    ("axum", &["witness", "gate"]),
    ("rcgen", &["rpc"]),
    ("comfy-table", &["ctl", "chaos"]),
    ("toml", &["tripoint", "tests"]),
];

fn dependencies(folder: &Path) -> BTreeSet<String> {
    let manifest: toml::Table = read(&folder.join("Cargo.toml")).parse().expect("a manifest is TOML");
    ["dependencies", "build-dependencies", "dev-dependencies"]
        .iter()
        .filter(|kind| **kind != "dev-dependencies" || folder.ends_with("tests"))
        .filter_map(|kind| manifest.get(*kind)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

fn name(folder: &Path) -> String {
    folder.file_name().expect("a folder has a name").to_string_lossy().into_owned()
}

#[test]
fn arrows_go_one_way() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let ours: BTreeSet<String> = packages().iter().map(|p| name(p)).collect();
    for folder in packages().iter().filter(|f| !f.ends_with("tests")) {
        let this = name(folder);
        let allowed = table.get(this.as_str()).unwrap_or_else(|| panic!("{this} has no row in the table"));
        for dependency in dependencies(folder).intersection(&ours) {
            assert!(allowed.contains(&dependency.as_str()), "{this} may not import {dependency}");
        }
    }
}

#[test]
fn a_library_is_named_by_its_owner_alone() {
    for folder in packages() {
        let this = name(&folder);
        let named = dependencies(&folder);
        for (library, owners) in ONLY {
            let wrong = named.contains(*library) && !owners.contains(&this.as_str());
            assert!(!wrong, "{this} may not name {library}; it belongs to {owners:?}");
        }
    }
}

#[test]
fn folder_and_crate_have_one_name() {
    for folder in packages() {
        let manifest: toml::Table = read(&folder.join("Cargo.toml")).parse().expect("a manifest is TOML");
        let package = manifest["package"]["name"].as_str().expect("a package has a name");
        assert_eq!(package, name(&folder));
    }
}

#[test]
fn the_core_cannot_do_io() {
    for core in ["model", "coordination"] {
        let lib = read(&crate::tree::root().join("crates").join(core).join("src/lib.rs"));
        assert!(lib.contains("#![no_std]"), "{core} must be no_std");
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{core} must forbid unsafe code");
    }
}

#[test]
fn there_is_one_tls_provider() {
    let lock = read(&crate::tree::root().join("Cargo.lock"));
    for banned in ["aws-lc-sys", "openssl-sys", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{banned}\"")), "{banned} came in with a dependency");
    }
}
