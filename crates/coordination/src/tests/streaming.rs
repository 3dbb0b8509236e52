//! Which standbys the group counts as streaming, and when it ceases to.

use super::world::{World, site};
use model::{Lsn, Millis};

fn streaming(world: &World) -> alloc::vec::Vec<&str> {
    world.stack().streaming.keys().map(model::SiteId::as_str).collect()
}

/// A turn, in which `dc2` reports that it is so far behind.
fn behind(world: &mut World, lag_bytes: u64) {
    world.turn(true);
    let mut report = world.report(&site(2));
    report.database.upstream.as_mut().expect("it streams").lag_bytes = lag_bytes;
    world.view.report(report, world.now);
    for command in crate::decide(&world.state, &world.view, world.now) {
        world.commit(command);
    }
}

/// Seed 300 of the simulator: it went on as a candidate, however far it fell behind.
#[test]
fn a_standby_that_falls_behind_is_taken_off_the_list_and_comes_back() {
    let mut world = World::automatic();
    let max_lag = world.state.policy().expect("a policy").max_lag_bytes;
    behind(&mut world, max_lag);
    assert_eq!(streaming(&world), ["dc2", "dc3"]);
    behind(&mut world, max_lag + 1);
    assert_eq!(streaming(&world), ["dc3"]);
    world.run(Millis(1_000));
    assert_eq!(streaming(&world), ["dc2", "dc3"]);
}

/// The line carries nothing: the standby hears of no later position, and believes to be there.
#[test]
fn the_primary_knows_best_how_far_a_standby_is_behind() {
    let mut world = World::automatic();
    let max_lag = world.state.policy().expect("a policy").max_lag_bytes;
    for n in [1, 3] {
        world.hands.get_mut(&site(n)).expect("a known site").lsn = Lsn(1_000 + max_lag);
    }
    world.run(Millis(1_000));
    assert_eq!(streaming(&world), ["dc2", "dc3"]);
    for n in [1, 3] {
        world.hands.get_mut(&site(n)).expect("a known site").lsn = Lsn(1_001 + max_lag);
    }
    world.run(Millis(1_000));
    assert_eq!(streaming(&world), ["dc3"]);
    assert!(world.stack().streamed_once);
}

/// What is silent and gets nothing must not be elected as soon as it is back.
#[test]
fn a_standby_that_is_silent_for_long_streams_only_by_the_primarys_word() {
    let mut world = World::automatic();
    world.lose(&site(3));
    world.run(Millis(1_000));
    assert_eq!(streaming(&world), ["dc2", "dc3"], "a moment");
    world.run(Millis(6_000));
    assert_eq!(streaming(&world), ["dc2"]);
    // And where the primary, too, is lost, nobody's word takes a standby off.
    let mut world = World::automatic();
    world.lose(&site(1));
    world.lose(&site(2));
    world.run(Millis(3_000));
    assert!(world.stack().transition.is_none());
    assert_eq!(streaming(&world), ["dc2", "dc3"]);
}
