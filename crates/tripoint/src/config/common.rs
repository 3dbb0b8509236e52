//! What all three files have: group, site, identity; and checks of paths on this host.

use super::reader::{Located, Section};
use model::SiteId;
use rpc::identity::{PeerIdentity, Role};
use rpc::tls::{Identity, TlsFiles};
use std::collections::{BTreeMap, btree_map::Entry};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The keys that every process's file has.
pub struct Common {
    /// The group's name.
    pub group: String,
    /// The process's site.
    pub site: Located<SiteId>,
    /// Its identity.
    pub tls: TlsPaths,
}

/// `[tls]`, each file readable.
pub struct TlsPaths {
    /// The group's CA certificate.
    pub ca: PathBuf,
    /// The process's certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Common {
    /// Reads `group`, `site` and `[tls]`; none if one of them is unusable.
    pub fn read(root: &Section<'_>, role: Role) -> Option<Self> {
        let group = root.text("group", "\"prod\"");
        let site = root.name::<SiteId>("site", "\"dc1\"");
        let tls = tls(root, &[role]);
        if let Some(group) = &group
            && let Err(error) = SiteId::new(&group.value)
        {
            let title = format!("`group` = {:?} can't be used", group.value);
            root.fault(group.span.clone(), title, error.to_string(), "write a name such as \"prod\"");
        }
        let (group, site, (tls, own)) = (group?, site?, tls?);
        for (key, said, proven, place) in [
            ("group", &group.value, &own.group, &group.span),
            ("site", &site.value.to_string(), &own.name, &site.span),
        ] {
            if said != proven {
                root.fault(
                    place.clone(),
                    format!("`{key}` = {said:?}, but the certificate says {proven:?}"),
                    format!("{own}"),
                    "correct this line, or give the right certificate in [tls]",
                );
            }
        }
        Some(Self { group: group.value, site, tls })
    }
}

/// Reads `[tls]` and loads what it names: as the process will, so that it fails here and now.
pub fn tls(root: &Section<'_>, wanted: &[Role]) -> Option<(TlsPaths, PeerIdentity)> {
    let section = root.table("tls", "ca, cert and key")?;
    let ca = section.path("ca", "\"/etc/tripoint/ca.pem\"");
    let cert = section.path("cert", "\"/etc/tripoint/witness.pem\"");
    let key = section.path("key", "\"/etc/tripoint/witness.key\"");
    let (ca, cert, key) = (ca?, cert?, key?);
    let files = TlsFiles { ca: ca.value.clone(), cert: cert.value.clone(), key: key.value.clone() };
    let own = match Identity::load(&files) {
        Ok(identity) => identity.own(),
        Err(error) => {
            let text = error.to_string();
            let place =
                [&key, &cert, &ca].into_iter().find(|p| text.starts_with(&*p.value.to_string_lossy()));
            let (title, remedy) =
                text.split_once("; ").unwrap_or((&text, "`tripoint certs issue --help` says how to make it"));
            section.fault(place.unwrap_or(&cert).span.clone(), title, "this file", remedy);
            section.finish();
            return None;
        }
    };
    if !wanted.contains(&own.role) {
        let words: Vec<&str> = wanted.iter().map(|role| role.as_str()).collect();
        section.fault(
            cert.span,
            format!("the certificate is for the role {}, not for {}", own.role, words.join(" or ")),
            format!("{own}"),
            "issue one with `tripoint certs issue ROLE NAME`",
        );
    }
    section.finish();
    Some((TlsPaths { ca: ca.value, cert: cert.value, key: key.value }, own))
}

/// A directory that is there and can be written to, or can be made.
pub fn data_directory(root: &Section<'_>, key: &'static str, example: &str) -> Option<PathBuf> {
    let path = root.path(key, example)?;
    if let Err(error) = reachable(&path.value) {
        root.fault(
            path.span,
            format!("the data directory {} can't be used", path.value.display()),
            error,
            "make it, owned by the process's user, or correct the path",
        );
        return None;
    }
    Some(path.value)
}

fn reachable(path: &Path) -> Result<(), String> {
    if !path.is_absolute() {
        return Err("not an absolute path".to_owned());
    }
    let existing = if path.exists() { path } else { path.parent().unwrap_or(path) };
    let about = std::fs::metadata(existing).map_err(|error| plain(&error))?;
    if !about.is_dir() {
        return Err("not a directory".to_owned());
    }
    nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK).map_err(|error| error.desc().to_lowercase())
}

/// An error of the operating system without its number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// Notes a fault if `value` was there before.
pub fn once(
    root: &Section<'_>,
    seen: &mut BTreeMap<String, Range<usize>>,
    value: String,
    span: Range<usize>,
    what: &str,
) {
    match seen.entry(value) {
        Entry::Occupied(there) => root.fault(
            span,
            format!("the {what} {} is there twice", there.key()),
            "again",
            format!("every {what} stands once"),
        ),
        Entry::Vacant(free) => {
            free.insert(span);
        }
    }
}
