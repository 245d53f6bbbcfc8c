//! What the order of reading saves on a disk that turns, and how sources on several devices overlap.
//!
//! ```text
//! cargo bench --bench disks                      made-up layouts, and two sources at once
//! cargo bench --bench disks -- /some/tree        as its files lie on their disk (where the file system tells)
//! cargo bench --bench disks -- image [FILES]     an aged ext4 in an image on a loop device, with the real snapshot's reads; as root
//! ```
//!
//! The model of the disk is that of a usual one with 7200 turns a minute: 1 TB, 150 MB/s; a seek takes 1 to 9 ms, by the square root of the
//! distance, and then half a turn, 4.2 ms; a gap ahead is read over where that is faster. Metadata is left out.

mod common;

use common::{arguments, noise, path, repository, source, take, take_all};
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use vault::{
    fs::{
        fiemap::physical_offset,
        order::{WINDOW, by_place},
    },
    ops::snapshot::Input,
};

/// Place and length of a file, in bytes.
type Lying = (Option<u64>, u64);

/// A disk and its head.
#[derive(Default)]
struct Disk {
    head: u64,
    moved: u64,
    seeks: u64,
    seconds: f64,
}

impl Disk {
    const SIZE: f64 = 1e12;
    const RATE: f64 = 150e6;

    fn read(&mut self, (place, len): Lying) {
        let Some(place) = place else { return };
        let distance = place.abs_diff(self.head);
        self.moved += distance;
        let over = distance as f64 / Self::RATE;
        let seek = 0.001 + 0.008 * (distance as f64 / Self::SIZE).sqrt() + 0.0042;
        if place >= self.head && over <= seek {
            self.seconds += over;
        } else {
            self.seeks += 1;
            self.seconds += seek;
        }
        self.seconds += len as f64 / Self::RATE;
        self.head = place + len;
    }

    fn tell(name: &str, files: impl IntoIterator<Item = Lying>) {
        let mut disk = Disk::default();
        files.into_iter().for_each(|file| disk.read(file));
        println!(
            "  {name:28} {:9.1} GB moved, {:7} seeks, {:7.1} s",
            disk.moved as f64 / 1e9,
            disk.seeks,
            disk.seconds
        );
    }
}

/// Files in the order of names, and in the order that a reader that looks ahead so many files makes of them.
fn compare(files: &[Lying]) {
    Disk::tell("in the order of names", files.iter().copied());
    for window in [WINDOW / 8, WINDOW / 2, WINDOW, WINDOW * 8] {
        let mut sorted = files.to_vec();
        sorted.chunks_mut(window).for_each(|window| by_place(window, |(place, _)| *place));
        let name = format!("{window} ahead{}", if window == WINDOW { " (as it is)" } else { "" });
        Disk::tell(&name, sorted);
    }
}

/// Numbers without pattern that are the same every time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let n = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (n ^ (n >> 31)) % end
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

fn made_up() {
    const FILES: usize = 100_000;
    const SIBLINGS: usize = 50;
    let mut dice = Dice(1);
    let mut len = || 1000 + dice.below(30_000);
    let lens: Vec<u64> = (0..FILES).map(|_| len()).collect();
    println!("{FILES} files of 16 kB at random on 500 GB");
    compare(&lens.iter().map(|len| (Some(dice.below(500_000_000_000)), *len)).collect::<Vec<_>>());

    println!(
        "the same, each directory of {SIBLINGS} in a block group of its own in the order of writing, a fifth written anew elsewhere"
    );
    const GROUP: u64 = 128 << 20;
    let mut files = Vec::new();
    for siblings in lens.chunks(SIBLINGS) {
        let mut order: Vec<usize> = (0..siblings.len()).collect();
        dice.shuffle(&mut order);
        let (mut at, mut places) = (dice.below(3700) * GROUP, vec![0; siblings.len()]);
        for file in order {
            places[file] = at;
            at += siblings[file].next_multiple_of(4096);
            if dice.below(5) == 0 {
                places[file] = dice.below(3700) * GROUP + dice.below(GROUP);
            }
        }
        files.extend(places.into_iter().map(Some).zip(siblings.iter().copied()));
    }
    compare(&files);
}

/// Regular files below a folder in the order of the walk.
fn list(folder: &Path, files: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| entry.file_name());
    folders.push(folder.to_owned());
    for entry in entries {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => list(&entry.path(), files, folders),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

fn lying(path: &Path) -> Lying {
    let file = File::open(path).unwrap();
    (physical_offset(&file), file.metadata().unwrap().len())
}

fn real(folder: &Path) {
    let mut files = Vec::new();
    list(folder, &mut files, &mut Vec::new());
    let files: Vec<Lying> = files.iter().map(|file| lying(file)).collect();
    let placed = files.iter().filter(|(place, _)| place.is_some()).count();
    println!("{}: {} files, {placed} with a place that is told", folder.display(), files.len());
    compare(&files);
}

/// A stream that takes its time: a disk that is slow.
struct Slow {
    left: usize,
    pause: Duration,
}

impl Read for Slow {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(self.pause);
        let len = room.len().min(64 << 10).min(self.left);
        self.left -= len;
        room[..len].copy_from_slice(&noise(len, self.left));
        Ok(len)
    }
}

/// A slow source and a fast one: groups by device are read at once, and a stream is a group of its own.
fn overlap() {
    let folder = tempfile::tempdir().unwrap();
    common::tree(folder.path(), 200 << 20, 0);
    let slow = || {
        let input = Slow { left: 16 << 20, pause: Duration::from_millis(10) };
        source("slow", Input::Stream(Box::new(input)))
    };
    let fast = || path("fast", folder.path());
    let time = |sources: Vec<_>| {
        let (_folder, repo) = repository();
        let begun = Instant::now();
        take_all(&repo, sources);
        begun.elapsed().as_secs_f64()
    };
    println!("a source that waits 10 ms for each 64 KiB of its 16 MiB, and a tree of 200 MiB");
    time(vec![fast()]);
    let (slow_alone, fast_alone) = (time(vec![slow()]), time(vec![fast()]));
    let both = time(vec![slow(), fast()]);
    println!(
        "  slow alone {slow_alone:.2} s, fast alone {fast_alone:.2} s: one after the other {:.2} s",
        slow_alone + fast_alone
    );
    println!("  in one snapshot {both:.2} s, {:.2} of the longer one", both / slow_alone.max(fast_alone));
}

/// Runs a program, which must succeed, and returns what it writes.
fn run(program: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An ext4 in a file, on a loop device.
struct Image {
    folder: tempfile::TempDir,
    device: String,
}

impl Image {
    fn new(bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image");
        File::create(&file).unwrap().set_len(bytes).unwrap();
        run("mkfs.ext4", &["-q".as_ref(), file.as_ref()]);
        fs::create_dir(folder.path().join("mounted")).unwrap();
        let device = run("losetup", &["--find".as_ref(), "--show".as_ref(), file.as_ref()]);
        Image { folder, device }
    }

    fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&self) {
        run("mount", &[self.device.as_ref(), self.mounted().as_ref()]);
    }

    fn unmount(&self) {
        run("umount", &[self.mounted().as_ref()]);
    }

    /// What the device says of itself.
    fn turns(&self, turns: bool) {
        let name = self.device.trim_start_matches("/dev/");
        fs::write(format!("/sys/block/{name}/queue/rotational"), if turns { "1" } else { "0" }).unwrap();
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.mounted()).output();
        let name = self.device.trim_start_matches("/dev/");
        let _ = fs::write(format!("/sys/block/{name}/queue/rotational"), "0");
        let _ = Command::new("losetup").args(["--detach", &self.device]).output();
    }
}

/// Writes files and then, for years, removes some and writes others.
fn age(root: &Path, files: usize) {
    const SIBLINGS: usize = 40;
    let mut dice = Dice(2);
    let place = |number: usize| {
        let folder = root.join(format!("{:02}/{:03}", number / SIBLINGS % 17, number / SIBLINGS));
        fs::create_dir_all(&folder).unwrap();
        folder.join(format!("file-{number:06}"))
    };
    let mut order: Vec<usize> = (0..files).collect();
    dice.shuffle(&mut order);
    for number in order {
        let len = (1000 + dice.below(30_000)) as usize;
        fs::write(place(number), noise(len, number)).unwrap();
    }
    for _year in 0..5 {
        let mut chosen: Vec<usize> = (0..files).filter(|_| dice.below(4) == 0).collect();
        chosen.iter().for_each(|&number| fs::remove_file(place(number)).unwrap());
        dice.shuffle(&mut chosen);
        for number in chosen {
            let len = (1000 + dice.below(30_000)) as usize;
            fs::write(place(number), noise(len, number)).unwrap();
        }
    }
}

/// Files below some folders in the order in which they are first read while `work` runs, as the kernel tells.
fn reads_meanwhile(folders: &[PathBuf], work: impl FnOnce()) -> Vec<PathBuf> {
    let guard = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    let watch = |folder: &Path| inotify::add_watch(&guard, folder, WatchFlags::ACCESS).unwrap();
    let watched: HashMap<i32, &PathBuf> = folders.iter().map(|folder| (watch(folder), folder)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reads = scope.spawn(|| {
            let (mut room, mut seen, mut reads) = ([MaybeUninit::uninit(); 64 << 10], HashSet::new(), Vec::new());
            let mut events = inotify::Reader::new(&guard, &mut room);
            loop {
                // Asked first: what came before the end is then still taken.
                let last = done.load(Ordering::Acquire);
                match events.next() {
                    Ok(event) => {
                        assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW));
                        if let Some(name) = event.file_name().filter(|_| !event.events().contains(ReadFlags::ISDIR)) {
                            let path = watched[&event.wd()].join(OsStr::from_bytes(name.to_bytes()));
                            if seen.insert(path.clone()) {
                                reads.push(path);
                            }
                        }
                    }
                    Err(Errno::AGAIN) if last => return reads,
                    Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(1)),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        work();
        done.store(true, Ordering::Release);
        reads.join().unwrap()
    })
}

fn image(files: usize) {
    let image = Image::new(files as u64 * 32_000 + (64 << 20));
    image.mount();
    age(&image.mounted(), files);
    println!("an ext4 of which a quarter was written anew five times, {files} files");
    for turns in [false, true] {
        // All is then on the device, and nothing of it in memory.
        image.unmount();
        image.turns(turns);
        image.mount();
        let (mut names, mut folders) = (Vec::new(), Vec::new());
        list(&image.mounted(), &mut names, &mut folders);
        let (_folder, repo) = repository();
        let reads = reads_meanwhile(&folders, || drop(take(&repo, &image.mounted())));
        assert_eq!(reads.len(), names.iter().filter(|path| fs::metadata(path).unwrap().len() > 0).count());
        if !turns {
            compare(&names.iter().map(|path| lying(path)).collect::<Vec<_>>());
        }
        let name = format!("reads, {}", if turns { "as the disk turns" } else { "as if it did not turn" });
        Disk::tell(&name, reads.iter().map(|path| lying(path)));
    }
}

fn main() {
    match arguments().iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["image"] => image(12_000),
        ["image", files] => image(files.parse().unwrap()),
        [folder] => real(Path::new(folder)),
        _ => {
            made_up();
            overlap();
        }
    }
}
