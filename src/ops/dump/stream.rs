//! What is to be written, in order, while workers fetch what comes next.

use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    model::{
        node::{Content, Extent},
        paging::each_extent,
    },
    monitor::{Counter, Monitor},
    ops,
    repo::BlobReader,
};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::{
    collections::VecDeque,
    io::{self, Write},
    thread,
};

/// Bytes that are on their way or wait to be written.
const WINDOW: u64 = 16 << 20;
/// Items that wait to be written.
const ITEMS: usize = 4096;
/// A job is closed when its blobs hold so many bytes.
const JOB_BYTES: u64 = 2 << 20;
/// Workers beyond these only take memory: one writer waits for them.
const WORKERS_MAX: usize = 8;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Something that is written in its turn.
enum Item {
    Bytes(Vec<u8>),
    Zeros(u64),
    /// The next blob of the jobs, of this length.
    Blob(u32),
}

/// Blobs of one segment, to be read by one worker, which opens it once.
#[derive(Default)]
struct Job {
    blobs: Vec<BlobId>,
    bytes: u64,
    segment: Option<(u32, u32)>,
}

type Answer = Result<Vec<Vec<u8>>>;

/// Takes what is to be written, in order.
pub(super) struct Stream<'s, 'r> {
    reader: &'s BlobReader<'r>,
    out: &'s mut dyn Write,
    monitor: &'s dyn Monitor,
    items: VecDeque<Item>,
    waiting: u64,
    open: Job,
    /// Answers of the jobs that were sent, in order.
    sent: VecDeque<Receiver<Answer>>,
    /// What is left of the answer that came last.
    ready: std::vec::IntoIter<Vec<u8>>,
    jobs: Sender<(Vec<BlobId>, Sender<Answer>)>,
}

/// Runs `work`, and writes all that it gave before it returns.
pub(super) fn run(
    reader: &BlobReader<'_>,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
    work: impl FnOnce(&mut Stream<'_, '_>) -> Result<()>,
) -> Result<()> {
    let (jobs, queue) = unbounded::<(Vec<BlobId>, Sender<Answer>)>();
    let workers = ops::threads(0).clamp(2, WORKERS_MAX);
    thread::scope(|scope| {
        for _ in 0..workers {
            let queue = queue.clone();
            thread::Builder::new()
                .name("dump".into())
                .spawn_scoped(scope, move || {
                    for (blobs, answer) in queue {
                        let blobs: Answer = blobs.iter().map(|id| reader.blob(BlobKind::Data, id)).collect();
                        // Nobody waits any more when the dump has failed.
                        let _ = answer.send(blobs);
                    }
                })
                .map_err(|e| Error::store("start a thread for", "packs", e))?;
        }
        let mut stream = Stream {
            reader,
            out,
            monitor,
            items: VecDeque::new(),
            waiting: 0,
            open: Job::default(),
            sent: VecDeque::new(),
            ready: Vec::new().into_iter(),
            jobs,
        };
        work(&mut stream)?;
        while !stream.items.is_empty() {
            stream.write_one()?;
        }
        stream.out.flush().map_err(write_failed)
    })
}

fn write_failed(source: io::Error) -> Error {
    Error::Target { path: "the output".into(), source }
}

impl<'s, 'r> Stream<'s, 'r> {
    /// The reader, for pages.
    pub(super) fn reader(&self) -> &'s BlobReader<'r> {
        self.reader
    }

    /// Tells where the work is.
    pub(super) fn at(&self, path: &[u8]) {
        self.monitor.at(path);
        self.monitor.add(Counter::Entries, 1);
    }

    /// Tells what is no problem. Must be safe to print.
    pub(super) fn note(&self, text: &str) {
        self.monitor.note(text);
    }

    /// Appends bytes.
    pub(super) fn bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        let len = bytes.len() as u64;
        self.push(Item::Bytes(bytes), len)
    }

    /// Appends zeros.
    pub(super) fn zeros(&mut self, len: u64) -> Result<()> {
        if len == 0 { Ok(()) } else { self.push(Item::Zeros(len), 0) }
    }

    /// Appends a file's bytes.
    pub(super) fn file(&mut self, content: &Content, size: u64) -> Result<()> {
        let reader = self.reader;
        each_extent(reader, content, size, &mut |extent| match extent {
            Extent::Hole { len } => self.zeros(len),
            Extent::Data { id, len, .. } => self.blob(id, len),
        })
    }

    fn blob(&mut self, id: BlobId, len: u32) -> Result<()> {
        let place = self.reader.index().place(&id);
        // The window counts what the extents say: it must be what will come.
        if place.is_some_and(|place| place.row.len != len) {
            return Err(wrong_length());
        }
        let segment = place.map(|place| (place.run, place.row.segment));
        if self.open.segment != segment || self.open.bytes >= JOB_BYTES {
            self.send_job()?;
            self.open.segment = segment;
        }
        self.open.blobs.push(id);
        self.open.bytes += u64::from(len);
        self.push(Item::Blob(len), u64::from(len))
    }

    fn send_job(&mut self) -> Result<()> {
        let job = std::mem::take(&mut self.open);
        if job.blobs.is_empty() {
            return Ok(());
        }
        let (send, receive) = bounded(1);
        self.sent.push_back(receive);
        self.jobs.send((job.blobs, send)).map_err(|_| workers_died())
    }

    fn push(&mut self, item: Item, len: u64) -> Result<()> {
        self.items.push_back(item);
        self.waiting += len;
        while self.waiting > WINDOW || self.items.len() > ITEMS {
            self.write_one()?;
        }
        Ok(())
    }

    /// Writes the item that is next.
    fn write_one(&mut self) -> Result<()> {
        self.monitor.check()?;
        match self.items.pop_front() {
            None => Ok(()),
            Some(Item::Bytes(bytes)) => {
                self.waiting -= bytes.len() as u64;
                self.out.write_all(&bytes).map_err(write_failed)
            }
            Some(Item::Zeros(mut left)) => {
                self.monitor.add(Counter::Bytes, left);
                while left > 0 {
                    self.monitor.check()?;
                    let part = left.min(ZEROS.len() as u64) as usize;
                    self.out.write_all(ZEROS.get(..part).unwrap_or(&ZEROS)).map_err(write_failed)?;
                    left -= part as u64;
                }
                Ok(())
            }
            Some(Item::Blob(len)) => {
                self.waiting -= u64::from(len);
                let bytes = self.next_blob()?;
                if bytes.len() != len as usize {
                    return Err(wrong_length());
                }
                self.monitor.add(Counter::Bytes, u64::from(len));
                self.out.write_all(&bytes).map_err(write_failed)
            }
        }
    }

    /// The next blob in the order in which they were asked for.
    fn next_blob(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(bytes) = self.ready.next() {
                return Ok(bytes);
            }
            if self.sent.is_empty() {
                self.send_job()?;
            }
            let answer = self.sent.pop_front().ok_or_else(workers_died)?;
            self.ready = answer.recv().map_err(|_| workers_died())??.into_iter();
        }
    }
}

fn wrong_length() -> Error {
    Error::corrupt("a tree", "a file's extent and its blob differ in length")
}

fn workers_died() -> Error {
    Error::Hardware { what: "a thread that reads packs died".into() }
}
