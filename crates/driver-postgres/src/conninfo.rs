//! Which site a connection string names: by its host and port.

use model::SiteId;
use std::collections::BTreeMap;

const PORT_DEFAULT: &str = "5432";

/// Host and port, as far as they tell one server from another.
type Endpoint = (String, String);

/// The primaries that a stack can have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Primaries(BTreeMap<Endpoint, SiteId>);

impl Primaries {
    pub(crate) fn new(table: &BTreeMap<SiteId, String>) -> Self {
        Self(table.iter().filter_map(|(site, text)| Some((endpoint(text)?, site.clone()))).collect())
    }

    /// The site that this connection string leads to, if it is one of ours.
    pub(crate) fn site(&self, conninfo: &str) -> Option<SiteId> {
        self.0.get(&endpoint(conninfo)?).cloned()
    }
}

fn endpoint(conninfo: &str) -> Option<Endpoint> {
    let uri = ["postgres://", "postgresql://"].iter().find_map(|scheme| conninfo.strip_prefix(scheme));
    match uri {
        Some(rest) => endpoint_of_uri(rest),
        None => endpoint_of_pairs(conninfo),
    }
}

/// `user:password@host:port/dbname?...`
fn endpoint_of_uri(rest: &str) -> Option<Endpoint> {
    let authority = rest.split(['/', '?']).next()?;
    let address = authority.rsplit('@').next()?;
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (address, PORT_DEFAULT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port.to_owned()))
}

/// `host=a port=1 password='it''s'`, as libpq reads it; the last of equal keys counts.
fn endpoint_of_pairs(text: &str) -> Option<Endpoint> {
    let mut pairs = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, left) = value(after.trim_start())?;
        pairs.insert(key.trim().to_owned(), value);
        rest = left.trim_start();
    }
    let host = pairs.remove("host").filter(|h| !h.is_empty()).or_else(|| pairs.remove("hostaddr"))?;
    let port = pairs.remove("port").filter(|p| !p.is_empty()).unwrap_or_else(|| PORT_DEFAULT.to_owned());
    Some((host, port))
}

/// One value and what is left; a backslash takes the next character as it is.
fn value(text: &str) -> Option<(String, &str)> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?.1),
            '\'' if quoted => return Some((out, &body[at + 1..])),
            c if !quoted && c.is_whitespace() => return Some((out, &body[at..])),
            c => out.push(c),
        }
    }
    (!quoted).then_some((out, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_found_in_every_form() {
        let pair = |host: &str, port: &str| Some((host.to_owned(), port.to_owned()));
        for (text, expected) in [
            ("host=dc1.example port=6001 user=rep", pair("dc1.example", "6001")),
            ("user=rep host = 'dc1' password='it\\'s a host=no'", pair("dc1", "5432")),
            ("user=rep hostaddr=10.0.0.1 port=''", pair("10.0.0.1", "5432")),
            ("host=a host=b", pair("b", "5432")),
            ("postgresql://rep:pw@10.0.0.1:7000/postgres?sslmode=require", pair("10.0.0.1", "7000")),
            ("postgres://[fd00::1]/x", pair("fd00::1", "5432")),
            ("", None),
            ("user=rep", None),
            ("host='open", None),
            ("nonsense", None),
            ("host=a\\", None),
        ] {
            assert_eq!(endpoint(text), expected, "{text}");
        }
    }

    #[test]
    fn only_our_own_primaries_are_recognised() {
        let site = SiteId::new("dc1").expect("a name of the test");
        let table = BTreeMap::from([(site.clone(), "host=10.0.0.1 port=6001 user=rep".to_owned())]);
        let primaries = Primaries::new(&table);
        assert_eq!(primaries.site("user=rep passfile=x host=10.0.0.1 port=6001"), Some(site));
        assert_eq!(primaries.site("host=10.0.0.1 port=6002"), None);
        assert_eq!(primaries.site(""), None);
    }
}
