//! Names of sites and stacks.

use alloc::{borrow::ToOwned, string::String};
use core::fmt;
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

fn checked(text: &str) -> Result<String, IdError> {
    let first = text.chars().next().ok_or(IdError::Empty)?;
    if text.len() > ID_LENGTH_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    if !first.is_ascii_lowercase() {
        return Err(IdError::Character(first));
    }
    match text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
        Some(c) => Err(IdError::Character(c)),
        None => Ok(text.to_owned()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

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
                &self.0
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
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
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
    }
}
