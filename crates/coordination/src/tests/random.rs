//! Hostile schedules: sites come and go, entries are repeated, the leader forgets. After every
//! entry the world checks all invariants that a state can show; here also S1 by the clock.

use super::world::{STEP, World, chat, site};
use crate::Command;
use alloc::vec::Vec;
use model::{Deadline, Epoch, Mode, Moment};

/// xorshift64*: enough to vary schedules, and the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// Until when each site may surely run the stack, as an honest gate would count it.
struct Gates(Vec<(Epoch, Option<Deadline>)>);

impl Gates {
    fn take(&mut self, n: usize, sent: Moment, grant: &model::Grant) {
        let cover = grant.cover.as_ref().expect("always asked in full");
        self.0[n - 1] = match cover.of(&chat()) {
            None => (Epoch::NONE, None),
            Some(entry) => (
                entry.epoch,
                match entry.kind {
                    model::CoverKind::Timed { .. } => {
                        Some(Deadline::new(sent, grant.terms.lease_duration.plus(grant.terms.fence_deadline)))
                    }
                    model::CoverKind::Held { .. } => None,
                },
            ),
        };
    }

    fn may_run(&self, now: Moment) -> usize {
        self.0
            .iter()
            .filter(|(epoch, deadline)| *epoch > Epoch::NONE && deadline.is_none_or(|d| !d.is_over(now)))
            .count()
    }
}

fn one(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut world = World::automatic();
    let mut gates = Gates((0..3).map(|_| (Epoch::NONE, None)).collect());
    let mut incarnation = 100;
    for _ in 0..600 {
        world.now = world.now.after(STEP);
        world.view.tick(&world.state, world.now);
        world.links();
        for n in 1..=3 {
            let id = site(n);
            match (world.hands[&id].alive, dice.roll(60)) {
                (true, 0) => world.lose(&id),
                (false, 0..6) => {
                    incarnation += 1;
                    world.register(&id, incarnation);
                }
                (true, 1..50) => {
                    let sent = world.now;
                    let outcome = world.renew(&id);
                    if let crate::Outcome::Renewed { grant, .. } = outcome {
                        gates.take(n, sent, &grant);
                    }
                }
                _ => {}
            }
        }
        if dice.roll(200) == 0 {
            world.view.restored(&world.state, world.now);
        }
        if dice.roll(400) == 0 {
            let mode = if world.stack().mode == Mode::Auto { Mode::Observe } else { Mode::Auto };
            world.commit(Command::SetMode { stack: chat(), mode });
        }
        let repeated = dice.roll(world.log.len() as u64) as usize;
        if dice.roll(20) == 0 {
            let command = world.log[repeated].1.clone();
            if !matches!(command, Command::Attest { .. } | Command::Register { .. }) {
                world.commit(command);
            }
        }
        let before = world.now;
        world.turn_without_renewals();
        assert!(gates.may_run(before) <= 1, "S1: two sites may run at once, seed {seed}");
    }
}

#[test]
fn two_sites_never_may_run_at_once_in_any_schedule() {
    for seed in 0..200 {
        one(seed);
    }
}
