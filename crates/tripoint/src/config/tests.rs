//! Golden files: for each `testdata/config/NAME.toml` what `config check` says, in `NAME.txt`.
//! `UPDATE_GOLDEN=1 cargo test -p tripoint` writes them anew, to be read before they are kept.

use super::{Role, check, load, render};
use std::path::{Path, PathBuf};

/// As long as the name of a temporary directory, so that the marks stay where they are.
const PLACE: &str = "/tmp/cfg------";

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config")
}

/// Certificates and a data directory, at a path of known length.
fn place() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("cfg").rand_bytes(6).tempdir_in("/tmp").expect("a directory");
    assert_eq!(dir.path().as_os_str().len(), PLACE.len());
    let sites = ["dc1".to_owned(), "dc2".to_owned()];
    ctl::certs::site_set(&dir.path().join("pki"), "prod", &sites).expect("certificates");
    std::fs::create_dir(dir.path().join("state")).expect("a data directory");
    dir
}

/// A host that can't contain processes, for the file of that name; any other host is fine.
fn no_containment(_: &::gate::Config) -> Vec<::gate::Error> {
    vec![::gate::Error::Containment("no cgroup version 2 is mounted, no user namespaces".to_owned())]
}

fn said(file: &Path, place: &Path) -> String {
    let source = std::fs::read_to_string(file).expect("a test file");
    let source = source.replace("@DIR@", &place.display().to_string());
    let name = file.file_name().expect("a file").to_string_lossy().into_owned();
    let host =
        if name == "gate-no-containment.toml" { no_containment } else { |_: &::gate::Config| Vec::new() };
    let text = match check(&source, None, host) {
        Ok(config) => format!("ok, for {}\n", config.owner()),
        Err(problems) => render(Path::new(&name), &source, &problems, false),
    };
    text.replace(&place.display().to_string(), PLACE)
}

#[test]
fn every_file_is_judged_as_the_golden_file_says() {
    let place = place();
    let mut differing = Vec::new();
    let mut count = 0;
    let entries = std::fs::read_dir(testdata()).expect("test files");
    for file in entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "toml")) {
        let text = said(&file, place.path());
        let golden = file.with_extension("txt");
        count += 1;
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).expect("a golden file");
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != text {
            differing.push(format!("{}:\n{text}", file.display()));
        }
    }
    assert!(count > 20, "{count} test files");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_fault_names_file_line_and_remedy() {
    for entry in std::fs::read_dir(testdata()).expect("test files").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a golden file");
        let faults = text.matches("error: ").count();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert_eq!(faults == 0, name.ends_with("-good"), "{name}");
        assert_eq!(text.matches(&format!("--> {name}.toml:")).count(), faults, "{name}");
        assert_eq!(text.matches("= help: ").count(), faults, "{name}");
    }
}

#[test]
fn a_file_of_another_role_is_refused() {
    let source = "role = \"gate\"\n";
    let problems = check(source, Some(Role::Witness), |_| Vec::new()).expect_err("another role");
    assert!(problems.iter().any(|p| p.title.contains("role gate, not witness")), "{problems:?}");
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/nonexistent/w.toml"), None, |_| Vec::new(), false).expect_err("no file");
    assert!(error.to_string().contains("/nonexistent/w.toml can't be read"), "{error}");
}

#[test]
fn the_examples_in_deploy_are_good() {
    let place = place();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    for (name, owner) in [("witness", "dc1"), ("actor", "dc1"), ("gate", "dc1"), ("operator", "operator")] {
        let source = std::fs::read_to_string(deploy.join(format!("{name}.toml"))).expect("an example");
        let pki = place.path().join("pki").join(owner).display().to_string();
        let state = place.path().join("state").display().to_string();
        let here = source
            .replace("\"/etc/tripoint/", &format!("\"{pki}/"))
            .replace("/var/lib/tripoint/", &format!("{state}/"));
        let judged = check(&here, None, |_| Vec::new());
        assert!(judged.is_ok(), "{}", render(Path::new(name), &here, &judged.expect_err("faults"), false));
    }
}
