//! All that is known of blobs: sorted runs of what the index objects list, and what this process has claimed since.

use super::{
    object::{self, IndexObject},
    run::{self, Located, Row, Run, Source},
};
use crate::{
    error::{Error, Result},
    hash,
    id::{BlobId, IndexId, PackId, RepoId, hex},
    model::limits,
    pack::PackEntry,
    seal::SealKey,
    store::Store,
};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, RwLock},
};

/// Blobs of a run that is built at once: bounds the memory that building takes (about 100 bytes a blob).
const BATCH_BLOBS: usize = 256 << 10;
/// Runs are merged when there are more.
const RUNS_MAX: usize = 8;
const SHARDS: usize = 64;

/// Whether a blob must be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The caller is the first to bring it and has to store it.
    New,
    /// It is stored, or another thread is storing it.
    Known,
}

/// A place of a blob: which run, and which row of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Position of the run in [`BlobIndex::runs`].
    pub run: u32,
    /// The row.
    pub row: Row,
}

/// Index objects that could not be read, with the reason; what they list counts as unknown.
pub type Unreadable = Vec<(String, Error)>;

/// The repository's blobs.
#[derive(Debug)]
pub struct BlobIndex {
    runs: RwLock<Vec<Arc<Run>>>,
    /// Claimed and not yet in a run. Half an id is enough: equal halves of keyed hashes do not occur.
    recent: [Mutex<HashSet<[u8; 16]>>; SHARDS],
    /// Packs that are listed but not in the store, or that prune may remove: what they hold counts as unknown to writers.
    fleeting: HashSet<PackId>,
    /// Packs that this process has listed.
    own: Mutex<HashSet<PackId>>,
    folder: Option<PathBuf>,
}

fn half(id: &BlobId) -> [u8; 16] {
    std::array::from_fn(|i| id.0[i])
}

impl BlobIndex {
    /// Without blobs. Tables go to `folder`, or stay in memory without one.
    pub fn empty(folder: Option<PathBuf>) -> Self {
        BlobIndex {
            runs: RwLock::new(Vec::new()),
            recent: std::array::from_fn(|_| Mutex::new(HashSet::new())),
            fleeting: HashSet::new(),
            own: Mutex::default(),
            folder,
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
            if let Ok(id) = IndexId::parse(entry.name.leaf()) {
                wanted.insert(Source { id, len: entry.len });
            }
            Ok(())
        })?;
        let index = BlobIndex::empty(folder);
        let mut runs = index.open_tables(&mut wanted, fresh);
        let mut unreadable = Unreadable::new();
        let (mut sources, mut packs, mut blobs) = (Vec::new(), Vec::new(), 0);
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
                runs.push(Arc::new(index.make_run(&sources, &packs)?));
                (sources, packs, blobs) = (Vec::new(), Vec::new(), 0);
            }
        }
        if !sources.is_empty() {
            runs.push(Arc::new(index.make_run(&sources, &packs)?));
        }
        index.consolidate(&mut runs)?;
        *index.runs.write().unwrap_or_else(|e| e.into_inner()) = runs;
        Ok((index, unreadable))
    }

    /// Opens the tables in the folder that stand for wanted objects only, takes those objects off the list, and deletes the
    /// other tables.
    fn open_tables(&self, wanted: &mut HashSet<Source>, fresh: bool) -> Vec<Arc<Run>> {
        let mut runs = Vec::new();
        let Some(folder) = &self.folder else { return runs };
        let mut tables: Vec<(u64, PathBuf)> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "run"))
            .map(|entry| (entry.metadata().map_or(0, |meta| meta.len()), entry.path()))
            .collect();
        // The largest first: it may stand for what smaller ones hold too.
        tables.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path) in tables {
            let run = if fresh { None } else { File::open(&path).ok().and_then(|file| Run::open(&file)) };
            match run {
                Some(run) if run.sources().all(|source| wanted.contains(&source)) => {
                    for source in run.sources() {
                        wanted.remove(&source);
                    }
                    runs.push(Arc::new(run));
                }
                // Only a cache: another process may have deleted it, or will.
                _ => drop(fs::remove_file(&path)),
            }
        }
        runs
    }

    fn make_run(&self, sources: &[Source], packs: &[PackEntry]) -> Result<Run> {
        self.keep(sources.iter().copied(), &|out| run::build(sources, packs, out))
    }

    /// Writes a table into the folder, or into memory when there is none or it takes no file.
    fn keep(
        &self,
        sources: impl Iterator<Item = Source>,
        write: &dyn Fn(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<Run> {
        if let Some(folder) = &self.folder
            && let Some(run) = save(folder, sources, write)
        {
            return Ok(run);
        }
        let mut bytes = Vec::new();
        let broken = || Error::Hardware { what: "a table of the index that was just made does not open".into() };
        write(&mut bytes).map_err(|_| broken())?;
        Run::in_memory(bytes).ok_or_else(broken)
    }

    /// Merges the smaller runs when there are too many.
    fn consolidate(&self, runs: &mut Vec<Arc<Run>>) -> Result<()> {
        if runs.len() <= RUNS_MAX {
            return Ok(());
        }
        runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
        // The longest tail of which each member is shorter than the sum of those behind it: each blob is then copied a
        // number of times that is logarithmic in their number.
        let mut sum = 0;
        let mut first = runs.len();
        while first > 0 && (runs.len() - first < 2 || runs[first - 1].len() <= sum || first > RUNS_MAX) {
            first -= 1;
            sum += runs[first].len();
        }
        let tail: Vec<Arc<Run>> = runs.drain(first..).collect();
        let parts: Vec<&Run> = tail.iter().map(|run| &**run).collect();
        let sources: Vec<Source> = parts.iter().flat_map(|run| run.sources()).collect();
        let mut merged = self.keep(sources.into_iter(), &|out| run::merge(&parts, out))?;
        merged.go_on_from(&parts);
        runs.push(Arc::new(merged));
        if let Some(folder) = &self.folder {
            for part in parts {
                drop(fs::remove_file(table_path(folder, part.sources())));
            }
        }
        Ok(())
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
        for run in self.runs() {
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
    pub fn runs(&self) -> Vec<Arc<Run>> {
        self.runs.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Number of blobs in the runs, counting one that lies in two places twice.
    pub fn len(&self) -> usize {
        self.runs.read().unwrap_or_else(|e| e.into_inner()).iter().map(|run| run.len()).sum()
    }

    /// True without blobs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, id: &BlobId) -> MutexGuard<'_, HashSet<[u8; 16]>> {
        self.recent[usize::from(id.0[31]) % SHARDS].lock().unwrap_or_else(|e| e.into_inner())
    }

    fn is_listed(&self, id: &BlobId) -> bool {
        let runs = self.runs.read().unwrap_or_else(|e| e.into_inner());
        self.rely_on(&runs, id, 0).is_some()
    }

    /// The first place of a blob that will last; it is counted on from now on.
    fn rely_on(&self, runs: &[Arc<Run>], id: &BlobId, depth: usize) -> Option<Place> {
        runs.iter().enumerate().find_map(|(n, run)| {
            let lasts = |row: &Row| self.is_good(runs, run, row.segment, depth);
            run.find(id).find(lasts).map(|row| Place { run: n as u32, row })
        })
    }

    /// True for a segment that will last, and so will what it leans on.
    fn is_good(&self, runs: &[Arc<Run>], run: &Run, segment: u32, depth: usize) -> bool {
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
        let runs = self.runs.read().unwrap_or_else(|e| e.into_inner());
        self.rely_on(&runs, id, 0)
    }

    /// The packs that are counted on: those of all blobs that were known to [`BlobIndex::claim`], [`BlobIndex::contains`] and
    /// [`BlobIndex::lasting`], those that were absorbed, and those of all that these lean on. `None` when something that is leaned on
    /// is nowhere to last.
    pub fn relied_on(&self) -> Option<HashSet<PackId>> {
        let runs = self.runs();
        let own = self.own.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let mut packs = own.clone();
        let mut leaning = Vec::new();
        for (n, run) in runs.iter().enumerate() {
            for segment in 0..run.segment_count() {
                let Some(pack) = run.pack_of(segment) else { continue };
                if run.reliance().is_relied(segment) || own.contains(&pack) {
                    packs.insert(pack);
                    if run.bases_of(segment).next().is_some() {
                        leaning.push((n as u32, segment));
                    }
                }
            }
        }
        let mut seen: HashSet<(u32, u32)> = leaning.iter().copied().collect();
        while let Some((n, segment)) = leaning.pop() {
            let Some(run) = runs.get(n as usize) else { continue };
            for base in run.bases_of(segment) {
                let place = self.rely_on(&runs, &base, 0)?;
                let below = (place.run, place.row.segment);
                if seen.insert(below) {
                    packs.extend(runs.get(place.run as usize).and_then(|run| run.pack_of(place.row.segment)));
                    leaning.push(below);
                }
            }
        }
        Some(packs)
    }

    /// Asks whether a blob must be stored; exactly one of all who ask is told that it is new.
    pub fn claim(&self, id: &BlobId) -> Membership {
        // Held throughout: between the two questions another thread may list the blob and take it off this shard.
        let mut shard = self.shard(id);
        if self.is_listed(id) || !shard.insert(half(id)) { Membership::Known } else { Membership::New }
    }

    /// True when the blob is stored, or being stored by this process.
    pub fn contains(&self, id: &BlobId) -> bool {
        // In this order: a blob is listed before it is taken off its shard.
        self.shard(id).contains(&half(id)) || self.is_listed(id)
    }

    /// All places of a blob.
    pub fn places(&self, id: &BlobId) -> Vec<Place> {
        let runs = self.runs.read().unwrap_or_else(|e| e.into_inner());
        let each =
            runs.iter().enumerate().flat_map(|(n, run)| run.find(id).map(move |row| Place { run: n as u32, row }));
        each.collect()
    }

    /// The first place of a blob, without allocation.
    pub fn place(&self, id: &BlobId) -> Option<Place> {
        let runs = self.runs.read().unwrap_or_else(|e| e.into_inner());
        runs.iter().enumerate().find_map(|(n, run)| run.find(id).next().map(|row| Place { run: n as u32, row }))
    }

    /// A blob's segment.
    pub fn locate(&self, place: Place) -> Option<Located> {
        let runs = self.runs.read().unwrap_or_else(|e| e.into_inner());
        runs.get(place.run as usize)?.locate(place.row.segment)
    }

    /// Takes up what a new index object lists, whose blobs need no longer be kept in memory.
    pub fn absorb(&self, source: Source, packs: &[PackEntry]) -> Result<()> {
        let run = Arc::new(self.make_run(&[source], packs)?);
        self.own.lock().unwrap_or_else(|e| e.into_inner()).extend(packs.iter().map(|pack| pack.id));
        let mut runs = self.runs();
        runs.push(run.clone());
        self.consolidate(&mut runs)?;
        *self.runs.write().unwrap_or_else(|e| e.into_inner()) = runs;
        for pack in packs {
            for blob in pack.directory.segments.iter().flat_map(|segment| &segment.blobs) {
                self.shard(&blob.id).remove(&half(&blob.id));
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

/// A table is named by the objects that it stands for.
fn table_path(folder: &Path, sources: impl Iterator<Item = Source>) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for source in sources {
        hasher.update(&source.id.0);
    }
    folder.join(format!("{}.run", hex(&hasher.finalize().as_bytes()[..16])))
}

/// Writes a table into the folder; `None` when that fails, which costs only time.
fn save(
    folder: &Path,
    sources: impl Iterator<Item = Source>,
    write: &dyn Fn(&mut dyn Write) -> std::io::Result<()>,
) -> Option<Run> {
    let path = table_path(folder, sources);
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&draft)?;
        let mut out = BufWriter::with_capacity(256 << 10, file);
        write(&mut out)?;
        let file = out.into_inner().map_err(|e| e.into_error())?;
        // A table that is cut short by a power cut would hide blobs.
        file.sync_data()?;
        fs::rename(&draft, &path)?;
        Ok::<File, std::io::Error>(file)
    })();
    match written {
        Ok(file) => Run::open(&file),
        Err(_) => {
            drop(fs::remove_file(&draft));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::run::tests::{blob_id, pack};

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
            assert!(index.runs().len() <= RUNS_MAX + 1, "{:?}", index.runs());
            assert_eq!(index.len(), 4000);
            for n in 0..4000 {
                assert_eq!(index.claim(&blob_id(n)), Membership::Known);
                assert!(index.place(&blob_id(n)).and_then(|place| index.locate(place)).is_some());
            }
            assert!(index.recent.iter().all(|shard| shard.lock().unwrap().is_empty()));
        }
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
