//! The index of a large repository: building its table, opening it, asking it, and the memory that this takes.
//!
//! ```text
//! cargo bench --bench index                          1 and 10 million blobs
//! cargo bench --bench index -- 100 /mnt/scratch      100 million, which takes 11 GB of disk below that folder for a while
//! ```
//!
//! Sealed index objects as writers make them (64 Ki blobs, 65 to a segment of 1 MiB) are generated in steps, and taken up after each:
//! the repository then has as many runs as one has that grows. Each step is a process of its own, so that the memory of one is not
//! counted for another: `RssAnon`, which leaves out mapped tables (the kernel takes those pages back when it needs them). Times of
//! lookups are of the processor (`schedstat`), so that what else runs matters less.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    hint::black_box,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};
use vault::{
    hash,
    id::{BLOB_ID_LEN, BlobId, ID_LEN, IndexId, PackId, RepoId},
    index::{BlobIndex, IndexObject, Membership, object::object_name},
    keys::wrap::WrappedKey,
    pack::{Directory, PackEntry, SegmentEntry},
    seal::SealKey,
    segment::BlobEntry,
    store::{Store, local::LocalStore},
    world::KernelEntropy,
};

type Outcome = Result<(), Box<dyn Error>>;

const OBJECT_BLOBS: u64 = 64 << 10;
/// A sixteenth of the usual: so 100 million blobs are 100 thousand packs, as they would be were they large.
const PACK_SEGMENTS: u64 = 16;
const SEGMENT_BLOBS: u64 = 65;
const BLOB_LEN: u32 = 16 << 10;
/// What remains is the first step.
const LATER_STEPS: [u64; 3] = [5, 25, 400];
const ROUNDS: u64 = 2_000_000;
/// Blobs that an unchanged tree of 80 000 files asks for.
const TREE_BLOBS: u64 = 80_000;

/// A bijection without pattern (SplitMix64).
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Ids are keyed hashes, so their bytes look random.
fn blob_id(n: u64) -> BlobId {
    let mut id = [0; BLOB_ID_LEN];
    for (part, salt) in id.as_chunks_mut::<4>().0.iter_mut().zip(0u64..) {
        part.copy_from_slice(&mix(n ^ (salt << 60)).to_le_bytes()[..4]);
    }
    BlobId(id)
}

fn pack(first: u64, end: u64) -> PackEntry {
    let segment = |(number, first): (usize, u64)| {
        let blobs: Vec<_> = (first..(first + SEGMENT_BLOBS).min(end))
            .map(|n| BlobEntry { id: blob_id(n), kind: 1, len: BLOB_LEN })
            .collect();
        SegmentEntry {
            offset: 32 + ((number as u64) << 20),
            stored: 1 << 20,
            raw: blobs.len() as u32 * BLOB_LEN,
            codec: 1,
            key: 0,
            counter: number as u64,
            generation: 0,
            bases: Vec::new(),
            blobs,
        }
    };
    let segments = (first..end).step_by(SEGMENT_BLOBS as usize).enumerate().map(segment).collect();
    let mut pack_id = [0; ID_LEN];
    pack_id[..8].copy_from_slice(&mix(u64::MAX - first).to_le_bytes());
    let directory = Directory { keys: vec![WrappedKey { enc: [1; 32], sealed: [2; 48] }], segments };
    PackEntry { id: PackId(pack_id), len: 20 << 20, kind: 3, directory }
}

struct Place<'p> {
    folder: &'p Path,
    repo: RepoId,
    key: SealKey,
}

impl<'p> Place<'p> {
    fn new(folder: &'p Path) -> Self {
        Place { folder, repo: RepoId([7; 16]), key: SealKey::new([9; 32]) }
    }

    fn store(&self) -> Result<LocalStore, Box<dyn Error>> {
        Ok(LocalStore::open(&self.folder.join("store"))?)
    }

    fn load(&self, fresh: bool) -> Result<BlobIndex, Box<dyn Error>> {
        let tables = self.folder.join("tables");
        let (index, unreadable) = BlobIndex::load(&self.store()?, self.repo, &self.key, Some(tables), fresh)?;
        assert!(unreadable.is_empty());
        Ok(index)
    }

    /// Writes the index objects of some blobs.
    fn generate(&self, first: u64, end: u64) -> Outcome {
        let store = self.store()?;
        for first in (first..end).step_by(OBJECT_BLOBS as usize) {
            let end = end.min(first + OBJECT_BLOBS);
            let step = PACK_SEGMENTS * SEGMENT_BLOBS;
            let packs = (first..end).step_by(step as usize).map(|first| pack(first, end.min(first + step))).collect();
            let bytes = IndexObject { packs }.seal(self.repo, &self.key, &KernelEntropy)?;
            store.put(&object_name(&IndexId(hash::object_name(&bytes))), &bytes)?;
        }
        Ok(())
    }

    fn build(&self, fresh: bool) -> Outcome {
        let begun = Instant::now();
        let (index, peak) = with_peak(|| self.load(fresh));
        let index = index?;
        let runs = index.runs().iter().map(|run| run.len().to_string()).collect::<Vec<_>>().join(" ");
        let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_time().as_secs_f64());
        println!("  {:5.1} s, {cpu:5.1} s of CPU, peak {:3} MiB, runs of {runs}", wall, peak >> 10);
        Ok(())
    }

    fn ask(&self, blobs: u64) -> Outcome {
        let begun = Instant::now();
        let index = self.load(false)?;
        let opened = begun.elapsed();
        assert!(index.contains(&blob_id(blobs / 2)) && index.place(&blob_id(blobs + 1)).is_none());
        println!("  open {opened:.1?}, with the first lookups {:.1?}, {} runs", begun.elapsed(), index.runs().len());

        let there = |n: u64| blob_id(mix(n) % blobs);
        let absent = |n: u64| blob_id(blobs + mix(n) % (1 << 40));
        let rate = |name: &str, ask: &dyn Fn(u64)| {
            let before = cpu_time();
            (0..ROUNDS).for_each(ask);
            let spent = (cpu_time() - before).as_secs_f64();
            println!("  {name:26} {:6.2} million/s", ROUNDS as f64 / spent / 1e6);
        };
        let contains = |n| assert!(index.contains(black_box(&there(n))));
        rate("hit, tables not yet mapped", &contains);
        rate("hit", &|n| contains(n + ROUNDS));
        rate("miss", &|n| assert!(!index.contains(black_box(&absent(n)))));
        rate("claim of what is known", &|n| assert_eq!(black_box(index.claim(&there(n))), Membership::Known));
        rate("place", &|n| assert!(black_box(index.place(&there(n))).is_some()));
        rate("place and locate", &|n| {
            let found = index.place(&there(n)).and_then(|place| index.locate(place));
            assert!(black_box(found).is_some());
        });
        println!("  memory {} MiB", anonymous() >> 10);
        // So many that writers keep them in memory before a new index object lists them, several times over.
        let claims = 4 * OBJECT_BLOBS;
        let before = cpu_time();
        (0..claims).for_each(|n| assert_eq!(black_box(index.claim(&absent(n))), Membership::New));
        let spent = (cpu_time() - before).as_secs_f64();
        println!("  {:26} {:6.2} million/s", "claim of what is new", claims as f64 / spent / 1e6);
        println!("  memory {} MiB with {claims} new blobs", anonymous() >> 10);
        Ok(())
    }

    /// What a snapshot of an unchanged tree asks of the index.
    fn unchanged(&self, blobs: u64) -> Outcome {
        let packs: HashMap<PackId, u64> = self
            .load(false)?
            .runs()
            .iter()
            .flat_map(|run| run.packs().map(|(id, len, _)| (id, len)).collect::<Vec<_>>())
            .collect();
        let memory = anonymous();
        let begun = Instant::now();
        let mut index = self.load(false)?;
        let opened = begun.elapsed();
        assert!(index.compare_with_store(&|id| packs.get(id).copied(), &Default::default()).is_empty());
        assert!(index.unlisted(packs.keys()).is_empty());
        let compared = begun.elapsed();
        assert!((0..TREE_BLOBS).all(|n| index.contains(&blob_id(mix(n) % blobs))));
        println!(
            "  unchanged snapshot: open {opened:.1?}, compare {} packs {:.1?} ({} MiB), {TREE_BLOBS} lookups {:.1?}",
            packs.len(),
            compared - opened,
            anonymous().saturating_sub(memory) >> 10,
            begun.elapsed() - compared
        );
        Ok(())
    }
}

/// Memory of this process that no file stands behind, in KiB.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Time that this thread has been on a processor.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0))
}

/// Runs `work` and returns with what it gives the most memory that was seen meanwhile, in KiB.
fn with_peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, peak.load(Ordering::Relaxed))
    })
}

/// Runs a step in a process of its own.
fn step(folder: &Path, name: &str, numbers: [u64; 2]) -> Outcome {
    let status = Command::new(std::env::current_exe()?)
        .args(["--step", name])
        .arg(folder)
        .args(numbers.map(|number| number.to_string()))
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("step {name} failed").into()) }
}

fn measure(blobs: u64, base: &Path) -> Outcome {
    println!("{blobs} blobs");
    let folder = tempfile::Builder::new().prefix("vault-bench-index").tempdir_in(base)?;
    let folder = folder.path();
    fs::create_dir(folder.join("tables"))?;
    LocalStore::create(&folder.join("store"))?;
    println!(" grown in steps");
    let later: u64 = LATER_STEPS.iter().map(|part| blobs / part).sum();
    let mut first = 0;
    for part in std::iter::once(blobs - later).chain(LATER_STEPS.map(|part| blobs / part)) {
        step(folder, "generate", [first, first + part])?;
        step(folder, "add", [0, 0])?;
        first += part;
    }
    step(folder, "ask", [blobs, 0])?;
    step(folder, "unchanged", [blobs, 0])?;
    println!(" built at once");
    step(folder, "build", [0, 0])?;
    step(folder, "ask", [blobs, 0])?;
    step(folder, "unchanged", [blobs, 0])
}

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--step", name, folder, a, b] = args[..] {
        let (place, a, b) = (Place::new(Path::new(folder)), a.parse()?, b.parse()?);
        return match name {
            "generate" => place.generate(a, b),
            "add" => place.build(false),
            "build" => place.build(true),
            "ask" => place.ask(a),
            _ => place.unchanged(a),
        };
    }
    let base = args.get(1).map_or_else(std::env::temp_dir, Into::into);
    match args.first() {
        Some(millions) => measure(millions.parse::<u64>()? * 1_000_000, &base),
        None => [1_000_000, 10_000_000].into_iter().try_for_each(|blobs| measure(blobs, &base)),
    }
}
