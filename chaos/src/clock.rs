//! The observers' clock: CLOCK_MONOTONIC, one for all processes of the machine, whatever their
//! network namespace. It judges what was seen; it decides nothing in the product.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since some fixed moment of this boot.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on every Linux");
    u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
}

/// Seconds from one moment to a later one; negative if it was earlier.
#[must_use]
#[allow(clippy::cast_precision_loss)] // differences of minutes, shown with three decimals
pub fn seconds(from: u64, to: u64) -> f64 {
    if to >= from { (to - from) as f64 / 1e9 } else { -((from - to) as f64 / 1e9) }
}
