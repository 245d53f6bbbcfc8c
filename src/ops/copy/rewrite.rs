//! A snapshot's trees under other names: each blob is read, verified, and stored where it is not known yet.

use super::{
    before::{Before, unchanged},
    lanes::{Carried, Lanes, Rewritten, Trouble, lost},
};
use crate::{
    error::Error,
    id::BlobId,
    model::{
        node::{Body, Content, Extent, Node},
        paging::{ExtentLeaves, ListBuilder, TreeBuilder, TreeLeaves, each_extent},
        snapshot::{Snapshot, Source},
        tree::Leaf,
    },
    monitor::{Counter, Monitor},
    repo::BlobReader,
};
use std::collections::{HashMap, HashSet};

/// Names that are remembered, each way: some 70 MB.
const KNOWN_MAX: usize = 1 << 20;
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
    monitor: &'a dyn Monitor,
    trees: HashMap<BlobId, BlobId>,
    data: HashMap<BlobId, BlobId>,
    carried: u64,
}

impl<'a> Rewriter<'a> {
    /// `from` reads what is copied; `page_key` says where directories of the copy are cut.
    pub(super) fn new(from: &'a BlobReader<'a>, page_key: [u8; 32], monitor: &'a dyn Monitor) -> Self {
        let (trees, data) = (HashMap::new(), HashMap::new());
        Rewriter { from, page_key, monitor, trees, data, carried: 0 }
    }

    /// Plaintext that was read so far, in bytes.
    pub(super) fn carried(&self) -> u64 {
        self.carried
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
        let (new, read) = lanes.carry(self.from, &self.data, &ids)?;
        self.carried += read;
        remember(&mut self.data, ids.into_iter().map(|(id, _)| id).zip(new));
        Ok(())
    }
}

/// Remembers pairs; all are forgotten when there are too many.
fn remember(known: &mut HashMap<BlobId, BlobId>, pairs: impl IntoIterator<Item = (BlobId, BlobId)>) {
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    known.extend(pairs);
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
