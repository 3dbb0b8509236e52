//! Plots: faults that belong together, for rules that blind chance meets too seldom. A few seeds in
//! a hundred have one, beside their swarm, from dice of its own.

use super::{Class, Fault, FaultKind, Plan};
use crate::dice::Dice;
use crate::history::{MILLI, SECOND, Site, Stack, Time};
use crate::message::Process;
use crate::postgres::Ill;

/// The dice that decide about a small `max_lag`, and about plots.
const LAG_DICE: u64 = 5;
const PLOT_DICE: u64 = 6;
/// Of a thousand seeds so many have a `max_lag` that a run can exceed.
const SMALL_LAG_PERMILLE: u64 = 100;
/// A dozen seconds of what the clients write.
const SMALL_LAG: u64 = 3_000;
/// Of a thousand seeds so many have a plot; of those with a small `max_lag` half.
const PLOT_PERMILLE: u64 = 120;

impl Plan {
    /// Small limits and plots, where the seed has any.
    pub(super) fn draw_plots(&mut self) {
        if self.class != Class::All {
            return;
        }
        let mut dice = Dice::new(self.seed, PLOT_DICE);
        let small = Dice::new(self.seed, LAG_DICE).permille(SMALL_LAG_PERMILLE);
        if small {
            self.policy.max_lag_bytes = SMALL_LAG;
        }
        let stack = self.stack(&mut dice);
        let at = dice.between(10 * SECOND, 16 * SECOND);
        if small && dice.permille(500) {
            self.fall_behind(&mut dice, stack, at);
        } else if dice.permille(PLOT_PERMILLE) {
            match dice.below(8) {
                0..2 => self.stale_view(&mut dice, stack, at),
                2..5 => self.die_ordering(&mut dice, stack, at),
                5..7 => self.linger(&mut dice, stack, at),
                _ => self.lose_new_primary(&mut dice, stack, at),
            }
        }
    }

    fn plot(&mut self, at: Time, lasts: Time, kind: FaultKind) {
        self.faults.push(Fault { at, lasts, kind });
    }

    /// Two sites beside the one where the stack begins.
    fn others(&self, dice: &mut Dice, stack: Stack) -> (Site, Site) {
        let (primary, sites) = (self.primary(stack), self.sites);
        let first = dice.below(u64::from(sites) - 1) as Site;
        let second = (first + 1 + dice.below(u64::from(sites) - 2) as Site) % (sites - 1);
        ((primary + 1 + first) % sites, (primary + 1 + second) % sites)
    }

    /// The standbys get less than is written; then the primary is lost.
    fn fall_behind(&mut self, dice: &mut Dice, stack: Stack, at: Time) {
        let primary = self.primary(stack);
        let left = self.heals.saturating_sub(at);
        let thin = dice.between(15 * SECOND, 30 * SECOND).min(left);
        for site in (0..self.sites).filter(|site| *site != primary) {
            self.plot(at, thin + 10 * SECOND, FaultKind::Ill(stack, site, Ill::ThinLine));
        }
        self.plot(at + thin, dice.between(15 * SECOND, 40 * SECOND), FaultKind::LoseSite(primary));
    }

    /// A site's witness stands still while the stack moves; then the site is cut off and its actor
    /// starts anew: it hears of that witness alone.
    fn stale_view(&mut self, dice: &mut Dice, stack: Stack, at: Time) {
        let (a, b) = self.others(dice, stack);
        let moved = at + dice.between(0, SECOND);
        self.plot(at, 30 * SECOND, FaultKind::Lag(a));
        self.plot(moved, 0, FaultKind::StopAndElect(stack, b));
        let anew = moved + dice.between(3 * SECOND, 8 * SECOND);
        self.plot(anew, dice.between(4 * SECOND, 12 * SECOND), FaultKind::Isolate(a, true, true));
        self.plot(anew, dice.between(10 * MILLI, SECOND), FaultKind::Kill(Process::Actor(a)));
    }

    /// An actor, or its postmaster, dies as soon as a relinquishment is ordered.
    fn die_ordering(&mut self, dice: &mut Dice, stack: Stack, at: Time) {
        let (_, b) = self.others(dice, stack);
        let primary = self.primary(stack);
        self.plot(at, 15 * SECOND, FaultKind::DiesOrdering(primary, false));
        self.plot(at + 100 * MILLI, 0, FaultKind::StopAndElect(stack, b));
    }

    /// The same for a postmaster whose other processes go on for a moment.
    fn linger(&mut self, dice: &mut Dice, stack: Stack, at: Time) {
        let (_, b) = self.others(dice, stack);
        let primary = self.primary(stack);
        self.plot(at, 15 * SECOND, FaultKind::Ill(stack, primary, Ill::Lingers));
        self.plot(at, 15 * SECOND, FaultKind::DiesOrdering(primary, true));
        self.plot(at + 100 * MILLI, 0, FaultKind::StopAndElect(stack, b));
    }

    /// A failover's new primary is cut off as soon as its promotion is known: nobody has streamed
    /// from it, and its clients go on.
    fn lose_new_primary(&mut self, dice: &mut Dice, stack: Stack, at: Time) {
        let primary = self.primary(stack);
        let lost = dice.between(10 * SECOND, 20 * SECOND);
        self.plot(at, 40 * SECOND, FaultKind::IsolatePromoted(stack));
        self.plot(at, lost, FaultKind::LoseSite(primary));
    }
}
