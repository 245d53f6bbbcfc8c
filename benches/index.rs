//! Asking an index of a million blobs, in memory, for one: a hit, a miss, and where a blob lies. The blobs are asked for in no
//! order, so a hit costs what the memory takes to answer.
//!
//! `cargo bench --bench index`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vault::{
    id::{BlobId, IndexId, PackId},
    index::{BlobIndex, Source},
    keys::wrap::WrappedKey,
    pack::{Directory, PackEntry, SegmentEntry},
    segment::BlobEntry,
};

const BLOBS: u32 = 1_000_000;
/// What a repository of that size is loaded as.
const RUNS: u32 = 4;
const PACK_BLOBS: u32 = 500;
const SEGMENT_BLOBS: u32 = 8;

fn blob_id(n: u32) -> BlobId {
    BlobId(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn pack(first: u32) -> PackEntry {
    let segment = |(number, first): (usize, u32)| {
        let blobs: Vec<_> = (first..(first + SEGMENT_BLOBS).min(first / PACK_BLOBS * PACK_BLOBS + PACK_BLOBS))
            .map(|n| BlobEntry { id: blob_id(n), kind: 1, len: 128 << 10 })
            .collect();
        SegmentEntry {
            offset: 32 + ((number as u64) << 20),
            stored: 1 << 20,
            raw: (blobs.len() as u32) << 17,
            codec: 1,
            key: 0,
            counter: number as u64,
            generation: 0,
            bases: Vec::new(),
            blobs,
        }
    };
    let segments = (first..first + PACK_BLOBS).step_by(SEGMENT_BLOBS as usize).enumerate().map(segment).collect();
    let directory = Directory { keys: vec![WrappedKey { enc: [1; 32], sealed: [2; 48] }], segments };
    PackEntry { id: PackId(blob_id(u32::MAX - first).0), len: 80 << 20, kind: 3, directory }
}

fn lookups(c: &mut Criterion) {
    let index = BlobIndex::empty(None);
    for run in 0..RUNS {
        let numbers = run * (BLOBS / RUNS)..(run + 1) * (BLOBS / RUNS);
        let packs: Vec<PackEntry> = numbers.step_by(PACK_BLOBS as usize).map(pack).collect();
        index.absorb(Source { id: IndexId([run as u8; 32]), len: 4096 }, &packs).unwrap();
    }
    assert_eq!(index.len(), BLOBS as usize);
    let ids = |from: u32| (0..1 << 16).map(move |n: u32| blob_id(from + n.wrapping_mul(2_654_435_761) % BLOBS));
    let (there, absent): (Vec<BlobId>, Vec<BlobId>) = (ids(0).collect(), ids(BLOBS).collect());
    assert!(there.iter().all(|id| index.contains(id)) && !absent.iter().any(|id| index.contains(id)));

    let mut group = c.benchmark_group("index of a million");
    group.sample_size(20).throughput(Throughput::Elements(1));
    let (mut hits, mut misses, mut places) = (there.iter().cycle(), absent.iter().cycle(), there.iter().cycle());
    group.bench_function("hit", |b| b.iter(|| index.contains(black_box(hits.next().unwrap()))));
    group.bench_function("miss", |b| b.iter(|| index.contains(black_box(misses.next().unwrap()))));
    group.bench_function("locate", |b| {
        b.iter(|| index.locate(index.place(black_box(places.next().unwrap())).unwrap()).unwrap());
    });
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
