//! What several benches share: made-up sources, repositories, and how time and memory are read.
#![allow(dead_code, reason = "each benchmark is a program of its own and uses a part")]

use std::{fs, os::unix::ffi::OsStrExt, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use vault::{
    keys::slot::{Costs, Secret},
    model::config::Config,
    monitor::Silent,
    name::Name,
    ops::snapshot::{self, Input, SourceRequest, snapshot},
    repo::{Repository, Surroundings, Unlock},
    seal::SealKey,
    series::Series,
    store::local::LocalStore,
    world::{KernelEntropy, SystemClock},
};

/// Noise and words by turns, so that compression has something to do and something to leave.
pub fn fill(len: usize, seed: usize) -> Vec<u8> {
    let mut out = noise(len, seed);
    for block in out.chunks_mut(4096).step_by(2) {
        block.iter_mut().for_each(|byte| *byte = b"etaoin shrdlu\n  "[usize::from(*byte % 16)]);
    }
    out
}

/// What no compression shortens.
pub fn noise(len: usize, seed: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new_derive_key("vault bench file").update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Lines of words with numbers among them, about as compressible as source code or logs.
pub fn text(len: usize, seed: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 16);
    for pair in noise(len / 2 + 64, seed).chunks_exact(2) {
        if out.len() >= len {
            break;
        }
        // A few words are frequent, most are rare.
        let word = (usize::from(pair[0]) * usize::from(pair[0])) >> 4;
        match pair[1] {
            0..16 => out.push(b'\n'),
            16..32 => out.extend_from_slice(pair[0].to_string().as_bytes()),
            _ => out.extend((0..3 + word % 6).map(|at| b'a' + ((word >> at) * 7 + at * 5) as u8 % 26)),
        }
        out.push(b' ');
    }
    out.truncate(len);
    out
}

/// A tree of about `bytes`, like the data of an application: for each 12 MiB one file of 1.5 MiB that does not compress, one of
/// 2.5 MiB that does in part, and 640 small ones of text, 12 KiB on average, 40 to a directory. `seed` makes another one.
pub fn tree(root: &Path, bytes: u64, seed: usize) {
    for group in 0..(bytes / (12 << 20)).max(1) as usize {
        let number = (seed << 32) + (group << 16);
        let folder = root.join(format!("{:02}/{group:04}", group % 16));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("picture.bin"), noise(3 << 19, number)).unwrap();
        fs::write(folder.join("table.bin"), fill(5 << 19, number)).unwrap();
        for small in 0..640 {
            let folder = folder.join(format!("part-{:02}", small / 40));
            if small % 40 == 0 {
                fs::create_dir(&folder).unwrap();
            }
            let len = 200 + small * small * 7919 % 24_000;
            fs::write(folder.join(format!("file-{small:03}.txt")), text(len, number + small)).unwrap();
        }
    }
}

fn surroundings(folder: &Path) -> Surroundings {
    Surroundings {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(KernelEntropy),
        cache: Some(folder.join("cache")),
        state: Some(folder.join("state")),
    }
}

/// A key file: a passphrase is dear by design.
fn secret() -> Secret {
    Secret::KeyFile(SealKey::new([1; 32]))
}

/// Makes a repository in `folder`.
pub fn create(folder: &Path) -> Repository {
    create_with(folder, Config::default())
}

/// The same with a configuration.
pub fn create_with(folder: &Path, config: Config) -> Repository {
    let store = Arc::new(LocalStore::create(&folder.join("repository")).unwrap());
    Repository::init(store, &secret(), Costs::LOW, "bench", config, surroundings(folder)).unwrap()
}

/// Opens the one that [`create`] made.
pub fn open(folder: &Path) -> Repository {
    let store = Arc::new(LocalStore::open(&folder.join("repository")).unwrap());
    Repository::open(store, &Unlock::Secret(secret()), surroundings(folder)).unwrap()
}

/// An empty repository in a folder below the one for temporary files; it goes with its folder.
pub fn repository() -> (TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let repo = create(folder.path());
    (folder, repo)
}

/// A source that is a path.
pub fn path(name: &str, path: &Path) -> SourceRequest {
    source(name, Input::Path(path.as_os_str().as_bytes().to_vec()))
}

/// A source.
pub fn source(name: &str, input: Input) -> SourceRequest {
    SourceRequest { name: Name::new(name.as_bytes()).unwrap(), input }
}

/// Takes a snapshot of one folder, in which nothing may go wrong.
pub fn take(repo: &Repository, folder: &Path) -> snapshot::Report {
    take_all(repo, vec![path("data", folder)])
}

/// Takes a snapshot of several sources.
pub fn take_all(repo: &Repository, sources: Vec<SourceRequest>) -> snapshot::Report {
    let series = Series::parse("bench/-/data").unwrap();
    let request = snapshot::Request::new(series, sources, "bench", "bench");
    let report = snapshot(repo, request, &Silent).unwrap();
    assert_eq!(report.snapshot.problem_count, 0, "{:?}", report.snapshot.problems);
    report
}

fn clock(id: rustix::time::ClockId) -> Duration {
    let now = rustix::time::clock_gettime(id);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Time that all threads of this process have been on a processor, in the program and in the kernel.
pub fn process_cpu() -> Duration {
    clock(rustix::time::ClockId::ProcessCPUTime)
}

/// The same of this thread.
pub fn thread_cpu() -> Duration {
    clock(rustix::time::ClockId::ThreadCPUTime)
}

/// Most memory that this process has had, in KiB.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The arguments without those that cargo adds.
pub fn arguments() -> Vec<String> {
    std::env::args().skip(1).filter(|argument| argument != "--bench").collect()
}
