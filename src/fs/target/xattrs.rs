//! Extended attributes, by descriptor.

use super::{Kind, Policy, acl, metadata::Handle};
use crate::model::node::Meta;
use rustix::{fs::XattrFlags, io::Errno};
use std::{borrow::Cow, collections::BTreeMap, io};

/// Right to be of the file's own process: `cap_setuid+ep` and the like.
const CAPABILITY: &[u8] = b"security.capability";

/// What became of the attributes.
#[derive(Default)]
pub(super) struct Outcome {
    /// Anything was set or removed.
    pub changed: bool,
    /// Something could not be set for want of rights or since the file system has no such attributes.
    pub missing: bool,
    /// There should be an ACL and it could not be set.
    pub acl_missing: bool,
    /// The first real failure; the other attributes were tried nevertheless.
    pub failure: Option<io::Error>,
}

impl Outcome {
    /// Counts a refusal as something missing and keeps everything else as a failure.
    fn refused(&mut self, errno: Errno) {
        match errno {
            Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP => self.missing = true,
            errno => {
                self.failure.get_or_insert(errno.into());
            }
        }
    }
}

/// The attributes that an entry is to have.
fn wanted<'a>(meta: &'a Meta, policy: &'a Policy) -> BTreeMap<&'a [u8], Cow<'a, [u8]>> {
    let privileged = |name: &[u8]| name.starts_with(b"security.") || name.starts_with(b"trusted.");
    let kept = meta.xattrs.iter().filter(|xattr| policy.privileges || !privileged(&xattr.name));
    kept.map(|xattr| {
        let value = &xattr.value;
        let value =
            if acl::is_acl(&xattr.name) { acl::owned(value, &policy.ownership) } else { Cow::Borrowed(&value[..]) };
        (xattr.name.as_slice(), value)
    })
    .collect()
}

/// True for attributes that the snapshot would have if the source had them. The rest, above all `security.selinux`,
/// is this machine's affair.
fn is_ours(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"trusted.") || acl::is_acl(name) || name == CAPABILITY
}

/// Makes the attributes those of the snapshot: sets what differs, removes what it does not have (also what a new entry
/// inherited from its directory's default ACL).
pub(super) fn apply(handle: &Handle<'_>, meta: &Meta, policy: &Policy) -> Outcome {
    let wanted = wanted(meta, policy);
    let mut outcome = Outcome { acl_missing: wanted.contains_key(acl::ACCESS), ..Outcome::default() };
    let present = match present(handle, wanted.is_empty()) {
        Ok(present) => present,
        Err(e) => return Outcome { failure: Some(e), ..outcome },
    };
    for name in present.iter().filter(|name| is_ours(name) && !wanted.contains_key(name.as_slice())) {
        match handle.remove_xattr(name) {
            Ok(()) => outcome.changed = true,
            Err(Errno::NODATA) => {}
            Err(errno) => outcome.refused(errno),
        }
    }
    for (name, value) in wanted {
        if !(present.iter().any(|known| known == name) && has(handle, name, &value)) {
            match handle.set_xattr(name, &value) {
                Ok(()) => outcome.changed = true,
                Err(errno) => {
                    outcome.refused(errno);
                    continue;
                }
            }
        }
        if name == acl::ACCESS {
            outcome.acl_missing = false;
        }
    }
    outcome
}

/// True when [`apply`] would change anything.
pub(super) fn differ(handle: &Handle<'_>, meta: &Meta, policy: &Policy) -> io::Result<bool> {
    let wanted = wanted(meta, policy);
    let present = present(handle, wanted.is_empty())?;
    Ok(present.iter().any(|name| is_ours(name) && !wanted.contains_key(name.as_slice()))
        || wanted.iter().any(|(name, value)| !has(handle, name, value)))
}

/// Names of the attributes that are there. Where the system cannot tell them and none are wanted, none.
fn present(handle: &Handle<'_>, none_wanted: bool) -> io::Result<Vec<Vec<u8>>> {
    let listed = loop {
        let size = handle.list_xattrs(&mut [0; 0]);
        let size = match size {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            // No /proc, which links and devices need.
            Err(Errno::NOENT) if none_wanted => return Ok(Vec::new()),
            other => other?,
        };
        let mut list = vec![0; size];
        match handle.list_xattrs(&mut list) {
            Ok(len) => {
                list.truncate(len);
                break list;
            }
            Err(Errno::RANGE) => {}
            Err(errno) => return Err(errno.into()),
        }
    };
    Ok(listed.split(|&b| b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

/// True when the attribute has this value.
fn has(handle: &Handle<'_>, name: &[u8], value: &[u8]) -> bool {
    // One byte more, so that a longer value shows.
    let mut buffer = vec![0; value.len() + 1];
    matches!(handle.get_xattr(name, &mut buffer), Ok(len) if buffer.get(..len) == Some(value))
}

impl Handle<'_> {
    fn list_xattrs(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        match (self.by_path(), buffer.is_empty()) {
            (None, true) => rustix::fs::flistxattr_query(self.fd()),
            (None, false) => rustix::fs::flistxattr(self.fd(), buffer),
            (Some(path), true) => rustix::fs::listxattr_query(path),
            (Some(path), false) => rustix::fs::listxattr(path, buffer),
        }
    }

    fn get_xattr(&self, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        match self.by_path() {
            None => rustix::fs::fgetxattr(self.fd(), name, buffer),
            Some(path) => rustix::fs::getxattr(path, name, buffer),
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        // No descriptor of a link has a default ACL, and the kernel's answer to one that has none anyway is EACCES.
        if name == acl::DEFAULT && self.kind() != Kind::Directory {
            return Err(Errno::INVAL);
        }
        match self.by_path() {
            None => rustix::fs::fsetxattr(self.fd(), name, value, XattrFlags::empty()),
            Some(path) => rustix::fs::setxattr(path, name, value, XattrFlags::empty()),
        }
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        match self.by_path() {
            None => rustix::fs::fremovexattr(self.fd(), name),
            Some(path) => rustix::fs::removexattr(path, name),
        }
    }
}
