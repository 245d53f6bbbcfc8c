//! Segments that are whole, of packs that are not, moved into new packs; and what is missing, fetched from another repository.

use super::{
    Donor,
    health::{Catalog, Health, Segments, Sound, can_open, of_one},
};
use crate::{
    error::Result,
    id::{BlobId, PackId},
    model::limits,
    monitor::{Counter, Monitor},
    object::Kind,
    pack::{self, PackEntry, write::Sealed},
};
use std::collections::{HashMap, HashSet};

/// A pack that is damaged or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPack {
    /// Its name.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Number of its segments.
    pub segments: u64,
    /// Those that are whole.
    pub good: u64,
    /// True when it was marked as damaged before.
    pub known: bool,
}

/// What is moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packs {
    /// The packs that are not what they should be.
    pub damaged: Vec<DamagedPack>,
    /// Packs that were read whole to find out.
    pub read: u64,
    /// Segments of theirs that lie nowhere else and are moved into new packs.
    pub moved: u64,
    /// Their bytes.
    pub moved_bytes: u64,
    /// Segments that are fetched from the other repository.
    pub fetched: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Blobs that no place is left for.
    pub missing: u64,
    /// Packs that are marked as damaged now: writers no longer rely on them, and a prune takes them away.
    pub marked: u64,
}

/// Where segments come from, and what is known of them.
pub(super) struct Moves<'a> {
    pub(super) here: &'a Catalog<'a>,
    pub(super) health: &'a Health,
    pub(super) sound: &'a Sound<'a>,
    pub(super) donor: Option<&'a Donor<'a>>,
    /// Packs that notes name.
    pub(super) named: &'a HashSet<PackId>,
    pub(super) monitor: &'a dyn Monitor,
}

/// What came of the moves.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) packs: Packs,
    /// Blobs that were moved or fetched.
    pub(super) covered: HashSet<BlobId>,
}

impl Moves<'_> {
    /// Calls `each` with every segment that is to be put into a new pack: those needed to have all that damaged packs held, and what
    /// is `wanted` besides. The same repositories give the same segments each time.
    pub(super) fn each(
        &self,
        wanted: &HashSet<BlobId>,
        each: &mut dyn FnMut(Kind, Sealed) -> Result<()>,
    ) -> Result<Moved> {
        let mut moved = Moved::default();
        let mut lost: HashSet<BlobId> = wanted.clone();
        self.salvage(&mut moved, &mut lost, each)?;
        if let Some(donor) = self.donor {
            // What is fetched may lean on more that is missing.
            for _ in 0..=limits::DELTA_DEPTH_MAX {
                lost.retain(|id| !moved.covered.contains(id));
                if lost.is_empty() || !self.fetch(donor, &mut moved, &mut lost, each)? {
                    break;
                }
            }
        }
        lost.retain(|id| !moved.covered.contains(id));
        moved.packs.missing = lost.len() as u64;
        moved.packs.read = self.health.read;
        moved.packs.damaged = self.health.bad.iter().map(|(id, bad)| self.describe(id, bad)).collect();
        Ok(moved)
    }

    fn describe(&self, id: &PackId, bad: &super::health::Bad) -> DamagedPack {
        DamagedPack {
            object: pack::object_name(id).to_string(),
            what: bad.why.clone(),
            segments: bad.segments,
            good: bad.good.len() as u64,
            known: self.named.contains(id),
        }
    }

    /// Good segments of packs that are damaged; what is in the others goes to `lost`.
    fn salvage(
        &self,
        moved: &mut Moved,
        lost: &mut HashSet<BlobId>,
        each: &mut dyn FnMut(Kind, Sealed) -> Result<()>,
    ) -> Result<()> {
        let repo = self.here.repo;
        self.here.each(self.monitor, &mut |entry| {
            let Some(bad) = self.health.bad.get(&entry.id) else {
                let bases = entry.directory.segments.iter().flat_map(|segment| &segment.bases);
                lost.extend(bases.filter(|base| self.here.index.place(base).is_none()));
                return Ok(());
            };
            let Some(mut segments) = Segments::new(repo, repo.store(), &entry) else { return Ok(()) };
            for segment in &entry.directory.segments {
                self.monitor.check()?;
                let here = |blob: &BlobId| moved.covered.contains(blob) || self.sound.is_safe(blob);
                if segment.blobs.iter().all(|blob| here(&blob.id)) {
                    continue;
                }
                let bytes = if bad.good.contains(&segment.offset) { segments.proven(segment).ok() } else { None };
                match bytes.and_then(|bytes| segments.sealed(segment, bytes)) {
                    Some(sealed) => {
                        moved.packs.moved += 1;
                        moved.packs.moved_bytes += u64::from(segment.stored);
                        moved.covered.extend(segment.blobs.iter().map(|blob| blob.id));
                        self.monitor.add(Counter::Stored, u64::from(segment.stored));
                        each(kind_of(&entry), sealed)?;
                    }
                    None => lost.extend(segment.blobs.iter().map(|blob| blob.id).filter(|id| !self.sound.is_safe(id))),
                }
            }
            Ok(())
        })
    }

    /// Segments of the other repository that hold what is lost. False when there was nothing new.
    fn fetch(
        &self,
        donor: &Donor<'_>,
        moved: &mut Moved,
        lost: &mut HashSet<BlobId>,
        each: &mut dyn FnMut(Kind, Sealed) -> Result<()>,
    ) -> Result<bool> {
        let before = moved.covered.len();
        let mut whole: HashMap<PackId, bool> = HashMap::new();
        let repo = self.here.repo;
        donor.catalog().each(self.monitor, &mut |entry| {
            let Some(mut segments) = Segments::new(repo, donor.repo.store(), &entry) else { return Ok(()) };
            let kind = kind_of(&entry);
            for segment in &entry.directory.segments {
                let holds = |id: &BlobId| lost.contains(id) && !moved.covered.contains(id);
                if !segment.blobs.iter().any(|blob| holds(&blob.id)) {
                    continue;
                }
                self.monitor.check()?;
                let bytes = if can_open(repo, kind) {
                    segments.proven(segment)
                } else {
                    // Whoever cannot open it can still hold the whole pack against its name.
                    let is_whole =
                        *whole.entry(entry.id).or_insert_with(|| donor.repo.is_whole(&entry.id).unwrap_or(false));
                    match is_whole {
                        true => segments.bytes(segment),
                        false => continue,
                    }
                };
                let bytes = match bytes {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        of_one(donor.repo, error)?;
                        continue;
                    }
                };
                let Some(sealed) = segments.sealed(segment, bytes) else { continue };
                moved.packs.fetched += 1;
                moved.packs.fetched_bytes += u64::from(segment.stored);
                moved.covered.extend(segment.blobs.iter().map(|blob| blob.id));
                lost.extend(segment.bases.iter().filter(|base| !self.sound.is_safe(base)));
                self.monitor.add(Counter::Stored, u64::from(segment.stored));
                each(kind, sealed)?;
            }
            Ok(())
        })?;
        Ok(moved.covered.len() > before)
    }
}

fn kind_of(entry: &PackEntry) -> Kind {
    // Checked when the index object was decoded.
    Kind::of_pack(entry.kind).unwrap_or(Kind::DataPack)
}
