//! Segments that lean on one another.

use crate::ops::restore::{Request, restore};
use crate::{
    monitor::Silent,
    ops::{
        fixture::{self, Fixture},
        snapshot::snapshot,
    },
    store::watched::Watched,
};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What is needed itself, and by others that lean on it, is fetched once.
#[test]
fn each_segment_is_read_once_whatever_leans_on_it() {
    let fixture = Fixture::new();
    // What can be compressed lies in segments of several blobs.
    let first = fixture::noise(6 << 20, 1);
    let mut bytes = first.clone();
    let (tree, mut id) = (tempfile::tempdir().unwrap(), None);
    for night in 0..3_u64 {
        for (name, bytes) in [("kept", &first), ("dump", &bytes)] {
            std::fs::write(tree.path().join(name), bytes).unwrap();
        }
        let request = fixture::request("h/-/s", vec![fixture::path("tree", tree.path())]);
        id = snapshot(&fixture.repo, request, &Silent).unwrap().id;
        for place in 0..4_usize {
            let at = (place * 1_507_009 + night as usize * 271_993) % (bytes.len() - 100);
            bytes[at..at + 100].copy_from_slice(&fixture::noise(100, 1000 * night + place as u64));
        }
    }
    let packs = fixture::listed_packs(&fixture.repo);
    let segments = packs.iter().flat_map(|pack| &pack.directory.segments);
    assert!(segments.clone().filter(|segment| !segment.bases.is_empty()).count() > 1);
    let read = Arc::new(AtomicU64::new(0));
    let count = read.clone();
    let counting = move |_, name: &str, bytes: Range<u64>| {
        if name.starts_with("packs/") {
            count.fetch_add(bytes.end - bytes.start, Ordering::Relaxed);
        }
        Ok(())
    };
    let repo = fixture.reopen(Arc::new(Watched::by(&fixture.store, counting)));
    let (index, _) = repo.load_index(false).unwrap();
    let listed = repo.snapshots(None).unwrap().listed.into_iter().find(|listed| Some(listed.id) == id).unwrap();
    let reader = crate::repo::BlobReader::new(&repo, &index);
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("out");
    let request = Request { target: target.as_os_str().as_encoded_bytes().to_vec(), threads: 2, ..Request::default() };
    let before = read.load(Ordering::Relaxed);
    let report = restore(&reader, &listed, &request, &Silent).unwrap();
    assert_eq!(report.problems, []);
    let read = read.load(Ordering::Relaxed) - before;
    let stored: u64 = segments.map(|segment| u64::from(segment.stored)).sum();
    assert!((1..=stored).contains(&read), "{read} bytes were read of {stored}");
    assert_eq!(std::fs::read(target.join("kept")).unwrap(), first);
    assert_ne!(std::fs::read(target.join("dump")).unwrap(), first);
}
