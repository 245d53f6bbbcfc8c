//! A prune of a repository with 500 snapshots and a million blobs, of which a tenth is dead: time, memory, and what it writes for what
//! it frees.
//!
//! `cargo bench --bench prune` (a million blobs; some 3 GB below the folder for temporary files), `cargo bench --bench prune -- 100`
//! (a hundred thousand)
//!
//! Fifty machines with eleven snapshots each. In the first lie all folders; before the second a fifth of them is removed, and each night
//! adds files, of which a third is gone the next night. Then the first snapshot of each machine is forgotten. What is dead lies
//! in packs that are needed otherwise, and there are hundreds of short packs that a prune would like to put together.
//!
//! Each step is a process of its own, so that each has a peak of memory of its own.

mod common;

use common::{arguments, create, open, path, peak_memory, process_cpu, text};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};
use vault::{
    monitor::Silent,
    ops::{
        check::{ReadData, check},
        forget::{self, Actor},
        prune::{self, Numbers},
        snapshot::{Request, snapshot},
    },
    series::{Address, Series},
};

const THOUSANDS: usize = 1000;
const HOSTS: usize = 50;
const NIGHTS: usize = 10;
/// Of a thousand blobs of each machine: in the first snapshot, of these such as are removed, and in each night.
const FIRST: usize = 550;
const REMOVED: usize = 105;
const NIGHTLY: usize = 45;
/// Files of one folder.
const FOLDER: usize = 200;

fn write(folder: &Path, files: usize, seed: usize) {
    fs::create_dir_all(folder).unwrap();
    for n in 0..files {
        let number = seed + n;
        fs::write(folder.join(format!("{n:05}")), text(1500 + number * 7919 % 5000, number)).unwrap();
    }
}

/// Fifty machines, one after another: `scale` times a thousand blobs of all.
fn build(folder: &Path, scale: usize) {
    let repo = create(folder);
    let source = folder.join("source");
    let (mut forgotten, actor) = (Vec::new(), Actor { host: "bench".into(), user: "bench".into() });
    for host in 0..HOSTS {
        let _ = fs::remove_dir_all(&source);
        let of = |share: usize| share * scale / 1000 / HOSTS;
        let seed = |night: usize| (host << 32) + (night << 24);
        let folders = of(FIRST).div_ceil(FOLDER);
        (0..folders).for_each(|n| write(&source.join(format!("kept/{n:04}")), FOLDER, seed(0) + (n << 12)));
        let series = Series::parse(&format!("bench/host-{host:02}/data")).unwrap();
        let take = || {
            let request = Request::new(series.clone(), vec![path("data", &source)], "bench", "bench");
            snapshot(&repo, request, &Silent).unwrap().id.unwrap()
        };
        forgotten.push(Address::parse(take().to_string().as_bytes()).unwrap());
        for n in 0..of(REMOVED).div_ceil(FOLDER) {
            fs::remove_dir_all(source.join(format!("kept/{n:04}"))).unwrap();
        }
        for night in 1..=NIGHTS {
            let _ = fs::remove_dir_all(source.join("passing"));
            write(&source.join("passing"), of(NIGHTLY) / 3, seed(night));
            write(&source.join(format!("night-{night}")), of(NIGHTLY) * 2 / 3, seed(night) + (1 << 20));
            take();
        }
    }
    fs::remove_dir_all(&source).unwrap();
    let never = |_: &str| Err(vault::error::Error::usage("no dates here"));
    let plan = forget::of_snapshots(&repo, &forgotten, &never, "bench", false, &Silent).unwrap();
    forget::apply(&repo, &plan, &actor, &Silent).unwrap();
}

/// All files below a folder with their lengths.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => drop(found.insert(entry.path(), entry.metadata().unwrap().len())),
            }
        }
    }
    found
}

/// What is dead and what is not, before a step.
fn describe(numbers: &Numbers) {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{} snapshots, {} blobs needed; {} packs, {:.0} MB, of which {:.1} MB are dead, and {:.1} MB of plaintext beside needed ones",
        numbers.snapshots,
        numbers.live_blobs,
        numbers.stored.packs,
        mb(numbers.stored.bytes),
        mb(numbers.dead_bytes),
        mb(numbers.dead_beside_live),
    );
    println!(
        "to move: {} packs, {:.1} MB ({:.1} MB to put short ones together); to remove: {} packs, {:.1} MB; unused after it: {:.1} MB",
        numbers.moved.packs,
        mb(numbers.moved.bytes),
        mb(numbers.merged.bytes),
        numbers.removed.packs,
        mb(numbers.removed.bytes),
        mb(numbers.unused_after),
    );
}

fn step(name: &str, folder: &Path, scale: usize) {
    let before = if name == "build" { BTreeMap::new() } else { files(&folder.join("repository")) };
    let (wall, cpu) = (Instant::now(), process_cpu());
    let mut told = None;
    match name {
        "build" => build(folder, scale),
        "check" => assert!(check(&open(folder), ReadData::None, 0, &Silent).unwrap().findings.is_empty()),
        _ => {
            let options = prune::Options { grace: 0, ..prune::Options::default() };
            told = Some(prune::prune(&open(folder), &options, &Silent).unwrap().0.numbers);
        }
    }
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), (process_cpu() - cpu).as_secs_f64());
    let memory = peak_memory() as f64 / 1024.0;
    let after = files(&folder.join("repository"));
    let of = |these: &BTreeMap<PathBuf, u64>, others: &BTreeMap<PathBuf, u64>| -> f64 {
        let others: BTreeSet<_> = others.keys().collect();
        these.iter().filter(|(path, _)| !others.contains(path)).map(|(_, len)| *len as f64 / 1e6).sum()
    };
    let (written, freed) = (of(&after, &before), of(&before, &after));
    println!("{name}: {wall:.1} s, {cpu:.1} CPU s, {memory:.0} MiB; {written:.1} MB written, {freed:.1} MB removed");
    if let Some(numbers) = told {
        describe(&numbers);
    }
}

fn main() {
    let arguments = arguments();
    if let [flag, name, folder, scale] = &arguments[..] {
        assert_eq!(flag, "--step");
        return step(name, Path::new(folder), scale.parse().unwrap());
    }
    let thousands: usize = arguments.first().map_or(THOUSANDS, |given| given.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for name in ["build", "mark", "sweep and mark", "sweep and mark", "check"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--step", name]).arg(folder.path()).arg((thousands * 1000).to_string());
        assert!(command.status().unwrap().success(), "{name}");
    }
}
