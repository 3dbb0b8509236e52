//! What can be wrong with certificate files. Each error names the file and the remedy.

use crate::identity::{IdentityError, PeerIdentity};
use std::{io, path::PathBuf};

/// Why a process has no identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}; check its path, owner and mode", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should, as PEM.
    #[error("{}: holds no {wanted} in PEM form ({why}); make one with `tripoint certs`", file.display())]
    NotPem {
        /// Which.
        file: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What the parser says.
        why: String,
    },
    /// A certificate is in a form that cannot be used.
    #[error("{}: this certificate cannot be used: {why}; issue it anew with `tripoint certs`", file.display())]
    Certificate {
        /// Which.
        file: PathBuf,
        /// What the library says.
        why: String,
    },
    /// The private key is of a kind that cannot be used.
    #[error("{}: this private key cannot be used: {why}; issue certificate and key anew with `tripoint certs`", file.display())]
    Key {
        /// Which.
        file: PathBuf,
        /// What the library says.
        why: String,
    },
    /// Key and certificate are of different pairs.
    #[error(
        "{}: this key does not belong to the certificate {}; copy both of one pair",
        key.display(), cert.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// The certificate does not come from the CA.
    #[error(
        "{}: not signed by the CA in {} ({why}); issue it with that CA, or name the right CA file",
        cert.display(), ca.display()
    )]
    NotSigned {
        /// The certificate's file.
        cert: PathBuf,
        /// The CA's file.
        ca: PathBuf,
        /// What the check says.
        why: String,
    },
    /// The certificate names nobody.
    #[error("{}: {source}", file.display())]
    Identity {
        /// The certificate's file.
        file: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
    /// After a reload: somebody else's certificate.
    #[error("{}: is the certificate of {is}, this process is {was}; restart it if that is meant", file.display())]
    OtherIdentity {
        /// The certificate's file.
        file: PathBuf,
        /// Who the process is.
        was: Box<PeerIdentity>,
        /// Whom the new file names.
        is: Box<PeerIdentity>,
    },
}
