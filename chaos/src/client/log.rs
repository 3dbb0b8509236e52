//! A client's log, one line an event, times in nanoseconds of the observers' clock:
//!
//! - `A id sent acked host` acknowledged
//! - `U id sent ended host why` outcome unknown, or failed
//! - `C time host` this host is the one that it writes to
//! - `T time host` tried to connect (at most five times a second)
//! - `E time host why` a new reason why a host doesn't do

use crate::clock;
use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Least time between two `T` lines of a host.
const TRY_EVERY: u64 = 200_000_000;

/// The log of one client; single-threaded.
pub struct Log {
    inner: RefCell<Inner>,
}

struct Inner {
    file: BufWriter<File>,
    tried: BTreeMap<String, u64>,
    reasons: BTreeMap<String, String>,
}

impl Log {
    /// Begins a new log.
    ///
    /// # Errors
    /// If the file can't be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let inner = Inner { file: BufWriter::new(file), tried: BTreeMap::new(), reasons: BTreeMap::new() };
        Ok(Self { inner: RefCell::new(inner) })
    }

    /// An acknowledgement read now.
    pub fn acked(&self, id: u64, sent: u64, host: &str) {
        self.line(format_args!("A {id} {sent} {} {host}", clock::now()));
        self.inner.borrow_mut().reasons.remove(host);
    }

    /// A write that failed, or of which nobody knows.
    pub fn unknown(&self, id: u64, sent: u64, host: &str, why: &str) {
        self.line(format_args!("U {id} {sent} {} {host} {}", clock::now(), one_line(why)));
    }

    /// The client writes to this host from now on.
    pub fn chosen(&self, host: &str) {
        self.line(format_args!("C {} {host}", clock::now()));
    }

    /// A connection is tried.
    pub fn tried(&self, host: &str) {
        let now = clock::now();
        let last = self.inner.borrow().tried.get(host).copied().unwrap_or(0);
        if now >= last + TRY_EVERY {
            self.inner.borrow_mut().tried.insert(host.to_owned(), now);
            self.line(format_args!("T {now} {host}"));
        }
    }

    /// Why a host does not do; said once until the reason changes.
    pub fn refused(&self, host: &str, why: &str) {
        let why = one_line(why);
        if self.inner.borrow().reasons.get(host) != Some(&why) {
            self.line(format_args!("E {} {host} {why}", clock::now()));
            self.inner.borrow_mut().reasons.insert(host.to_owned(), why);
        }
    }

    /// Makes all lines visible to readers.
    pub fn flush(&self) {
        let _ = self.inner.borrow_mut().file.flush(); // a full disk shows as a run that doesn't count
    }

    fn line(&self, text: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.inner.borrow_mut().file, "{text}");
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
