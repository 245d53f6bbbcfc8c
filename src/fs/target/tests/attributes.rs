//! Times, owners, modes, lists and attributes.

use super::*;
use crate::model::node::{Body, Content, Node, Xattr};
use rustix::fs::XattrFlags;

fn with_xattr(mut meta: Meta, name: &[u8], value: &[u8]) -> Meta {
    meta.xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
    meta
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let len = rustix::fs::lgetxattr(path, name, &mut buffer[..]).ok()?;
    buffer.truncate(len);
    Some(buffer)
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// True when root; says which test was not run otherwise.
fn root_for(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("not run, needs root: {test}");
    }
    root
}

/// A user who is not root.
const NOBODY: u32 = 65534;

/// Does something as that user, who is in these groups.
fn as_nobody<T: Send>(groups: &[u32], work: impl FnOnce() -> T + Send) -> T {
    use rustix::{
        fs::{Gid, Uid},
        thread,
    };
    // Identities belong to threads: the others stay root.
    let become_him = || {
        let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        thread::set_thread_groups(&groups).unwrap();
        thread::set_thread_res_gid(gid, gid, gid).unwrap();
        thread::set_thread_res_uid(uid, uid, uid).unwrap();
        work()
    };
    std::thread::scope(|scope| scope.spawn(become_him).join().unwrap())
}

impl Place {
    /// One whose target is that user's.
    fn of_nobody() -> Place {
        let place = Place::new();
        std::os::unix::fs::chown(place.inside(""), Some(NOBODY), Some(NOBODY)).unwrap();
        place
    }
}

/// True when the temporary directory has ACLs and user attributes.
fn xattrs_for(test: &str) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    let acl = acl::tests::encode(&[(1, 6, !0), (2, 4, 1234), (4, 4, !0), (16, 4, !0), (32, 0, !0)]);
    let has = rustix::fs::setxattr(file.path(), acl::ACCESS, &acl, XattrFlags::empty()).is_ok()
        && rustix::fs::setxattr(file.path(), "user.test", b"", XattrFlags::empty()).is_ok();
    if !has {
        eprintln!("not run, needs ACLs and user attributes in the temporary directory: {test}");
    }
    has
}

#[test]
fn times_come_back_to_the_nanosecond_on_everything() {
    let place = Place::new();
    let root = &place.root;
    let policy = Policy::default();
    let mut meta = plain(0o750);
    let dir = root.make_dir(&name("dir")).unwrap();
    let file = dir.create_file(&name("file")).unwrap();
    dir.symlink(&name("link"), b"nowhere").unwrap();
    dir.special(&name("pipe"), Special::Fifo).unwrap();
    dir.special(&name("socket"), Special::Socket).unwrap();
    write_at(&file, b"x", 0).unwrap();
    assert!(apply_file(&dir, &name("file"), &file, &meta, &policy).unwrap().is_none());
    for (n, kind) in [("link", Kind::Symlink), ("pipe", Kind::Fifo), ("socket", Kind::Socket)] {
        assert!(dir.apply_to(&name(n), kind, &meta, &policy).unwrap().is_none(), "{n}");
    }
    meta.atime = Some(Time { sec: 1, nsec: 1 });
    assert!(dir.apply(&meta, &policy).unwrap().is_none());
    for n in ["dir/file", "dir/link", "dir/pipe", "dir/socket", "dir"] {
        let found = fs::symlink_metadata(place.inside(n)).unwrap();
        assert_eq!((found.mtime(), found.mtime_nsec()), (-5, 123_456_789), "{n}");
        assert!(found.is_symlink() || found.mode() & 0o7777 == 0o750, "{n}: {:o}", found.mode());
    }
    let found = fs::metadata(place.inside("dir")).unwrap();
    assert_eq!((found.atime(), found.atime_nsec()), (1, 1));
    assert!(fs::symlink_metadata(place.inside("dir/pipe")).unwrap().file_type().is_fifo());
    assert!(dir.apply_to(&name("pipe"), Kind::Symlink, &meta, &policy).is_err());

    let found = dir.stat(&name("file")).unwrap().unwrap();
    assert!(!found.metadata_differs(&meta, &policy.ownership));
    assert!(found.metadata_differs(&plain(0o644), &policy.ownership));
    let body = |size| Body::File { size, content: Content::Extents(Vec::new()) };
    let node = |size| Node { name: name("file"), meta: meta.clone(), body: body(size) };
    assert!(!found.contents_differ(&node(1)) && found.contents_differ(&node(2)));

    // Commands to the system in place of nanoseconds.
    meta.mtime.nsec = 0x3fff_ffff;
    assert!(apply_file(&dir, &name("file"), &file, &meta, &policy).is_err());
}

#[test]
fn applying_again_changes_nothing() {
    let place = Place::new();
    let file = place.root.create_file(&name("f")).unwrap();
    let meta = plain(0o755);
    apply_file(&place.root, &name("f"), &file, &meta, &Policy::default()).unwrap();
    let ctime = |m: fs::Metadata| (m.ctime(), m.ctime_nsec());
    let before = ctime(file.metadata().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(20));
    place.root.apply_to(&name("f"), Kind::File, &meta, &Policy::default()).unwrap();
    assert_eq!(ctime(file.metadata().unwrap()), before);
    if xattrs_for("applying_again_changes_nothing") {
        let meta = with_xattr(meta, b"user.only", b"one");
        let apply = || place.root.apply_to(&name("f"), Kind::File, &meta, &Policy::default()).unwrap();
        apply();
        let before = ctime(file.metadata().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20));
        apply();
        assert_eq!(ctime(file.metadata().unwrap()), before);
    }
}

/// `cap_net_raw+ep` as the kernel keeps it (revision 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn owner_acl_mode_and_capability_come_back_as_they_were() {
    if !(root_for("owner_acl_mode_and_capability") && xattrs_for("owner_acl_mode_and_capability")) {
        return;
    }
    let place = Place::new();
    let acl = acl::tests::encode(&[(1, 7, !0), (2, 6, 1234), (4, 5, !0), (8, 7, 77), (16, 6, !0), (32, 1, !0)]);
    // The source, made by other means: what stat and getxattr tell of it is what a snapshot holds.
    let source = place.base.path().join("source");
    fs::write(&source, b"").unwrap();
    std::os::unix::fs::chown(&source, Some(4321), Some(8765)).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o6711)).unwrap();
    set_xattr(&source, "system.posix_acl_access", &acl);
    fs::set_permissions(&source, fs::Permissions::from_mode(0o6761)).unwrap();
    set_xattr(&source, "security.capability", &CAPABILITY);
    set_xattr(&source, "trusted.t", b"t");
    set_xattr(&source, "user.u", b"");
    let stat = fs::metadata(&source).unwrap();
    let mut meta = Meta { uid: stat.uid(), gid: stat.gid(), ..plain(stat.mode() & 0o7777) };
    assert_eq!(meta.mode, 0o6761);
    for n in ["security.capability", "system.posix_acl_access", "trusted.t", "user.u"] {
        meta = with_xattr(meta, n.as_bytes(), &xattr(&source, n).unwrap());
    }

    let check = |n: &str| {
        let found = fs::metadata(place.inside(n)).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode()), (stat.uid(), stat.gid(), stat.mode()), "{n}");
        for x in &meta.xattrs {
            let x_name = std::str::from_utf8(&x.name).unwrap();
            assert_eq!(xattr(&place.inside(n), x_name).as_ref(), Some(&x.value), "{n} {x_name}");
        }
        assert_eq!(xattr(&place.inside(n), "user.stale"), None);
        assert_eq!(found.mtime_nsec(), 123_456_789);
    };
    let policy = Policy::default();
    let new = place.root.create_file(&name("new")).unwrap();
    assert!(apply_file(&place.root, &name("new"), &new, &meta, &policy).unwrap().is_none());
    check("new");
    // In place, over what is different in everything, by either way.
    for n in ["old", "pinned"] {
        let old = place.root.create_file(&name(n)).unwrap();
        set_xattr(&place.inside(n), "user.stale", b"x");
        set_xattr(&place.inside(n), "user.u", b"longer");
        fs::set_permissions(place.inside(n), fs::Permissions::from_mode(0o4777)).unwrap();
        assert!(place.root.xattrs_differ(&name(n), &meta, &policy).unwrap());
        let short = match n {
            "old" => apply_file(&place.root, &name(n), &old, &meta, &policy),
            _ => place.root.apply_to(&name(n), Kind::File, &meta, &policy),
        };
        assert!(short.unwrap().is_none());
        assert!(!place.root.xattrs_differ(&name(n), &meta, &policy).unwrap());
        check(n);
    }
    // And back to nothing: no ACL, capability or attribute of before is left.
    // With the same owner, since a change of owner would clear the capability by itself.
    let bare = Meta { uid: 4321, gid: 8765, ..plain(0o640) };
    assert!(apply_file(&place.root, &name("new"), &new, &bare, &policy).unwrap().is_none());
    for x in &meta.xattrs {
        assert_eq!(xattr(&place.inside("new"), std::str::from_utf8(&x.name).unwrap()), None);
    }
    assert_eq!(new.metadata().unwrap().mode() & 0o7777, 0o640);
    // Without privileges.
    let tame = Policy { privileges: false, ..Policy::default() };
    assert_eq!(apply_file(&place.root, &name("new"), &new, &meta, &tame).unwrap().set_ids, 1);
    assert_eq!(new.metadata().unwrap().mode() & 0o7777, 0o761);
    assert_eq!(xattr(&place.inside("new"), "security.capability"), None);
    assert_eq!(xattr(&place.inside("new"), "trusted.t"), None);
    assert!(xattr(&place.inside("new"), "user.u").is_some());
}

#[test]
fn acls_of_directories_come_back_and_inherited_ones_go() {
    if !xattrs_for("acls_of_directories") {
        return;
    }
    let place = Place::new();
    let acl = acl::tests::encode(&[(1, 7, !0), (2, 7, 1234), (4, 5, !0), (16, 7, !0), (32, 5, !0)]);
    let meta = with_xattr(with_xattr(plain(0o2775), acl::ACCESS, &acl), acl::DEFAULT, &acl);
    let dir = place.root.make_dir(&name("dir")).unwrap();
    assert!(dir.apply(&meta, &Policy::default()).unwrap().is_none());
    assert_eq!(xattr(&place.inside("dir"), "system.posix_acl_access").as_ref(), Some(&acl));
    assert_eq!(xattr(&place.inside("dir"), "system.posix_acl_default").as_ref(), Some(&acl));
    assert_eq!(fs::metadata(place.inside("dir")).unwrap().mode() & 0o7777, 0o2775);

    let file = dir.create_file(&name("f")).unwrap();
    assert!(xattr(&place.inside("dir/f"), "system.posix_acl_access").is_some());
    assert!(apply_file(&dir, &name("f"), &file, &plain(0o664), &Policy::default()).unwrap().is_none());
    assert_eq!(xattr(&place.inside("dir/f"), "system.posix_acl_access"), None);
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o664);
    let of_a_directory = with_xattr(plain(0o664), acl::DEFAULT, &acl);
    assert!(apply_file(&dir, &name("f"), &file, &of_a_directory, &Policy::default()).is_err());
    let nonsense = with_xattr(plain(0o664), acl::ACCESS, b"nonsense");
    assert_eq!(apply_file(&dir, &name("f"), &file, &nonsense, &Policy::default()).unwrap().xattrs, 1);
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o604);
}

#[test]
fn where_an_acl_cannot_be_set_the_mode_gives_no_more_than_it_did() {
    let place = Place::new();
    let file = place.root.create_file(&name("f")).unwrap();
    // The first attribute fails for good, the ACL (of a version that no kernel knows) is refused.
    let acl = acl::tests::encode(&[(1, 6, !0), (2, 7, 1234), (4, 4, !0), (16, 7, !0), (32, 0, !0)]);
    let mut other = acl.clone();
    other[0] = 3;
    let meta = with_xattr(with_xattr(plain(0o670), b"bad\0name", b""), acl::ACCESS, &other);
    assert!(apply_file(&place.root, &name("f"), &file, &meta, &Policy::default()).is_err());
    let found = file.metadata().unwrap();
    assert_eq!((found.mode() & 0o7777, found.mtime()), (0o600, -5));
    if xattrs_for("where_an_acl_cannot_be_set") {
        let meta = with_xattr(with_xattr(plain(0o670), b"bad\0name", b""), acl::ACCESS, &acl);
        assert!(apply_file(&place.root, &name("f"), &file, &meta, &Policy::default()).is_err());
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o670);
        assert_eq!(xattr(&place.inside("f"), "system.posix_acl_access").as_ref(), Some(&acl));
        // One that names nobody else's permissions is refused: its group keeps what it had, less the mask.
        let cut = acl::tests::encode(&[(1, 6, !0), (2, 7, 1234), (4, 5, !0), (16, 6, !0)]);
        let file = place.root.create_file(&name("cut")).unwrap();
        assert!(
            apply_file(
                &place.root,
                &name("cut"),
                &file,
                &with_xattr(plain(0o671), acl::ACCESS, &cut),
                &Policy::default()
            )
            .is_err()
        );
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o641);
        // A mode and an ACL that contradict each other: the mode counts.
        let file = place.root.create_file(&name("g")).unwrap();
        let meta = with_xattr(plain(0o600), acl::ACCESS, &acl);
        assert!(apply_file(&place.root, &name("g"), &file, &meta, &Policy::default()).unwrap().is_none());
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
    }
}

#[test]
fn an_ordinary_user_restores_what_he_may_and_the_rest_is_counted() {
    if !root_for("an_ordinary_user_restores_what_he_may") {
        return;
    }
    let place = Place::of_nobody();
    let root = &place.root;
    let mode = as_nobody(&[], || {
        let file = root.create_file(&name("f")).unwrap();
        let meta = with_xattr(Meta { uid: 0, gid: 0, ..plain(0o6755) }, b"trusted.t", b"t");
        let mut sum = apply_file(root, &name("f"), &file, &meta, &Policy::default()).unwrap();
        assert_eq!(root.special(&name("null"), Special::CharDevice { major: 1, minor: 3 }).unwrap(), None);
        sum += Shortfall::DEVICE;
        assert_eq!(sum, Shortfall { owners: 1, modes: 0, set_ids: 1, xattrs: 1, devices: 1 });
        let own = Meta { uid: NOBODY, gid: NOBODY, ..plain(0o6755) };
        assert!(apply_file(root, &name("f"), &file, &own, &Policy::default()).unwrap().is_none());
        file.metadata().unwrap().mode() & 0o7777
    });
    assert_eq!(mode, 0o6755);
}

#[test]
fn what_the_system_keeps_from_an_ordinary_user_is_counted_and_he_gives_what_he_may() {
    if !root_for("what_the_system_keeps_from_an_ordinary_user") {
        return;
    }
    let place = Place::of_nobody();
    let root = &place.root;
    let make = |n: &str, uid, gid| {
        fs::write(place.inside(n), b"").unwrap();
        std::os::unix::fs::chown(place.inside(n), Some(uid), Some(gid)).unwrap();
    };
    let apply = |n: &str, groups: &[u32], meta: Meta| {
        let short = as_nobody(groups, || root.apply_to(&name(n), Kind::File, &meta, &Policy::default())).unwrap();
        let found = fs::metadata(place.inside(n)).unwrap();
        (short, found.gid(), found.mode() & 0o7777)
    };
    // A set-id bit for a group that he is not in is dropped without a word.
    make("set-id", NOBODY, 77);
    let meta = || Meta { uid: NOBODY, gid: 77, ..plain(0o2755) };
    let dropped = Shortfall { set_ids: 1, ..Shortfall::default() };
    assert_eq!(apply("set-id", &[], meta()), (dropped, 77, 0o755));
    assert_eq!(apply("set-id", &[77], meta()), (Shortfall::default(), 77, 0o2755));
    // He gives what is his to a group of his, if to nobody else.
    make("gift", NOBODY, NOBODY);
    let short = Shortfall { owners: 1, ..Shortfall::default() };
    assert_eq!(apply("gift", &[77], Meta { uid: 0, gid: 77, ..plain(0o640) }), (short, 77, 0o640));
    // What is another's keeps its mode.
    make("other", 0, 0);
    fs::File::open(place.inside("other")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    fs::set_permissions(place.inside("other"), fs::Permissions::from_mode(0o644)).unwrap();
    let short = Shortfall { modes: 1, ..Shortfall::default() };
    let meta = Meta { uid: 0, gid: 0, mtime: Time::from_sec(0), ..plain(0o600) };
    assert_eq!(apply("other", &[], meta), (short, 0, 0o644));
}

/// A restore in place goes on where its user has taken rights from himself, and changes nobody else's.
#[test]
fn a_user_gets_back_what_he_took_from_himself_in_a_directory() {
    if !root_for("a_user_gets_back_what_he_took_from_himself") {
        return;
    }
    let place = Place::of_nobody();
    let root = &place.root;
    let open = |n: &str, owner, mode| {
        fs::create_dir(place.inside(n)).unwrap();
        std::os::unix::fs::chown(place.inside(n), Some(owner), Some(owner)).unwrap();
        fs::set_permissions(place.inside(n), fs::Permissions::from_mode(mode)).unwrap();
        let found = root.stat(&name(n)).unwrap().unwrap();
        let opened = as_nobody(&[], || {
            root.open_own_dir(&name(n), &found).and_then(|dir| dir.create_file(&name("new"))).is_ok()
        });
        (opened, fs::metadata(place.inside(n)).unwrap().mode() & 0o7777)
    };
    assert_eq!(open("nothing", NOBODY, 0), (true, 0o700));
    assert_eq!(open("unwritable", NOBODY, 0o1555), (true, 0o1755));
    assert_eq!(open("usual", NOBODY, 0o750), (true, 0o750));
    assert_eq!(open("others", 0, 0o077), (true, 0o077));
    assert_eq!(open("closed", 0, 0o700), (false, 0o700));
    // What lies there by now may be another one.
    fs::create_dir(place.inside("replaced")).unwrap();
    std::os::unix::fs::chown(place.inside("replaced"), Some(NOBODY), None).unwrap();
    fs::set_permissions(place.inside("replaced"), fs::Permissions::from_mode(0o500)).unwrap();
    let mut found = root.stat(&name("replaced")).unwrap().unwrap();
    found.id.inode += 1;
    as_nobody(&[], || root.open_own_dir(&name("replaced"), &found)).unwrap();
    assert_eq!(fs::metadata(place.inside("replaced")).unwrap().mode() & 0o7777, 0o500);
}

#[test]
fn what_falls_short_adds_up() {
    let of = |factor| Shortfall {
        owners: factor,
        modes: 2 * factor,
        set_ids: 3 * factor,
        xattrs: 4 * factor,
        devices: 5 * factor,
    };
    let mut sum = of(1);
    sum += of(10);
    assert_eq!(sum, of(11));
    assert!(Shortfall::default().is_none() && !Shortfall::DEVICE.is_none());
}

#[test]
fn links_and_devices_get_owner_and_attributes_by_themselves() {
    if !root_for("links_and_devices_get_owner_and_attributes") {
        return;
    }
    let place = Place::new();
    let root = &place.root;
    symlink(place.outside("precious"), place.inside("link")).unwrap();
    let meta = with_xattr(Meta { uid: 11, gid: 12, ..plain(0o777) }, b"trusted.t", b"t");
    assert!(root.apply_to(&name("link"), Kind::Symlink, &meta, &Policy::default()).unwrap().is_none());
    let found = fs::symlink_metadata(place.inside("link")).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mtime()), (11, 12, -5));
    assert_eq!(xattr(&place.inside("link"), "trusted.t").unwrap(), b"t");
    assert_eq!(xattr(&place.outside("precious"), "trusted.t"), None);
    assert_eq!(fs::metadata(place.outside("precious")).unwrap().uid(), 0);
    assert!(fs::metadata(place.outside("precious")).unwrap().mtime() > 0);

    let device = Special::CharDevice { major: 1, minor: 3 };
    assert!(root.special(&name("c"), Special::CharDevice { major: 4096, minor: 0 }).is_err());
    if root.special(&name("null"), device).unwrap().is_none() {
        eprintln!("not run, needs the right to make devices: links_and_devices_get_owner_and_attributes");
        return;
    }
    let meta = Meta { uid: 11, gid: 12, ..plain(0o620) };
    assert!(root.apply_to(&name("null"), Kind::CharDevice, &meta, &Policy::default()).unwrap().is_none());
    let found = root.stat(&name("null")).unwrap().unwrap();
    assert_eq!((found.kind, found.rdev, found.mode, found.uid), (Kind::CharDevice, (1, 3), 0o620, 11));
    let node = Node { name: name("null"), meta, body: Body::CharDevice { major: 1, minor: 5 } };
    assert!(!found.is_kind_of(&node));
}

#[test]
fn a_set_id_bit_never_acts_for_somebody_else() {
    let place = Place::new();
    let skip = Policy { ownership: Ownership::Skip, ..Policy::default() };
    let file = place.root.create_file(&name("f")).unwrap();
    let others = Meta { uid: 54_321, gid: 54_321, ..plain(0o6755) };
    let short = apply_file(&place.root, &name("f"), &file, &others, &skip).unwrap();
    assert_eq!((short.set_ids, short.owners), (1, 0));
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o755);
    apply_file(&place.root, &name("f"), &file, &plain(0o4755), &skip).unwrap();
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o4755);
    // On a directory it gives nobody rights.
    let dir = place.root.make_dir(&name("d")).unwrap();
    assert!(dir.apply(&Meta { mode: 0o2775, ..others }, &skip).unwrap().is_none());
    assert_eq!(fs::metadata(place.inside("d")).unwrap().mode() & 0o7777, 0o2775);
    let nobody = Meta { uid: u32::MAX, ..plain(0o4755) };
    let short = apply_file(&place.root, &name("f"), &file, &nobody, &Policy::default()).unwrap();
    assert_eq!((short.set_ids, short.owners), (1, 1));
    assert_eq!(short.to_string(), "1 owners not set, 1 set-id bits left out");
}

/// Labels are this machine's affair: a snapshot of another one says nothing of them.
#[test]
fn security_labels_of_this_machine_stay() {
    if !(root_for("security_labels") && xattrs_for("security_labels")) {
        return;
    }
    let place = Place::new();
    let file = place.root.create_file(&name("f")).unwrap();
    set_xattr(&place.inside("f"), "security.label", b"mine");
    set_xattr(&place.inside("f"), "user.stale", b"x");
    let policy = Policy { privileges: true, ..Policy::default() };
    assert!(place.root.xattrs_differ(&name("f"), &plain(0o600), &policy).unwrap());
    apply_file(&place.root, &name("f"), &file, &plain(0o600), &policy).unwrap();
    assert_eq!(xattr(&place.inside("f"), "security.label").as_deref(), Some(&b"mine"[..]));
    assert_eq!(xattr(&place.inside("f"), "user.stale"), None);
    assert!(!place.root.xattrs_differ(&name("f"), &plain(0o600), &policy).unwrap());
}

/// Whatever an attribute holds, only ACLs name users.
#[test]
fn what_only_looks_like_an_acl_keeps_its_bytes() {
    if !xattrs_for("what_only_looks_like_an_acl") {
        return;
    }
    let place = Place::new();
    let file = place.root.create_file(&name("f")).unwrap();
    let names = NameMap::new([(1234, "app")], [], b"app:x:2000:1::/:", b"");
    let policy = Policy { ownership: Ownership::ByName(names), ..Policy::default() };
    let of = |user| acl::tests::encode(&[(1, 6, !0), (2, 4, user), (4, 4, !0), (16, 4, !0), (32, 0, !0)]);
    let meta = with_xattr(with_xattr(plain(0o640), acl::ACCESS, &of(1234)), b"user.note", &of(1234));
    assert!(apply_file(&place.root, &name("f"), &file, &meta, &policy).unwrap().is_none());
    assert_eq!(xattr(&place.inside("f"), "system.posix_acl_access"), Some(of(2000)));
    assert_eq!(xattr(&place.inside("f"), "user.note"), Some(of(1234)));
}

#[test]
fn every_kind_of_entry_is_told_from_the_others() {
    let node = |body| Node { name: name("n"), meta: plain(0o600), body };
    let (major, minor) = (8, 1);
    let device = rustix::fs::makedev(major, minor);
    for (bits, kind, body, special) in [
        (0o100_000, Kind::File, Body::File { size: 0, content: Content::Extents(Vec::new()) }, None),
        (0o120_000, Kind::Symlink, Body::Symlink { target: b"x".to_vec() }, None),
        (0o010_000, Kind::Fifo, Body::Fifo, Some(Special::Fifo)),
        (0o140_000, Kind::Socket, Body::Socket, Some(Special::Socket)),
        (0o020_000, Kind::CharDevice, Body::CharDevice { major, minor }, Some(Special::CharDevice { major, minor })),
        (0o060_000, Kind::BlockDevice, Body::BlockDevice { major, minor }, Some(Special::BlockDevice { major, minor })),
    ] {
        let mut stat = rustix::fs::stat("/").unwrap();
        (stat.st_mode, stat.st_rdev) = (bits | 0o600, device);
        let found = Existing::from_stat(&stat).unwrap();
        assert_eq!((found.kind, Special::of(&body), found.is_kind_of(&node(body))), (kind, special, true));
    }
}
