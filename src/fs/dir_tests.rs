use super::*;
use rustix::fs::mkdirat;
use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};

fn name(bytes: &[u8]) -> Name {
    Name::new(bytes).unwrap()
}

fn temp() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path().as_os_str().as_bytes()).unwrap();
    (temp, dir)
}

fn mkfifo(dir: &Dir, name: &[u8]) {
    rustix::fs::mknodat(dir, name, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// 25 directories of 200 bytes inside one another: more than one system call takes.
fn deep(dir: &Dir) -> (Vec<Name>, Dir) {
    let mut names = Vec::new();
    let mut at = dir.reopen(&[]).unwrap();
    for depth in 0..25 {
        let child = name(&[b'a' + depth; 200]);
        mkdirat(&at, child.as_bytes(), Mode::from_raw_mode(0o700)).unwrap();
        at = at.open_child(&child).unwrap();
        names.push(child);
    }
    (names, at)
}

#[test]
fn entries_are_listed_sorted_with_what_they_are() {
    let (temp, dir) = temp();
    std::fs::write(temp.path().join("file"), b"12345").unwrap();
    std::fs::create_dir(temp.path().join("Dir")).unwrap();
    symlink("nowhere", temp.path().join("link")).unwrap();
    std::fs::write(temp.path().join(std::ffi::OsStr::from_bytes(b"\xff\n")), b"").unwrap();
    let listing = dir.list().unwrap();
    let names: Vec<_> = listing.iter().map(|entry| entry.name.to_vec()).collect();
    assert_eq!(names, [&b"Dir"[..], b"file", b"link", b"\xff\n"]);
    for entry in listing.iter() {
        let stat = dir.stat(entry.name).unwrap();
        assert_eq!(stat.inode, entry.inode);
        assert!(entry.kind.is_none_or(|kind| kind == stat.kind));
    }
    // A second time, and before it was listed to its end, it is the same.
    assert_eq!(dir.list().unwrap().len(), 4);
}

#[test]
fn large_directory_is_listed_whole() {
    let (temp, dir) = temp();
    for i in 0..5000 {
        std::fs::write(temp.path().join(format!("{i:0100}")), b"").unwrap();
    }
    let listing = dir.list().unwrap();
    assert_eq!(listing.len(), 5000);
    assert_eq!(listing.name(4999), Some(format!("{:0100}", 4999).as_bytes()));
}

#[test]
fn stat_tells_what_the_standard_library_tells() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (temp, dir) = temp();
    let path = temp.path().join("f");
    std::fs::write(&path, [0; 5000]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4751)).unwrap();
    std::fs::hard_link(&path, temp.path().join("g")).unwrap();
    let (stat, meta) = (dir.stat(b"f").unwrap(), path.metadata().unwrap());
    assert_eq!((stat.kind, stat.size, stat.mode, stat.links), (Kind::File, 5000, 0o4751, 2));
    assert_eq!((stat.uid, stat.gid, stat.inode, stat.blocks), (meta.uid(), meta.gid(), meta.ino(), meta.blocks()));
    assert_eq!((stat.mtime.sec, i64::from(stat.mtime.nsec)), (meta.mtime(), meta.mtime_nsec()));
    assert_eq!((stat.ctime.sec, i64::from(stat.ctime.nsec)), (meta.ctime(), meta.ctime_nsec()));
    let device = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    assert_eq!(stat.device, u64::from(device.0) << 32 | u64::from(device.1));
    let (file, opened) = dir.open_file(b"f").unwrap();
    assert_eq!(stat_file(&file).unwrap(), opened);
    assert_eq!(opened.inode, stat.inode);
    assert_eq!(Dir::open(b"/dev").unwrap().stat(b"null").unwrap().rdev, (1, 3));
}

#[test]
fn links_are_seen_and_not_followed() {
    let (temp, dir) = temp();
    std::fs::create_dir(temp.path().join("d")).unwrap();
    std::fs::write(temp.path().join("f"), b"").unwrap();
    symlink("d", temp.path().join("to_d")).unwrap();
    symlink("f", temp.path().join("to_f")).unwrap();
    let long = [b'x'; 4000];
    symlink(std::ffi::OsStr::from_bytes(&long), temp.path().join("long")).unwrap();
    assert_eq!(dir.stat(b"to_d").unwrap().kind, Kind::Symlink);
    assert!(dir.open_child(&name(b"to_d")).is_err());
    assert!(dir.reopen(&[name(b"to_d")]).is_err());
    assert!(dir.open_file(b"to_f").unwrap_err().to_string().contains("not a regular file"));
    assert_eq!(dir.read_link(b"to_d").unwrap(), b"d");
    assert_eq!(dir.read_link(b"long").unwrap(), long);
    assert!(dir.read_link(b"f").is_err());
    // The path that the user gave is followed, and whether it is a link can be asked.
    let path = [temp.path().as_os_str().as_bytes(), b"/to_d"].concat();
    assert_eq!(stat_path(&path).unwrap().kind, Kind::Symlink);
    assert_eq!(Dir::open(&path).unwrap().stat_self().unwrap().kind, Kind::Dir);
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let (temp, dir) = temp();
    mkfifo(&dir, b"fifo");
    std::fs::create_dir(temp.path().join("d")).unwrap();
    let _socket = UnixListener::bind(temp.path().join("socket")).unwrap();
    for entry in [&b"fifo"[..], b"d", b"socket"] {
        let error = dir.open_file(entry).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        assert!(dir.open_leased(entry).is_err());
    }
    assert!(dir.open_file(b"gone").unwrap_err().is_missing());
}

#[test]
fn leased_file_is_opened_by_way_of_proc() {
    use std::io::Read;
    let (temp, dir) = temp();
    std::fs::write(temp.path().join("f"), b"text").unwrap();
    let mut text = String::new();
    File::from(dir.open_leased(b"f").unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");
}

#[test]
fn paths_longer_than_the_kernel_takes_are_opened() {
    let (_temp, dir) = temp();
    let (names, deepest) = deep(&dir);
    let path = deepest.path();
    assert!(path.len() > PATH_MAX);
    let inode = deepest.stat_self().unwrap().inode;
    assert_eq!(Dir::open(&path).unwrap().stat_self().unwrap().inode, inode);
    assert_eq!(Dir::open(&[&path[..], b"//"].concat()).unwrap().stat_self().unwrap().inode, inode);
    assert_eq!(stat_path(&path).unwrap().inode, inode);
    let again = dir.reopen(&names).unwrap();
    assert_eq!(again.stat_self().unwrap().inode, inode);
    assert_eq!(again.path(), path);
    let (parent, last) = Dir::open_parent(&path).unwrap();
    assert_eq!(&last, names.last().unwrap());
    assert_eq!(parent.path_of(last.as_bytes()), path);
    assert!(Dir::open(&[b'x'; 5000]).is_err());
}

#[test]
fn renamed_parent_does_not_mislead() {
    let (temp, dir) = temp();
    std::fs::create_dir(temp.path().join("a")).unwrap();
    std::fs::write(temp.path().join("a/f"), b"mine").unwrap();
    let a = dir.open_child(&name(b"a")).unwrap();
    std::fs::rename(temp.path().join("a"), temp.path().join("b")).unwrap();
    std::fs::create_dir(temp.path().join("a")).unwrap();
    std::fs::write(temp.path().join("a/f"), b"another's").unwrap();
    assert_eq!(a.stat(b"f").unwrap().size, 4);
}

#[test]
fn parent_of_a_single_file_is_found() {
    let (temp, _) = temp();
    std::fs::write(temp.path().join("f"), b"abc").unwrap();
    let path = [temp.path().as_os_str().as_bytes(), b"/f"].concat();
    let (dir, file) = Dir::open_parent(&path).unwrap();
    assert_eq!(dir.stat(file.as_bytes()).unwrap().size, 3);
    assert_eq!(dir.path_of(file.as_bytes()), path);
    assert_eq!(Dir::open_parent(b"src").unwrap().0.path_of(b"src"), b"src");
    assert_eq!(Dir::open_parent(b"/usr//").unwrap().1, name(b"usr"));
    for none in [&b"/"[..], b".", b"/usr/..", b""] {
        assert!(Dir::open_parent(none).is_err(), "{}", crate::name::Shown(none));
    }
}

#[test]
fn errors_name_the_full_path() {
    let (temp, dir) = temp();
    std::fs::create_dir(temp.path().join("d")).unwrap();
    let child = dir.open_child(&name(b"d")).unwrap();
    let expected = [temp.path().as_os_str().as_bytes(), b"/d/gone"].concat();
    assert_eq!(child.stat(b"gone").unwrap_err().path, expected);
    assert_eq!(child.open_child(&name(b"gone")).unwrap_err().path, expected);
    assert_eq!(child.read_link(b"gone").unwrap_err().path, expected);
    assert_eq!(dir.reopen(&[name(b"d"), name(b"gone")]).unwrap_err().path, expected);
    assert!(Dir::open(b"").unwrap_err().is_missing());
    assert!(Dir::open(b"a\0b").is_err());
}
