//! Sets the threads up: sources on different devices are read at once, those on one device one after another; workers serve all.

use super::{
    Input, SourceRequest,
    assemble::{Assembler, Taken},
    flow::{BUFFER, Batch, Control, Done, Habits, Pool, Step, Stopped},
    job::Job,
    read::Reader,
    scan::{STEPS_AT_ONCE, Scan, meta_of},
    work::work,
};
use crate::{
    chunk::Chunker,
    fs::{
        PathError, device,
        dir::{Dir, resolve, stat_path},
        exclude::Excludes,
        metadata::Owners,
        stat::{Kind as FileKind, Stat},
    },
    model::{
        node::{Body, Content, Node},
        paging::PageSource,
        snapshot::{DeviceClass, Source, SourceKind},
    },
    name::{Name, Shown},
    object::Kind,
    ops,
    repo::Writer,
};
use crossbeam_channel::{Sender, bounded, unbounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    ffi::OsStr,
    io::{self, Read},
    os::{fd::AsFd, unix::ffi::OsStrExt},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Steps that the walk may be ahead of the tree: more than a rotational disk's reader looks ahead.
const STEPS: usize = 16 << 10;
/// Runs of files that wait for a reader.
const RUNS: usize = 16;
/// Readers of a source that seeks cost nothing on.
const READERS: usize = 2;

/// Devices that are read at once.
const GROUPS_MAX: usize = 4;

/// Buffers, and the queue to the workers.
#[derive(Clone)]
struct Plumbing {
    pool: Pool,
    batches: Sender<Batch>,
}

/// Takes sources one after another: what each of them needs.
struct Taker<'a> {
    job: &'a Job<'a>,
    writer: &'a Writer<'a>,
    chunker: &'a Chunker,
    owners: &'a Owners,
    plumbing: Plumbing,
}

/// A source with what the system told of it.
struct Placed {
    request: SourceRequest,
    path: Vec<u8>,
    device: Option<u64>,
}

/// Takes all sources; returns those that could be read. Failures of the repository are known to the control.
pub fn all(job: &Job<'_>, writer: &Writer<'_>, requests: Vec<SourceRequest>, threads: usize) -> Vec<Source> {
    let workers = ops::threads(threads);
    let chunker = Chunker::new(&job.repo.config().chunker, &job.repo.keys().chunker_table());
    let owners = Owners::of_system();
    let groups = by_device(job.control, requests);
    // A reader holds two buffers at most, a worker one, and as many may be on their way.
    let buffers = (2 * READERS + 1) * groups.len().max(1) + 2 * workers;
    let (back, free) = bounded(buffers);
    for _ in 0..buffers {
        let _ = back.send(vec![0; BUFFER].into_boxed_slice());
    }
    let (batches, to_workers) = bounded(buffers);
    let plumbing = Plumbing { pool: Pool { free, back: back.clone() }, batches };
    std::thread::scope(|scope| {
        let (chunker, owners, back) = (&chunker, &owners, &back);
        for mut lane in writer.lanes(Kind::DataPack, workers) {
            if let Some(bases) = job.bases.data {
                lane = lane.leaning_on(bases);
            }
            let to_workers = to_workers.clone();
            let work = move || work(job.control, lane, chunker, &to_workers, back);
            if job.control.spawn(scope, "worker", work).is_err() {
                return Vec::new();
            }
        }
        drop(to_workers);
        let mut taking = Vec::new();
        for group in groups {
            let taker = Taker { job, writer, chunker, owners, plumbing: plumbing.clone() };
            let take = move || -> Result<Vec<Source>, Stopped> {
                let taken = group.into_iter().map(|placed| taker.one(placed));
                Ok(taken.collect::<Result<Vec<_>, Stopped>>()?.into_iter().flatten().collect())
            };
            taking.extend(job.control.spawn(scope, "source", take));
        }
        drop(plumbing);
        taking.into_iter().filter_map(|taking| taking.join().ok()?.ok()).flatten().collect()
    })
}

/// Groups the sources by device; streams form a group of their own. Paths that are not there are recorded.
fn by_device(control: &Control<'_>, requests: Vec<SourceRequest>) -> Vec<Vec<Placed>> {
    let mut groups: Vec<Vec<Placed>> = Vec::new();
    for request in requests {
        let path = match &request.input {
            Input::Path(path) => Some(path),
            Input::Tree(tree) => Some(tree.read_from.as_ref().unwrap_or(&tree.path)),
            _ => None,
        };
        let placed = match path {
            Some(path) => {
                let found = stat_path(path).and_then(|stat| match stat.kind {
                    FileKind::Symlink => resolve(path).and_then(|path| Ok((stat_path(&path)?, path))),
                    _ => Ok((stat, path.clone())),
                });
                match found {
                    Ok((stat, path)) => Placed { request, path, device: Some(stat.device) },
                    Err(error) => {
                        control.path_problem(&error);
                        continue;
                    }
                }
            }
            None => Placed { request, path: Vec::new(), device: None },
        };
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| first.device == placed.device)) {
            Some(group) => group.push(placed),
            None => groups.push(vec![placed]),
        }
    }
    // Each group that is read at once takes memory.
    while groups.len() > GROUPS_MAX
        && let Some(rest) = groups.pop()
        && let Some(least) = groups.iter_mut().min_by_key(|group| group.len())
    {
        least.extend(rest);
    }
    groups
}

impl Taker<'_> {
    fn one(&self, placed: Placed) -> Result<Option<Source>, Stopped> {
        let name = placed.request.name;
        let mut patterns = self.job.excludes.patterns().to_vec();
        let (kind, taken) = match placed.request.input {
            Input::Path(given) => {
                let Some((class, taken)) = self.tree(&placed.path, name, self.job.excludes, Habits::default())? else {
                    return Ok(None);
                };
                (SourceKind::Tree { path: given, device: class }, taken)
            }
            Input::Tree(tree) => {
                let habits = Habits { grows: tree.grows, moves: tree.moves };
                let excludes = self.job.control.guard(tree.excludes(self.job.exclude_options))?;
                let Some((class, taken)) = self.tree(&placed.path, name, &excludes, habits)? else {
                    return Ok(None);
                };
                patterns = excludes.patterns().to_vec();
                (SourceKind::Tree { path: tree.path, device: class }, taken)
            }
            Input::Stream(input) => {
                let taken = self.stream(name, input, &|| Ok(()))?;
                (SourceKind::Stream { command: Vec::new() }, taken)
            }
            Input::Opened(open) => {
                let taken = match open.open() {
                    Ok(input) => self.stream(name, input, &|| Ok(()))?,
                    Err(error) => {
                        self.job.control.problem(name.as_bytes(), crate::error::reason(&error));
                        Taken::default()
                    }
                };
                (SourceKind::Stream { command: open.command() }, taken)
            }
            Input::Command(command) => {
                let taken = self.output_of(name, &command)?;
                (SourceKind::Stream { command }, taken)
            }
        };
        let Taken { root: Some(root), totals, bytes_new } = taken else { return Ok(None) };
        let owned = |name: Option<&str>| name.map(str::to_owned);
        let owner = (owned(self.owners.user(root.meta.uid)), owned(self.owners.group(root.meta.gid)));
        Ok(Some(Source { kind, root, owner, totals, bytes_new, excludes: patterns }))
    }

    /// Takes a tree, unless there is none, which was recorded.
    fn tree(
        &self,
        path: &[u8],
        name: Name,
        excludes: &Excludes,
        habits: Habits,
    ) -> Result<Option<(DeviceClass, Taken)>, Stopped> {
        let control = self.job.control;
        let gone_before = control.gone();
        let root = match open_root(path) {
            Ok(root) => root,
            Err(error) => {
                control.path_problem(&error);
                return Ok(None);
            }
        };
        let class = match &root {
            Root::Directory(dir) | Root::Single(dir, _) => device::class_of_dir(dir),
        };
        let (steps, steps_out) = bounded(STEPS / STEPS_AT_ONCE);
        let (tasks, tasks_out) = bounded(RUNS);
        let (results, results_out) = unbounded();
        let assembler = self.assembler()?;
        let new = Arc::new(AtomicU64::new(0));
        std::thread::scope(|scope| {
            let scan = Scan::new(self.job, excludes, habits, steps, tasks);
            control.spawn(scope, "walker", move || match root {
                Root::Directory(dir) => scan.directory(dir, name),
                Root::Single(dir, entry) => scan.single(dir, entry, name),
            })?;
            let rotational = class == DeviceClass::Rotational;
            for _ in 0..if rotational { 1 } else { READERS } {
                let mut reader = Reader::new(
                    control,
                    self.chunker,
                    self.plumbing.pool.clone(),
                    self.plumbing.batches.clone(),
                    results.clone(),
                    self.before(),
                );
                reader.habits = habits;
                reader.new = new.clone();
                let tasks = tasks_out.clone();
                control.spawn(scope, "reader", move || reader.run(&tasks, rotational))?;
            }
            drop((results, tasks_out));
            assembler.run(&steps_out, &results_out)
        })
        .map(|taken| {
            let bytes_new = taken.bytes_new + new.load(Ordering::Relaxed);
            // What is gone below a root was removed in time; a source that is gone itself was not taken.
            if let Err(error) = stat_path(path) {
                control.path_problem(&error);
            } else if taken.root.is_none() && control.gone() > gone_before {
                control.problem(path, "it was removed and made again while it was read");
            }
            Some((class, Taken { bytes_new, ..taken }))
        })
    }

    fn assembler(&self) -> Result<Assembler<'_, '_>, Stopped> {
        let mut lane = self.writer.lane(Kind::TreePack);
        if let Some(pages) = self.job.bases.pages {
            lane = lane.leaning_on(pages);
        }
        Ok(Assembler::new(self.job, self.owners, lane))
    }

    /// Where readers find the versions before, when contents may lean on them.
    fn before(&self) -> Option<&(dyn PageSource + Sync)> {
        self.job.bases.data?;
        Some(self.job.parent?.pages)
    }

    /// Takes a stream as a file. `ended` says, after its end, whether it was whole.
    fn stream(
        &self,
        name: Name,
        mut input: Box<dyn Read + Send + '_>,
        ended: &(dyn Fn() -> Result<(), String> + Sync),
    ) -> Result<Taken, Stopped> {
        let control = self.job.control;
        let now = self.job.repo.clock().now();
        let stat = Stat {
            kind: FileKind::File,
            size: 0,
            blocks: 0,
            mode: 0o600,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            mtime: now,
            ctime: now,
            atime: now,
            inode: 0,
            device: 0,
            links: 1,
            rdev: (0, 0),
        };
        let root = self.job.parent.and_then(|parent| parent.root(name.as_bytes()));
        let before = match root.map(|node| node.body) {
            Some(Body::File { size, content }) => Some((size, content)),
            _ => None,
        };
        let (steps, steps_out) = bounded(1);
        let (results, results_out) = unbounded::<Vec<Done>>();
        let assembler = self.assembler()?;
        let body = Body::File { size: 0, content: Content::Extents(Vec::new()) };
        let meta = meta_of(&stat, 0, Vec::new(), false);
        control.send(
            &steps,
            vec![Step::File {
                node: Box::new(Node { name: name.clone(), meta, body }),
                ticket: 0,
                more: false,
                place: None,
            }],
        )?;
        drop(steps);
        let new = Arc::new(AtomicU64::new(0));
        std::thread::scope(|scope| {
            let (pool, batches, results) = (self.plumbing.pool.clone(), self.plumbing.batches.clone(), results);
            let counter = new.clone();
            control.spawn(scope, "reader", move || -> Result<(), Stopped> {
                let mut reader = Reader::new(control, self.chunker, pool, batches, results.clone(), self.before());
                reader.new = counter;
                if let Err(why) = reader.stream(0, &mut *input, stat, before.as_ref(), ended)? {
                    control.problem(name.as_bytes(), why);
                    let _ = results.send(vec![Done::Failed { ticket: 0 }]);
                }
                Ok(())
            })?;
            assembler.run(&steps_out, &results_out)
        })
        .map(|taken| Taken { bytes_new: taken.bytes_new + new.load(Ordering::Relaxed), ..taken })
    }

    /// Takes what a command writes.
    fn output_of(&self, name: Name, command: &[Vec<u8>]) -> Result<Taken, Stopped> {
        let mut words = command.iter().map(|word| OsStr::from_bytes(word));
        let Some(program) = words.next() else { return Ok(Taken::default()) };
        let shown = Shown(program.as_bytes()).to_string();
        let mut run = Command::new(program);
        run.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        // What opens the repository is none of its business.
        for secret in ["VAULT_PASSWORD", "VAULT_NEW_PASSWORD"] {
            run.env_remove(secret);
        }
        let child = run.spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                self.job
                    .control
                    .problem(name.as_bytes(), format!("cannot run {shown}: {}", crate::error::reason(&error)));
                return Ok(Taken::default());
            }
        };
        let Some(output) = child.stdout.take() else { return Ok(Taken::default()) };
        let child = std::sync::Mutex::new(child);
        let ended = || {
            let mut child = child.lock().unwrap_or_else(|e| e.into_inner());
            loop {
                match child.try_wait() {
                    Ok(Some(status)) if status.success() => return Ok(()),
                    Ok(Some(status)) => return Err(format!("{shown} failed ({status}); what it wrote was not kept")),
                    Ok(None) if self.job.control.check().is_err() => return Err("stopped".into()),
                    // It has closed its output and will end soon, or takes its time: the user may not want to wait.
                    Ok(None) => std::thread::sleep(std::time::Duration::from_millis(10)),
                    Err(error) => return Err(format!("{shown}: {error}")),
                }
            }
        };
        let input = Box::new(Patient { output, control: self.job.control });
        let taken = self.stream(name, input, &ended);
        let mut child = child.into_inner().unwrap_or_else(|e| e.into_inner());
        if taken.is_err() || !matches!(child.try_wait(), Ok(Some(_))) {
            let _ = child.kill();
            let _ = child.wait();
        }
        taken
    }
}

enum Root {
    Directory(Dir),
    Single(Dir, Name),
}

fn open_root(path: &[u8]) -> Result<Root, PathError> {
    match stat_path(path)?.kind {
        FileKind::Dir => Dir::open(path).map(Root::Directory),
        _ => Dir::open_parent(path).map(|(dir, name)| Root::Single(dir, name)),
    }
}

/// Reads from a command, and looks now and then whether all should stop: the command may be silent for hours.
struct Patient<'a> {
    output: std::process::ChildStdout,
    control: &'a Control<'a>,
}

impl Read for Patient<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        loop {
            let ready = poll(&mut [PollFd::new(&self.output.as_fd(), PollFlags::IN)], Some(&PATIENCE))?;
            if ready > 0 {
                return self.output.read(room);
            }
            if self.control.check().is_err() {
                // The caller asks the control why.
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }
}
