//! Takes a snapshot: walk → read → chunk → hash → known? → segments → packs; then the tree, then the snapshot itself.

mod assemble;
mod flow;
mod job;
mod parent;
mod previous;
mod read;
mod recall;
mod scan;
mod take;
#[cfg(test)]
mod tests;
mod work;

use crate::{
    compress::Compression,
    error::{Error, Result},
    fs::exclude::{ExcludeOptions, Excludes},
    id::SnapshotId,
    keys::Role,
    model::{
        annotation::check_tag,
        snapshot::{Head, Snapshot, Source, Totals, Work},
    },
    monitor::{Counter, Monitor, Phase},
    name::{Name, Shown},
    repo::{BlobReader, Repository, WriteOptions, Written, files::Places},
    series::Series,
};
use flow::Control;
use job::{Bases, Job};
use parent::Parent;
use recall::Recall;
use std::{
    collections::HashSet,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Opened segments of trees that are kept while the walk compares with them, in bytes.
const PAGES_CACHE: usize = 12 << 20;
/// Opened segments that are kept for what leans on them, in bytes.
const DATA_CACHE: usize = 24 << 20;

/// Where a source comes from.
pub enum Input {
    /// A file or directory.
    Path(Vec<u8>),
    /// A file or directory with what is said of it alone.
    Tree(TreeInput),
    /// What a command writes to its standard output: program and arguments. The source fails when it exits with another status
    /// than 0.
    Command(Vec<Vec<u8>>),
    /// Bytes that the caller holds, such as standard input.
    Stream(Box<dyn Read + Send>),
    /// Bytes that are asked for when their turn comes, and again when the snapshot has to be taken again.
    Opened(Arc<dyn Open>),
}

/// A file tree with what is said of it alone.
#[derive(Debug, Clone, Default)]
pub struct TreeInput {
    /// Where it lies.
    pub path: Vec<u8>,
    /// Where it is read: in a snapshot of its file system.
    pub read_from: Option<Vec<u8>>,
    /// Patterns of what is left out, after those of the request.
    pub exclude: Vec<String>,
    /// Its files are appended to while they are read, and what they held at first is good by itself: mailboxes, logs. That one grew is
    /// then no problem.
    pub grows: bool,
    /// Its files get other names while they are read: one that vanishes may be where it was not looked for, which is a problem. Elsewhere
    /// what vanishes was removed.
    pub moves: bool,
}

impl TreeInput {
    /// What is left out of it, when a request leaves out `all`.
    fn excludes(&self, all: &ExcludeOptions) -> Result<Excludes> {
        let patterns = all.patterns.iter().chain(&self.exclude).cloned().collect();
        Excludes::new(&ExcludeOptions { patterns, ..all.clone() })
    }
}

/// Opens a stream, such as a database's dump.
///
/// Its `read` may fail with `Interrupted` when nothing has come for a while, so that a cancelled snapshot does not wait. It ends
/// only when all has come: what ended early fails with an error that says why, and the source is then not taken.
pub trait Open: Send + Sync {
    /// Program and arguments, for the snapshot to tell; no secrets.
    fn command(&self) -> Vec<Vec<u8>>;
    /// Begins.
    fn open(&self) -> std::io::Result<Box<dyn Read + Send>>;
}

/// One source of a snapshot.
pub struct SourceRequest {
    /// Its name: `app`, `data`, `db`.
    pub name: Name,
    /// Where it comes from.
    pub input: Input,
}

impl SourceRequest {
    /// The same once more; `None` for what can be read only once.
    fn again(&self) -> Option<SourceRequest> {
        let input = match &self.input {
            Input::Path(path) => Input::Path(path.clone()),
            Input::Tree(tree) => Input::Tree(tree.clone()),
            Input::Opened(open) => Input::Opened(open.clone()),
            Input::Command(command) => Input::Command(command.clone()),
            Input::Stream(_) => return None,
        };
        Some(SourceRequest { name: self.name.clone(), input })
    }
}

/// What is to be taken.
pub struct Request {
    /// The series that it belongs to.
    pub series: Series,
    /// Its sources, each under a name of its own.
    pub sources: Vec<SourceRequest>,
    /// What to leave out.
    pub excludes: ExcludeOptions,
    /// How hard to compress.
    pub compression: Compression,
    /// Let what changed lean on its version before, where that saves half.
    pub delta: bool,
    /// Keep times of last access.
    pub with_atime: bool,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Free text.
    pub description: Option<String>,
    /// The application's effective configuration.
    pub configuration: Option<Vec<u8>>,
    /// The machine that makes it.
    pub host: String,
    /// The user who makes it.
    pub user: String,
    /// Device and inode (as `stat` tells them) of the folder that the repository lies in: it is left out, or each snapshot would
    /// hold the ones before.
    pub protect: Option<(u64, u64)>,
    /// Read and compare, store nothing.
    pub dry_run: bool,
    /// Worker threads; 0 for one a core.
    pub threads: usize,
}

impl Request {
    /// A snapshot of all of these sources, made by this user on this machine: nothing is left out, nothing is said of it, and all
    /// that has a choice is as it usually is.
    pub fn new(series: Series, sources: Vec<SourceRequest>, host: &str, user: &str) -> Self {
        Request {
            series,
            sources,
            excludes: ExcludeOptions::default(),
            compression: Compression::default(),
            delta: true,
            with_atime: false,
            tags: Vec::new(),
            description: None,
            configuration: None,
            host: host.into(),
            user: user.into(),
            protect: None,
            dry_run: false,
            threads: 0,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// The snapshot's name; `None` after a dry run.
    pub id: Option<SnapshotId>,
    /// The snapshot: totals, work, problems, `complete`.
    pub snapshot: Snapshot,
    /// What was stored.
    pub written: Written,
    /// Regular files that were taken over from the snapshot before, unread.
    pub files_unchanged: u64,
    /// How often a regular file was opened: once for each that was read, and on rotational disks once more to ask for its place.
    pub files_opened: u64,
    /// Entries that were removed after their directory was listed and before they were read.
    pub files_gone: u64,
}

/// Takes a snapshot. Entries that cannot be read are in the report and in the snapshot, which is then not `complete`; an error
/// is returned when nothing could be read, or when the repository failed.
///
/// One that was overtaken by prunes begins again, once, unless a source cannot be read a second time.
pub fn snapshot(repo: &Repository, mut request: Request, monitor: &dyn Monitor) -> Result<Report> {
    let sources = std::mem::take(&mut request.sources);
    let again: Option<Vec<SourceRequest>> = sources.iter().map(SourceRequest::again).collect();
    let mut number = 0;
    match (attempt(repo, &request, sources, &mut number, monitor), again) {
        (Err(Error::Overtaken), Some(sources)) => {
            monitor.note(
                "prune has begun to remove packs that the snapshot would have relied on: it is taken again; commands are run again",
            );
            attempt(repo, &request, sources, &mut number, monitor)
        }
        (done, _) => done,
    }
}

/// `number` is that of the attempt before, or 0: a prune may still publish it, and it would be a twin of this one.
fn attempt(
    repo: &Repository,
    request: &Request,
    sources: Vec<SourceRequest>,
    number: &mut u64,
    monitor: &dyn Monitor,
) -> Result<Report> {
    monitor.phase(Phase::Opening);
    let begun = repo.clock().now();
    let excludes = Excludes::new(&request.excludes)?;
    check(request, &sources)?;

    // A series is not gone on with from an older head because the newer one is hidden.
    repo.expect_no_rollback(&request.series)?;
    // The list of snapshots is read before the index: all that they refer to is then in the index that is seen.
    let end = repo.series_end(&request.series)?;
    let tag = repo.keys().series_tag(&request.series);
    let before = end.living.and_then(|id| repo.read_snapshot(&tag, &id).ok());
    let session = repo.begin(&request.host, request.dry_run, monitor)?;
    let usable = session.load_index(monitor)?;
    if !request.dry_run {
        session.adopt(&usable, monitor)?;
    }
    let index = usable.index;

    let pages = BlobReader::with_cache(repo, &index, PAGES_CACHE);
    let parent = before.as_ref().map(|listed| Parent {
        snapshot: &listed.snapshot,
        pages: &pages,
        index: &index,
        knows_attributes: listed.snapshot.head.complete && listed.snapshot.user == request.user,
    });
    if let Some(parent) = &parent {
        let totals = &parent.snapshot.totals;
        let entries = totals.files.saturating_add(totals.directories).saturating_add(totals.others);
        monitor.expect(Counter::Entries, entries);
        monitor.expect(Counter::Bytes, totals.bytes);
    }
    let recall = match repo.keys().role() {
        Role::Writer => Some(Recall {
            places: Places::new(repo.keys()),
            before: repo.remembered_files(&request.series, &request.user),
            next: if request.dry_run { None } else { repo.remember_files(&request.series)? },
            index: &index,
            begun,
        }),
        Role::Maintainer | Role::Owner => None,
    };
    let newest = end.last.as_ref().map_or(0, |(_, head)| head.sequence);
    let sequence = next_sequence(newest.max(*number))?;
    *number = sequence;
    monitor.phase(Phase::Storing);
    let control = Control::new(monitor);
    let protect = request.protect.map(|(device, inode)| {
        (u64::from(rustix::fs::major(device)) << 32 | u64::from(rustix::fs::minor(device)), inode)
    });
    // Readers of their own: what data leans on would drive the pages out that the walk reads.
    let data = BlobReader::with_cache(repo, &index, DATA_CACHE);
    let role = if request.delta { repo.keys().role() } else { Role::Writer };
    let bases =
        Bases { data: (role >= Role::Owner).then_some(&data), pages: (role >= Role::Maintainer).then_some(&pages) };
    let job = Job {
        control: &control,
        excludes: &excludes,
        exclude_options: &request.excludes,
        parent,
        recall: recall.as_ref(),
        bases,
        with_atime: request.with_atime,
        protect,
        repo,
    };
    let options = WriteOptions { compression: request.compression, pretend: request.dry_run };
    let (mut sources, written) = session.write(&index, options, monitor, |writer| {
        let sources = take::all(&job, writer, sources, request.threads);
        monitor.phase(Phase::Publishing);
        match control.take_failure() {
            Some(error) => Err(error),
            None => Ok(sources),
        }
    })?;
    if sources.is_empty() {
        return Err(Error::refused("nothing could be read: no snapshot was made; the warnings name what to look at"));
    }
    sources.sort_by(|a, b| a.root.name.cmp(&b.root.name));
    let (problems, problem_count) = control.take_problems();
    let files_gone = match control.take_gone() {
        Some((path, gone)) => {
            monitor.note(&format!(
                "gone before it was read, so no part of the snapshot: {}{}",
                Shown(&path),
                others(gone)
            ));
            gone
        }
        None => 0,
    };
    let mut totals = Totals::default();
    sources.iter().for_each(|source: &Source| totals.add(&source.totals));
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut tags = request.tags.clone();
    tags.sort();
    tags.dedup();
    let snapshot = Snapshot {
        series: request.series.as_str().to_owned(),
        head: Head { sequence, previous: end.last.map(|(id, _)| id), time: begun, complete: problem_count == 0 },
        finished: repo.clock().now(),
        host: request.host.clone(),
        user: request.user.clone(),
        program: concat!("vault ", env!("CARGO_PKG_VERSION")).to_owned(),
        sources,
        problems,
        problem_count,
        totals,
        work: Work {
            files_read: count(&control.files_read),
            bytes_read: count(&control.bytes_read),
            bytes_new: written.bytes_new,
            bytes_stored: written.bytes_stored,
        },
        tags,
        description: request.description.clone(),
        configuration: request.configuration.clone(),
    };
    let id = if request.dry_run { None } else { Some(session.publish(&snapshot, &index, &written)?) };
    if let Some(id) = &id
        && let Err(error) = repo.saw(&request.series, id, &snapshot.head)
    {
        monitor.note(&format!("{error}; were this snapshot to vanish, this machine would not notice"));
    }
    if let Some(next) = recall.and_then(|recall| recall.next)
        && let Err(error) = next.finish(repo, &request.series, &snapshot.user, snapshot.head.complete)
    {
        monitor.note(&format!("{error}; the next snapshot reads all files"));
    }
    let (files_unchanged, files_opened) = (count(&control.files_unchanged), count(&control.files_opened));
    Ok(Report { id, snapshot, written, files_unchanged, files_opened, files_gone })
}

/// What to say of the entries besides the one that was named.
fn others(all: u64) -> String {
    match all.saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// The number after the newest; whoever holds a writer key may have made that one up.
fn next_sequence(newest: u64) -> Result<u64> {
    newest.checked_add(1).ok_or_else(|| {
        Error::refused("the newest snapshot of this series has the highest possible number: somebody made it up; use another series")
    })
}

fn check(request: &Request, sources: &[SourceRequest]) -> Result<()> {
    for tag in &request.tags {
        check_tag(tag).map_err(|e| Error::usage(format!("\"{}\": {e}", Shown(tag.as_bytes()))))?;
    }
    let mut names = HashSet::new();
    for source in sources {
        if let Input::Tree(tree) = &source.input {
            tree.excludes(&request.excludes)?;
        }
        if !names.insert(&source.name) {
            return Err(Error::usage(format!(
                "two sources are called \"{}\": give one another name with --source NAME=PATH",
                source.name
            )));
        }
    }
    if names.is_empty() { Err(Error::usage("there is nothing to take a snapshot of: name a path")) } else { Ok(()) }
}
