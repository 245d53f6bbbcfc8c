//! Blobs from the source into the copy, through lanes of its writer: several at once.

use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    index::BlobIndex,
    object::Kind,
    ops,
    repo::{BlobReader, Lane, Writer},
};
use std::{collections::HashMap, thread};

/// Fewer blobs than this are not worth a second thread.
const ALONE: usize = 8;
/// Bases of a blob's segment that are looked at, on either side of its place.
const NEAR: usize = 2;

/// Why a snapshot is not copied.
pub(super) enum Trouble {
    /// Something of it cannot be read.
    Lost(Error),
    /// Nothing can be copied any more.
    Fatal(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Fatal(error)
    }
}

/// What comes of one.
pub(super) type Rewritten<T> = Result<T, Trouble>;

/// A blob to be stored, and true when it is a file of its own.
pub(super) type Carried = (BlobId, bool);

/// Where blobs go.
pub(super) struct Lanes<'w> {
    data: Vec<Lane<'w>>,
    pub(super) tree: Lane<'w>,
}

impl<'w> Lanes<'w> {
    /// `threads`: how many at once, 0 for one a core.
    pub(super) fn new(writer: &'w Writer<'w>, leans_on: Option<&'w BlobReader<'w>>, threads: usize) -> Self {
        let lane = |_| {
            let lane = writer.lane(Kind::DataPack);
            match leans_on {
                Some(reader) => lane.leaning_on(reader),
                None => lane,
            }
        };
        // Each carries a stretch of its own, whose neighbours lie in it: nothing is gained by filling segments together.
        Lanes { data: (0..ops::threads(threads)).map(lane).collect(), tree: writer.lane(Kind::TreePack) }
    }

    /// Passes on what is open.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.data.iter_mut().try_for_each(Lane::flush)?;
        self.tree.flush()
    }

    /// Reads blobs and stores them under their other names, which are returned, with the sum of their lengths in bytes. `known` are
    /// other names of blobs that were carried before.
    pub(super) fn carry(
        &mut self,
        from: &BlobReader<'_>,
        known: &HashMap<BlobId, BlobId>,
        ids: &[Carried],
    ) -> Rewritten<(Vec<BlobId>, u64)> {
        let one = |lane: &mut Lane<'_>, ids: &[Carried]| -> Rewritten<(Vec<BlobId>, u64)> {
            let (mut new, mut read) = (Vec::with_capacity(ids.len()), 0);
            for (id, whole) in ids {
                let bytes = from.blob(BlobKind::Data, id).map_err(|error| lost(from, error))?;
                read += bytes.len() as u64;
                let near = near(from.index(), known, id);
                new.push(match (whole, near.is_empty()) {
                    (true, true) => lane.store(BlobKind::Data, &bytes)?,
                    _ => lane.store_near(BlobKind::Data, &bytes, || near)?,
                });
            }
            Ok((new, read))
        };
        let parts = if ids.len() < ALONE { 1 } else { self.data.len().max(1) };
        let chunks = ids.chunks(ids.len().div_ceil(parts));
        let made: Vec<Rewritten<(Vec<BlobId>, u64)>> = thread::scope(|scope| {
            let mut waiting = Vec::new();
            let mut made = Vec::new();
            let mut work = self.data.iter_mut().zip(chunks);
            let first = work.next();
            for (lane, ids) in work {
                let one = &one;
                match thread::Builder::new().name("copy".into()).spawn_scoped(scope, move || one(lane, ids)) {
                    Ok(thread) => waiting.push(thread),
                    Err(e) => made.push(Err(Trouble::Fatal(Error::store("start a thread for", "blobs", e)))),
                }
            }
            let own = first.map(|(lane, ids)| one(lane, ids));
            let died = || Err(Trouble::Fatal(Error::Hardware { what: "a thread that copies blobs died".into() }));
            let others = waiting.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died()));
            own.into_iter().chain(others.collect::<Vec<_>>()).chain(made).collect()
        });
        let (mut new, mut bytes) = (Vec::with_capacity(ids.len()), 0);
        for part in made {
            let (part, read) = part?;
            bytes += read;
            new.extend(part);
        }
        Ok((new, bytes))
    }
}

/// Fails of the store as a whole are none of one snapshot.
pub(super) fn lost(from: &BlobReader<'_>, error: Error) -> Trouble {
    match error {
        Error::Corrupt { .. } | Error::Missing { .. } => Trouble::Lost(error),
        Error::Store { .. } if from.repo().is_there() => Trouble::Lost(error),
        error => Trouble::Fatal(error),
    }
}

/// The names that blobs of the copy have on which this one may lean: those of what it leans on here, around the same place.
fn near(index: &BlobIndex, data: &HashMap<BlobId, BlobId>, id: &BlobId) -> Vec<BlobId> {
    let Some(place) = index.place(id) else { return Vec::new() };
    let Some(located) = index.locate(place) else { return Vec::new() };
    let count = located.bases.len();
    let scale = |at: u64| (at * count as u64 / u64::from(located.recipe.raw).max(1)) as usize;
    let offset = u64::from(place.row.offset);
    let first = scale(offset).saturating_sub(NEAR).min(count);
    let last = (scale(offset + u64::from(place.row.len)) + 1 + NEAR).min(count);
    located.bases.get(first..last).unwrap_or_default().iter().filter_map(|base| data.get(base).copied()).collect()
}
