//! A failing device copied into an image: each part is read once, what cannot be read is noted in a map beside it, and an interrupted copy goes on.

use super::medium::{Medium, STEP, read_around};
use crate::{
    error::{Error, Result},
    monitor::{Counter, Monitor, Phase},
    name::Shown,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
};

/// Bytes that are read at a time.
const BLOCK: u64 = 1 << 20;
/// Blocks between two notes of how far it has come.
const NOTED: u64 = 64;

/// What came of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the medium.
    pub len: u64,
    /// Stretches that could not be read, first byte and length; zeros in the image.
    pub bad: Vec<(u64, u64)>,
}

impl Copied {
    /// Bytes that could not be read.
    pub fn lost(&self) -> u64 {
        self.bad.iter().map(|(_, len)| len).sum()
    }

    fn add(&mut self, at: u64, len: u64) {
        match self.bad.last_mut() {
            Some((last, so_far)) if *last + *so_far == at => *so_far += len,
            _ => self.bad.push((at, len)),
        }
    }
}

/// The map that lies beside an image: `len <bytes>` and `done <bytes>`, lines of `bad <first> <bytes>`, and `mark <first> <mark>` of some steps that
/// tell this medium from others of its length.
pub fn map_of(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".map");
    name.into()
}

/// Copies what can be read. Where the map says that this was begun it goes on from there; where it is done, it tries again what could not be read.
///
/// Fails when the medium is gone, without calling lost what was not tried.
pub fn copy(medium: &dyn Medium, image: &Path, monitor: &dyn Monitor) -> Result<Copied> {
    let map = map_of(image);
    let known = match read_map(&map).map_err(|e| failed("read", &map, e))? {
        Some(known) => {
            known.refuse_another(medium, image)?;
            known
        }
        None if image.exists() => {
            return Err(Error::refused(format!(
                "{} is there already, and no map of it: it is no copy that was begun here",
                shown(image)
            )));
        }
        None => Map { done: 0, out: Copied { len: medium.length(), bad: Vec::new() }, marks: marks(medium) },
    };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(image);
    let file = file.map_err(|e| failed("write", image, e))?;
    file.set_len(medium.length()).map_err(|e| failed("write", image, e))?;
    monitor.phase(Phase::Storing);
    monitor.expect(Counter::Stored, medium.length());
    monitor.add(Counter::Stored, known.done);
    let mut run = Run { medium, file: &file, known };
    let was_done = run.known.done == medium.length();
    // The map before the first byte: an image without one is nobody's.
    note(&file, &map, &run.known).map_err(|e| failed("write", &map, e))?;
    let ended = match was_done {
        true => run.again(image, monitor),
        false => run.all(image, &map, monitor),
    };
    note(&file, &map, &run.known).map_err(|e| failed("write", &map, e))?;
    ended.map(|()| run.known.out)
}

fn shown(path: &Path) -> Shown<'_> {
    Shown(path.as_os_str().as_bytes())
}

fn failed(doing: &'static str, path: &Path, e: io::Error) -> Error {
    Error::store(doing, shown(path), e)
}

/// What a map tells.
struct Map {
    /// Bytes that were tried.
    done: u64,
    out: Copied,
    /// Some steps that could be read, each with its first byte.
    marks: Vec<(u64, u64)>,
}

/// Steps that tell one medium from another.
const MARKS: u64 = 32;

fn mark_at(medium: &dyn Medium, at: u64) -> io::Result<u64> {
    let mut step = vec![0; STEP.min(medium.length().saturating_sub(at)) as usize];
    medium.read(at, &mut step)?;
    Ok(u64::from_le_bytes(crate::parity::mark(&step)))
}

fn marks(medium: &dyn Medium) -> Vec<(u64, u64)> {
    let steps = medium.length().div_ceil(STEP);
    let of = |n: u64| (u128::from(steps.saturating_sub(1)) * u128::from(n) / u128::from(MARKS - 1)) as u64 * STEP;
    let mut places: Vec<u64> = (0..MARKS).map(of).collect();
    places.dedup();
    places.into_iter().filter_map(|at| Some((at, mark_at(medium, at).ok()?))).collect()
}

impl Map {
    /// What is copied on must be what was begun: the same image, of the same medium.
    fn refuse_another(&self, medium: &dyn Medium, image: &Path) -> Result<()> {
        let why = match std::fs::metadata(image) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => "is not there any more, though its map is".to_owned(),
            Err(e) => return Err(failed("read", image, e)),
            Ok(found) if found.len() != self.out.len => {
                format!("has {} bytes, and its map says {}", found.len(), self.out.len)
            }
            Ok(_) if self.out.len != medium.length() => {
                format!("is of a medium of {} bytes, this one has {}", self.out.len, medium.length())
            }
            Ok(_) => {
                let found: Vec<bool> =
                    self.marks.iter().filter_map(|(at, mark)| Some(mark_at(medium, *at).ok()? == *mark)).collect();
                if found.is_empty() && !self.marks.is_empty() {
                    return Err(gone());
                }
                if found.iter().all(|same| *same) {
                    return Ok(());
                }
                "is of another medium, or of this one before it was written to".to_owned()
            }
        };
        Err(Error::refused(format!(
            "{} {why}: give another file for the image, or remove it and its map to begin anew",
            shown(image)
        )))
    }
}

fn gone() -> Error {
    let what =
        "nothing of it can be read any more: attach it again, and do the same again, which goes on where this stopped";
    Error::store("read", "the medium", io::Error::other(what))
}

struct Run<'a> {
    medium: &'a dyn Medium,
    file: &'a File,
    known: Map,
}

impl Run<'_> {
    /// Everything from where it stopped.
    fn all(&mut self, image: &Path, map: &Path, monitor: &dyn Monitor) -> Result<()> {
        let mut block = vec![0; BLOCK as usize];
        let mut since = 0;
        while self.known.done < self.medium.length() {
            monitor.check()?;
            let (at, len) = (self.known.done, BLOCK.min(self.medium.length() - self.known.done));
            let part = block.get_mut(..len as usize).unwrap_or_default();
            for (at, len) in self.part(at, part, image)? {
                self.known.out.add(at, len);
            }
            self.known.done += len;
            since += 1;
            monitor.add(Counter::Stored, len);
            if since == NOTED {
                note(self.file, map, &self.known).map_err(|e| failed("write", map, e))?;
                since = 0;
            }
        }
        Ok(())
    }

    /// What could not be read, once more.
    fn again(&mut self, image: &Path, monitor: &dyn Monitor) -> Result<()> {
        let before = std::mem::take(&mut self.known.out.bad);
        let mut block = vec![0; BLOCK as usize];
        for (nth, (first, len)) in before.iter().enumerate() {
            let mut at = *first;
            while at < first + len {
                let part = block.get_mut(..BLOCK.min(first + len - at) as usize).unwrap_or_default();
                match monitor.check().and_then(|()| self.part(at, part, image)) {
                    Ok(bad) => bad.into_iter().for_each(|(at, len)| self.known.out.add(at, len)),
                    Err(error) => {
                        self.known.out.add(at, first + len - at);
                        before.iter().skip(nth + 1).for_each(|(at, len)| self.known.out.add(*at, *len));
                        return Err(error);
                    }
                }
                at += part.len() as u64;
            }
        }
        Ok(())
    }

    /// One part into the image, and what of it cannot be read. Fails when it is the medium that is gone.
    fn part(&self, at: u64, part: &mut [u8], image: &Path) -> Result<Vec<(u64, u64)>> {
        let mut bad = Vec::new();
        read_around(self.medium, at, part, &mut |at, len| bad.push((at, len)));
        if let Some((first, _)) = bad.first()
            && self.is_gone(*first)
        {
            return Err(gone());
        }
        // Holes stay holes.
        if part.iter().any(|&byte| byte != 0) {
            self.file.write_all_at(part, at).map_err(|e| failed("write", image, e))?;
        }
        Ok(bad)
    }

    /// True when the medium says that it is not there, or gives nothing any more of what it gave before.
    fn is_gone(&self, bad: u64) -> bool {
        use rustix::io::Errno;
        let says_so = mark_at(self.medium, bad).is_err_and(|e| {
            // One that was pulled out has no bytes.
            e.kind() == io::ErrorKind::UnexpectedEof
                || matches!(Errno::from_io_error(&e), Some(Errno::NODEV | Errno::NXIO | Errno::NOMEDIUM))
        });
        let is_silent = || self.known.marks.iter().all(|(at, _)| mark_at(self.medium, *at).is_err());
        says_so || !self.known.marks.is_empty() && is_silent()
    }
}

/// Only what is durable counts as done.
fn note(file: &File, map: &Path, known: &Map) -> io::Result<()> {
    file.sync_data()?;
    let mut text = format!("len {}\ndone {}\n", known.out.len, known.done);
    for (at, mark) in &known.marks {
        text.push_str(&format!("mark {at} {mark}\n"));
    }
    for (at, len) in &known.out.bad {
        text.push_str(&format!("bad {at} {len}\n"));
    }
    let mut new = map.as_os_str().to_owned();
    new.push(".new");
    let mut to = File::create(&new)?;
    to.write_all(text.as_bytes())?;
    to.sync_data()?;
    std::fs::rename(new, map)
}

fn read_map(path: &Path) -> io::Result<Option<Map>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_string(&mut text)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let wrong = || io::Error::other("it is no map of a copy");
    let (mut len, mut done, mut bad, mut marks) = (None, None, Vec::new(), Vec::new());
    for line in text.lines() {
        let numbers: Result<Vec<u64>, _> = line.split(' ').skip(1).map(str::parse).collect();
        let numbers = numbers.map_err(|_| wrong())?;
        match (line.split(' ').next(), &numbers[..]) {
            (Some("len"), [n]) => len = Some(*n),
            (Some("done"), [n]) => done = Some(*n),
            (Some("bad"), [at, n]) => bad.push((*at, *n)),
            (Some("mark"), [at, mark]) => marks.push((*at, *mark)),
            _ => return Err(wrong()),
        }
    }
    let (len, done) = len.zip(done).filter(|(len, done)| done <= len).ok_or_else(wrong)?;
    if bad.iter().any(|(at, n)| at.checked_add(*n).is_none_or(|end| end > len)) {
        return Err(wrong());
    }
    Ok(Some(Map { done, out: Copied { len, bad }, marks }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitor::{Recording, Silent},
        ops::recover::medium::tests::Scratched,
    };

    /// Stops after so many blocks.
    struct Stopping(u64, Recording);

    impl Monitor for Stopping {
        fn add(&self, counter: Counter, n: u64) {
            self.1.add(counter, n);
        }
        fn cancelled(&self) -> bool {
            self.1.count(Counter::Stored) >= self.0
        }
    }

    #[test]
    fn a_copy_has_all_that_can_be_read_and_goes_on_where_it_was_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        let mut bytes = vec![0; 5_000_000];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        let mut medium = Scratched { bytes: bytes.clone(), bad: [3, 4, 700].into() };
        let stopping = Stopping(2 << 20, Recording::default());
        assert!(matches!(copy(&medium, &image, &stopping), Err(Error::Cancelled)));
        // What was read is not read again.
        medium.bad.extend(0..500);
        let copied = copy(&medium, &image, &Silent).unwrap();
        assert_eq!(copied.bad, [(3 * 4096, 8192), (700 * 4096, 4096)]);
        assert_eq!(copied.lost(), 12_288);
        for step in [3, 4, 700] {
            bytes[step * 4096..(step + 1) * 4096].fill(0);
        }
        assert!(std::fs::read(&image).unwrap() == bytes);
        // Another medium is not mixed in.
        medium.bytes.truncate(4_000_000);
        assert!(matches!(copy(&medium, &image, &Silent), Err(Error::Refused { .. })));
        std::fs::remove_file(map_of(&image)).unwrap();
        assert!(matches!(copy(&medium, &image, &Silent), Err(Error::Refused { .. })));
    }

    fn scratched() -> Scratched {
        let mut bytes = vec![0; 5_000_000];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        Scratched { bytes, bad: Default::default() }
    }

    #[test]
    fn a_map_goes_with_its_image_and_its_medium() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        let mut medium = scratched();
        let stopping = Stopping(2 << 20, Recording::default());
        assert!(copy(&medium, &image, &stopping).is_err());
        // Cut short.
        std::fs::File::options().write(true).open(&image).unwrap().set_len(4096).unwrap();
        assert!(matches!(copy(&medium, &image, &Silent), Err(Error::Refused { .. })));
        // Without the image the beginning would be zeros.
        std::fs::remove_file(&image).unwrap();
        assert!(matches!(copy(&medium, &image, &Silent), Err(Error::Refused { .. })));
        assert!(!image.exists());
        std::fs::remove_file(map_of(&image)).unwrap();
        assert!(copy(&medium, &image, &Stopping(2 << 20, Recording::default())).is_err());
        // One of the same length.
        medium.bytes.reverse();
        assert!(matches!(copy(&medium, &image, &Silent), Err(Error::Refused { .. })));
        medium.bytes.reverse();
        copy(&medium, &image, &Silent).unwrap();
        assert!(std::fs::read(&image).unwrap() == medium.bytes);
    }

    /// Answers like a device that is pulled out once these many bytes were read.
    struct Pulled {
        inner: Scratched,
        after: std::sync::atomic::AtomicU64,
        says: i32,
    }

    impl Medium for Pulled {
        fn length(&self) -> u64 {
            self.inner.length()
        }
        fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
            use std::sync::atomic::Ordering::Relaxed;
            if self.after.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(out.len() as u64)).is_err() {
                return Err(io::Error::from_raw_os_error(self.says));
            }
            self.inner.read(at, out)
        }
    }

    #[test]
    fn a_medium_that_is_pulled_out_is_not_called_unreadable() {
        // EIO, ENXIO, ENODEV.
        for says in [5, 6, 19] {
            let dir = tempfile::tempdir().unwrap();
            let image = dir.path().join("image");
            let medium = Pulled { inner: scratched(), after: 2_500_000.into(), says };
            assert!(matches!(copy(&medium, &image, &Silent), Err(Error::Store { .. })), "{says}");
            assert!(matches!(copy(&medium, &image, &Silent), Err(Error::Store { .. })), "{says}");
            let copied = copy(&medium.inner, &image, &Silent).unwrap();
            assert_eq!(copied.bad, []);
            assert!(std::fs::read(&image).unwrap() == medium.inner.bytes, "{says}");
        }
    }

    #[test]
    fn what_could_not_be_read_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        let mut medium = scratched();
        medium.bad = [3, 4, 700].into();
        assert_eq!(copy(&medium, &image, &Silent).unwrap().lost(), 12_288);
        medium.bad = [4].into();
        assert_eq!(copy(&medium, &image, &Silent).unwrap().bad, [(4 * 4096, 4096)]);
        medium.bad.clear();
        assert_eq!(copy(&medium, &image, &Silent).unwrap().bad, []);
        assert!(std::fs::read(&image).unwrap() == medium.bytes);
    }
}
