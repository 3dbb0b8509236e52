//! Readings of this host's clocks. The only ones that decide anything are the two of
//! [`now`]; [`wall`] is for people.

use model::{Moment, WallMillis};
use nix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::marker::PhantomData;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a simulation shows in place of the clocks.
pub type Reader = fn() -> (Moment, WallMillis);

thread_local! {
    static SIMULATED: Cell<Option<Reader>> = const { Cell::new(None) };
}

/// While it lives, this thread, and no other, reads simulated clocks. For simulations alone: a
/// tidy test holds that no other crate of the product names it.
#[derive(Debug)]
pub struct Simulated {
    before: Option<Reader>,
    this_thread: PhantomData<*const ()>,
}

impl Simulated {
    /// From now on `reader` is asked.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self { before: SIMULATED.replace(Some(reader)), this_thread: PhantomData }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(self.before);
    }
}

/// CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW now, in microseconds.
#[must_use]
pub fn now() -> Moment {
    if let Some(reader) = SIMULATED.get() {
        return reader().0;
    }
    Moment { boottime: micros(ClockId::CLOCK_BOOTTIME), raw: micros(ClockId::CLOCK_MONOTONIC_RAW) }
}

/// Milliseconds since 1970 by this host's wall clock. For display alone; 0 before 1970.
#[must_use]
pub fn wall() -> WallMillis {
    if let Some(reader) = SIMULATED.get() {
        return reader().1;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn micros(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("Linux has both clocks since 2.6.39, and reading one cannot fail");
    // Neither clock is ever negative: both count from the host's start.
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread, time::Duration};

    #[test]
    fn both_clocks_advance_together() {
        let earlier = now();
        thread::sleep(Duration::from_millis(20));
        let later = now();
        let (shortest, longest) = (later.elapsed_shortest(earlier), later.elapsed_longest(earlier));
        assert!(shortest.0 >= 19, "{shortest}");
        assert!(longest.0 < 10_000, "{longest}");
    }

    #[test]
    fn simulated_clocks_are_this_threads_and_end_with_the_guard() {
        let long_ago = Moment { boottime: 7, raw: 8 };
        {
            let _simulated = Simulated::new(|| (Moment { boottime: 7, raw: 8 }, WallMillis(9)));
            assert_eq!((now(), wall()), (long_ago, WallMillis(9)));
            assert_ne!(thread::spawn(now).join().unwrap(), long_ago);
        }
        assert_ne!(now(), long_ago);
    }

    #[test]
    fn the_wall_clock_is_past_2020() {
        assert!(wall().0 > 1_577_836_800_000);
    }
}
