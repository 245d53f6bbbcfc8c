//! Buffers that wait to be used again.

use std::sync::{Mutex, MutexGuard};

/// Room for the longest segments of the default configuration, opened or sealed.
pub const SEGMENT_ROOM: usize = 5 << 20;

/// Long buffers that were freed: the system may take longer to give out memory, page by page, than a segment takes to be copied there.
pub struct Spares {
    kept: Mutex<Vec<Vec<u8>>>,
    number: usize,
    bytes: usize,
}

impl Spares {
    /// Keeps at most so many, and none that has room for more than so many bytes.
    pub fn new(number: usize, bytes: usize) -> Self {
        Spares { kept: Mutex::default(), number, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.kept.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// One, whatever is in it.
    pub fn take(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }

    /// One of `len` bytes, whatever is in them.
    pub fn take_of(&self, len: usize) -> Vec<u8> {
        of_len(self.take(), len)
    }

    /// Takes one back.
    pub fn give(&self, buffer: Vec<u8>) {
        let mut kept = self.lock();
        if (1..=self.bytes).contains(&buffer.capacity()) && kept.len() < self.number {
            kept.push(buffer);
        }
    }
}

/// A buffer of `len` bytes, whatever is in them: this one where it has the room. What it holds is neither cleared nor copied.
pub fn of_len(mut buffer: Vec<u8>, len: usize) -> Vec<u8> {
    if buffer.capacity() < len {
        return vec![0; len];
    }
    buffer.resize(len, 0);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_kept_and_none_that_is_long() {
        let spares = Spares::new(2, 1000);
        for len in [0, 10, 5000, 20, 30] {
            spares.give(Vec::with_capacity(len));
        }
        let mut kept: Vec<usize> = (0..3).map(|_| spares.take().capacity()).collect();
        kept.sort_unstable();
        assert_eq!(kept, [0, 10, 20]);
    }

    #[test]
    fn a_buffer_is_as_long_as_is_asked_and_the_same_where_it_has_the_room() {
        let spares = Spares::new(1, 1000);
        spares.give(vec![7; 100]);
        let kept = spares.take_of(40);
        assert_eq!(kept, [7; 40]);
        let place = kept.as_ptr();
        spares.give(kept);
        let again = spares.take_of(100);
        assert_eq!((again.as_ptr(), again.len()), (place, 100));
        spares.give(again);
        // What is too short for it is let go: its bytes would be copied for nothing.
        let longer = spares.take_of(500);
        assert_eq!((longer.len(), longer.capacity()), (500, 500));
    }
}
