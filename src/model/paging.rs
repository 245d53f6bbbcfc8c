//! Long lists as pages, cut where the contents say so, and read back lazily. Rules: `format-spec/05-trees.md`.

use super::{
    codec, limits,
    node::{Content, Extent, Node},
    tree::{Leaf, ListChild, ListPage, OwnerName, TreeChild, TreePage},
};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    name::Name,
};
use std::collections::BTreeMap;

/// Encoded items of a page, in bytes, from which on a cut closes it.
const PAGE_MIN: usize = 16 << 10;
/// Encoded items of a page, in bytes, from which on it is closed anyway.
const PAGE_MAX: usize = 128 << 10;
/// An item in 64 is a cut.
const CUT_MASK: u8 = 63;
/// Files of so many extents or fewer carry them in the node.
pub const EXTENTS_IN_NODE: usize = 32;

/// Takes finished pages.
pub trait PageSink {
    /// Stores a page unless it is known, and names it.
    fn store_page(&mut self, kind: BlobKind, bytes: Vec<u8>) -> Result<BlobId>;
}

/// Gives pages back, already verified against their ids.
pub trait PageSource {
    /// The bytes of a page.
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>>;
}

fn is_full(bytes: usize, cut: impl FnOnce() -> bool) -> bool {
    bytes >= PAGE_MAX || (bytes >= PAGE_MIN && cut())
}

/// Items of one page to be, encoded.
#[derive(Default)]
struct Items {
    bytes: Vec<u8>,
    count: u64,
}

impl Items {
    fn push(&mut self, item: &impl bincode::Encode) {
        codec::encode_into(item, &mut self.bytes);
        self.count += 1;
    }

    /// Appends `count ‖ items`, which is how a list is encoded, and starts afresh.
    fn drain_into(&mut self, page: &mut Vec<u8>) {
        codec::encode_into(&self.count, page);
        page.append(&mut self.bytes);
        self.count = 0;
    }
}

/// Turns a directory's nodes, given in order, into pages.
pub struct TreeBuilder {
    page_key: [u8; 32],
    leaf: Items,
    first: Option<Name>,
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    /// Inner levels from the lowest: the children of the page to be, and how many pages were closed before it.
    inner: Vec<InnerLevel>,
}

#[derive(Default)]
struct InnerLevel {
    items: Items,
    first: Option<TreeChild>,
    closed: usize,
}

impl TreeBuilder {
    /// Starts an empty directory.
    pub fn new(page_key: [u8; 32]) -> Self {
        TreeBuilder {
            page_key,
            leaf: Items::default(),
            first: None,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            inner: Vec::new(),
        }
    }

    fn is_cut(&self, level: u8, name: &Name) -> bool {
        let mut hasher = blake3::Hasher::new_keyed(&self.page_key);
        hasher.update(&[level]).update(name.as_bytes());
        hasher.finalize().as_bytes()[0] & CUT_MASK == 0
    }

    /// Appends a node, whose name must be above all before it, with the names of its owners where known.
    pub fn push(
        &mut self,
        node: &Node,
        user: Option<&str>,
        group: Option<&str>,
        sink: &mut dyn PageSink,
    ) -> Result<()> {
        self.first.get_or_insert_with(|| node.name.clone());
        self.leaf.push(node);
        for (names, id, name) in [(&mut self.users, node.meta.uid, user), (&mut self.groups, node.meta.gid, group)] {
            if let Some(name) = name
                && !names.contains_key(&id)
            {
                names.insert(id, name.to_owned());
            }
        }
        if is_full(self.leaf.bytes.len(), || self.is_cut(0, &node.name)) {
            self.close_leaf(sink)?;
        }
        Ok(())
    }

    fn close_leaf(&mut self, sink: &mut dyn PageSink) -> Result<()> {
        let mut page = Vec::with_capacity(self.leaf.bytes.len() + 256);
        codec::encode_into(&0u32, &mut page);
        for names in [&mut self.users, &mut self.groups] {
            let names: Vec<OwnerName> =
                std::mem::take(names).into_iter().map(|(id, name)| OwnerName { id, name }).collect();
            codec::encode_into(&names, &mut page);
        }
        self.leaf.drain_into(&mut page);
        let id = sink.store_page(BlobKind::Tree, page)?;
        if let Some(first) = self.first.take() {
            self.add_child(0, TreeChild { first, id }, sink)?;
        }
        Ok(())
    }

    /// Appends a closed page to the inner level `at`.
    fn add_child(&mut self, at: usize, child: TreeChild, sink: &mut dyn PageSink) -> Result<()> {
        if self.inner.len() == at {
            self.inner.push(InnerLevel::default());
        }
        let cut = self.is_cut(at as u8 + 1, &child.first);
        let Some(level) = self.inner.get_mut(at) else { return Ok(()) };
        level.items.push(&child);
        level.first.get_or_insert(child);
        if is_full(level.items.bytes.len(), || cut) {
            self.close_inner(at, sink)?;
        }
        Ok(())
    }

    fn close_inner(&mut self, at: usize, sink: &mut dyn PageSink) -> Result<()> {
        let Some(level) = self.inner.get_mut(at) else { return Ok(()) };
        let Some(first) = level.first.take() else { return Ok(()) };
        let mut page = Vec::with_capacity(level.items.bytes.len() + 16);
        codec::encode_into(&1u32, &mut page);
        level.items.drain_into(&mut page);
        level.closed += 1;
        let id = sink.store_page(BlobKind::Tree, page)?;
        self.add_child(at + 1, TreeChild { first: first.first, id }, sink)
    }

    /// Closes what is open and returns the root page.
    pub fn finish(mut self, sink: &mut dyn PageSink) -> Result<BlobId> {
        if self.inner.is_empty() && self.first.is_none() {
            let mut page = Vec::new();
            codec::encode_into(&TreePage::Leaf(Leaf::default()), &mut page);
            return sink.store_page(BlobKind::Tree, page);
        }
        if self.first.is_some() {
            self.close_leaf(sink)?;
        }
        let mut at = 0;
        loop {
            // Level `at` exists: something was added to it just before.
            let level = &mut self.inner[at];
            if let (0, 1, Some(only)) = (level.closed, level.items.count, &level.first) {
                return Ok(only.id);
            }
            self.close_inner(at, sink)?;
            at += 1;
        }
    }
}

/// Turns a file's extents, given in order, into what its node holds.
#[derive(Default)]
pub struct ListBuilder {
    /// The first extents, until they are too many for a node.
    short: Vec<Extent>,
    leaf: Items,
    leaf_len: u64,
    paged: bool,
    inner: Vec<ListLevel>,
}

#[derive(Default)]
struct ListLevel {
    items: Items,
    len: u64,
    only: Option<BlobId>,
    closed: usize,
}

fn id_is_cut(id: &BlobId) -> bool {
    id.0[0] & CUT_MASK == 0
}

impl ListBuilder {
    /// Appends an extent.
    pub fn push(&mut self, extent: Extent, sink: &mut dyn PageSink) -> Result<()> {
        if !self.paged {
            self.short.push(extent);
            if self.short.len() > EXTENTS_IN_NODE {
                self.paged = true;
                for extent in std::mem::take(&mut self.short) {
                    self.push_paged(extent, sink)?;
                }
            }
            return Ok(());
        }
        self.push_paged(extent, sink)
    }

    fn push_paged(&mut self, extent: Extent, sink: &mut dyn PageSink) -> Result<()> {
        self.leaf.push(&extent);
        self.leaf_len += extent.len();
        let cut = matches!(extent, Extent::Data { id, .. } if id_is_cut(&id));
        if is_full(self.leaf.bytes.len(), || cut) {
            self.close_leaf(sink)?;
        }
        Ok(())
    }

    fn close_leaf(&mut self, sink: &mut dyn PageSink) -> Result<()> {
        let mut page = Vec::with_capacity(self.leaf.bytes.len() + 16);
        codec::encode_into(&0u32, &mut page);
        self.leaf.drain_into(&mut page);
        let id = sink.store_page(BlobKind::List, page)?;
        let len = std::mem::take(&mut self.leaf_len);
        self.add_child(0, ListChild { len, id }, sink)
    }

    fn add_child(&mut self, at: usize, child: ListChild, sink: &mut dyn PageSink) -> Result<()> {
        if self.inner.len() == at {
            self.inner.push(ListLevel::default());
        }
        let Some(level) = self.inner.get_mut(at) else { return Ok(()) };
        level.items.push(&child);
        level.len += child.len;
        level.only = Some(child.id);
        if is_full(level.items.bytes.len(), || id_is_cut(&child.id)) {
            self.close_inner(at, sink)?;
        }
        Ok(())
    }

    fn close_inner(&mut self, at: usize, sink: &mut dyn PageSink) -> Result<()> {
        let Some(level) = self.inner.get_mut(at) else { return Ok(()) };
        if level.items.count == 0 {
            return Ok(());
        }
        let mut page = Vec::with_capacity(level.items.bytes.len() + 16);
        codec::encode_into(&1u32, &mut page);
        level.items.drain_into(&mut page);
        level.closed += 1;
        let len = std::mem::take(&mut level.len);
        let id = sink.store_page(BlobKind::List, page)?;
        self.add_child(at + 1, ListChild { len, id }, sink)
    }

    /// Closes what is open and returns the node's content.
    pub fn finish(mut self, sink: &mut dyn PageSink) -> Result<Content> {
        if !self.paged {
            return Ok(Content::Extents(self.short));
        }
        if self.leaf.count > 0 {
            self.close_leaf(sink)?;
        }
        let mut at = 0;
        loop {
            let level = &mut self.inner[at];
            if let (0, 1, Some(only)) = (level.closed, level.items.count, level.only) {
                return Ok(Content::Paged(only));
            }
            self.close_inner(at, sink)?;
            at += 1;
        }
    }
}

fn bad_page(id: &BlobId, what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("page {}", id.short()), what)
}

/// Reads a directory's leaves in order, one page at a time.
pub struct TreeLeaves<'s> {
    source: &'s dyn PageSource,
    /// Children still to be read, level by level; the next one is the last of the last.
    stack: Vec<Vec<TreeChild>>,
    root: Option<BlobId>,
    last: Option<Name>,
}

impl<'s> TreeLeaves<'s> {
    /// Starts at a root page.
    pub fn new(source: &'s dyn PageSource, root: BlobId) -> Self {
        TreeLeaves { source, stack: Vec::new(), root: Some(root), last: None }
    }

    /// The next leaf; after an error the rest of the directory cannot be read.
    pub fn next_leaf(&mut self) -> Result<Option<Leaf>> {
        let result = self.step();
        if result.is_err() {
            self.stack.clear();
            self.root = None;
        }
        result
    }

    fn step(&mut self) -> Result<Option<Leaf>> {
        loop {
            let (id, first) = match self.root.take() {
                Some(root) => (root, None),
                None => match self.stack.last_mut().map(Vec::pop) {
                    Some(Some(child)) => (child.id, Some(child.first)),
                    Some(None) => {
                        self.stack.pop();
                        continue;
                    }
                    None => return Ok(None),
                },
            };
            let bytes = self.source.page(BlobKind::Tree, &id)?;
            match TreePage::decode(&bytes).map_err(|e| bad_page(&id, e))? {
                TreePage::Leaf(leaf) => {
                    let found = leaf.nodes.first().map(|node| &node.name);
                    if first.is_some() && first.as_ref() != found {
                        return Err(bad_page(&id, "it does not begin with the name that its parent says"));
                    }
                    if self.last.as_ref().is_some_and(|last| found.is_some_and(|found| found <= last)) {
                        return Err(bad_page(&id, "its names come before those of the page before"));
                    }
                    self.last = leaf.nodes.last().map(|node| node.name.clone()).or(self.last.take());
                    return Ok(Some(leaf));
                }
                TreePage::Inner(mut children) => {
                    if first.is_some() && first.as_ref() != children.first().map(|child| &child.first) {
                        return Err(bad_page(&id, "it does not begin with the name that its parent says"));
                    }
                    if self.stack.len() >= limits::LEVELS_MAX {
                        return Err(bad_page(&id, "too many levels of pages"));
                    }
                    children.reverse();
                    self.stack.push(children);
                }
            }
        }
    }
}

/// Finds one name in a directory, reading one page a level.
pub fn find_node(source: &dyn PageSource, root: BlobId, name: &[u8]) -> Result<Option<(Node, Leaf)>> {
    let mut id = root;
    let mut first: Option<Name> = None;
    for _ in 0..=limits::LEVELS_MAX {
        let bytes = source.page(BlobKind::Tree, &id)?;
        match TreePage::decode(&bytes).map_err(|e| bad_page(&id, e))? {
            TreePage::Leaf(mut leaf) => {
                // Else a forged directory could hide from a search what a walk finds.
                if first.is_some() && first.as_ref() != leaf.nodes.first().map(|node| &node.name) {
                    return Err(bad_page(&id, "it does not begin with the name that its parent says"));
                }
                return Ok(match leaf.nodes.binary_search_by(|node| node.name.as_bytes().cmp(name)) {
                    Ok(at) => Some((leaf.nodes.swap_remove(at), leaf)),
                    Err(_) => None,
                });
            }
            TreePage::Inner(children) => {
                let above = children.partition_point(|child| child.first.as_bytes() <= name);
                match above.checked_sub(1).and_then(|at| children.get(at)) {
                    Some(child) => {
                        id = child.id;
                        first = Some(child.first.clone());
                    }
                    None => return Ok(None),
                }
            }
        }
    }
    Err(bad_page(&root, "too many levels of pages"))
}

/// Calls `each` with every extent of a file, in order, and checks that they add up to `size`.
pub fn each_extent(
    source: &dyn PageSource,
    content: &Content,
    size: u64,
    each: &mut dyn FnMut(Extent) -> Result<()>,
) -> Result<()> {
    let root = match content {
        Content::Extents(extents) => return extents.iter().try_for_each(|extent| each(*extent)),
        Content::Paged(root) => *root,
    };
    let mut stack = vec![vec![ListChild { len: size, id: root }]];
    while let Some(level) = stack.last_mut() {
        let Some(child) = level.pop() else {
            stack.pop();
            continue;
        };
        let bytes = source.page(BlobKind::List, &child.id)?;
        // `decode` has checked that the sums below do not overflow.
        let sum = match ListPage::decode(&bytes).map_err(|e| bad_page(&child.id, e))? {
            ListPage::Leaf(extents) => {
                let sum: u64 = extents.iter().map(Extent::len).sum();
                if sum == child.len {
                    extents.into_iter().try_for_each(&mut *each)?;
                }
                sum
            }
            ListPage::Inner(mut children) => {
                if stack.len() > limits::LEVELS_MAX {
                    return Err(bad_page(&child.id, "too many levels of pages"));
                }
                let sum = children.iter().map(|child| child.len).sum();
                children.reverse();
                stack.push(children);
                sum
            }
        };
        if sum != child.len {
            return Err(bad_page(&child.id, "its lengths do not add up"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::node::{Body, Meta},
        world::Time,
    };
    use std::collections::HashMap;

    #[derive(Default)]
    struct Pages {
        pages: HashMap<BlobId, Vec<u8>>,
        stored: Vec<BlobId>,
    }

    impl PageSink for Pages {
        fn store_page(&mut self, _: BlobKind, bytes: Vec<u8>) -> Result<BlobId> {
            let id = BlobId(*blake3::hash(&bytes).as_bytes());
            if self.pages.insert(id, bytes).is_none() {
                self.stored.push(id);
            }
            Ok(id)
        }
    }

    impl PageSource for Pages {
        fn page(&self, _: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
            self.pages.get(id).cloned().ok_or_else(|| Error::Missing { object: id.to_string() })
        }
    }

    fn node(name: &str) -> Node {
        Node {
            name: Name::new(name.as_bytes()).unwrap(),
            meta: Meta {
                mode: 0o644,
                uid: 1,
                gid: 2,
                mtime: Time::from_sec(5),
                ctime: Time::from_sec(5),
                atime: None,
                inode: 9,
                device: 0,
                links: 1,
                xattrs: vec![],
            },
            body: Body::Fifo,
        }
    }

    fn build(names: &[String], pages: &mut Pages) -> BlobId {
        let mut builder = TreeBuilder::new([4; 32]);
        for name in names {
            builder.push(&node(name), Some("user"), None, pages).unwrap();
        }
        builder.finish(pages).unwrap()
    }

    fn read(pages: &Pages, root: BlobId) -> Vec<String> {
        let mut leaves = TreeLeaves::new(pages, root);
        let mut names = Vec::new();
        while let Some(leaf) = leaves.next_leaf().unwrap() {
            assert!(leaf.nodes.is_empty() || leaf.user(1) == Some("user"));
            names.extend(leaf.nodes.iter().map(|node| node.name.to_string()));
        }
        names
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("mail-{i:07}")).collect()
    }

    #[test]
    fn directories_of_any_length_read_back() {
        for count in [0, 1, 100, 1000, 50_000] {
            let mut pages = Pages::default();
            let names = names(count);
            let root = build(&names, &mut pages);
            assert_eq!(read(&pages, root), names);
            for name in names.iter().step_by(997) {
                assert_eq!(find_node(&pages, root, name.as_bytes()).unwrap().unwrap().0.name.to_string(), *name);
            }
            assert!(find_node(&pages, root, b"a").unwrap().is_none());
            assert!(find_node(&pages, root, b"mail-0000000x").unwrap().is_none());
        }
    }

    #[test]
    fn a_new_entry_rewrites_a_page_a_level() {
        let mut pages = Pages::default();
        let mut names = names(200_000);
        build(&names, &mut pages);
        pages.stored.clear();
        names.insert(100_000, "mail-0099999a".into());
        build(&names, &mut pages);
        let bytes: usize = pages.stored.iter().map(|id| pages.pages[id].len()).sum();
        assert!(bytes < 150_000, "{bytes} in {} pages", pages.stored.len());
    }

    #[test]
    fn a_page_in_a_wrong_place_is_noticed() {
        let mut pages = Pages::default();
        let names = names(5000);
        let root = build(&names, &mut pages);
        let TreePage::Inner(mut children) = TreePage::decode(&pages.pages[&root]).unwrap() else { panic!() };
        let (a, b) = (children[1].id, children[2].id);
        (children[1].id, children[2].id) = (b, a);
        let root = pages.store_page(BlobKind::Tree, codec::encode(&TreePage::Inner(children))).unwrap();
        let mut leaves = TreeLeaves::new(&pages, root);
        let result = std::iter::from_fn(|| leaves.next_leaf().transpose()).collect::<Result<Vec<_>>>();
        assert!(matches!(result, Err(Error::Corrupt { .. })));
    }

    #[test]
    fn lists_of_any_length_read_back() {
        for count in [0u32, 1, 32, 33, 5000, 100_000] {
            let mut pages = Pages::default();
            let extents: Vec<Extent> = (0..count)
                .map(|i| match i % 5 {
                    0 => Extent::Hole { len: u64::from(i) + 1 },
                    _ => Extent::Data { id: BlobId(*blake3::hash(&i.to_le_bytes()).as_bytes()), len: i % 1000 + 1 },
                })
                .collect();
            let mut builder = ListBuilder::default();
            for extent in &extents {
                builder.push(*extent, &mut pages).unwrap();
            }
            let content = builder.finish(&mut pages).unwrap();
            assert_eq!(matches!(content, Content::Paged(_)), count > 32);
            let size = extents.iter().map(Extent::len).sum();
            let mut back = Vec::new();
            each_extent(&pages, &content, size, &mut |extent| {
                back.push(extent);
                Ok(())
            })
            .unwrap();
            assert_eq!(back, extents);
            if count > 32 {
                assert!(each_extent(&pages, &content, size + 1, &mut |_| Ok(())).is_err());
            }
        }
    }
}
