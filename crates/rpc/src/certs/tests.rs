//! CAs and certificates on disk.

use super::*;
use crate::tls::{Identity, TlsError, TlsFiles};
use std::os::unix::fs::PermissionsExt;

fn mode(file: &Path) -> u32 {
    fs::metadata(file).expect("it was written").permissions().mode() & 0o777
}

/// A CA and one certificate of it.
fn pair_in(dir: &Path, group: &str) -> (Authority, TlsFiles) {
    let authority = Authority::create(dir, group, CA_DAYS, false).expect("a new CA");
    let files = TlsFiles { ca: dir.join(CA_CERT), cert: dir.join("dc1.pem"), key: dir.join("dc1.key") };
    let pair = authority.issue(Role::Witness, "dc1", &[], LEAF_DAYS).expect("a certificate");
    pair.write(&files.cert, &files.key, false).expect("new files");
    (authority, files)
}

#[test]
fn a_ca_issues_what_loads() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, files) = pair_in(dir.path(), "ess");
    assert_eq!((mode(&files.key), mode(&dir.path().join(CA_KEY)), mode(&files.ca)), (0o600, 0o600, 0o644));
    let identity = Identity::load(&files).expect("it was issued just now");
    assert_eq!(identity.own().to_string(), "spiffe://tripoint/ess/witness/dc1");
    assert!(!identity.expired());

    let again = Authority::open(dir.path()).expect("it was made just now");
    assert_eq!(again.group(), "ess");
    let names = ["10.0.0.1".to_owned(), "db.example.org".to_owned()];
    let pair = again.issue(Role::Operator, "alice", &names, 1).expect("a certificate");
    pair.write(&files.cert, &files.key, true).expect("replaced");
    let alice = Identity::load(&files).expect("issued by the same CA, read from disk");
    assert_eq!(alice.own().role, Role::Operator);
    assert!(identity.reload().is_err_and(|e| matches!(e, TlsError::OtherIdentity { .. })));
    let left: Vec<_> = fs::read_dir(dir.path()).expect("it is there").collect();
    assert_eq!(left.len(), 4, "no temporary file is left: {left:?}");
}

#[test]
fn nothing_is_overwritten_unasked() {
    let dir = tempfile::tempdir().expect("a directory");
    let (authority, files) = pair_in(dir.path(), "ess");
    let again = Authority::create(dir.path(), "ess", CA_DAYS, false);
    assert!(again.is_err_and(|e| e.to_string().contains("ca.pem: exists already")));
    let before = fs::read(&files.key).expect("a key");
    let pair = authority.issue(Role::Witness, "dc1", &[], LEAF_DAYS).expect("a certificate");
    assert!(matches!(pair.write(&files.cert, &files.key, false), Err(CertsError::Exists { .. })));
    assert_eq!(fs::read(&files.key).expect("a key"), before);
}

#[test]
fn bad_orders_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (authority, _) = pair_in(dir.path(), "ess");
    assert!(authority.issue(Role::Actor, "DC1", &[], 1).is_err());
    assert!(authority.issue(Role::Actor, "dc1", &[], 0).is_err());
    assert!(authority.issue(Role::Actor, "dc1", &[], DAYS_MAX + 1).is_err());
    let bad = ["two words".to_owned()];
    assert!(matches!(authority.issue(Role::Actor, "dc1", &bad, 1), Err(CertsError::AlternativeName { .. })));
    assert!(Authority::create(dir.path(), "no/group", 1, true).is_err());
}

#[test]
fn every_bad_file_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, files) = pair_in(&dir.path().join("a"), "ess");
    let (_, other) = pair_in(&dir.path().join("b"), "ess");
    let fails = |files: TlsFiles| Identity::load(&files).expect_err("a file is bad");

    let away = TlsFiles { key: dir.path().join("away.key"), ..files.clone() };
    assert!(matches!(fails(away), TlsError::Unreadable { file, .. } if file.ends_with("away.key")));

    let text = dir.path().join("text.pem");
    fs::write(&text, "no certificate").expect("written");
    for bad in [
        TlsFiles { ca: text.clone(), ..files.clone() },
        TlsFiles { cert: text.clone(), ..files.clone() },
        TlsFiles { key: text.clone(), ..files.clone() },
    ] {
        assert!(matches!(fails(bad), TlsError::NotPem { file, .. } if file == text));
    }

    let mixed = TlsFiles { key: other.key.clone(), ..files.clone() };
    assert!(matches!(fails(mixed), TlsError::KeyMismatch { key, .. } if key == other.key));

    let foreign = TlsFiles { ca: other.ca.clone(), ..files.clone() };
    assert!(matches!(fails(foreign), TlsError::NotSigned { ca, .. } if ca == other.ca));

    let nobody = TlsFiles { cert: files.ca.clone(), key: dir.path().join("a").join(CA_KEY), ..files };
    assert!(matches!(fails(nobody), TlsError::Identity { .. }), "a CA's own certificate names nobody");

    fs::copy(&other.key, dir.path().join("a").join(CA_KEY)).expect("copied");
    assert!(matches!(
        Authority::open(&dir.path().join("a")),
        Err(CertsError::NotAnAuthority { file, .. }) if file.ends_with(CA_KEY)
    ));
}
