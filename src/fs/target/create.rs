//! Making entries. Nothing here replaces what is there.

use super::{Existing, Identity, Kind, TargetDir, beneath};
use crate::{fs::error::PathError, model::node::Body, name::Name};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
};
use std::{fs::File, io};

/// An entry that is nothing but a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    Fifo,
    Socket,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
}

impl Special {
    /// What a node of a snapshot asks for.
    pub fn of(body: &Body) -> Option<Special> {
        match *body {
            Body::Fifo => Some(Special::Fifo),
            Body::Socket => Some(Special::Socket),
            Body::CharDevice { major, minor } => Some(Special::CharDevice { major, minor }),
            Body::BlockDevice { major, minor } => Some(Special::BlockDevice { major, minor }),
            _ => None,
        }
    }
}

impl TargetDir {
    /// Creates a file for reading and writing, with mode 0600 until its metadata is applied. Fails when anything has
    /// the name.
    pub fn create_file(&self, name: &Name) -> Result<File, PathError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let fd = beneath::open(self.fd(), name, flags, Mode::RUSR | Mode::WUSR);
        Ok(File::from(fd.map_err(|source| self.failed(name, "create", source))?))
    }

    /// Opens a file that is there, for reading and writing in place. Refuses what is no regular file and a file with
    /// other names, since these may lie outside the target: such a file is replaced ([`TargetDir::temp_file`]).
    pub fn open_existing(&self, name: &Name) -> Result<File, PathError> {
        let failed = |source| self.failed(name, "open", source);
        // Before opening, so that no device is disturbed; and again on what was opened, since it may have changed.
        let before = rustix::fs::statat(self.fd(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
        let before = before.map_err(|errno| failed(errno.into()))?;
        Existing::from_stat(&before).and_then(|found| found.only_name(Kind::File)).map_err(failed)?;

        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = beneath::open(self.fd(), name, flags, Mode::empty()).map_err(failed)?;
        let opened = rustix::fs::fstat(&fd).map_err(|errno| failed(errno.into()))?;
        Existing::from_stat(&opened).and_then(|found| found.only_name(Kind::File)).map_err(failed)?;
        Ok(File::from(fd))
    }

    /// Opens a file that is there for reading only, to compare its bytes; it may have other names.
    pub fn open_to_compare(&self, name: &Name) -> Result<File, PathError> {
        let failed = |source| self.failed(name, "open", source);
        let is_file = |found: Existing| {
            if found.kind == Kind::File { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
        };
        let before = rustix::fs::statat(self.fd(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
        let before = before.map_err(|errno| failed(errno.into()))?;
        Existing::from_stat(&before).and_then(is_file).map_err(failed)?;

        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = beneath::open(self.fd(), name, flags, Mode::empty()).map_err(failed)?;
        let opened = rustix::fs::fstat(&fd).map_err(|errno| failed(errno.into()))?;
        Existing::from_stat(&opened).and_then(is_file).map_err(failed)?;
        Ok(File::from(fd))
    }

    /// Makes a symbolic link that holds `target`, whatever that is.
    pub fn symlink(&self, name: &Name, target: &[u8]) -> Result<Identity, PathError> {
        rustix::fs::symlinkat(target, self.fd(), name.as_bytes())
            .map_err(|errno| self.failed(name, "create symbolic link", errno))?;
        self.made(name, Kind::Symlink)
    }

    /// Makes a pipe, socket or device, with mode 0600 until its metadata is applied; `None` when the system does not
    /// let this user make it ([`super::Shortfall::devices`]).
    pub fn special(&self, name: &Name, special: Special) -> Result<Option<Identity>, PathError> {
        let (doing, file_type, kind, (major, minor)) = match special {
            Special::Fifo => ("create pipe", FileType::Fifo, Kind::Fifo, (0, 0)),
            Special::Socket => ("create socket", FileType::Socket, Kind::Socket, (0, 0)),
            Special::CharDevice { major, minor } => {
                ("create device", FileType::CharacterDevice, Kind::CharDevice, (major, minor))
            }
            Special::BlockDevice { major, minor } => {
                ("create device", FileType::BlockDevice, Kind::BlockDevice, (major, minor))
            }
        };
        // Linux has 12 bits of major and 20 of minor, and silently makes another device of larger numbers.
        if major >= 1 << 12 || minor >= 1 << 20 {
            return Err(self.failed(name, doing, Errno::INVAL));
        }
        let (mode, device) = (Mode::RUSR | Mode::WUSR, rustix::fs::makedev(major, minor));
        match rustix::fs::mknodat(self.fd(), name.as_bytes(), file_type, mode, device) {
            Ok(()) => self.made(name, kind).map(Some),
            Err(Errno::PERM | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(self.failed(name, doing, errno)),
        }
    }

    /// Gives the inode `id`, which this restore made as `from`, another name here. When `from` turns out to be
    /// something else by now, the new name is removed again and the link refused. Apply metadata before linking:
    /// afterwards [`TargetDir::apply_to`] refuses the entry.
    pub fn hard_link(&self, from: (&TargetDir, &Name), id: Identity, to: &Name) -> Result<(), PathError> {
        let (dir, name) = from;
        let failed = |source: io::Error| self.failed(to, "create hard link", source);
        rustix::fs::linkat(dir.fd(), name.as_bytes(), self.fd(), to.as_bytes(), AtFlags::empty())
            .map_err(|errno| failed(errno.into()))?;
        let found = rustix::fs::statat(self.fd(), to.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
        let found = found.map_err(io::Error::from).and_then(|stat| Existing::from_stat(&stat));
        if found.as_ref().is_ok_and(|found| found.id == id) {
            return Ok(());
        }
        let _ = rustix::fs::unlinkat(self.fd(), to.as_bytes(), AtFlags::empty());
        Err(failed(found.err().unwrap_or_else(|| io::Error::other("the first name was changed by somebody else"))))
    }

    /// Which inode was just made.
    fn made(&self, name: &Name, kind: Kind) -> Result<Identity, PathError> {
        match self.stat(name)? {
            Some(found) if found.kind == kind => Ok(found.id),
            _ => Err(self.failed(name, "create", io::Error::other("it was replaced by somebody else"))),
        }
    }
}

impl Existing {
    /// Refuses another kind, and an inode with more names than this one.
    pub(super) fn only_name(self, kind: Kind) -> io::Result<()> {
        if self.kind != kind {
            Err(io::Error::other("it is not what it should be, or was replaced by somebody else"))
        } else if kind != Kind::Directory && self.links > 1 {
            Err(io::Error::other("it has other names (hard links), which may lie outside the target"))
        } else {
            Ok(())
        }
    }
}
