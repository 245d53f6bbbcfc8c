//! What differs between two snapshots, or between a snapshot and the file system.
//!
//! What was moved is recognised by what it holds, while all that came and went fits in memory; else it is told as it is met.

mod live;
mod moves;
#[cfg(test)]
mod tests;
mod text;

pub use live::{Live, diff_live};
pub use text::{TEXT_MAX, contents, front, is_text};

use super::{
    compare::{self, Go, Seen, Visit, What},
    lookup::{Entry, Found, lookup},
    ls::plain_path,
    walk::{Event, TreeWalk},
};
use crate::{
    error::{Error, Result},
    model::{node::Node, snapshot::Problem, tree::Leaf},
    monitor::{Counter, Monitor, Phase},
    repo::{BlobReader, Listed},
};

/// One side of a comparison: a snapshot, or a part of it.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The snapshot.
    pub listed: &'a Listed,
    /// Path below it, its source's name first; `None` for all of it.
    pub path: Option<&'a [u8]>,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    Added(Box<Node>),
    /// It is no longer there.
    Removed(Box<Node>),
    /// It is another version.
    Changed { before: Box<Node>, after: Box<Node>, what: What },
    /// It was at another path; a directory with all that is in it.
    Moved { from: Vec<u8>, before: Box<Node>, after: Box<Node>, what: What },
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where it is: in the second, or in the first for what is no longer there.
    pub path: Vec<u8>,
    /// What it is.
    pub change: Change,
}

/// Hears of one difference after the other, in the order of paths (of what was moved: by where it is now).
pub type Each<'a> = dyn FnMut(&Difference) -> Result<()> + 'a;

/// Sums.
#[derive(Debug, Default)]
pub struct Report {
    /// Entries that are new.
    pub added: u64,
    /// Entries that are gone.
    pub removed: u64,
    /// Entries whose contents, targets or types differ.
    pub changed: u64,
    /// Entries of which only metadata differ.
    pub metadata: u64,
    /// Entries that are elsewhere; a directory counts once.
    pub moved: u64,
    /// Bytes of new files, and of the new versions of changed ones.
    pub bytes_added: u64,
    /// Bytes of files that are gone, and of the old versions of changed ones.
    pub bytes_removed: u64,
    /// Directories and files that could not be compared, by path.
    pub unreadable: Vec<Problem>,
}

impl Report {
    /// True when nothing differs, for all that could be read.
    pub fn is_equal(&self) -> bool {
        self.added + self.removed + self.changed + self.metadata + self.moved == 0
    }

    fn count(&mut self, change: &Change) {
        let file = |node: &Node| if node.is_dir() { 0 } else { node.bytes() };
        match change {
            Change::Added(node) => {
                self.added += 1;
                self.bytes_added = self.bytes_added.saturating_add(file(node));
            }
            Change::Removed(node) => {
                self.removed += 1;
                self.bytes_removed = self.bytes_removed.saturating_add(file(node));
            }
            Change::Changed { what, .. } if what.is_metadata_only() => self.metadata += 1,
            Change::Changed { before, after, .. } => {
                self.changed += 1;
                self.bytes_added = self.bytes_added.saturating_add(file(after));
                self.bytes_removed = self.bytes_removed.saturating_add(file(before));
            }
            Change::Moved { .. } => self.moved += 1,
        }
    }
}

/// Differences that are kept, at most, to find what was moved.
const HELD: u64 = 100_000;

/// Compares two snapshots, or parts of them.
pub fn diff(
    reader: &BlobReader<'_>,
    before: Side<'_>,
    after: Side<'_>,
    each: &mut Each<'_>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    monitor.phase(Phase::Planning);
    let (mut was, _) = top(reader, before)?;
    let (is, path) = top(reader, after)?;
    if let ([one], [other]) = (was.nodes.as_mut_slice(), is.nodes.as_slice()) {
        // Two entries that the user chose are two versions of one, whatever they are called.
        one.name = other.name.clone();
    }
    let mut sieve = Sieve { reader, held: Vec::new(), streams: false, each, report: Report::default(), monitor };
    compare::compare(reader, was, is, &path, &mut sieve)?;
    sieve.finish()
}

/// What a side names, and the path of the directory that it is in.
fn top(reader: &BlobReader<'_>, side: Side<'_>) -> Result<(Leaf, Vec<u8>)> {
    Ok(match lookup(reader, &side.listed.snapshot, side.path)? {
        Found::Snapshot => (compare::sources(&side.listed.snapshot), Vec::new()),
        Found::Entry(entry) => {
            let Entry { node, user, group, .. } = *entry;
            let mut path = plain_path(side.path.unwrap_or_default());
            path.truncate(path.iter().rposition(|&b| b == b'/').unwrap_or(0));
            (compare::single(node, user.as_deref(), group.as_deref()), path)
        }
    })
}

/// Takes what was met, and hands on what differs.
struct Sieve<'a, 'e> {
    reader: &'a BlobReader<'a>,
    /// While moves are looked for: directories that came or went stand for all that is in them.
    held: Vec<Difference>,
    /// Too much differs: each difference is handed on at once.
    streams: bool,
    each: &'a mut Each<'e>,
    report: Report,
    monitor: &'a dyn Monitor,
}

impl Visit for Sieve<'_, '_> {
    fn entry(&mut self, path: &[u8], before: Option<&Seen>, after: Option<&Seen>) -> Result<Go> {
        self.monitor.check()?;
        self.monitor.add(Counter::Entries, 1);
        let boxed = |seen: Option<&Seen>| seen.map(|seen| Box::new(seen.node().clone()));
        let (change, lone_dir) = match (boxed(before), boxed(after)) {
            (Some(before), Some(after)) => {
                let what = What::of_stored(&before, &after);
                if what.is_nothing() {
                    return Ok(Go::In);
                }
                (Change::Changed { before, after, what }, false)
            }
            (Some(before), None) => {
                let lone_dir = before.is_dir();
                (Change::Removed(before), lone_dir)
            }
            (None, Some(after)) => {
                let lone_dir = after.is_dir();
                (Change::Added(after), lone_dir)
            }
            (None, None) => return Ok(Go::Past),
        };
        let difference = Difference { path: path.to_vec(), change };
        if self.streams {
            self.tell(&difference)?;
            return Ok(Go::In);
        }
        self.held.push(difference);
        if self.held.len() as u64 >= HELD {
            self.streams = true;
            self.monitor.note("very much differs: what was moved is shown as removed and added");
            for held in std::mem::take(&mut self.held) {
                self.tell_whole(&held)?;
            }
        }
        Ok(if lone_dir { Go::Past } else { Go::In })
    }

    fn unreadable(&mut self, path: &[u8], error: Error) -> Result<()> {
        self.report.unreadable.push(Problem { path: path.to_vec(), what: error.to_string() });
        Ok(())
    }
}

impl Sieve<'_, '_> {
    fn tell(&mut self, difference: &Difference) -> Result<()> {
        self.report.count(&difference.change);
        (self.each)(difference)
    }

    /// Tells of what is held, and of all that is in it when it is a directory that came or went.
    fn tell_whole(&mut self, held: &Difference) -> Result<()> {
        self.tell(held)?;
        let (tree, came) = match &held.change {
            Change::Added(node) => (compare::tree_of(node), true),
            Change::Removed(node) => (compare::tree_of(node), false),
            _ => return Ok(()),
        };
        let Some(tree) = tree else { return Ok(()) };
        let mut walk = TreeWalk::new(self.reader, tree, &held.path);
        while let Some(event) = walk.next_event() {
            match event {
                Event::Entry { node, .. } => {
                    self.monitor.check()?;
                    let change = if came { Change::Added(node) } else { Change::Removed(node) };
                    self.tell(&Difference { path: walk.path().to_vec(), change })?;
                }
                Event::Leave => {}
                Event::Unreadable(error @ (Error::Corrupt { .. } | Error::Missing { .. })) => {
                    self.report.unreadable.push(Problem { path: walk.path().to_vec(), what: error.to_string() });
                }
                Event::Unreadable(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Report> {
        let Sieve { reader, mut held, each, report, monitor, .. } = self;
        moves::directories(&mut held);
        let inside = held.iter().map(|held| match &held.change {
            Change::Added(node) | Change::Removed(node) => node.entries(),
            _ => 1,
        });
        let few = inside.fold(0, u64::saturating_add) <= HELD;
        held.sort_by(|a, b| a.path.cmp(&b.path));
        if !few {
            let mut last = Sieve { reader, held: Vec::new(), streams: true, each, report, monitor };
            held.iter().try_for_each(|held| last.tell_whole(held))?;
            return Ok(last.report);
        }
        // Few enough to lay all of them side by side.
        let mut all = Vec::new();
        let mut keep = |difference: &Difference| {
            all.push(difference.clone());
            Ok(())
        };
        let mut whole = Sieve { reader, held: Vec::new(), streams: true, each: &mut keep, report, monitor };
        held.iter().try_for_each(|held| whole.tell_whole(held))?;
        let mut report = Report { unreadable: whole.report.unreadable, ..Report::default() };
        moves::files(&mut all);
        all.sort_by(|a, b| a.path.cmp(&b.path));
        for difference in &all {
            report.count(&difference.change);
            each(difference)?;
        }
        Ok(report)
    }
}
