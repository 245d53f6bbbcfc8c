//! What `stat` says.

use super::content::blocks;
use crate::{
    model::node::{Body, Node},
    world::Time,
};
use fuser::{FileAttr, FileType, INodeNo};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What reads and directories are best asked for in, in bytes.
const BLOCK: u32 = 4096;

/// Whose the entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// By number, as on the source.
    Numeric,
    /// All are this user's and this group's.
    Fixed(u32, u32),
}

impl Owners {
    fn of(self, uid: u32, gid: u32) -> (u32, u32) {
        match self {
            Owners::Numeric => (uid, gid),
            Owners::Fixed(uid, gid) => (uid, gid),
        }
    }
}

fn system_time(time: Time) -> SystemTime {
    let nanos = Duration::from_nanos(time.nsec.into());
    let whole = Duration::from_secs(time.sec.unsigned_abs());
    let whole = if time.sec < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    // What the system cannot say at all is as good as unknown.
    whole.and_then(|whole| whole.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}

/// A device's number as the kernel wants it; what no number can say is none.
fn rdev(major: u32, minor: u32) -> u32 {
    if major >= 1 << 12 || minor >= 1 << 20 { 0 } else { minor & 0xff | major << 8 | (minor & !0xff) << 12 }
}

/// Of a stored entry.
pub fn of_node(number: u64, node: &Node, owners: Owners) -> FileAttr {
    let meta = &node.meta;
    let (uid, gid) = owners.of(meta.uid, meta.gid);
    let (kind, size, blocks, rdev) = match &node.body {
        Body::File { size, content } => (FileType::RegularFile, *size, blocks(*size, content), 0),
        Body::Directory { .. } => (FileType::Directory, u64::from(BLOCK), 8, 0),
        Body::Symlink { target } => (FileType::Symlink, target.len() as u64, 0, 0),
        Body::Fifo => (FileType::NamedPipe, 0, 0, 0),
        Body::Socket => (FileType::Socket, 0, 0, 0),
        Body::CharDevice { major, minor } => (FileType::CharDevice, 0, 0, rdev(*major, *minor)),
        Body::BlockDevice { major, minor } => (FileType::BlockDevice, 0, 0, rdev(*major, *minor)),
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks,
        atime: system_time(meta.atime.unwrap_or(meta.mtime)),
        mtime: system_time(meta.mtime),
        ctime: system_time(meta.ctime),
        crtime: UNIX_EPOCH,
        kind,
        perm: (meta.mode & 0o7777) as u16,
        nlink: meta.links.max(1),
        uid,
        gid,
        rdev,
        blksize: BLOCK,
        flags: 0,
    }
}

/// Of a folder, or a link, that only the mount has.
pub fn made_up(number: u64, link: Option<&str>, time: i64, owners: Owners) -> FileAttr {
    let time = system_time(Time::from_sec(time));
    let (uid, gid) = owners.of(0, 0);
    FileAttr {
        ino: INodeNo(number),
        size: link.map_or(u64::from(BLOCK), |target| target.len() as u64),
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: UNIX_EPOCH,
        kind: if link.is_some() { FileType::Symlink } else { FileType::Directory },
        perm: if link.is_some() { 0o777 } else { 0o555 },
        // "Not counted", as some file systems have it for directories.
        nlink: 1,
        uid,
        gid,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_ages_and_devices_are_told() {
        let at = |sec, nsec| system_time(Time { sec, nsec });
        assert_eq!(at(1, 5).duration_since(UNIX_EPOCH).unwrap(), Duration::new(1, 5));
        // Half a second before 1970 is second -1 and half a second.
        assert_eq!(UNIX_EPOCH.duration_since(at(-1, 500_000_000)).unwrap(), Duration::from_millis(500));
        assert_eq!(at(i64::MAX, 999_999_999), UNIX_EPOCH + Duration::new(i64::MAX as u64, 999_999_999));
        at(i64::MIN, 0);
        assert_eq!(rdev(8, 1), 0x801);
        assert_eq!(rdev(0x103, 0x12345), 0x1231_0345);
        assert_eq!(rdev(1 << 12, 0), 0);
    }
}
