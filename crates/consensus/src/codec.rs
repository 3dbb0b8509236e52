//! Everything that consensus writes to disk or sends, in our own versioned frames.
//!
//! openraft's types are converted to the structs of [`wire`] and back ([`convert`]): its
//! layouts are no contract of ours. A frame of an unknown version or kind is an error, never
//! skipped.

pub(crate) mod convert;
mod frame;
pub(crate) mod wire;

pub use frame::{CodecError, Kind};
pub(crate) use frame::{open, open_borrowed, peek, seal};

use coordination::{Command, Outcome};

/// A command as it travels between witnesses.
///
/// # Errors
/// [`CodecError::Body`] if it can't be encoded.
pub fn encode_command(command: &Command) -> Result<Vec<u8>, CodecError> {
    seal(Kind::Command, command)
}

/// Reads what [`encode_command`] wrote.
///
/// # Errors
/// [`CodecError`] for anything else.
pub fn decode_command(bytes: &[u8]) -> Result<Command, CodecError> {
    open(Kind::Command, bytes)
}

/// An outcome as it travels between witnesses.
///
/// # Errors
/// [`CodecError::Body`] if it can't be encoded.
pub fn encode_outcome(outcome: &Outcome) -> Result<Vec<u8>, CodecError> {
    seal(Kind::Outcome, outcome)
}

/// Reads what [`encode_outcome`] wrote.
///
/// # Errors
/// [`CodecError`] for anything else.
pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome, CodecError> {
    open(Kind::Outcome, bytes)
}

#[cfg(test)]
mod tests;
