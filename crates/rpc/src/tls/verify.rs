//! Who is believed: the chain to the group's CA, and then the identity in the certificate.

use super::Expected;
use crate::identity::{IdentityError, PeerIdentity};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::sync::Arc;

/// Why a certificate of the right CA is refused all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("the peer has no identity: {0}")]
    Nobody(#[from] IdentityError),
    #[error("the peer is {peer}, of another group than {group}")]
    OtherGroup { peer: PeerIdentity, group: String },
    #[error("the peer is {peer}; role {role} was expected at this address")]
    OtherRole { peer: PeerIdentity, role: super::Role },
    #[error("the peer is {peer}; {name} was expected at this address")]
    OtherName { peer: PeerIdentity, name: String },
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Other(OtherError(Arc::new(refused)))
    }
}

/// At which time a peer's validity is judged. The one place for the rule that a member's
/// expired certificate is still accepted (design, section 10), which a later issue builds:
/// until then the wall clock counts for everybody.
fn judged_at(_certificate: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
    now
}

/// Ok for a chain that ends, as of `at`, in one of the roots.
pub(super) fn chain(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    at: UnixTime,
    provider: &CryptoProvider,
) -> Result<(), Error> {
    let parsed = ParsedCertificate::try_from(end_entity)?;
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, at, algorithms)
}

fn member_of(group: &str, certificate: &CertificateDer<'_>) -> Result<PeerIdentity, Refused> {
    let peer = PeerIdentity::of_certificate(certificate)?;
    if peer.group == group { Ok(peer) } else { Err(Refused::OtherGroup { peer, group: group.to_owned() }) }
}

/// A client's judgement of the server that it dialled.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    group: String,
    expected: Expected,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    pub(super) fn new(
        group: &str,
        expected: &Expected,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Self {
        Self {
            group: group.to_owned(),
            expected: expected.clone(),
            roots: Arc::clone(roots),
            provider: Arc::clone(provider),
        }
    }

    fn is_expected(&self, certificate: &CertificateDer<'_>) -> Result<(), Refused> {
        let peer = member_of(&self.group, certificate)?;
        if peer.role != self.expected.role {
            return Err(Refused::OtherRole { peer, role: self.expected.role });
        }
        match &self.expected.name {
            Some(name) if *name != peer.name => Err(Refused::OtherName { peer, name: name.clone() }),
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at = judged_at(end_entity, now);
        chain(end_entity, intermediates, &self.roots, at, &self.provider)?;
        self.is_expected(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A server's judgement of who dialled it: any role of its own group. What the role may call
/// is checked at each call.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    group: String,
    chain: Arc<dyn ClientCertVerifier>,
}

impl ClientVerifier {
    pub(super) fn new(
        group: &str,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { group: group.to_owned(), chain })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let at = judged_at(end_entity, now);
        let verified = self.chain.verify_client_cert(end_entity, intermediates, at)?;
        member_of(&self.group, end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
