//! A file's bytes and holes. Failures are the system's: the caller knows the path ([`super::TargetDir::path_of`]).

use rustix::{
    fs::{Advice, FallocateFlags, SeekFrom},
    io::Errno,
};
use std::{fs::File, io, os::unix::fs::FileExt};

/// Bytes looked at in one go where holes cannot be punched.
const STEP: usize = 64 << 10;

/// What file systems allot to files, most of them.
const BLOCK: u64 = 4096;

/// Sets a file's length. What is added is a hole, and stays one where nothing is written.
pub fn set_len(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

/// Writes all of `bytes` at `offset`.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Makes a stretch of an existing file a hole: it reads as zeros and, where the file system can, takes no room. The
/// file's length stays as it is. The file must be open for reading too.
pub fn punch_hole(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let len = len.min(file.metadata()?.len().saturating_sub(offset));
    if len == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => zero(file, offset, len),
        other => Ok(other?),
    }
}

/// True when anything but a hole is between `offset` and `offset + len`, or the file system does not tell. What shares a
/// block with bytes before or after counts when it is not zero.
pub fn has_data(file: &File, offset: u64, len: u64) -> bool {
    let end = offset.saturating_add(len);
    let head = offset.checked_next_multiple_of(BLOCK).unwrap_or(end).min(end);
    let tail = (end - end % BLOCK).max(head);
    let within = head < tail
        && match rustix::fs::seek(file, SeekFrom::Data(head)) {
            Ok(data) => data < tail,
            Err(errno) => errno != Errno::NXIO,
        };
    within || is_written(file, offset, head) || is_written(file, tail, end)
}

/// True when there is a byte that is not zero, less than a block, or it cannot be read.
fn is_written(file: &File, start: u64, end: u64) -> bool {
    let mut buffer = [0; BLOCK as usize];
    let Some(part) = buffer.get_mut(..(end - start).min(BLOCK) as usize) else { return true };
    !part.is_empty() && file.read_at(part, start).map_or(true, |read| part.iter().take(read).any(|&b| b != 0))
}

/// Lets the system forget what it knows of a file's bytes, so that the medium is asked for them. Bytes that are not yet
/// on the medium are kept; and where the system keeps all, that costs the proof some of its worth and is no failure.
pub fn forget_cached(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// Writes zeros where something else is.
pub(super) fn zero(file: &File, mut offset: u64, len: u64) -> io::Result<()> {
    let mut buffer = vec![0; STEP];
    let zeros = vec![0; STEP];
    let mut left = len;
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(STEP).min(STEP);
        let read = match file.read_at(buffer.get_mut(..step).unwrap_or_default(), offset) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if buffer.iter().take(read).any(|&b| b != 0) {
            file.write_all_at(zeros.get(..read).unwrap_or_default(), offset)?;
        }
        offset += read as u64;
        left -= read as u64;
    }
    Ok(())
}
