//! The command line from outside: exit codes, and what goes to stdout when it is no terminal.

use std::path::Path;
use std::process::{Command, Output};

fn tripoint(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripoint"));
    for variable in ["WITNESSES", "CA", "CERT", "KEY", "HOME"] {
        command.env_remove(format!("TRIPOINT_{variable}"));
    }
    command.args(arguments).output().expect("it runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pki(dir: &Path) -> Vec<String> {
    let made =
        tripoint(&["certs", "site-set", "--group", "prod", "--dir", &dir.display().to_string(), "dc1"]);
    assert_eq!(code(&made), 0, "{}", text(&made.stderr));
    let operator = dir.join("operator");
    let file = |name: &str| operator.join(name).display().to_string();
    ["--ca", &file("ca.pem"), "--cert", &file("operator.pem"), "--key", &file("operator.key")]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn help_names_commands_exit_codes_and_examples() {
    let help = tripoint(&["--help"]);
    assert_eq!(code(&help), 0);
    let help = text(&help.stdout);
    for word in
        ["witness", "actor", "gate", "adopt", "explain", "Examples:", "Exit codes", "TRIPOINT_WITNESSES"]
    {
        assert!(help.contains(word), "{word}");
    }
    assert!(!help.contains('\u{1b}'), "no escapes where there is no terminal");
}

#[test]
fn wrong_usage_and_configuration_exit_with_2() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("w.toml");
    std::fs::write(&file, "role = \"witness\"\nprofle = \"metro\"\n").expect("written");
    let file = file.display().to_string();
    for arguments in [
        &["status", "--nonsense"][..],
        &["status", "--config", "/nonexistent/operator.toml"],
        &["witness", "--config", &file],
        &["config", "check", &file],
        &["timing", "--config", "/nonexistent/w.toml"],
    ] {
        let output = tripoint(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains('\u{1b}'), "{arguments:?}");
    }
    let said = text(&tripoint(&["config", "check", &file]).stderr);
    assert!(said.contains("w.toml:2:1") && said.contains("did you mean `profile`?"), "{said}");
}

#[test]
fn an_unreachable_group_is_3_and_a_refusal_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let identity = pki(&dir.path().join("pki"));
    let with = |command: &[&str]| {
        let mut all: Vec<&str> = command.to_vec();
        all.extend(identity.iter().map(String::as_str));
        // Port 1 of an address of this host's own: refused at once.
        all.extend(["--witnesses", "127.0.0.1:1"]);
        tripoint(&all)
    };
    let status = with(&["status"]);
    assert_eq!(code(&status), 3, "{}", text(&status.stderr));
    assert!(text(&status.stderr).contains("127.0.0.1:1"));
    assert_eq!(code(&with(&["adopt", "--stack", "main", "--active", "dc1"])), 3);
    let approve = with(&["mode", "--stack", "main", "approve"]);
    assert_eq!(code(&approve), 1);
    assert!(text(&approve.stderr).contains("not built yet"), "{}", text(&approve.stderr));
}

#[test]
fn timing_exits_with_1_if_a_rule_is_broken() {
    assert_eq!(code(&tripoint(&["timing"])), 0);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("w.toml");
    std::fs::write(&file, "profile = \"metro\"\n[lease]\nrenew_every = \"1s\"\n").expect("written");
    let broken = tripoint(&["timing", "--config", &file.display().to_string()]);
    assert_eq!(code(&broken), 1, "{}", text(&broken.stderr));
    assert!(text(&broken.stdout).contains("BROKEN"));
}

#[test]
fn certificates_are_not_replaced_unasked() {
    let dir = tempfile::tempdir().expect("a directory");
    pki(&dir.path().join("pki"));
    let place = dir.path().join("pki").display().to_string();
    let again = tripoint(&["certs", "ca", "--group", "prod", "--dir", &format!("{place}/ca")]);
    assert_eq!(code(&again), 1);
    assert!(text(&again.stderr).contains("exists already"), "{}", text(&again.stderr));
    let to = dir.path().join("alice").display().to_string();
    let ca = format!("{place}/ca");
    let issued = tripoint(&["certs", "issue", "operator", "alice", "--ca", &ca, "--dir", &to, "--days", "9"]);
    assert_eq!(code(&issued), 0, "{}", text(&issued.stderr));
    assert!(dir.path().join("alice/operator.pem").exists());
}

#[test]
fn completions_come_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = tripoint(&["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(text(&output.stdout).contains("tripoint"), "{shell}");
    }
}

#[test]
fn a_demo_takes_no_directory_that_is_in_use() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("mine"), "").expect("written");
    let place = dir.path().display().to_string();
    let stop = tripoint(&["demo", "--stop", &place]);
    assert_eq!(code(&stop), 1);
    assert!(text(&stop.stderr).contains("is no demo's directory"), "{}", text(&stop.stderr));
    assert!(dir.path().join("mine").exists());
}
