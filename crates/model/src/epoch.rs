//! Numbers that only grow.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The next one. Saturates: 2^64 of these are never reached.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter!(
    /// A stack's fencing token. Grows by one with every election entry; 0 is a
    /// stack that Tripoint has not adopted.
    Epoch
);
counter!(
    /// Number of a renewal's *send*: above all earlier ones of the site, never used twice.
    RenewalNumber
);
counter!(
    /// Index of an entry in the replicated log.
    LogIndex
);
counter!(
    /// Generation of the whole group: raised by `tripoint recover` alone.
    Generation
);

impl Epoch {
    /// Not adopted: no site, nothing is touched.
    pub const NONE: Self = Self(0);
}

/// One run of a site's actor: drawn at random at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
