//! A file's bytes at any offset.

use super::pages::Pages;
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    model::node::{Content, Extent},
    repo::BlobReader,
};

/// A regular file.
#[derive(Debug, Clone)]
pub struct File {
    /// Its length in bytes.
    pub size: u64,
    /// Where its bytes are.
    pub content: Content,
}

/// What a search along a file looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Bytes that are stored.
    Data,
    /// A hole; there is one behind the end.
    Hole,
}

impl File {
    /// Calls `each` with the extents from the one on in which byte `from` lies, and where each begins, until it says `false`.
    pub fn each_extent(
        &self,
        pages: &Pages<'_>,
        from: u64,
        each: &mut dyn FnMut(u64, Extent) -> Result<bool>,
    ) -> Result<()> {
        let root = match &self.content {
            Content::Extents(extents) => {
                let mut begin = 0;
                for extent in extents {
                    let end = begin + extent.len();
                    if end > from && !each(begin, *extent)? {
                        return Ok(());
                    }
                    begin = end;
                }
                return Ok(());
            }
            Content::Paged(root) => root,
        };
        let mut at = from;
        while at < self.size {
            let leaf = pages.find_extents(root, self.size, at)?;
            for (begin, extent) in leaf.from(at) {
                at = begin + extent.len();
                if !each(begin, extent)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Appends the bytes from `offset` on, `len` of them or as many as there are.
    pub fn read(
        &self,
        reader: &BlobReader<'_>,
        pages: &Pages<'_>,
        offset: u64,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let end = offset.saturating_add(len as u64).min(self.size);
        if offset >= end {
            return Ok(());
        }
        let (before, wanted) = (out.len(), (end - offset) as usize);
        out.reserve(wanted);
        self.each_extent(pages, offset, &mut |begin, extent| {
            // Both below the extent's own length.
            let (from, to) = (offset.saturating_sub(begin), extent.len().min(end - begin));
            match extent {
                Extent::Hole { .. } => out.resize(out.len() + (to - from) as usize, 0),
                Extent::Data { id, len, .. } => {
                    let blob = reader.blob_in_place(BlobKind::Data, &id)?;
                    if blob.len() != len as usize {
                        return Err(wrong_length(&id));
                    }
                    out.extend_from_slice(blob.get(from as usize..to as usize).unwrap_or_default());
                }
            }
            Ok(begin + extent.len() < end)
        })?;
        if out.len() - before == wanted {
            Ok(())
        } else {
            Err(Error::corrupt("a tree", "a file's list ends too early"))
        }
    }

    /// Where, at `offset` or behind it, that begins which is sought. `None` when there is none.
    pub fn seek(&self, pages: &Pages<'_>, offset: u64, sought: Sought) -> Result<Option<u64>> {
        if offset >= self.size {
            return Ok(None);
        }
        let mut found = (sought == Sought::Hole).then_some(self.size);
        self.each_extent(pages, offset, &mut |begin, extent| {
            let is_it = matches!(extent, Extent::Hole { .. }) == (sought == Sought::Hole);
            if is_it {
                found = Some(begin.max(offset));
            }
            Ok(!is_it)
        })?;
        Ok(found)
    }
}

/// What a file takes on a disk, in blocks of 512 bytes. Programs look for holes in files that take less than their length; of a long
/// list the holes are not known without reading it, and then one block less is told, so that they look.
pub fn blocks(size: u64, content: &Content) -> u64 {
    match content {
        Content::Extents(extents) => {
            let stored = |extent: &&Extent| matches!(extent, Extent::Data { .. });
            extents.iter().filter(stored).map(Extent::len).sum::<u64>().div_ceil(512)
        }
        Content::Paged(_) => (size / 512).saturating_sub(1),
    }
}

fn wrong_length(id: &BlobId) -> Error {
    Error::corrupt("a tree", format!("an extent and its blob {} differ in length", id.short()))
}
