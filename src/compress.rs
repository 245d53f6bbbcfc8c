//! Zstandard for whole segments, with contexts that are used again.

use std::fmt;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, MAGICNUMBER, compress_bound, find_frame_compressed_size, get_error_name,
};

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Store as it is.
    None,
    /// A Zstandard level, 1 to 19.
    Level(i32),
}

impl Default for Compression {
    fn default() -> Self {
        Compression::Level(3)
    }
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
}

impl Compressor {
    /// Allocates a context.
    pub fn new(compression: Compression) -> Result<Self, CodecError> {
        let mut context = CCtx::create();
        if let Compression::Level(level) = compression {
            context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        }
        Ok(Compressor { context, compression })
    }

    /// Replaces `out` by one frame of `plain` and returns true, or returns false when that would not save at least a 64th:
    /// then storing it as it is costs less than decompressing it.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<bool, CodecError> {
        out.clear();
        if self.compression == Compression::None {
            return Ok(false);
        }
        out.reserve(compress_bound(plain.len()));
        let len = self.context.compress2(out, plain).map_err(failed)?;
        Ok(len + plain.len() / 64 < plain.len())
    }

    /// Replaces `out` by one frame of `plain` that leans on `prefix`, the plaintext of base blobs.
    pub fn compress_with_prefix(&mut self, plain: &[u8], prefix: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.clear();
        out.reserve(compress_bound(plain.len()));
        // A context borrows its prefix for as long as it lives, so it lives for this one frame.
        let mut context = CCtx::create();
        let level = if let Compression::Level(level) = self.compression { level } else { 3 };
        let window = usize::BITS - (plain.len() + prefix.len()).max(1024).leading_zeros();
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        context.set_parameter(CParameter::WindowLog(window.min(27))).map_err(failed)?;
        context.set_parameter(CParameter::EnableLongDistanceMatching(true)).map_err(failed)?;
        context.ref_prefix(prefix).map_err(failed)?;
        context.compress2(out, plain).map_err(failed)?;
        Ok(())
    }
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
        // The library would also take several frames, frames to be skipped, and those of versions before 1.0, by old decoders.
        let is_one_frame = packed.starts_with(&MAGICNUMBER.to_le_bytes())
            && find_frame_compressed_size(packed).is_ok_and(|len| len == packed.len());
        if !is_one_frame {
            return Err(CodecError("it is not one frame of Zstandard".into()));
        }
        out.reserve_exact(raw);
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
    fn only_one_frame_is_taken() {
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        let mut decompressor = Decompressor::default();
        assert!(Compressor::new(Compression::default()).unwrap().compress(&[7; 1000], &mut frame).unwrap());
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
