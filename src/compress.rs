//! Zstandard for whole segments, with contexts that are used again.

use std::fmt;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, MAGICNUMBER, WriteBuf, compress_bound, find_frame_compressed_size, get_error_name,
};

/// The level that costs little.
const FAST: i32 = 2;
/// The level for what it makes clearly smaller: on source code a twelfth, on images of disks a twentieth, on dumps nothing.
/// Level 5 takes another twelfth off source code, for twice the time of level 3.
const STRONG: i32 = 3;
/// The level of a frame that leans on others: nearly all of it is a few long matches, which every level finds.
const DELTA: i32 = 3;
/// Both are tried on one segment in so many, on so many of its bytes: of shorter inputs a level makes other use.
const SAMPLE: u32 = 16;
const SAMPLE_LEN: usize = 1 << 20;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Store as it is.
    None,
    /// Try two levels now and then, and use the higher one as long as it is worth its time.
    #[default]
    Auto,
    /// A Zstandard level, 1 to 19.
    Level(i32),
}

/// The codec failed; the text is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecError(pub String);

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

fn failed(code: usize) -> CodecError {
    CodecError(format!("Zstandard: {}", get_error_name(code)))
}

/// Compresses segments; one for each thread.
pub struct Compressor {
    context: CCtx<'static>,
    compression: Compression,
    /// What the last sample said.
    strong: bool,
    /// Segments until the next sample.
    until_sample: u32,
}

impl Compressor {
    /// Allocates a context.
    pub fn new(compression: Compression) -> Self {
        Compressor { context: CCtx::create(), compression, strong: false, until_sample: 0 }
    }

    /// Replaces `out` by one frame of `plain` and returns true, or returns false when that would not save at least a 64th:
    /// then storing it as it is costs less than decompressing it.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<bool, CodecError> {
        match self.compression {
            Compression::None => return Ok(false),
            Compression::Level(level) => self.frame(level, plain, out)?,
            Compression::Auto => {
                if self.until_sample == 0 {
                    self.sample(plain, out)?;
                }
                self.until_sample -= 1;
                self.frame(if self.strong { STRONG } else { FAST }, plain, out)?;
            }
        }
        Ok(out.len() + plain.len() / 64 < plain.len())
    }

    /// Tries both levels on what lies in the middle; leaves nothing of use in `out`.
    fn sample(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        let start = plain.len().saturating_sub(SAMPLE_LEN) / 2;
        let sample = &plain[start..plain.len().min(start + SAMPLE_LEN)];
        self.frame(FAST, sample, out)?;
        let fast = out.len();
        self.frame(STRONG, sample, out)?;
        // A 32nd is what the time is worth: the higher level takes about a quarter longer.
        self.strong = out.len() < fast - fast / 32;
        self.until_sample = SAMPLE;
        Ok(())
    }

    fn frame(&mut self, level: i32, plain: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.clear();
        out.reserve(compress_bound(plain.len()));
        self.context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        self.context.compress2(out, plain).map_err(failed)?;
        Ok(())
    }

    /// Replaces `out` by one frame of `plain` that leans on `prefix`, the plaintext of base blobs.
    pub fn compress_with_prefix(&mut self, plain: &[u8], prefix: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.clear();
        out.reserve(compress_bound(plain.len()));
        // A context borrows its prefix for as long as it lives, so it lives for this one frame.
        let mut context = CCtx::create();
        let level = if let Compression::Level(level) = self.compression { level } else { DELTA };
        let window = usize::BITS - (plain.len() + prefix.len()).max(1024).leading_zeros();
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        context.set_parameter(CParameter::WindowLog(window.min(27))).map_err(failed)?;
        context.set_parameter(CParameter::EnableLongDistanceMatching(true)).map_err(failed)?;
        context.ref_prefix(prefix).map_err(failed)?;
        context.compress2(out, plain).map_err(failed)?;
        Ok(())
    }
}

/// The library would also take several frames, frames to be skipped, and those of versions before 1.0, by old decoders.
fn expect_one_frame(packed: &[u8]) -> Result<(), CodecError> {
    let is_one = packed.starts_with(&MAGICNUMBER.to_le_bytes())
        && find_frame_compressed_size(packed).is_ok_and(|len| len == packed.len());
    if is_one { Ok(()) } else { Err(CodecError("it is not one frame of Zstandard".into())) }
}

/// Decompresses segments; one for each thread.
pub struct Decompressor {
    context: DCtx<'static>,
}

impl Default for Decompressor {
    fn default() -> Self {
        Decompressor { context: DCtx::create() }
    }
}

impl Decompressor {
    /// Replaces `out` by the plaintext of `packed`, which must be exactly `raw` bytes long: `raw` is authentic, so memory is
    /// taken for it before the frame, which is not yet trusted, is looked at.
    pub fn decompress(
        &mut self,
        packed: &[u8],
        prefix: &[u8],
        raw: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        out.clear();
        expect_one_frame(packed)?;
        out.reserve_exact(raw);
        self.frame(packed, prefix, raw, out)
    }

    /// The same into a place for exactly as many bytes as it must be.
    pub fn decompress_into(&mut self, packed: &[u8], prefix: &[u8], out: &mut [u8]) -> Result<(), CodecError> {
        expect_one_frame(packed)?;
        self.frame(packed, prefix, out.len(), out)
    }

    fn frame<B: WriteBuf + ?Sized>(
        &mut self,
        packed: &[u8],
        prefix: &[u8],
        raw: usize,
        out: &mut B,
    ) -> Result<(), CodecError> {
        let len = if prefix.is_empty() {
            self.context.decompress(out, packed).map_err(failed)?
        } else {
            let mut context = DCtx::create();
            context.ref_prefix(prefix).map_err(failed)?;
            context.decompress(out, packed).map_err(failed)?
        };
        if len == raw { Ok(()) } else { Err(CodecError(format!("decompresses to {len} bytes in place of {raw}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_level_is_kept_where_it_pays() {
        let mut noise = vec![0; 1 << 17];
        blake3::Hasher::new_keyed(&[1; 32]).finalize_xof().fill(&mut noise);
        let spelt = |phrase: fn(u8) -> String| noise.iter().flat_map(|b| phrase(*b).into_bytes()).collect::<Vec<u8>>();
        // Phrases that differ late, which the higher level tells apart; words so alike that it is led astray; noise.
        let phrases = spelt(|b| format!("{0:02x}{0:02x}{0:02x}{b:02x}", (b >> 1).wrapping_mul(167)));
        let words = spelt(|b| format!("word-{:02x} ", b & 0x3f));
        for (plain, strong, shrinks) in [(&phrases, true, true), (&words, false, true), (&noise, false, false)] {
            let mut compressor = Compressor::new(Compression::Auto);
            let (mut out, mut fast) = (Vec::new(), Vec::new());
            for _ in 0..3 {
                assert_eq!(compressor.compress(plain, &mut out).unwrap(), shrinks);
            }
            Compressor::new(Compression::Level(FAST)).compress(plain, &mut fast).unwrap();
            assert_eq!(compressor.strong, strong);
            assert_eq!(out.len() < fast.len(), strong, "{} {}", out.len(), fast.len());
        }
    }

    #[test]
    fn only_one_frame_is_taken() {
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        let mut decompressor = Decompressor::default();
        assert!(Compressor::new(Compression::default()).compress(&[7; 1000], &mut frame).unwrap());
        decompressor.decompress(&frame, &[], 1000, &mut out).unwrap();
        assert_eq!(out, [7; 1000]);

        let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0skip";
        let twice = [&frame[..], &frame].concat();
        let (before, after) = ([skipped, &frame[..]].concat(), [&frame[..], skipped].concat());
        for (packed, raw) in [(&twice, 2000), (&before, 1000), (&after, 1000), (&skipped.to_vec(), 0), (&vec![], 0)] {
            for prefix in [&[][..], b"prefix"] {
                assert!(decompressor.decompress(packed, prefix, raw, &mut out).is_err());
            }
        }
    }
}
