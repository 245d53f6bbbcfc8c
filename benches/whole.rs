//! Whole operations, on all cores, into a repository in a folder below the folder for temporary files (choose its file system
//! with `TMPDIR`; waiting for the disk to be sure counts): the first snapshot, the next one of the same unchanged source, and
//! the restore, of 5000 small files and of one file of 64 MiB.
//!
//! `cargo bench --bench whole`; one of them: `cargo bench --bench whole -- 'small files/restore'`

mod common;

use common::{fill, repository, take};
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::{fs, os::unix::ffi::OsStrExt, path::Path, time::Duration};
use tempfile::TempDir;
use vault::{
    monitor::Silent,
    ops::restore::{self, restore},
    repo::BlobReader,
    series::Series,
    store::ObjectName,
};

const SMALL_FILES: usize = 5000;
const LARGE_FILE: usize = 64 << 20;

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
