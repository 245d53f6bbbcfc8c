//! Lanes, the claim table and the packer at work together, in many orders: `cargo test --lib --features interleaved interleaved`.

use super::fixture::{self, Fixture};
use crate::{
    compress::Compression,
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    index::BlobIndex,
    monitor::Silent,
    object::Kind,
    pack::SegmentEntry,
    repo::{BlobReader, Lane, Repository, WriteOptions, Writer, Written, handover},
    store::faulty::{Fault, FaultyStore, Op},
};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};
use std::{collections::BTreeSet, io::ErrorKind, sync::Arc};

/// Orders that are tried, of each kind: each seals and opens.
const ORDERS: usize = 300;

fn in_many_orders(scene: impl Fn() + Send + Sync + Clone + 'static) {
    let mut config = Config::new();
    // What seals and compresses takes more than the little that threads are given there.
    config.stack_size = 4 << 20;
    Runner::new(RandomScheduler::new(ORDERS), config.clone()).run(scene.clone());
    Runner::new(PctScheduler::new(3, ORDERS), config).run(scene);
}

/// Each of these fills a segment by itself.
fn blob(n: u64) -> Vec<u8> {
    fixture::noise(8192, n)
}

/// A lane that stores these.
fn lane(writer: &Writer<'_>, numbers: std::ops::Range<u64>) -> Result<Vec<BlobId>> {
    let mut lane = writer.lane(Kind::DataPack);
    let ids = numbers.map(|n| lane.store(BlobKind::Data, &blob(n))).collect::<Result<Vec<_>>>()?;
    lane.flush()?;
    Ok(ids)
}

const OPTIONS: WriteOptions = WriteOptions { compression: Compression::None, pretend: false };

/// The blobs of these segments, none of which is there twice.
fn listed<'s>(segments: impl Iterator<Item = &'s SegmentEntry>) -> BTreeSet<BlobId> {
    let mut listed = BTreeSet::new();
    segments.flat_map(|segment| &segment.blobs).for_each(|blob| assert!(listed.insert(blob.id), "{}", blob.id));
    listed
}

/// How many of these blobs an index lists: each of them is read, and right.
fn what_is_listed_is_whole(fixture: &Fixture, blobs: impl Iterator<Item = Vec<u8>>) -> usize {
    let (index, unreadable) = fixture.repo.load_index(true).unwrap();
    assert!(unreadable.is_empty());
    let reader = BlobReader::new(&fixture.repo, &index);
    let named = blobs.map(|blob| (fixture.repo.namer().name(BlobKind::Data, &blob), blob));
    let there = named.filter(|(id, _)| index.place(id).is_some());
    there.map(|(id, blob)| assert_eq!(reader.blob(BlobKind::Data, &id).unwrap(), blob)).count()
}

/// Two lanes store blobs of which they have two in common.
fn write(repo: &Repository, index: &BlobIndex) -> Result<(Vec<BlobId>, Written)> {
    let session = repo.begin("host", false, &Silent)?;
    session.write(index, OPTIONS, &Silent, |writer| {
        handover::scope(|scope| {
            let other = handover::spawn(scope, "lane", || lane(writer, 0..4)).unwrap();
            let own = lane(writer, 2..6);
            let other = other.join().map_err(|_| Error::Cancelled)?;
            Ok([own?, other?].concat())
        })
    })
}

/// One of several in a segment, and of several in a row.
fn small(n: u64) -> Vec<u8> {
    fixture::noise(1500 + 200 * n as usize, n)
}

/// What two lanes named that fill segments together: rows of three, of which they have one in common.
fn write_rows(repo: &Repository, index: &BlobIndex) -> Result<(Vec<BlobId>, Written)> {
    fn rows(mut lane: Lane<'_>, first: u64) -> Result<Vec<BlobId>> {
        let mut ids = Vec::new();
        for first in [first, first + 3, first + 6] {
            let blobs = [first, first + 1, first + 2].map(small);
            let mut row = lane.row();
            ids.extend([row.store(BlobKind::Data, &blobs[0]), row.store(BlobKind::Data, &blobs[1])]);
            ids.push(row.store_near(BlobKind::Data, &blobs[2], Vec::new)?);
            row.lay()?;
        }
        lane.flush()?;
        Ok(ids)
    }
    let session = repo.begin("host", false, &Silent)?;
    session.write(index, OPTIONS, &Silent, |writer| {
        let mut lanes = writer.lanes(Kind::DataPack, 2).into_iter();
        let (Some(first), Some(second)) = (lanes.next(), lanes.next()) else { return Ok(Vec::new()) };
        handover::scope(|scope| {
            let other = handover::spawn(scope, "lane", || rows(second, 0)).unwrap();
            let own = rows(first, 6);
            let other = other.join().map_err(|_| Error::Cancelled)?;
            Ok([own?, other?].concat())
        })
    })
}

/// Whichever lane seals what the other has laid, and whichever is done first.
#[test]
fn what_lanes_lay_side_by_side_is_stored_once_and_whole() {
    in_many_orders(|| {
        let fixture = Fixture::new();
        let (named, written) = write_rows(&fixture.repo, &BlobIndex::empty(None)).unwrap();
        let ids: BTreeSet<BlobId> = named.into_iter().collect();
        let total: u64 = (0..15).map(|n| small(n).len() as u64).sum();
        assert_eq!((ids.len(), written.bytes_new), (15, total));
        let packs = fixture::listed_packs(&fixture.repo);
        let segments = || packs.iter().flat_map(|pack| &pack.directory.segments);
        assert_eq!(listed(segments()), ids);
        assert!(segments().any(|segment| segment.blobs.len() > 1));
        assert_eq!(what_is_listed_is_whole(&fixture, (0..15).map(small)), 15);
    });
}

#[test]
fn a_store_that_fails_ends_lanes_that_fill_segments_together() {
    for (op, nth) in [(Op::Append, 2), (Op::Finish, 1)] {
        in_many_orders(move || {
            let fixture = Fixture::new();
            let store = Arc::new(FaultyStore::new(fixture.store.clone()));
            let repo = fixture.reopen(store.clone());
            store.plan(Fault::on(op, nth + 1, ErrorKind::StorageFull).lasting());
            let error = write_rows(&repo, &BlobIndex::empty(None)).unwrap_err();
            assert!(error.is_store_full(), "{op:?}: {error}");
            what_is_listed_is_whole(&fixture, (0..15).map(small));
        });
    }
}

#[test]
fn each_blob_is_stored_once_and_listed() {
    in_many_orders(|| {
        let fixture = Fixture::new();
        let (named, written) = write(&fixture.repo, &BlobIndex::empty(None)).unwrap();
        let ids: BTreeSet<BlobId> = named.into_iter().collect();
        assert_eq!((ids.len(), written.bytes_new), (6, 6 * 8192));
        let packs = fixture::listed_packs(&fixture.repo);
        assert_eq!(listed(packs.iter().flat_map(|pack| &pack.directory.segments)), ids);
        assert!(packs.len() > 1 && packs.len() as u64 == written.data_packs, "{written:?}");
        assert_eq!(what_is_listed_is_whole(&fixture, (0..6).map(blob)), 6);
    });
}

/// Lanes that wait for a packer which has given up must not wait for ever, and its error is the one that is told.
#[test]
fn a_store_that_fails_ends_all_of_them() {
    for (op, nth) in [(Op::Upload, 1), (Op::Append, 2), (Op::Finish, 1), (Op::Sync, 1)] {
        in_many_orders(move || {
            let fixture = Fixture::new();
            let store = Arc::new(FaultyStore::new(fixture.store.clone()));
            let repo = fixture.reopen(store.clone());
            // The session's own object is stored before.
            let past = if op == Op::Sync { 1 } else { nth + 1 };
            store.plan(Fault::on(op, past, ErrorKind::StorageFull).lasting());
            let error = write(&repo, &BlobIndex::empty(None)).unwrap_err();
            assert!(error.is_store_full(), "{op:?}: {error}");
            what_is_listed_is_whole(&fixture, (0..6).map(blob));
        });
    }
}
