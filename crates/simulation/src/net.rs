//! The network between the sites: every direction of every pair is a link of its own.

use crate::dice::Dice;
use crate::history::{Site, Time};

/// Sites at most.
pub const SITES_MAX: usize = 7;

/// How one direction of one pair behaves now.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// Faults that cut it; it carries nothing while any is left.
    cuts: u8,
    /// Extra one-way delay.
    slower: Time,
    /// Of a thousand messages so many are lost.
    loss: u16,
    /// Of a thousand messages so many come twice.
    twice: u16,
}

/// All links.
#[derive(Clone, Debug)]
pub struct Net {
    links: [[Link; SITES_MAX]; SITES_MAX],
    /// One-way delay between two sites, in both directions.
    delay: [[Time; SITES_MAX]; SITES_MAX],
    local: Time,
}

impl Net {
    /// A whole network. `one_way` is the mean delay between two sites.
    #[must_use]
    pub fn new(dice: &mut Dice, one_way: Time) -> Self {
        let mut delay = [[0; SITES_MAX]; SITES_MAX];
        let pairs = (0..SITES_MAX).flat_map(|a| (0..a).map(move |b| (a, b)));
        for (a, b) in pairs {
            let mean = dice.between(one_way / 4 + 1, one_way + 1);
            (delay[a][b], delay[b][a]) = (mean, mean);
        }
        Self { links: Default::default(), delay, local: 100 }
    }

    /// True if the link carries anything.
    #[must_use]
    pub fn is_up(&self, from: Site, to: Site) -> bool {
        from == to || self.links[usize::from(from)][usize::from(to)].cuts == 0
    }

    /// One more fault cuts it.
    pub fn cut(&mut self, from: Site, to: Site) {
        let link = &mut self.links[usize::from(from)][usize::from(to)];
        link.cuts = link.cuts.saturating_add(1);
    }

    /// One fault less cuts it.
    pub fn mend(&mut self, from: Site, to: Site) {
        let link = &mut self.links[usize::from(from)][usize::from(to)];
        link.cuts = link.cuts.saturating_sub(1);
    }

    /// Extra delay, loss and duplication from now on.
    pub fn degrade(&mut self, from: Site, to: Site, slower: Time, loss: u16, twice: u16) {
        let link = &mut self.links[usize::from(from)][usize::from(to)];
        (link.slower, link.loss, link.twice) = (slower, loss, twice);
    }

    /// How long a message takes that does arrive.
    pub fn delay(&self, dice: &mut Dice, from: Site, to: Site) -> Time {
        if from == to {
            return dice.delay(self.local);
        }
        let (a, b) = (usize::from(from), usize::from(to));
        let link = &self.links[a][b];
        let slower = if link.slower > 0 { dice.below(link.slower * 2) } else { 0 };
        dice.delay(self.delay[a][b]) + slower
    }

    /// When a datagram-like message arrives: never, once or twice.
    pub fn send(&self, dice: &mut Dice, from: Site, to: Site, now: Time) -> (Option<Time>, Option<Time>) {
        if !self.is_up(from, to) {
            return (None, None);
        }
        let first = now + self.delay(dice, from, to);
        if from == to {
            return (Some(first), None);
        }
        let link = &self.links[usize::from(from)][usize::from(to)];
        if link.loss == 0 && link.twice == 0 {
            return (Some(first), None);
        }
        let once = (!dice.permille(u64::from(link.loss))).then_some(first);
        // A copy may come seconds later.
        let again =
            dice.permille(u64::from(link.twice)).then(|| first + dice.below(4_000_000) * dice.below(2));
        (once, again)
    }

    /// When a message arrives that is sent again until it does (a stream's segment).
    #[must_use]
    pub fn stream(&self, dice: &mut Dice, from: Site, to: Site, now: Time) -> Option<Time> {
        if !self.is_up(from, to) {
            return None;
        }
        let mut at = now + self.delay(dice, from, to);
        let loss = u64::from(self.links[usize::from(from)][usize::from(to)].loss);
        if from != to && loss > 0 {
            let mut again = 200_000;
            while dice.permille(loss) && again < 4_000_000 {
                at += again;
                again *= 2;
            }
        }
        Some(at)
    }
}
