//! The status of a group in the middle of a failover, against a golden file.

use super::*;
use crate::connect::parse;
use std::path::Path;

fn testdata(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn read(name: &str) -> GroupStatus {
    let json = std::fs::read_to_string(testdata(name)).expect("a test file");
    parse(&json).expect("a status")
}

#[test]
fn status_is_rendered_as_the_golden_file_says() {
    for name in ["calm", "failover"] {
        let text = status(&read(&format!("{name}.json")), false);
        let golden = testdata(&format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).expect("a golden file");
        }
        assert_eq!(std::fs::read_to_string(&golden).expect("a golden file"), text);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH_DEFAULT, "too wide: {line}");
        }
        assert!(!text.contains('\u{1b}'), "no escapes without colour");
    }
}

#[test]
fn colour_changes_no_text() {
    let group = read("failover.json");
    let coloured = status(&group, true);
    assert!(coloured.contains('\u{1b}'));
}

#[test]
fn names_become_words() {
    assert_eq!(words("NotStreaming"), "not streaming");
    assert_eq!(words("Lagging { bytes: 3 }"), "lagging");
}
