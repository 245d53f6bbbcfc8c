//! A failing device copied into an image: each part is read once, what cannot be read is noted in a map beside it, and an interrupted copy goes on.

use super::medium::{Medium, read_around};
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

/// The map that lies beside an image: `done <bytes>` and lines of `bad <first> <bytes>`.
pub fn map_of(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".map");
    name.into()
}

/// Copies what can be read. Where the map says that this was begun it goes on from there.
pub fn copy(medium: &dyn Medium, image: &Path, monitor: &dyn Monitor) -> Result<Copied> {
    let failed = |doing, path: &Path, e| Error::store(doing, Shown(path.as_os_str().as_bytes()), e);
    let map = map_of(image);
    let (mut done, mut out) = match read_map(&map).map_err(|e| failed("read", &map, e))? {
        Some((len, _, _)) if len != medium.length() => {
            return Err(Error::refused(format!(
                "{} is of a medium of {len} bytes, this one has {}: give another file for the image, or remove it and its map",
                Shown(map.as_os_str().as_bytes()),
                medium.length()
            )));
        }
        Some((_, done, bad)) => (done, Copied { len: medium.length(), bad }),
        None if image.exists() => {
            return Err(Error::refused(format!(
                "{} is there already, and no map of it: it is no copy that was begun here",
                Shown(image.as_os_str().as_bytes())
            )));
        }
        None => (0, Copied { len: medium.length(), bad: Vec::new() }),
    };
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(image);
    let file = file.map_err(|e| failed("write", image, e))?;
    file.set_len(medium.length()).map_err(|e| failed("write", image, e))?;
    monitor.phase(Phase::Storing);
    monitor.expect(Counter::Stored, medium.length());
    monitor.add(Counter::Stored, done);
    let mut block = vec![0; BLOCK as usize];
    let (mut since, mut stopped) = (0, None);
    while done < medium.length() {
        if let Err(error) = monitor.check() {
            stopped = Some(error);
            break;
        }
        let len = BLOCK.min(medium.length() - done);
        let part = block.get_mut(..len as usize).unwrap_or_default();
        read_around(medium, done, part, &mut |at, len| out.add(at, len));
        // Holes stay holes.
        if part.iter().any(|&byte| byte != 0) {
            file.write_all_at(part, done).map_err(|e| failed("write", image, e))?;
        }
        done += len;
        since += 1;
        monitor.add(Counter::Stored, len);
        if since == NOTED {
            note(&file, &map, done, &out).map_err(|e| failed("write", &map, e))?;
            since = 0;
        }
    }
    note(&file, &map, done, &out).map_err(|e| failed("write", &map, e))?;
    match stopped {
        Some(error) => Err(error),
        None => Ok(out),
    }
}

/// Only what is durable counts as done.
fn note(file: &File, map: &Path, done: u64, out: &Copied) -> io::Result<()> {
    file.sync_data()?;
    let mut text = format!("len {}\ndone {done}\n", out.len);
    for (at, len) in &out.bad {
        text.push_str(&format!("bad {at} {len}\n"));
    }
    let mut new = map.as_os_str().to_owned();
    new.push(".new");
    let mut to = File::create(&new)?;
    to.write_all(text.as_bytes())?;
    to.sync_data()?;
    std::fs::rename(new, map)
}

type Map = (u64, u64, Vec<(u64, u64)>);

fn read_map(path: &Path) -> io::Result<Option<Map>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_string(&mut text)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let wrong = || io::Error::other("it is no map of a copy");
    let (mut len, mut done, mut bad) = (None, None, Vec::new());
    for line in text.lines() {
        let numbers: Result<Vec<u64>, _> = line.split(' ').skip(1).map(str::parse).collect();
        let numbers = numbers.map_err(|_| wrong())?;
        match (line.split(' ').next(), &numbers[..]) {
            (Some("len"), [n]) => len = Some(*n),
            (Some("done"), [n]) => done = Some(*n),
            (Some("bad"), [at, n]) => bad.push((*at, *n)),
            _ => return Err(wrong()),
        }
    }
    let (len, done) = len.zip(done).filter(|(len, done)| done <= len).ok_or_else(wrong)?;
    Ok(Some((len, done, bad)))
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
}
