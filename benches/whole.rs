//! Whole operations, on all cores, into a repository in a folder below the folder for temporary files (choose its file system
//! with `TMPDIR`; waiting for the disk to be sure counts): the first snapshot, the next one of the same unchanged source, and
//! the restore, of 5000 small files and of one file of 64 MiB.
//!
//! `cargo bench --bench whole`; one of them: `cargo bench --bench whole -- 'small files/restore'`

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::{fs, os::unix::ffi::OsStrExt, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use vault::{
    compress::Compression,
    fs::exclude::ExcludeOptions,
    keys::slot::{Costs, Secret},
    model::config::Config,
    monitor::Silent,
    name::Name,
    ops::{
        restore::{self, restore},
        snapshot::{self, Input, SourceRequest, snapshot},
    },
    repo::{BlobReader, Repository, Surroundings},
    seal::SealKey,
    series::Series,
    store::{ObjectName, local::LocalStore},
    world::{KernelEntropy, SystemClock},
};

const SMALL_FILES: usize = 5000;
const LARGE_FILE: usize = 64 << 20;

/// Half noise and half text, so that compression has something to do and something to leave.
fn fill(len: usize, seed: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut hasher = blake3::Hasher::new_derive_key("vault bench file");
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    for block in out.chunks_mut(4096).step_by(2) {
        block.iter_mut().for_each(|byte| *byte = b"etaoin shrdlu\n  "[usize::from(*byte % 16)]);
    }
    out
}

fn small_files(root: &Path) -> usize {
    let mut sum = 0;
    for number in 0..SMALL_FILES {
        let folder = root.join(format!("{:02}/{:02}", number % 10, number / 10 % 10));
        fs::create_dir_all(&folder).unwrap();
        let len = 100 + number * 7919 % 8000;
        fs::write(folder.join(format!("file-{number:05}")), fill(len, number)).unwrap();
        sum += len;
    }
    sum
}

fn large_file(root: &Path) -> usize {
    fs::write(root.join("disk.img"), fill(LARGE_FILE, 0)).unwrap();
    LARGE_FILE
}

/// An empty repository; it goes with its folder.
fn repository() -> (TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let around = Surroundings {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(KernelEntropy),
        cache: Some(folder.path().join("cache")),
        state: Some(folder.path().join("state")),
    };
    let store = Arc::new(LocalStore::create(&folder.path().join("repository")).unwrap());
    // A key file: a passphrase is dear by design.
    let secret = Secret::KeyFile(SealKey::new([1; 32]));
    let repo = Repository::init(store, &secret, Costs::LOW, "bench", Config::default(), around).unwrap();
    (folder, repo)
}

fn take(repo: &Repository, source: &Path) -> snapshot::Report {
    let input = Input::Path(source.as_os_str().as_bytes().to_vec());
    let request = snapshot::Request {
        series: Series::parse("bench/-/data").unwrap(),
        sources: vec![SourceRequest { name: Name::new(*b"data").unwrap(), input }],
        excludes: ExcludeOptions::default(),
        compression: Compression::default(),
        delta: true,
        with_atime: false,
        tags: Vec::new(),
        description: None,
        configuration: None,
        host: "bench".into(),
        user: "bench".into(),
        protect: None,
        dry_run: false,
        threads: 0,
    };
    let report = snapshot(repo, request, &Silent).unwrap();
    assert_eq!(report.snapshot.problem_count, 0);
    report
}

fn whole(c: &mut Criterion) {
    for (name, make) in [("small files", small_files as fn(&Path) -> usize), ("large file", large_file)] {
        let source = tempfile::tempdir().unwrap();
        let bytes = make(source.path());
        let mut group = c.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("first snapshot", |b| {
            // What is returned is dropped, and its folder removed, outside of the measured time.
            b.iter_batched(
                repository,
                |(folder, repo)| (take(&repo, source.path()), folder, repo),
                BatchSize::PerIteration,
            );
        });

        let (_folder, repo) = repository();
        let first = take(&repo, source.path());
        let series = Series::parse(&first.snapshot.series).unwrap();
        group.bench_function("unchanged snapshot", |b| {
            // Each comes right after the first: the one before it is forgotten.
            let forget_others = || {
                for (tag, id, _) in repo.snapshot_names(Some(&series)).unwrap() {
                    if Some(id) != first.id {
                        let name = ObjectName::new(format!("snapshots/{tag}/{id}")).unwrap();
                        repo.store().remove(&name).unwrap();
                    }
                }
            };
            b.iter_batched(
                forget_others,
                |()| {
                    let report = take(&repo, source.path());
                    assert_eq!(report.snapshot.work.files_read, 0);
                    report
                },
                BatchSize::PerIteration,
            );
        });

        let (index, _) = repo.load_index(false).unwrap();
        let listed = repo.read_snapshot(&repo.keys().series_tag(&series), &first.id.unwrap()).unwrap();
        group.bench_function("restore", |b| {
            let bring_back = |target: TempDir| {
                // A reader of its own, with nothing opened yet.
                let reader = BlobReader::new(&repo, &index);
                let request = restore::Request {
                    target: target.path().join("restored").as_os_str().as_bytes().to_vec(),
                    owners: restore::Owners::Skip,
                    ..Default::default()
                };
                let report = restore(&reader, &listed, &request, &Silent).unwrap();
                assert_eq!((report.problem_count, report.bytes_written), (0, bytes as u64));
                (report, target)
            };
            b.iter_batched(|| tempfile::tempdir().unwrap(), bring_back, BatchSize::PerIteration);
        });
        group.finish();
    }
}

criterion_group!(benches, whole);
criterion_main!(benches);
