//! Snapshots that are compared ahead of whoever hears of it, by several threads that stay close to one another: the segments that
//! one of them opens are those that the others need. Far apart, each would need room for its own.

use super::changes::{Shelf, Stretch, changes};
use crate::{
    error::{Error, Result},
    model::snapshot::Snapshot,
    monitor::Monitor,
    repo::Listed,
};
use crossbeam_channel::bounded;
use std::{collections::VecDeque, ops::Range};

/// Snapshots that one thread compares in one go.
const STRETCH: usize = if cfg!(test) { 2 } else { 8 };
/// Stretches for each thread that are under way, or wait to be told.
const WAITING: usize = 2;

/// Hears of a stretch of the snapshots, and what they changed: fewer lists than there are snapshots when one changed too much.
pub(super) type Each<'a> = dyn FnMut(Range<usize>, Stretch) -> Result<()> + 'a;

/// What some of `snapshots` changed, each against the one before it; before the first is `before`.
pub(super) fn compare_some(
    shelf: &Shelf<'_>,
    before: Option<&Snapshot>,
    snapshots: &[Listed],
    range: Range<usize>,
    monitor: &dyn Monitor,
) -> Result<Stretch> {
    let before = match range.start.checked_sub(1) {
        Some(at) => snapshots.get(at).map(|listed| &listed.snapshot),
        None => before,
    };
    changes(shelf, before, snapshots.get(range).unwrap_or_default(), monitor)
}

/// The same of all, stretch by stretch in order.
pub(super) fn compare_all(
    shelf: &Shelf<'_>,
    before: Option<&Snapshot>,
    snapshots: &[Listed],
    each: &mut Each<'_>,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut ranges = (0..snapshots.len()).step_by(STRETCH).map(|from| from..(from + STRETCH).min(snapshots.len()));
    let at_once = WAITING * rayon::current_num_threads().max(1);
    rayon::in_place_scope_fifo(|scope| {
        let mut waiting = VecDeque::new();
        loop {
            while waiting.len() < at_once
                && let Some(range) = ranges.next()
            {
                let ((send, receive), stretch) = (bounded(1), range.clone());
                scope.spawn_fifo(move |_| {
                    // Nobody waits for it any more when another one failed.
                    let _ = send.send(compare_some(shelf, before, snapshots, stretch, monitor));
                });
                waiting.push_back((range, receive));
            }
            let Some((range, receive)) = waiting.pop_front() else { return Ok(()) };
            // Nothing comes from a thread that died, of which the scope tells in its end.
            each(range, receive.recv().unwrap_or(Err(Error::Cancelled))?)?;
        }
    })
}
