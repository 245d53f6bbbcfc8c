//! What flows between the threads of a snapshot, and how they all stop when one has to.
//!
//! ```text
//!                     steps (in the order of the walk) ───────────────────────────────▶
//! looker ─▶ walker ┤                                                                    assembler ─▶ tree pages
//!                     tasks ─▶ readers ─▶ batches ─▶ workers (hash, store) ─▶ results ▶
//! ```
//!
//! Every channel but that of results is bounded, and so are the buffers; results are bounded by the steps that wait for them.

use crate::{
    error::{Error, Result, reason},
    fs::{PathError, dir::Dir, stat::Stat},
    id::BlobId,
    model::{
        limits,
        node::{Content, Extent, Node, Xattr},
        snapshot::Problem,
    },
    monitor::Monitor,
    name::{Name, Shown},
    repo::files::Place,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender};
use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Scope, ScopedJoinHandle},
    time::Duration,
};

/// How long a thread waits before it looks whether all should stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Length of a buffer that batches are read into, in bytes: four times the longest blob of the default configuration, so that
/// little is carried over from one to the next.
pub const BUFFER: usize = 2 << 20;

/// Room for what is read; made once and passed around.
pub type Buffer = Box<[u8]>;

/// Where readers take buffers from, and where they go back.
#[derive(Clone)]
pub struct Pool {
    /// Free ones.
    pub free: Receiver<Buffer>,
    /// Takes them back.
    pub back: Sender<Buffer>,
}

/// Names the contents of a file before they are known.
pub type Ticket = u64;

/// What the walker tells the assembler, in the order of the walk.
pub enum Step {
    /// A directory begins. `before`: the root page of its version before.
    Enter { before: Option<BlobId> },
    /// An entry that is known in full.
    Entry(Node),
    /// A regular file; its contents, attributes and exact metadata come with the ticket. Hard links share a ticket.
    /// `more`: further names may come. `place`: under which it is remembered.
    File { node: Box<Node>, ticket: Ticket, more: bool, place: Option<Place> },
    /// No further name of this file will come.
    Forget { ticket: Ticket },
    /// A directory ends; its node lacks only the tree.
    Leave(Box<Node>),
}

/// A file to be read.
pub struct Task {
    /// The walker's name for its contents.
    pub ticket: Ticket,
    /// The directory that holds it.
    pub dir: Arc<Dir>,
    /// Its name there.
    pub name: Name,
    /// Size and contents of its version before, where its blobs may lean on it.
    pub before: Option<Box<(u64, Content)>>,
}

/// Bytes that were read, and what they are.
pub struct Batch {
    /// The bytes.
    pub buffer: Buffer,
    /// What they are.
    pub items: Vec<Item>,
    /// Where the results go.
    pub results: Sender<Vec<Done>>,
    /// Counts the bytes of its source that were new.
    pub new: Arc<AtomicU64>,
}

/// A part of a batch.
pub enum Item {
    /// A whole file, not yet cut.
    Whole { ticket: Ticket, range: Range<usize>, facts: Box<Facts> },
    /// A part of a file, cut.
    Part { ticket: Ticket, number: u64, pieces: Vec<Piece> },
}

/// A stretch of a file.
pub enum Piece {
    /// One blob's bytes in the buffer, the fingerprint of its end, and the blobs of the version before that it is probably like.
    Blob { range: Range<usize>, edge: u32, near: Vec<BlobId> },
    /// A hole of so many bytes.
    Hole(u64),
}

/// What a reader found out about a file.
pub struct Facts {
    /// Metadata of what was opened, with the number of bytes that were read as size.
    pub stat: Stat,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
}

/// What has become of a ticket.
pub enum Done {
    /// The whole file.
    Whole { ticket: Ticket, facts: Box<Facts>, extents: Vec<Extent> },
    /// A part of it.
    Part { ticket: Ticket, number: u64, extents: Vec<Extent> },
    /// All parts were handed on; there are so many.
    End { ticket: Ticket, parts: u64, facts: Box<Facts> },
    /// It could not be read, which was recorded.
    Failed { ticket: Ticket },
}

/// What happens to a source while it is read, as its user said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// That a file grows is no problem: what it held at first is good by itself.
    pub grows: bool,
    /// That one vanishes is: it may be where it was not looked for.
    pub moves: bool,
}

/// All threads are to stop; why is known to [`Control`].
#[derive(Debug)]
pub struct Stopped;

/// Shared by all threads of a snapshot.
pub struct Control<'m> {
    /// The listener.
    pub monitor: &'m dyn Monitor,
    stop: AtomicBool,
    failure: Mutex<Option<Error>>,
    problems: Mutex<(Vec<Problem>, u64)>,
    gone: Mutex<Option<(Vec<u8>, u64)>>,
    /// How often a regular file was opened: once for each that is read, and once more where it is asked for its place first.
    pub files_opened: AtomicU64,
    /// Regular files whose contents were read.
    pub files_read: AtomicU64,
    /// Bytes read from them.
    pub bytes_read: AtomicU64,
    /// Regular files that were taken over unread.
    pub files_unchanged: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl<'m> Control<'m> {
    /// Nothing has gone wrong yet.
    pub fn new(monitor: &'m dyn Monitor) -> Self {
        Control {
            monitor,
            stop: AtomicBool::new(false),
            failure: Mutex::default(),
            problems: Mutex::default(),
            gone: Mutex::default(),
            files_opened: AtomicU64::new(0),
            files_read: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            files_unchanged: AtomicU64::new(0),
        }
    }

    /// The repository failed, or the user wants to stop: all threads end.
    pub fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.stop.store(true, Ordering::Release);
    }

    /// Runs the work of a thread. Whoever waits for what a thread would have sent waits for ever when it dies: so its end, when
    /// neither a failure nor the user asked for it, is a failure itself.
    pub fn watch<T>(&self, name: &str, work: impl FnOnce() -> Result<T, Stopped>) -> Result<T, Stopped> {
        let broken = || {
            Error::refused(format!(
                "the {name} thread of the snapshot ended too early: this is a bug, please report it; no snapshot was made"
            ))
        };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        match ended {
            Ok(Ok(value)) => return Ok(value),
            // Says nothing when it is known already why all stop.
            Ok(Err(Stopped)) | Err(_) => self.fail(broken()),
        }
        Err(Stopped)
    }

    /// Starts a thread that is watched.
    pub fn spawn<'scope, T: Send + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        name: &'static str,
        work: impl FnOnce() -> Result<T, Stopped> + Send + 'scope,
    ) -> Result<ScopedJoinHandle<'scope, Result<T, Stopped>>, Stopped> {
        let started = thread::Builder::new().name(name.into()).spawn_scoped(scope, move || self.watch(name, work));
        self.guard(started.map_err(|e| Error::store("start a thread for", name, e)))
    }

    /// Why all stopped.
    pub fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    /// Goes on unless all are to stop.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.monitor.cancelled() {
            self.fail(Error::Cancelled);
        }
        if self.stop.load(Ordering::Acquire) { Err(Stopped) } else { Ok(()) }
    }

    /// Passes a failure of the repository on to all.
    pub fn guard<T>(&self, result: Result<T>) -> Result<T, Stopped> {
        result.map_err(|error| {
            self.fail(error);
            Stopped
        })
    }

    /// Records what could not be read as it should.
    pub fn problem(&self, path: &[u8], what: impl Into<String>) {
        let what = what.into();
        self.monitor.problem(&format!("{}: {what}", Shown(path)));
        // The beginning of a very long path names it well enough, and a thousand must fit into a snapshot.
        let path = path.get(..4096).unwrap_or(path);
        let mut problems = lock(&self.problems);
        problems.1 += 1;
        if problems.0.len() < limits::PROBLEMS_MAX {
            problems.0.push(Problem { path: path.to_vec(), what });
        }
    }

    /// Records a failure with one of the users' files.
    pub fn path_problem(&self, error: &PathError) {
        // `doing` is made to stand before a path; here the path stands in front.
        self.problem(&error.path, format!("cannot {} it: {}", error.doing, reason(&error.source)));
    }

    /// Records that an entry that is no directory could not be read: a problem, unless it is gone. Files come and go while a snapshot is made; what was
    /// removed before it was read is no part of it, as if the snapshot had begun a moment later.
    pub fn lost(&self, error: &PathError, habits: Habits) {
        if error.is_missing() && !habits.moves {
            lock(&self.gone).get_or_insert_with(|| (error.path.clone(), 0)).1 += 1;
        } else {
            self.path_problem(error);
        }
    }

    /// How many entries were gone before they were read.
    pub fn gone(&self) -> u64 {
        lock(&self.gone).as_ref().map_or(0, |(_, number)| *number)
    }

    /// The first entry that was gone before it was read, and the number of all.
    pub fn take_gone(&self) -> Option<(Vec<u8>, u64)> {
        lock(&self.gone).take()
    }

    /// The first problems, and the number of all.
    pub fn take_problems(&self) -> (Vec<Problem>, u64) {
        std::mem::take(&mut *lock(&self.problems))
    }

    /// Sends, waiting for room.
    pub fn send<T>(&self, to: &Sender<T>, mut item: T) -> Result<(), Stopped> {
        loop {
            self.check()?;
            match to.send_timeout(item, PATIENCE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => item = back,
                Err(SendTimeoutError::Disconnected(_)) => return Err(Stopped),
            }
        }
    }

    /// Receives; `None` when nothing will come any more.
    pub fn receive<T>(&self, from: &Receiver<T>) -> Result<Option<T>, Stopped> {
        loop {
            self.check()?;
            match from.recv_timeout(PATIENCE) {
                Ok(item) => return Ok(Some(item)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}
