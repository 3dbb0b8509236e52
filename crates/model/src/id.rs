//! Names of sites and stacks.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use serde::{Deserialize, Serialize};

/// Longest name of a site or stack, in bytes.
pub const ID_LENGTH_MAX: usize = 40;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdError {
    /// Nothing there.
    Empty,
    /// Longer than [`ID_LENGTH_MAX`] bytes.
    TooLong(usize),
    /// Only `a-z`, `0-9` and `-` are allowed, beginning with a letter.
    Character(char),
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong(n) => write!(f, "the name has {n} bytes; at most {ID_LENGTH_MAX} are allowed"),
            Self::Character(c) => {
                write!(f, "{c:?} is not allowed here: a name has a-z, 0-9 and -, and begins with a letter")
            }
        }
    }
}

impl core::error::Error for IdError {}

/// A checked name. In place, not on the heap: names are copied and compared with every event.
#[derive(Clone, Copy)]
struct Name {
    /// Zeros behind the name, which has none: so the order is that of the text.
    bytes: [u8; ID_LENGTH_MAX],
    length: u8,
}

impl Name {
    /// The first eight bytes: mostly they decide.
    fn head(&self) -> u64 {
        self.bytes.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
    }

    fn is_short(&self) -> bool {
        self.length <= 8
    }

    fn as_str(&self) -> &str {
        // Only ASCII gets in.
        core::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.head().cmp(&other.head()) {
            Ordering::Equal if self.is_short() && other.is_short() => Ordering::Equal,
            Ordering::Equal => self.bytes.cmp(&other.bytes),
            decided => decided,
        }
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

fn checked(text: &str) -> Result<Name, IdError> {
    let first = text.chars().next().ok_or(IdError::Empty)?;
    let length = u8::try_from(text.len()).map_err(|_| IdError::TooLong(text.len()))?;
    if text.len() > ID_LENGTH_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    if !first.is_ascii_lowercase() {
        return Err(IdError::Character(first));
    }
    if let Some(c) = text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
        return Err(IdError::Character(c));
    }
    let mut bytes = [0; ID_LENGTH_MAX];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    Ok(Name { bytes, length })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Name);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.as_str()).finish()
            }
        }

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`IdError`] says what is wrong with it.
            pub fn new(text: &str) -> Result<Self, IdError> {
                checked(text).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                checked(&text).map(Self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                String::from(id.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

id!(
    /// One datacenter.
    SiteId
);
id!(
    /// One protected service: a database, workloads, DNS records, firewall.
    StackId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(SiteId::new("dc1").is_ok());
        assert_eq!(SiteId::new(""), Err(IdError::Empty));
        assert_eq!(SiteId::new("1dc"), Err(IdError::Character('1')));
        assert_eq!(StackId::new("a_b"), Err(IdError::Character('_')));
        let long = "a".repeat(41);
        assert_eq!(StackId::new(&long), Err(IdError::TooLong(41)));
        assert_eq!(StackId::new(&"a".repeat(400)), Err(IdError::TooLong(400)));
        assert_eq!(StackId::new(&long[1..]).expect("40 bytes are allowed").as_str(), &long[1..]);
    }

    #[test]
    fn names_are_ordered_as_their_texts() {
        let mut texts =
            ["b", "a-1", "a", "ab", "a1", "a0b", "a-long-name", "a-long-name-b", "a-long-n", "a-long-m"];
        let mut names = texts.map(|text| SiteId::new(text).expect("a name"));
        texts.sort_unstable();
        names.sort();
        assert_eq!(names.each_ref().map(SiteId::as_str), texts);
    }
}
