//! What the demo must not get wrong: what it kills, what it removes, and what it counts.

use super::cleanup::Cleanup;
use super::processes;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn all_processes_of_a_directory_are_ended_and_no_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let (one, two) = (dir.path().join("dc1"), dir.path().join("dc2"));
    let sleeper = |site: &std::path::Path| {
        Command::new("sleep")
            .arg("600")
            .env("TRIPOINT_DEMO_SITE", site)
            .stdin(Stdio::null())
            .spawn()
            .expect("sleep is there")
    };
    let (mut first, mut second) = (sleeper(&one), sleeper(&two));
    assert_eq!(processes::end(&one).expect("it ends"), 1);
    assert!(!first.wait().expect("a child").success());
    assert!(second.try_wait().expect("a child").is_none(), "the other site lives");
    assert_eq!(processes::end(dir.path()).expect("it ends"), 1);
    assert!(!second.wait().expect("a child").success());
}

#[test]
fn a_directory_in_use_is_not_claimed_and_a_claimed_one_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let used = dir.path().join("used");
    std::fs::create_dir(&used).expect("made");
    std::fs::write(used.join("mine"), "").expect("written");
    assert!(Cleanup::claim(used.clone(), None).is_err());
    assert!(used.join("mine").exists());
    let fresh = dir.path().join("fresh");
    drop(Cleanup::claim(fresh.clone(), None).expect("claimed"));
    assert!(!fresh.exists());
    let mut kept = Cleanup::claim(fresh.clone(), None).expect("claimed");
    kept.keep();
    drop(kept);
    assert!(fresh.exists());
    super::cleanup::stop(&fresh).expect("it is a demo's");
    assert!(!fresh.exists());
}

#[test]
fn the_longest_gap_counts_one_that_goes_on() {
    let layout = super::layout::Layout::new("/nonexistent".into(), "metro", Some("none")).expect("a layout");
    let writer = super::measure::Writer::new(&layout, "w", &["dc1"]);
    let began = std::time::Instant::now();
    std::thread::sleep(Duration::from_millis(30));
    assert!(writer.gap_longest(began).0 >= Duration::from_millis(30));
}
