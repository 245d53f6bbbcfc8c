//! What lies in the target already, and how it differs from what a snapshot says.

use super::{Ownership, TargetDir};
use crate::{
    fs::error::PathError,
    model::node::{Body, Meta, Node},
    name::Name,
    world::Time,
};
use rustix::{
    fs::{AtFlags, FileType, Stat},
    io::Errno,
};
use std::{fs::File, io};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

impl Kind {
    /// What a node of a snapshot is.
    pub fn of(body: &Body) -> Kind {
        match body {
            Body::File { .. } => Kind::File,
            Body::Directory { .. } => Kind::Directory,
            Body::Symlink { .. } => Kind::Symlink,
            Body::Fifo => Kind::Fifo,
            Body::Socket => Kind::Socket,
            Body::CharDevice { .. } => Kind::CharDevice,
            Body::BlockDevice { .. } => Kind::BlockDevice,
        }
    }

    fn of_mode(mode: u32) -> Option<Kind> {
        Some(match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            _ => return None,
        })
    }
}

/// Which inode an entry is: tells whether a name still means what it meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device number of the file system.
    pub device: u64,
    /// Inode number on it.
    pub inode: u64,
}

impl Identity {
    /// The inode of an open file.
    pub fn of(file: &File) -> io::Result<Identity> {
        Ok(Existing::from_stat(&rustix::fs::fstat(file)?)?.id)
    }
}

/// An entry of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Existing {
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file.
    pub size: u64,
    /// When the contents changed last.
    pub mtime: Time,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Which inode it is.
    pub id: Identity,
    /// Names that the inode has.
    pub links: u64,
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
}

impl Existing {
    #[allow(clippy::unnecessary_cast, reason = "the widths of these fields depend on the architecture")]
    pub(super) fn from_stat(stat: &Stat) -> io::Result<Existing> {
        let kind = Kind::of_mode(stat.st_mode as u32).ok_or_else(|| io::Error::other("is of an unknown kind"))?;
        Ok(Existing {
            kind,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: Time { sec: stat.st_mtime as i64, nsec: stat.st_mtime_nsec as u32 },
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            id: Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 },
            links: stat.st_nlink as u64,
            rdev: (rustix::fs::major(stat.st_rdev as u64), rustix::fs::minor(stat.st_rdev as u64)),
        })
    }

    /// True when the entry is of the node's kind (and the same device), so that it need not be made anew.
    /// A symbolic link's target is compared by [`TargetDir::read_link`].
    pub fn is_kind_of(&self, node: &Node) -> bool {
        let same_device = match node.body {
            Body::CharDevice { major, minor } | Body::BlockDevice { major, minor } => self.rdev == (major, minor),
            _ => true,
        };
        self.kind == Kind::of(&node.body) && same_device
    }

    /// True when size or time say that a file's bytes are not the node's. False is no proof that they are.
    pub fn contents_differ(&self, node: &Node) -> bool {
        !self.is_kind_of(node)
            || matches!(node.body, Body::File { size, .. } if size != self.size || self.mtime != node.meta.mtime)
    }

    /// True when owner, mode or time are not as in the snapshot. Extended attributes: [`TargetDir::xattrs_differ`].
    pub fn metadata_differs(&self, meta: &Meta, ownership: &Ownership) -> bool {
        let owner = ownership.of(meta).is_some_and(|owner| owner != (self.uid, self.gid));
        let mode = self.kind != Kind::Symlink && self.mode != meta.mode;
        owner || mode || self.mtime != meta.mtime
    }
}

impl TargetDir {
    /// What lies at `name`, if anything; a symbolic link itself, not what it points to.
    pub fn stat(&self, name: &Name) -> Result<Option<Existing>, PathError> {
        match rustix::fs::statat(self.fd(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Existing::from_stat(&stat).map(Some).map_err(|source| self.failed(name, "examine", source)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed(name, "examine", errno)),
        }
    }

    /// What this directory itself is like.
    pub fn stat_itself(&self) -> Result<Existing, PathError> {
        let stat = rustix::fs::fstat(self.fd()).map_err(io::Error::from);
        stat.and_then(|stat| Existing::from_stat(&stat)).map_err(|source| self.failed_itself("examine", source))
    }

    /// The bytes that a symbolic link holds.
    pub fn read_link(&self, name: &Name) -> Result<Vec<u8>, PathError> {
        let target = rustix::fs::readlinkat(self.fd(), name.as_bytes(), Vec::new());
        Ok(target.map_err(|errno| self.failed(name, "read link", errno))?.into_bytes())
    }
}
