//! What the certificate files hold, checked: the own chain and key, and whom to trust.

use super::{Expected, PROTOCOL, TlsError, TlsFiles, verify};
use crate::identity::{self, PeerIdentity};
use rustls::{
    ClientConfig, Error, InconsistentKeys, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::CryptoProvider,
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use std::{fs, os::unix::fs::MetadataExt, path::Path, sync::Arc};

/// One reading of the files, ready for use.
pub(super) struct Material {
    pub(super) own: PeerIdentity,
    /// Validity, in seconds since 1970.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) server: Arc<ServerConfig>,
    roots: Arc<RootCertStore>,
    pair: Arc<SingleCertAndKey>,
}

impl Material {
    pub(super) fn load(files: &TlsFiles, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let roots = Arc::new(read_roots(&files.ca)?);
        let chain = read_certificates(&files.cert)?;
        let own = PeerIdentity::of_certificate(&chain[0])
            .map_err(|source| TlsError::Identity { file: files.cert.clone(), source })?;
        let (not_before, not_after) = validity(&files.cert, &chain[0])?;
        check_signed(files, &chain, &roots, provider, not_after)?;
        let pair = Arc::new(SingleCertAndKey::from(read_pair(files, chain, provider)?));
        let server = server_config(&own.group, &roots, &pair, provider)
            .map_err(|error| unusable(&files.cert, &error))?;
        Ok(Self { own, not_before, not_after, server: Arc::new(server), roots, pair })
    }

    /// True if the own certificate is not valid now.
    pub(super) fn expired(&self) -> bool {
        !(self.not_before..=self.not_after).contains(&UnixTime::now().as_secs())
    }

    pub(super) fn client_config(
        &self,
        expected: &Expected,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ClientConfig, Error> {
        let verifier = verify::ServerVerifier::new(&self.own.group, expected, &self.roots, provider);
        let pair = Arc::clone(&self.pair);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous() // rustls' word for a verifier of one's own; ours checks chain and identity
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(pair);
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }
}

fn server_config(
    group: &str,
    roots: &Arc<RootCertStore>,
    pair: &Arc<SingleCertAndKey>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, Error> {
    let verifier = verify::ClientVerifier::new(group, roots, provider)?;
    let pair = Arc::clone(pair);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(pair);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}

/// Validity of a certificate, in seconds since 1970.
fn validity(file: &Path, der: &[u8]) -> Result<(u64, u64), TlsError> {
    let certificate =
        identity::parse(der).map_err(|source| TlsError::Identity { file: file.to_owned(), source })?;
    let validity = certificate.validity();
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    Ok((seconds(validity.not_before), seconds(validity.not_after)))
}

/// The chain must end in the CA. Judged as of its last second, so that an expired one still loads.
fn check_signed(
    files: &TlsFiles,
    chain: &[CertificateDer<'static>],
    roots: &RootCertStore,
    provider: &CryptoProvider,
    not_after: u64,
) -> Result<(), TlsError> {
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(not_after));
    verify::chain(&chain[0], &chain[1..], roots, at, provider).map_err(|error| TlsError::NotSigned {
        cert: files.cert.clone(),
        ca: files.ca.clone(),
        why: error.to_string(),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Unreadable { file: file.to_owned(), source })
}

/// At least one certificate.
fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |why: String| TlsError::NotPem { file: file.to_owned(), wanted: "certificate", why };
    let bytes = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| not_pem(error.to_string()))?;
    if found.is_empty() {
        return Err(not_pem("there is none in it".to_owned()));
    }
    Ok(found)
}

fn read_roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).map_err(|error| unusable(file, &error))?;
    }
    Ok(roots)
}

fn read_pair(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| TlsError::NotPem {
        file: files.key.clone(),
        wanted: "private key",
        why: error.to_string(),
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::KeyMismatch { key: files.key.clone(), cert: files.cert.clone() }
        }
        other => TlsError::Key { file: files.key.clone(), why: other.to_string() },
    })
}

fn unusable(file: &Path, error: &Error) -> TlsError {
    TlsError::Certificate { file: file.to_owned(), why: error.to_string() }
}

/// What tells one content of the three files from another, without reading them. A file that
/// is away counts as a content of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<FileStamp>; 3]);

/// Device, inode, seconds and nanoseconds of the last change, length.
type FileStamp = (u64, u64, i64, i64, u64);

impl Stamp {
    pub(super) fn of(files: &TlsFiles) -> Self {
        Self([&files.ca, &files.cert, &files.key].map(|file| {
            let m = fs::metadata(file).ok()?;
            Some((m.dev(), m.ino(), m.mtime(), m.mtime_nsec(), m.size()))
        }))
    }
}
