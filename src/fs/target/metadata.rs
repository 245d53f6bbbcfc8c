//! Giving entries their owner, attributes, mode and times.
//!
//! The order matters:
//! 1. *owner*: changing it clears set-id bits and `security.capability`;
//! 2. *extended attributes*, ACLs and capabilities among them: an ACL changes the mode's bits;
//! 3. *mode*: with an ACL, the group's bits are its mask, and the source's mode has the source's mask there, so that
//!    setting it leaves the ACL as it was;
//! 4. *times*.
//!
//! Only what differs is set (and the access time, when there is one), so applying twice changes nothing the second time.

use super::{Existing, Kind, Ownership, TargetDir, acl, beneath, xattrs};
use crate::{fs::error::PathError, model::node::Meta, name::Name, world::Time};
use rustix::{
    fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid},
    io::Errno,
};
use std::{
    fmt,
    fs::File,
    io,
    ops::AddAssign,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;

/// What of the metadata is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whom entries belong to.
    pub ownership: Ownership,
    /// False leaves out what gives a program rights or steers the system: set-id bits of files, `security.*` and
    /// `trusted.*` attributes.
    pub privileges: bool,
}

impl Default for Policy {
    /// Everything, exactly.
    fn default() -> Self {
        Policy { ownership: Ownership::Numeric, privileges: true }
    }
}

/// What could not be restored for want of rights, or since the target's file system has no such thing: entries,
/// counted. None of it is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shortfall {
    /// Belong to somebody else than at the source.
    pub owners: u64,
    /// Have other permissions.
    pub modes: u64,
    /// Lost a set-id bit: one that would act for somebody else than at the source is never set.
    pub set_ids: u64,
    /// Lack an extended attribute, ACL or capability, or have one too many.
    pub xattrs: u64,
    /// Devices that were not made ([`TargetDir::special`]).
    pub devices: u64,
}

impl Shortfall {
    /// One device that was not made.
    pub const DEVICE: Shortfall = Shortfall { owners: 0, modes: 0, set_ids: 0, xattrs: 0, devices: 1 };

    /// True when everything was restored.
    pub fn is_none(&self) -> bool {
        *self == Shortfall::default()
    }
}

impl AddAssign for Shortfall {
    fn add_assign(&mut self, other: Shortfall) {
        self.owners += other.owners;
        self.modes += other.modes;
        self.set_ids += other.set_ids;
        self.xattrs += other.xattrs;
        self.devices += other.devices;
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.owners, "owners not set"),
            (self.modes, "modes not set"),
            (self.set_ids, "set-id bits left out"),
            (self.xattrs, "entries without some extended attributes"),
            (self.devices, "devices not made"),
        ];
        let mut before = "";
        for (count, what) in parts.into_iter().filter(|part| part.0 > 0) {
            write!(f, "{before}{count} {what}")?;
            before = ", ";
        }
        Ok(())
    }
}

/// Gives an open file, `name` in `dir`, its metadata. After its bytes are written, since writing clears set-id bits.
/// All of it is tried; the first failure is returned.
pub fn apply_file(
    dir: &TargetDir,
    name: &Name,
    file: &File,
    meta: &Meta,
    policy: &Policy,
) -> Result<Shortfall, PathError> {
    let handle = Handle { fd: file.as_fd(), kind: Kind::File, by_path: None };
    apply(&handle, meta, policy).map_err(|(doing, e)| dir.failed(name, doing, e))
}

impl TargetDir {
    /// Gives the directory itself its metadata. After everything in it is made, since that changes its times.
    pub fn apply(&self, meta: &Meta, policy: &Policy) -> Result<Shortfall, PathError> {
        let handle = Handle { fd: self.fd(), kind: Kind::Directory, by_path: None };
        apply(&handle, meta, policy).map_err(|(doing, e)| self.failed_itself(doing, e))
    }

    /// Gives an entry that is no directory its metadata without opening it: links, pipes, devices, and files whose
    /// bytes are right. Refuses another kind, and an entry with other names, since these may lie outside the target:
    /// remove such a one and make it anew.
    pub fn apply_to(&self, name: &Name, kind: Kind, meta: &Meta, policy: &Policy) -> Result<Shortfall, PathError> {
        self.pinned(name, |found| found.only_name(kind), |handle| apply(handle, meta, policy))
    }

    /// True when an entry's extended attributes are not as in the snapshot. It may have other names.
    pub fn xattrs_differ(&self, name: &Name, meta: &Meta, policy: &Policy) -> Result<bool, PathError> {
        let any = |_| Ok(());
        self.pinned(name, any, |handle| {
            xattrs::differ(handle, meta, policy).map_err(|e| ("read extended attributes of", e))
        })
    }

    /// Holds an entry so that whatever happens to its name, what follows happens to what was checked.
    fn pinned<T>(
        &self,
        name: &Name,
        check: impl FnOnce(Existing) -> io::Result<()>,
        act: impl FnOnce(&Handle<'_>) -> Result<T, Failure>,
    ) -> Result<T, PathError> {
        let failed = |source| self.failed(name, "reach", source);
        let fd = beneath::open(self.fd(), name, OFlags::PATH, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(errno.into()))?;
        let found = Existing::from_stat(&stat).map_err(failed)?;
        check(found).map_err(failed)?;
        let by_path = Some(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        act(&Handle { fd: fd.as_fd(), kind: found.kind, by_path }).map_err(|(doing, e)| self.failed(name, doing, e))
    }
}

/// What was being done, and why it failed.
type Failure = (&'static str, io::Error);

/// An inode that is held by a descriptor.
pub(super) struct Handle<'a> {
    fd: BorrowedFd<'a>,
    kind: Kind,
    /// For descriptors that only hold (`O_PATH`), where many calls refuse them: the path that leads to what they hold,
    /// a symbolic link itself included.
    by_path: Option<String>,
}

impl Handle<'_> {
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn by_path(&self) -> Option<&str> {
        self.by_path.as_deref()
    }

    fn stat(&self) -> io::Result<Existing> {
        Existing::from_stat(&rustix::fs::fstat(self.fd)?)
    }

    fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        // All ones would mean "leave it".
        if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
            return Err(Errno::INVAL);
        }
        rustix::fs::chownat(self.fd, "", uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::EMPTY_PATH)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode);
        match &self.by_path {
            None => rustix::fs::fchmod(self.fd, mode),
            Some(path) => rustix::fs::chmodat(CWD, path.as_str(), mode, AtFlags::empty()),
        }
    }

    fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        let Some(path) = &self.by_path else { return rustix::fs::futimens(self.fd, times) };
        match rustix::fs::utimensat(self.fd, "", times, AtFlags::EMPTY_PATH) {
            // Kernels before 5.8.
            Err(Errno::INVAL) => rustix::fs::utimensat(CWD, path.as_str(), times, AtFlags::empty()),
            other => other,
        }
    }
}

fn apply(handle: &Handle<'_>, meta: &Meta, policy: &Policy) -> Result<Shortfall, Failure> {
    let mut short = Shortfall::default();
    let mut first: Option<Failure> = None;
    let mut fail = |doing, e: io::Error| {
        first.get_or_insert((doing, e));
    };
    let before = handle.stat().map_err(|e| ("examine", e))?;

    let mut now = before;
    if let Some((uid, gid)) = policy.ownership.of(meta) {
        match own(handle, &before, uid, gid) {
            Ok(true) => {}
            Ok(false) => short.owners += 1,
            Err(e) => fail("set the owner of", e),
        }
        now = handle.stat().map_err(|e| ("examine", e))?;
    }

    let outcome = xattrs::apply(handle, meta, policy);
    short.xattrs += u64::from(outcome.missing);
    if let Some(e) = outcome.failure {
        fail("set extended attributes of", e);
    }

    if handle.kind != Kind::Symlink {
        if outcome.changed {
            now = handle.stat().map_err(|e| ("examine", e))?;
        }
        let mut mode = meta.mode & 0o7777;
        if outcome.acl_missing {
            let acl = meta.xattrs.iter().find(|xattr| xattr.name == acl::ACCESS);
            mode = mode & !0o070 | acl.map_or(0, |acl| acl::group_permissions(&acl.value)) << 3;
        }
        let allowed = mode & !unsafe_set_ids(handle, meta, policy, &now);
        short.set_ids += u64::from(allowed != mode);
        if now.mode != allowed {
            match handle.set_mode(allowed) {
                Ok(()) if allowed & (S_ISUID | S_ISGID) == 0 => {}
                Ok(()) => match handle.stat() {
                    // The system drops them without a word for who is not in the group.
                    Ok(after) => short.set_ids += u64::from(after.mode != allowed),
                    Err(e) => fail("examine", e),
                },
                Err(Errno::PERM | Errno::OPNOTSUPP) => short.modes += 1,
                Err(errno) => fail("set the mode of", errno.into()),
            }
        }
    }

    if now.mtime != meta.mtime || meta.atime.is_some() {
        let result = timestamps(meta).and_then(|times| Ok(handle.set_times(&times)?));
        if let Err(e) = result {
            fail("set the times of", e);
        }
    }
    match first {
        None => Ok(short),
        Some(failure) => Err(failure),
    }
}

/// Sets owner and group where they differ; false when the system does not let this user.
fn own(handle: &Handle<'_>, now: &Existing, uid: u32, gid: u32) -> io::Result<bool> {
    if (now.uid, now.gid) == (uid, gid) {
        return Ok(true);
    }
    // EINVAL: a number that this user namespace does not have.
    match handle.set_owner(Some(uid), Some(gid)) {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => {
            // Members of a group may give it their files.
            if now.gid != gid {
                let _ = handle.set_owner(None, Some(gid));
            }
            Ok(false)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Set-id bits that would let a hostile program act for somebody whom the source did not mean: above all those of
/// others' files that now belong to the restoring user. On directories they give nobody rights.
fn unsafe_set_ids(handle: &Handle<'_>, meta: &Meta, policy: &Policy, now: &Existing) -> u32 {
    if handle.kind == Kind::Directory {
        return 0;
    }
    let (uid, gid) = (policy.ownership.user(meta.uid), policy.ownership.group(meta.gid));
    let mut bits = 0;
    if now.uid != uid || !policy.privileges {
        bits |= S_ISUID;
    }
    if now.gid != gid || !policy.privileges {
        bits |= S_ISGID;
    }
    bits
}

fn timestamps(meta: &Meta) -> io::Result<Timestamps> {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    Ok(Timestamps { last_access: meta.atime.map_or(Ok(omit), timespec)?, last_modification: timespec(meta.mtime)? })
}

/// Larger nanoseconds would be commands ("now", "leave it") to the system.
fn timespec(time: Time) -> io::Result<Timespec> {
    if time.nsec >= 1_000_000_000 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no time"));
    }
    Ok(Timespec { tv_sec: time.sec, tv_nsec: time.nsec.into() })
}
