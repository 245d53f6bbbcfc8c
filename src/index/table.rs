//! All that is known of blobs: sorted runs of what the index objects list, and what this process has claimed since.

use super::{
    folder::Folder,
    object::{self, IndexObject},
    run::{self, Located, Run, Source},
    runs::{Place, Runs},
};
use crate::{
    error::{Error, Result},
    hash,
    id::{BLOB_ID_LEN, BlobId, IndexId, PackId, RepoId},
    model::limits,
    pack::PackEntry,
    seal::SealKey,
    store::Store,
};
use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
    path::PathBuf,
    sync::Arc,
};

#[cfg(all(test, feature = "interleaved"))]
use shuttle::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
#[cfg(not(all(test, feature = "interleaved")))]
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

/// Blobs of a run that is built at once: bounds the memory that building takes (about 100 bytes a blob).
const BATCH_BLOBS: usize = 256 << 10;
const SHARDS: usize = 64;

/// Whether a blob must be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The caller is the first to bring it and has to store it.
    New,
    /// It is stored, or another thread is storing it.
    Known,
}

/// Index objects that could not be read, with the reason; what they list counts as unknown.
pub type Unreadable = Vec<(String, Error)>;

/// The repository's blobs.
#[derive(Debug)]
pub struct BlobIndex {
    runs: RwLock<Arc<Runs>>,
    /// Held by whoever changes the runs, which takes long: those who ask go on meanwhile.
    changing: Mutex<()>,
    /// Claimed and not yet in a run.
    recent: [Mutex<Shard>; SHARDS],
    /// Packs that are listed but not in the store, or that prune may remove: what they hold counts as unknown to writers.
    fleeting: HashSet<PackId>,
    /// Packs that this process has listed.
    own: Mutex<HashSet<PackId>>,
    folder: Folder,
}

/// Stems of ids, which are what tables know too.
type Shard = HashSet<u128, BuildHasherDefault<OfHash>>;

/// The hash of what is a keyed hash already.
#[derive(Default)]
struct OfHash(u64);

impl Hasher for OfHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, stem: u128) {
        self.0 = stem as u64;
    }
}

impl BlobIndex {
    /// Without blobs. Tables go to `folder`, or stay in memory without one.
    pub fn empty(folder: Option<PathBuf>) -> Self {
        BlobIndex {
            runs: RwLock::default(),
            changing: Mutex::new(()),
            recent: std::array::from_fn(|_| Mutex::default()),
            fleeting: HashSet::new(),
            own: Mutex::default(),
            folder: Folder(folder),
        }
    }

    /// Brings the tables up to date with the store's index objects, and returns those that cannot be read.
    ///
    /// `fresh` makes all tables anew from the store, for those who do not trust what lies in the folder.
    pub fn load(
        store: &dyn Store,
        repo: RepoId,
        key: &SealKey,
        folder: Option<PathBuf>,
        fresh: bool,
    ) -> Result<(Self, Unreadable)> {
        let mut wanted = HashSet::new();
        store.list("index/", &mut |entry| {
            // The power went before the bytes of one without any came: nothing relies on it.
            if let Ok(id) = IndexId::parse(entry.name.leaf())
                && entry.len > 0
            {
                wanted.insert(Source { id, len: entry.len });
            }
            Ok(())
        })?;
        let index = BlobIndex::empty(folder);
        let mut runs = Runs::default();
        let is_there = |source: &Source| {
            let entry = store.stat(&object::object_name(&source.id));
            entry.is_ok_and(|entry| entry.is_some_and(|entry| entry.len == source.len))
        };
        index.folder.open(&mut wanted, fresh, &is_there).into_iter().for_each(|run| runs.push(run));
        let mut unreadable = Unreadable::new();
        let (mut sources, mut packs, mut blobs) = (Vec::new(), Vec::new(), 0);
        // The same objects make the same tables, under the same names.
        let mut wanted: Vec<Source> = wanted.into_iter().collect();
        wanted.sort_unstable_by_key(|source| source.id);
        for source in wanted {
            let id = source.id;
            match read_object(store, repo, key, &id) {
                Ok(object) => {
                    blobs += object.packs.iter().map(PackEntry::blob_count).sum::<usize>();
                    sources.push(source);
                    packs.extend(object.packs);
                }
                Err(error @ (Error::Corrupt { .. } | Error::Missing { .. } | Error::Store { .. })) => {
                    unreadable.push((format!("index/{id}"), error))
                }
                Err(error) => return Err(error),
            }
            if blobs >= BATCH_BLOBS {
                runs.push(index.folder.build(&sources, &packs)?);
                (sources, packs, blobs) = (Vec::new(), Vec::new(), 0);
            }
        }
        if !sources.is_empty() {
            runs.push(index.folder.build(&sources, &packs)?);
        }
        runs.consolidate(&index.folder)?;
        *index.runs.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(runs);
        Ok((index, unreadable))
    }

    /// Knows from now on what `newer` knows in its place, for readers that go on meanwhile: places that were found before lead
    /// nowhere then, so that who finds nothing at one asks again.
    pub fn replace(&self, newer: BlobIndex) {
        let _changing = self.changing.lock().unwrap_or_else(|e| e.into_inner());
        let runs = self.now().replaced_by(&newer.runs());
        *self.runs.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(runs);
    }

    /// Changes with each [`BlobIndex::replace`].
    pub fn version(&self) -> u32 {
        self.now().version()
    }

    /// Names the packs that are in the store, with their lengths, and those that prune may remove. What is listed but not in the
    /// store or has another length there, and what may go, counts as unknown from now on, and so does what leans on it. Returns the
    /// packs that are not in the store.
    pub fn compare_with_store(
        &mut self,
        present: &dyn Fn(&PackId) -> Option<u64>,
        may_go: &HashSet<PackId>,
    ) -> Vec<PackId> {
        self.fleeting.clear();
        let mut absent = HashSet::new();
        for run in self.runs().iter() {
            for (pack, len, _) in run.packs() {
                if may_go.contains(&pack) {
                    self.fleeting.insert(pack);
                } else if present(&pack) != Some(len) {
                    absent.insert(pack);
                }
            }
        }
        self.fleeting.extend(&absent);
        absent.into_iter().collect()
    }

    /// Those of the packs that no index object lists.
    pub fn unlisted<'p>(&self, packs: impl Iterator<Item = &'p PackId>) -> Vec<PackId> {
        let runs = self.runs();
        let listed: HashSet<PackId> = runs.iter().flat_map(|run| run.packs().map(|(id, _, _)| id)).collect();
        packs.filter(|id| !listed.contains(id)).copied().collect()
    }

    /// The runs as they are now.
    pub fn runs(&self) -> Arc<Runs> {
        self.now().clone()
    }

    fn now(&self) -> RwLockReadGuard<'_, Arc<Runs>> {
        self.runs.read().unwrap_or_else(|e| e.into_inner())
    }

    /// Number of blobs in the runs, counting one that lies in two places twice.
    pub fn len(&self) -> usize {
        self.now().iter().map(|run| run.len()).sum()
    }

    /// True without blobs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, id: &BlobId) -> MutexGuard<'_, Shard> {
        self.recent[usize::from(id.0[BLOB_ID_LEN - 1]) % SHARDS].lock().unwrap_or_else(|e| e.into_inner())
    }

    fn is_listed(&self, id: &BlobId) -> bool {
        self.rely_on(&self.now(), id, 0).is_some()
    }

    /// The first place of a blob that will last; it is counted on from now on.
    fn rely_on(&self, runs: &Runs, id: &BlobId, depth: usize) -> Option<Place> {
        runs.find(id, |run, row| self.is_good(runs, run, row.segment, depth))
    }

    /// True for a segment that will last, and so will what it leans on.
    fn is_good(&self, runs: &Runs, run: &Run, segment: u32, depth: usize) -> bool {
        let known = run.reliance();
        if known.is_relied(segment) {
            return true;
        }
        if !self.fleeting.is_empty() {
            if known.is_refused(segment) {
                return false;
            }
            // Until it is known: whoever leans on itself finds itself refused.
            known.refuse(segment);
            let lasts = run.pack_of(segment).is_some_and(|pack| !self.fleeting.contains(&pack));
            let has_bases = |base| self.rely_on(runs, &base, depth + 1).is_some();
            if !lasts || depth >= limits::DELTA_DEPTH_MAX || !run.bases_of(segment).all(has_bases) {
                return false;
            }
        }
        known.rely(segment);
        true
    }

    /// A place of a blob that will last: not in a pack that is gone or may go. It is counted on from now on.
    pub fn lasting(&self, id: &BlobId) -> Option<Place> {
        self.rely_on(&self.now(), id, 0)
    }

    /// The packs that are counted on: those of all blobs that were known to [`BlobIndex::claim`], [`BlobIndex::contains`] and
    /// [`BlobIndex::lasting`], those that were absorbed, and those of all that these lean on. `None` when something that is leaned on
    /// is nowhere to last.
    pub fn relied_on(&self) -> Option<HashSet<PackId>> {
        let runs = self.runs();
        let own = self.own.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let mut packs = own.clone();
        // What the segments lean on that are counted on.
        let mut bases: HashSet<BlobId> = HashSet::new();
        for run in runs.iter() {
            for segment in 0..run.segment_count() {
                let Some(pack) = run.pack_of(segment) else { continue };
                if run.reliance().is_relied(segment) || own.contains(&pack) {
                    packs.insert(pack);
                    bases.extend(run.bases_of(segment));
                }
            }
        }
        let mut waiting: Vec<BlobId> = bases.iter().copied().collect();
        while let Some(base) = waiting.pop() {
            let place = self.rely_on(&runs, &base, 0)?;
            let (run, segment) = runs.resolve(place.run, place.row.segment)?;
            packs.extend(run.pack_of(segment));
            waiting.extend(run.bases_of(segment).filter(|below| bases.insert(*below)));
        }
        Some(packs)
    }

    /// Asks whether a blob must be stored; exactly one of all who ask is told that it is new.
    pub fn claim(&self, id: &BlobId) -> Membership {
        // Held throughout: between the two questions another thread may list the blob and take it off this shard.
        let mut shard = self.shard(id);
        if self.is_listed(id) || !shard.insert(run::stem(id)) { Membership::Known } else { Membership::New }
    }

    /// True when the blob is stored, or being stored by this process.
    pub fn contains(&self, id: &BlobId) -> bool {
        // In this order: a blob is listed before it is taken off its shard.
        self.shard(id).contains(&run::stem(id)) || self.is_listed(id)
    }

    /// All places of a blob.
    pub fn places(&self, id: &BlobId) -> Vec<Place> {
        self.now().places(id).collect()
    }

    /// The first place of a blob, without allocation.
    pub fn place(&self, id: &BlobId) -> Option<Place> {
        self.now().find(id, |_, _| true)
    }

    /// The pack that a blob lies in, and where its segment begins there.
    pub fn spot(&self, place: Place) -> Option<(PackId, u64)> {
        let runs = self.now();
        let (run, segment) = runs.resolve(place.run, place.row.segment)?;
        run.spot(segment)
    }

    /// A blob's segment.
    pub fn locate(&self, place: Place) -> Option<Located> {
        let runs = self.now();
        let (run, segment) = runs.resolve(place.run, place.row.segment)?;
        run.locate(segment)
    }

    /// Takes up what a new index object lists, whose blobs need no longer be kept in memory.
    pub fn absorb(&self, source: Source, packs: &[PackEntry]) -> Result<()> {
        let run = self.folder.build(&[source], packs)?;
        self.own.lock().unwrap_or_else(|e| e.into_inner()).extend(packs.iter().map(|pack| pack.id));
        {
            let _changing = self.changing.lock().unwrap_or_else(|e| e.into_inner());
            let mut runs = Runs::clone(&self.now());
            runs.push(run);
            runs.consolidate(&self.folder)?;
            *self.runs.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(runs);
        }
        for pack in packs {
            for blob in pack.directory.segments.iter().flat_map(|segment| &segment.blobs) {
                self.shard(&blob.id).remove(&run::stem(&blob.id));
            }
        }
        for shard in &self.recent {
            let mut shard = shard.lock().unwrap_or_else(|e| e.into_inner());
            if shard.capacity() > 2 * shard.len() + 1024 {
                shard.shrink_to_fit();
            }
        }
        Ok(())
    }
}

/// Reads an index object and checks it against its name.
pub fn read_object(store: &dyn Store, repo: RepoId, key: &SealKey, id: &IndexId) -> Result<IndexObject> {
    let name = object::object_name(id);
    let bytes = store.get(&name, limits::META_MAX)?;
    if hash::object_name(&bytes) != id.0 {
        return Err(Error::corrupt(&name, "its bytes are not those of its name"));
    }
    IndexObject::open(&bytes, repo, key, &name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{
        run::tests::{blob_id, pack},
        runs::RUNS_MAX,
    };

    #[test]
    fn a_blob_is_new_to_exactly_one_of_many() {
        let index = BlobIndex::empty(None);
        let news: usize = std::thread::scope(|scope| {
            let claim = || (0..1000).filter(|&n| index.claim(&blob_id(n)) == Membership::New).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(news, 1000);
    }

    #[test]
    fn what_is_absorbed_stays_known_and_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for folder in [None, Some(folder.path().to_owned())] {
            let index = BlobIndex::empty(folder);
            for n in 0..40u32 {
                assert!((n * 100..n * 100 + 100).all(|n| index.claim(&blob_id(n)) == Membership::New));
                index.absorb(Source { id: IndexId([n as u8; 32]), len: 4096 }, &[pack(n * 100, 100)]).unwrap();
            }
            assert!(index.runs().len() <= RUNS_MAX, "{:?}", index.runs());
            assert_eq!(index.len(), 4000);
            for n in 0..4000 {
                assert_eq!(index.claim(&blob_id(n)), Membership::Known);
                assert!(index.place(&blob_id(n)).and_then(|place| index.locate(place)).is_some());
            }
            assert!(index.recent.iter().all(|shard| shard.lock().unwrap().is_empty()));
        }
    }

    #[test]
    fn an_index_that_is_replaced_knows_the_new_and_leads_from_old_places_nowhere() {
        let index = BlobIndex::empty(None);
        index.absorb(Source { id: IndexId([1; 32]), len: 4096 }, &[pack(0, 10)]).unwrap();
        let before = index.place(&blob_id(5)).unwrap();
        let newer = BlobIndex::empty(None);
        newer.absorb(Source { id: IndexId([2; 32]), len: 4096 }, &[pack(5, 10)]).unwrap();
        index.replace(newer);
        assert!(index.locate(before).is_none());
        assert_ne!(index.version(), BlobIndex::empty(None).version());
        assert_eq!(index.places(&blob_id(4)).len(), 0);
        let after = index.place(&blob_id(5)).unwrap();
        assert_eq!(index.locate(after).unwrap().pack, pack(5, 10).id);
        // What comes later has a place too, also when runs are merged.
        for n in 2..20u32 {
            index.absorb(Source { id: IndexId([n as u8 + 1; 32]), len: 4096 }, &[pack(n * 100, 100)]).unwrap();
        }
        assert_eq!(index.locate(after).unwrap().pack, pack(5, 10).id);
        assert!(index.place(&blob_id(1950)).and_then(|place| index.locate(place)).is_some());
    }

    #[test]
    fn blobs_of_packs_that_are_gone_are_new_again() {
        let mut index = BlobIndex::empty(None);
        index.absorb(Source { id: IndexId([1; 32]), len: 4096 }, &[pack(0, 10)]).unwrap();
        index.absorb(Source { id: IndexId([2; 32]), len: 4096 }, &[pack(10, 10)]).unwrap();
        let kept = pack(0, 10).id;
        let gone = index.compare_with_store(&|id| (*id == kept).then_some(1 << 20), &HashSet::new());
        assert_eq!(gone, [pack(10, 10).id]);
        assert_eq!(index.claim(&blob_id(5)), Membership::Known);
        assert_eq!(index.claim(&blob_id(15)), Membership::New);
    }
}
