use super::*;
use crate::ops::fixture::{self, Fixture, Item};
use std::{cell::RefCell, collections::BTreeSet};

/// Counts the pages that are read.
struct Counting<'a> {
    reader: &'a BlobReader<'a>,
    read: RefCell<Vec<BlobId>>,
}

impl Pages for Counting<'_> {
    fn tree_page(&self, id: &BlobId, near: Option<&LazyPage>) -> Result<Arc<LazyPage>> {
        self.read.borrow_mut().push(*id);
        self.reader.tree_page(id, near)
    }
}

#[derive(Default)]
struct Heard(Vec<String>, usize);

impl Visit for Heard {
    fn entry(&mut self, path: &[u8], before: Option<&Seen>, after: Option<&Seen>) -> Result<Go> {
        let sign = match (before, after) {
            (Some(_), Some(_)) => '*',
            (Some(_), None) => '-',
            _ => '+',
        };
        self.0.push(format!("{sign}{}", String::from_utf8_lossy(path)));
        Ok(Go::In)
    }
    fn unreadable(&mut self, _: &[u8], _: Error) -> Result<()> {
        self.1 += 1;
        Ok(())
    }
}

/// Takes two snapshots, and tells what differs and how many pages were read.
fn differences(before: Item, after: Item) -> (Vec<String>, usize) {
    let fixture = Fixture::new();
    let old = fixture.snapshot("h/-/s", 1, vec![("app", before)]);
    let new = fixture.snapshot("h/-/s", 2, vec![("app", after)]);
    let index = fixture.index();
    let reader = BlobReader::new(&fixture.repo, &index);
    let pages = Counting { reader: &reader, read: RefCell::default() };
    let mut heard = Heard::default();
    compare(&pages, sources(&old.snapshot), sources(&new.snapshot), b"", &mut heard).unwrap();
    assert_eq!(heard.1, 0);
    (heard.0, pages.read.into_inner().len())
}

fn many(names: impl Iterator<Item = usize>, changed: &[usize]) -> Item {
    let name = |n| format!("file-{n:06}");
    let contents = |n| if changed.contains(&n) { b"new".to_vec() } else { b"old".to_vec() };
    fixture::dir(names.map(|n| (name(n), fixture::file(&contents(n)))).collect())
}

#[test]
fn equal_trees_are_not_read() {
    let tree = || fixture::dir(vec![("a", many(0..5, &[])), ("b", fixture::file(b"x"))]);
    assert_eq!(differences(tree(), tree()), (vec![], 0));
}

#[test]
fn what_differs_is_told_with_the_directories_above() {
    let before = fixture::dir(vec![("a", many(0..3, &[])), ("gone", many(0..1, &[])), ("same", many(0..9, &[]))]);
    let new = fixture::dir(vec![("x", fixture::file(b"x"))]);
    let after = fixture::dir(vec![("a", many(0..3, &[1])), ("new", new), ("same", many(0..9, &[]))]);
    let (heard, read) = differences(before, after);
    let expected =
        ["*app", "*app/a", "*app/a/file-000001", "-app/gone", "-app/gone/file-000000", "+app/new", "+app/new/x"];
    assert_eq!(heard, expected);
    assert_eq!(read, 2 + 2 + 1 + 1, "the roots, both of a, gone and new; not what is the same");
}

#[test]
fn a_file_in_the_place_of_a_directory_is_told_with_what_was_in_it() {
    let before = fixture::dir(vec![("a", many(0..1, &[]))]);
    let after = fixture::dir(vec![("a", fixture::file(b"now a file"))]);
    assert_eq!(differences(before, after).0, ["*app", "*app/a", "-app/a/file-000000"]);
}

#[test]
fn of_a_long_directory_only_the_pages_that_differ_are_read() {
    const N: usize = 6000;
    let whole = || many(0..N, &[]);
    let fixture = Fixture::new();
    let one = fixture.snapshot("h/-/s", 1, vec![("app", whole())]);
    let index = fixture.index();
    let reader = BlobReader::new(&fixture.repo, &index);
    let all = Counting { reader: &reader, read: RefCell::default() };
    compare(&all, Leaf::default(), sources(&one.snapshot), b"", &mut Heard::default()).unwrap();
    let pages = all.read.into_inner().len();
    assert!(pages > 15, "{pages}: else this shows nothing");
    // Changed, gone and new: at the front, in the middle and at the end.
    for (after, changed) in [
        (many(0..N, &[N / 2]), vec![format!("*app/file-{:06}", N / 2)]),
        (many(1..N, &[]), vec!["-app/file-000000".into()]),
        (many(0..N + 1, &[]), vec![format!("+app/file-{N:06}")]),
        (many((0..N).filter(|n| *n != 77), &[]), vec!["-app/file-000077".into()]),
    ] {
        let (heard, read) = differences(whole(), after);
        assert_eq!(heard, [vec!["*app".to_owned()], changed].concat());
        assert!(read <= 8, "{read} of {} pages were read", 2 * pages);
    }
}

#[test]
fn any_two_directories_are_compared_as_their_lists_of_names() {
    // Sizes at which directories have one page, several, and two levels.
    for (size, step, seed) in [(10, 1, 1u64), (700, 3, 2), (3000, 2, 3), (3000, 50, 4)] {
        let random = |n: usize| blake3::hash(&[seed.to_le_bytes(), (n as u64).to_le_bytes()].concat()).as_bytes()[0];
        let before: BTreeSet<usize> = (0..size).filter(|n| random(*n) % 7 != 0).collect();
        let after: BTreeSet<usize> =
            (0..size).filter(|n| if n % step == 0 { random(n + 1) % 2 == 0 } else { before.contains(n) }).collect();
        let changed: Vec<usize> = (0..size).filter(|n| random(*n + 7) % 31 == 0).collect();
        let mut expected = vec!["*app".to_owned()];
        for n in 0..size {
            let sign = match (before.contains(&n), after.contains(&n)) {
                (true, true) if changed.contains(&n) => '*',
                (true, false) => '-',
                (false, true) => '+',
                _ => continue,
            };
            expected.push(format!("{sign}app/file-{n:06}"));
        }
        let heard = differences(many(before.into_iter(), &[]), many(after.into_iter(), &changed)).0;
        assert_eq!(heard, expected, "{size} {step}");
    }
}

#[test]
fn a_lost_page_hides_its_directory_only() {
    let fixture = Fixture::new();
    let keep = || ("keep", many(0..3, &[]));
    let old = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![keep()]))]);
    let before = fixture.store.names();
    let lost = fixture.snapshot("h/-/s", 2, vec![("lost", many(0..2, &[]))]);
    for name in fixture.store.names() {
        if !before.contains(&name) && name.as_str().starts_with("packs/") {
            fixture.store.tamper(&name, |bytes| bytes.truncate(40));
        }
    }
    let index = fixture.index();
    let reader = BlobReader::new(&fixture.repo, &index);
    let mut heard = Heard::default();
    compare(&reader, sources(&old.snapshot), sources(&lost.snapshot), b"", &mut heard).unwrap();
    assert_eq!(heard.0[..2], ["-app", "-app/keep"].map(str::to_owned));
    assert_eq!((heard.0.last().unwrap().as_str(), heard.1), ("+lost", 1));
}

#[test]
fn what_does_not_make_a_version_differ() {
    let fixture = Fixture::new();
    let snapshot = fixture.snapshot("h/-/s", 1, vec![("a", fixture::file(b"x"))]);
    let node = snapshot.snapshot.sources[0].root.clone();
    let mut other = node.clone();
    (other.meta.inode, other.meta.links, other.meta.ctime.sec) = (9, 9, 9);
    if let Body::File { content: crate::model::node::Content::Extents(extents), .. } = &mut other.body {
        let crate::model::node::Extent::Data { edge, .. } = &mut extents[0] else { panic!() };
        *edge = 7;
    }
    assert!(What::of_stored(&node, &other).is_nothing());
    other.meta.mode = 0o600;
    other.meta.uid += 1;
    assert_eq!(What::of_stored(&node, &other).words(), ["mode", "owner"]);
    assert!(What::of_stored(&node, &other).is_metadata_only());
    other.body = Body::Fifo;
    assert_eq!(What::of_stored(&node, &other).to_string(), "type, mode, owner");
}
