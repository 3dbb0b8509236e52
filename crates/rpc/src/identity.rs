//! Who somebody is: the one URI in a certificate,
//! `spiffe://tripoint/<group>/<role>/<name>`.

use model::SiteId;
use std::{fmt, str::FromStr};
use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

/// The scheme and trust domain of all our identities.
const PREFIX: &str = "spiffe://tripoint/";

/// Longest name of a group or a person, in bytes.
pub const NAME_LENGTH_MAX: usize = 64;

/// What a certificate's owner is; decides what it may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A site's Raft member.
    Witness,
    /// A site's hand.
    Actor,
    /// The supervisor of a database.
    Gate,
    /// A person or tool that may change the group.
    Operator,
    /// A person or tool that may look.
    Viewer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Witness, Self::Actor, Self::Gate, Self::Operator, Self::Viewer];

    /// The word in the identity's URI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Witness => "witness",
            Self::Actor => "actor",
            Self::Gate => "gate",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    /// True for the roles of a site's processes: their name is the site's.
    #[must_use]
    pub const fn is_member(self) -> bool {
        matches!(self, Self::Witness | Self::Actor | Self::Gate)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| IdentityError::UnknownRole(text.to_owned()))
    }
}

/// Why something names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate is no X.509 certificate.
    #[error("the certificate cannot be read: {0}")]
    NotACertificate(String),
    /// There is no URI, or there are several.
    #[error(
        "the certificate has {0} URIs as alternative names; exactly one, of the form \
         {PREFIX}GROUP/ROLE/NAME, is expected: issue it with `tripoint certs`"
    )]
    NotOneUri(usize),
    /// The URI is not one of ours.
    #[error("{0:?} is not of the form {PREFIX}GROUP/ROLE/NAME")]
    Form(String),
    /// The role's word is unknown.
    #[error("{0:?} is no role; there are witness, actor, gate, operator and viewer")]
    UnknownRole(String),
    /// A name has characters that it may not have, or is too long.
    #[error("{text:?} is no name of a {what}: {why}")]
    Name {
        /// Of what.
        what: &'static str,
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

/// An authenticated peer, or who this process is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerIdentity {
    /// The group that it belongs to.
    pub group: String,
    /// What it is.
    pub role: Role,
    /// The site's name for a member, the person's otherwise.
    pub name: String,
}

impl PeerIdentity {
    /// Checks the names.
    ///
    /// # Errors
    /// [`IdentityError::Name`]: a member's name is a site's; groups and persons have letters,
    /// digits, `.`, `_` and `-`.
    pub fn new(group: &str, role: Role, name: &str) -> Result<Self, IdentityError> {
        plain("group", group)?;
        if role.is_member() {
            site(name)?;
        } else {
            plain("person", name)?;
        }
        Ok(Self { group: group.to_owned(), role, name: name.to_owned() })
    }

    /// The identity in a certificate.
    ///
    /// # Errors
    /// [`IdentityError`] says what the certificate lacks.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        uri_of(&parse(der)?)?.parse()
    }

    /// The site of a member.
    ///
    /// # Errors
    /// [`IdentityError::Name`] if this is an operator or viewer whose name is no site's.
    pub fn site(&self) -> Result<SiteId, IdentityError> {
        site(&self.name)
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/{}/{}", self.group, self.role, self.name)
    }
}

impl FromStr for PeerIdentity {
    type Err = IdentityError;
    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let form = || IdentityError::Form(uri.to_owned());
        let path = uri.strip_prefix(PREFIX).ok_or_else(form)?;
        let mut parts = path.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(group), Some(role), Some(name), None) => Self::new(group, role.parse()?, name),
            _ => Err(form()),
        }
    }
}

/// The URI of a group's CA: names the group, and nobody in it.
pub(crate) fn group_uri(group: &str) -> String {
    format!("{PREFIX}{group}")
}

/// The group that a CA's certificate names.
pub(crate) fn group_of_authority(der: &[u8]) -> Result<String, IdentityError> {
    let uri = uri_of(&parse(der)?)?;
    let group = uri.strip_prefix(PREFIX).ok_or_else(|| IdentityError::Form(uri.clone()))?;
    plain("group", group)?;
    Ok(group.to_owned())
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|error| IdentityError::NotACertificate(error.to_string()))?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err(IdentityError::NotACertificate("something follows it".to_owned()))
    }
}

fn uri_of(certificate: &X509Certificate<'_>) -> Result<String, IdentityError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| IdentityError::NotACertificate(error.to_string()))?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.count()) {
        (Some(uri), 0) => Ok(uri.to_owned()),
        (first, more) => Err(IdentityError::NotOneUri(more + usize::from(first.is_some()))),
    }
}

fn site(text: &str) -> Result<SiteId, IdentityError> {
    SiteId::new(text).map_err(|error| IdentityError::Name {
        what: "site",
        text: text.to_owned(),
        why: error.to_string(),
    })
}

/// Letters, digits, `.`, `_` and `-`: what SPIFFE allows in a path, `.` and `..` excepted.
fn plain(what: &'static str, text: &str) -> Result<(), IdentityError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let why = if text.is_empty() {
        "it is empty"
    } else if text.len() > NAME_LENGTH_MAX {
        "it is longer than 64 bytes"
    } else if !text.chars().all(allowed) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it has letters, digits, `.`, `_` and `-`, and begins with a letter or digit"
    } else {
        return Ok(());
    };
    Err(IdentityError::Name { what, text: text.to_owned(), why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_read_and_print() {
        let text = "spiffe://tripoint/ess/witness/dc1";
        let identity: PeerIdentity = text.parse().expect("it is of our form");
        assert_eq!(identity, PeerIdentity::new("ess", Role::Witness, "dc1").expect("names are good"));
        assert_eq!(identity.to_string(), text);
        assert_eq!(identity.site().map(|s| s.to_string()), Ok("dc1".to_owned()));
        assert!(PeerIdentity::new("ess", Role::Operator, "Alice.B").is_ok());
    }

    #[test]
    fn others_are_refused() {
        for bad in [
            "",
            "spiffe://other/ess/witness/dc1",
            "https://tripoint/ess/witness/dc1",
            "spiffe://tripoint/ess/witness",
            "spiffe://tripoint/ess/witness/dc1/x",
            "spiffe://tripoint/ess/king/dc1",
            "spiffe://tripoint/ess/witness/DC1",
            "spiffe://tripoint//witness/dc1",
            "spiffe://tripoint/../witness/dc1",
            "spiffe://tripoint/ess/operator/",
            "spiffe://tripoint/ess/operator/a%2fb",
        ] {
            assert!(bad.parse::<PeerIdentity>().is_err(), "{bad}");
        }
    }
}
