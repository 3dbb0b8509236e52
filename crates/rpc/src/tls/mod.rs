//! TLS for both directions of every connection: files, their checks, and their reload while
//! connections live.
//!
//! Both sides always show a certificate of the group's CA. Names of hosts are of no account:
//! an address is where to dial, the URI in the certificate is who answers. Only TLS 1.3, and no
//! session resumption: a resumed session would carry an identity past a change of the CA.

mod error;
mod material;
mod verify;

pub use error::TlsError;

use crate::{
    clock,
    identity::{PeerIdentity, Role},
};
use material::{Material, Stamp};
use model::{Millis, Moment};
use rustls::{ClientConfig, ServerConfig, crypto::CryptoProvider};
use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// How often the files are looked at: at most this old is what a new connection uses.
pub const RELOAD_INTERVAL: Millis = Millis(2_000);

/// HTTP/2 is all that we speak.
const PROTOCOL: &[u8] = b"h2";

/// Makes ring the provider for code that asks for the process's default (drivers); ours is
/// passed on explicitly. Any number of calls does no harm.
pub fn install_provider() {
    // An error says that there is one already: ours, from an earlier call.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Where a process has its certificate from. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The group's CA, or several while it is changed.
    pub ca: PathBuf,
    /// The own certificate, intermediates after it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Whom a client wants to find at an address: a member of its own group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its role.
    pub role: Role,
    /// Its site, where that is known.
    pub name: Option<String>,
}

/// Who this process is, with what proves it. Cheap to clone; all clones see a reload.
#[derive(Clone)]
pub struct Identity {
    shared: Arc<Shared>,
}

struct Shared {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    material: RwLock<Arc<Material>>,
    looked: Mutex<Looked>,
}

/// When the files were looked at last, and what they were then.
struct Looked {
    at: Moment,
    stamp: Stamp,
}

impl Identity {
    /// Reads and checks the files. An expired certificate loads: see [`Identity::expired`].
    ///
    /// # Errors
    /// [`TlsError`] names the file and the remedy.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = provider();
        let at = clock::now();
        // The stamp is taken before the content: a change in between is seen at the next look.
        let stamp = Stamp::of(files);
        let material = Material::load(files, &provider)?;
        if material.expired() {
            tracing::warn!(file = %files.cert.display(), "the own certificate has expired: renew it");
        }
        let shared = Shared {
            files: files.clone(),
            provider,
            material: RwLock::new(Arc::new(material)),
            looked: Mutex::new(Looked { at, stamp }),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Who this process is.
    #[must_use]
    pub fn own(&self) -> PeerIdentity {
        self.material().own.clone()
    }

    /// True if the own certificate is not valid at this host's wall clock.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.material().expired()
    }

    /// The last second of the own certificate's validity, since 1970.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.material().not_after
    }

    /// Reads the files again, for SIGHUP. On an error what was in force stays in force.
    ///
    /// # Errors
    /// [`TlsError`], also for files of another identity: that would be another process.
    pub fn reload(&self) -> Result<(), TlsError> {
        let stamp = Stamp::of(&self.shared.files);
        let mut looked = self.shared.looked.lock().unwrap_or_else(PoisonError::into_inner);
        *looked = Looked { at: clock::now(), stamp };
        self.take()
    }

    /// Looks whether the files changed, at most each [`RELOAD_INTERVAL`], and takes them if so.
    /// A server does it by itself, a client before it dials.
    pub fn refresh(&self) {
        let now = clock::now();
        let mut looked = self.shared.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if now.elapsed_longest(looked.at) < RELOAD_INTERVAL {
            return;
        }
        looked.at = now;
        let stamp = Stamp::of(&self.shared.files);
        if stamp == looked.stamp {
            return;
        }
        // Also a set that cannot be used is remembered: it is complained of once.
        looked.stamp = stamp;
        if let Err(error) = self.take() {
            tracing::error!(%error, "the changed certificate files are not used; the old ones stay in force");
        }
    }

    fn take(&self) -> Result<(), TlsError> {
        let material = Material::load(&self.shared.files, &self.shared.provider)?;
        let own = self.own();
        if material.own != own {
            let file = self.shared.files.cert.clone();
            return Err(TlsError::OtherIdentity { file, was: Box::new(own), is: Box::new(material.own) });
        }
        tracing::info!(identity = %own, not_after = material.not_after, "certificate files loaded");
        *self.shared.material.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
        Ok(())
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.shared.material.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the next accepted connection is to be served with.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.material().server)
    }

    /// What the next dial is to be made with.
    pub(crate) fn client_config(&self, expected: &Expected) -> Result<ClientConfig, rustls::Error> {
        self.refresh();
        self.material().client_config(expected, &self.shared.provider)
    }
}

impl fmt::Debug for Identity {
    /// Names the owner; never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("own", &self.own()).field("files", &self.shared.files).finish()
    }
}
