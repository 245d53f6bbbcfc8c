//! Which packs are not what they should be, and what of them can still be read.

use super::index::{Told, tell};
use crate::{
    error::{Error, Result, reason},
    id::{BlobId, PackId},
    index::BlobIndex,
    keys::Role,
    model::limits,
    monitor::{Counter, Monitor},
    object::{self, Kind},
    pack::{self, PackEntry, SegmentEntry, write::Sealed},
    repo::Repository,
    seal::SealKey,
    segment,
    store::Store,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
};

/// A pack that is not what it should be.
pub(super) struct Bad {
    /// What is wrong. Safe to print.
    pub(super) why: String,
    /// It is not in the store.
    pub(super) gone: bool,
    /// Offsets of segments that are whole.
    pub(super) good: HashSet<u64>,
    /// False when this key cannot tell which segments are whole: none counts as such.
    pub(super) told: bool,
    /// Number of its segments.
    pub(super) segments: u64,
}

/// The packs of a repository.
pub(super) struct Health {
    pub(super) bad: BTreeMap<PackId, Bad>,
    /// Packs that were read whole.
    pub(super) read: u64,
}

/// The packs that a repository's index lists, or is about to.
pub(super) struct Catalog<'a> {
    pub(super) repo: &'a Repository,
    pub(super) index: &'a BlobIndex,
    /// Packs that a dry run would have listed: told by their own directories.
    pub(super) pending: &'a [PackId],
}

impl Catalog<'_> {
    /// Calls `each` with every pack, each id once, one index object in memory at a time.
    pub(super) fn each(&self, monitor: &dyn Monitor, each: &mut dyn FnMut(PackEntry) -> Result<()>) -> Result<()> {
        // A length of zero has no object: what a dry run would list.
        let runs = self.index.runs();
        let mut objects: Vec<_> = runs
            .iter()
            .flat_map(|run| run.sources().filter(|source| source.len > 0).map(|source| source.id).collect::<Vec<_>>())
            .collect();
        objects.sort();
        objects.dedup();
        let mut seen = HashSet::new();
        for id in objects {
            monitor.check()?;
            for entry in self.repo.read_index_object(&id)?.packs {
                if seen.insert(entry.id) {
                    each(entry)?;
                }
            }
        }
        for id in self.pending {
            monitor.check()?;
            if let Told::Whole(entry) | Told::Recovered(entry) = tell(self.repo, id, false)? {
                each(entry)?;
            }
        }
        Ok(())
    }
}

/// An error that is about one object is worth its message; one about all of them ends the run.
pub(super) fn of_one(repo: &Repository, error: Error) -> Result<String> {
    match error {
        Error::Corrupt { what, .. } => Ok(what),
        Error::Missing { .. } => Ok("it is not in the store".into()),
        Error::Store { source, .. } if repo.is_there() => Ok(format!("it cannot be read: {}", reason(&source))),
        error => Err(error),
    }
}

/// True when this key can tell whether a segment of such packs is whole.
pub(super) fn can_open(repo: &Repository, kind: Kind) -> bool {
    repo.keys().role() == Role::Owner || kind == Kind::TreePack && repo.keys().role() >= Role::Maintainer
}

/// Reads segments of one pack, in whatever store, and holds them against their tags.
pub(super) struct Segments<'a> {
    repo: &'a Repository,
    store: &'a dyn Store,
    entry: &'a PackEntry,
    kind: Kind,
    keys: HashMap<u32, Option<SealKey>>,
}

impl<'a> Segments<'a> {
    /// `repo` has the keys; `None` for a pack of an unknown kind.
    pub(super) fn new(repo: &'a Repository, store: &'a dyn Store, entry: &'a PackEntry) -> Option<Self> {
        Some(Segments { repo, store, entry, kind: Kind::of_pack(entry.kind)?, keys: HashMap::new() })
    }

    /// A segment's bytes. Only as long as they are, they are not proven.
    pub(super) fn bytes(&self, segment: &SegmentEntry) -> Result<Vec<u8>> {
        let mut bytes = vec![0; segment.stored as usize];
        self.store.get_range(&pack::object_name(&self.entry.id), segment.offset, &mut bytes)?;
        Ok(bytes)
    }

    /// A segment's bytes when its tag verifies; an error that says why not.
    pub(super) fn proven(&mut self, segment: &SegmentEntry) -> Result<Vec<u8>> {
        let bytes = self.bytes(segment)?;
        let name = pack::object_name(&self.entry.id);
        let (repo, kind, wrapped) = (self.repo, self.kind, self.entry.directory.keys.get(segment.key as usize));
        let unwrap = || wrapped.and_then(|wrapped| repo.keys().unwrap_key(kind, wrapped, &name).ok());
        let key = self.keys.entry(segment.key).or_insert_with(unwrap);
        let header = object::header(self.kind, self.repo.keys().repo());
        let is_right =
            key.as_ref().is_some_and(|key| segment::is_as_sealed(&header, key, segment.recipe(), &mut bytes.clone()));
        let wrong = || Error::corrupt(&name, format!("the segment at {}: its tag does not verify", segment.offset));
        is_right.then_some(bytes).ok_or_else(wrong)
    }

    /// A segment on its way into another pack, verbatim.
    pub(super) fn sealed(&self, segment: &SegmentEntry, bytes: Vec<u8>) -> Option<Sealed> {
        Some(Sealed {
            bytes,
            recipe: segment.recipe(),
            key: self.entry.directory.keys.get(segment.key as usize)?.clone(),
            generation: segment.generation,
            bases: segment.bases.clone(),
            blobs: segment.blobs.clone(),
        })
    }
}

impl Health {
    /// Looks at every pack that the index lists: its length, its header, directory and footer, and all of it when `all` says so or
    /// this client found damage when it read the pack last. Of a pack that is damaged each segment is looked at.
    pub(super) fn examine(catalog: &Catalog<'_>, all: bool, monitor: &dyn Monitor) -> Result<Self> {
        let repo = catalog.repo;
        let present = repo.list_packs()?;
        let known: HashSet<PackId> = repo.checked().damaged().copied().collect();
        let mut health = Health { bad: BTreeMap::new(), read: 0 };
        monitor.expect(Counter::Objects, present.len() as u64);
        catalog.each(monitor, &mut |entry| {
            monitor.check()?;
            monitor.add(Counter::Objects, 1);
            let segments = entry.directory.segments.len() as u64;
            let why = match present.get(&entry.id) {
                None => {
                    let why = "the index lists it, but it is not in the store".into();
                    health.bad.insert(entry.id, Bad { why, gone: true, good: HashSet::new(), told: true, segments });
                    return Ok(());
                }
                Some(len) if *len != entry.len => Some(format!("it has {len} bytes in place of {}", entry.len)),
                Some(_) => health.look_at(repo, &entry, all || known.contains(&entry.id), monitor)?,
            };
            if let Some(why) = why {
                let good = good_segments(repo, &entry, monitor)?;
                let told = Kind::of_pack(entry.kind).is_some_and(|kind| can_open(repo, kind));
                health.bad.insert(entry.id, Bad { why, gone: false, good, told, segments });
            }
            Ok(())
        })?;
        Ok(health)
    }

    /// What is wrong with a pack of the right length.
    fn look_at(
        &mut self,
        repo: &Repository,
        entry: &PackEntry,
        whole: bool,
        monitor: &dyn Monitor,
    ) -> Result<Option<String>> {
        let differs = match repo.read_directory(&entry.id) {
            Ok(own) if own == *entry => None,
            Ok(_) => Some("its directory and the index say different things".to_owned()),
            Err(Error::Unsupported { what, .. }) => Some(what),
            Err(error) => Some(of_one(repo, error)?),
        };
        if differs.is_none() && !whole {
            return Ok(None);
        }
        self.read += 1;
        monitor.add(Counter::Stored, entry.len);
        match (repo.is_whole(&entry.id), differs) {
            // A flipped bit makes no new format; a pack that is whole may be of one.
            (Ok(true), Some(_)) => match repo.read_directory(&entry.id) {
                Err(error @ Error::Unsupported { .. }) => Err(error),
                _ => Ok(None),
            },
            (Ok(true), None) => Ok(None),
            (Ok(false), None) => Ok(Some("its bytes are not those of its name".into())),
            (Ok(false), Some(differs)) => Ok(Some(format!("its bytes are not those of its name; {differs}"))),
            (Err(error), _) => of_one(repo, error).map(Some),
        }
    }
}

fn good_segments(repo: &Repository, entry: &PackEntry, monitor: &dyn Monitor) -> Result<HashSet<u64>> {
    let mut good = HashSet::new();
    let Some(mut segments) = Segments::new(repo, repo.store(), entry).filter(|found| can_open(repo, found.kind)) else {
        return Ok(good);
    };
    for segment in &entry.directory.segments {
        monitor.check()?;
        match segments.proven(segment) {
            Ok(_) => drop(good.insert(segment.offset)),
            Err(error) => drop(of_one(repo, error)?),
        }
    }
    Ok(good)
}

/// Which blobs can be had.
pub(super) struct Sound<'a> {
    pub(super) index: &'a BlobIndex,
    pub(super) bad: &'a BTreeMap<PackId, Bad>,
    /// Blobs that are about to be fetched.
    pub(super) coming: HashSet<BlobId>,
    /// Segments with bases that were looked at.
    leaning: RefCell<HashMap<(PackId, u64), bool>>,
}

impl<'a> Sound<'a> {
    pub(super) fn new(index: &'a BlobIndex, health: &'a Health) -> Self {
        Sound { index, bad: &health.bad, coming: HashSet::new(), leaning: RefCell::default() }
    }

    /// True when a blob lies in a pack that is whole.
    pub(super) fn is_safe(&self, id: &BlobId) -> bool {
        let located = |place| self.index.locate(place);
        self.index.places(id).into_iter().filter_map(located).any(|found| !self.bad.contains_key(&found.pack))
    }

    /// True when a blob can be read, with all that it leans on.
    pub(super) fn is_readable(&self, id: &BlobId) -> bool {
        self.coming.contains(id) || self.readable(id, limits::DELTA_DEPTH_MAX)
    }

    fn readable(&self, id: &BlobId, depth: usize) -> bool {
        if depth == 0 {
            return false;
        }
        self.index.places(id).into_iter().filter_map(|place| self.index.locate(place)).any(|found| {
            if self.bad.get(&found.pack).is_some_and(|bad| !bad.good.contains(&found.offset)) {
                return false;
            }
            if found.bases.is_empty() {
                return true;
            }
            let at = (found.pack, found.offset);
            if let Some(known) = self.leaning.borrow().get(&at) {
                return *known;
            }
            let bases = &found.bases;
            let readable = bases.iter().all(|base| self.coming.contains(base) || self.readable(base, depth - 1));
            self.leaning.borrow_mut().insert(at, readable);
            readable
        })
    }
}
