//! Buffers that wait to be used again.

use std::sync::{Mutex, MutexGuard};

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

    /// Takes one back.
    pub fn give(&self, buffer: Vec<u8>) {
        let mut kept = self.lock();
        if (1..=self.bytes).contains(&buffer.capacity()) && kept.len() < self.number {
            kept.push(buffer);
        }
    }
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
}
