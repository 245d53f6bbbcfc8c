//! Reads files into buffers. Bytes are copied before they are hashed: a mapped file that its owner truncates would kill the
//! process, and one that changes underneath would yield a blob that does not match its id.

use super::{
    flow::{BUFFER, Batch, Buffer, Control, Done, Facts, Habits, Item, Piece, Pool, Stopped, Task, Ticket},
    previous::Previous,
};
use crate::{
    chunk::Chunker,
    fs::{
        PathError,
        dir::stat_file,
        extents::{Stretch, data_ranges},
        fiemap::physical_offset,
        metadata,
        order::{WINDOW, by_place},
        stat::Stat,
    },
    model::{node::Content, paging::PageSource},
    monitor::Counter,
};
use crossbeam_channel::{Receiver, Sender};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Longer files are read in parts.
const WHOLE_MAX: u64 = 1 << 20;
/// A batch is handed on when it holds so many bytes or files.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_FILES: usize = 512;
/// Pieces of one part: a file may have many small holes.
const PIECES_MAX: usize = 4096;

/// Reads files of one source; one for each thread.
pub struct Reader<'a> {
    pub control: &'a Control<'a>,
    pub chunker: &'a Chunker,
    pub pool: Pool,
    pub batches: Sender<Batch>,
    pub results: Sender<Vec<Done>>,
    /// Where the versions before are read from, when blobs may lean on them.
    pub before: Option<&'a (dyn PageSource + Sync)>,
    /// What happens to the source meanwhile.
    pub habits: Habits,
    /// Counts the bytes of the source that were new.
    pub new: Arc<AtomicU64>,
    batch: Option<Gathering>,
}

/// Small files that make a batch: the buffer, how much of it is full, and what lies in it.
type Gathering = (Buffer, usize, Vec<Item>);

/// A file that could not be read in whole.
enum Broken {
    Stopped,
    Io(io::Error),
}

impl From<Stopped> for Broken {
    fn from(_: Stopped) -> Self {
        Broken::Stopped
    }
}

impl<'a> Reader<'a> {
    /// Makes a reader.
    pub fn new(
        control: &'a Control<'a>,
        chunker: &'a Chunker,
        pool: Pool,
        batches: Sender<Batch>,
        results: Sender<Vec<Done>>,
        before: Option<&'a (dyn PageSource + Sync)>,
    ) -> Self {
        Reader {
            control,
            chunker,
            pool,
            batches,
            results,
            before,
            habits: Habits::default(),
            new: Arc::default(),
            batch: None,
        }
    }

    /// Reads what the walker asks for, until it has no more. On a rotational disk files are read in the order in which they lie on
    /// it, as far as the walker is ahead.
    pub fn run(mut self, tasks: &Receiver<Vec<Task>>, rotational: bool) -> Result<(), Stopped> {
        loop {
            let mut run = match tasks.try_recv() {
                Ok(run) => run,
                Err(_) => {
                    // What is gathered goes on before the wait: the walker may be waiting for it.
                    self.hand_on()?;
                    match self.control.receive(tasks)? {
                        Some(run) => run,
                        None => return Ok(()),
                    }
                }
            };
            if rotational {
                while run.len() < WINDOW
                    && let Ok(more) = tasks.try_recv()
                {
                    run.extend(more);
                }
                by_place(&mut run, |task| physical_offset(&self.open(task).ok()?.0));
            }
            for task in run {
                self.file(task)?;
            }
        }
    }

    fn file(&mut self, task: Task) -> Result<(), Stopped> {
        let (file, stat) = match self.open(&task) {
            Ok(opened) => opened,
            Err(error) => return self.failed(task.ticket, &error),
        };
        self.control.files_read.fetch_add(1, Ordering::Relaxed);
        let sparse = stat.blocks.saturating_mul(512) < stat.size;
        let result = if stat.size > WHOLE_MAX || (sparse && stat.size > 4096) || task.before.is_some() {
            self.in_parts(&task, &file, stat)
        } else {
            self.whole(&task, &file, stat)
        };
        match result {
            Ok(()) => Ok(()),
            Err(Broken::Stopped) => Err(Stopped),
            Err(Broken::Io(source)) => {
                self.failed(task.ticket, &PathError::new(task.dir.path_of(task.name.as_bytes()), "read", source))
            }
        }
    }

    fn open(&self, task: &Task) -> Result<(File, Stat), PathError> {
        self.control.files_opened.fetch_add(1, Ordering::Relaxed);
        task.dir.open_file(task.name.as_bytes())
    }

    fn failed(&mut self, ticket: Ticket, error: &PathError) -> Result<(), Stopped> {
        self.control.lost(error, self.habits);
        self.send(vec![Done::Failed { ticket }])
    }

    fn send(&self, done: Vec<Done>) -> Result<(), Stopped> {
        self.results.send(done).map_err(|_| Stopped)
    }

    fn counted(&self, bytes: usize) {
        self.control.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        self.control.monitor.add(Counter::Read, bytes as u64);
        self.control.monitor.add(Counter::Bytes, bytes as u64);
    }

    fn facts(&self, task: &Task, file: &File, stat: Stat, size: u64) -> Box<Facts> {
        let xattrs = metadata::xattrs_of_file(&task.dir, task.name.as_bytes(), file).unwrap_or_else(|error| {
            self.control.path_problem(&error);
            Vec::new()
        });
        Box::new(Facts { stat: Stat { size, ..stat }, xattrs })
    }

    fn changed(&self, task: &Task, what: &str) {
        self.control.problem(&task.dir.path_of(task.name.as_bytes()), what);
    }

    /// Records when a file is not what it was before it was read.
    fn compare(&self, task: &Task, file: &File, before: &Stat) {
        let times = |stat: &Stat| (stat.size, stat.mtime, stat.ctime);
        let differs = |after: Stat| times(&after) != times(before) && !(self.habits.grows && after.size >= before.size);
        if stat_file(file).is_ok_and(differs) {
            self.changed(task, "it changed while it was read; it may be inconsistent");
        }
    }

    fn buffer(&self) -> Result<Buffer, Stopped> {
        self.control.receive(&self.pool.free)?.ok_or(Stopped)
    }

    /// Reads a small file into the batch.
    fn whole(&mut self, task: &Task, file: &File, stat: Stat) -> Result<(), Broken> {
        let size = stat.size as usize;
        if self.batch.as_ref().is_some_and(|(buffer, used, _)| used + size + 1 > buffer.len()) {
            self.hand_on()?;
        }
        let (mut buffer, used, mut items) = match self.batch.take() {
            Some(batch) => batch,
            None => (self.buffer()?, 0, Vec::with_capacity(64)),
        };
        // One byte more than there should be: so what has grown shows. Once all that there should be is there, nothing more is asked
        // for: what grows after that shows in its metadata. Files of the kernel, which claim to be empty, are asked all the same.
        let room = &mut buffer[used..used + size + 1];
        let read = read_full(room, size.max(1), |part, at| file.read_at(part, at as u64));
        let len = match read {
            Ok(read) => read.min(size),
            Err(error) => {
                self.batch = Some((buffer, used, items));
                return Err(Broken::Io(error));
            }
        };
        self.counted(len);
        match read {
            Ok(read) if read > size && self.habits.grows => {}
            Ok(read) if read > size => self.changed(task, "it grew while it was read; what it held at first was kept"),
            Ok(read) if read < size => self.changed(task, "it shrank while it was read; what was left was kept"),
            _ => self.compare(task, file, &stat),
        }
        let facts = self.facts(task, file, stat, len as u64);
        items.push(Item::Whole { ticket: task.ticket, range: used..used + len, facts });
        let full = used + len >= BATCH_BYTES || items.len() >= BATCH_FILES;
        self.batch = Some((buffer, used + len, items));
        if full { self.hand_on().map_err(Broken::from) } else { Ok(()) }
    }

    /// Hands the batch of small files on.
    fn hand_on(&mut self) -> Result<(), Stopped> {
        match self.batch.take() {
            Some((buffer, _, items)) => self.send_batch(buffer, items),
            None => Ok(()),
        }
    }

    fn send_batch(&self, buffer: Buffer, items: Vec<Item>) -> Result<(), Stopped> {
        self.control.send(&self.batches, Batch { buffer, items, results: self.results.clone(), new: self.new.clone() })
    }

    /// Reads a long or sparse file, cut as it is read.
    fn in_parts(&mut self, task: &Task, file: &File, stat: Stat) -> Result<(), Broken> {
        self.hand_on()?;
        let mut cutter = Cutter::new(self, task.ticket, task.before.as_deref());
        let mut size = 0;
        let mut short = false;
        // Asked of every long file: one may have holes and still take more room than its size, behind its end.
        for stretch in data_ranges(file, stat.size, 0) {
            match stretch {
                Stretch::Hole { len, .. } => {
                    cutter.hole(len)?;
                    size += len;
                }
                Stretch::Data { offset, len } => {
                    let mut at = offset;
                    let end = offset + len;
                    while at < end {
                        let read = cutter.read(end - at, |room| file.read_at(room, at))?;
                        if read == 0 {
                            short = true;
                            break;
                        }
                        at += read as u64;
                    }
                    cutter.end_stretch()?;
                    size += at - offset;
                }
            }
            if short {
                break;
            }
        }
        let parts = cutter.finish()?;
        match stat_file(file) {
            Ok(after) if size < stat.size => {
                self.changed(task, &format!("it shrank from {} to {} bytes while it was read", stat.size, after.size));
            }
            Ok(_) => self.compare(task, file, &stat),
            Err(error) => return Err(Broken::Io(error)),
        }
        let facts = self.facts(task, file, stat, size);
        Ok(self.send(vec![Done::End { ticket: task.ticket, parts, facts }])?)
    }

    /// Reads a stream to its end. `ended` then says whether that was all of it; `Err` holds why it was not.
    pub fn stream(
        &mut self,
        ticket: Ticket,
        input: &mut dyn io::Read,
        stat: Stat,
        before: Option<&(u64, Content)>,
        ended: &dyn Fn() -> Result<(), String>,
    ) -> Result<Result<(), String>, Stopped> {
        let mut cutter = Cutter::new(self, ticket, before);
        let mut size = 0;
        loop {
            match cutter.read(u64::MAX, |room| input.read(room)) {
                Ok(0) => break,
                Ok(read) => size += read as u64,
                Err(Broken::Stopped) => return Err(Stopped),
                Err(Broken::Io(error)) => return Ok(Err(format!("cannot be read: {}", crate::error::reason(&error)))),
            }
        }
        let Ok(parts) = cutter.end_stretch().and_then(|()| cutter.finish()) else { return Err(Stopped) };
        // Before the end is told: what a command wrote before it failed must not look like all of it.
        if let Err(why) = ended() {
            return Ok(Err(why));
        }
        let facts = Box::new(Facts { stat: Stat { size, ..stat }, xattrs: Vec::new() });
        self.send(vec![Done::End { ticket, parts, facts }])?;
        Ok(Ok(()))
    }
}

/// Reads until `room` holds at least `enough` bytes or the file ends.
fn read_full(
    room: &mut [u8],
    enough: usize,
    mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut at = 0;
    while at < enough {
        match read(&mut room[at..], at) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

/// Says of each blob which old ones it is probably like.
fn lay_beside(previous: &mut Previous<'_>, pieces: &mut [Piece]) {
    let ends = pieces.iter().filter_map(|piece| match piece {
        Piece::Blob { range, edge, .. } => Some((range.len() as u32, *edge)),
        Piece::Hole(_) => None,
    });
    let mut found = previous.near(&ends.collect::<Vec<_>>()).into_iter();
    for piece in pieces {
        if let Piece::Blob { near, .. } = piece {
            *near = found.next().unwrap_or_default();
        }
    }
}

/// Cuts one file into blobs while it is read, and hands full buffers on.
struct Cutter<'r, 'a> {
    reader: &'r Reader<'a>,
    ticket: Ticket,
    buffer: Option<Buffer>,
    /// Bytes before this were cut.
    cut: usize,
    /// Bytes before this were read.
    filled: usize,
    pieces: Vec<Piece>,
    number: u64,
    previous: Option<Previous<'a>>,
}

impl Drop for Cutter<'_, '_> {
    /// A file that broke off leaves a buffer, which others wait for.
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let _ = self.reader.pool.back.send(buffer);
        }
    }
}

impl<'r, 'a> Cutter<'r, 'a> {
    fn new(reader: &'r Reader<'a>, ticket: Ticket, before: Option<&(u64, Content)>) -> Self {
        let previous = match (reader.before, before) {
            (Some(pages), Some((size, content))) => Some(Previous::new(pages, content.clone(), *size)),
            _ => None,
        };
        Cutter { reader, ticket, buffer: None, cut: 0, filled: 0, pieces: Vec::new(), number: 0, previous }
    }

    /// Reads once, at most `limit` bytes, making room first; 0 at the end.
    fn read(&mut self, limit: u64, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Result<usize, Broken> {
        if self.filled == BUFFER {
            self.cut_whole_blobs();
            self.pass_on()?;
        }
        let buffer = match &mut self.buffer {
            Some(buffer) => buffer,
            // At the start, and when the last cut fell on the end of the buffer.
            empty => empty.insert(self.reader.buffer()?),
        };
        let end = limit.min((BUFFER - self.filled) as u64) as usize + self.filled;
        loop {
            match read(&mut buffer[self.filled..end]) {
                Ok(read) => {
                    self.filled += read;
                    self.reader.counted(read);
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.reader.control.check()?,
                Err(error) => return Err(Broken::Io(error)),
            }
        }
    }

    /// Cuts as long as what follows cannot change the cut.
    fn cut_whole_blobs(&mut self) {
        let Some(buffer) = &self.buffer else { return };
        while self.filled - self.cut >= self.reader.chunker.max() {
            let range = self.cut..self.cut + self.reader.chunker.cut(&buffer[self.cut..self.filled]);
            self.cut = range.end;
            let edge = self.reader.chunker.edge(&buffer[range.clone()]);
            self.pieces.push(Piece::Blob { range, edge, near: Vec::new() });
        }
    }

    /// Cuts all that is left: a hole or the end follows.
    fn end_stretch(&mut self) -> Result<(), Broken> {
        if let Some(buffer) = &self.buffer {
            while self.cut < self.filled {
                let range = self.cut..self.cut + self.reader.chunker.cut(&buffer[self.cut..self.filled]);
                self.cut = range.end;
                // The last end is the stretch's.
                let edge = if self.cut < self.filled { self.reader.chunker.edge(&buffer[range.clone()]) } else { 0 };
                self.pieces.push(Piece::Blob { range, edge, near: Vec::new() });
            }
        }
        if self.pieces.len() >= PIECES_MAX { self.pass_on() } else { Ok(()) }
    }

    fn hole(&mut self, len: u64) -> Result<(), Broken> {
        self.pieces.push(Piece::Hole(len));
        if self.pieces.len() >= PIECES_MAX { self.pass_on() } else { Ok(()) }
    }

    /// Hands the pieces on and carries what is not cut yet over into a new buffer.
    fn pass_on(&mut self) -> Result<(), Broken> {
        let mut pieces = std::mem::take(&mut self.pieces);
        if pieces.is_empty() {
            return Ok(());
        }
        if let Some(previous) = &mut self.previous {
            lay_beside(previous, &mut pieces);
        }
        let buffer = self.buffer.take().unwrap_or_default();
        if self.cut < self.filled {
            let mut next = self.reader.buffer()?;
            next[..self.filled - self.cut].copy_from_slice(&buffer[self.cut..self.filled]);
            self.buffer = Some(next);
        }
        self.filled -= self.cut;
        self.cut = 0;
        let item = Item::Part { ticket: self.ticket, number: self.number, pieces };
        self.number += 1;
        Ok(self.reader.send_batch(buffer, vec![item])?)
    }

    /// Hands the rest on, and returns the number of parts.
    fn finish(mut self) -> Result<u64, Broken> {
        self.pass_on()?;
        Ok(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a file of `len` bytes into room for 11 of which 10 are expected, `most` at a time, and in how many calls.
    fn read(len: usize, most: usize) -> (usize, usize) {
        let mut calls = 0;
        let read = read_full(&mut [0; 11], 10, |room, at| {
            calls += 1;
            Ok(len.saturating_sub(at).min(room.len()).min(most))
        });
        (read.unwrap(), calls)
    }

    #[test]
    fn a_file_as_long_as_expected_is_asked_once() {
        assert_eq!(read(10, 100), (10, 1));
        assert_eq!(read(12, 100), (11, 1));
        assert_eq!(read(10, 4), (10, 3));
        assert_eq!(read(7, 100), (7, 2));
    }

    #[test]
    fn an_interrupted_read_goes_on() {
        let mut interrupted = false;
        let read = read_full(&mut [0; 3], 2, |_, _| {
            if std::mem::replace(&mut interrupted, true) { Ok(2) } else { Err(io::ErrorKind::Interrupted.into()) }
        });
        assert_eq!(read.unwrap(), 2);
    }
}
