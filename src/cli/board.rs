//! What an operation has told so far: written by many threads, read by the one that shows it.

use super::{screen::Screen, signals::Interrupts};
use crate::{
    model::limits,
    monitor::{COUNTERS, Counter, Monitor, Phase},
};
use serde_json::json;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
};

/// Problems that people are shown; the rest is counted.
const PROBLEMS_SHOWN: u64 = 20;
/// Longest path that is kept for showing, in bytes.
const PATH_MAX: usize = 4096;

/// A counter on a cache line of its own: the threads that add to one do not slow down those that add to another.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Count(AtomicU64);

/// Hears an operation.
pub struct Board {
    counts: [Count; COUNTERS],
    expected: [AtomicU64; COUNTERS],
    phase: AtomicU8,
    /// Set by the reader: the next path is wanted. All others cost one load.
    path_wanted: AtomicBool,
    path: Mutex<Vec<u8>>,
    problems: AtomicU64,
    /// Problems are told by the command, when it is done.
    holding: AtomicBool,
    /// The problems that were shown, or are held.
    told: Mutex<Vec<String>>,
    screen: Arc<Screen>,
    interrupts: Arc<Interrupts>,
}

/// The board at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What is being done.
    pub phase: Phase,
    counts: [u64; COUNTERS],
    expected: [u64; COUNTERS],
    /// Problems so far.
    pub problems: u64,
}

impl Reading {
    /// A counter's value.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// What it is expected to reach, when that is known.
    pub fn expected(&self, counter: Counter) -> Option<u64> {
        Some(self.expected[counter as usize]).filter(|&total| total > 0)
    }

    /// The counter that tells best how far the operation is: bytes, or objects where there are none.
    pub fn leading(&self) -> Counter {
        let known = |&counter: &Counter| self.expected(counter).is_some();
        let counted = |&counter: &Counter| self.count(counter) > 0;
        let order = [Counter::Bytes, Counter::Objects, Counter::Entries];
        order.into_iter().find(known).or_else(|| order.into_iter().find(counted)).unwrap_or(Counter::Bytes)
    }
}

const PHASES: [Phase; 8] = [
    Phase::Opening,
    Phase::Storing,
    Phase::Publishing,
    Phase::Planning,
    Phase::Restoring,
    Phase::Removing,
    Phase::Moving,
    Phase::Verifying,
];

/// A phase's name, for people and programs.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Opening => "opening",
        Phase::Storing => "storing",
        Phase::Publishing => "publishing",
        Phase::Planning => "planning",
        Phase::Restoring => "restoring",
        Phase::Removing => "removing",
        Phase::Moving => "moving",
        Phase::Verifying => "verifying",
    }
}

impl Board {
    /// An empty board.
    pub fn new(screen: Arc<Screen>, interrupts: Arc<Interrupts>) -> Self {
        Board {
            counts: Default::default(),
            expected: Default::default(),
            phase: AtomicU8::new(0),
            path_wanted: AtomicBool::new(true),
            path: Mutex::default(),
            problems: AtomicU64::new(0),
            holding: AtomicBool::new(false),
            told: Mutex::default(),
            screen,
            interrupts,
        }
    }

    /// The numbers now.
    pub fn read(&self) -> Reading {
        let phase = PHASES.get(usize::from(self.phase.load(Relaxed))).copied().unwrap_or(Phase::Opening);
        Reading {
            phase,
            counts: std::array::from_fn(|i| self.counts[i].0.load(Relaxed)),
            expected: std::array::from_fn(|i| self.expected[i].load(Relaxed)),
            problems: self.problems.load(Relaxed),
        }
    }

    fn path(&self) -> MutexGuard<'_, Vec<u8>> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, Vec<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on problems are kept, not shown.
    pub fn hold_problems(&self) {
        self.holding.store(true, Relaxed);
    }

    /// The problems that were shown, or held.
    pub fn take_told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told())
    }

    /// The path that was dealt with a moment ago, and asks for the next.
    pub fn take_path(&self) -> Vec<u8> {
        let path = self.path().clone();
        self.path_wanted.store(true, Relaxed);
        path
    }
}

impl Monitor for Board {
    fn phase(&self, phase: Phase) {
        let number = PHASES.iter().position(|&other| other == phase).unwrap_or(0);
        self.phase.store(number as u8, Relaxed);
        self.path().clear();
    }

    fn add(&self, counter: Counter, n: u64) {
        self.counts[counter as usize].0.fetch_add(n, Relaxed);
    }

    fn expect(&self, counter: Counter, total: u64) {
        self.expected[counter as usize].store(total, Relaxed);
    }

    fn at(&self, path: &[u8]) {
        if self.path_wanted.load(Relaxed) && self.path_wanted.swap(false, Relaxed) {
            let mut kept = self.path();
            kept.clear();
            // The end of a path tells more than its beginning.
            kept.extend_from_slice(&path[path.len().saturating_sub(PATH_MAX)..]);
        }
    }

    fn problem(&self, text: &str) {
        let before = self.problems.fetch_add(1, Relaxed);
        if self.screen.json {
            self.screen.event(&json!({ "event": "problem", "message": text }));
        } else if self.holding.load(Relaxed) {
            if before < limits::PROBLEMS_MAX as u64 {
                self.told().push(text.to_owned());
            }
        } else if before < PROBLEMS_SHOWN {
            self.told().push(text.to_owned());
            self.screen.warn(text);
        } else if before == PROBLEMS_SHOWN {
            self.screen.warn("there are more problems; they are counted now and told at the end");
        }
    }

    fn note(&self, text: &str) {
        if self.screen.json {
            self.screen.event(&json!({ "event": "note", "message": text }));
        } else {
            self.screen.note(text);
        }
    }

    fn cancelled(&self) -> bool {
        self.interrupts.stop.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_only_when_one_is_wanted() {
        let board = Board::new(Arc::new(Screen::new(false, true)), Arc::default());
        board.at(b"first");
        board.at(b"second");
        assert_eq!(board.take_path(), b"first");
        board.at(b"third");
        board.at(b"fourth");
        assert_eq!(board.take_path(), b"third");
        board.phase(Phase::Restoring);
        assert_eq!((board.read().phase, board.take_path().len()), (Phase::Restoring, 0));
    }

    #[test]
    fn what_leads_is_what_has_a_total() {
        let board = Board::new(Arc::new(Screen::new(false, true)), Arc::default());
        board.add(Counter::Bytes, 5);
        assert_eq!(board.read().leading(), Counter::Bytes);
        board.expect(Counter::Objects, 9);
        assert_eq!(board.read().leading(), Counter::Objects);
        board.expect(Counter::Bytes, 10);
        assert_eq!(board.read().leading(), Counter::Bytes);
    }
}
