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
use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};
use std::fmt;

/// One segment of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Kinds of its blobs, each with the number of those in a row that are of it.
    fn kinds(&self) -> Vec<(u8, u32)> {
        let rows = self.blobs.chunk_by(|a, b| a.kind == b.kind);
        rows.filter_map(|row| Some((row.first()?.kind, row.len() as u32))).collect()
    }
}

// What blobs have in common is said once: there are many, and what lists them is not compressed, since ids are noise.
impl Encode for SegmentEntry {
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        (self.offset, self.stored, self.raw, self.codec, self.key, self.counter, self.generation).encode(to)?;
        self.bases.encode(to)?;
        let number = self.blobs.len() as u64;
        number.encode(to)?;
        self.blobs.iter().try_for_each(|blob| blob.id.encode(to))?;
        self.kinds().encode(to)?;
        number.encode(to)?;
        self.blobs.iter().try_for_each(|blob| blob.len.encode(to))
    }
}

impl<Context> Decode<Context> for SegmentEntry {
    fn decode<D: Decoder<Context = Context>>(from: &mut D) -> Result<Self, DecodeError> {
        let (offset, stored, raw, codec, key, counter, generation) = Decode::decode(from)?;
        let bases = Decode::decode(from)?;
        let ids = Vec::<BlobId>::decode(from)?;
        let kinds = Vec::<(u8, u32)>::decode(from)?;
        let lens = Vec::<u32>::decode(from)?;
        let sum: u64 = kinds.iter().map(|(_, number)| u64::from(*number)).sum();
        if sum != ids.len() as u64 || lens.len() != ids.len() {
            return Err(DecodeError::Other("as many kinds and lengths as blobs are expected"));
        }
        if kinds.iter().any(|(_, number)| *number == 0)
            || kinds.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b))
        {
            return Err(DecodeError::Other("kinds are not said in the shortest way"));
        }
        let kinds = kinds.iter().flat_map(|(kind, number)| std::iter::repeat_n(*kind, *number as usize));
        let blobs = ids.into_iter().zip(kinds).zip(lens).map(|((id, kind), len)| BlobEntry { id, kind, len }).collect();
        Ok(SegmentEntry { offset, stored, raw, codec, key, counter, generation, bases, blobs })
    }
}

bincode::impl_borrow_decode!(SegmentEntry);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::BLOB_ID_LEN, model::codec};

    fn segment(kinds: &[u8]) -> SegmentEntry {
        let blob =
            |(n, kind): (usize, &u8)| BlobEntry { id: BlobId([n as u8; BLOB_ID_LEN]), kind: *kind, len: 10 + n as u32 };
        SegmentEntry {
            offset: 32,
            stored: 20,
            raw: 0,
            codec: CODEC_ZSTD,
            key: 0,
            counter: 0,
            generation: 0,
            bases: Vec::new(),
            blobs: kinds.iter().enumerate().map(blob).collect(),
        }
    }

    #[test]
    fn what_blobs_share_is_said_once() {
        for kinds in [&[][..], &[2], &[2, 2, 3, 3, 3, 2]] {
            let segment = segment(kinds);
            assert_eq!(codec::decode::<SegmentEntry>(&codec::encode(&segment)).unwrap(), segment);
        }
        let blobs =
            |number: usize| codec::encode(&segment(&vec![1; number])).len() - codec::encode(&segment(&[])).len();
        // An id and a length; beyond that the two bytes of their kind.
        assert_eq!((blobs(1), blobs(100)), (BLOB_ID_LEN + 1 + 2, 100 * (BLOB_ID_LEN + 1) + 2));
    }

    #[test]
    fn kinds_and_lengths_that_do_not_fit_the_blobs_are_refused() {
        let bytes = |kinds: &[(u8, u32)], lens: &[u32]| {
            let mut bytes = codec::encode(&segment(&[]));
            // Without blobs the last three bytes are the three empty lists.
            bytes.truncate(bytes.len() - 3);
            codec::encode_into(&vec![BlobId([7; BLOB_ID_LEN]); 3], &mut bytes);
            codec::encode_into(&kinds.to_vec(), &mut bytes);
            codec::encode_into(&lens.to_vec(), &mut bytes);
            bytes
        };
        let refused = |kinds: &[(u8, u32)], lens: &[u32]| codec::decode::<SegmentEntry>(&bytes(kinds, lens)).is_err();
        assert!(!refused(&[(2, 1), (3, 2)], &[4, 5, 6]));
        for kinds in [&[][..], &[(2, 2)], &[(2, 4)], &[(2, 3), (3, 0)], &[(2, 1), (2, 2)], &[(2, 3), (3, u32::MAX)]] {
            assert!(refused(kinds, &[4, 5, 6]), "{kinds:?}");
        }
        for lens in [&[][..], &[4, 5], &[4, 5, 6, 7]] {
            assert!(refused(&[(2, 3)], lens), "{lens:?}");
        }
    }
}
