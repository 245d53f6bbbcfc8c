//! The data path in one file: blobs → plaintext → packed → sealed, and back. Layout: `format-spec/03-packs.md`.

use crate::{
    compress::{CodecError, Compression, Compressor, Decompressor},
    error::{Error, Result},
    hash::{BlobKind, BlobNamer},
    id::BlobId,
    object::HEADER_LEN,
    seal::{self, SealKey, TAG_LEN},
};

/// The plaintext as it is.
pub const CODEC_RAW: u8 = 0;
/// One Zstandard frame.
pub const CODEC_ZSTD: u8 = 1;
/// One Zstandard frame that leans on base blobs.
pub const CODEC_ZSTD_BASED: u8 = 2;

/// A blob's place in a segment, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its name.
    pub id: BlobId,
    /// Its [`BlobKind`] as a number.
    pub kind: u8,
    /// Its length in bytes.
    pub len: u32,
}

/// What one must know to open a segment besides its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// How it is packed.
    pub codec: u8,
    /// Length of the plaintext.
    pub raw: u32,
    /// Nonce.
    pub counter: u64,
}

/// What a segment is sealed under.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The header of packs of its kind, which binds suite, kind and repository.
    pub header: &'a [u8; HEADER_LEN],
    /// The key.
    pub key: &'a SealKey,
    /// Plaintext of its base blobs; empty for a segment that leans on none.
    pub prefix: &'a [u8],
}

/// Associated data of a segment: the pack's header, the codec and the plaintext's length; never the pack's name, so that a
/// segment can move verbatim.
fn associated_data(header: &[u8; HEADER_LEN], codec: u8, raw: u32) -> [u8; HEADER_LEN + 5] {
    let mut ad = [0; HEADER_LEN + 5];
    ad[..HEADER_LEN].copy_from_slice(header);
    ad[HEADER_LEN] = codec;
    ad[HEADER_LEN + 1..].copy_from_slice(&raw.to_le_bytes());
    ad
}

/// Seals segments and proves them; one for each thread.
pub struct Sealer {
    compressor: Compressor,
    opener: Opener,
    /// Room for a packed segment: first while it is made, then while it is proved.
    packed: Vec<u8>,
    plain: Vec<u8>,
}

impl Sealer {
    /// Makes the contexts.
    pub fn new(compression: Compression) -> Self {
        Sealer {
            compressor: Compressor::new(compression),
            opener: Opener::default(),
            packed: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// Packs and seals `plain`, and replaces `sealed` by the sealed bytes. The pair of key and counter is never used again.
    pub fn seal(&mut self, envelope: Envelope<'_>, counter: u64, plain: &[u8], sealed: &mut Vec<u8>) -> Result<Recipe> {
        let Envelope { header, key, prefix } = envelope;
        let (codec, packed) = if !prefix.is_empty() {
            self.compressor.compress_with_prefix(plain, prefix, &mut self.packed).map_err(encoder_failed)?;
            (CODEC_ZSTD_BASED, &self.packed[..])
        } else if self.compressor.compress(plain, &mut self.packed).map_err(encoder_failed)? {
            (CODEC_ZSTD, &self.packed[..])
        } else {
            (CODEC_RAW, plain)
        };
        let raw = plain.len() as u32;
        // Packed where the worst fits, then copied into what it takes: many wait for the packer.
        sealed.clear();
        sealed.reserve_exact(packed.len() + TAG_LEN);
        sealed.extend_from_slice(packed);
        seal::seal_segment(key, counter, &associated_data(header, codec, raw), sealed);
        Ok(Recipe { codec, raw, counter })
    }

    /// Proves a sealed segment: opens it again, decompresses it and recomputes the ids of its blobs. Encoders have bugs and
    /// memory flips bits; what does not prove is not published.
    pub fn prove(
        &mut self,
        envelope: Envelope<'_>,
        recipe: Recipe,
        sealed: &[u8],
        blobs: &[BlobEntry],
        namer: &BlobNamer,
    ) -> Result<()> {
        let broken =
            |why: String| Error::Hardware { what: format!("a segment that was just sealed does not prove: {why}") };
        self.packed.clear();
        self.packed.extend_from_slice(sealed);
        self.opener.open(envelope, recipe, &mut self.packed, &mut self.plain).map_err(|e| broken(e.to_string()))?;
        match verify_blobs(&self.plain, blobs, namer) {
            Some(bad) => Err(broken(format!("blob {} has other bytes", bad.id))),
            None => Ok(()),
        }
    }
}

fn encoder_failed(e: CodecError) -> Error {
    Error::Hardware { what: format!("compression failed: {e}") }
}

/// The first blob whose bytes are not what its id says; `None` when all are right and fill `plain` exactly.
pub fn verify_blobs(plain: &[u8], blobs: &[BlobEntry], namer: &BlobNamer) -> Option<BlobEntry> {
    let mut rest = plain;
    for blob in blobs {
        let right = rest.split_at_checked(blob.len as usize).and_then(|(bytes, after)| {
            rest = after;
            let kind = BlobKind::from_number(blob.kind)?;
            (namer.name(kind, bytes) == blob.id).then_some(())
        });
        if right.is_none() {
            return Some(*blob);
        }
    }
    if rest.is_empty() { None } else { blobs.last().copied() }
}

/// True when a segment's tag verifies: its bytes are those that were sealed, whatever it leans on. Uses `sealed` up.
pub fn is_as_sealed(header: &[u8; HEADER_LEN], key: &SealKey, recipe: Recipe, sealed: &mut Vec<u8>) -> bool {
    seal::open_segment(key, recipe.counter, &associated_data(header, recipe.codec, recipe.raw), sealed)
}

/// A segment that does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The tag does not verify: other bytes, another key, another place.
    Tag,
    /// It verifies but does not decompress as its directory says.
    Codec(CodecError),
    /// A codec of the future.
    UnknownCodec(u8),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::Tag => f.write_str("its tag does not verify"),
            OpenError::Codec(e) => e.fmt(f),
            OpenError::UnknownCodec(codec) => write!(f, "codec {codec} is not known"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens segments; one for each thread.
#[derive(Default)]
pub struct Opener {
    decompressor: Decompressor,
}

impl Opener {
    /// Opens `sealed` (whose bytes are used up) into `plain`. The blobs in it are not yet verified against their ids.
    pub fn open(
        &mut self,
        envelope: Envelope<'_>,
        recipe: Recipe,
        sealed: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        let Envelope { header, key, prefix } = envelope;
        debug_assert!(sealed.len() >= TAG_LEN);
        if !seal::open_segment(key, recipe.counter, &associated_data(header, recipe.codec, recipe.raw), sealed) {
            return Err(OpenError::Tag);
        }
        match recipe.codec {
            CODEC_RAW if sealed.len() == recipe.raw as usize => {
                std::mem::swap(plain, sealed);
                Ok(())
            }
            CODEC_RAW => {
                Err(OpenError::Codec(CodecError(format!("holds {} bytes in place of {}", sealed.len(), recipe.raw))))
            }
            CODEC_ZSTD => {
                self.decompressor.decompress(sealed, &[], recipe.raw as usize, plain).map_err(OpenError::Codec)
            }
            CODEC_ZSTD_BASED => {
                self.decompressor.decompress(sealed, prefix, recipe.raw as usize, plain).map_err(OpenError::Codec)
            }
            other => Err(OpenError::UnknownCodec(other)),
        }
    }

    /// The same into a place for exactly as many bytes as the segment holds.
    pub fn open_into(
        &mut self,
        envelope: Envelope<'_>,
        recipe: Recipe,
        sealed: &mut [u8],
        plain: &mut [u8],
    ) -> Result<(), OpenError> {
        let Envelope { header, key, prefix } = envelope;
        let data = associated_data(header, recipe.codec, recipe.raw);
        let packed = seal::open_segment_within(key, recipe.counter, &data, sealed).ok_or(OpenError::Tag)?;
        let prefix = match recipe.codec {
            CODEC_RAW if packed.len() == plain.len() => {
                plain.copy_from_slice(packed);
                return Ok(());
            }
            CODEC_RAW => {
                let what = format!("holds {} bytes in place of {}", packed.len(), plain.len());
                return Err(OpenError::Codec(CodecError(what)));
            }
            CODEC_ZSTD => &[],
            CODEC_ZSTD_BASED => prefix,
            other => return Err(OpenError::UnknownCodec(other)),
        };
        self.decompressor.decompress_into(packed, prefix, plain).map_err(OpenError::Codec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u8) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut out);
        out
    }

    fn round_trip(plain: &[u8], prefix: &[u8]) -> (u8, usize) {
        let (header, key) = ([9; HEADER_LEN], SealKey::new([3; 32]));
        let envelope = Envelope { header: &header, key: &key, prefix };
        let namer = BlobNamer::new([1; 32], [2; 32], [3; 32]);
        let mut sealer = Sealer::new(Compression::default());
        let mut sealed = Vec::new();
        let recipe = sealer.seal(envelope, 1, plain, &mut sealed).unwrap();
        let blobs = [BlobEntry { id: namer.name(BlobKind::Data, plain), kind: 1, len: plain.len() as u32 }];
        sealer.prove(envelope, recipe, &sealed, &blobs, &namer).unwrap();
        let len = sealed.len();
        let mut out = Vec::new();
        Opener::default().open(envelope, recipe, &mut sealed.clone(), &mut out).unwrap();
        assert_eq!(out, plain);
        out.fill(0);
        Opener::default().open_into(envelope, recipe, &mut sealed.clone(), &mut out).unwrap();
        assert_eq!(out, plain);
        for other in [plain.len() - 1, plain.len() + 1] {
            out.resize(other, 0);
            assert!(Opener::default().open_into(envelope, recipe, &mut sealed.clone(), &mut out).is_err());
        }
        let mut wrong = sealed.clone();
        wrong[len / 2] ^= 4;
        assert!(sealer.prove(envelope, recipe, &wrong, &blobs, &namer).is_err());
        out.resize(plain.len(), 0);
        assert_eq!(Opener::default().open_into(envelope, recipe, &mut wrong, &mut out), Err(OpenError::Tag));
        (recipe.codec, len)
    }

    #[test]
    fn segments_come_back_by_every_codec() {
        assert_eq!(round_trip(&noise(100_000, 1), &[]).0, CODEC_RAW);
        assert_eq!(round_trip(&vec![b'a'; 100_000], &[]).0, CODEC_ZSTD);
        let base = noise(100_000, 1);
        let mut changed = base.clone();
        changed[50_000] ^= 1;
        let (codec, len) = round_trip(&changed, &base);
        assert_eq!(codec, CODEC_ZSTD_BASED);
        assert!(len < 1000, "{len}");
    }

    /// What a directory says of a segment, and the repository and kind of pack that it lies in, are those that it was sealed with.
    #[test]
    fn a_segment_opens_in_its_place_and_as_what_it_is_alone() {
        let (header, key) = ([9; HEADER_LEN], SealKey::new([3; 32]));
        let envelope = Envelope { header: &header, key: &key, prefix: &[] };
        let mut sealer = Sealer::new(Compression::default());
        let mut sealed = Vec::new();
        let recipe = sealer.seal(envelope, 1, &[b'a'; 1000], &mut sealed).unwrap();
        let opens = |header: &[u8; HEADER_LEN], recipe: Recipe| {
            let envelope = Envelope { header, ..envelope };
            let opened = Opener::default().open(envelope, recipe, &mut sealed.clone(), &mut Vec::new());
            let mut plain = vec![0; recipe.raw as usize];
            assert_eq!(Opener::default().open_into(envelope, recipe, &mut sealed.clone(), &mut plain), opened);
            assert_eq!(is_as_sealed(header, &key, recipe, &mut sealed.clone()), opened.is_ok());
            opened
        };
        assert_eq!(opens(&header, recipe), Ok(()));
        for at in 0..HEADER_LEN {
            let mut other = header;
            other[at] ^= 1;
            assert_eq!(opens(&other, recipe), Err(OpenError::Tag), "{at}");
        }
        for other in [
            Recipe { codec: CODEC_RAW, ..recipe },
            Recipe { raw: recipe.raw + 1, ..recipe },
            Recipe { raw: recipe.raw + (1 << 24), ..recipe },
            Recipe { counter: recipe.counter + 1, ..recipe },
        ] {
            assert_eq!(opens(&header, other), Err(OpenError::Tag), "{other:?}");
        }
    }

    /// By one who holds the keys: the length that a directory tells is what others make room for.
    #[test]
    fn a_segment_of_another_length_or_codec_than_it_tells_is_refused() {
        let (header, key) = ([9; HEADER_LEN], SealKey::new([3; 32]));
        let envelope = Envelope { header: &header, key: &key, prefix: &[] };
        for (recipe, why) in [
            (Recipe { codec: CODEC_RAW, raw: 9, counter: 1 }, "holds 10 bytes"),
            (Recipe { codec: CODEC_RAW, raw: 11, counter: 1 }, "holds 10 bytes"),
            (Recipe { codec: 9, raw: 10, counter: 1 }, "codec 9 is not known"),
        ] {
            let mut sealed = b"ten bytes!".to_vec();
            seal::seal_segment(&key, 1, &associated_data(&header, recipe.codec, recipe.raw), &mut sealed);
            let opened = Opener::default().open(envelope, recipe, &mut sealed.clone(), &mut Vec::new());
            assert!(opened.as_ref().is_err_and(|e| e.to_string().contains(why)), "{opened:?}");
            let mut plain = vec![0; recipe.raw as usize];
            assert_eq!(Opener::default().open_into(envelope, recipe, &mut sealed, &mut plain), opened);
        }
    }

    #[test]
    fn a_bomb_is_cut_off() {
        let (header, key) = ([9; HEADER_LEN], SealKey::new([3; 32]));
        let envelope = Envelope { header: &header, key: &key, prefix: &[] };
        let mut sealer = Sealer::new(Compression::default());
        // A frame of 16 MiB whose directory admits to 1000 bytes: sealed by one who holds the keys.
        let mut sealed = Vec::new();
        let mut recipe = sealer.seal(envelope, 0, &vec![0; 16 << 20], &mut sealed).unwrap();
        assert!(seal::open_segment(&key, 0, &associated_data(&header, recipe.codec, recipe.raw), &mut sealed));
        recipe.raw = 1000;
        seal::seal_segment(&key, 0, &associated_data(&header, recipe.codec, recipe.raw), &mut sealed);
        let mut out = Vec::new();
        let result = Opener::default().open(envelope, recipe, &mut sealed, &mut out);
        assert!(matches!(result, Err(OpenError::Codec(_))), "{result:?}");
        assert!(out.capacity() < 1 << 20);
    }
}
