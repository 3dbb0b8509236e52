//! The durations of the three profiles (design, section 12), as far as the lab needs them.

use clap::ValueEnum;
use std::time::Duration;

/// A named set of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Sites over the internet.
    Wan,
    /// Own lines.
    Metro,
    /// One region.
    Fast,
}

impl Profile {
    /// As the files and the command line say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wan => "wan",
            Self::Metro => "metro",
            Self::Fast => "fast",
        }
    }

    const fn pick(self, wan: u64, metro: u64, fast: u64) -> Duration {
        Duration::from_millis(match self {
            Self::Wan => wan,
            Self::Metro => metro,
            Self::Fast => fast,
        })
    }

    /// D.
    #[must_use]
    pub const fn lease(self) -> Duration {
        self.pick(12_000, 5_000, 2_000)
    }

    /// R.
    #[must_use]
    pub const fn renew_every(self) -> Duration {
        self.pick(1_500, 700, 300)
    }

    /// F.
    #[must_use]
    pub const fn fence(self) -> Duration {
        self.pick(4_000, 2_000, 1_000)
    }

    /// `detect.after`.
    #[must_use]
    pub const fn detect(self) -> Duration {
        self.pick(5_000, 2_000, 800)
    }

    /// Longest write outage that the issue allows when a site is lost.
    #[must_use]
    pub const fn outage_site(self) -> Duration {
        self.pick(18_000, 8_000, 4_000)
    }
}
