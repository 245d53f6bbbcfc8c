//! From the roots of snapshots to all that they need: every page once, whatever number of snapshots it belongs to.

use super::live::{Live, Standing, Walked};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    model::{
        node::{Body, Content, Extent, Node},
        tree::{ListPage, TreePage},
    },
    monitor::{Counter, Monitor},
    repo::{BlobReader, Listed},
};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Where a walk begins.
pub(in crate::ops) struct Root {
    /// The object's name in the store.
    pub object: String,
    /// `series@id`, for people.
    pub label: String,
    /// The roots of its sources.
    pub sources: Vec<Node>,
}

impl Root {
    /// Of a snapshot that lies in the store as `object`.
    pub(in crate::ops) fn new(listed: &Listed, object: String) -> Root {
        let label = format!("{}@{}", listed.snapshot.series, listed.id.short());
        Root { object, label, sources: listed.snapshot.sources.iter().map(|source| source.root.clone()).collect() }
    }
}

/// How a walk ended.
pub(in crate::ops) enum Ended {
    /// All was found; the worst of where.
    Whole(Standing),
    /// A blob is nowhere to be found.
    Lacks(BlobId),
}

struct Walk<'a> {
    live: &'a Live,
    walked: &'a Walked,
    reader: &'a BlobReader<'a>,
    monitor: &'a dyn Monitor,
    pages: Vec<(BlobKind, BlobId)>,
    worst: Standing,
}

impl Walk<'_> {
    /// `Err` holds a blob that is nowhere.
    fn node(&mut self, node: &Node) -> Result<(), BlobId> {
        match &node.body {
            Body::Directory { tree, .. } => self.page(BlobKind::Tree, tree),
            Body::File { content: Content::Paged(id), .. } => self.page(BlobKind::List, id),
            Body::File { content: Content::Extents(extents), .. } => self.extents(extents),
            _ => Ok(()),
        }
    }

    fn extents(&mut self, extents: &[Extent]) -> Result<(), BlobId> {
        for extent in extents {
            if let Extent::Data { id, .. } = extent {
                self.worst = self.worst.max(self.live.need(id).ok_or(*id)?);
            }
        }
        Ok(())
    }

    fn page(&mut self, kind: BlobKind, id: &BlobId) -> Result<(), BlobId> {
        let met = self.live.need_page(id, self.walked).ok_or(*id)?;
        self.worst = self.worst.max(met.standing);
        if met.first {
            self.pages.push((kind, *id));
        }
        Ok(())
    }

    fn run(mut self, root: &Root) -> Result<Ended> {
        let mut step = root.sources.iter().try_for_each(|node| self.node(node));
        loop {
            if let Err(id) = step {
                return Ok(Ended::Lacks(id));
            }
            let Some((kind, id)) = self.pages.pop() else { return Ok(Ended::Whole(self.worst)) };
            self.monitor.check()?;
            let bytes = self.reader.blob(kind, &id).map_err(|error| unreadable(root, error))?;
            let bad = |error: crate::model::codec::Malformed| {
                unreadable(root, Error::corrupt(format_args!("{kind} {}", id.short()), error))
            };
            step = match kind {
                BlobKind::Tree => match TreePage::decode(&bytes).map_err(bad)? {
                    TreePage::Leaf(leaf) => {
                        self.monitor.add(Counter::Entries, leaf.nodes.len() as u64);
                        leaf.nodes.iter().try_for_each(|node| self.node(node))
                    }
                    TreePage::Inner(children) => {
                        children.iter().rev().try_for_each(|child| self.page(BlobKind::Tree, &child.id))
                    }
                },
                _ => match ListPage::decode(&bytes).map_err(bad)? {
                    ListPage::Leaf(extents) => self.extents(&extents),
                    ListPage::Inner(children) => {
                        children.iter().rev().try_for_each(|child| self.page(BlobKind::List, &child.id))
                    }
                },
            };
        }
    }
}

/// What cannot be read may need anything: then nothing may go.
fn unreadable(root: &Root, error: Error) -> Error {
    match error {
        Error::Corrupt { .. } | Error::Missing { .. } => Error::corrupt(
            &root.object,
            format!(
                "not all of {} can be read ({error}): nothing is pruned as long as it is there; see `vault check`, or \
                 forget it",
                root.label
            ),
        ),
        error => error,
    }
}

/// Walks from one root.
pub(in crate::ops) fn one(
    root: &Root,
    live: &Live,
    walked: &Walked,
    reader: &BlobReader<'_>,
    monitor: &dyn Monitor,
) -> Result<Ended> {
    Walk { live, walked, reader, monitor, pages: Vec::new(), worst: Standing::Kept }.run(root)
}

/// Walks from many roots, of which everything must be found. Neighbours should stand together: they share nearly all of their pages.
pub(in crate::ops) fn all(
    roots: &[Root],
    live: &Live,
    walked: &Walked,
    reader: &BlobReader<'_>,
    threads: usize,
    monitor: &dyn Monitor,
) -> Result<()> {
    let (next, stop, failure) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
    let work = || {
        while !stop.load(Ordering::Relaxed)
            && let Some(root) = roots.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let ended = match one(root, live, walked, reader, monitor) {
                Ok(Ended::Whole(_)) => Ok(()),
                Ok(Ended::Lacks(id)) => {
                    Err(unreadable(root, Error::Missing { object: format!("blob {}", id.short()) }))
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                stop.store(true, Ordering::Relaxed);
            }
            monitor.add(Counter::Objects, 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Fewer threads are slower, and that is all.
            let _ = std::thread::Builder::new().name("prune".into()).spawn_scoped(scope, work);
        }
        work();
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
