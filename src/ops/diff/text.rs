//! Contents of small files, to compare them line by line.

use crate::{
    error::{Error, Result},
    hash::BlobKind,
    model::{
        node::{Body, Extent, Node},
        paging::each_extent,
    },
    repo::BlobReader,
};

/// Longest file, in bytes, whose contents are looked at.
pub const TEXT_MAX: u64 = 1 << 20;
/// Bytes at the front that say whether a file is text.
const FRONT: usize = 8000;

/// The bytes of a file, at most [`TEXT_MAX`]; `None` for what is longer, or no file.
pub fn contents(reader: &BlobReader<'_>, node: &Node) -> Result<Option<Vec<u8>>> {
    let Body::File { size, content } = &node.body else { return Ok(None) };
    if *size > TEXT_MAX {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(*size as usize);
    each_extent(reader, content, *size, &mut |extent| {
        match extent {
            // The lengths of a stored file add up to its size.
            Extent::Hole { len } => bytes.resize(bytes.len() + len as usize, 0),
            Extent::Data { id, len, .. } => {
                let blob = reader.blob(BlobKind::Data, &id)?;
                if blob.len() != len as usize {
                    return Err(Error::corrupt(format!("data {id}"), "it is not as long as its file says"));
                }
                bytes.extend_from_slice(&blob);
            }
        }
        Ok(())
    })?;
    Ok(Some(bytes))
}

/// True for what people read: no zero byte at the front.
pub fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().take(FRONT).any(|&b| b == 0)
}

/// The first bytes of a file, `max` of them or somewhat more.
pub fn front(reader: &BlobReader<'_>, node: &Node, max: u64) -> Result<Vec<u8>> {
    let Body::File { size, content } = &node.body else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    let walked = each_extent(reader, content, *size, &mut |extent| {
        let left = max.saturating_sub(bytes.len() as u64);
        match extent {
            Extent::Hole { len } => bytes.resize(bytes.len() + len.min(left) as usize, 0),
            Extent::Data { id, .. } => bytes.extend_from_slice(&reader.blob(BlobKind::Data, &id)?),
        }
        // Enough: nothing is wrong.
        if (bytes.len() as u64) < max { Ok(()) } else { Err(Error::Cancelled) }
    });
    match walked {
        Err(Error::Cancelled) if bytes.len() as u64 >= max => {}
        walked => walked?,
    }
    bytes.truncate(max as usize);
    Ok(bytes)
}
