//! The self-fence: a thread of its own that knows when each open right ends, and whether the
//! event loop still turns.
//!
//! Steps ask [`Guard::permits`] in the step in which they act. When a right lapses the thread
//! drops the driver's sessions, whatever the event loop does. When the loop has not turned for
//! longer than F the process ends: its supervisor starts it anew, and a fresh start knows
//! nothing that could be stale. Time in which the whole process was stopped is no hang.

use crate::drivers::DatabaseDriver;
use coordination::reconcile::LeaseView;
use model::{Epoch, Millis, Moment, StackId};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The hang is counted in this many steps of F.
const HANG_STEPS: u64 = 8;

/// What the thread does when the loop hangs.
pub type OnHang = Box<dyn Fn() + Send>;

#[derive(Debug, Default)]
struct Inner {
    rights: BTreeMap<StackId, LeaseView>,
    turns: u64,
    fence_deadline: Millis,
    ends: bool,
}

/// Shared by the event loop, the steps and the thread.
#[derive(Debug)]
pub struct Guard {
    inner: Mutex<Inner>,
    changed: Condvar,
    now: fn() -> Moment,
}

impl Guard {
    /// No rights yet. `now` reads the clocks.
    #[must_use]
    pub fn new(fence_deadline: Millis, now: fn() -> Moment) -> Self {
        let inner = Inner { fence_deadline, ..Inner::default() };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), now }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that holds the lock can panic half-way: the content is whole even if poisoned.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event loop turned.
    pub fn turn(&self) {
        let mut inner = self.lock();
        inner.turns = inner.turns.wrapping_add(1);
    }

    /// F, as the last grant said.
    pub fn set_fence_deadline(&self, fence_deadline: Millis) {
        self.lock().fence_deadline = fence_deadline;
    }

    /// The stack's right, as the lease table has it now.
    pub fn set(&self, stack: &StackId, view: LeaseView) {
        let mut inner = self.lock();
        if inner.rights.get(stack) != Some(&view) {
            inner.rights.insert(stack.clone(), view);
            self.changed.notify_all();
        }
    }

    /// True while the stack may run at exactly this epoch, by the clocks of this instant.
    #[must_use]
    pub fn permits(&self, stack: &StackId, epoch: Epoch) -> bool {
        let now = (self.now)();
        self.lock().rights.get(stack).is_some_and(|view| view.permits(epoch, now))
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.lock().ends = true;
        self.changed.notify_all();
    }

    /// The thread's body.
    pub fn watch(&self, drivers: &BTreeMap<StackId, Arc<dyn DatabaseDriver>>, on_hang: &OnHang) {
        let mut hung = 0;
        let mut turns = self.lock().turns;
        loop {
            let (lapsed, step, ends) = self.wait_and_lapse();
            for stack in lapsed {
                if let Some(driver) = drivers.get(&stack) {
                    driver.drop_connections();
                }
            }
            if ends {
                return;
            }
            let seen = self.lock().turns;
            hung = if seen == turns { hung + step } else { 0 };
            turns = seen;
            if hung > HANG_STEPS {
                on_hang();
                hung = 0;
            }
        }
    }

    /// Waits for a change, the next end of a right or one step of the hang count. Says what has
    /// lapsed, and 1 if a whole step passed.
    fn wait_and_lapse(&self) -> (Vec<StackId>, u64, bool) {
        let before = (self.now)();
        let inner = self.lock();
        let step = Millis((inner.fence_deadline.0 / HANG_STEPS).max(1));
        let next =
            inner.rights.values().filter_map(|view| Some(view.right?.1?.remaining(before).plus(Millis(1))));
        let wait: Duration = next.chain([step]).min().unwrap_or(step).into();
        let (mut inner, _) = self.changed.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner);
        let now = (self.now)();
        let mut lapsed = Vec::new();
        for (stack, view) in &mut inner.rights {
            if view.right.is_some_and(|(_, end)| end.is_some_and(|end| end.is_over(now))) {
                view.right = None;
                lapsed.push(stack.clone());
            }
        }
        let passed = u64::from(now.elapsed_shortest(before) >= step);
        (lapsed, passed, inner.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::{Detachment, DriverError, DriverFuture, Permit};
    use model::{DatabaseReport, Deadline, WalPosition};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    #[derive(Default)]
    struct Fake(AtomicUsize);

    fn absent<T>() -> DriverFuture<'static, T> {
        Box::pin(async { Err(DriverError::Down("a fake".to_owned())) })
    }

    impl DatabaseDriver for Fake {
        fn observe(&self) -> DriverFuture<'_, DatabaseReport> {
            absent()
        }
        fn write_probe(&self, _permit: Permit) -> DriverFuture<'_, ()> {
            absent()
        }
        fn in_recovery(&self) -> DriverFuture<'_, bool> {
            absent()
        }
        fn detachment(&self) -> DriverFuture<'_, Detachment> {
            absent()
        }
        fn promotion(&self) -> DriverFuture<'_, WalPosition> {
            absent()
        }
        fn drop_connections(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn until(what: &str, condition: impl Fn() -> bool) {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn started(fence: u64) -> (Arc<Guard>, Arc<Fake>, StackId, Arc<AtomicUsize>) {
        let stack = StackId::new("ess").expect("a name of the test");
        let guard = Arc::new(Guard::new(Millis(fence), rpc::clock::now));
        let (fake, hangs) = (Arc::new(Fake::default()), Arc::new(AtomicUsize::new(0)));
        let drivers: BTreeMap<StackId, Arc<dyn DatabaseDriver>> =
            BTreeMap::from([(stack.clone(), fake.clone() as Arc<dyn DatabaseDriver>)]);
        let (watched, counted) = (guard.clone(), hangs.clone());
        std::thread::spawn(move || {
            let on_hang: OnHang = Box::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
            });
            watched.watch(&drivers, &on_hang);
        });
        (guard, fake, stack, hangs)
    }

    #[test]
    fn a_lapsed_right_drops_the_sessions_though_nobody_turns_the_loop() {
        let (guard, fake, stack, _) = started(60_000);
        let deadline = Deadline::new(rpc::clock::now(), Millis(50));
        guard.set(&stack, LeaseView { right: Some((Epoch(1), Some(deadline))) });
        assert!(guard.permits(&stack, Epoch(1)) && !guard.permits(&stack, Epoch(2)));
        until("the sessions are dropped", || fake.0.load(Ordering::SeqCst) == 1);
        assert!(!guard.permits(&stack, Epoch(1)));
        guard.end();
    }

    #[test]
    fn a_held_right_stays() {
        let (guard, _, stack, _) = started(60_000);
        guard.set(&stack, LeaseView { right: Some((Epoch(1), None)) });
        assert!(guard.permits(&stack, Epoch(1)));
        guard.end();
    }

    #[test]
    fn a_loop_that_does_not_turn_for_longer_than_f_is_noticed() {
        let (guard, _, _, hangs) = started(160);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(400) {
            guard.turn();
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(hangs.load(Ordering::SeqCst), 0);
        until("the hang is noticed", || hangs.load(Ordering::SeqCst) > 0);
        guard.end();
    }
}
