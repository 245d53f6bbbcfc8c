//! Packs read whole: names, directories, segments, blobs.
//!
//! ```text
//! index ─▶ packs ─▶ readers: read in pieces, hash, cut into segments ─▶ workers: open, decompress, verify
//! ```

mod cutter;
mod pipeline;
mod queue;

use super::{ReadData, findings::Findings, objects::Stored, packs::Packs};
use crate::{
    error::{Error, Result},
    id::PackId,
    monitor::Counter,
    pack::PackEntry,
    repo::{BlobReader, checked::Reading},
    world::random,
};
use crossbeam_channel::{bounded, unbounded};
use pipeline::{IN_FLIGHT, Job, Shared};
use queue::Queue;
use std::{collections::HashSet, thread};

/// Workers that one reader, which hashes what it reads, keeps busy.
const WORKERS_A_READER: usize = 4;
const READERS_MAX: usize = 4;

/// How much was read.
#[derive(Default)]
pub(super) struct Read {
    pub(super) packs: u64,
    pub(super) bytes: u64,
}

/// Reads the share of the packs that was asked for, and those that have a wrong length.
pub(super) fn read(
    found: &Findings<'_>,
    reader: &BlobReader<'_>,
    packs: &Packs,
    stored: &Stored,
    share: ReadData,
    threads: usize,
) -> Result<Read> {
    let chosen = choose(found, packs, stored, share)?;
    let wanted = |id: &PackId| stored.packs.contains_key(id) && chosen.contains(id);
    let lengths: Vec<u64> =
        packs.ids().filter(|id| wanted(id)).filter_map(|id| stored.packs.get(id).copied()).collect();
    found.monitor.expect(Counter::Objects, lengths.len() as u64);
    found.monitor.expect(Counter::Stored, lengths.iter().sum());

    let shared = Shared::new(found, reader, stored);
    // Kept also when the check is stopped: the next one goes on from there.
    let keep = |shared: &Shared<'_, '_>| {
        let sec = found.repo.clock().now().sec;
        let read = shared.done().into_iter().map(|(id, whole)| (id, Reading { sec, whole }));
        found.repo.checked().save(read, &|id| stored.packs.contains_key(id));
    };
    let readers = (threads / WORKERS_A_READER).clamp(1, READERS_MAX);
    let (send_pack, take_pack) = bounded::<PackEntry>(1);
    let (send_segment, take_segment) = unbounded::<Job>();
    let queue = Queue::new(take_segment, IN_FLIGHT / (2 * threads.max(1) as u64));
    let begun = thread::scope(|scope| {
        let (shared, queue) = (&shared, &queue);
        for _ in 0..threads {
            start(scope, "verify", move || shared.verify(queue))?;
        }
        for _ in 0..readers {
            let (packs, segments) = (take_pack.clone(), send_segment.clone());
            start(scope, "read", move || shared.read(packs, segments))?;
        }
        drop((take_pack, send_segment));
        let mut done = HashSet::new();
        let sent = packs.each(found, &mut |_, entry| {
            if wanted(&entry.id) && done.insert(entry.id) {
                // Readers end before the packs do only when one of them failed.
                send_pack.send(entry).map_err(|_| Error::Cancelled)?;
            }
            Ok(())
        });
        drop(send_pack);
        if let Err(error) = sent {
            shared.fail(error);
        }
        Ok::<(), Error>(())
    });
    keep(&shared);
    begun?;
    shared.finish()
}

fn start<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> Result<()> {
    let spawned = thread::Builder::new().name(name.into()).spawn_scoped(scope, work);
    spawned.map(drop).map_err(|e| Error::store("start a thread for", "packs", e))
}

/// The packs that are read: of the share those that were not read for the longest time, and besides it those in which the last
/// reading found damage.
fn choose(found: &Findings<'_>, packs: &Packs, stored: &Stored, share: ReadData) -> Result<HashSet<PackId>> {
    let checked = found.repo.checked();
    let mut chosen: HashSet<PackId> = packs.odd.clone();
    chosen.extend(checked.damaged());
    let ReadData::Percent(percent) = share else { return Ok(chosen) };
    let len = |id: &PackId| stored.packs.get(id).copied().unwrap_or(0);
    let mut left = share_of(percent, packs.ids().map(len).sum())?;
    let seed: [u8; 32] = random(found.repo.entropy())?;
    let mut ids: Vec<&PackId> = packs.ids().filter(|id| !chosen.contains(*id)).collect();
    ids.sort_by_cached_key(|id| turn(checked.last(id), &seed, &id.0));
    for id in ids {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(len(id));
        chosen.insert(*id);
    }
    Ok(chosen)
}

/// So many of so many bytes, at least one if there are any.
pub(super) fn share_of(percent: f64, bytes: u64) -> Result<u64> {
    if percent > 0.0 && percent <= 100.0 {
        return Ok((bytes as f64 * percent / 100.0).ceil() as u64);
    }
    Err(Error::usage(format!("{percent} is no share of the data: give more than 0 and at most 100 per cent")))
}

/// Sorts by when it was read last. Of those that were read at the same time, or never, any: clients that cannot keep dates come
/// round all the same.
pub(super) fn turn(last: Option<Reading>, seed: &[u8; 32], name: &[u8]) -> (i64, [u8; 32]) {
    (last.map_or(i64::MIN, |reading| reading.sec), *blake3::keyed_hash(seed, name).as_bytes())
}
