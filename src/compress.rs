//! Zstandard for whole segments, with contexts that are used again.

mod choice;
mod prefix;

use choice::Choice;
use std::{fmt, mem};
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, MAGICNUMBER, WriteBuf, compress_bound, find_frame_compressed_size, get_error_name,
};

/// How a frame is made: a level of Zstandard's, and powers of two for what it would set otherwise; 0 leaves that as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    level: i32,
    /// The table for long matches, or the only one.
    hash_log: u32,
    /// The one for short matches.
    chain_log: u32,
    window_log: u32,
}

impl Settings {
    const fn level(level: i32) -> Self {
        Settings { level, hash_log: 0, chain_log: 0, window_log: 0 }
    }
}

/// What costs little: level 1, which looks for matches of 7 bytes, with the whole segment in reach and a table of 256 KiB. One half as long
/// takes a twentieth less time, for up to a fiftieth more space.
const FAST: Settings = Settings { level: 1, hash_log: 16, chain_log: 0, window_log: 22 };
/// For what it makes smaller: on source code a twelfth, on images of disks a fourteenth, on dumps nothing. Level 3, which keeps a second
/// table for short matches: 768 KiB together, for cores that have a MiB to themselves. Level 5 takes another twelfth off source code, for
/// twice the time.
const STRONG: Settings = Settings { level: 3, hash_log: 17, chain_log: 16, window_log: 22 };
/// For a frame that leans on others: nearly all of it is a few long matches, which every level finds.
const DELTA: i32 = 3;
/// Both are tried on so many bytes: of shorter inputs a level makes other use.
const SAMPLE_LEN: usize = 1 << 20;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Store as it is.
    None,
    /// Try two ways now and then, and use the one that costs more as long as it is worth its time.
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
    choice: Choice,
}

impl Compressor {
    /// Allocates a context.
    pub fn new(compression: Compression) -> Self {
        Compressor { context: CCtx::create(), compression, choice: Choice::new() }
    }

    /// Replaces `out` by one frame of `plain` and returns true, or returns false when that would not save at least a 64th:
    /// then storing it as it is costs less than decompressing it.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<bool, CodecError> {
        match self.compression {
            Compression::None => return Ok(false),
            Compression::Level(level) => self.frame(Settings::level(level), plain, out)?,
            Compression::Auto => {
                let done = self.choice.is_due(plain.len()) && self.sample(plain, out)?;
                if !done {
                    self.frame(if self.choice.strong { STRONG } else { FAST }, plain, out)?;
                }
                self.choice.saw(plain.len(), out.len());
            }
        }
        Ok(out.len() + plain.len() / 64 < plain.len())
    }

    /// Tries both levels on what lies in the middle; true when that is all of it, and `out` is the frame to be taken.
    fn sample(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<bool, CodecError> {
        let start = plain.len().saturating_sub(SAMPLE_LEN) / 2;
        let sample = &plain[start..plain.len().min(start + SAMPLE_LEN)];
        let mut fast = Vec::new();
        self.frame(FAST, sample, &mut fast)?;
        self.frame(STRONG, sample, out)?;
        // A 64th is what the time is worth: the higher level takes a fifth to a third longer.
        self.choice.decide(sample.len(), out.len() < fast.len() - fast.len() / 64);
        if !self.choice.strong {
            mem::swap(out, &mut fast);
        }
        Ok(sample.len() == plain.len())
    }

    fn frame(&mut self, settings: Settings, plain: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.clear();
        out.reserve(compress_bound(plain.len()));
        let Settings { level, hash_log, chain_log, window_log } = settings;
        self.set([
            CParameter::CompressionLevel(level),
            CParameter::HashLog(hash_log),
            CParameter::ChainLog(chain_log),
            CParameter::WindowLog(window_log),
        ])?;
        self.context.compress2(out, plain).map_err(failed)?;
        Ok(())
    }

    fn set<const N: usize>(&mut self, parameters: [CParameter; N]) -> Result<(), CodecError> {
        parameters.into_iter().try_for_each(|parameter| self.context.set_parameter(parameter).map(drop).map_err(failed))
    }

    /// Replaces `out` by one frame of `plain` that leans on `prefix`, the plaintext of base blobs.
    pub fn compress_with_prefix(&mut self, plain: &[u8], prefix: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.clear();
        out.reserve(compress_bound(plain.len()));
        let level = if let Compression::Level(level) = self.compression { level } else { DELTA };
        let window = usize::BITS - (plain.len() + prefix.len()).max(1024).leading_zeros();
        self.set([
            CParameter::CompressionLevel(level),
            CParameter::WindowLog(window.min(25)),
            CParameter::HashLog(0),
            CParameter::ChainLog(0),
            CParameter::EnableLongDistanceMatching(true),
        ])?;
        prefix::compress(&mut self.context, plain, prefix, out).map_err(failed)?;
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
            prefix::decompress(&mut self.context, packed, prefix, out).map_err(failed)?
        };
        if len == raw { Ok(()) } else { Err(CodecError(format!("decompresses to {len} bytes in place of {raw}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed_by(settings: Settings, plain: &[u8], out: &mut Vec<u8>) {
        Compressor::new(Compression::Auto).frame(settings, plain, out).unwrap();
    }

    #[test]
    fn the_higher_level_is_kept_where_it_pays() {
        let mut noise = vec![0; 9 << 14];
        blake3::Hasher::new_keyed(&[1; 32]).finalize_xof().fill(&mut noise);
        let spelt = |phrase: fn(u8) -> String| noise.iter().flat_map(|b| phrase(*b).into_bytes()).collect::<Vec<u8>>();
        // Phrases that differ late, which the higher level tells apart; words so alike that it is led astray; noise.
        let phrases = spelt(|b| format!("{0:02x}{0:02x}{0:02x}{b:02x}", (b >> 1).wrapping_mul(167)));
        let words = spelt(|b| format!("word-{:02x} ", b & 0x3f));
        for (plain, strong, shrinks) in [(&phrases, true, true), (&words, false, true), (&noise, false, false)] {
            // All of the first is the sample, and a part of the second where that is longer.
            for plain in [&plain[..plain.len().min(SAMPLE_LEN)], plain] {
                let mut compressor = Compressor::new(Compression::Auto);
                let (mut out, mut fast, mut expected) = (Vec::new(), Vec::new(), Vec::new());
                packed_by(FAST, plain, &mut fast);
                packed_by(if strong { STRONG } else { FAST }, plain, &mut expected);
                for _ in 0..3 {
                    assert_eq!(compressor.compress(plain, &mut out).unwrap(), shrinks);
                    assert_eq!(compressor.choice.strong, strong);
                    assert!(out == expected, "{} {}", out.len(), expected.len());
                }
                assert_eq!(out.len() < fast.len(), strong, "{} {}", out.len(), fast.len());
            }
        }
    }

    /// Nor what it leaned on, nor that it failed.
    #[test]
    fn what_one_frame_was_made_with_does_not_stick() {
        let plain: Vec<u8> = (0..300_000u64).flat_map(|i| (i * i / 7).to_string().into_bytes()).collect();
        let (first, second) = plain.split_at(1 << 20);
        let second = [second, &first[1000..600_000]].concat();
        let mut compressor = Compressor::new(Compression::Auto);
        let mut decompressor = Decompressor::default();
        let (mut out, mut fresh, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for settings in [FAST, STRONG, FAST] {
            compressor.frame(settings, &second, &mut out).unwrap();
            packed_by(settings, &second, &mut fresh);
            assert!(out == fresh, "{settings:?}");
            decompressor.decompress(&out, &[], second.len(), &mut back).unwrap();
            assert!(back == second);
            // One that leans on another, which is gone by the next.
            let alone = out.len();
            let prefix = first.to_vec();
            compressor.compress_with_prefix(&second, &prefix, &mut out).unwrap();
            assert!(out.len() < alone / 10 * 9, "{} of {alone}", out.len());
            Compressor::new(Compression::Auto).compress_with_prefix(&second, first, &mut fresh).unwrap();
            assert!(out == fresh, "{settings:?}");
            decompressor.decompress(&out, &prefix, second.len(), &mut back).unwrap();
            drop(prefix);
            assert!(back == second);
            for (packed, prefix) in
                [(&out[..], &[][..]), (&out, &first[..first.len() - 1]), (&out[..out.len() / 2], first)]
            {
                let wrong = decompressor.decompress(packed, prefix, second.len(), &mut back);
                assert!(wrong.is_err() || back != second);
            }
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
