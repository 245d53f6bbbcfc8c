//! A mount without a kernel: what its requests come to.

use super::{
    Catalog, Owners, Root, Settings, View,
    content::Sought,
    number::ROOT,
    table::{HIGH, LOW},
    view::{No, Told},
};
use crate::{
    hash::BlobKind,
    index::BlobIndex,
    model::{limits, node::Body},
    monitor::Recording,
    ops::fixture::{self, Fixture, Item, Piece},
    repo::{BlobReader, Listed, Repository},
    store::{ObjectName, Store},
    world::{Clock, Time},
};
use fuser::FileType;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

const SETTINGS: Settings = Settings { pages: 1 << 20, ahead: 1 << 20, owners: Owners::Numeric };

/// What a view borrows.
struct Borrowed<'r> {
    repo: &'r Repository,
    index: BlobIndex,
    monitor: Arc<Recording>,
}

impl<'r> Borrowed<'r> {
    fn new(fixture: &'r Fixture) -> Self {
        Borrowed { repo: &fixture.repo, index: fixture.index(), monitor: Arc::default() }
    }

    fn reader(&self) -> BlobReader<'_> {
        BlobReader::with_cache(self.repo, &self.index, 1 << 20)
    }
}

fn all<'r>(borrowed: &'r Borrowed<'r>, reader: &'r BlobReader<'r>) -> View<'r> {
    let time_name = Box::new(|sec: i64| format!("t{sec}"));
    let catalog = Catalog::new(borrowed.repo, time_name, HashSet::new(), &*borrowed.monitor).unwrap();
    View::new(reader, Root::All(Box::new(catalog)), SETTINGS, borrowed.monitor.clone()).unwrap()
}

fn one<'r>(borrowed: &'r Borrowed<'r>, reader: &'r BlobReader<'r>, listed: &Listed, path: &str) -> View<'r> {
    let root = Root::One(Box::new(listed.clone()), path.as_bytes().to_vec());
    View::new(reader, root, SETTINGS, borrowed.monitor.clone()).unwrap()
}

/// Looks a path up, and leaves it counted.
fn walk(view: &View<'_>, path: &str) -> Result<Told, No> {
    let mut told = view.attributes(ROOT)?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        told = view.lookup(told.attr.ino.0, part.as_bytes())?;
    }
    Ok(told)
}

fn number(view: &View<'_>, path: &str) -> u64 {
    walk(view, path).unwrap_or_else(|no| panic!("{path}: {no:?}")).attr.ino.0
}

/// What is in a directory, `room` entries a time.
fn list(view: &View<'_>, number: u64, room: usize, counted: bool) -> Result<Vec<(String, Told)>, No> {
    let listing = view.open_directory(number)?;
    let (mut out, mut offset) = (Vec::new(), 0);
    loop {
        let mut taken = 0;
        view.list(&listing, offset, counted, &mut |item| {
            if taken == room {
                return false;
            }
            taken += 1;
            offset = item.next;
            out.push((String::from_utf8_lossy(item.name).into_owned(), item.told));
            true
        })?;
        if taken == 0 {
            return Ok(out);
        }
    }
}

fn names(view: &View<'_>, path: &str) -> Vec<String> {
    let listed = list(view, number(view, path), 100, false).unwrap();
    listed.into_iter().map(|(name, _)| name).skip(2).collect()
}

fn read(view: &View<'_>, number: u64, offset: u64, len: usize) -> Result<Vec<u8>, No> {
    let mut out = Vec::new();
    view.read(number, offset, len, &mut out).map(|_| out)
}

fn contents(view: &View<'_>, path: &str) -> Result<Vec<u8>, No> {
    let told = walk(view, path)?;
    read(view, told.attr.ino.0, 0, told.attr.size as usize + 10)
}

fn packs(fixture: &Fixture, before: &[ObjectName]) -> Vec<ObjectName> {
    let new = fixture.store.names().into_iter().filter(|name| !before.contains(name));
    new.filter(|name| name.as_str().starts_with("packs/")).collect()
}

#[test]
fn snapshots_are_found_by_series_id_and_date() {
    let fixture = Fixture::new();
    let old = fixture.snapshot("h/vm/srv/wiki", 5, vec![("app", fixture::dir(vec![("f", fixture::file(b"old"))]))]);
    let new = fixture.snapshot("h/vm/srv/wiki", 7, vec![("app", fixture::dir(vec![("f", fixture::file(b"new"))]))]);
    fixture.snapshot("h/vm/srv", 6, vec![("db.sql", fixture::file(b"dump"))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = all(&borrowed, &reader);
    assert_eq!(names(&view, ""), ["by-date", "ids", "servers"]);
    assert_eq!(names(&view, "servers/h/vm/srv"), ["latest", "t6", "wiki"]);
    assert_eq!(contents(&view, "servers/h/vm/srv/wiki/t5/app/f"), Ok(b"old".to_vec()));
    assert_eq!(contents(&view, "servers/h/vm/srv/wiki/t7/app/f"), Ok(b"new".to_vec()));
    assert_eq!(contents(&view, "servers/h/vm/srv/t6/db.sql"), Ok(b"dump".to_vec()));
    assert_eq!(view.link(number(&view, "servers/h/vm/srv/wiki/latest")), Ok(b"t7".to_vec()));
    let to_old = Ok(b"../servers/h/vm/srv/wiki/t5".to_vec());
    assert_eq!(view.link(number(&view, &format!("ids/{}", old.id.short()))), to_old);
    assert_eq!(view.link(number(&view, &format!("by-date/t5_{}", old.id.short()))), to_old);
    assert_eq!(walk(&view, "servers/h/vm/srv/wiki/t6").unwrap_err(), No::EntryYet);
    assert_eq!(walk(&view, "servers/h/vm/srv/wiki/t5/app/g").unwrap_err(), No::Entry);
    // What will never be another may be kept, the rest not.
    let lasting = |path: &str| walk(&view, path).unwrap().lasting;
    assert!(lasting("servers/h/vm/srv/wiki/t5/app") && lasting("servers/h/vm/srv/wiki/t5/app/f"));
    assert!(!lasting("servers/h/vm/srv/wiki/latest") && !lasting("servers/h/vm/srv"));
    assert_eq!(names(&one(&borrowed, &reader, &new, ""), ""), ["app"]);
}

/// An entry of each kind, with all that can be said of one.
fn zoo() -> Item {
    let symlink = fixture::other(Body::Symlink { target: b"a/b".to_vec() });
    fixture::dir(vec![
        ("block", fixture::other(Body::BlockDevice { major: 8, minor: 1 })),
        ("char", fixture::other(Body::CharDevice { major: 5, minor: 300 })),
        ("empty", fixture::file(b"")),
        ("fifo", fixture::other(Body::Fifo)),
        ("link", symlink),
        ("noted", fixture::file(b"x").xattr("system.posix_acl_access", b"\x02").xattr("user.note", b"hello")),
        ("socket", fixture::other(Body::Socket)),
        ("sub", fixture::dir(vec![("x", fixture::file(b"x"))])),
    ])
}

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

/// Pieces of a file that has holes at its ends and in between, and its bytes.
fn holey(count: usize) -> (Item, Vec<u8>) {
    let (mut pieces, mut bytes) = (vec![Piece::Hole(5000)], vec![0; 5000]);
    for n in 0..count {
        let data = fixture::noise(100 + n * 37 % 900, n as u64);
        bytes.extend_from_slice(&data);
        pieces.push(Piece::Data(data));
        if n % 3 == 0 {
            pieces.push(Piece::Hole(777));
            bytes.resize(bytes.len() + 777, 0);
        }
    }
    (fixture::pieces(pieces), bytes)
}

#[test]
fn bytes_and_holes_are_where_they_were_at_any_offset() {
    let fixture = Fixture::new();
    // The one's list is in its entry, the other's in pages.
    let ((short, short_bytes), (long, long_bytes)) = (holey(9), holey(3000));
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("long", long), ("short", short)]))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    for (name, bytes) in [("short", short_bytes), ("long", long_bytes)] {
        let told = walk(&view, name).unwrap();
        let file = told.attr.ino.0;
        assert_eq!(told.attr.size, bytes.len() as u64);
        assert!(told.attr.blocks * 512 < told.attr.size, "who copies it must look for holes");
        assert!(read(&view, file, 0, bytes.len() + 99).unwrap() == bytes);
        let mut at = 1usize;
        for _ in 0..2000 {
            at = (at * 7919 + 31) % (bytes.len() + 100);
            let len = at % 5000;
            let expected = bytes.get(at..bytes.len().min(at + len)).unwrap_or_default();
            assert!(read(&view, file, at as u64, len).unwrap() == expected, "{name} at {at}, {len}");
        }
        assert_eq!(read(&view, file, u64::MAX - 5, 10), Ok(vec![]));
        // Along the file, hole by hole: noise has no long zeros, holes nothing else.
        let (mut at, mut data) = (0, 0);
        while let Ok(begin) = view.seek(file, at, Sought::Data) {
            assert!(bytes[at as usize..begin as usize].iter().all(|byte| *byte == 0));
            at = view.seek(file, begin, Sought::Hole).unwrap();
            assert!(at > begin);
            data += at - begin;
            assert!(bytes[begin as usize..at as usize].windows(64).all(|some| some.iter().any(|byte| *byte != 0)));
        }
        assert_eq!(data, bytes.len() as u64 - 5000 - 777 * bytes_in_threes(name));
        assert_eq!(view.seek(file, bytes.len() as u64, Sought::Hole), Err(No::Beyond));
    }
}

fn bytes_in_threes(name: &str) -> u64 {
    if name == "short" { 3 } else { 1000 }
}

#[test]
fn what_was_opened_ahead_is_not_fetched_again() {
    let fixture = Fixture::new();
    let bytes = fixture::noise(40_000, 1);
    let pieces = bytes.chunks(1000).map(|part| Piece::Data(part.to_vec())).collect();
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("f", fixture::pieces(pieces))]))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    let file = number(&view, "f");
    let mut out = Vec::new();
    let next = view.read(file, 0, 4096, &mut out).unwrap();
    assert_eq!(next, 4096..40_000);
    view.open_ahead(file, next);
    fixture.store.names().iter().filter(|name| name.as_str().starts_with("packs/")).for_each(|name| {
        fixture.store.remove(name).unwrap();
    });
    assert!(read(&view, file, 0, 50_000).unwrap() == bytes);
}

#[test]
fn a_damaged_object_costs_its_files_only_and_is_told_once() {
    let fixture = Fixture::new();
    fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("good", fixture::file(&fixture::noise(5000, 1)))]))]);
    let before = fixture.store.names();
    let files =
        |seed| [("bad", fixture::file(&fixture::noise(5000, seed))), ("good", fixture::file(&fixture::noise(5000, 1)))];
    let entries = files(2).into_iter().chain([("worse", fixture::file(&fixture::noise(5000, 3)))]).collect();
    let listed = fixture.snapshot("h/-/s", 2, vec![("app", fixture::dir(entries))]);
    let damaged: Vec<ObjectName> = packs(&fixture, &before)
        .into_iter()
        .filter(|name| {
            let bytes = fixture.store.get(name, limits::PACK_MAX).unwrap();
            crate::object::header(crate::object::Kind::DataPack, fixture.repo.keys().repo())
                == bytes[..crate::object::HEADER_LEN]
        })
        .collect();
    assert_eq!(damaged.len(), 1);
    // Every segment of it.
    fixture.store.tamper(&damaged[0], |bytes| (200..10_000).step_by(1000).for_each(|at| bytes[at] ^= 1));
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    for _ in 0..3 {
        for name in ["bad", "worse"] {
            assert_eq!(contents(&view, name).map(|bytes| bytes.len()), Err(No::Unreadable), "{name}");
        }
    }
    assert!(contents(&view, "good") == Ok(fixture::noise(5000, 1)));
    assert_eq!(names(&view, ""), ["bad", "good", "worse"]);
    let problems = borrowed.monitor.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains(damaged[0].as_str()), "{problems:?}");
    assert!(problems[0].contains(&format!("{}:app/bad", listed.id.short())), "{problems:?}");
}

#[test]
fn a_new_snapshot_appears_and_can_be_read() {
    let fixture = Fixture::new();
    fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("f", fixture::file(b"old"))]))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = all(&borrowed, &reader);
    assert_eq!(contents(&view, "servers/h/-/s/t1/app/f"), Ok(b"old".to_vec()));
    fixture.snapshot("h/-/s", 2, vec![("app", fixture::dir(vec![("f", fixture::file(b"new"))]))]);
    fixture.snapshot("h/-/other", 3, vec![("app", fixture::dir(vec![("f", fixture::file(b"other"))]))]);
    // Who asks for the newest, or lists, gets what is there now.
    assert_eq!(view.link(number(&view, "servers/h/-/s/latest")), Ok(b"t2".to_vec()));
    assert_eq!(contents(&view, "servers/h/-/s/t2/app/f"), Ok(b"new".to_vec()));
    assert_eq!(contents(&view, "servers/h/-/other/t3/app/f"), Ok(b"other".to_vec()));
    assert_eq!(contents(&view, "servers/h/-/s/t1/app/f"), Ok(b"old".to_vec()));
    assert_eq!(names(&view, "servers/h/-"), ["other", "s"]);
}

#[test]
fn a_snapshot_that_may_be_the_newest_and_cannot_be_read_leaves_no_latest() {
    let fixture = Fixture::new();
    let source = || vec![("app", fixture::dir(vec![("f", fixture::file(b"f"))]))];
    let first = fixture.snapshot("h/-/s", 1, source());
    let second = fixture.snapshot("h/-/s", 2, source());
    let damage = |listed: &Listed| {
        let tag = fixture.repo.keys().series_tag(&crate::series::Series::parse("h/-/s").unwrap());
        // The head stays whole, so that its number is known.
        fixture.store.tamper(&crate::repo::snapshots::object_name(&tag, &listed.id), |bytes| bytes[2000] ^= 1);
    };
    damage(&first);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    assert_eq!(names(&all(&borrowed, &reader), "servers/h/-/s"), ["latest", "t2"]);
    damage(&second);
    let third = fixture.snapshot("h/-/s", 3, source());
    assert_eq!(names(&all(&borrowed, &reader), "servers/h/-/s"), ["latest", "t3"]);
    let fourth = fixture.snapshot("h/-/s", 4, source());
    damage(&fourth);
    assert_eq!(names(&all(&borrowed, &reader), "servers/h/-/s"), ["t3"]);
    let problems = borrowed.monitor.problems();
    assert!(problems.iter().any(|text| text.contains(&fourth.id.to_string())), "{problems:?}");
    assert!(!problems.iter().any(|text| text.contains(&third.id.to_string())), "{problems:?}");
}

#[test]
fn without_the_store_requests_fail_and_what_is_known_stays() {
    let fixture = Fixture::new();
    let app = fixture::dir(vec![("f", fixture::file(&fixture::noise(100, 1))), ("g", fixture::file(b"g"))]);
    fixture.snapshot("h/-/s", 1, vec![("app", app)]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = all(&borrowed, &reader);
    let app = number(&view, "servers/h/-/s/t1/app");
    fixture.store.names().iter().for_each(|name| fixture.store.remove(name).unwrap());
    assert_eq!(list(&view, app, 10, false).map(|_| ()).unwrap_err(), No::Unreadable);
    // What was given before stands, and who goes on is told.
    let listing = view.open_directory(app).unwrap();
    let mut given = 0;
    let mut each = |_: super::listing::Item<'_>| {
        given += 1;
        true
    };
    assert_eq!(view.list(&listing, 0, true, &mut each), Ok(()));
    assert_eq!(view.list(&listing, 2, true, &mut each), Err(No::Unreadable));
    assert_eq!(given, 2);
    assert_eq!(view.lookup(app, b"f").unwrap_err(), No::Unreadable);
    assert_eq!(list(&view, ROOT, 10, false).unwrap().len(), 5);
    assert!(!borrowed.monitor.problems().is_empty());
}

#[test]
fn what_the_kernel_knows_too_much_of_is_named_oldest_first_and_files_before_directories() {
    let fixture = Fixture::new();
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", zoo())]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    let (sub, file) = (number(&view, "sub"), number(&view, "noted"));
    let what =
        super::entry::What::Leaf { parent: view.table().get(file).unwrap().place().unwrap().0, name: b"n"[..].into() };
    let made_up = |n: u64| super::number::Identity { number: (1 << 40) + n, check: n };
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
    let other = super::number::Identity { check: 7, ..made_up(HIGH as u64 - 1) };
    assert_ne!(view.table().enter(other, || what.clone()), made_up(HIGH as u64 - 1).number);
}

/// A clock that is set by hand.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_sec(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn the_index_is_loaded_again_as_often_as_it_changes() {
    let fixture = Fixture::new();
    let clock = Arc::new(Hand(AtomicI64::new(1_700_000_000)));
    let repo = fixture.reopen_by(clock.clone(), None);
    let index = fixture.index();
    let reader = BlobReader::new(&repo, &index);
    let first = fixture.store_page(BlobKind::Tree, b"first");
    assert_eq!(reader.blob(BlobKind::Tree, &first).unwrap(), b"first");
    let second = fixture.store_page(BlobKind::Tree, b"second");
    // Within the same seconds the store is not asked.
    assert!(reader.blob(BlobKind::Tree, &second).is_err());
    clock.0.fetch_add(60, Ordering::Relaxed);
    assert_eq!(reader.blob(BlobKind::Tree, &second).unwrap(), b"second");
    assert_eq!(reader.blob(BlobKind::Tree, &first).unwrap(), b"first");
}
