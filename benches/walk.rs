//! The walk alone: snapshots of a tree that has not changed, in which nothing is read.
//!
//! ```text
//! cargo bench --bench walk                 100 000 files, below the folder for temporary files
//! cargo bench --bench walk -- 20000
//! cargo bench --bench walk -- /some/tree   a tree of your own
//! ```
//!
//! Each snapshot is a process of its own. System calls are counted with `strace`, where there is one.

mod common;

use common::{arguments, create, median, open, peak_memory, process_cpu, take};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

const FILES: usize = 100_000;
/// Files of one directory.
const SIBLINGS: usize = 100;
const ROUNDS: usize = 5;

fn make(root: &Path, files: usize) {
    for number in 0..files {
        let folder = root.join(format!("{:02}/{:04}", number / SIBLINGS % 32, number / SIBLINGS));
        if number % SIBLINGS == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(format!("file-{number:07}.txt")), number.to_string()).unwrap();
    }
}

/// One snapshot: entries, seconds, processor seconds, KiB of memory.
fn step(folder: &Path, source: &Path) {
    let (wall, cpu) = (Instant::now(), process_cpu());
    let report = take(&open(folder), source);
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), (process_cpu() - cpu).as_secs_f64());
    assert_eq!(report.snapshot.work.files_read, 0);
    let totals = &report.snapshot.totals;
    println!("{} {wall} {cpu} {}", totals.files + totals.directories + totals.others, peak_memory());
}

fn run(mut command: Command) -> Vec<f64> {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.split_whitespace().map(|figure| figure.parse().unwrap()).collect()
}

fn main() {
    let arguments = arguments();
    if let [step_name, folder, source] = &arguments[..] {
        assert_eq!(step_name, "--step");
        return step(Path::new(folder), Path::new(source));
    }
    let folder = tempfile::tempdir().unwrap();
    let given = arguments.first().filter(|argument| argument.contains('/'));
    let source = given.map_or_else(|| folder.path().join("tree"), PathBuf::from);
    if given.is_none() {
        make(&source, arguments.first().map_or(FILES, |files| files.parse().unwrap()));
        // What changed just now could change again within the same tick of the clock, and is read again.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    take(&create(folder.path()), &source);
    let program = std::env::current_exe().unwrap();
    let step = |mut command: Command| {
        command.arg("--step").args([folder.path(), &source]);
        command
    };
    let rounds: Vec<_> = (0..ROUNDS).map(|_| run(step(Command::new(&program)))).collect();
    let figure = |at: usize| median(rounds.iter().map(|round| round[at]).collect());
    let entries = figure(0);
    println!(
        "{entries} entries: {:.3} s, {:.3} s of processor, {:.0} entries/s, {:.2} us of processor per entry, {:.0} MiB",
        figure(1),
        figure(2),
        entries / figure(1),
        figure(2) / entries * 1e6,
        figure(3) / 1024.0
    );

    let log = folder.path().join("calls");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-c", "-S", "calls", "-U", "calls,name", "-o"]).arg(&log).arg(&program);
    if Command::new("strace").arg("-V").output().is_err() {
        return println!("no strace: system calls were not counted");
    }
    run(step(traced));
    let table = fs::read_to_string(&log).unwrap();
    let rows = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?.parse::<f64>().ok()?, fields.next()?))
    });
    let rows: Vec<_> = rows.collect();
    let shown = rows.iter().filter(|(calls, _)| calls / entries >= 0.001);
    let shown: Vec<_> = shown.map(|(calls, name)| format!("{name} {:.3}", calls / entries)).collect();
    println!("system calls per entry: {}", shown.join(", "));
}
