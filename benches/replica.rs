//! A replica beside `cp -r` and `sync` of the same objects, and a second copy when nothing has changed.
//!
//! `cargo bench --bench replica` (ten thousand objects, 1 GB, below the folder for temporary files), `cargo bench --bench replica -- 1000`
//!
//! The originals are in the page cache. Medians of three rounds, by turns.

mod common;

use common::{arguments, create_with, median, noise, take};
use std::{fs, path::Path, process::Command, time::Instant};
use vault::{
    model::config::Config,
    monitor::Silent,
    ops::copy::replica::{Request, replicate},
    store::local::LocalStore,
};

const OBJECTS: usize = 10_000;
const LENGTH: usize = 100 << 10;
const ROUNDS: usize = 3;

fn timed(run: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    run();
    begun.elapsed().as_secs_f64()
}

fn run(program: &str, args: &[&Path]) {
    let flag: &[&str] = if program == "cp" { &["-r"] } else { &[] };
    assert!(Command::new(program).args(flag).args(args).status().unwrap().success());
}

fn copy(from: &Path, to: &Path) -> u64 {
    let (from, to) = (LocalStore::open(from).unwrap(), LocalStore::create(to).unwrap().gathering());
    let request = Request { from: &from, to: &to, create: true, dry_run: false, threads: 0 };
    replicate(&request, &Silent).unwrap().objects
}

fn main() {
    let objects: usize = arguments().first().map_or(OBJECTS, |given| given.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    for n in 0..objects {
        let folder = source.join(format!("{:03}", n / 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(n.to_string()), noise(LENGTH, n)).unwrap();
    }
    // A pack for each file.
    let config = Config { segment_target: LENGTH as u32, pack_target: LENGTH as u32, ..Config::default() };
    take(&create_with(folder.path(), config), &source);
    fs::remove_dir_all(&source).unwrap();
    let (from, to, plain) =
        (folder.path().join("repository"), folder.path().join("replica"), folder.path().join("plain"));
    run("sync", &[]);
    let (mut by_cp, mut by_vault, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        by_cp.push(timed(|| {
            run("cp", &[&from, &plain]);
            run("sync", &[]);
        }));
        by_vault.push(timed(|| println!("{} objects", copy(&from, &to))));
        again.push(timed(|| assert_eq!(copy(&from, &to), 0)));
        [&plain, &to].into_iter().for_each(|copy| fs::remove_dir_all(copy).unwrap());
        run("sync", &[]);
    }
    let (by_cp, by_vault) = (median(by_cp), median(by_vault));
    println!("cp -r and sync: {by_cp:.2} s; replica: {by_vault:.2} s, {:.0} % of its speed", 100.0 * by_cp / by_vault);
    println!("second copy: {:.2} s", median(again));
}
