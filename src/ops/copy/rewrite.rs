//! A snapshot's trees under other names: each blob is read, verified, and stored where it is not known yet.

use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    index::BlobIndex,
    model::{
        node::{Body, Content, Extent, Node},
        paging::{ExtentLeaves, ListBuilder, TreeBuilder, TreeLeaves, each_extent},
        snapshot::{Snapshot, Source},
        tree::Leaf,
    },
    monitor::{Counter, Monitor},
    name::Name,
    object::Kind,
    ops::{
        self,
        walk::{Event, TreeWalk},
    },
    repo::{BlobReader, Lane, Writer},
};
use std::{
    collections::{HashMap, HashSet},
    thread,
};

/// Names that are remembered, each way: some 70 MB.
const KNOWN_MAX: usize = 1 << 20;
/// Fewer blobs than this are not worth a second thread.
const ALONE: usize = 8;
/// Bases of a blob's segment that are looked at, on either side of its place.
const NEAR: usize = 2;

/// Why a snapshot is not copied.
pub(super) enum Trouble {
    /// Something of it cannot be read.
    Lost(Error),
    /// Nothing can be copied any more.
    Fatal(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Fatal(error)
    }
}

type Rewritten<T> = Result<T, Trouble>;

/// A blob to be stored, and true when it is a file of its own.
type Carried = (BlobId, bool);

/// Where blobs go.
pub(super) struct Lanes<'w> {
    data: Vec<Lane<'w>>,
    tree: Lane<'w>,
}

impl<'w> Lanes<'w> {
    /// `threads`: how many at once, 0 for one a core.
    pub(super) fn new(writer: &'w Writer<'w>, leans_on: Option<&'w BlobReader<'w>>, threads: usize) -> Result<Self> {
        let lane = |_| {
            let lane = writer.lane(Kind::DataPack)?;
            Ok(match leans_on {
                Some(reader) => lane.leaning_on(reader),
                None => lane,
            })
        };
        Ok(Lanes {
            data: (0..ops::threads(threads)).map(lane).collect::<Result<_>>()?,
            tree: writer.lane(Kind::TreePack)?,
        })
    }

    /// Passes on what is open.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.data.iter_mut().try_for_each(Lane::flush)?;
        self.tree.flush()
    }
}

/// The nodes of a directory in order, as far as they can be read.
struct Cursor<'s> {
    leaves: TreeLeaves<'s>,
    nodes: std::vec::IntoIter<Node>,
    next: Option<Node>,
}

impl<'s> Cursor<'s> {
    fn new(pages: &'s BlobReader<'s>, tree: BlobId) -> Self {
        Cursor { leaves: TreeLeaves::new(pages, tree), nodes: Vec::new().into_iter(), next: None }
    }

    /// The node of this name; names that are asked for grow.
    fn at(&mut self, name: &Name) -> Option<Node> {
        loop {
            match &self.next {
                Some(node) if node.name > *name => return None,
                Some(node) if node.name == *name => return self.next.take(),
                _ => {}
            }
            self.next = self.nodes.next();
            if self.next.is_none() {
                // What cannot be read is no help, and no harm.
                self.nodes = self.leaves.next_leaf().ok().flatten()?.nodes.into_iter();
            }
        }
    }
}

/// A directory of the version before: here and in the copy.
struct Before<'s> {
    here: Cursor<'s>,
    there: Cursor<'s>,
}

impl<'s> Before<'s> {
    fn of(here: &'s BlobReader<'s>, there: &'s BlobReader<'s>, nodes: &(Node, Node)) -> Option<Self> {
        match (&nodes.0.body, &nodes.1.body) {
            (Body::Directory { tree: a, .. }, Body::Directory { tree: b, .. }) => {
                Some(Before { here: Cursor::new(here, *a), there: Cursor::new(there, *b) })
            }
            _ => None,
        }
    }

    fn at(&mut self, name: &Name) -> Option<(Node, Node)> {
        Some((self.here.at(name)?, self.there.at(name)?))
    }
}

/// A directory that is being rewritten.
struct Frame<'s> {
    /// Its own node.
    node: Node,
    tree: BlobId,
    leaves: TreeLeaves<'s>,
    owners: Leaf,
    nodes: std::vec::IntoIter<(Node, Option<(Node, Node)>)>,
    before: Option<Before<'s>>,
    builder: TreeBuilder,
}

/// Rewrites trees.
pub(super) struct Rewriter<'a> {
    from: &'a BlobReader<'a>,
    page_key: [u8; 32],
    index: &'a BlobIndex,
    monitor: &'a dyn Monitor,
    trees: HashMap<BlobId, BlobId>,
    data: HashMap<BlobId, BlobId>,
    /// Trees of the copy of which all is there to stay.
    relied: HashSet<BlobId>,
    carried: u64,
}

/// Fails of the store as a whole are none of one snapshot.
fn lost(from: &BlobReader<'_>, error: Error) -> Trouble {
    match error {
        Error::Corrupt { .. } | Error::Missing { .. } => Trouble::Lost(error),
        Error::Store { .. } if from.repo().is_there() => Trouble::Lost(error),
        error => Trouble::Fatal(error),
    }
}

impl<'a> Rewriter<'a> {
    /// `from` reads what is copied; `index` is the copy's, and `page_key` says where its directories are cut.
    pub(super) fn new(
        from: &'a BlobReader<'a>,
        page_key: [u8; 32],
        index: &'a BlobIndex,
        monitor: &'a dyn Monitor,
    ) -> Self {
        let (trees, data, relied) = (HashMap::new(), HashMap::new(), HashSet::new());
        Rewriter { from, page_key, index, monitor, trees, data, relied, carried: 0 }
    }

    /// Plaintext that was read so far, in bytes.
    pub(super) fn carried(&self) -> u64 {
        self.carried
    }

    /// Counts on all that a snapshot of the copy needs. False when something of it is not there to stay, or cannot be read.
    pub(super) fn rely_on(&mut self, pages: &BlobReader<'_>, snapshot: &Snapshot) -> Result<bool> {
        for source in &snapshot.sources {
            if !self.rely_on_file(pages, &source.root) {
                return Ok(false);
            }
            let Body::Directory { tree, .. } = source.root.body else { continue };
            if self.relied.contains(&tree) {
                continue;
            }
            let counting = Counting { pages, index: self.index };
            let mut walk = TreeWalk::new(&counting, tree, b"");
            while let Some(event) = walk.next_event() {
                self.monitor.check()?;
                match event {
                    Event::Entry { node, .. } => {
                        if !self.rely_on_file(pages, &node) {
                            return Ok(false);
                        }
                        if let Body::Directory { tree, .. } = node.body
                            && self.relied.contains(&tree)
                        {
                            walk.skip();
                        }
                    }
                    Event::Unreadable(_) => return Ok(false),
                    Event::Leave => {}
                }
            }
            self.relied.insert(tree);
        }
        Ok(true)
    }

    fn rely_on_file(&self, pages: &BlobReader<'_>, node: &Node) -> bool {
        let Body::File { size, content } = &node.body else { return true };
        let counting = Counting { pages, index: self.index };
        let mut all = true;
        let read = each_extent(&counting, content, *size, &mut |extent| {
            if let Extent::Data { id, .. } = extent {
                all &= self.index.contains(&id);
            }
            Ok(())
        });
        all && read.is_ok()
    }

    /// Stores all that a snapshot needs, and returns its sources as they are in the copy. `before` is an earlier one of its series,
    /// here and in the copy (which was found to be there to stay): what has not changed since is not looked at.
    pub(super) fn snapshot(
        &mut self,
        lanes: &mut Lanes<'_>,
        pages: &BlobReader<'_>,
        snapshot: &Snapshot,
        before: Option<(&Snapshot, &Snapshot)>,
    ) -> Rewritten<Vec<Source>> {
        let mut sources = snapshot.sources.clone();
        for source in &mut sources {
            let of = |snapshot: &Snapshot| {
                snapshot
                    .sources
                    .iter()
                    .find(|other| other.root.name == source.root.name)
                    .map(|other| other.root.clone())
            };
            let before = before.and_then(|(here, there)| Some((of(here)?, of(there)?)));
            source.root = self.root(lanes, pages, source.root.clone(), before)?;
        }
        Ok(sources)
    }

    fn root(
        &mut self,
        lanes: &mut Lanes<'_>,
        pages: &BlobReader<'_>,
        root: Node,
        before: Option<(Node, Node)>,
    ) -> Rewritten<Node> {
        let from = self.from;
        let mut frames: Vec<Frame<'_>> = Vec::new();
        let mut done = self.enter(lanes, pages, &mut frames, root, before)?;
        loop {
            self.monitor.check()?;
            if let Some(node) = done.take() {
                let Some(frame) = frames.last_mut() else { return Ok(node) };
                let (user, group) = (frame.owners.user(node.meta.uid), frame.owners.group(node.meta.gid));
                frame.builder.push(&node, user, group, &mut lanes.tree)?;
            }
            let Some(frame) = frames.last_mut() else {
                return Err(Trouble::Lost(Error::corrupt("a tree", "it has no root")));
            };
            if let Some((node, before)) = frame.nodes.next() {
                done = self.enter(lanes, pages, &mut frames, node, before)?;
                continue;
            }
            match frame.leaves.next_leaf().map_err(|error| lost(from, error))? {
                Some(mut leaf) => {
                    let nodes = std::mem::take(&mut leaf.nodes);
                    frame.owners = leaf;
                    let pairs: Vec<_> = nodes
                        .into_iter()
                        .map(|node| {
                            let before = frame.before.as_mut().and_then(|before| before.at(&node.name));
                            (node, before)
                        })
                        .collect();
                    // All small files of a page together: on several threads.
                    let ids = pairs.iter().filter(|(node, before)| unchanged(node, before).is_none());
                    let ids = ids.flat_map(|(node, _)| inline_ids(node)).collect();
                    frame.nodes = pairs.into_iter();
                    self.carry(lanes, ids)?;
                }
                None => {
                    let Some(frame) = frames.pop() else { continue };
                    let new = frame.builder.finish(&mut lanes.tree)?;
                    remember(&mut self.trees, [(frame.tree, new)]);
                    let mut node = frame.node;
                    if let Body::Directory { tree, .. } = &mut node.body {
                        *tree = new;
                    }
                    done = Some(node);
                }
            }
        }
    }

    /// Rewrites an entry; `None` for a directory that is to be gone through first.
    fn enter<'s>(
        &mut self,
        lanes: &mut Lanes<'_>,
        pages: &'s BlobReader<'s>,
        frames: &mut Vec<Frame<'s>>,
        mut node: Node,
        before: Option<(Node, Node)>,
    ) -> Rewritten<Option<Node>>
    where
        'a: 's,
    {
        self.monitor.add(Counter::Entries, 1);
        if let Some(body) = unchanged(&node, &before) {
            self.monitor.add(Counter::Bytes, node.bytes());
            node.body = body;
            return Ok(Some(node));
        }
        match &mut node.body {
            Body::Directory { tree, bytes, .. } => {
                if let Some(new) = self.trees.get(tree) {
                    self.monitor.add(Counter::Bytes, *bytes);
                    *tree = *new;
                    return Ok(Some(node));
                }
                let tree = *tree;
                frames.push(Frame {
                    tree,
                    leaves: TreeLeaves::new(self.from, tree),
                    owners: Leaf::default(),
                    nodes: Vec::new().into_iter(),
                    before: before.and_then(|nodes| Before::of(self.from, pages, &nodes)),
                    builder: TreeBuilder::new(self.page_key),
                    node,
                });
                Ok(None)
            }
            Body::File { size, content } => {
                if let Some((
                    Node { body: Body::File { size: a, content: here }, .. },
                    Node { body: Body::File { size: b, content: there }, .. },
                )) = &before
                    && a == b
                {
                    self.learn(pages, *a, here, there);
                }
                *content = self.content(lanes, *size, content)?;
                Ok(Some(node))
            }
            _ => Ok(Some(node)),
        }
    }

    /// Learns the other names of a file's blobs from a version that is in both.
    fn learn(&mut self, pages: &BlobReader<'_>, size: u64, here: &Content, there: &Content) {
        let list = |source: &BlobReader<'_>, content: &Content| {
            let mut out = Vec::new();
            each_extent(source, content, size, &mut |extent| {
                if out.len() < KNOWN_MAX {
                    out.push(extent);
                }
                Ok(())
            })
            .ok()
            .map(|()| out)
        };
        let (Some(here), Some(there)) = (list(self.from, here), list(pages, there)) else { return };
        let pairs = here.iter().zip(&there).filter_map(|pair| match pair {
            (Extent::Data { id: a, len: m, .. }, Extent::Data { id: b, len: n, .. }) if m == n => Some((*a, *b)),
            _ => None,
        });
        remember(&mut self.data, pairs);
    }

    fn content(&mut self, lanes: &mut Lanes<'_>, size: u64, content: &Content) -> Rewritten<Content> {
        let mut list = ListBuilder::default();
        match content {
            Content::Extents(extents) => self.extents(lanes, extents, &mut list)?,
            Content::Paged(root) => {
                let mut leaves = ExtentLeaves::new(self.from, *root, size);
                while let Some(extents) = leaves.next_leaf().map_err(|error| lost(self.from, error))? {
                    self.monitor.check()?;
                    let ids = extents.iter().filter_map(data_id).map(|id| (id, false)).collect();
                    self.carry(lanes, ids)?;
                    self.extents(lanes, &extents, &mut list)?;
                }
            }
        }
        Ok(list.finish(&mut lanes.tree)?)
    }

    fn extents(&mut self, lanes: &mut Lanes<'_>, extents: &[Extent], list: &mut ListBuilder) -> Rewritten<()> {
        for extent in extents {
            let extent = match *extent {
                Extent::Data { id, len, edge } => {
                    if !self.data.contains_key(&id) {
                        self.carry(lanes, vec![(id, extents.len() == 1)])?;
                    }
                    let Some(new) = self.data.get(&id) else {
                        return Err(Trouble::Fatal(Error::Hardware { what: format!("blob {id} was lost on its way") }));
                    };
                    Extent::Data { id: *new, len, edge }
                }
                hole => hole,
            };
            self.monitor.add(Counter::Bytes, extent.len());
            list.push(extent, &mut lanes.tree)?;
        }
        Ok(())
    }

    /// Reads blobs and stores them under their other names, which are remembered. Those known before are left out.
    fn carry(&mut self, lanes: &mut Lanes<'_>, mut ids: Vec<Carried>) -> Rewritten<()> {
        let mut seen = HashSet::new();
        ids.retain(|(id, _)| !self.data.contains_key(id) && seen.insert(*id));
        if ids.is_empty() {
            return Ok(());
        }
        let (from, data) = (self.from, &self.data);
        let one = |lane: &mut Lane<'_>, ids: &[Carried]| -> Rewritten<(Vec<BlobId>, u64)> {
            let (mut new, mut read) = (Vec::with_capacity(ids.len()), 0);
            for (id, whole) in ids {
                let bytes = from.blob(BlobKind::Data, id).map_err(|error| lost(from, error))?;
                read += bytes.len() as u64;
                let near = near(from.index(), data, id);
                new.push(match (whole, near.is_empty()) {
                    (true, true) => lane.store(BlobKind::Data, &bytes)?,
                    _ => lane.store_near(BlobKind::Data, &bytes, || near)?,
                });
            }
            Ok((new, read))
        };
        let parts = if ids.len() < ALONE { 1 } else { lanes.data.len().max(1) };
        let chunks = ids.chunks(ids.len().div_ceil(parts));
        let made: Vec<Rewritten<(Vec<BlobId>, u64)>> = thread::scope(|scope| {
            let mut waiting = Vec::new();
            let mut made = Vec::new();
            let mut work = lanes.data.iter_mut().zip(chunks);
            let first = work.next();
            for (lane, ids) in work {
                let one = &one;
                match thread::Builder::new().name("copy".into()).spawn_scoped(scope, move || one(lane, ids)) {
                    Ok(thread) => waiting.push(thread),
                    Err(e) => made.push(Err(Trouble::Fatal(Error::store("start a thread for", "blobs", e)))),
                }
            }
            let own = first.map(|(lane, ids)| one(lane, ids));
            let died = || Err(Trouble::Fatal(Error::Hardware { what: "a thread that copies blobs died".into() }));
            let others = waiting.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died()));
            own.into_iter().chain(others.collect::<Vec<_>>()).chain(made).collect()
        });
        let mut new = Vec::with_capacity(ids.len());
        for part in made {
            let (part, read) = part?;
            self.carried += read;
            new.extend(part);
        }
        remember(&mut self.data, ids.into_iter().map(|(id, _)| id).zip(new));
        Ok(())
    }
}

/// The names that blobs of the copy have on which this one may lean: those of what it leans on here, around the same place.
fn near(index: &BlobIndex, data: &HashMap<BlobId, BlobId>, id: &BlobId) -> Vec<BlobId> {
    let Some(place) = index.place(id) else { return Vec::new() };
    let Some(located) = index.locate(place) else { return Vec::new() };
    let count = located.bases.len();
    let scale = |at: u64| (at * count as u64 / u64::from(located.recipe.raw).max(1)) as usize;
    let offset = u64::from(place.row.offset);
    let first = scale(offset).saturating_sub(NEAR).min(count);
    let last = (scale(offset + u64::from(place.row.len)) + 1 + NEAR).min(count);
    located.bases.get(first..last).unwrap_or_default().iter().filter_map(|base| data.get(base).copied()).collect()
}

/// Remembers pairs; all are forgotten when there are too many.
fn remember(known: &mut HashMap<BlobId, BlobId>, pairs: impl IntoIterator<Item = (BlobId, BlobId)>) {
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    known.extend(pairs);
}

/// What a node that has not changed holds in the copy.
fn unchanged(node: &Node, before: &Option<(Node, Node)>) -> Option<Body> {
    let (here, there) = before.as_ref()?;
    let same = match (&node.body, &here.body, &there.body) {
        (Body::Directory { .. }, _, Body::Directory { .. }) => node.body == here.body,
        (Body::File { size: a, .. }, _, Body::File { size: b, .. }) => node.body == here.body && a == b,
        _ => false,
    };
    same.then(|| there.body.clone())
}

fn data_id(extent: &Extent) -> Option<BlobId> {
    match extent {
        Extent::Data { id, .. } => Some(*id),
        Extent::Hole { .. } => None,
    }
}

fn inline_ids(node: &Node) -> Vec<Carried> {
    match &node.body {
        Body::File { content: Content::Extents(extents), .. } => {
            extents.iter().filter_map(data_id).map(|id| (id, extents.len() == 1)).collect()
        }
        _ => Vec::new(),
    }
}

/// Reads pages of the copy that are counted on from then on; one that will not last cannot be read.
struct Counting<'r, 'p> {
    pages: &'p BlobReader<'r>,
    index: &'p BlobIndex,
}

impl crate::model::paging::PageSource for Counting<'_, '_> {
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        if !self.index.contains(id) {
            return Err(Error::Missing { object: format!("{kind} {id}") });
        }
        self.pages.blob(kind, id)
    }
}
