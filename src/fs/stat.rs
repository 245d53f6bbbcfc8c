//! What the system tells of a directory entry.

use crate::world::Time;
use rustix::{
    fs::{FileType, Statx, StatxFlags, StatxTimestamp},
    io::Errno,
};

/// What is asked for: exactly what [`Stat`] holds.
pub(super) const WANTED: StatxFlags = StatxFlags::BASIC_STATS;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    Char,
    /// A block device.
    Block,
}

impl Kind {
    /// None for what the system does not tell.
    pub(super) fn from_file_type(file_type: FileType) -> Option<Self> {
        Some(match file_type {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::Char,
            FileType::BlockDevice => Kind::Block,
            FileType::Unknown => return None,
        })
    }
}

/// What the system tells of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Length in bytes.
    pub size: u64,
    /// Room that it takes, in units of 512 bytes.
    pub blocks: u64,
    /// Permission, set-id and sticky bits: below 0o10000.
    pub mode: u32,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// When the contents changed last.
    pub mtime: Time,
    /// When the entry changed last.
    pub ctime: Time,
    /// When it was read last.
    pub atime: Time,
    /// Inode number.
    pub inode: u64,
    /// File system: major number in the upper 32 bits, minor in the lower.
    pub device: u64,
    /// Hard links.
    pub links: u32,
    /// Major and minor number of the device that a device file stands for.
    pub rdev: (u32, u32),
}

impl Stat {
    /// `EUCLEAN` ("structure needs cleaning") for an entry of a type that does not exist.
    pub(super) fn from_statx(statx: &Statx) -> Result<Self, Errno> {
        let kind = Kind::from_file_type(FileType::from_raw_mode(statx.stx_mode.into())).ok_or(Errno::UCLEAN)?;
        Ok(Stat {
            kind,
            size: statx.stx_size,
            blocks: statx.stx_blocks,
            mode: u32::from(statx.stx_mode) & 0o7777,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            mtime: time(&statx.stx_mtime),
            ctime: time(&statx.stx_ctime),
            atime: time(&statx.stx_atime),
            inode: statx.stx_ino,
            device: u64::from(statx.stx_dev_major) << 32 | u64::from(statx.stx_dev_minor),
            links: statx.stx_nlink,
            rdev: (statx.stx_rdev_major, statx.stx_rdev_minor),
        })
    }
}

fn time(stamp: &StatxTimestamp) -> Time {
    // A file system in user space may send anything.
    Time { sec: stamp.tv_sec, nsec: stamp.tv_nsec.min(999_999_999) }
}
