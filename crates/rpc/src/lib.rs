//! How the processes of a group talk: generated gRPC, conversions to and from the vocabulary
//! of `model`, identities, TLS, servers, clients, and the certificates for all of it.
//!
//! Every connection is mutually authenticated: there is no plaintext mode. The only crate
//! that knows protobuf.
#![forbid(unsafe_code)]

pub mod certs;
pub mod client;
pub mod clock;
pub mod convert;
pub mod health;
pub mod identity;
pub mod network;
pub mod server;
pub mod tls;

/// The gRPC library: the shells write their services against it by this name, and depend on
/// `rpc` alone.
pub use tonic;

/// Messages, clients and servers of the package `tripoint.v1`, generated from `proto/`.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, clippy::wildcard_imports)]
pub mod v1 {
    tonic::include_proto!("tripoint.v1");

    /// The descriptor set of the package and all that it imports, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

#[cfg(test)]
mod tests;
