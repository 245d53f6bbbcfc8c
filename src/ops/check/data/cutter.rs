//! A pack in pieces, cut into its segments.

use super::pipeline::{InHand, Job, Shared, cost};
use crate::pack::{self, SegmentEntry};
use crossbeam_channel::Sender;
use std::sync::Arc;

/// Cuts a pack that comes in pieces into its segments.
pub(super) struct Cutter<'c, 'a, 'r> {
    pub(super) shared: &'c Shared<'a, 'r>,
    pub(super) pack: &'c Arc<InHand>,
    pub(super) jobs: &'c Sender<Job>,
    pub(super) opens: bool,
    /// The segment that is cut now or next.
    pub(super) next: usize,
    /// Its bytes so far; `None` before its first, or when some could not be read.
    pub(super) sealed: Option<Vec<u8>>,
}

impl Cutter<'_, '_, '_> {
    /// Takes the piece at `at`, which could be read or not.
    pub(super) fn take(&mut self, at: u64, piece: &[u8], got: bool) {
        let end = at + piece.len() as u64;
        while let Some(segment) = self.pack.directory.segments.get(self.next) {
            let (from, to) = (segment.offset, segment.offset + u64::from(segment.stored));
            if from >= end {
                return;
            }
            if from >= at && got && self.opens {
                self.shared.acquire(cost(segment));
                let mut sealed = self.shared.sealed.take_of(segment.stored as usize);
                sealed.clear();
                self.sealed = Some(sealed);
            }
            if !got && self.sealed.take().is_some() {
                self.shared.release(cost(segment));
            }
            let part = piece.get((from.max(at) - at) as usize..(to.min(end) - at) as usize).unwrap_or_default();
            if let Some(sealed) = &mut self.sealed {
                sealed.extend_from_slice(part);
            }
            if to > end {
                return;
            }
            self.close();
        }
    }

    /// The segment that is cut now is done.
    fn close(&mut self) {
        let segment = self.next;
        self.next += 1;
        let Some(entry) = self.pack.directory.segments.get(segment) else { return };
        match self.sealed.take() {
            Some(sealed) if sealed.len() == entry.stored as usize => {
                let job = Job { pack: self.pack.clone(), segment, sealed };
                self.pack.take_one();
                // Workers outlive readers.
                if let Err(unsent) = self.jobs.send(job) {
                    self.shared.release(unsent.0.cost());
                }
            }
            cut => {
                if cut.is_some() {
                    self.shared.release(cost(entry));
                }
                if self.opens {
                    self.lost(entry);
                }
            }
        }
    }

    fn lost(&self, entry: &SegmentEntry) {
        self.pack.damage();
        let object = pack::object_name(&self.pack.id);
        let number = self.shared.found.add(object.as_str(), format!("the segment at {} cannot be read", entry.offset));
        self.shared.found.damage().segments.insert((self.pack.id, entry.offset), number);
    }

    /// What was not reached is not there.
    pub(super) fn finish(mut self) {
        while self.next < self.pack.directory.segments.len() {
            self.close();
        }
    }
}

impl Drop for Cutter<'_, '_, '_> {
    /// A reader that stops midway gives back what it took: others may wait for it.
    fn drop(&mut self) {
        if self.sealed.take().is_some()
            && let Some(segment) = self.pack.directory.segments.get(self.next)
        {
            self.shared.release(cost(segment));
        }
    }
}
