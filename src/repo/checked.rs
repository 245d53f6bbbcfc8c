//! When packs were last read whole, and what came of it: one small file a repository in the client's folder for derived tables,
//! beside `index/`. It is derived and may be deleted at any time: all packs then count as never read.
//!
//! ```text
//! magic 8 · 48 bytes a pack, sorted: id 32 · second of the reading i64 · 0 whole, 1 damaged (u64) · BLAKE3 of all before 32
//! ```

use crate::id::{PackId, RepoId, hex};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

const NAME: &str = "checked";
const MAGIC: [u8; 8] = *b"VAULTCK1";
const ROW: usize = 48;
const SUM: usize = 32;

/// What came of reading a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When, in seconds since 1970.
    pub sec: i64,
    /// True when all of it was what it should be.
    pub whole: bool,
}

/// The readings of a repository's packs.
#[derive(Debug, Default)]
pub struct Checked {
    path: Option<PathBuf>,
    rows: HashMap<PackId, Reading>,
}

/// The folder for what is derived from one repository, below the folder for all.
pub fn folder_of(root: &Path, repo: RepoId) -> PathBuf {
    root.join(hex(repo.as_bytes()))
}

impl Checked {
    /// Those that are kept in a folder; none when there is no folder, or the file in it is not whole.
    pub fn open(folder: Option<&Path>) -> Self {
        let path = folder.map(|folder| folder.join(NAME));
        let rows = path.as_ref().and_then(|path| parse(&fs::read(path).ok()?)).unwrap_or_default();
        Checked { path, rows }
    }

    /// The last reading of a pack; `None` for one that was never read.
    pub fn last(&self, pack: &PackId) -> Option<Reading> {
        self.rows.get(pack).copied()
    }

    /// The packs of which the last reading found damage.
    pub fn damaged(&self) -> impl Iterator<Item = &PackId> {
        self.rows.iter().filter(|(_, reading)| !reading.whole).map(|(id, _)| id)
    }

    /// Keeps what was read now. Packs of which `exists` says no are dropped. That it cannot be written costs only that they are
    /// read again sooner.
    pub fn save(&mut self, read: impl IntoIterator<Item = (PackId, Reading)>, exists: &dyn Fn(&PackId) -> bool) {
        let Some(path) = self.path.clone() else { return };
        // Another check may have ended meanwhile.
        for (id, reading) in fs::read(&path).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default() {
            self.take(id, reading);
        }
        for (id, reading) in read {
            self.take(id, reading);
        }
        self.rows.retain(|id, _| exists(id));
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(&self.encode())?;
            file.sync_data()?;
            fs::rename(&draft, &path)
        });
        if written.is_err() {
            drop(fs::remove_file(&draft));
        }
    }

    fn take(&mut self, id: PackId, reading: Reading) {
        let row = self.rows.entry(id).or_insert(reading);
        if row.sec <= reading.sec {
            *row = reading;
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut rows: Vec<(&PackId, &Reading)> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(id, _)| **id);
        let mut bytes = MAGIC.to_vec();
        for (id, reading) in rows {
            bytes.extend_from_slice(&id.0);
            bytes.extend_from_slice(&reading.sec.to_le_bytes());
            bytes.extend_from_slice(&u64::from(!reading.whole).to_le_bytes());
        }
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        bytes
    }
}

fn parse(bytes: &[u8]) -> Option<HashMap<PackId, Reading>> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
    if blake3::hash(body).as_bytes()[..] != *sum {
        return None;
    }
    let rows = body.strip_prefix(&MAGIC)?.as_chunks::<ROW>();
    let row = |row: &[u8; ROW]| {
        let id: [u8; 32] = std::array::from_fn(|i| row[i]);
        let sec = i64::from_le_bytes(std::array::from_fn(|i| row[32 + i]));
        (PackId(id), Reading { sec, whole: row[40] == 0 })
    };
    rows.1.is_empty().then(|| rows.0.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_kept_and_a_damaged_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let id = |n: u8| PackId([n; 32]);
        let reading = |sec, whole| Reading { sec, whole };
        let mut one = Checked::open(Some(folder.path()));
        let mut other = Checked::open(Some(folder.path()));
        one.save([(id(1), reading(5, true)), (id(2), reading(5, false))], &|_| true);
        // It knew nothing of the first, and the second came later.
        other.save([(id(2), reading(4, true)), (id(3), reading(7, true))], &|_| true);
        let kept = Checked::open(Some(folder.path()));
        assert_eq!((kept.last(&id(1)), kept.last(&id(3))), (Some(reading(5, true)), Some(reading(7, true))));
        assert_eq!(kept.damaged().collect::<Vec<_>>(), [&id(2)]);
        other.save([], &|pack| *pack == id(3));
        let kept = Checked::open(Some(folder.path()));
        assert_eq!((kept.last(&id(1)), kept.last(&id(3))), (None, Some(reading(7, true))));
        let path = folder.path().join(NAME);
        let mut bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(Checked::open(Some(folder.path())).last(&id(3)), None);
            bytes[at] ^= 1;
        }
        fs::write(&path, b"").unwrap();
        assert_eq!(Checked::open(Some(folder.path())).last(&id(3)), None);
    }
}
