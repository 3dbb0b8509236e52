//! Ctrl-C and SIGTERM: noted, and looked at between two steps, so that everything is cleaned up
//! on the way out.

use anyhow::{Result, bail};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Notes the signals from now on.
///
/// # Errors
/// If the handlers can't be set.
pub fn watch() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does nothing but store to an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action)? };
    }
    Ok(())
}

/// True once a signal came.
#[must_use]
pub fn noted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Ends the work if a signal came.
///
/// # Errors
/// "interrupted".
pub fn check() -> Result<()> {
    if noted() {
        bail!("interrupted");
    }
    Ok(())
}
