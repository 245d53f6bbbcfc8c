//! Frames that lean on a prefix, by contexts that are used again: tables for a frame are several times its length, and the system takes
//! longer to give out as much memory than the frame takes to be made.
#![allow(unsafe_code)]

use std::slice;
use zstd::zstd_safe::{CCtx, DCtx, ResetDirective, SafeResult, WriteBuf};

/// A prefix for a context that lives longer.
///
/// # Safety
/// The context must begin its next frame, or be reset, before `prefix` ends. It takes what it knows of a prefix when it begins that
/// frame, clears all that it kept of the last one then, and looks at no byte of a prefix between frames.
unsafe fn lasting(prefix: &[u8]) -> &'static [u8] {
    // SAFETY: the caller's.
    unsafe { slice::from_raw_parts(prefix.as_ptr(), prefix.len()) }
}

/// Makes one frame of `plain`. Leaves no parameter set.
pub(super) fn compress(context: &mut CCtx<'static>, plain: &[u8], prefix: &[u8], out: &mut Vec<u8>) -> SafeResult {
    // SAFETY: that frame begins here, or the reset, which nothing that is set could have it refuse, makes the context forget.
    let prefix = unsafe { lasting(prefix) };
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
    let prefix = unsafe { lasting(prefix) };
    let opened = context.ref_prefix(prefix).and_then(|_| context.decompress(out, packed));
    let forgotten = context.reset(ResetDirective::SessionAndParameters);
    opened.and_then(|len| forgotten.map(|_| len))
}
