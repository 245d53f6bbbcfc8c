use super::*;
use crate::{
    hash::{self, BlobKind, BlobNamer},
    id::{BlobId, IndexId, PackId},
    keys::wrap::WrappedKey,
    pack::{Directory, PackEntry, SegmentEntry},
    segment::BlobEntry,
};

pub(crate) fn blob_id(n: u32) -> BlobId {
    BlobNamer::new([1; 32], [2; 32], [3; 32]).name(BlobKind::Data, &n.to_le_bytes())
}

/// A pack whose segments hold ten blobs each, the blobs numbered from `first`.
pub(crate) fn pack(first: u32, count: u32) -> PackEntry {
    let ids: Vec<u32> = (first..first + count).collect();
    let segments = ids
        .chunks(10)
        .enumerate()
        .map(|(i, ids)| SegmentEntry {
            offset: 32 + i as u64 * 1000,
            stored: 900,
            raw: ids.len() as u32 * 100,
            codec: 1,
            key: (i % 2) as u32,
            counter: i as u64,
            generation: 0,
            bases: vec![],
            blobs: ids.iter().map(|&n| BlobEntry { id: blob_id(n), kind: 1, len: 100 }).collect(),
        })
        .collect();
    let key = |n| WrappedKey { enc: [n; 32], sealed: [n; 48] };
    let directory = Directory { keys: vec![key(first as u8), key((first as u8).wrapping_add(1))], segments };
    PackEntry { id: PackId(hash::object_name(&first.to_le_bytes())), len: 1 << 20, kind: 3, directory }
}

fn source(n: u8) -> Source {
    Source { id: IndexId([n; 32]), len: u64::from(n) * 4096 }
}

fn run(sources: &[Source], packs: &[PackEntry]) -> Run {
    let mut bytes = Vec::new();
    build(sources, packs, &mut bytes).unwrap();
    Run::in_memory(bytes).unwrap()
}

fn assert_holds(run: &Run, packs: &[PackEntry]) {
    for pack in packs {
        for segment in &pack.directory.segments {
            for (i, blob) in segment.blobs.iter().enumerate() {
                let row = run.find(&blob.id).find(|row| run.pack_of(row.segment) == Some(pack.id)).unwrap();
                assert_eq!((row.offset, row.len), (i as u32 * 100, 100));
                let located = run.locate(row.segment).unwrap();
                assert_eq!((located.pack, located.offset, located.stored), (pack.id, segment.offset, 900));
                assert_eq!(located.key, pack.directory.keys[segment.key as usize]);
                assert_eq!(located.recipe, segment.recipe());
            }
        }
    }
}

#[test]
fn every_blob_is_found_and_no_other() {
    let packs = [pack(0, 5000), pack(5000, 95)];
    let run = run(&[source(1)], &packs);
    assert_eq!(run.len(), 5095);
    assert_holds(&run, &packs);
    assert!((6000..9000).all(|n| !run.contains(&blob_id(n))));
}

#[test]
fn merged_tables_hold_what_their_parts_held() {
    let packs = [pack(0, 1000), pack(700, 1000), pack(3000, 7)];
    let parts = [run(&[source(1)], &packs[..1]), run(&[source(2)], &packs[1..2]), run(&[source(3)], &packs[2..])];
    let mut bytes = Vec::new();
    merge(&parts.iter().collect::<Vec<_>>(), &mut bytes).unwrap();
    let merged = Run::in_memory(bytes).unwrap();
    assert_holds(&merged, &packs);
    assert_eq!(merged.sources().collect::<Vec<_>>(), [source(1), source(2), source(3)]);
    assert_eq!(merged.find(&blob_id(800)).count(), 2);
}

#[test]
fn damaged_tables_are_refused_or_answer_without_harm() {
    let mut bytes = Vec::new();
    build(&[], &[pack(0, 300)], &mut bytes).unwrap();
    assert!(Run::in_memory(bytes[..bytes.len() - 1].to_vec()).is_none());
    assert!(Run::in_memory(Vec::new()).is_none());
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0xff;
        let Some(run) = Run::in_memory(wrong) else { continue };
        assert!(at >= HEADER_LEN, "a header with a wrong byte at {at} is taken");
        for n in (0..300).step_by(50) {
            let _: Vec<_> = run.find(&blob_id(n)).filter_map(|row| run.locate(row.segment)).collect();
        }
    }
}
