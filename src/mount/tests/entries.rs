//! What is told of entries, and their numbers.

use super::*;

#[test]
fn all_kinds_of_entries_are_told_as_they_were() {
    let fixture = Fixture::new();
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", zoo())]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    let kinds: BTreeMap<String, (FileType, u64, u32)> = list(&view, ROOT, 3, true)
        .unwrap()
        .into_iter()
        .map(|(name, Told { attr, .. })| (name, (attr.kind, attr.size, attr.rdev)))
        .collect();
    let of = |name: &str| kinds[name];
    assert_eq!(kinds.len(), 10);
    assert_eq!(of("block"), (FileType::BlockDevice, 0, 0x801));
    assert_eq!(of("char"), (FileType::CharDevice, 0, 0x10_052c));
    assert_eq!(of("empty"), (FileType::RegularFile, 0, 0));
    assert_eq!((of("fifo").0, of("socket").0), (FileType::NamedPipe, FileType::Socket));
    assert_eq!(of("link"), (FileType::Symlink, 3, 0));
    assert_eq!((of("sub").0, of(".").0, of("..").0), (FileType::Directory, FileType::Directory, FileType::Directory));
    let attr = walk(&view, "noted").unwrap().attr;
    assert_eq!((attr.perm, attr.uid, attr.gid, attr.nlink), (0o640, 1234, 5678, 1));
    let mtime = attr.mtime.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!((mtime.as_secs(), mtime.subsec_nanos()), (1_600_000_000, 123_456_789));
    let mut xattrs = Vec::new();
    view.attributes_beyond(attr.ino.0, &mut |name, value| xattrs.push((name.to_vec(), value.to_vec()))).unwrap();
    let expected = [(&b"system.posix_acl_access"[..], &b"\x02"[..]), (b"user.note", b"hello")];
    assert_eq!(xattrs, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
    assert_eq!(view.link(number(&view, "link")), Ok(b"a/b".to_vec()));
    // What makes no sense is refused.
    assert_eq!(view.link(number(&view, "noted")), Err(No::Invalid));
    assert_eq!(read(&view, number(&view, "sub"), 0, 10), Err(No::Invalid));
    assert_eq!(view.lookup(number(&view, "noted"), b"x").unwrap_err(), No::Directory);
    assert_eq!(view.attributes(99).unwrap_err(), No::Stale);
    let mine = Settings { owners: Owners::Fixed(7, 8), ..SETTINGS };
    let root = Root::One(Box::new(listed.clone()), b"/app/".to_vec());
    let view = View::new(&reader, root, mine, borrowed.monitor.clone()).unwrap();
    let attr = walk(&view, "noted").unwrap().attr;
    assert_eq!((attr.uid, attr.gid, attr.perm), (7, 8, 0o640));
    for (path, says) in [("app/noted", "is no directory"), ("app/none", "is not there")] {
        let root = Root::One(Box::new(listed.clone()), path.as_bytes().to_vec());
        let refused = View::new(&reader, root, SETTINGS, borrowed.monitor.clone()).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

#[test]
fn a_large_directory_is_listed_from_any_place_on() {
    let fixture = Fixture::new();
    // Several pages: each has some hundred names.
    let entries: Vec<(String, Item)> = (0..3000).map(|n| (format!("{n:04}"), fixture::file(b"x"))).collect();
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(entries))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    let expected: Vec<String> =
        [".", ".."].map(String::from).into_iter().chain((0..3000).map(|n| format!("{n:04}"))).collect();
    for room in [1, 2, 3, 100, 10_000] {
        let names: Vec<String> = list(&view, ROOT, room, false).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{room}");
    }
    // Listed or looked up, an entry has one number; counted as often as it was told.
    let listed = list(&view, ROOT, 70, true).unwrap();
    assert_eq!(view.table().count(), 3001);
    for (name, told) in listed.iter().skip(2) {
        assert_eq!(number(&view, name), told.attr.ino.0);
    }
    for (_, told) in listed.iter().skip(2) {
        view.forget(told.attr.ino.0, 1);
    }
    assert_eq!(view.table().count(), 3001);
    for (_, told) in listed.iter().skip(2) {
        view.forget(told.attr.ino.0, 1);
        assert_eq!(view.attributes(told.attr.ino.0).unwrap_err(), No::Stale);
    }
    assert_eq!(view.table().count(), 1);
    // Back to a place that was told before.
    let open = view.open_directory(ROOT).unwrap();
    let mut places = Vec::new();
    view.list(&open, 0, false, &mut |item| {
        places.push((item.name.to_vec(), item.next));
        true
    })
    .unwrap();
    for window in places.windows(2).rev().step_by(97) {
        let mut first = None;
        view.list(&open, window[0].1, false, &mut |item| {
            first = Some(item.name.to_vec());
            false
        })
        .unwrap();
        assert_eq!(first.as_deref(), Some(&window[1].0[..]));
    }
}

#[test]
fn names_of_one_file_have_one_number_that_is_the_same_in_every_mount() {
    let fixture = Fixture::new();
    let linked = || fixture::file(b"twice").linked(77, 2);
    let app =
        || fixture::dir(vec![("a", linked()), ("b", fixture::dir(vec![("c", linked())])), ("d", fixture::file(b"d"))]);
    fixture.snapshot("h/-/s", 1, vec![("app", app()), ("other", app())]);
    fixture.snapshot("h/-/s", 2, vec![("app", app())]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let (view, again) = (all(&borrowed, &reader), all(&borrowed, &reader));
    let at = |path: &str| number(&view, &format!("servers/h/-/s/{path}"));
    assert_eq!(at("t1/app/a"), at("t1/app/b/c"));
    assert_eq!(walk(&view, "servers/h/-/s/t1/app/a").unwrap().attr.nlink, 2);
    let others = ["t1/app/a", "t1/other/a", "t2/app/a", "t1/app/d", "t2/app/d", "t1/app", "t2/app", "t1", "latest"];
    assert_eq!(others.iter().map(|path| at(path)).collect::<HashSet<u64>>().len(), others.len());
    for path in others.iter().rev() {
        let path = format!("servers/h/-/s/{path}");
        assert_eq!(number(&again, &path), number(&view, &path));
    }
}

#[test]
fn names_of_one_inode_that_were_met_with_other_contents_are_other_files() {
    let fixture = Fixture::new();
    let linked = |bytes: &[u8]| fixture::file(bytes).linked(77, 2);
    let app = fixture::dir(vec![("a", linked(b"short")), ("b", linked(b"and this is longer"))]);
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", app)]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    assert_ne!(number(&view, "a"), number(&view, "b"));
    assert_eq!(contents(&view, "a"), Ok(b"short".to_vec()));
    assert_eq!(contents(&view, "b"), Ok(b"and this is longer".to_vec()));
}

#[test]
fn what_the_kernel_knows_too_much_of_is_named_oldest_first_and_files_before_directories() {
    let fixture = Fixture::new();
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", zoo())]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    let (sub, file) = (number(&view, "sub"), number(&view, "noted"));
    let what = crate::mount::entry::What::Leaf {
        parent: view.table().get(file).unwrap().place().unwrap().0,
        name: b"n"[..].into(),
    };
    let made_up = |n: u64| crate::mount::number::Identity { number: (1 << 40) + n, check: n };
    for n in 0..HIGH as u64 {
        assert_eq!(view.table().enter(made_up(n), || what.clone()), (1 << 40) + n);
    }
    assert!(view.table().is_full());
    let surplus = view.table().surplus();
    assert_eq!(surplus.len(), view.table().count() - LOW);
    assert_eq!(surplus[0].0, file);
    assert!(surplus.iter().all(|(number, _)| *number != sub && *number != ROOT));
    assert_eq!(view.parent_number(&surplus[0].1), ROOT);
    // What the kernel keeps is not named again at once; what it lets go of is gone.
    assert!(!view.table().is_full());
    surplus.iter().skip(1).for_each(|(number, _)| view.forget(*number, 1));
    view.table().settle();
    assert_eq!(view.table().count(), LOW + 1);
    assert!(view.attributes(file).is_ok() && !view.table().is_full());
    // Two entries of one number are told apart.
    let other = crate::mount::number::Identity { check: 7, ..made_up(HIGH as u64 - 1) };
    assert_ne!(view.table().enter(other, || what.clone()), made_up(HIGH as u64 - 1).number);
}
