//! A page of a directory whose entries are decoded when they are wanted: who compares two versions of a page wants few of them.

use super::{
    codec::{self, Malformed},
    node::{Extent, Node},
    tree::{Leaf, OwnerName, TreeChild, TreePage, check_node, owner},
};
use crate::{id::BlobId, world::Time};
use bincode::{BorrowDecode, de::BorrowDecoder, error::DecodeError};

/// A page of a directory.
#[derive(Debug, Clone)]
pub enum LazyPage {
    /// Entries.
    Leaf(LazyLeaf),
    /// Pages, each with the name of its first entry.
    Inner(Vec<TreeChild>),
}

/// Entries as they are encoded: where each is, is known, and that their names are in order.
#[derive(Debug, Clone)]
pub struct LazyLeaf {
    bytes: Vec<u8>,
    users: Vec<OwnerName>,
    groups: Vec<OwnerName>,
    entries: Vec<Span>,
}

/// Where an entry is, and its name in it.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    name_end: u32,
    name_len: u32,
}

/// What stands before the entries of a leaf: the kind of the page, names of users and groups, the number of entries.
type Front = (u32, Vec<OwnerName>, Vec<OwnerName>, u64);

impl Span {
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

impl LazyPage {
    /// Takes a page apart.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Malformed> {
        LazyPage::parse_near(bytes, None)
    }

    /// The same, faster where the entries are those of `near` but for a few, and with the same result in any case.
    pub fn parse_near(bytes: Vec<u8>, near: Option<&LazyPage>) -> Result<Self, Malformed> {
        let near = match near {
            Some(LazyPage::Leaf(leaf)) => leaf,
            _ => &LazyLeaf::EMPTY,
        };
        // The number of the variant is one byte.
        if bytes.first() != Some(&0) {
            return match TreePage::decode(&bytes)? {
                TreePage::Inner(children) => Ok(LazyPage::Inner(children)),
                TreePage::Leaf(leaf) => Ok(LazyPage::Leaf(LazyLeaf::of(leaf)?)),
            };
        }
        let ((_, users, groups, count), mut at): (Front, usize) = codec::decode_front(&bytes)?;
        for owners in [&users, &groups] {
            if !owners.is_sorted_by(|a, b| a.id < b.id) {
                return Err(Malformed::new("owners are not sorted, or occur twice"));
            }
        }
        // An entry takes some 100 bytes; a false number reserves no more than that.
        let mut entries: Vec<Span> = Vec::with_capacity((count as usize).min(bytes.len() / 32));
        let (mut last, mut like): (&[u8], usize) = (&[], 0);
        for _ in 0..count {
            let rest = bytes.get(at..).unwrap_or_default();
            // Where an entry ends is said by its own bytes: what begins like a whole one is that one.
            let known = near.entries.get(like).filter(|_| rest.starts_with(near.encoded(like)));
            let (name_len, name_used, len) = match known {
                Some(span) => (span.name_len as usize, (span.name_end - span.start) as usize, span.len()),
                None => {
                    let (Named(name), name_used): (Named<'_>, usize) = codec::borrow_front(rest)?;
                    let body = rest.get(name_used..).unwrap_or_default();
                    let (_, used): (Outline<'_>, usize) = codec::borrow_front(body)?;
                    (name.len(), name_used, name_used + used)
                }
            };
            let name = rest.get(name_used - name_len..name_used).unwrap_or_default();
            if name <= last {
                return Err(Malformed::new("names are not sorted, or occur twice"));
            }
            last = name;
            while known.is_none() && like < near.len() && near.name(like) <= name {
                like += 1;
            }
            like += usize::from(known.is_some());
            // Pages are far shorter than 4 GiB: a blob is at most 16 MiB long.
            let [start, name_end, end, name_len] = [at, at + name_used, at + len, name_len].map(|n| n as u32);
            entries.push(Span { start, end, name_end, name_len });
            at += len;
        }
        if at != bytes.len() {
            return Err(Malformed::new("bytes follow the end"));
        }
        Ok(LazyPage::Leaf(LazyLeaf { users, groups, entries, bytes }))
    }
}

impl LazyLeaf {
    /// No entries.
    pub const EMPTY: LazyLeaf =
        LazyLeaf { bytes: Vec::new(), users: Vec::new(), groups: Vec::new(), entries: Vec::new() };

    /// Entries that no page holds.
    pub fn of(leaf: Leaf) -> Result<Self, Malformed> {
        match LazyPage::parse(codec::encode(&TreePage::Leaf(leaf)))? {
            LazyPage::Leaf(leaf) => Ok(leaf),
            LazyPage::Inner(_) => Err(Malformed::new("a leaf is no inner page")),
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The name of an entry; empty when there is none there.
    pub fn name(&self, at: usize) -> &[u8] {
        let Some(span) = self.entries.get(at) else { return &[] };
        self.bytes.get((span.name_end - span.name_len) as usize..span.name_end as usize).unwrap_or_default()
    }

    /// An entry as it is encoded: the same bytes are the same entry.
    pub fn encoded(&self, at: usize) -> &[u8] {
        let Some(span) = self.entries.get(at) else { return &[] };
        self.bytes.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// An entry, decoded and checked.
    pub fn node(&self, at: usize) -> Result<Node, Malformed> {
        let node = codec::decode(self.encoded(at))?;
        check_node(&node)?;
        Ok(node)
    }

    /// The user's name for a number that an entry of this page has.
    pub fn user(&self, uid: u32) -> Option<&str> {
        owner(&self.users, uid)
    }

    /// The group's name for a number that an entry of this page has.
    pub fn group(&self, gid: u32) -> Option<&str> {
        owner(&self.groups, gid)
    }
}

#[derive(BorrowDecode)]
struct Named<'a>(&'a [u8]);

/// The layout of a [`Node`] behind its name, to find out where it ends: nothing is allocated.
#[derive(BorrowDecode)]
struct Outline<'a> {
    _mode: u32,
    _uid: u32,
    _gid: u32,
    _mtime: Time,
    _ctime: Time,
    _atime: Option<Time>,
    _inode: u64,
    _device: u32,
    _links: u32,
    _xattrs: Passed<(&'a [u8], &'a [u8])>,
    _body: BodyOutline<'a>,
}

#[derive(BorrowDecode)]
enum BodyOutline<'a> {
    File { _size: u64, _content: ContentOutline },
    Directory { _tree: BlobId, _entries: u64, _bytes: u64 },
    Symlink { _target: &'a [u8] },
    Fifo,
    Socket,
    CharDevice { _major: u32, _minor: u32 },
    BlockDevice { _major: u32, _minor: u32 },
}

#[derive(BorrowDecode)]
enum ContentOutline {
    Extents { _extents: Passed<Extent> },
    Paged { _root: BlobId },
}

/// A list of which nothing is kept.
struct Passed<T>(std::marker::PhantomData<T>);

impl<'de, T: BorrowDecode<'de, C>, C> BorrowDecode<'de, C> for Passed<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        // Each item takes a byte at least, so a false number ends with the bytes.
        for _ in 0..u64::borrow_decode(decoder)? {
            T::borrow_decode(decoder)?;
        }
        Ok(Passed(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::node::{Body, Content, Meta, Xattr},
        name::Name,
    };

    fn leaf() -> Leaf {
        let file = |extents| Body::File { size: 0, content: Content::Extents(extents) };
        let bodies = [
            file(vec![]),
            Body::File {
                size: 300,
                content: Content::Extents(vec![
                    Extent::Data { id: BlobId([7; crate::id::BLOB_ID_LEN]), len: 100, edge: 1 << 30 },
                    Extent::Hole { len: 200 },
                ]),
            },
            Body::File { size: 1 << 40, content: Content::Paged(BlobId([8; crate::id::BLOB_ID_LEN])) },
            Body::Directory { tree: BlobId([9; crate::id::BLOB_ID_LEN]), entries: 1, bytes: u64::MAX },
            Body::Symlink { target: b"target".to_vec() },
            Body::Fifo,
            Body::Socket,
            Body::CharDevice { major: 1, minor: 300 },
            Body::BlockDevice { major: 70_000, minor: 2 },
        ];
        let node = |(n, body): (usize, Body)| {
            let time = |sec| Time { sec, nsec: 999_999_999 };
            let xattr = |name: &str| Xattr { name: name.into(), value: vec![1; n * 100] };
            let meta = Meta {
                mode: 0o644,
                uid: n as u32,
                gid: 0,
                mtime: time(-5),
                ctime: time(1 << 33),
                atime: (n % 2 == 0).then(|| time(0)),
                inode: u64::MAX,
                device: 0,
                links: 1,
                xattrs: ["user.a", "user.b"].into_iter().take(n % 3).map(xattr).collect(),
            };
            Node { name: Name::new(format!("name-{n}").into_bytes()).unwrap(), meta, body }
        };
        let users = vec![OwnerName { id: 1, name: "ann".into() }, OwnerName { id: 2, name: "bob".into() }];
        Leaf { users, groups: vec![], nodes: bodies.into_iter().enumerate().map(node).collect() }
    }

    #[test]
    fn entries_are_those_of_the_whole_page() {
        let whole = leaf();
        let lazy = LazyLeaf::of(whole.clone()).unwrap();
        assert_eq!(lazy.len(), whole.nodes.len());
        for (at, node) in whole.nodes.iter().enumerate() {
            assert_eq!(lazy.name(at), node.name.as_bytes());
            assert_eq!(&lazy.node(at).unwrap(), node);
            assert_eq!(lazy.encoded(at), codec::encode(node));
        }
        assert_eq!((lazy.user(2), lazy.user(3), lazy.group(0)), (Some("bob"), None, None));
        assert!(lazy.node(99).is_err() && lazy.name(99).is_empty());
        assert!(LazyLeaf::of(Leaf::default()).unwrap().is_empty());
    }

    #[test]
    fn pages_that_are_not_in_order_are_refused() {
        let mut swapped = leaf();
        swapped.nodes.swap(0, 1);
        assert!(LazyLeaf::of(swapped).is_err());
        let mut twice = leaf();
        twice.nodes.insert(0, twice.nodes[0].clone());
        assert!(LazyLeaf::of(twice).is_err());
        let mut owners = leaf();
        owners.users.swap(0, 1);
        assert!(LazyLeaf::of(owners).is_err());
    }

    #[test]
    fn a_page_is_the_same_whatever_it_is_likened_to() {
        let whole = leaf();
        let bytes = |leaf: &Leaf| codec::encode(&TreePage::Leaf(leaf.clone()));
        let parts = |lazy: LazyPage| match lazy {
            LazyPage::Leaf(leaf) => {
                (0..leaf.len()).map(|at| (leaf.name(at).to_vec(), leaf.node(at).unwrap())).collect()
            }
            LazyPage::Inner(_) => vec![],
        };
        let mut others = vec![whole.clone(), Leaf::default()];
        for at in 0..whole.nodes.len() {
            let (mut without, mut changed, mut renamed) = (whole.clone(), whole.clone(), whole.clone());
            without.nodes.remove(at);
            changed.nodes[at].meta.mtime.sec += 1;
            renamed.nodes[at].name = Name::new(format!("name-{at}+").into_bytes()).unwrap();
            others.extend([without, changed, renamed]);
        }
        for one in &others {
            let expected: Vec<(Vec<u8>, Node)> = parts(LazyPage::parse(bytes(one)).unwrap());
            assert_eq!(expected.len(), one.nodes.len());
            for other in &others {
                let near = LazyPage::parse(bytes(other)).unwrap();
                assert_eq!(parts(LazyPage::parse_near(bytes(one), Some(&near)).unwrap()), expected);
            }
        }
        // What is wrong in itself is refused all the same.
        let mut twice = whole.clone();
        twice.nodes.insert(0, whole.nodes[0].clone());
        let near = LazyPage::parse(bytes(&whole)).unwrap();
        assert!(LazyPage::parse_near(bytes(&twice), Some(&near)).is_err());
        for at in 0..bytes(&whole).len() {
            assert!(LazyPage::parse_near(bytes(&whole)[..at].to_vec(), Some(&near)).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn whatever_the_bytes_it_knows_as_much_as_the_whole_decoder() {
        let bytes = codec::encode(&TreePage::Leaf(leaf()));
        let all = |lazy: LazyPage| match lazy {
            LazyPage::Leaf(leaf) => (0..leaf.len()).map(|at| leaf.node(at)).collect::<Result<Vec<_>, _>>(),
            LazyPage::Inner(_) => Err(Malformed::new("inner")),
        };
        for at in 0..bytes.len() {
            assert!(LazyPage::parse(bytes[..at].to_vec()).and_then(all).is_err(), "cut at {at}");
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                let lazy = LazyPage::parse(changed.clone()).and_then(all).ok();
                let whole = TreePage::decode(&changed).ok().and_then(|page| match page {
                    TreePage::Leaf(leaf) => Some(leaf.nodes),
                    TreePage::Inner(_) => None,
                });
                assert_eq!(lazy, whole, "byte {at} ^ {change}");
            }
        }
        assert!(LazyPage::parse(Vec::new()).is_err());
        let inner = TreePage::Inner(vec![TreeChild {
            first: Name::new(*b"a").unwrap(),
            id: BlobId([1; crate::id::BLOB_ID_LEN]),
        }]);
        assert!(matches!(LazyPage::parse(codec::encode(&inner)), Ok(LazyPage::Inner(children)) if children.len() == 1));
    }
}
