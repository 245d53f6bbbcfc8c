//! Blobs from the store: located, opened, verified. Segments that were opened are kept for a while, within a bound.

use super::{
    Repository,
    blob::{Blob, Prefix},
    cache::{Opened, SegmentCache, Spot},
    room::sealed_part,
    spares::{SEGMENT_ROOM, Spares},
};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::{BlobId, PackId},
    index::{BlobIndex, Located, Place},
    keys::wrap::WrappedKey,
    model::{limits, paging::PageSource},
    object::{self, HEADER_LEN, Kind},
    pack,
    seal::SealKey,
    segment::{Envelope, OpenError, Opener},
    store::ObjectName,
    world::Time,
};
use std::{
    collections::{HashMap, HashSet},
    iter,
    sync::{Arc, Mutex, MutexGuard},
};

/// Opened segments that are kept, in bytes.
const CACHE_BYTES: usize = 38 << 20;
/// How long it takes, in seconds, until the store is asked again whether its index is another one.
const INDEX_LOOK: i64 = 10;

/// The work that one read is, of a segment that leans on others. What it opens is kept until it ends: the cache may be too
/// small for all of it, and bases are shared.
#[derive(Default)]
struct Effort {
    depth: usize,
    opened: HashMap<Spot, Arc<Opened>>,
    bytes: usize,
    /// What is being opened, or could not be.
    begun: HashSet<Spot>,
}

impl Effort {
    /// Refuses what no writer asks of a reader.
    fn add(&mut self, located: &Located) -> Result<()> {
        let at = (located.pack, located.offset);
        self.bytes += located.recipe.raw as usize;
        let corrupt = |what| Err(Error::corrupt(pack::object_name(&located.pack), what));
        if self.opened.len() >= limits::BASE_SEGMENTS_MAX || self.bytes > limits::BASE_BYTES_MAX {
            return corrupt("a segment leans on too many others");
        }
        // Failed attempts count too: a forged repository may offer any number of places for each base.
        if self.begun.len() >= 4 * limits::BASE_SEGMENTS_MAX {
            return corrupt("a segment leans on too many others that cannot be read");
        }
        if !self.begun.insert(at) {
            return corrupt("a segment leans on itself, or on one that cannot be read");
        }
        Ok(())
    }
}

/// The index as it was when something was found missing: a prune may have moved it.
#[derive(Default)]
struct Later {
    looked: Option<Time>,
    /// The index objects that it was loaded from.
    listed: Vec<ObjectName>,
    index: Option<Arc<BlobIndex>>,
}

/// Reads blobs. Shared by threads.
pub struct BlobReader<'r> {
    repo: &'r Repository,
    index: &'r BlobIndex,
    /// Held while it is loaded.
    later: Mutex<Later>,
    keys: Mutex<HashMap<(Kind, WrappedKey), SealKey>>,
    opened: SegmentCache,
    openers: Mutex<Vec<Opener>>,
    prefixes: Spares,
    sealed: Spares,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl<'r> BlobReader<'r> {
    /// Reads the blobs that `index` knows.
    pub fn new(repo: &'r Repository, index: &'r BlobIndex) -> Self {
        BlobReader::with_cache(repo, index, CACHE_BYTES)
    }

    /// The same for who comes back to what was read: opened segments are kept up to `bound` bytes.
    pub fn with_cache(repo: &'r Repository, index: &'r BlobIndex, bound: usize) -> Self {
        BlobReader {
            repo,
            index,
            later: Mutex::default(),
            keys: Mutex::default(),
            opened: SegmentCache::new(bound),
            openers: Mutex::default(),
            prefixes: Spares::new(4, SEGMENT_ROOM),
            sealed: Spares::new(2, sealed_part(repo.config())),
        }
    }

    /// The repository.
    pub fn repo(&self) -> &'r Repository {
        self.repo
    }

    /// The index.
    pub fn index(&self) -> &'r BlobIndex {
        self.index
    }

    /// The index as it is now, or was a few seconds ago. It is loaded again only when other objects make it up.
    fn later(&self) -> Option<Arc<BlobIndex>> {
        let mut later = lock(&self.later);
        let now = self.repo.clock().now();
        // A clock that is set back is no reason never to look again.
        let is_fresh = |at: Time| now >= at && now.sec.saturating_sub(at.sec) < INDEX_LOOK;
        if !later.looked.is_some_and(is_fresh) {
            later.looked = Some(now);
            // Who finds something missing says so, whatever keeps the index from being read again.
            if let Ok(listed) = self.index_objects()
                && (later.index.is_none() || later.listed != listed)
                && let Ok((index, _)) = self.repo.load_index(false)
            {
                (later.index, later.listed) = (Some(Arc::new(index)), listed);
            }
        }
        later.index.clone()
    }

    fn index_objects(&self) -> Result<Vec<ObjectName>> {
        let mut names = Vec::new();
        self.repo.store().list("index/", &mut |entry| {
            names.push(entry.name);
            Ok(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// True for a pack that is missing because a prune has removed it since the index was loaded: no index object lists it any more.
    pub fn was_pruned(&self, pack: &PackId) -> bool {
        self.later().is_some_and(|index| !index.unlisted([pack].into_iter()).is_empty())
    }

    fn key(&self, located: &Located) -> Result<SealKey> {
        if let Some(key) = lock(&self.keys).get(&(located.kind, located.key.clone())) {
            return Ok(key.clone());
        }
        let key = self.repo.keys().unwrap_key(located.kind, &located.key, &pack::object_name(&located.pack))?;
        lock(&self.keys).insert((located.kind, located.key.clone()), key.clone());
        Ok(key)
    }

    fn header(&self, kind: Kind) -> [u8; HEADER_LEN] {
        object::header(kind, self.repo.keys().repo())
    }

    /// Opens a segment whose bytes were read by the caller (they are used up). Its blobs are not yet verified.
    pub fn open_sealed(&self, located: &Located, sealed: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<()> {
        let prefix = self.prefix(located, &mut Effort::default())?;
        self.open_over(prefix, located, |opener, envelope| opener.open(envelope, located.recipe, sealed, plain))
    }

    /// Opens one whose bases are here.
    fn open_over(
        &self,
        prefix: Prefix,
        located: &Located,
        open: impl FnOnce(&mut Opener, Envelope<'_>) -> Result<(), OpenError>,
    ) -> Result<()> {
        let key = self.key(located)?;
        let header = self.header(located.kind);
        let envelope = Envelope { header: &header, key: &key, prefix: &prefix };
        let mut opener = lock(&self.openers).pop().unwrap_or_default();
        let opened = open(&mut opener, envelope);
        lock(&self.openers).push(opener);
        self.give_back(prefix);
        opened.map_err(|e| {
            let name = pack::object_name(&located.pack);
            let what = format!("the segment at {}: {e}", located.offset);
            match e {
                OpenError::UnknownCodec(_) => Error::unsupported(name, what),
                _ => Error::corrupt(name, what),
            }
        })
    }

    /// The plaintext that a segment leans on.
    fn prefix(&self, located: &Located, effort: &mut Effort) -> Result<Prefix> {
        if located.bases.is_empty() {
            return Ok(Prefix::default());
        }
        if effort.depth + 1 >= limits::DELTA_DEPTH_MAX {
            return Err(Error::corrupt(pack::object_name(&located.pack), "segments lean on one another too deeply"));
        }
        effort.depth += 1;
        let kinds: &[BlobKind] =
            if located.kind == Kind::DataPack { &[BlobKind::Data] } else { &[BlobKind::Tree, BlobKind::List] };
        let mut prefix = Prefix::default();
        for base in &located.bases {
            let mut found = None;
            for kind in kinds {
                found = Some(self.blob_with(*kind, base, effort));
                if matches!(found, Some(Ok(_))) {
                    break;
                }
            }
            let missing = || Err(Error::Missing { object: format!("base blob {base}") });
            prefix.push(found.unwrap_or_else(missing)?, &self.prefixes);
            if prefix.len() > limits::BASES_MAX {
                return Err(Error::corrupt(pack::object_name(&located.pack), "a segment's bases are too long"));
            }
        }
        effort.depth -= 1;
        Ok(prefix)
    }

    /// A segment that need not be opened, nor all be read that an index says of it.
    fn known(&self, spot: &Spot, effort: &Effort) -> Option<Arc<Opened>> {
        // What others lean on is counted and held, wherever it comes from.
        if effort.depth == 0 { self.opened.get(spot) } else { effort.opened.get(spot).cloned() }
    }

    /// An opened segment, from the cache or the store.
    fn segment(&self, located: &Located, effort: &mut Effort) -> Result<Arc<Opened>> {
        let at = (located.pack, located.offset);
        if let Some(plain) = effort.opened.get(&at) {
            return Ok(plain.clone());
        }
        effort.add(located)?;
        let plain = self.opened.get_or_open(at, || {
            if located.stored as usize > limits::STORED_MAX {
                return Err(Error::corrupt(pack::object_name(&located.pack), "a segment is too long"));
            }
            let (stored, raw) = (located.stored as usize, located.recipe.raw as usize);
            if raw > limits::SEGMENT_MAX {
                return Err(Error::corrupt(pack::object_name(&located.pack), "a segment's plaintext is too long"));
            }
            // What it leans on comes first: it takes memory of its own.
            let prefix = self.prefix(located, effort)?;
            let (mut sealed, mut plain) = (self.sealed.take_of(stored), self.opened.buffer(raw));
            self.repo.store().get_range(&pack::object_name(&located.pack), located.offset, &mut sealed)?;
            self.open_over(prefix, located, |opener, envelope| {
                opener.open_into(envelope, located.recipe, &mut sealed, &mut plain)
            })?;
            self.sealed.give(sealed);
            Ok(plain)
        })?;
        effort.opened.insert(at, plain.clone());
        Ok(plain)
    }

    /// An opened segment, which is kept for a while. Its blobs are not yet verified.
    pub fn segment_in_place(&self, located: &Located) -> Result<Arc<Opened>> {
        match self.opened.get(&(located.pack, located.offset)) {
            Some(opened) => Ok(opened),
            None => self.segment(located, &mut Effort::default()),
        }
    }

    /// A blob's verified bytes. Another place is tried when one is damaged.
    pub fn blob(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        self.blob_in_place(kind, id).map(|blob| blob.to_vec())
    }

    /// The same without a copy; the whole segment stays in memory for as long as this is held.
    pub fn blob_in_place(&self, kind: BlobKind, id: &BlobId) -> Result<Blob> {
        let version = self.index.version();
        match self.blob_with(kind, id, &mut Effort::default()) {
            // The places that were tried lead nowhere any more.
            Err(_) if self.index.version() != version => self.blob_with(kind, id, &mut Effort::default()),
            found => found,
        }
    }

    /// The verified bytes of blobs, one after another, that together are no more to read than one segment may lean on.
    pub fn one_after_another(&self, kind: BlobKind, ids: &[BlobId]) -> Result<Prefix> {
        let (mut effort, mut bytes) = (Effort::default(), Prefix::default());
        for id in ids {
            bytes.push(self.blob_with(kind, id, &mut effort)?, &self.prefixes);
        }
        Ok(bytes)
    }

    /// Takes the room of such bytes back.
    pub fn give_back(&self, bytes: Prefix) {
        bytes.give_back(&self.prefixes);
    }

    fn blob_with(&self, kind: BlobKind, id: &BlobId, effort: &mut Effort) -> Result<Blob> {
        let (mut failure, mut is_missing) = (None, false);
        let mut later = None;
        loop {
            let index = later.as_deref().unwrap_or(self.index);
            // Nearly always the first place is good, and no other is looked for.
            let first = index.place(id);
            let others = || index.places(id).into_iter().filter(|place| Some(*place) != first);
            for place in first.into_iter().chain(iter::once_with(others).flatten()) {
                let depth = effort.depth;
                let found = self.blob_in(kind, id, (index, place), effort);
                effort.depth = depth;
                match found {
                    Ok(blob) => return Ok(blob),
                    Err(error) => {
                        is_missing |= matches!(error, Error::Missing { .. });
                        failure.get_or_insert(error);
                    }
                };
            }
            if later.is_some() || !(is_missing || failure.is_none()) {
                break;
            }
            later = self.later();
            if later.is_none() {
                break;
            }
        }
        Err(failure.unwrap_or_else(|| Error::Missing { object: format!("{kind} {id}, which no index lists,") }))
    }

    fn blob_in(
        &self,
        kind: BlobKind,
        id: &BlobId,
        (index, place): (&BlobIndex, Place),
        effort: &mut Effort,
    ) -> Result<Blob> {
        let lost = || Error::Missing { object: format!("the segment of {kind} {id}") };
        let spot = index.spot(place).ok_or_else(lost)?;
        let segment = match self.known(&spot, effort) {
            Some(segment) => segment,
            None => self.segment(&index.locate(place).ok_or_else(lost)?, effort)?,
        };
        let claim = (kind, *id, place.row.offset, place.row.offset.saturating_add(place.row.len));
        let range = segment.prove(claim, |bytes| self.repo.namer().name(kind, bytes) == *id);
        let wrong = || Error::corrupt(pack::object_name(&spot.0), format!("{kind} {id} has other bytes"));
        Ok(Blob { range: range.ok_or_else(wrong)?, segment })
    }
}

impl PageSource for BlobReader<'_> {
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        self.blob(kind, id)
    }
}
