//! The frame round every record and message: magic, version, kind, length, checksum, body.
//!
//! ```text
//! "TP" | version u8 | kind u8 | length u32 LE | crc32 u32 LE | body (postcard)
//! ```
//! The checksum covers version, kind, length and body.

use serde::{Serialize, de::DeserializeOwned};

const MAGIC: [u8; 2] = *b"TP";
const VERSION: u8 = 1;
const HEADER: usize = 12;

/// What a frame holds. The numbers are the contract: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    Command = 1,
    Outcome = 2,
    Refusal = 3,
    State = 4,
    LogRecord = 5,
    Ballot = 6,
    Position = 7,
    StoreIdentity = 8,
    SnapshotRecord = 9,
    AppendRequest = 16,
    AppendResponse = 17,
    VoteRequest = 18,
    PreVoteRequest = 19,
    VoteResponse = 20,
    TransferRequest = 21,
    TransferResponse = 22,
    SnapshotHeader = 23,
    SnapshotPiece = 24,
    SnapshotResponse = 25,
    Hello = 26,
}

impl Kind {
    const ALL: [Self; 20] = [
        Self::Command,
        Self::Outcome,
        Self::Refusal,
        Self::State,
        Self::LogRecord,
        Self::Ballot,
        Self::Position,
        Self::StoreIdentity,
        Self::SnapshotRecord,
        Self::AppendRequest,
        Self::AppendResponse,
        Self::VoteRequest,
        Self::PreVoteRequest,
        Self::VoteResponse,
        Self::TransferRequest,
        Self::TransferResponse,
        Self::SnapshotHeader,
        Self::SnapshotPiece,
        Self::SnapshotResponse,
        Self::Hello,
    ];

    fn from_number(number: u8) -> Result<Self, CodecError> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number).ok_or(CodecError::UnknownKind(number))
    }
}

/// Why bytes are no frame of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Shorter than a header.
    #[error("only {0} bytes, less than a frame's header")]
    Short(usize),
    /// Does not begin with "TP".
    #[error("does not begin like a frame")]
    Magic,
    /// Written by a later version.
    #[error("frame of version {0}; this program knows only version {VERSION}: upgrade it")]
    UnknownVersion(u8),
    /// A kind that this program does not know.
    #[error("frame of the unknown kind {0}: upgrade this program")]
    UnknownKind(u8),
    /// Another kind than the place wants.
    #[error("a {found:?} frame where a {wanted:?} frame belongs")]
    WrongKind {
        /// What belongs there.
        wanted: Kind,
        /// What is there.
        found: Kind,
    },
    /// Cut off or padded.
    #[error("the frame says {said} bytes of body, and {found} are there")]
    Length {
        /// By the header.
        said: usize,
        /// In fact.
        found: usize,
    },
    /// Bits have changed.
    #[error("checksum mismatch: the bytes were changed after they were written")]
    Checksum,
    /// The body is not what the kind says, or holds a value unknown to this program.
    #[error("the body of the {kind:?} frame cannot be read: {reason}")]
    Body {
        /// The kind.
        kind: Kind,
        /// What postcard says.
        reason: String,
    },
}

impl CodecError {
    /// True if the frame may be fine for a later version of this program.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::UnknownVersion(_) | Self::UnknownKind(_) | Self::Body { .. })
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize()
}

/// Encodes a value into a frame.
pub(crate) fn seal<T: Serialize + ?Sized>(kind: Kind, value: &T) -> Result<Vec<u8>, CodecError> {
    let body = |reason: String| CodecError::Body { kind, reason };
    let mut frame = Vec::with_capacity(256);
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&[VERSION, kind as u8]);
    frame.extend_from_slice(&[0; 8]);
    let mut frame = postcard::to_extend(value, frame).map_err(|e| body(e.to_string()))?;
    let length = u32::try_from(frame.len() - HEADER).map_err(|_| body("longer than 4 GiB".to_owned()))?;
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&frame[2..8], &frame[HEADER..]);
    frame[8..12].copy_from_slice(&sum.to_le_bytes());
    Ok(frame)
}

/// Checks a frame and says what it holds.
pub(crate) fn peek(bytes: &[u8]) -> Result<Kind, CodecError> {
    if bytes.len() < HEADER {
        return Err(CodecError::Short(bytes.len()));
    }
    if bytes[..2] != MAGIC {
        return Err(CodecError::Magic);
    }
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (said, found) = (word(4) as usize, bytes.len() - HEADER);
    if said != found {
        return Err(CodecError::Length { said, found });
    }
    // Before the version, so that a flipped bit there is called what it is.
    if word(8) != checksum(&bytes[2..8], &bytes[HEADER..]) {
        return Err(CodecError::Checksum);
    }
    if bytes[2] != VERSION {
        return Err(CodecError::UnknownVersion(bytes[2]));
    }
    Kind::from_number(bytes[3])
}

/// Checks and decodes a frame of the wanted kind, nothing left over.
pub(crate) fn open<T: DeserializeOwned>(wanted: Kind, bytes: &[u8]) -> Result<T, CodecError> {
    open_borrowed(wanted, bytes)
}

/// As [`open`], for values that borrow from the bytes.
pub(crate) fn open_borrowed<'a, T: serde::Deserialize<'a>>(
    wanted: Kind,
    bytes: &'a [u8],
) -> Result<T, CodecError> {
    let found = peek(bytes)?;
    if found != wanted {
        return Err(CodecError::WrongKind { wanted, found });
    }
    let body = |reason: String| CodecError::Body { kind: wanted, reason };
    let (value, rest) = postcard::take_from_bytes(&bytes[HEADER..]).map_err(|e| body(e.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(body(format!("{} bytes are left over", rest.len()))) }
}
