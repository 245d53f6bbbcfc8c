//! The listener of a long operation: phases, counters, problems, and the wish to stop.
//!
//! Operations tell a [`Monitor`] what they do and return what came of it: exit codes follow from returned values, never
//! from what a monitor heard.

use crate::error::{Error, Result};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// What an operation is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading the list of snapshots, the index, the parent.
    Opening,
    /// Reading users' files and storing what is new.
    Storing,
    /// Making what was stored durable and writing the snapshot.
    Publishing,
    /// Reading trees to find what is to be done.
    Planning,
    /// Writing users' files.
    Restoring,
    /// Removing objects that nothing needs.
    Removing,
    /// Moving what is needed out of objects that are to go.
    Moving,
    /// Comparing restored or stored bytes with what they should be.
    Verifying,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Directory entries seen.
    Entries,
    /// Bytes of users' data dealt with, read or known to be unchanged.
    Bytes,
    /// Bytes read from users' files.
    Read,
    /// Bytes of plaintext that were new to the repository.
    New,
    /// Bytes written to, or read from, the store.
    Stored,
    /// Objects of the store dealt with.
    Objects,
}

/// Number of [`Counter`]s.
pub const COUNTERS: usize = 6;

/// Hears of an operation's progress. All methods may be called from any thread, and often.
pub trait Monitor: Send + Sync {
    /// A new phase begins.
    fn phase(&self, _phase: Phase) {}
    /// A counter grew.
    fn add(&self, _counter: Counter, _n: u64) {}
    /// A counter is expected to reach this total: called again when the estimate improves.
    fn expect(&self, _counter: Counter, _total: u64) {}
    /// The path that is dealt with now (bytes, not yet safe to print).
    fn at(&self, _path: &[u8]) {}
    /// Something went wrong with one entry or object; the operation goes on. Already safe to print.
    fn problem(&self, _text: &str) {}
    /// Something worth knowing that is no problem. Already safe to print.
    fn note(&self, _text: &str) {}
    /// True once the user asked to stop.
    fn cancelled(&self) -> bool {
        false
    }
    /// [`Error::Cancelled`] once the user asked to stop.
    fn check(&self) -> Result<()> {
        if self.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Monitor for Silent {}

/// Keeps what it hears, for tests; can be told to cancel.
#[derive(Debug, Default)]
pub struct Recording {
    counters: [AtomicU64; COUNTERS],
    problems: Mutex<Vec<String>>,
    notes: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Recording {
    /// The sum of what was added to a counter.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// The problems heard so far.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// The notes heard so far.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Asks the operation to stop.
    pub fn cancel(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Monitor for Recording {
    fn add(&self, counter: Counter, n: u64) {
        self.counters[counter as usize].fetch_add(n, Ordering::Relaxed);
    }
    fn problem(&self, text: &str) {
        self.problems.lock().unwrap_or_else(|e| e.into_inner()).push(text.to_owned());
    }
    fn note(&self, text: &str) {
        self.notes.lock().unwrap_or_else(|e| e.into_inner()).push(text.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
