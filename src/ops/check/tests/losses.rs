//! What damage costs, by series, snapshot and path.

use super::*;

#[test]
fn a_removed_pack_names_the_files_that_are_lost() {
    let fixture = Fixture::new();
    let first = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("kept", fixture::file(b"kept"))]))]);
    let data = packs_of(&fixture, Kind::DataPack);
    let lost = |n| fixture::file(&fixture::noise(500, n));
    let sub = fixture::dir(vec![("line\nfeed", lost(1)), ("z", lost(2))]);
    let entries = vec![("kept", fixture::file(b"kept")), ("sub", sub), ("top", lost(1))];
    let second = fixture.snapshot("h/-/s", 2, vec![("app", fixture::dir(entries))]);
    let third = fixture.snapshot("h/-/t", 3, vec![("x", lost(2))]);
    let gone: Vec<ObjectName> = packs_of(&fixture, Kind::DataPack).into_iter().filter(|n| !data.contains(n)).collect();
    assert_eq!(gone.len(), 1);
    fixture.store.remove(&gone[0]).unwrap();
    for read in [ReadData::None, ReadData::Percent(100.0)] {
        let report = run(&fixture.repo, read);
        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!(finding.object, gone[0].as_str());
        let (two, three) = (second.id.short(), third.id.short());
        let mut expected = vec![
            format!("h/-/s@{two}:app/sub/line\\nfeed"),
            format!("h/-/s@{two}:app/sub/z"),
            format!("h/-/s@{two}:app/top"),
            format!("h/-/t@{three}:x"),
        ];
        expected.sort();
        let mut named = finding.lost.clone();
        named.sort();
        assert_eq!((named, finding.lost_count), (expected, 4));
        assert!(!finding.lost.iter().any(|path| path.contains(&first.id.short())));
    }
}

#[test]
fn a_damaged_segment_costs_what_is_in_it_and_no_more() {
    let fixture = Fixture::new();
    let files = (0..30u64).map(|n| (format!("f{n:02}"), fixture::file(&fixture::noise(2000, n))));
    fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(files.collect()))]);
    let name = packs_of(&fixture, Kind::DataPack).remove(0);
    let report = with_change(&fixture, &name, &|bytes| bytes[5000] ^= 1).unwrap();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert!((1..=5).contains(&finding.lost_count), "{finding:?}");
    assert!(finding.what.contains("tag does not verify") && finding.what.contains("not those of its name"));
    // Cut in the middle: what lies before is kept.
    let report = with_change(&fixture, &name, &|bytes| bytes.truncate(bytes.len() / 2)).unwrap();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert!((4..=12).contains(&finding.lost_count), "{finding:?}");
    // Structure alone sees the length and looks closer.
    fixture.store.tamper(&name, |bytes| bytes.truncate(5000));
    assert!(run(&fixture.repo, ReadData::None).findings[0].lost_count >= 4);
}

#[test]
fn a_lost_directory_counts_what_was_below_it() {
    let fixture = Fixture::new();
    fixture.snapshot("h/-/s", 1, vec![("a", fixture::dir(vec![("x", fixture::file(b"x"))]))]);
    let before = packs_of(&fixture, Kind::TreePack);
    let sub = fixture::dir(vec![("one", fixture::file(b"x")), ("two", fixture::file(b"x"))]);
    fixture.snapshot("h/-/s", 2, vec![("a", fixture::dir(vec![("x", fixture::file(b"x")), ("sub", sub)]))]);
    for name in packs_of(&fixture, Kind::TreePack).into_iter().filter(|name| !before.contains(name)) {
        fixture.store.tamper(&name, |bytes| bytes[40] ^= 1);
    }
    let report = run(&fixture.repo, ReadData::None);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.lost_count, finding.lost.len()), (4, 1), "{finding:?}");
    assert!(finding.lost[0].ends_with(":a/"), "{finding:?}");
}

#[test]
fn a_damaged_index_names_what_nobody_finds_any_more() {
    let fixture = Fixture::new();
    fixture.snapshot("h/-/s", 1, vec![("f", fixture::file(b"f"))]);
    let index = fixture.names("index/").remove(0);
    let report = with_change(&fixture, &index, &|bytes| bytes[100] ^= 1).unwrap();
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.object.as_str(), finding.lost_count), (index.as_str(), 1));
}

#[test]
fn losses_are_told_by_series_snapshot_and_path_with_their_bytes() {
    let fixture = Fixture::new();
    let big = fixture::pieces((0..4).map(|n| Piece::Data(fixture::noise(3000, n))).collect());
    let one =
        fixture.snapshot("h/-/a", 100, vec![("app", fixture::dir(vec![("big", big), ("x", fixture::file(b"x"))]))]);
    let two = fixture.snapshot("h/-/b", 200, vec![("db", fixture::file(&fixture::noise(3000, 1)))]);
    let three = fixture.snapshot("h/-/b", 300, vec![("db", fixture::file(b"whole"))]);
    // The second of the four pieces is the middle of a segment of its own kind: damage what holds it.
    let index = fixture.index();
    let id = fixture.repo.namer().name(BlobKind::Data, &fixture::noise(3000, 1));
    let located = index.locate(index.place(&id).unwrap()).unwrap();
    fixture.store.tamper(&pack::object_name(&located.pack), |bytes| bytes[located.offset as usize + 5] ^= 1);
    let report = whole(&fixture);
    let [a, b] = &report.losses[..] else { panic!("{report:?}") };
    assert_eq!((a.series.as_str(), b.series.as_str()), ("h/-/a", "h/-/b"));
    let [of_one] = &a.snapshots[..] else { panic!("{a:?}") };
    assert_eq!((of_one.id, of_one.time, of_one.entries, of_one.whole), (one.id, Some(100), 1, false));
    assert_eq!((&of_one.paths[0].path[..], of_one.paths[0].size), (&b"app/big"[..], 12_000));
    assert!(of_one.bytes >= 3000 && of_one.bytes < 12_000 && of_one.bytes.is_multiple_of(3000), "{of_one:?}");
    let [of_two] = &b.snapshots[..] else { panic!("{b:?}") };
    assert_eq!((of_two.id, of_two.bytes, &of_two.paths[0].path[..]), (two.id, 3000, &b"db"[..]));
    // A snapshot that cannot be read itself.
    fixture.store.tamper(&fixture.object("h/-/b", &three.id), |bytes| bytes[400] ^= 1);
    let report = whole(&fixture);
    let last = report.losses[1].snapshots.last().unwrap();
    assert_eq!((last.id, last.whole, last.time), (three.id, true, Some(300)));
}

#[test]
fn a_lost_page_in_the_middle_of_a_directory_costs_its_own_entries_only() {
    let fixture = Fixture::new();
    let many = (0..3000).map(|n| (format!("file-{n:05}"), fixture::file(format!("{n}").as_bytes())));
    let listed = fixture.snapshot("h/-/s", 1, vec![("d", fixture::dir(many.collect()))]);
    let Body::Directory { tree, .. } = listed.snapshot.sources[0].root.body else { panic!() };
    let index = fixture.index();
    let reader = BlobReader::new(&fixture.repo, &index);
    let TreePage::Inner(children) = TreePage::decode(&reader.blob(BlobKind::Tree, &tree).unwrap()).unwrap() else {
        panic!()
    };
    assert!(children.len() > 4);
    let located = index.locate(index.place(&children[1].id).unwrap()).unwrap();
    fixture.store.tamper(&pack::object_name(&located.pack), |bytes| bytes[located.offset as usize + 5] ^= 1);
    let report = run(&fixture.repo, ReadData::None);
    let [series] = &report.losses[..] else { panic!("{report:?}") };
    let loss = &series.snapshots[0];
    assert!(loss.entries > 50 && loss.entries < 2000, "{}", loss.entries);
    assert_eq!((loss.paths.len(), &loss.paths[0].path[..]), (1, &b"d/"[..]));
}

#[test]
fn what_leans_on_a_lost_base_is_lost_with_it() {
    let fixture = Fixture::new();
    let base_bytes = fixture::noise(20_000, 1);
    let mut next_bytes = base_bytes.clone();
    next_bytes[10_000] ^= 1;
    let named = |bytes| (fixture.repo.namer().name(BlobKind::Data, bytes), bytes);
    let (base, next) = (named(&base_bytes), named(&next_bytes));
    let base_pack = fixture.forge_pack(&[base], &[]);
    let next_pack = fixture.forge_pack(&[next], &[base]);
    fixture.forge_snapshot("h/-/s", vec![("base", content(&[base])), ("next", content(&[next]))]);
    assert!(bytes(&fixture, &next_pack).len() < 10_000);
    assert_eq!(whole(&fixture).findings, []);
    fixture.store.remove(&base_pack).unwrap();
    let report = run(&fixture.repo, ReadData::None);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!((finding.object.as_str(), finding.lost_count), (base_pack.as_str(), 2));
    let lost: u64 = whole(&fixture).findings.iter().map(|finding| finding.lost_count).sum();
    assert_eq!(lost, 2);
}
