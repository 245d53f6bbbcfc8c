//! Segments that wait for a worker.

use crossbeam_channel::Receiver;
use std::sync::Mutex;

/// Hands segments out in rows that lean on the same one: it is opened once, by the worker that needs it, and nobody waits for that. One
/// that leans on none is a row by itself.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// What a row may cost, unless it is of one segment: a part of what may be in flight, or the others would have nothing to do.
    most: u64,
}

struct State<T> {
    waiting: Receiver<T>,
    /// The first of the next row.
    next: Option<T>,
}

impl<T> Queue<T> {
    pub fn new(waiting: Receiver<T>, most: u64) -> Self {
        Queue { state: Mutex::new(State { waiting, next: None }), most }
    }

    /// Waits for a segment, and takes those with it that wait already and lean on the same, as `ground` says. Nothing comes when there
    /// are no more.
    pub fn take<G: PartialEq>(&self, row: &mut Vec<T>, ground: impl Fn(&T) -> Option<G>, cost: impl Fn(&T) -> u64) {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let Some(first) = state.next.take().or_else(|| state.waiting.recv().ok()) else { return };
        let (common, mut sum) = (ground(&first), cost(&first));
        row.push(first);
        while common.is_some()
            && sum < self.most
            && let Ok(next) = state.waiting.try_recv()
        {
            sum += cost(&next);
            if sum > self.most || ground(&next) != common {
                state.next = Some(next);
                return;
            }
            row.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;

    #[test]
    fn rows_end_where_the_next_is_other_where_nothing_waits_and_when_they_are_dear() {
        let (send, receive) = unbounded();
        let queue = Queue::new(receive, 100);
        // Those below ten go by themselves, the others by tens.
        let take = || {
            let mut row = Vec::new();
            queue.take(&mut row, |number| (*number > 9).then(|| number / 10), |number| u64::from(*number));
            row
        };
        for number in [1, 2, 11, 12, 13, 21, 3, 22] {
            send.send(number).unwrap();
        }
        let rows: Vec<Vec<u32>> = (0..6).map(|_| take()).collect();
        assert_eq!(rows, [vec![1], vec![2], vec![11, 12, 13], vec![21], vec![3], vec![22]]);
        for number in [31, 31, 31, 31, 200, 201, 25, 25, 25, 25, 25] {
            send.send(number).unwrap();
        }
        drop(send);
        assert_eq!([(); 7].map(|()| take().len()), [3, 1, 1, 1, 4, 1, 0]);
    }
}
