//! Brings a snapshot, or a part of one, back.
//!
//! ```text
//! collect ── walks the tree, makes directories, links and devices, collects files ──▶ Window (plain data, bounded)
//! window  ── sorts what the window needs by pack and offset                        ──▶ reads
//! execute ── 2 readers ─▶ bounded channel ─▶ workers: open, verify, files::write   ──▶ files, finished one by one
//! apply   ── all of this, then verify (read back) ─▶ hard links ─▶ metadata of the directories that were left, deepest first
//! ```
//!
//! A window closes when it is full, so memory is bounded whatever the tree; a directory's metadata is kept until the
//! window in which the walk leaves it is done (at most one record for each level of the walk and each directory of the
//! window), so the tree is walked once.
//!
//! What is left of a file that could not be restored in full: nothing when it is new; the old file when it was to be
//! replaced (it, or the node, has other names); and where an old file is changed in place, what was written so far,
//! with the time of that writing, so that it does not pass for restored.

mod apply;
mod collect;
mod dirs;
mod entries;
mod execute;
mod files;
mod filter;
mod in_place;
mod links;
mod owners;
mod remove;
mod tally;
#[cfg(test)]
mod tests;
mod verify;
mod window;

use crate::{
    error::{Error, Result},
    fs::target::{Identity, Target},
    model::{
        node::Node,
        snapshot::{Problem, Source, Totals},
    },
    monitor::{Counter, Monitor, Phase},
    name::Shown,
    ops::lookup::{Found, lookup},
    repo::{BlobReader, Listed},
};
use collect::Collector;
use tally::Tally;

/// Whose the restored entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// By number, as on the source.
    #[default]
    Numeric,
    /// By name where this machine knows the name.
    ByName,
    /// The user who restores.
    Skip,
}

/// What is to be restored, and how.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Path below the snapshot, its source's name first; `None` for all of it.
    pub path: Option<Vec<u8>>,
    /// Folder to restore into; made when it is not there.
    pub target: Vec<u8>,
    /// gitignore-style patterns of what to bring back; all when empty.
    pub include: Vec<String>,
    /// gitignore-style patterns of what to leave.
    pub exclude: Vec<String>,
    /// Restore over what is there: write only what differs.
    pub in_place: bool,
    /// With `in_place`: remove what the snapshot does not have.
    pub delete: bool,
    /// In place: compare contents, not only size and time. Afterwards: read back what was written and compare.
    pub verify: bool,
    /// Change nothing, report what would be done.
    pub dry_run: bool,
    /// A directory that is never entered, changed or removed: the repository, where it lies on this machine.
    pub protect: Option<Identity>,
    /// Whose the restored entries are.
    pub owners: Owners,
    /// Worker threads; 0 for one a core.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was to be restored.
    pub totals: Totals,
    /// Files that were right already.
    pub files_unchanged: u64,
    /// Files whose contents were written, whole or in part.
    pub files_written: u64,
    /// Bytes of files that were written.
    pub bytes_written: u64,
    /// Bytes read from the store.
    pub bytes_fetched: u64,
    /// Entries that were removed.
    pub deleted: u64,
    /// Sockets, which mean nothing without their process, and are left out.
    pub sockets: u64,
    /// What this user or file system could not give the entries (owners, attributes, …), for people; empty when nothing.
    pub shortfall: String,
    /// The first problems, at most [`crate::model::limits::PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
    /// All problems.
    pub problem_count: u64,
    /// With `dry_run`: what would be done, one line an entry, safe to print; at most 10 000.
    pub actions: Vec<String>,
}

/// Bounds of a restore; tests shrink them.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Files of a window.
    files: usize,
    /// Stretches of files of a window (48 bytes each).
    extents: usize,
    /// Bytes that all else of a window may take, roughly.
    plan: usize,
    /// Neighbours in a pack are read at once up to so many bytes.
    read: u64,
    /// Bytes between two neighbours that are read for nothing.
    gap: u64,
    /// Bytes read and opened that are not yet written.
    in_flight: usize,
    /// Places that segments which lean on others are opened for at once: what each leans on is kept.
    ways: usize,
    /// Open files, and open directories.
    open: usize,
    /// Files of a window that are written under temporary names, all of which are open.
    temporary: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            files: 64 << 10,
            extents: 256 << 10,
            plan: 16 << 20,
            read: 2 << 20,
            gap: 32 << 10,
            in_flight: 20 << 20,
            ways: 4,
            open: 192,
            temporary: 64,
        }
    }
}

/// What every part of a restore needs.
struct Job<'a> {
    reader: &'a BlobReader<'a>,
    request: &'a Request,
    limits: Limits,
    monitor: &'a dyn Monitor,
    tally: &'a Tally<'a>,
}

/// An entry at the top of what is restored.
struct Top<'s> {
    node: Node,
    owner: (Option<String>, Option<String>),
    /// Its contents become the target's own.
    into_target: bool,
    /// All that is known of how much it is.
    totals: Option<&'s Totals>,
}

/// Restores. Single entries that fail are in the report, and the rest is restored; an error is returned when the request
/// makes no sense or the target as a whole failed (no room left, read-only).
///
/// Files of different sizes, times or bytes count as changed, whatever their other metadata; `bytes_fetched` counts what
/// was read of data packs, without the pages of trees. With `dry_run` all counts are of what would be done.
pub fn restore(reader: &BlobReader<'_>, listed: &Listed, request: &Request, monitor: &dyn Monitor) -> Result<Report> {
    restore_within(reader, listed, request, monitor, Limits::default())
}

fn restore_within(
    reader: &BlobReader<'_>,
    listed: &Listed,
    request: &Request,
    monitor: &dyn Monitor,
    limits: Limits,
) -> Result<Report> {
    if request.delete && !request.in_place {
        return Err(Error::usage("--delete makes sense with --in-place only"));
    }
    if request.target.is_empty() {
        return Err(Error::usage("name the folder to restore to: --target DIR"));
    }
    monitor.phase(Phase::Planning);
    let filter = filter::Filter::new(request)?;
    let tops = tops(reader, listed, request)?;
    let target = open_target(request)?;
    expect(&tops, monitor);

    let tally = Tally::new(monitor);
    let job = Job { reader, request, limits, monitor, tally: &tally };
    let mut collector = Collector::new(&job, filter, target.as_ref());
    let mut outcome = tops.into_iter().try_for_each(|top| collector.restore(top)).and_then(|()| collector.close());
    if outcome.is_err() {
        collector.abandon();
    }
    // A worker found that the target failed: that is why the rest stopped.
    outcome = tally.fatal().and(outcome);
    if let Some(target) = &target
        && !request.dry_run
    {
        let synced = target.sync();
        outcome = outcome.and(synced);
    }
    outcome?;
    let report = tally.into_report();
    if report.sockets > 0 {
        let sockets = if report.sockets == 1 { "socket is" } else { "sockets are" };
        monitor.note(&format!("{} {sockets} left out: without its process a socket means nothing", report.sockets));
    }
    Ok(report)
}

/// What the request names.
fn tops<'s>(reader: &BlobReader<'_>, listed: &'s Listed, request: &Request) -> Result<Vec<Top<'s>>> {
    let of_source = |source: &'s Source, into_target| Top {
        node: source.root.clone(),
        owner: source.owner.clone(),
        into_target,
        totals: Some(&source.totals),
    };
    Ok(match lookup(reader, &listed.snapshot, request.path.as_deref())? {
        Found::Entry(entry) => {
            let entry = *entry;
            let into_target = entry.node.is_dir();
            vec![Top { node: entry.node, owner: (entry.user, entry.group), into_target, totals: None }]
        }
        Found::Snapshot => match listed.snapshot.sources.as_slice() {
            [only] => vec![of_source(only, only.root.is_dir())],
            many => many.iter().map(|source| of_source(source, false)).collect(),
        },
    })
}

/// The target; nothing when it is not there and is not to be made.
fn open_target(request: &Request) -> Result<Option<Target>> {
    // Before anything is made, which would be in the repository.
    refuse_protected(request)?;
    let target = match (request.dry_run, Target::open(&request.target)) {
        (true, Err(Error::Target { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        (true, opened) => opened?,
        (false, _) => Target::create_or_open(&request.target)?,
    };
    refuse_protected(request)?;
    if !request.in_place && !target.is_empty()? {
        let shown = Shown(&request.target);
        return Err(Error::refused(format!(
            "{shown} is not empty: choose another folder, or restore over what is there with --in-place"
        )));
    }
    Ok(Some(target))
}

fn refuse_protected(request: &Request) -> Result<()> {
    match request.protect {
        Some(id) if Target::lies_in(&request.target, id)? => Err(Error::refused(format!(
            "{} is the repository itself or lies in it: choose another folder",
            Shown(&request.target)
        ))),
        _ => Ok(()),
    }
}

fn expect(tops: &[Top<'_>], monitor: &dyn Monitor) {
    let entries = |top: &Top<'_>| match top.totals {
        Some(totals) => totals.files.saturating_add(totals.directories).saturating_add(totals.others),
        None => top.node.entries(),
    };
    let bytes = |top: &Top<'_>| top.totals.map_or(top.node.bytes(), |totals| totals.bytes);
    monitor.expect(Counter::Entries, tops.iter().map(entries).fold(0, u64::saturating_add));
    monitor.expect(Counter::Bytes, tops.iter().map(bytes).fold(0, u64::saturating_add));
}
