//! Chance, from one seed. Streams that must not disturb each other have dice of their own.

use rand_pcg::Pcg32;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};

/// A seeded stream of numbers: the same on every machine.
#[derive(Clone, Debug)]
pub struct Dice(Pcg32);

impl Dice {
    /// The stream number `stream` of a seed.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Pcg32::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (stream << 56 | stream)))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Below `end`; 0 for an empty range.
    pub fn below(&mut self, end: u64) -> u64 {
        if end <= u64::from(u32::MAX) {
            return (u64::from(self.0.next_u32()) * end) >> 32;
        }
        self.number() % end
    }

    /// From `start` to before `end`.
    pub fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end.saturating_sub(start))
    }

    /// True in `of` of a thousand cases.
    pub fn permille(&mut self, of: u64) -> bool {
        self.below(1_000) < of
    }

    /// Around `mean`, mostly near it, now and then several times as much.
    pub fn delay(&mut self, mean: u64) -> u64 {
        let half = mean / 2;
        let near = half + self.below(mean + 1);
        if self.below(64) == 0 { near + self.below(mean * 4 + 1) } else { near }
    }

    /// One of them; `items` is not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let place = usize::try_from(self.below(items.len() as u64)).unwrap_or_default();
        &items[place]
    }
}
