//! `tripoint certs`: a group's own CA, and the certificates of its sites and people.
//!
//! Everything is PEM; keys are ECDSA P-256. The CA names its group, so a certificate cannot be
//! issued for another one by mistake.

mod file;

use crate::identity::{self, IdentityError, PeerIdentity, Role};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// File name of the CA's certificate in its directory.
pub const CA_CERT: &str = "ca.pem";
/// File name of the CA's private key in its directory. It belongs on no site.
pub const CA_KEY: &str = "ca.key";
/// Validity of a CA, in days, unless asked otherwise.
pub const CA_DAYS: u32 = 3_650;
/// Validity of a certificate, in days, unless asked otherwise.
pub const LEAF_DAYS: u32 = 365;
/// Longest validity that can be asked for, in days.
pub const DAYS_MAX: u32 = 36_500;
/// Certificates are valid from this long ago: wall clocks of sites differ.
const BACKDATED: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// There is a file already.
    #[error("{}: exists already; choose another path, or ask for it to be replaced", file.display())]
    Exists {
        /// Which.
        file: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}; check the path, its owner and mode", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA's files are not a pair made by `tripoint certs`.
    #[error("{}: no CA of a group ({why}); make one with `tripoint certs`", file.display())]
    NotAnAuthority {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A name of the group, site or person is not allowed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An additional name is neither an IP address nor a DNS name.
    #[error("{name:?} is neither an IP address nor a DNS name")]
    AlternativeName {
        /// The text.
        name: String,
    },
    /// The validity is out of range.
    #[error("{days} days of validity; 1 to {DAYS_MAX} are possible")]
    Days {
        /// What was asked for.
        days: u32,
    },
    /// The library refused.
    #[error("the certificate could not be made: {0}")]
    Library(#[from] rcgen::Error),
}

/// A group's CA, with its key.
#[derive(Debug)]
pub struct Authority {
    group: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Pair {
    /// Whom it names.
    pub identity: PeerIdentity,
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// Makes a CA for `group`: [`CA_CERT`] and [`CA_KEY`] (mode 0600) in `dir`, which is made
    /// if it is not there.
    ///
    /// # Errors
    /// [`CertsError::Exists`] unless `replace`; replacing a CA invalidates all that it issued.
    pub fn create(dir: &Path, group: &str, days: u32, replace: bool) -> Result<Self, CertsError> {
        PeerIdentity::new(group, Role::Operator, "check")?;
        let (cert_file, key_file) = (dir.join(CA_CERT), dir.join(CA_KEY));
        file::refuse_existing(&[&cert_file, &key_file], replace)?;
        let key = KeyPair::generate()?;
        // The name tells this CA from an earlier one of the same group: "unknown issuer" is a
        // better complaint than "bad signature".
        let mark: String = key.public_key_raw().iter().rev().take(4).map(|b| format!("{b:02x}")).collect();
        let mut params = params(&format!("Tripoint group {group}, CA {mark}"), days)?;
        params.subject_alt_names.push(SanType::URI(identity::group_uri(group).try_into()?));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key)?;
        fs::create_dir_all(dir).map_err(|source| CertsError::File { file: dir.to_owned(), source })?;
        file::write(&key_file, key.serialize_pem().as_bytes(), file::PRIVATE, replace)?;
        file::write(&cert_file, cert.pem().as_bytes(), file::PUBLIC, replace)?;
        Ok(Self { group: group.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// The CA in `dir`.
    ///
    /// # Errors
    /// [`CertsError::File`] or [`CertsError::NotAnAuthority`], with the file's name.
    pub fn open(dir: &Path) -> Result<Self, CertsError> {
        let (cert_file, key_file) = (dir.join(CA_CERT), dir.join(CA_KEY));
        let (cert_pem, key_pem) = (file::read(&cert_file)?, file::read(&key_file)?);
        let wrong = |file: &Path, why: String| CertsError::NotAnAuthority { file: file.to_owned(), why };
        let der = CertificateDer::from_pem_slice(cert_pem.as_bytes())
            .map_err(|error| wrong(&cert_file, error.to_string()))?;
        let group = identity::group_of_authority(&der).map_err(|e| wrong(&cert_file, e.to_string()))?;
        let key = KeyPair::from_pem(&key_pem).map_err(|e| wrong(&key_file, e.to_string()))?;
        let parsed = identity::parse(&der).map_err(|e| wrong(&cert_file, e.to_string()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(wrong(&key_file, format!("it is not the key of {CA_CERT}")));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|e| wrong(&cert_file, e.to_string()))?;
        Ok(Self { group, issuer })
    }

    /// The group that it issues for.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Issues a certificate for one member or person, good as server and as client. `names` are
    /// additional IP addresses or DNS names, for tools that look at those: Tripoint does not.
    ///
    /// # Errors
    /// [`CertsError`]: a bad name, or a validity out of range.
    pub fn issue(&self, role: Role, name: &str, names: &[String], days: u32) -> Result<Pair, CertsError> {
        let identity = PeerIdentity::new(&self.group, role, name)?;
        let mut params = params(&format!("{role} {name}"), days)?;
        for name in names {
            params.subject_alt_names.push(alternative(name)?);
        }
        self.sign(identity, params)
    }

    /// The certificate with all that [`Self::issue`] leaves no choice about.
    fn sign(&self, identity: PeerIdentity, mut params: CertificateParams) -> Result<Pair, CertsError> {
        params.subject_alt_names.push(SanType::URI(identity.to_string().try_into()?));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { identity, cert: cert.pem(), key: key.serialize_pem() })
    }

    /// One that ended a day ago.
    #[cfg(test)]
    pub(crate) fn issue_expired(&self, role: Role, name: &str) -> Result<Pair, CertsError> {
        let identity = PeerIdentity::new(&self.group, role, name)?;
        let mut params = params("expired", 1)?;
        params.not_before = (SystemTime::now() - 3 * DAY).into();
        params.not_after = (SystemTime::now() - DAY).into();
        self.sign(identity, params)
    }
}

impl Pair {
    /// Writes both files, the key with mode 0600; each appears at once and in full.
    ///
    /// # Errors
    /// [`CertsError::Exists`] unless `replace`, or [`CertsError::File`].
    pub fn write(&self, cert: &Path, key: &Path, replace: bool) -> Result<(), CertsError> {
        file::refuse_existing(&[cert, key], replace)?;
        file::write(key, self.key.as_bytes(), file::PRIVATE, replace)?;
        file::write(cert, self.cert.as_bytes(), file::PUBLIC, replace)
    }
}

impl std::fmt::Debug for Pair {
    /// Names the owner; never the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// What all our certificates have in common.
fn params(common_name: &str, days: u32) -> Result<CertificateParams, CertsError> {
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(CertsError::Days { days });
    }
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + DAY * days).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Tripoint");
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn alternative(name: &str) -> Result<SanType, CertsError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = || CertsError::AlternativeName { name: name.to_owned() };
    rustls_pki_types::DnsName::try_from(name).map_err(|_| wrong())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests;
