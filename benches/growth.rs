//! Twice as much, twice the time, the same memory: all operations on a made-up tree and on ones two and four times as large.
//!
//! `cargo bench --bench growth` (from 150 MB on, below the folder for temporary files), `cargo bench --bench growth -- 40` (from 40 MB on)
//!
//! Each operation is a process of its own, so that each has a peak of memory of its own. Ratios are to the size before, of the
//! processor's time, which other work on the machine disturbs less than the clock's; medians over rounds.

mod common;

use common::{arguments, create, median, open, peak_memory, process_cpu, take, tree};
use std::{fs, os::unix::ffi::OsStrExt, path::Path, process::Command, time::Instant};
use vault::{
    monitor::Silent,
    ops::{
        check::{ReadData, check},
        restore::{self, restore},
    },
    repo::BlobReader,
    series::Series,
};

const BASE: u64 = 150;
const ROUNDS: usize = 3;
const STEPS: [&str; 4] = ["first snapshot", "unchanged snapshot", "restore", "check, reading all"];

fn step(name: &str, folder: &Path) {
    let source = folder.join("source");
    let (wall, cpu) = (Instant::now(), process_cpu());
    match name {
        "first snapshot" => drop(take(&create(folder), &source)),
        "unchanged snapshot" => assert_eq!(take(&open(folder), &source).snapshot.work.files_read, 0),
        "restore" => bring_back(folder),
        _ => {
            let report = check(&open(folder), ReadData::Percent(100.0), 0, &Silent).unwrap();
            assert!(report.findings.is_empty());
        }
    }
    println!("{} {} {}", wall.elapsed().as_secs_f64(), (process_cpu() - cpu).as_secs_f64(), peak_memory());
}

fn bring_back(folder: &Path) {
    let repo = open(folder);
    let (index, _) = repo.load_index(false).unwrap();
    let series = Series::parse("bench/-/data").unwrap();
    let newest = repo.series_end(&series).unwrap().living.unwrap();
    let listed = repo.read_snapshot(&repo.keys().series_tag(&series), &newest).unwrap();
    let request = restore::Request {
        target: folder.join("restored").as_os_str().as_bytes().to_vec(),
        owners: restore::Owners::Skip,
        ..Default::default()
    };
    assert_eq!(restore(&BlobReader::new(&repo, &index), &listed, &request, &Silent).unwrap().problem_count, 0);
}

/// Seconds, seconds of processor and KiB of memory of each step.
fn measure(source: &Path) -> Vec<[f64; 3]> {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(source, folder.path().join("source")).unwrap();
    let run = |name: &&str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--step", name]).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let figures: Vec<f64> = text.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
        figures.try_into().unwrap()
    };
    STEPS.iter().map(run).collect()
}

fn main() {
    let arguments = arguments();
    if let [flag, name, folder] = &arguments[..] {
        assert_eq!(flag, "--step");
        return step(name, Path::new(folder));
    }
    let base: u64 = arguments.first().map_or(BASE, |megabytes| megabytes.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let sizes: Vec<_> = [1, 2, 4].map(|times| (times, folder.path().join(times.to_string()))).into();
    for (times, source) in &sizes {
        fs::create_dir(source).unwrap();
        tree(source, (times * base) << 20, 0);
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    // Sizes by turns, so that a machine that slows down slows all of them down.
    let rounds: Vec<Vec<_>> = (0..ROUNDS).map(|_| sizes.iter().map(|(_, source)| measure(source)).collect()).collect();
    let figure = |size: usize, step: usize, what: usize| {
        median(rounds.iter().map(|round: &Vec<Vec<[f64; 3]>>| round[size][step][what]).collect())
    };
    println!(
        "{:20} {:>7} {:>8} {:>10} {:>7} {:>10} {:>8}",
        "", "MiB", "seconds", "processor", "ratio", "memory", "ratio"
    );
    for (at, name) in STEPS.iter().enumerate() {
        for (size, (times, _)) in sizes.iter().enumerate() {
            let [wall, cpu, memory] = [0, 1, 2].map(|what| figure(size, at, what));
            print!("{name:20} {:7} {wall:8.3} {cpu:10.3}", times * base);
            match size.checked_sub(1) {
                Some(before) => {
                    let (cpu, memory_ratio) = (cpu / figure(before, at, 1), memory / figure(before, at, 2));
                    println!(" {cpu:7.2} {:6.0} MiB {memory_ratio:8.2}", memory / 1024.0);
                }
                None => println!(" {:7} {:6.0} MiB", "", memory / 1024.0),
            }
        }
    }
}
