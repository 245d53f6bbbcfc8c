//! One name over a long series: where it is or was (`find`), and what became of it (`log`), with the local catalogue and without.
//!
//! ```text
//! cargo bench --bench history                          5 000 snapshots of 20 000 files, 1 % of them new each night
//! cargo bench --bench history -- FOLDER                the same, kept in FOLDER for the next time; that takes some minutes
//! cargo bench --bench history -- FOLDER 500 2000       smaller
//! ```
//!
//! The files are spread evenly over 400 directories, and so are the changes: nearly each directory has a new page each night. A
//! folder in memory (/dev/shm) spares the disk a million small writes. Each step is a process of its own.

mod common;

use common::{arguments, create, median, noise, open, peak_memory, process_cpu, take};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};
use vault::{
    monitor::Silent,
    ops::{
        find::{Query, Scope, Wanted, find},
        log::log,
    },
    repo::BlobReader,
    series::Series,
};

const SNAPSHOTS: usize = 5_000;
const FILES: usize = 20_000;
const DIRECTORIES: usize = 400;
const ROUNDS: usize = 3;
const STEPS: [&str; 4] = ["find, cold", "find, warm", "log, cold", "log, warm"];

fn file(source: &Path, number: usize) -> PathBuf {
    source.join(format!("{:02}/{:03}/file-{:05}.txt", number % 20, number % DIRECTORIES, number))
}

fn write(source: &Path, number: usize, night: usize) {
    fs::write(file(source, number), format!("file {number}, night {night}\n").repeat(1 + number % 40)).unwrap();
}

/// Files that are new on a night.
fn changed(night: usize, files: usize) -> Vec<usize> {
    let bytes = noise(files / 100 * 8, night);
    bytes.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap()) as usize % files).collect()
}

/// Takes all snapshots, the whole series into one repository.
fn make(folder: &Path, snapshots: usize, files: usize) {
    let source = folder.join("source");
    for number in 0..files {
        fs::create_dir_all(file(&source, number).parent().unwrap()).unwrap();
        write(&source, number, 0);
    }
    let repo = create(folder);
    for night in 0..snapshots {
        if night > 0 {
            changed(night, files).into_iter().for_each(|number| write(&source, number, night));
        }
        take(&repo, &source);
    }
    fs::remove_dir_all(&source).unwrap();
}

fn forget_catalogue(folder: &Path) {
    for entry in fs::read_dir(folder.join("cache")).into_iter().flatten() {
        let _ = fs::remove_dir_all(entry.unwrap().path().join("history"));
    }
}

fn step(name: &str, folder: &Path) {
    if name.ends_with("cold") {
        forget_catalogue(folder);
    }
    let (wall, cpu) = (Instant::now(), process_cpu());
    let repo = open(folder);
    let (index, _) = repo.load_index(false).unwrap();
    let reader = BlobReader::new(&repo, &index);
    let found = if name.starts_with("find") {
        let query = Query::new(Wanted { patterns: vec!["file-00042.txt".into()], ..Wanted::default() }).unwrap();
        let scope = Scope { prefix: "bench/-/data", latest: false };
        let report = find(&repo, &reader, scope, &query, &mut |_| Ok(()), &Silent).unwrap();
        assert!(report.unreadable.is_empty() && report.matches == 1);
        report.snapshots
    } else {
        let series = Series::parse("bench/-/data").unwrap();
        let log = log(&repo, &reader, &series, b"data/02/042/file-00042.txt", &Silent).unwrap();
        assert!(log.unreadable.is_empty() && log.revisions.len() > 1);
        log.snapshots
    };
    println!("{found} {} {} {}", wall.elapsed().as_secs_f64(), (process_cpu() - cpu).as_secs_f64(), peak_memory());
}

fn run(name: &str, folder: &Path) -> Vec<f64> {
    let output = Command::new(std::env::current_exe().unwrap()).args(["--step", name]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(|figure| figure.parse().unwrap()).collect()
}

fn main() {
    let arguments = arguments();
    if let [flag, name, folder] = &arguments[..]
        && flag == "--step"
    {
        return step(name, Path::new(folder));
    }
    let number = |at: usize, usual| arguments.get(at).map_or(usual, |number: &String| number.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.first().map_or(temporary.path().to_owned(), PathBuf::from);
    if !folder.join("repository").exists() {
        fs::create_dir_all(&folder).unwrap();
        let begun = Instant::now();
        make(&folder, number(1, SNAPSHOTS), number(2, FILES));
        println!("made in {:.0} s", begun.elapsed().as_secs_f64());
    }
    println!("{:12} {:>9} {:>8} {:>10} {:>10}", "", "snapshots", "seconds", "processor", "memory");
    let rounds: Vec<Vec<Vec<f64>>> =
        (0..ROUNDS).map(|_| STEPS.iter().map(|name| run(name, &folder)).collect()).collect();
    for (at, name) in STEPS.iter().enumerate() {
        let figure = |what: usize| median(rounds.iter().map(|round| round[at][what]).collect());
        let [snapshots, wall, cpu, memory] = [0, 1, 2, 3].map(figure);
        println!("{name:12} {snapshots:9} {wall:8.2} {cpu:10.2} {:6.0} MiB", memory / 1024.0);
    }
}
