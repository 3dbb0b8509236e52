//! What must not be in the sources, with what to use instead; and how long a file may be.

use crate::tree::{read, root, sources};

/// Text, where it is allowed, and the remedy.
const BANNED: &[(&str, &[&str], &str)] = &[
    (
        "SystemTime::now",
        &["crates/rpc/src/clock.rs", "crates/rpc/src/certs", "chaos/"],
        "rpc::clock: no wall clock decides anything",
    ),
    (
        "Instant::now",
        &[
            "crates/consensus/",
            "crates/gate/src/link.rs",
            "crates/ctl/src/change.rs",
            "crates/simulation/src/exhaustive/",
            "crates/simulation/src/tool/",
            "crates/driver-postgres/src/writer.rs",
            "crates/tripoint/src/demo",
            "chaos/",
        ],
        "rpc::clock::now",
    ),
    ("HashMap", &["chaos/"], "BTreeMap: the same order on every run"),
    (
        "Simulated",
        &[
            "crates/rpc/src/clock.rs",
            "crates/consensus/src/surroundings.rs",
            "crates/consensus/src/start.rs",
            "crates/simulation/",
        ],
        "this host's clocks, network and disk: simulated ones are for tests/level2",
    ),
    ("Network::simulated", &["crates/rpc/src/network.rs"], "Network::default: this host's TCP"),
    ("start_paused", &[], "time that nobody pauses: tokio's test-util is for tests"),
    ("time::pause", &[], "time that nobody pauses: tokio's test-util is for tests"),
    ("time::advance", &[], "time that nobody moves: tokio's test-util is for tests"),
    ("todo!(", &[], "build it or report it"),
    ("#[ignore", &[], "a test runs or is not there"),
    (
        "process::exit(",
        &[
            "crates/tripoint/",
            "crates/ctl/src/out.rs",
            "crates/actor/src/self_fence",
            "crates/gate/",
            "crates/consensus/",
            "chaos/",
        ],
        "return an error",
    ),
];

/// Longest file, in lines. Past about 600 look for the second thing in it.
const LINES_MAX: usize = 800;

fn all() -> Vec<std::path::PathBuf> {
    let mut files = sources("crates");
    files.extend(sources("chaos"));
    files
}

#[test]
fn banned_text_is_not_there() {
    let mut wrong = Vec::new();
    for path in all() {
        let short = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        let is_test = short.contains("test");
        let text = read(&path);
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for (text, allowed, instead) in BANNED {
                let ok = allowed.iter().any(|a| short.starts_with(a)) || (is_test && *text != "#[ignore");
                if code.contains(text) && !ok {
                    wrong.push(format!("{short}:{}: {text} (use {instead})", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_about_one_thing() {
    let long: Vec<String> = all()
        .iter()
        .map(|path| (path, read(path).lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_file_says_what_it_is_about() {
    let silent: Vec<String> = all()
        .iter()
        .filter(|path| !read(path).trim_start().starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no `//!` header in:\n{}", silent.join("\n"));
}
