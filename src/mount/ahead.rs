//! What will be read next: files that are read from front to back are opened ahead of their readers, by other threads.

use lru::LruCache;
use std::{
    num::NonZeroUsize,
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Files whose readers are watched.
const FILES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Requests of one reader overtake one another by less than this, in bytes: the kernel sends several at once.
const SLACK: u64 = 2 << 20;
/// What is opened ahead at first, in bytes; it doubles with each step.
const WINDOW_MIN: u64 = 2 << 20;
/// A stretch that one thread opens, in bytes: about a segment.
pub const STEP: u64 = 1 << 20;

/// How far a file was read.
struct Course {
    /// Where the reader is, in bytes.
    at: u64,
    /// What was opened ahead ends here.
    ahead: u64,
    window: u64,
}

/// Watches who reads what.
pub struct Ahead {
    window_max: u64,
    files: Mutex<LruCache<u64, Course>>,
}

impl Ahead {
    /// Opens at most `window_max` bytes ahead of a reader.
    pub fn new(window_max: u64) -> Self {
        Ahead { window_max, files: Mutex::new(LruCache::new(FILES)) }
    }

    /// Hears that `len` bytes at `offset` of the file of this number are read, and gives what should be opened now.
    pub fn watch(&self, number: u64, offset: u64, len: u64) -> Range<u64> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset.saturating_add(len);
        let begun = Course { at: 0, ahead: 0, window: WINDOW_MIN };
        let course = files.get_or_insert_mut(number, || begun);
        if course.at.abs_diff(offset) > SLACK {
            // Somewhere else: nothing is known of where it goes on.
            *course = Course { at: end, ahead: end, window: WINDOW_MIN };
            return end..end;
        }
        course.at = course.at.max(end);
        let from = course.ahead.max(course.at);
        // Not for each request, but when half of what was opened is used up.
        if from > course.at + course.window / 2 {
            return from..from;
        }
        let to = course.at + course.window;
        course.ahead = to;
        course.window = (2 * course.window).min(self.window_max).max(WINDOW_MIN);
        from..to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_on_is_preceded_by_more_and_more_once() {
        let ahead = Ahead::new(16 << 20);
        let mut opened = 0;
        for at in (0..64 << 20).step_by(128 << 10) {
            let next = ahead.watch(7, at, 128 << 10);
            assert!(next.is_empty() || next.start >= opened, "{next:?} was opened before {opened}");
            opened = opened.max(next.end);
            assert!(opened > at + (128 << 10), "at {at} nothing is ahead");
            assert!(opened <= at + (17 << 20), "at {at} too much is ahead: {opened}");
        }
    }

    #[test]
    fn who_jumps_is_not_preceded() {
        let ahead = Ahead::new(16 << 20);
        for n in 1..1000u64 {
            let at = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (3 << 30);
            let next = ahead.watch(7, at, 4096);
            assert!(next.is_empty() || next.end - next.start <= WINDOW_MIN);
        }
        // Two readers of two files do not disturb one another.
        for at in (0..8 << 20).step_by(1 << 20) {
            ahead.watch(1, at, 1 << 20);
            ahead.watch(2, (100 << 20) - at, 1 << 10);
        }
        assert!(!ahead.watch(1, 8 << 20, 6 << 20).is_empty());
    }
}
