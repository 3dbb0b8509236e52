//! Positions in PostgreSQL's write-ahead log.

use core::fmt;
use serde::{Deserialize, Serialize};

/// Log sequence number, a byte position in the WAL (PostgreSQL type `pg_lsn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lsn(pub u64);

/// A text that is no LSN of the form `16/B374D848`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsnError;

impl fmt::Display for LsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an LSN: two hexadecimal numbers of up to eight digits with a slash between are expected",
        )
    }
}

impl core::error::Error for LsnError {}

impl Lsn {
    /// Bytes from `earlier` to this one; 0 if `earlier` is not earlier.
    #[must_use]
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl core::str::FromStr for Lsn {
    type Err = LsnError;
    fn from_str(text: &str) -> Result<Self, LsnError> {
        let (high, low) = text.split_once('/').ok_or(LsnError)?;
        let part = |digits: &str| {
            let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            if plain { u64::from_str_radix(digits, 16).map_err(|_| LsnError) } else { Err(LsnError) }
        };
        Ok(Self(part(high)? << 32 | part(low)?))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// PostgreSQL's timeline number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timeline(pub u32);

impl Timeline {
    /// The next number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// PostgreSQL's system identifier: equal in all copies of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SystemId(pub u64);

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How far a database's WAL reaches. What counts is the timeline's place in the chain of
/// promotions, elsewhere; the order here is for maps and sets alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WalPosition {
    /// Timeline of that WAL.
    pub timeline: Timeline,
    /// Its end.
    pub lsn: Lsn,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn lsn_reads_and_prints_as_postgresql_does() {
        let lsn: Lsn = "16/B374D848".parse().expect("an LSN from PostgreSQL's manual");
        assert_eq!(lsn.0, 0x16_B374_D848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        for bad in ["", "16", "16/", "/1", "1/2/3", "x/1", "123456789/0", "+1/0"] {
            assert_eq!(bad.parse::<Lsn>(), Err(LsnError), "{bad}");
        }
    }
}
