//! Fetches what a window wants: readers bring stretches of packs, workers open them, verify every blob and write it.

use super::{
    Job,
    files::Files,
    tally::count,
    window::{Needed, Read, Want},
};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    index::{Located, Runs},
    monitor::Counter,
    ops, pack,
    repo::spares::{SEGMENT_ROOM, Spares},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Threads that wait for the store.
const READERS: usize = 2;
/// Stretches of packs whose buffers wait to be used again.
const SPARES: usize = 2;

/// Bytes in flight.
struct Budget {
    used: Mutex<usize>,
    freed: Condvar,
    max: usize,
}

impl Budget {
    /// Waits until there is room; what is larger than everything goes alone.
    fn take(&self, bytes: usize) {
        let mut used = self.used.lock().unwrap_or_else(|e| e.into_inner());
        while *used > 0 && *used + bytes > self.max {
            used = self.freed.wait(used).unwrap_or_else(|e| e.into_inner());
        }
        *used += bytes;
    }

    fn give(&self, bytes: usize) {
        *self.used.lock().unwrap_or_else(|e| e.into_inner()) -= bytes;
        self.freed.notify_all();
    }
}

/// What the threads share.
struct Fetch<'w> {
    job: &'w Job<'w>,
    runs: &'w Runs,
    wants: &'w [Want],
    needed: &'w [Needed],
    reads: &'w [Read],
    next: AtomicUsize,
    budget: Budget,
    spares: Spares,
    files: &'w Files<'w>,
}

/// A stretch of a pack on its way to a worker.
type Brought<'w> = (&'w Read, Result<Vec<u8>>);

/// Buffers of a worker.
#[derive(Default)]
struct Scratch {
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

/// Reads and writes all that the window wants, and finishes the files that want nothing. Ends early, and without an error,
/// when the restore is to stop.
pub(super) fn execute(
    job: &Job<'_>,
    runs: &Runs,
    wants: &[Want],
    (needed, reads): (&[Needed], &[Read]),
    files: &Files<'_>,
) -> Result<()> {
    let budget = Budget { used: Mutex::new(0), freed: Condvar::new(), max: job.limits.in_flight };
    let spares = Spares::new(SPARES, SEGMENT_ROOM);
    let fetch = Fetch { job, runs, wants, needed, reads, next: AtomicUsize::new(0), budget, spares, files };
    let workers = ops::threads(job.request.threads).min(reads.len());
    let failed = |e| Error::store("start a thread to read", "packs", e);
    thread::scope(|scope| {
        let (send, receive) = bounded::<Brought<'_>>(workers.max(1));
        let fetch = &fetch;
        let named = |name: &str| thread::Builder::new().name(name.into());
        for _ in 0..workers {
            let receive = receive.clone();
            named("restore").spawn_scoped(scope, move || fetch.work(&receive)).map_err(failed)?;
        }
        drop(receive);
        for _ in 0..READERS.min(reads.len()) {
            let send = send.clone();
            named("read").spawn_scoped(scope, move || fetch.read(&send)).map_err(failed)?;
        }
        drop(send);
        for (index, item) in (0..).zip(files.items) {
            if job.tally.stop() {
                break;
            }
            // The others count down; these never were above zero.
            if !item.more && item.idle {
                files.finish(index, item);
            }
        }
        Ok(())
    })
}

impl<'w> Fetch<'w> {
    fn read(&self, send: &Sender<Brought<'w>>) {
        while !self.job.tally.stop() {
            let Some(read) = self.reads.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            self.budget.take(read.cost);
            let is_shared = self.needed.get(read.parts.start).is_some_and(|needed| needed.shared);
            // Who opens it may find it opened.
            let bytes = if is_shared { Ok(Vec::new()) } else { self.bytes(read.parts.start, read.offset, read.len) };
            if send.send((read, bytes)).is_err() {
                self.budget.give(read.cost);
                return;
            }
        }
    }

    fn locate(&self, needed: &Needed) -> Option<Located> {
        let (run, segment) = self.runs.resolve(needed.run, needed.segment)?;
        run.locate(segment)
    }

    /// Bytes of the pack that a segment lies in.
    fn bytes(&self, segment: usize, offset: u64, len: usize) -> Result<Vec<u8>> {
        let needed = self.needed.get(segment);
        let located = needed.and_then(|needed| self.locate(needed));
        let Some(located) = located else { return Err(Error::Missing { object: "a segment".into() }) };
        let mut bytes = self.spares.take_of(len);
        self.job.reader.repo().store().get_range(&pack::object_name(&located.pack), offset, &mut bytes)?;
        count(&self.job.tally.bytes_fetched, len as u64);
        self.job.monitor.add(Counter::Stored, len as u64);
        Ok(bytes)
    }

    fn work(&self, receive: &Receiver<Brought<'w>>) {
        let mut scratch = Scratch::default();
        for (read, bytes) in receive {
            // What is not written then is undone by who waits for us.
            if !self.job.tally.stop() {
                self.take(read, bytes, &mut scratch);
            }
            self.budget.give(read.cost);
        }
    }

    fn take(&self, read: &Read, bytes: Result<Vec<u8>>, scratch: &mut Scratch) {
        if let Some(needed) = self.needed.get(read.parts.start).filter(|needed| needed.shared) {
            return self.take_shared(needed);
        }
        let alone = read.parts.len() == 1;
        let mut bytes = match bytes {
            Ok(bytes) => Some(bytes),
            Err(error) if alone => {
                for needed in self.needed.get(read.parts.clone()).unwrap_or_default() {
                    self.elsewhere(needed, &error);
                }
                return;
            }
            Err(_) => None,
        };
        for (at, needed) in read.parts.clone().zip(self.needed.get(read.parts.clone()).unwrap_or_default()) {
            if self.job.tally.stop() {
                return;
            }
            let start = (needed.offset - read.offset) as usize;
            let sealed = match &mut bytes {
                Some(bytes) if alone => Ok(std::mem::take(bytes)),
                Some(bytes) => {
                    let mut sealed = std::mem::take(&mut scratch.sealed);
                    sealed.clear();
                    sealed.extend_from_slice(bytes.get(start..start + needed.stored as usize).unwrap_or_default());
                    Ok(sealed)
                }
                // The stretch could not be read as a whole; perhaps parts of it can.
                None => self.bytes(at, needed.offset, needed.stored as usize),
            };
            let opened = sealed.and_then(|mut sealed| {
                let located = self.locate(needed).ok_or_else(|| Error::Missing { object: "a segment".into() })?;
                let opened = self.job.reader.open_sealed(&located, &mut sealed, &mut scratch.plain);
                // Of one that is as long as its stretch, the stretch's own.
                self.spares.give(std::mem::replace(&mut scratch.sealed, sealed));
                opened
            });
            match opened {
                Ok(()) => self.write(needed, |want| {
                    let start = want.offset as usize;
                    let bytes = scratch.plain.get(start..start + want.len as usize)?;
                    self.is(&want.id, bytes).then_some(bytes)
                }),
                Err(error) => self.elsewhere(needed, &error),
            }
        }
        bytes.into_iter().for_each(|bytes| self.spares.give(bytes));
    }

    /// One that others lean on, or that leans on others: kept by the reader for a while.
    fn take_shared(&self, needed: &Needed) {
        let located = self.locate(needed).ok_or_else(|| Error::Missing { object: "a segment".into() });
        match located.and_then(|located| self.job.reader.segment_in_place(&located)) {
            Ok(opened) => {
                count(&self.job.tally.bytes_fetched, needed.stored.into());
                self.job.monitor.add(Counter::Stored, needed.stored.into());
                self.write(needed, |want| {
                    let claim = (BlobKind::Data, want.id, want.offset, want.offset.saturating_add(want.len));
                    opened.bytes().get(opened.prove(claim, |bytes| self.is(&want.id, bytes))?)
                });
            }
            Err(error) => self.elsewhere(needed, &error),
        }
    }

    fn wants(&self, needed: &Needed) -> &'w [Want] {
        self.wants.get(needed.wants.clone()).unwrap_or_default()
    }

    /// Writes what is wanted of an opened segment, which `proven` gives the bytes of.
    fn write<'p>(&self, needed: &Needed, proven: impl Fn(&Want) -> Option<&'p [u8]>) {
        // Sorted, so what goes to several places is verified once.
        for same in self.wants(needed).chunk_by(|a, b| (a.offset, a.len, a.id) == (b.offset, b.len, b.id)) {
            let Some(first) = same.first() else { continue };
            match proven(first) {
                Some(bytes) => same.iter().for_each(|want| self.files.write(want, bytes)),
                None => {
                    let error = Error::corrupt(format!("data {}", first.id.short()), "it has other bytes");
                    self.blob_elsewhere(same, &error);
                }
            }
        }
    }

    fn is(&self, id: &BlobId, bytes: &[u8]) -> bool {
        self.job.reader.repo().namer().name(BlobKind::Data, bytes) == *id
    }

    /// A segment cannot be had: what is wanted of it may lie in other places too.
    fn elsewhere(&self, needed: &Needed, error: &Error) {
        for same in self.wants(needed).chunk_by(|a, b| (a.len, a.id) == (b.len, b.id)) {
            self.blob_elsewhere(same, error);
        }
    }

    fn blob_elsewhere(&self, same: &[Want], error: &Error) {
        let Some(first) = same.first() else { return };
        let is_missing = matches!(error, Error::Missing { .. });
        let found = if is_missing || self.job.reader.index().places(&first.id).len() > 1 {
            self.job.reader.blob(BlobKind::Data, &first.id).ok().filter(|bytes| bytes.len() == first.len as usize)
        } else {
            None
        };
        match found {
            Some(bytes) => same.iter().for_each(|want| self.files.write(want, &bytes)),
            None => {
                let why = error.to_string();
                same.iter().for_each(|want| self.files.fail(want, &why));
            }
        }
    }
}
