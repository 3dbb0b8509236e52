//! The scripts of `tests/scenarios`: every one comes true, every incident is accounted for, and
//! every kind of expectation can fail.

mod can_fail;
mod incidents;

use simulation::scenario::{Script, find, load, play};
use std::path::{Path, PathBuf};

/// Seeds that each script is run with.
const SEEDS: u64 = 20;

/// The tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All scripts of the tree, found by looking.
pub fn scripts() -> Vec<Script> {
    let files = find(&root().join("tests/scenarios"));
    files.iter().map(|file| load(file).unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// The name of a script's file, without its end.
pub fn name(script: &Script) -> String {
    let name = Path::new(&script.file).file_stem().expect("a file has a name");
    name.to_str().expect("it is plain").to_owned()
}

#[test]
fn every_script_comes_true() {
    let mut wrong = Vec::new();
    for script in scripts() {
        for seed in 0..SEEDS {
            let found = play(&script, seed, None, false).wrong();
            wrong.extend(found.into_iter().map(|line| format!("seed {seed}: {line}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_script_is_identical_when_repeated_and_when_told() {
    let script = &scripts()[0];
    let first = play(script, 3, None, false).trace_hash;
    assert_eq!(play(script, 3, None, true).trace_hash, first);
    assert_ne!(play(script, 4, None, false).trace_hash, first);
}
