use super::*;
use crate::{
    error::Error,
    model::{
        codec,
        node::{Body, Content, Extent, Meta, Node},
        tree::TreePage,
    },
    name::Name,
    world::Time,
};
use std::collections::HashMap;

#[derive(Default)]
struct Pages {
    pages: HashMap<BlobId, Vec<u8>>,
    stored: Vec<BlobId>,
}

/// Of whatever kind.
fn named(bytes: &[u8]) -> BlobId {
    crate::hash::BlobNamer::new([1; 32], [2; 32], [3; 32]).name(BlobKind::Data, bytes)
}

impl PageSink for Pages {
    fn store_page(&mut self, _: BlobKind, bytes: Vec<u8>) -> Result<BlobId> {
        let id = named(&bytes);
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
                _ => Extent::Data { id: named(&i.to_le_bytes()), len: i % 1000 + 1, edge: i % 3 },
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
