//! The gate against real PostgreSQL 15: as a process of its own, with a fake actor over real
//! mTLS. Needs root (PostgreSQL runs as its own user, namespaces are made).

mod actor;
mod lapse;
mod life;
mod rejoin;
mod site;
mod steps;

use std::time::{Duration, Instant};

/// Waits for a condition; the test fails if it does not come true within the limit.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A runtime for clients.
pub fn clients() -> tokio::runtime::Runtime {
    actor::runtime(None)
}
