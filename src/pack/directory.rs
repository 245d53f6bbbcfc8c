//! What a pack's directory says, checked.

use super::FOOTER_LEN;
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::{BlobId, PackId},
    keys::wrap::WrappedKey,
    model::limits,
    object::{HEADER_LEN, Kind, TAG_LEN},
    segment::{BlobEntry, CODEC_RAW, CODEC_ZSTD, CODEC_ZSTD_BASED, Recipe},
};
use bincode::{Decode, Encode};
use std::fmt;

/// One segment of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SegmentEntry {
    /// From the start of the pack, in bytes.
    pub offset: u64,
    /// Length in the pack, tag included.
    pub stored: u32,
    /// Length of the plaintext.
    pub raw: u32,
    /// How it is packed.
    pub codec: u8,
    /// Position of its wrapped key in the directory.
    pub key: u32,
    /// Nonce.
    pub counter: u64,
    /// How many versions it is away from one that leans on none: writers choose bases by it (`format-spec/03-packs.md`).
    pub generation: u8,
    /// Blobs whose plaintext is its decompression prefix.
    pub bases: Vec<BlobId>,
    /// Its blobs, in order.
    pub blobs: Vec<BlobEntry>,
}

impl SegmentEntry {
    /// What one must know to open it.
    pub fn recipe(&self) -> Recipe {
        Recipe { codec: self.codec, raw: self.raw, counter: self.counter }
    }
}

/// What a pack holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Directory {
    /// The keys that its segments are sealed with, wrapped.
    pub keys: Vec<WrappedKey>,
    /// Its segments, in the order of their offsets.
    pub segments: Vec<SegmentEntry>,
}

/// A pack as the index lists it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PackEntry {
    /// Its name.
    pub id: PackId,
    /// Its length in bytes.
    pub len: u64,
    /// Its [`Kind`] as a number.
    pub kind: u8,
    /// What it holds.
    pub directory: Directory,
}

impl PackEntry {
    /// Number of blobs.
    pub fn blob_count(&self) -> usize {
        self.directory.segments.iter().map(|segment| segment.blobs.len()).sum()
    }

    /// Checks all that a reader must check, and returns the kind.
    pub fn validate(&self, object: &dyn fmt::Display) -> Result<Kind> {
        let kind = Kind::of_pack(self.kind)
            .ok_or_else(|| Error::unsupported(object, format!("packs of kind {} are not known", self.kind)))?;
        if self.len > limits::PACK_MAX {
            return Err(Error::corrupt(object, "a pack is longer than 1 GiB"));
        }
        let end = self.len.saturating_sub((FOOTER_LEN + TAG_LEN) as u64);
        let mut free = HEADER_LEN as u64;
        for (number, segment) in self.directory.segments.iter().enumerate() {
            let bad =
                |what: &str| Error::corrupt(object, format!("segment {number} of pack {}: {what}", self.id.short()));
            if segment.offset < free || segment.offset > end || u64::from(segment.stored) > end - segment.offset {
                return Err(bad("it overlaps its neighbours"));
            }
            free = segment.offset + u64::from(segment.stored);
            let stored = segment.stored as usize;
            if !(TAG_LEN + 1..=limits::STORED_MAX).contains(&stored) || segment.raw as usize > limits::SEGMENT_MAX {
                return Err(bad("its lengths are out of bounds"));
            }
            if segment.key as usize >= self.directory.keys.len() {
                return Err(bad("its key is not in the directory"));
            }
            match segment.codec {
                CODEC_RAW | CODEC_ZSTD if segment.bases.is_empty() && segment.generation == 0 => {}
                CODEC_ZSTD_BASED
                    if (1..=limits::BASES_COUNT_MAX).contains(&segment.bases.len())
                        && (1..=limits::GENERATION_MAX).contains(&segment.generation) => {}
                CODEC_RAW | CODEC_ZSTD | CODEC_ZSTD_BASED => return Err(bad("its bases do not fit its codec")),
                // A codec of the future costs the segments that it is used for, when they are opened.
                _ => {}
            }
            let mut sum = 0u64;
            for blob in &segment.blobs {
                let home = BlobKind::from_number(blob.kind).map(super::home_of);
                if home != Some(kind) || blob.len == 0 || blob.len as usize > limits::BLOB_MAX {
                    return Err(bad("a blob's kind or length is out of bounds"));
                }
                sum += u64::from(blob.len);
            }
            if sum != u64::from(segment.raw) || segment.blobs.is_empty() {
                return Err(bad("its blobs do not add up to its length"));
            }
        }
        Ok(kind)
    }
}
