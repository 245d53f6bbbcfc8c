//! Packs read whole: names, directories, segments, blobs.
//!
//! ```text
//! index ─▶ packs ─▶ readers: read in pieces, hash, cut into segments ─▶ workers: open, decompress, verify
//! ```

mod cutter;
mod pipeline;

use super::{ReadData, findings::Findings, objects::Stored, packs::Packs};
use crate::{
    error::{Error, Result},
    id::PackId,
    monitor::Counter,
    pack::PackEntry,
    repo::BlobReader,
    world::random,
};
use crossbeam_channel::{bounded, unbounded};
use pipeline::{Job, Shared};
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
    let chosen = Chosen::new(found, packs, share)?;
    let wanted = |id: &PackId| stored.packs.contains_key(id) && (chosen.holds(id) || packs.odd.contains(id));
    let lengths: Vec<u64> =
        packs.ids().filter(|id| wanted(id)).filter_map(|id| stored.packs.get(id).copied()).collect();
    found.monitor.expect(Counter::Objects, lengths.len() as u64);
    found.monitor.expect(Counter::Stored, lengths.iter().sum());

    let shared = Shared::new(found, reader, stored);
    let readers = (threads / WORKERS_A_READER).clamp(1, READERS_MAX);
    let (send_pack, take_pack) = bounded::<PackEntry>(1);
    let (send_segment, take_segment) = unbounded::<Job>();
    thread::scope(|scope| {
        let shared = &shared;
        for _ in 0..threads {
            let jobs = take_segment.clone();
            start(scope, "verify", move || shared.verify(jobs))?;
        }
        for _ in 0..readers {
            let (packs, segments) = (take_pack.clone(), send_segment.clone());
            start(scope, "read", move || shared.read(packs, segments))?;
        }
        drop((take_pack, take_segment, send_segment));
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
    })?;
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

/// The packs that are read.
struct Chosen {
    seed: [u8; 32],
    /// Packs with a hash up to this one.
    last: Option<u64>,
}

impl Chosen {
    fn new(found: &Findings<'_>, packs: &Packs, share: ReadData) -> Result<Self> {
        let ReadData::Percent(percent) = share else { return Ok(Chosen { seed: [0; 32], last: None }) };
        if !(percent > 0.0 && percent <= 100.0) {
            return Err(Error::usage(format!(
                "{percent} is no share of the data: give more than 0 and at most 100 per cent"
            )));
        }
        let mut chosen = Chosen { seed: random(found.repo.entropy())?, last: Some(u64::MAX) };
        if percent < 100.0 {
            // Exactly that share, rounded up, whatever the hashes.
            let mut hashes: Vec<u64> = packs.ids().map(|id| chosen.hash(id)).collect();
            hashes.sort_unstable();
            let count = (hashes.len() as f64 * percent / 100.0).ceil() as usize;
            chosen.last = count.checked_sub(1).and_then(|last| hashes.get(last).copied());
        }
        Ok(chosen)
    }

    fn hash(&self, id: &PackId) -> u64 {
        let hash = blake3::keyed_hash(&self.seed, &id.0);
        u64::from_le_bytes(std::array::from_fn(|i| hash.as_bytes()[i]))
    }

    fn holds(&self, id: &PackId) -> bool {
        self.last.is_some_and(|last| self.hash(id) <= last)
    }
}
