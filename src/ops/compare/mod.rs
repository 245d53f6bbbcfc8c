//! Two stored trees side by side. What is equal is not even read: directories, and pages of directories, are compared by their ids
//! first. So the work is that of the changes, whatever the size of the trees.

mod cursor;
#[cfg(test)]
mod tests;
mod what;

pub use cursor::Seen;
pub use what::{What, content_key, same_content};

use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    model::{
        lazy::{LazyLeaf, LazyPage},
        limits,
        node::{Body, Node},
        paging::PageSource,
        snapshot::Snapshot,
        tree::{Leaf, OwnerName},
    },
    repo::BlobReader,
};
use cursor::{Cursor, Next, Spot};
use std::{cmp::Ordering, sync::Arc};

/// Gives decoded pages of directories, which several readers may share.
pub trait Pages {
    /// A page, which may be much like `near`.
    fn tree_page(&self, id: &BlobId, near: Option<&LazyPage>) -> Result<Arc<LazyPage>>;

    /// Hears of a page that is damaged or missing. Where that is no failure, nothing counts as being in it.
    fn lost(&self, _id: &BlobId, error: Error) -> Result<()> {
        Err(error)
    }
}

impl Pages for BlobReader<'_> {
    fn tree_page(&self, id: &BlobId, near: Option<&LazyPage>) -> Result<Arc<LazyPage>> {
        let bytes = self.page(BlobKind::Tree, id)?;
        let page = LazyPage::parse_near(bytes, near).map_err(|e| Error::corrupt(format!("page {}", id.short()), e))?;
        Ok(Arc::new(page))
    }
}

/// Whether to go into the directory that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// Yes: into both, where both are directories and differ; else into the one.
    In,
    /// No.
    Past,
}

/// Hears of what differs.
pub trait Visit {
    /// An entry that is on one side only, or that is not the same on both. Directories come before what is in them. That of a
    /// directory something below differs makes it differ too.
    fn entry(&mut self, path: &[u8], before: Option<&Seen>, after: Option<&Seen>) -> Result<Go>;

    /// A directory of which a side cannot be read: what is left of it is not compared.
    fn unreadable(&mut self, path: &[u8], error: Error) -> Result<()>;
}

/// All sources of a snapshot as entries.
pub fn sources(snapshot: &Snapshot) -> Leaf {
    let mut leaf = Leaf::default();
    for source in &snapshot.sources {
        let meta = &source.root.meta;
        add_owner(&mut leaf.users, meta.uid, source.owner.0.as_deref());
        add_owner(&mut leaf.groups, meta.gid, source.owner.1.as_deref());
        leaf.nodes.push(source.root.clone());
    }
    leaf
}

/// One entry.
pub fn single(node: Node, user: Option<&str>, group: Option<&str>) -> Leaf {
    let mut leaf = Leaf::default();
    add_owner(&mut leaf.users, node.meta.uid, user);
    add_owner(&mut leaf.groups, node.meta.gid, group);
    leaf.nodes.push(node);
    leaf
}

fn add_owner(owners: &mut Vec<OwnerName>, id: u32, name: Option<&str>) {
    if let (Some(name), Err(at)) = (name, owners.binary_search_by_key(&id, |owner| owner.id)) {
        owners.insert(at, OwnerName { id, name: name.to_owned() });
    }
}

struct Frame<'p> {
    before: Option<Cursor<'p>>,
    after: Option<Cursor<'p>>,
    path_len: usize,
}

/// Compares entries, and all that is below them, and tells of what differs. `path` is that of the directory that they are in.
pub fn compare(pages: &dyn Pages, before: Leaf, after: Leaf, path: &[u8], visit: &mut dyn Visit) -> Result<()> {
    let top = |leaf| -> Result<_> {
        let leaf = LazyLeaf::of(leaf).map_err(|e| Error::corrupt("a snapshot's sources", e))?;
        Ok(Some(Cursor::of_leaf(pages, leaf)))
    };
    let mut frames = vec![Frame { before: top(before)?, after: top(after)?, path_len: path.len() }];
    let mut path = path.to_vec();
    while let Some(frame) = frames.last_mut() {
        path.truncate(frame.path_len);
        let (before, after) = match step(frame) {
            Ok(Some(pair)) => pair,
            Ok(None) => {
                frames.pop();
                continue;
            }
            Err(error @ (Error::Corrupt { .. } | Error::Missing { .. })) => {
                frames.pop();
                visit.unreadable(&path, error)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(name) = after.as_ref().or(before.as_ref()).map(Spot::name) else { continue };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let look = |spot: Option<Spot>| spot.map(Spot::look).transpose();
        let (before, after) = match look(before).and_then(|before| Ok((before, look(after)?))) {
            Ok(pair) => pair,
            Err(error) => {
                visit.unreadable(&path, error)?;
                continue;
            }
        };
        if visit.entry(&path, before.as_ref(), after.as_ref())? == Go::Past {
            continue;
        }
        let tree = |seen: &Option<Seen>| seen.as_ref().and_then(|seen| tree_of(seen.node()));
        let (was, is) = (tree(&before), tree(&after));
        if was == is {
            continue;
        }
        if frames.len() >= limits::DEPTH_MAX {
            visit.unreadable(&path, Error::corrupt("a tree", "its directories are nested too deeply"))?;
            continue;
        }
        let below = |tree: Option<BlobId>| tree.map(|tree| Cursor::new(pages, tree));
        frames.push(Frame { before: below(was), after: below(is), path_len: path.len() });
    }
    Ok(())
}

/// The root page of a directory.
pub fn tree_of(node: &Node) -> Option<BlobId> {
    match node.body {
        Body::Directory { tree, .. } => Some(tree),
        _ => None,
    }
}

type Pair = (Option<Spot>, Option<Spot>);

/// The next difference in a directory.
fn step(frame: &mut Frame<'_>) -> Result<Option<Pair>> {
    let (before, after) = match (&mut frame.before, &mut frame.after) {
        (Some(before), Some(after)) => (before, after),
        (Some(only), None) => return Ok(one(only)?.map(|spot| (Some(spot), None))),
        (None, Some(only)) => return Ok(one(only)?.map(|spot| (None, Some(spot)))),
        (None, None) => return Ok(None),
    };
    loop {
        if let (Some(was), Some(is)) = (before.whole(), after.whole())
            && was == is
        {
            before.skip();
            after.skip();
            continue;
        }
        before.pass_same(after);
        match (before.next(), after.next()) {
            (Next::End, Next::End) => return Ok(None),
            (Next::Entry(was), Next::Entry(is)) => match was.cmp(is) {
                Ordering::Equal => return Ok(Some((before.take(), after.take()))),
                Ordering::Less => return Ok(Some((before.take(), None))),
                Ordering::Greater => return Ok(Some((None, after.take()))),
            },
            (Next::Entry(_), Next::End) => return Ok(Some((before.take(), None))),
            (Next::End, Next::Entry(_)) => return Ok(Some((None, after.take()))),
            (Next::Entry(was), Next::Page(Some(first))) if was < first => {
                return Ok(Some((before.take(), None)));
            }
            (Next::Page(Some(first)), Next::Entry(is)) if is < first => return Ok(Some((None, after.take()))),
            (Next::Page(_), Next::Entry(_) | Next::End) => before.load(after.page())?,
            (Next::Entry(_) | Next::End, Next::Page(_)) => after.load(before.page())?,
            // The one that begins first; else both by one level, so that a page of one can meet an equal page of the other.
            (Next::Page(was), Next::Page(is)) => match was.cmp(&is) {
                Ordering::Less if was.is_some() => before.load(None)?,
                Ordering::Greater if is.is_some() => after.load(None)?,
                _ => {
                    before.load(None)?;
                    after.load(before.page())?;
                }
            },
        }
    }
}

/// The next entry of a directory that has no counterpart.
fn one(cursor: &mut Cursor<'_>) -> Result<Option<Spot>> {
    loop {
        match cursor.next() {
            Next::End => return Ok(None),
            Next::Entry(_) => return Ok(cursor.take()),
            Next::Page(_) => cursor.load(None)?,
        }
    }
}
