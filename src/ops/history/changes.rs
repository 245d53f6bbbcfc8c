//! What one snapshot changed against the one before it, from their trees.

use super::{
    Facts,
    kept::{BLOCK_CHANGES, Change},
};
use crate::{
    error::{Error, Result},
    id::{BLOB_ID_LEN, BlobId},
    model::{lazy::LazyPage, snapshot::Snapshot, tree::Leaf},
    monitor::{Counter, Monitor},
    ops::compare::{self, Go, Pages, Seen, Visit},
    repo::{BlobReader, Listed},
};
use lru::LruCache;
use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
};

/// Entries of directories in pages that are kept: of each about 130 bytes.
const SHELF_NODES: usize = 100_000;

/// Pages that were read lately, for several threads: a snapshot's are those of the one before, but for what changed.
pub(super) struct Shelf<'r> {
    reader: &'r BlobReader<'r>,
    pages: Mutex<(LruCache<BlobId, Arc<LazyPage>>, usize)>,
}

fn weight(page: &LazyPage) -> usize {
    match page {
        LazyPage::Leaf(leaf) => leaf.len() + 1,
        LazyPage::Inner(children) => children.len() + 1,
    }
}

impl<'r> Shelf<'r> {
    /// Empty; pages come from `reader`.
    pub fn new(reader: &'r BlobReader<'r>) -> Self {
        Shelf { reader, pages: Mutex::new((LruCache::unbounded(), 0)) }
    }

    fn page(&self, id: &BlobId, near: Option<&LazyPage>) -> Result<Arc<LazyPage>> {
        let lock = || self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = lock().0.get(id) {
            return Ok(page.clone());
        }
        let page = self.reader.tree_page(id, near)?;
        let (pages, nodes) = &mut *lock();
        *nodes += weight(&page);
        if let Some((_, old)) = pages.push(*id, page.clone()) {
            *nodes -= weight(&old);
        }
        while *nodes > SHELF_NODES && pages.len() > 1 {
            let Some((_, old)) = pages.pop_lru() else { break };
            *nodes -= weight(&old);
        }
        Ok(page)
    }
}

/// A thread's way to the pages.
struct Memo<'s> {
    shelf: &'s Shelf<'s>,
    lost: RefCell<Vec<(BlobId, Error)>>,
}

impl<'s> Memo<'s> {
    fn new(shelf: &'s Shelf<'s>) -> Self {
        Memo { shelf, lost: RefCell::default() }
    }
}

impl Pages for Memo<'_> {
    fn tree_page(&self, id: &BlobId, near: Option<&LazyPage>) -> Result<Arc<LazyPage>> {
        self.shelf.page(id, near)
    }

    /// The same page is lost in each snapshot that has it, so that versions can still be compared.
    fn lost(&self, id: &BlobId, error: Error) -> Result<()> {
        let mut lost = self.lost.borrow_mut();
        if !lost.iter().any(|(known, _)| known == id) {
            lost.push((*id, error));
        }
        Ok(())
    }
}

/// What a stretch of snapshots changed.
pub(super) struct Stretch {
    /// A list for each snapshot, up to one that changed more than is to be held.
    pub changes: Vec<Vec<Change>>,
    /// Pages that could not be read.
    pub lost: Vec<(BlobId, Error)>,
}

/// What each of `snapshots` changed against the one before it, the first against `before`.
pub(super) fn changes(
    shelf: &Shelf<'_>,
    before: Option<&Snapshot>,
    snapshots: &[Listed],
    monitor: &dyn Monitor,
) -> Result<Stretch> {
    let memo = Memo::new(shelf);
    let mut was = before.map_or_else(Leaf::default, compare::sources);
    let (mut changes, mut left) = (Vec::with_capacity(snapshots.len()), STRETCH_CHANGES);
    for listed in snapshots {
        let is = compare::sources(&listed.snapshot);
        let mut taken = Vec::new();
        let mut full = false;
        let mut take = |_: &[u8], change: Change| {
            full = taken.len() >= left;
            taken.push(change);
            if full { Err(Error::Cancelled) } else { Ok(()) }
        };
        let compared = compare::compare(&memo, was, is.clone(), b"", &mut Taken::new(&memo, &mut take, monitor));
        if full {
            break;
        }
        compared?;
        left -= taken.len();
        changes.push(taken);
        was = is;
        monitor.add(Counter::Objects, 1);
    }
    Ok(Stretch { changes, lost: memo.lost.into_inner() })
}

/// What one snapshot changed, however much it is: in lists of [`BLOCK_CHANGES`], each of which stands for itself. Returns what
/// could not be read.
pub(super) fn many_changes(
    shelf: &Shelf<'_>,
    before: Option<&Snapshot>,
    after: &Snapshot,
    each: &mut dyn FnMut(Vec<Change>, bool) -> Result<()>,
    monitor: &dyn Monitor,
) -> Result<Vec<(BlobId, Error)>> {
    let memo = Memo::new(shelf);
    let was = before.map_or_else(Leaf::default, compare::sources);
    let mut part: Vec<Change> = Vec::new();
    let mut take = |path: &[u8], change: Change| {
        if part.len() >= BLOCK_CHANGES {
            each(std::mem::take(&mut part), true)?;
        }
        part.push(if part.is_empty() { Change { shared: 0, suffix: path.to_vec(), ..change } } else { change });
        Ok(())
    };
    compare::compare(&memo, was, compare::sources(after), b"", &mut Taken::new(&memo, &mut take, monitor))?;
    each(part, false)?;
    Ok(memo.lost.into_inner())
}

/// Changes of a stretch that are held: some megabytes.
const STRETCH_CHANGES: usize = if cfg!(test) { 1_000 } else { 30_000 };

type Take<'a> = dyn FnMut(&[u8], Change) -> Result<()> + 'a;

/// Takes changes down, each path as what differs from the one before.
struct Taken<'a, 's> {
    memo: &'a Memo<'s>,
    take: &'a mut Take<'a>,
    monitor: &'a dyn Monitor,
    path: Vec<u8>,
}

impl<'a, 's> Taken<'a, 's> {
    fn new(memo: &'a Memo<'s>, take: &'a mut Take<'a>, monitor: &'a dyn Monitor) -> Self {
        Taken { memo, take, monitor, path: Vec::new() }
    }
}

impl Visit for Taken<'_, '_> {
    fn entry(&mut self, path: &[u8], before: Option<&Seen>, after: Option<&Seen>) -> Result<Go> {
        self.monitor.check()?;
        let facts = |seen: Option<&Seen>| seen.map(|seen| Facts::of(seen.node()));
        let (was, is) = (facts(before), facts(after));
        if was != is {
            let shared = self.path.iter().zip(path).take_while(|(a, b)| a == b).count();
            let suffix = path.get(shared..).unwrap_or_default().to_vec();
            path.clone_into(&mut self.path);
            (self.take)(path, Change { shared: shared as u32, suffix, facts: is })?;
        }
        Ok(Go::In)
    }

    /// Nested too deeply: no page is lost.
    fn unreadable(&mut self, _: &[u8], error: Error) -> Result<()> {
        self.memo.lost.borrow_mut().push((BlobId([0; BLOB_ID_LEN]), error));
        Ok(())
    }
}
