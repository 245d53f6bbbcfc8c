//! Frames that lean on a prefix, by contexts that are used again: tables for a frame are several times its length, and the system takes
//! longer to give out as much memory than the frame takes to be made.
#![allow(unsafe_code)]

use std::slice;
use zstd::zstd_safe::{CCtx, DCtx, ResetDirective, SafeResult, WriteBuf};

/// Makes one frame of `plain`. Leaves no parameter set.
pub(super) fn compress(context: &mut CCtx<'static>, plain: &[u8], prefix: &[u8], out: &mut Vec<u8>) -> SafeResult {
    // SAFETY: a context takes what it knows of a prefix when it begins the next frame, and clears all that it kept of the last one then.
    // Here that frame begins before `prefix` ends, or the reset makes it forget (nothing is set that could have it refuse; it looks at no
    // byte of a prefix between frames). The library asks for a prefix that lives as long as the context, which might begin no frame.
    let prefix = unsafe { slice::from_raw_parts(prefix.as_ptr(), prefix.len()) };
    let made = context.ref_prefix(prefix).and_then(|_| context.compress2(out, plain));
    let forgotten = context.reset(ResetDirective::SessionAndParameters);
    made.and_then(|len| forgotten.map(|_| len))
}

/// Decompresses one frame.
pub(super) fn decompress<B: WriteBuf + ?Sized>(
    context: &mut DCtx<'static>,
    packed: &[u8],
    prefix: &[u8],
    out: &mut B,
) -> SafeResult {
    // SAFETY: as in `compress`.
    let prefix = unsafe { slice::from_raw_parts(prefix.as_ptr(), prefix.len()) };
    let opened = context.ref_prefix(prefix).and_then(|_| context.decompress(out, packed));
    let forgotten = context.reset(ResetDirective::SessionAndParameters);
    opened.and_then(|len| forgotten.map(|_| len))
}
