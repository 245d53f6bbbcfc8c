//! Objects that are whole, and make no sense.

use super::*;
use crate::{
    model::{
        codec,
        tree::{ListChild, ListPage, TreeChild},
    },
    name::Name,
};

#[test]
fn blobs_under_ids_that_are_not_theirs_are_found_one_by_one() {
    let fixture = Fixture::new();
    let good = (fixture.repo.namer().name(BlobKind::Data, b"good"), &b"good"[..]);
    let bad = (BlobId([7; crate::id::BLOB_ID_LEN]), &b"bad"[..]);
    let pack = fixture.forge_pack(&[good, bad], &[]);
    fixture.forge_snapshot("h/-/s", vec![("bad", content(&[good, bad])), ("good", content(&[good]))]);
    assert_eq!(run(&fixture.repo, ReadData::None).findings, []);
    let report = whole(&fixture);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.object.as_str(), finding.lost_count), (pack.as_str(), 1), "{finding:?}");
    assert!(finding.lost[0].ends_with(":bad") && finding.what.contains("other bytes"), "{finding:?}");
}

#[test]
fn pages_that_make_no_sense_are_findings_and_name_their_directories() {
    let fixture = Fixture::new();
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    let leaf = |names: &[&str]| {
        let listed = fixture.snapshot(
            "h/-/leaf",
            1,
            vec![("d", fixture::dir(names.iter().map(|name| (*name, fixture::file(b"x"))).collect()))],
        );
        match listed.snapshot.sources[0].root.body {
            Body::Directory { tree, .. } => tree,
            _ => unreachable!(),
        }
    };
    let (ab, bc, d) = (leaf(&["a", "b"]), leaf(&["b", "c"]), leaf(&["d"]));
    let dir = |tree| Body::Directory { tree, entries: 3, bytes: 3 };
    let inner = |children: &[(&str, BlobId)]| {
        let children = children.iter().map(|(first, id)| TreeChild { first: name(first), id: *id }).collect();
        dir(fixture.store_page(BlobKind::Tree, &codec::encode(&TreePage::Inner(children))))
    };
    let blob = fixture.repo.namer().name(BlobKind::Data, b"x");
    let list = |page: ListPage, size| {
        let id = fixture.store_page(BlobKind::List, &codec::encode(&page));
        Body::File { size, content: Content::Paged(id) }
    };
    let two_bytes = fixture.store_page(BlobKind::List, &codec::encode(&ListPage::Leaf(vec![Extent::Hole { len: 2 }])));
    let right = inner(&[("a", ab), ("d", d)]);
    assert_eq!(whole(&fixture).findings, []);
    for (what, body) in [
        ("no page at all", dir(fixture.store_page(BlobKind::Tree, b"garbage"))),
        ("names that overlap", inner(&[("a", ab), ("b", bc)])),
        ("another first name", inner(&[("a", ab), ("c", d)])),
        ("a page that is nowhere", dir(BlobId([9; crate::id::BLOB_ID_LEN]))),
        ("a page of the other kind", dir(two_bytes)),
        ("lengths that do not add up", list(ListPage::Inner(vec![ListChild { len: 3, id: two_bytes }]), 3)),
        ("a size that is not the list's", list(ListPage::Leaf(vec![Extent::Hole { len: 3 }]), 4)),
        (
            "an extent too long",
            Body::File { size: 2, content: Content::Extents(vec![Extent::Data { id: blob, len: 2, edge: 0 }]) },
        ),
        ("a blob that is nowhere", content(&[(BlobId([8; crate::id::BLOB_ID_LEN]), &b"x"[..])])),
    ] {
        let listed = fixture.forge_snapshot("h/-/forged", vec![("bad", body), ("right", right.clone())]);
        let report = run(&fixture.repo, ReadData::None);
        let lost: Vec<&String> = report.findings.iter().flat_map(|finding| &finding.lost).collect();
        assert!(matches!(lost[..], [path] if path.contains("bad")), "{what}: {report:?}");
        fixture.store.remove(&fixture.object("h/-/forged", &listed.id)).unwrap();
        assert_eq!(run(&fixture.repo, ReadData::None).findings, [], "{what}");
    }
}
