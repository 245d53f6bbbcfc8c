//! The trees of a snapshot without what is taken out of them.

use super::Taking;
use crate::{
    error::{Error, Result},
    hash::{self, BlobKind},
    id::BlobId,
    index::BlobIndex,
    model::{
        node::{Body, Node},
        paging::PageSink,
        snapshot::{Problem, Snapshot, Source, SourceKind, Totals},
    },
    monitor::{Counter, Monitor},
    ops::{
        check::losses::{LostPath, SnapshotLoss},
        prune::live::Live,
        rebuild::{Fate, Judge, each_blob, rebuild},
        walk::{Event, TreeWalk},
    },
    repo::{BlobReader, Lane, Listed},
};
use std::collections::{HashMap, HashSet};

/// Directories of which it is remembered that they stay as they are: neighbours share nearly all of theirs. Beyond that some are
/// looked at again.
const KNOWN_MAX: usize = 1 << 20;

/// Makes trees anew, one snapshot after another.
pub(super) struct Trees<'a> {
    pub(super) reader: &'a BlobReader<'a>,
    pub(super) index: &'a BlobIndex,
    pub(super) page_key: [u8; 32],
    /// Lists of extents, and the contents of files, that have to be stored again to last.
    pub(super) lists: Lane<'a>,
    pub(super) data: Lane<'a>,
    /// What the snapshots need that come out of it.
    pub(super) after: &'a Live,
    /// Contents of what is taken out.
    pub(super) taken: &'a Live,
    /// Directories, with their paths, that stay as they are.
    pub(super) known: HashSet<[u8; 16]>,
    /// Sums of directories that are taken out.
    pub(super) sums: HashMap<BlobId, Totals>,
    pub(super) monitor: &'a dyn Monitor,
}

impl<'a> Trees<'a> {
    /// The snapshot without what is to be taken out, of which `loss` is told; `None` when there is nothing.
    pub(super) fn of(
        &mut self,
        listed: &Listed,
        taking: &Taking,
        pages: &mut Lane<'_>,
        loss: &mut SnapshotLoss,
    ) -> Result<Option<Snapshot>> {
        let mut snapshot = listed.snapshot.clone();
        let mut sources = Vec::new();
        for source in std::mem::take(&mut snapshot.sources) {
            let mut judge =
                Taker { trees: self, taking, loss, name: source.root.name.as_bytes(), out: Totals::default() };
            let (reader, page_key, monitor) = (judge.trees.reader, judge.trees.page_key, judge.trees.monitor);
            let mut sink = Noting { lane: pages, after: judge.trees.after };
            let root = rebuild(reader, page_key, &source.root, &mut judge, &mut sink, monitor)?;
            let totals = without(&source.totals, &judge.out);
            if let Some(root) = root {
                sources.push(Source { root, totals, ..source });
            }
        }
        if loss.entries == 0 {
            return Ok(None);
        }
        snapshot.problems.retain(|problem| !taking.holds_problem(&listed.snapshot.sources, problem));
        let fewer = listed.snapshot.problems.len() - snapshot.problems.len();
        snapshot.problem_count = snapshot.problem_count.saturating_sub(fewer as u64);
        snapshot.totals = Totals::default();
        for source in &mut sources {
            snapshot.totals.add(&source.totals);
            let more: Vec<String> = taking
                .excludes
                .patterns()
                .iter()
                .filter(|pattern| !source.excludes.contains(pattern))
                .cloned()
                .collect();
            source.excludes.extend(more);
        }
        snapshot.sources = sources;
        Ok(Some(snapshot))
    }

    /// A blob stays. One that lies where prune may remove it, or nowhere to last, is stored again.
    fn keep(&mut self, kind: BlobKind, id: &BlobId) -> Result<()> {
        self.after.need(id);
        if self.index.contains(id) {
            return Ok(());
        }
        let bytes = self.reader.blob(kind, id)?;
        let lane = if kind == BlobKind::Data { &mut self.data } else { &mut self.lists };
        lane.store(kind, &bytes).map(drop)
    }

    /// Sums of what is taken out with an entry. What of it cannot be read need not be.
    fn sum(&mut self, node: &Node) -> Totals {
        let Body::Directory { tree, .. } = node.body else { return self.sum_one(node) };
        if let Some(sum) = self.sums.get(&tree) {
            return *sum;
        }
        let mut sum = Totals { directories: 1, ..Totals::default() };
        let mut walk = TreeWalk::salvaging(self.reader, tree, b"");
        while let Some(event) = walk.next_event() {
            if let Event::Entry { node, .. } = event {
                self.monitor.add(Counter::Entries, 1);
                sum.add(&self.sum_one(&node));
            }
        }
        self.sums.insert(tree, sum);
        sum
    }

    fn sum_one(&self, node: &Node) -> Totals {
        match &node.body {
            Body::Directory { .. } => Totals { directories: 1, ..Totals::default() },
            Body::File { size, .. } => {
                let _ = each_blob(self.reader, node, &mut |_, id| {
                    self.taken.need(id);
                    Ok(())
                });
                Totals { files: 1, bytes: *size, ..Totals::default() }
            }
            _ => Totals { others: 1, ..Totals::default() },
        }
    }
}

fn without(all: &Totals, out: &Totals) -> Totals {
    Totals {
        files: all.files.saturating_sub(out.files),
        directories: all.directories.saturating_sub(out.directories),
        others: all.others.saturating_sub(out.others),
        bytes: all.bytes.saturating_sub(out.bytes),
    }
}

impl Taking {
    /// True for what is taken out: `path` begins with the name of the source, `rel` is what follows.
    fn takes(&self, path: &[u8], rel: &[u8], is_dir: bool) -> bool {
        self.paths.contains(path) || self.excludes.leaves_out(rel, is_dir)
    }

    /// True for a problem with something that is taken out: its path is no less telling.
    fn holds_problem(&self, sources: &[Source], problem: &Problem) -> bool {
        sources.iter().any(|source| {
            let SourceKind::Tree { path, .. } = &source.kind else { return false };
            let Some(rest) = problem.path.strip_prefix(&path[..]) else { return false };
            let Some(rel) = rest.strip_prefix(b"/").or(rest.is_empty().then_some(rest)) else { return false };
            let name = source.root.name.as_bytes();
            let ends = (0..rel.len()).filter(|&at| rel[at] == b'/').chain([rel.len()]);
            self.paths.contains(name)
                || ends.into_iter().any(|end| {
                    let (rel, is_whole) = (&rel[..end], end == rel.len());
                    let path = [name, b"/", rel].concat();
                    self.takes(&path, rel, true) || is_whole && self.takes(&path, rel, false)
                })
        })
    }
}

/// Takes entries out of one source.
struct Taker<'t, 'a, 's> {
    trees: &'t mut Trees<'a>,
    taking: &'s Taking,
    loss: &'s mut SnapshotLoss,
    name: &'s [u8],
    out: Totals,
}

impl Taker<'_, '_, '_> {
    fn known(&self, tree: &BlobId, path: &[u8]) -> [u8; 16] {
        let whole = hash::object_name(&[&tree.0[..], path].concat());
        *whole.first_chunk().unwrap_or(&[0; 16])
    }
}

impl Judge for Taker<'_, '_, '_> {
    fn meet(&mut self, node: &Node, path: &[u8]) -> Result<Fate> {
        self.trees.monitor.add(Counter::Entries, 1);
        let rel = path.get(self.name.len() + 1..).unwrap_or_default();
        if self.taking.takes(path, rel, node.is_dir()) {
            let sum = self.trees.sum(node);
            self.out.add(&sum);
            let entries = sum.files.saturating_add(sum.directories).saturating_add(sum.others);
            self.loss.add(LostPath { path: path.to_vec(), entries, size: sum.bytes, lost: sum.bytes });
            return Ok(Fate::Drop);
        }
        match node.body {
            Body::Directory { tree, .. } if self.trees.known.contains(&self.known(&tree, path)) => Ok(Fate::KeepWhole),
            Body::Directory { .. } => Ok(Fate::Keep),
            _ => {
                let reader = self.trees.reader;
                each_blob(reader, node, &mut |kind, id| self.trees.keep(kind, id)).map(|()| Fate::Keep)
            }
        }
    }

    fn left(&mut self, before: &Node, path: &[u8], changed: bool) {
        if let Body::Directory { tree, .. } = before.body
            && !changed
            && self.trees.known.len() < KNOWN_MAX
        {
            let known = self.known(&tree, path);
            self.trees.known.insert(known);
        }
    }

    fn unreadable(&mut self, error: Error) -> Result<()> {
        Err(error)
    }
}

/// Stores pages, and notes that they are needed.
struct Noting<'a, 'l, 'w> {
    lane: &'l mut Lane<'w>,
    after: &'a Live,
}

impl PageSink for Noting<'_, '_, '_> {
    fn store_page(&mut self, kind: BlobKind, bytes: Vec<u8>) -> Result<BlobId> {
        let id = self.lane.store_page(kind, bytes)?;
        // One that is new is nobody else's.
        self.after.need(&id);
        Ok(id)
    }
}
