//! Pages of directories and of lists of extents: decoded and checked. Layout: `format-spec/05-trees.md`.

use super::{
    codec::{self, Malformed},
    limits,
    node::{Body, Content, Extent, Node},
};
use crate::{id::BlobId, name::Name};
use bincode::{Decode, Encode};

/// The name of a user or group, for the nodes of one page.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OwnerName {
    /// The number.
    pub id: u32,
    /// The name that it had on the source.
    pub name: String,
}

/// A child page.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TreeChild {
    /// Name of the first node below.
    pub first: Name,
    /// The page.
    pub id: BlobId,
}

/// Nodes of a directory with the names of their owners.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Leaf {
    /// Names of users, sorted by number.
    pub users: Vec<OwnerName>,
    /// Names of groups, sorted by number.
    pub groups: Vec<OwnerName>,
    /// Sorted by name.
    pub nodes: Vec<Node>,
}

impl Leaf {
    /// The user's name for a number that a node of this page has.
    pub fn user(&self, uid: u32) -> Option<&str> {
        owner(&self.users, uid)
    }

    /// The group's name for a number that a node of this page has.
    pub fn group(&self, gid: u32) -> Option<&str> {
        owner(&self.groups, gid)
    }
}

/// The name of a number, of names that are sorted by it.
pub(super) fn owner(names: &[OwnerName], id: u32) -> Option<&str> {
    let at = names.binary_search_by_key(&id, |owner| owner.id).ok()?;
    names.get(at).map(|owner| owner.name.as_str())
}

/// A page of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum TreePage {
    /// Nodes.
    Leaf(Leaf),
    /// Pages, each with the name of its first node.
    Inner(Vec<TreeChild>),
}

/// A child page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct ListChild {
    /// Bytes of the file below.
    pub len: u64,
    /// The page.
    pub id: BlobId,
}

/// A page of a file's list of extents.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ListPage {
    /// Extents.
    Leaf(Vec<Extent>),
    /// Pages.
    Inner(Vec<ListChild>),
}

fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed::new(what))
}

impl TreePage {
    /// Decodes a page and checks what can be checked within it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let page: TreePage = codec::decode(bytes)?;
        match &page {
            TreePage::Leaf(leaf) => {
                if !leaf.nodes.is_sorted_by(|a, b| a.name < b.name) {
                    return malformed("names are not sorted, or occur twice");
                }
                for names in [&leaf.users, &leaf.groups] {
                    if !names.is_sorted_by(|a, b| a.id < b.id) {
                        return malformed("owners are not sorted, or occur twice");
                    }
                }
                leaf.nodes.iter().try_for_each(check_node)?;
            }
            TreePage::Inner(children) => {
                if children.is_empty() {
                    return malformed("an inner page has no children");
                }
                if !children.is_sorted_by(|a, b| a.first < b.first) {
                    return malformed("children are not sorted, or occur twice");
                }
            }
        }
        Ok(page)
    }
}

/// Checks what the specification asks of a single node.
pub fn check_node(node: &Node) -> Result<(), Malformed> {
    let bad = |what: &str| malformed(format!("entry \"{}\": {what}", node.name));
    let meta = &node.meta;
    let times = [Some(meta.mtime), Some(meta.ctime), meta.atime];
    if times.iter().flatten().any(|time| time.nsec >= 1_000_000_000) {
        return bad("a time has too many nanoseconds");
    }
    if meta.mode >= 0o10000 {
        return bad("its mode has unknown bits");
    }
    if !meta.xattrs.is_sorted_by(|a, b| a.name < b.name) {
        return bad("extended attributes are not sorted, or occur twice");
    }
    let xattrs: usize = meta.xattrs.iter().map(|x| x.name.len() + x.value.len()).sum();
    if xattrs > limits::XATTRS_MAX || meta.xattrs.iter().any(|x| x.name.is_empty() || x.name.contains(&0)) {
        return bad("its extended attributes are out of bounds");
    }
    match &node.body {
        Body::Symlink { target } if target.is_empty() || target.len() > limits::LINK_MAX || target.contains(&0) => {
            bad("its target cannot be one")
        }
        Body::File { size, content: Content::Extents(extents) } => match total(extents) {
            Some(sum) if sum == *size => Ok(()),
            _ => bad("its extents do not add up to its size"),
        },
        _ => Ok(()),
    }
}

/// Sum of the lengths; `None` when an extent is empty, too long, or the sum overflows.
fn total(extents: &[Extent]) -> Option<u64> {
    extents.iter().try_fold(0u64, |sum, extent| {
        let fine = match extent {
            Extent::Data { len, .. } => *len as usize <= limits::BLOB_MAX,
            Extent::Hole { .. } => true,
        };
        if fine && !extent.is_empty() { sum.checked_add(extent.len()) } else { None }
    })
}

impl ListPage {
    /// Decodes a page and checks what can be checked within it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let page: ListPage = codec::decode(bytes)?;
        let fine = match &page {
            ListPage::Leaf(extents) => !extents.is_empty() && total(extents).is_some(),
            ListPage::Inner(children) => {
                !children.is_empty()
                    && children.iter().try_fold(0u64, |sum, child| sum.checked_add(child.len)).is_some()
            }
        };
        if fine { Ok(page) } else { malformed("a page of a list is empty or its lengths are out of bounds") }
    }
}
