//! Who calls, and whether that one may.

use super::connection::Caller;
use crate::identity::{PeerIdentity, Role};
use model::SiteId;
use std::net::SocketAddr;
use tonic::{Request, Status};

fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    let found = request.extensions().get::<Caller>();
    found.ok_or_else(|| Status::unauthenticated("the request came over no authenticated connection"))
}

/// Who calls.
///
/// # Errors
/// UNAUTHENTICATED for a request that did not come through [`super::serve`].
pub fn peer<T>(request: &Request<T>) -> Result<PeerIdentity, Status> {
    caller(request).map(|caller| caller.identity.as_ref().clone())
}

/// From where the call came.
#[must_use]
pub fn remote<T>(request: &Request<T>) -> Option<SocketAddr> {
    caller(request).ok().map(|caller| caller.remote)
}

/// Who calls, if it has one of these roles.
///
/// # Errors
/// PERMISSION_DENIED names the caller and who may call; otherwise as [`peer`].
pub fn require<T>(request: &Request<T>, roles: &[Role]) -> Result<PeerIdentity, Status> {
    let peer = peer(request)?;
    if roles.contains(&peer.role) {
        return Ok(peer);
    }
    let allowed: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    Err(Status::permission_denied(format!("{peer} may not call this; allowed: {}", allowed.join(", "))))
}

/// Who calls, if it is this site's process of this role.
///
/// # Errors
/// PERMISSION_DENIED names the caller and who may call; otherwise as [`peer`].
pub fn require_site<T>(request: &Request<T>, role: Role, site: &SiteId) -> Result<PeerIdentity, Status> {
    let peer = require(request, &[role])?;
    if peer.name == site.as_str() {
        return Ok(peer);
    }
    Err(Status::permission_denied(format!("{peer} may not speak for {role} {site}")))
}
