//! Extended attributes (with ACLs and capabilities among them), and the names of owners.

use super::{
    dir::{Dir, proc_path},
    error::PathError,
};
use crate::model::{limits, node::Xattr};
use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{fgetxattr, flistxattr, lgetxattr, llistxattr},
    io::Errno,
};
use std::{collections::HashMap, fs::File, io, path::Path};

const DOING: &str = "read extended attributes of";

/// Most bytes of a list of names, and of one value, that the kernel hands out (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LARGEST: usize = 64 << 10;

/// Enough for nearly every list and value.
const USUAL: usize = 1 << 10;

/// The attributes of an open file, which is the entry `name` of `dir` (for messages), sorted by name.
pub fn xattrs_of_file(dir: &Dir, name: &[u8], file: &File) -> Result<Vec<Xattr>, PathError> {
    xattrs_of_fd(file.as_fd()).map_err(|e| dir.fail(name, DOING, e))
}

/// The attributes of an open directory, sorted by name.
pub fn xattrs_of_dir(dir: &Dir) -> Result<Vec<Xattr>, PathError> {
    xattrs_of_fd(dir.as_fd()).map_err(|e| dir.fail_self(DOING, e))
}

/// The attributes of any entry, sorted by name: its own when it is a symbolic link. Opens nothing, since opening a
/// device may move its tape. Needs `/proc` (there are calls relative to a directory only since Linux 6.13).
pub fn xattrs(dir: &Dir, name: &[u8]) -> Result<Vec<Xattr>, PathError> {
    let path = proc_path(dir.as_fd(), name);
    let read = collect(|buffer| llistxattr(&*path, buffer), |attribute, buffer| lgetxattr(&*path, attribute, buffer));
    read.map_err(|e| {
        let unmounted = e.kind() == io::ErrorKind::NotFound && !Path::new("/proc/self/fd").exists();
        dir.fail(name, DOING, if unmounted { io::Error::other("/proc is not mounted") } else { e })
    })
}

fn xattrs_of_fd(fd: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    collect(|buffer| flistxattr(fd, buffer), |attribute, buffer| fgetxattr(fd, attribute, buffer))
}

/// One system call when there are none, which is the usual case.
fn collect(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> io::Result<Vec<Xattr>> {
    let mut found = Vec::new();
    let mut total = 0;
    let names = match fetch(list) {
        Err(Errno::OPNOTSUPP | Errno::NODATA) => return Ok(found),
        names => names?,
    };
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty() && !is_duplicate(name)) {
        let value = match fetch(|buffer| get(name, buffer)) {
            Ok(value) => value,
            // Removed since it was listed, or listed without being there.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            Err(Errno::ACCESS | Errno::PERM) if !is_needed(name) => continue,
            Err(e) => return Err(e.into()),
        };
        total += name.len() + value.len();
        if total > limits::XATTRS_MAX {
            return Err(io::Error::other(format!("they are more than {} KiB", limits::XATTRS_MAX >> 10)));
        }
        found.push(Xattr { name: name.to_vec(), value });
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}

/// Reads into a small buffer on the stack and, when that does not do, into the largest there is.
fn fetch(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; USUAL];
    match read(&mut small) {
        Err(Errno::RANGE) => {
            let mut large = vec![0; LARGEST];
            let len = read(&mut large)?;
            large.truncate(len);
            Ok(large)
        }
        len => Ok(small.get(..len?).ok_or(Errno::RANGE)?.to_vec()),
    }
}

/// XFS shows each POSIX ACL a second time, in its own form.
fn is_duplicate(name: &[u8]) -> bool {
    name.starts_with(b"trusted.SGI_ACL_")
}

/// True for what its owner wrote and would miss. The rest (`security.*`, `system.nfs4_acl` and its like) is kept where
/// it may be read, and that it may not is no fault of the file's.
fn is_needed(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")
}

/// The names of users and groups, by number, as they were when this was made. Read from `/etc/passwd` and `/etc/group`
/// alone: names that the system knows from elsewhere (LDAP, systemd) are missing, which costs a reader of the snapshot
/// a name and no more, since restoring goes by number. To ask the C library instead would end static linking.
#[derive(Debug, Default)]
pub struct Owners {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    /// The running system's. A file that cannot be read counts as empty.
    pub fn of_system() -> Self {
        let read = |path| std::fs::read(path).unwrap_or_default();
        Owners::from_bytes(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// From the contents of both files.
    pub fn from_bytes(passwd: &[u8], group: &[u8]) -> Self {
        Owners { users: by_number(passwd), groups: by_number(group) }
    }

    /// Name of the user with this number.
    pub fn user(&self, uid: u32) -> Option<&str> {
        self.users.get(&uid).map(String::as_str)
    }

    /// Name of the group with this number.
    pub fn group(&self, gid: u32) -> Option<&str> {
        self.groups.get(&gid).map(String::as_str)
    }
}

/// Lines of `name:password:number:…`; the first of a number counts, and lines that are not so count for nothing.
fn by_number(file: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in file.split(|&b| b == b'\n').filter_map(|line| str::from_utf8(line).ok()) {
        let mut fields = line.split(':');
        if let (Some(name), Some(_), Some(Ok(number))) = (fields.next(), fields.next(), fields.next().map(str::parse))
            && !name.is_empty()
        {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use rustix::fs::{XattrFlags, setxattr};
    use std::os::unix::{ffi::OsStrExt, fs::symlink};

    fn temp() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path().as_os_str().as_bytes()).unwrap();
        (temp, dir)
    }

    /// False where the temporary directory's file system has no attributes.
    fn set(path: &Path, name: &str, value: &[u8]) -> bool {
        match setxattr(path, name, value, XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => false,
            set => set.map(|()| true).unwrap(),
        }
    }

    #[test]
    fn attributes_are_read_alike_by_name_and_by_file_and_sorted() {
        let (temp, dir) = temp();
        let path = temp.path().join("f");
        std::fs::write(&path, b"x").unwrap();
        assert_eq!(xattrs(&dir, b"f").unwrap(), []);
        let long = vec![7; 3000];
        if !set(&path, "user.b", b"") || !set(&path, "user.a", &long) {
            return;
        }
        let expected =
            [Xattr { name: b"user.a".to_vec(), value: long }, Xattr { name: b"user.b".to_vec(), value: Vec::new() }];
        assert_eq!(xattrs(&dir, b"f").unwrap(), expected);
        let (file, _) = dir.open_file(b"f").unwrap();
        assert_eq!(xattrs_of_file(&dir, b"f", &file).unwrap(), expected);
    }

    #[test]
    fn attributes_of_a_link_are_not_those_of_its_target() {
        let (temp, dir) = temp();
        std::fs::create_dir(temp.path().join("d")).unwrap();
        symlink("d", temp.path().join("l")).unwrap();
        if set(&temp.path().join("d"), "user.x", b"1") {
            assert_eq!(xattrs(&dir, b"l").unwrap(), []);
            let child = dir.open_child(&Name::new(&b"d"[..]).unwrap()).unwrap();
            assert_eq!(xattrs_of_dir(&child).unwrap().len(), 1);
        }
    }

    #[test]
    fn missing_entry_is_named() {
        let (_temp, dir) = temp();
        let error = xattrs(&dir, b"gone").unwrap_err();
        assert!(error.is_missing());
        assert!(error.path.ends_with(b"/gone"));
    }

    fn copy_into(bytes: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
        buffer.get_mut(..bytes.len()).ok_or(Errno::RANGE)?.copy_from_slice(bytes);
        Ok(bytes.len())
    }

    #[test]
    fn what_may_not_be_read_is_left_out_unless_its_owner_would_miss_it() {
        let denied = |_: &[u8], _: &mut [u8]| Err(Errno::ACCESS);
        let names = b"security.ima\0system.nfs4_acl\0trusted.SGI_ACL_FILE\0";
        assert_eq!(collect(|buffer| copy_into(names, buffer), denied).unwrap(), []);
        let error = collect(|buffer| copy_into(b"user.x\0", buffer), denied).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn duplicates_of_acls_are_left_out() {
        let names = b"trusted.SGI_ACL_FILE\0trusted.x\0system.posix_acl_access\0";
        let found = collect(|buffer| copy_into(names, buffer), |_, buffer| copy_into(b"v", buffer)).unwrap();
        let names: Vec<_> = found.iter().map(|xattr| &*xattr.name).collect();
        assert_eq!(names, [&b"system.posix_acl_access"[..], b"trusted.x"]);
    }

    #[test]
    fn more_than_the_limit_is_refused_and_unsupported_is_none() {
        let names: Vec<u8> = (0..17).flat_map(|i| format!("user.{i:02}\0").into_bytes()).collect();
        let value = vec![0; LARGEST];
        assert!(collect(|buffer| copy_into(&names, buffer), |_, buffer| copy_into(&value, buffer)).is_err());
        assert_eq!(collect(|_| Err(Errno::OPNOTSUPP), |_, _| Ok(0)).unwrap(), []);
    }

    #[test]
    fn owners_have_the_first_name_of_their_number() {
        let owners = Owners::from_bytes(
            b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:\n+::::::\n:x:5:5::/:\nbad\nann:x:1000:100::/:",
            b"root:x:0:\nwheel:x:10:ann\nbad:x:-1:\n",
        );
        assert_eq!(owners.user(0), Some("root"));
        assert_eq!(owners.user(1000), Some("ann"));
        assert_eq!(owners.user(5), None);
        assert_eq!(owners.group(10), Some("wheel"));
        assert_eq!(owners.group(100), None);
    }
}
