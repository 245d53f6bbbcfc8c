//! Where a file begins on its disk: the one ioctl (`FS_IOC_FIEMAP`) that no crate offers safely.

#![allow(unsafe_code)]

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::fs::File;

/// `struct fiemap` of linux/fiemap.h, without the array of extents that follows it.
#[repr(C)]
#[derive(Default)]
struct Header {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// A request for one extent: the kernel writes `extent_count` extents behind the header.
#[repr(C)]
#[derive(Default)]
struct Request {
    header: Header,
    extent: Extent,
}

// The sizes of the kernel's structures, and no padding between them.
const _: () = assert!(size_of::<Header>() == 32 && size_of::<Extent>() == 56 && size_of::<Request>() == 88);

/// `_IOWR('f', 11, struct fiemap)`.
const FIEMAP: Opcode = opcode::read_write::<Header>(b'f', 11);

/// `FIEMAP_EXTENT_UNKNOWN` and `FIEMAP_EXTENT_DELALLOC`: the extent has no place yet.
const PLACELESS: u32 = 0x2 | 0x4;

/// Where the file's first extent begins on its file system's device, in bytes. None for a file without data, with data
/// that is not written out yet, and where the file system does not tell.
pub fn physical_offset(file: &File) -> Option<u64> {
    let mut request = Request::default();
    request.header.length = u64::MAX;
    request.header.extent_count = 1;
    // SAFETY: FIEMAP is the opcode of FS_IOC_FIEMAP, which takes a pointer to a `struct fiemap` with room for
    // `extent_count` extents behind it. `Request` is laid out so (asserted above) with room for one, and one is asked
    // for. All its fields are integers, so that whatever the kernel writes into them is a valid value.
    let call = unsafe { Updater::<FIEMAP, Request>::new(&mut request) };
    // SAFETY: as above; `file` is open and `request` outlives the call, after which the kernel keeps no pointer to it.
    unsafe { ioctl(file, call) }.ok()?;
    (request.header.mapped_extents > 0 && request.extent.flags & PLACELESS == 0).then_some(request.extent.physical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn opcode_is_that_of_the_kernel_header() {
        // Alpha, MIPS, PowerPC and SPARC number directions otherwise.
        if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            assert_eq!(FIEMAP, 0xc020_660b);
        }
    }

    #[test]
    fn written_files_lie_at_different_places() {
        let dir = tempfile::tempdir().unwrap();
        let offset = |name| {
            let file = File::create_new(dir.path().join(name)).unwrap();
            file.write_all_at(&[1; 64 << 10], 0).unwrap();
            file.sync_all().unwrap();
            physical_offset(&file)
        };
        // Not every file system tells (tmpfs does not), but those that do tell no lies.
        if let (Some(a), Some(b)) = (offset("a"), offset("b")) {
            assert_ne!(a, b);
        }
    }

    #[test]
    fn file_without_data_is_nowhere() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(physical_offset(&file), None);
        file.set_len(1 << 20).unwrap();
        assert_eq!(physical_offset(&file), None);
        assert_eq!(physical_offset(&File::open("/dev/null").unwrap()), None);
    }
}
