//! A medium as bytes: a device, an image of one, or a part of either, of which some cannot be read.

use crate::{
    error::{Error, Result},
    name::Shown,
};
use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::Path,
};

/// The smallest stretch that is given up: what disks lose at once.
pub const STEP: u64 = 4096;

/// Bytes with holes in them.
pub trait Medium: Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> u64;
    /// Fills `out` from this byte on, or fails as a whole.
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()>;
}

/// A device or an image.
pub struct FileMedium {
    file: File,
    len: u64,
}

impl FileMedium {
    /// Opens it for reading.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e| Error::store("open", Shown(path.as_os_str().as_bytes()), e);
        let mut file = File::open(path).map_err(failed)?;
        // Of a device nothing else tells the length.
        let len = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if len == 0 {
            return Err(failed(io::Error::other("it is empty: give a device, or an image of one")));
        }
        Ok(FileMedium { file, len })
    }
}

impl Medium for FileMedium {
    fn length(&self) -> u64 {
        self.len
    }
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, at)
    }
}

/// Fills `out` with what can be read, and zeros, and calls `bad` with each stretch, first byte and length, that cannot: at most `STEP` bytes long, begun at a
/// multiple of it. Large reads first; where one fails it is halved.
pub fn read_around(medium: &dyn Medium, at: u64, out: &mut [u8], bad: &mut dyn FnMut(u64, u64)) {
    if out.is_empty() || medium.read(at, out).is_ok() {
        return;
    }
    out.fill(0);
    let end = at + out.len() as u64;
    // The boundary of a step that is nearest to the middle, so that no step is read in two parts.
    let middle = (at.midpoint(end)).next_multiple_of(STEP);
    let middle = if middle < end { middle } else { (end - 1) / STEP * STEP };
    if middle <= at {
        bad(at, end - at);
        return;
    }
    let (front, back) = out.split_at_mut((middle - at) as usize);
    read_around(medium, at, front, bad);
    read_around(medium, middle, back, bad);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Bytes of which some cannot be read, and how often that was tried.
    pub(crate) struct Scratched {
        pub(crate) bytes: Vec<u8>,
        /// Numbers of the steps that fail.
        pub(crate) bad: std::collections::BTreeSet<u64>,
    }

    impl Medium for Scratched {
        fn length(&self) -> u64 {
            self.bytes.len() as u64
        }
        fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
            let steps = at / STEP..(at + out.len() as u64).div_ceil(STEP);
            if self.bad.range(steps).next().is_some() {
                return Err(io::Error::from_raw_os_error(5));
            }
            let end = at as usize + out.len();
            out.copy_from_slice(self.bytes.get(at as usize..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    #[test]
    fn all_but_the_bad_steps_is_read() {
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i / 7) as u8 | 1).collect();
        let medium = Scratched { bytes: bytes.clone(), bad: [0, 5, 6, 24].into() };
        for (at, len) in [(0, 100_000), (100, 99_000), (5000, 10), (20_480, 8192), (98_304, 1696)] {
            let (mut out, mut bad) = (vec![9; len], Vec::new());
            read_around(&medium, at, &mut out, &mut |at, len| bad.push((at, len)));
            for (i, byte) in out.iter().enumerate() {
                let position = at + i as u64;
                let is_bad = medium.bad.contains(&(position / STEP));
                assert_eq!(*byte, if is_bad { 0 } else { bytes[position as usize] }, "{at} {len} {position}");
                assert_eq!(is_bad, bad.iter().any(|(at, len)| (*at..at + len).contains(&position)));
            }
        }
    }
}
