//! How near a first snapshot comes to what it cannot do without: the processor time that reading, cutting, hashing, compressing,
//! sealing and proving take for the same bytes on as many cores, and the time of `snapshot` as a multiple of it.
//!
//! ```text
//! cargo bench --bench limit                     a made-up tree of 300 MB, below the folder for temporary files
//! cargo bench --bench limit -- /some/tree 5     a tree of your own, five rounds in place of three
//! ```
//!
//! Files come in the order of the walk; blobs that were met before are hashed and no more, as a snapshot does. Not part of the limit: the walk,
//! metadata and attributes, tree pages, the index, copying blobs into segments, handing work from thread to thread, naming and writing packs.
//! The repository is made below the folder for temporary files (`TMPDIR`). What was measured first is measured warm: one round is not counted.

mod common;

use common::{arguments, median, process_cpu, repository, take, thread_cpu, tree};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::Read,
    mem,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use vault::{
    chunk::Chunker,
    compress::Compression,
    hash::{BlobKind, BlobNamer},
    id::{BlobId, RepoId},
    keys::Keyring,
    model::config::{ChunkerConfig, Config},
    object::{self, Kind},
    seal::{self, SealKey},
    segment::{BlobEntry, Envelope, Sealer},
};

const MADE_UP: u64 = 300 << 20;
/// What is read before it is worked on, and longer files in parts.
const BUFFER: usize = 2 << 20;
/// Files that one thread takes at a time.
const RUN: usize = 64;

/// Time on a processor by step.
#[derive(Default, Clone, Copy)]
struct Spent {
    open: Duration,
    read: Duration,
    cut: Duration,
    hash: Duration,
    /// Compress and encrypt.
    seal: Duration,
    /// Encryption alone, done once more for this figure: part of `seal`.
    encrypt: Duration,
    prove: Duration,
}

impl Spent {
    fn all(&self) -> Duration {
        self.open + self.read + self.cut + self.hash + self.seal + self.prove
    }

    fn add(&mut self, other: &Spent) {
        self.open += other.open;
        self.read += other.read;
        self.cut += other.cut;
        self.hash += other.hash;
        self.seal += other.seal;
        self.encrypt += other.encrypt;
        self.prove += other.prove;
    }
}

fn timed<T>(to: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begun = thread_cpu();
    let result = work();
    *to += thread_cpu() - begun;
    result
}

/// What all threads need.
struct Tools {
    chunker: Chunker,
    namer: BlobNamer,
    key: SealKey,
    header: [u8; object::HEADER_LEN],
    target: usize,
    known: Mutex<HashSet<BlobId>>,
}

impl Tools {
    fn new() -> Self {
        let keys = Keyring::owner(RepoId([1; 16]), SealKey::new([2; 32]));
        Tools {
            chunker: Chunker::new(&ChunkerConfig::default(), &keys.chunker_table()),
            namer: keys.blob_namer(),
            key: SealKey::new([3; 32]),
            header: object::header(Kind::DataPack, keys.repo()),
            target: Config::default().segment_target as usize,
            known: Mutex::default(),
        }
    }
}

/// One thread's work.
struct Worker<'t> {
    tools: &'t Tools,
    sealer: Sealer,
    buffer: Vec<u8>,
    filled: usize,
    /// Where the files in the buffer end.
    ends: Vec<usize>,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    blobs: Vec<BlobEntry>,
    counter: u64,
    stored: u64,
    spent: Spent,
}

impl<'t> Worker<'t> {
    fn new(tools: &'t Tools) -> Self {
        Worker {
            tools,
            sealer: Sealer::new(Compression::default()),
            buffer: vec![0; BUFFER],
            filled: 0,
            ends: Vec::new(),
            plain: Vec::new(),
            sealed: Vec::new(),
            blobs: Vec::new(),
            counter: 0,
            stored: 0,
            spent: Spent::default(),
        }
    }

    fn file(&mut self, path: &Path, len: u64) {
        if self.filled as u64 + len > BUFFER as u64 {
            self.work();
        }
        let mut file = timed(&mut self.spent.open, || File::open(path).unwrap());
        let mut left = len;
        loop {
            let room = &mut self.buffer[self.filled..];
            // Reads once: the length is known.
            let read = timed(&mut self.spent.read, || file.read(room).unwrap());
            self.filled += read;
            left = left.saturating_sub(read as u64);
            if read == 0 || left == 0 {
                break;
            }
            if self.filled == BUFFER {
                self.part();
            }
        }
        self.ends.push(self.filled);
        timed(&mut self.spent.open, || drop(file));
    }

    /// Works on what is there of a long file, and carries over what cannot be cut yet.
    fn part(&mut self) {
        let (mut at, mut cuts) = (0, Vec::new());
        timed(&mut self.spent.cut, || {
            while BUFFER - at >= self.tools.chunker.max() {
                at += self.tools.chunker.cut(&self.buffer[at..]);
                cuts.push(at);
            }
        });
        self.blobs(&cuts);
        self.buffer.copy_within(at.., 0);
        self.filled = BUFFER - at;
    }

    /// Works on all that is there.
    fn work(&mut self) {
        let (mut at, mut cuts) = (0, Vec::new());
        timed(&mut self.spent.cut, || {
            for end in self.ends.drain(..) {
                while at < end {
                    at += self.tools.chunker.cut(&self.buffer[at..end]);
                    cuts.push(at);
                }
            }
        });
        self.blobs(&cuts);
        self.filled = 0;
    }

    fn blobs(&mut self, cuts: &[usize]) {
        let mut ids = Vec::with_capacity(cuts.len());
        timed(&mut self.spent.hash, || {
            let mut at = 0;
            for &end in cuts {
                ids.push(self.tools.namer.name(BlobKind::Data, &self.buffer[at..end]));
                at = end;
            }
        });
        let mut at = 0;
        for (&end, id) in cuts.iter().zip(ids) {
            let range = mem::replace(&mut at, end)..end;
            if self.tools.known.lock().unwrap().insert(id) {
                if !self.plain.is_empty() && self.plain.len() + range.len() > self.tools.target {
                    self.segment();
                }
                self.blobs.push(BlobEntry { id, kind: BlobKind::Data as u8, len: range.len() as u32 });
                self.plain.extend_from_slice(&self.buffer[range]);
            }
        }
    }

    fn segment(&mut self) {
        let envelope = Envelope { header: &self.tools.header, key: &self.tools.key, prefix: &[] };
        self.counter += 1;
        let (counter, sealer) = (self.counter, &mut self.sealer);
        let mut sealed = std::mem::take(&mut self.sealed);
        let plain = &self.plain;
        let recipe = timed(&mut self.spent.seal, || sealer.seal(envelope, counter, plain, &mut sealed).unwrap());
        timed(&mut self.spent.prove, || {
            sealer.prove(envelope, recipe, &sealed, &self.blobs, &self.tools.namer).unwrap();
        });
        let mut packed = sealed[..sealed.len() - seal::TAG_LEN].to_vec();
        packed.reserve(seal::TAG_LEN);
        timed(&mut self.spent.encrypt, || {
            seal::seal_segment(&self.tools.key, counter, &self.tools.header, &mut packed);
        });
        self.stored += sealed.len() as u64;
        self.sealed = sealed;
        self.plain.clear();
        self.blobs.clear();
    }

    fn finish(mut self) -> (Spent, u64) {
        self.work();
        if !self.blobs.is_empty() {
            self.segment();
        }
        (self.spent, self.stored)
    }
}

/// The transforms alone, on all cores: time by step, and what would be stored, in bytes.
fn limit(files: &[(PathBuf, u64)]) -> (Spent, u64) {
    let (tools, next) = (Tools::new(), AtomicUsize::new(0));
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let work = || {
        let mut worker = Worker::new(&tools);
        loop {
            let first = next.fetch_add(RUN, Ordering::Relaxed);
            let Some(run) = files.get(first..files.len().min(first + RUN)).filter(|run| !run.is_empty()) else { break };
            run.iter().for_each(|(path, len)| worker.file(path, *len));
        }
        worker.finish()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut sum = (Spent::default(), 0);
        for worker in workers {
            let (spent, stored) = worker.join().unwrap();
            sum.0.add(&spent);
            sum.1 += stored;
        }
        sum
    })
}

/// All regular files below a folder in the order of the walk.
fn list(folder: &Path, files: &mut Vec<(PathBuf, u64)>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let meta = fs::symlink_metadata(entry.path()).unwrap();
        if meta.is_dir() {
            list(&entry.path(), files);
        } else if meta.is_file() {
            files.push((entry.path(), meta.len()));
        }
    }
}

fn main() {
    let arguments = arguments();
    let made_up = arguments.is_empty().then(|| {
        let folder = tempfile::tempdir().unwrap();
        tree(folder.path(), MADE_UP, 0);
        folder
    });
    let root = match (&made_up, arguments.first()) {
        (Some(folder), _) => folder.path(),
        (None, given) => Path::new(given.unwrap()),
    };
    let rounds: usize = arguments.get(1).map_or(3, |rounds| rounds.parse().unwrap());
    let mut files = Vec::new();
    list(root, &mut files);
    let bytes: u64 = files.iter().map(|(_, len)| len).sum();
    println!("{} files, {:.1} MB", files.len(), bytes as f64 / 1e6);

    let (mut limits, mut ratios, mut walls, mut cpus) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (spent, would) = limit(&files);
        let (_folder, repo) = repository();
        let (wall, cpu) = (Instant::now(), process_cpu());
        let report = take(&repo, root);
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), (process_cpu() - cpu).as_secs_f64());
        if round == 0 {
            println!(
                "stored: {:.1} MB by the limit, {:.1} MB by snapshot",
                would as f64 / 1e6,
                report.written.bytes_stored as f64 / 1e6
            );
            println!(
                "{:>8} {:>6} {:>6} {:>6} {:>6} {:>9} {:>8} {:>6} | {:>8} {:>6} | ratio",
                "limit", "open", "read", "cut", "hash", "compress", "encrypt", "prove", "snapshot", "wall"
            );
            continue;
        }
        let all = spent.all().as_secs_f64();
        let steps =
            [spent.open, spent.read, spent.cut, spent.hash, spent.seal - spent.encrypt, spent.encrypt, spent.prove];
        let [open, read, cut, hash, compress, encrypt, prove] = steps.map(|step| step.as_secs_f64());
        println!(
            "{all:8.3} {open:6.3} {read:6.3} {cut:6.3} {hash:6.3} {compress:9.3} {encrypt:8.3} {prove:6.3} | {cpu:8.3} {wall:6.3} | {:.2}",
            cpu / all
        );
        limits.push(all);
        ratios.push(cpu / all);
        walls.push(wall);
        cpus.push(cpu);
    }
    println!(
        "medians: limit {:.3} s of processor; snapshot {:.3} s, {:.3} s of wall; ratio {:.2}",
        median(limits),
        median(cpus),
        median(walls),
        median(ratios)
    );
}
