//! Where the process's randomness comes from: in a thread that runs a simulation, a stream of
//! the seed; elsewhere the kernel, as always.
//!
//! The libraries below us draw from the system: tokio's `select!` and the maps of the standard
//! library by `RandomState`, openraft's election timeouts by `ThreadRng`. All of these ask the C
//! function `getrandom`, and a definition in this test binary takes the place of libc's. Only
//! `ring` asks the kernel itself: keys and nonces of TLS differ from run to run.

use crate::dice::mix;
use std::cell::Cell;

thread_local! {
    static STREAM: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on this thread's randomness follows from `seed`. Call it first of all in a new thread.
pub fn seeded(seed: u64) {
    STREAM.set(Some(seed));
}

/// # Safety
/// As `getrandom(2)`: `buffer` points to `length` writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    let Some(mut state) = STREAM.get() else {
        // SAFETY: the caller's promise, handed on.
        let got = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(got).unwrap_or(-1);
    };
    for at in 0..length {
        // SAFETY: `at` is below the length that the caller promised.
        unsafe { buffer.add(at).write(mix(&mut state).to_le_bytes()[0]) };
    }
    STREAM.set(Some(state));
    isize::try_from(length).unwrap_or(-1)
}
