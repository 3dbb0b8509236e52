//! The kernel timer: ends a hung or stopped gate, and with it all that must die with it.
//!
//! `timer_create(CLOCK_BOOTTIME)` with SIGKILL to the gate itself: a stopped process takes
//! that too, and no code of the gate has to run for it.

use crate::Error;
use crate::sys::checked;
use model::{Millis, Moment};

/// A timer of the kernel that kills this process when it is due.
pub(crate) struct KernelTimer {
    id: libc::timer_t,
    due: Option<u64>,
}

impl KernelTimer {
    /// A timer that is not armed.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut id = std::ptr::null_mut();
        // SAFETY: all-zero is a valid sigevent; the three fields that the kernel reads for
        // SIGEV_SIGNAL are set, and both pointers are live.
        let code = unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = libc::SIGKILL;
            libc::timer_create(libc::CLOCK_BOOTTIME, &raw mut event, &raw mut id)
        };
        checked(code).map_err(Error::system("create the kernel timer"))?;
        Ok(Self { id, due: None })
    }

    /// Due `span` after `start`, by CLOCK_BOOTTIME; one that is past already is due at once.
    pub(crate) fn arm(&mut self, start: Moment, span: Millis) -> Result<(), Error> {
        // Zero would disarm it.
        self.set(start.after(span).boottime.max(1))
    }

    /// Never due.
    pub(crate) fn disarm(&mut self) -> Result<(), Error> {
        self.set(0)
    }

    fn set(&mut self, micros: u64) -> Result<(), Error> {
        if self.due == Some(micros) {
            return Ok(());
        }
        let at = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value =
            libc::timespec { tv_sec: at(micros / 1_000_000), tv_nsec: at(micros % 1_000_000 * 1_000) };
        let due = libc::itimerspec { it_interval: zero, it_value: value };
        // SAFETY: the timer is ours and `due` is live.
        let code = unsafe {
            libc::timer_settime(self.id, libc::TIMER_ABSTIME, &raw const due, std::ptr::null_mut())
        };
        checked(code).map_err(Error::system("arm the kernel timer"))?;
        self.due = Some(micros);
        Ok(())
    }
}
