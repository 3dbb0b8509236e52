//! No production build can contain a planted bug.

use crate::tree::{packages, read, root};
use std::collections::{BTreeMap, BTreeSet};

/// Ours that a package names, under whatever name, for its build.
fn ours(folder: &std::path::Path) -> BTreeSet<String> {
    let manifest: toml::Table = read(&folder.join("Cargo.toml")).parse().expect("a manifest is TOML");
    let tables =
        ["dependencies", "build-dependencies"].iter().filter_map(|kind| manifest.get(*kind)?.as_table());
    tables
        .flat_map(|table| table.iter())
        .map(|(key, value)| {
            let renamed = value.get("package").and_then(toml::Value::as_str);
            renamed.unwrap_or(key).to_owned()
        })
        .collect()
}

#[test]
fn production_is_not_built_from_the_planted_package() {
    let all: BTreeMap<String, BTreeSet<String>> = packages()
        .iter()
        .map(|folder| (folder.file_name().expect("a folder").to_string_lossy().into_owned(), ours(folder)))
        .collect();
    let mut open = vec![String::from("tripoint")];
    let mut production = BTreeSet::new();
    while let Some(package) = open.pop() {
        assert_ne!(package, "planted", "production depends on it: {production:?}");
        if let Some(named) = all.get(&package)
            && production.insert(package)
        {
            open.extend(named.iter().cloned());
        }
    }
    assert!(production.contains("coordination") && production.contains("gate"), "{production:?}");
}

#[test]
fn the_rules_have_no_feature_that_plants() {
    for core in ["model", "coordination"] {
        let path = root().join("crates").join(core).join("Cargo.toml");
        let manifest: toml::Table = read(&path).parse().expect("a manifest is TOML");
        assert!(manifest.get("features").is_none(), "{core} has features: one set of rules, no switches");
    }
    let switch = read(&root().join("crates/coordination/src/planted.rs"));
    let off = "#[cfg(not(feature = \"planted\"))]\nmacro_rules! planted {\n    ($bug:ident) => {\n        false\n    };\n}";
    assert!(switch.contains(off), "without the feature `planted!` is the constant false");
}
