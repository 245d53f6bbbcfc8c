//! What this client knows of media, present or not: kept in a folder that is not to be deleted, sealed under a key of the repository.
//!
//! Beside it, for each medium, lies the copy that it carries without the contents of files (`<medium>/`): config, key slots, index,
//! packs of trees, snapshots. It is a repository in every sense but that no file can be restored from it.

use super::Host;
use crate::{
    error::{Error, Result},
    id::{RepoId, SeriesTag, SnapshotId, hex, unhex},
    model::codec,
    object::NONCE_LEN,
    repo::{
        Repository, make_private_folder,
        seen::{private, replace},
    },
    seal,
    store::ObjectName,
    world::random,
};
use bincode::{Decode, Encode};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The file of names of media and of where they are.
const PLACES: &str = "places";
const MAGIC: [u8; 8] = *b"VLTMEDIA";
/// A medium with a hundred thousand snapshots takes some 10 MB.
const CATALOGUE_MAX: u64 = 256 << 20;
/// Syncs that are remembered of a medium.
pub(super) const SYNCS_MAX: usize = 32;

/// A snapshot that lies on a medium.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Held {
    /// The folder of its series.
    pub tag: SeriesTag,
    /// Its name.
    pub id: SnapshotId,
    /// Its series.
    pub series: String,
    /// When it was begun, in seconds since 1970.
    pub time: i64,
}

/// A sync that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Sync {
    /// When it ended, in seconds since 1970.
    pub time: i64,
    /// Bytes that were written.
    pub bytes: u64,
}

/// When a medium was last held against its objects' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Checked {
    /// In seconds since 1970.
    pub time: i64,
    /// Objects that were damaged.
    pub findings: u64,
}

/// A medium.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Medium {
    /// What its marker says.
    pub id: [u8; 16],
    /// What people call it.
    pub name: String,
    /// Where it is kept.
    pub site: String,
    /// UUID of its file system.
    pub uuid: String,
    /// The folder of the copy, below the root of its file system.
    pub folder: Vec<u8>,
    /// Where to mount it for a sync.
    pub mount_at: Option<Vec<u8>>,
    /// Sidecars of parity are to be kept on it.
    pub parity: bool,
    /// Seconds after a sync from which on it is overdue.
    pub overdue_after: u64,
    /// It is not used any more.
    pub retired: bool,
    /// Its generation when it was seen last.
    pub generation: u64,
    /// The hash of its marker then: another of that generation is a clone's.
    pub marker: [u8; 32],
    /// The last syncs, the newest last.
    pub syncs: Vec<Sync>,
    /// Free bytes, and all of them, when it was seen last.
    pub space: (u64, u64),
    /// The last check.
    pub checked: Option<Checked>,
    /// The snapshots that lie on it.
    pub snapshots: Vec<Held>,
}

impl Medium {
    /// When it was synced last.
    pub fn synced(&self) -> Option<i64> {
        self.syncs.last().map(|sync| sync.time)
    }

    /// True when the next sync should have been by now.
    pub fn is_overdue(&self, now: i64) -> bool {
        let until = |time: i64| time.saturating_add_unsigned(self.overdue_after);
        !self.retired && self.synced().is_none_or(|time| now > until(time))
    }

    /// Days until it is full, at the pace of its last syncs. The first one, which brings everything, tells nothing.
    pub fn days_until_full(&self) -> Option<u64> {
        let (first, last) = (self.syncs.first()?, self.syncs.last()?);
        let bytes: u64 = self.syncs.iter().skip(1).map(|sync| sync.bytes).sum();
        let seconds = u64::try_from(last.time.checked_sub(first.time)?).ok()?;
        if bytes == 0 || seconds == 0 {
            return None;
        }
        Some((u128::from(self.space.0) * u128::from(seconds) / u128::from(bytes) / 86400).min(u128::from(u32::MAX))
            as u64)
    }

    /// The newest snapshot of each series, by series.
    pub fn newest(&self) -> Vec<&Held> {
        let mut newest: BTreeMap<&str, &Held> = BTreeMap::new();
        for held in &self.snapshots {
            let one = newest.entry(&held.series).or_insert(held);
            if one.time < held.time {
                *one = held;
            }
        }
        newest.into_values().collect()
    }
}

/// The media of one repository.
pub struct Catalogue<'r> {
    repo: &'r Repository,
    folder: PathBuf,
}

/// The folder of what is known of a repository's media, below that of all that is remembered.
pub fn folder_of(state: &Path, repo: RepoId) -> PathBuf {
    state.join("media").join(hex(repo.as_bytes()))
}

impl<'r> Catalogue<'r> {
    /// The catalogue below this folder of all that is remembered. Needs a key that opens snapshots.
    pub fn open(repo: &'r Repository, state: &Path) -> Result<Self> {
        repo.keys().media_key()?;
        Ok(Catalogue { repo, folder: folder_of(state, repo.keys().repo()) })
    }

    /// The repository.
    pub fn repo(&self) -> &'r Repository {
        self.repo
    }

    fn path(&self) -> PathBuf {
        self.folder.join("catalogue")
    }

    /// Where the copy of a medium lies without the contents of files.
    pub fn skeleton(&self, medium: &Medium) -> PathBuf {
        self.folder.join(hex(&medium.id))
    }

    fn read_path(&self, medium: &Medium) -> PathBuf {
        self.folder.join(format!("{}.read", hex(&medium.id)))
    }

    /// The objects of a medium, and their lengths, that were read back from it and were right. Whatever else lies on it is still to
    /// be read, also when a sync was killed.
    pub(super) fn read_back(&self, medium: &Medium) -> Result<BTreeMap<ObjectName, u64>> {
        let path = self.read_path(medium);
        let bytes = match fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            // Then all of it is read once more.
            Ok(meta) if meta.len() > CATALOGUE_MAX => Ok(Vec::new()),
            Ok(_) => fs::read(&path),
            Err(e) => Err(e),
        };
        let bytes = bytes.map_err(|e| Error::store("read", path.display(), e))?;
        let lines = std::str::from_utf8(&bytes).unwrap_or_default().lines();
        let parsed = lines.filter_map(|line| {
            let (len, name) = line.split_once(' ')?;
            Some((ObjectName::new(name)?, len.parse().ok()?))
        });
        Ok(parsed.collect())
    }

    /// Remembers them; durable when it returns.
    pub(super) fn set_read_back(&self, medium: &Medium, names: &BTreeMap<ObjectName, u64>) -> Result<()> {
        let path = self.read_path(medium);
        let failed = |e| Error::store("write", path.display(), e);
        make_private_folder(&self.folder).map_err(failed)?;
        let text: String = names.iter().map(|(name, len)| format!("{len} {name}\n")).collect();
        replace(&self.folder, &path, text.as_bytes()).map_err(failed)
    }

    fn binding(&self) -> Vec<u8> {
        [&MAGIC[..], self.repo.keys().repo().as_bytes()].concat()
    }

    /// All media, by name.
    pub fn media(&self) -> Result<Vec<Medium>> {
        let path = self.path();
        let failed = |e| Error::store("read", path.display(), e);
        let bytes = match fs::metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Ok(meta) if meta.len() <= CATALOGUE_MAX => fs::read(&path).map_err(failed)?,
            Ok(_) => Vec::new(),
            Err(e) => return Err(failed(e)),
        };
        let key = self.repo.keys().media_key()?;
        let open = || {
            let (nonce, sealed) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<NONCE_LEN>()?;
            codec::decode(&seal::open(&key, nonce, &self.binding(), sealed)?).ok()
        };
        open().ok_or_else(|| {
            let what = "it does not open; move it away and add the media again: what lies on them is not touched";
            Error::corrupt(path.display(), what)
        })
    }

    /// The medium of this name that is in use.
    pub fn find(&self, name: &str) -> Result<Medium> {
        let media = self.media()?;
        let known: Vec<&str> = media.iter().filter(|one| !one.retired).map(|one| one.name.as_str()).collect();
        let known = if known.is_empty() { "none was added".to_owned() } else { known.join(", ") };
        media.into_iter().find(|one| one.name == name && !one.retired).ok_or_else(|| {
            let name = crate::name::Shown(name.as_bytes());
            Error::usage(format!("no medium is called {name} (known: {known}): see `vault media list`"))
        })
    }

    /// Puts a medium in the place of the one with its id, or adds it.
    pub(super) fn put(&self, medium: Medium) -> Result<()> {
        self.change(|media| {
            media.retain(|one| one.id != medium.id);
            media.push(medium);
            media.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
            Ok(())
        })
    }

    /// Changes what is known of a medium as it is now: others may have changed it since it was looked up.
    pub(super) fn update(&self, id: &[u8; 16], change: impl FnOnce(&mut Medium)) -> Result<()> {
        self.change(|media| match media.iter_mut().find(|one| one.id == *id) {
            Some(one) => {
                change(one);
                Ok(())
            }
            None => Err(Error::usage("this medium is not known any more: see `vault media list`")),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Medium>) -> Result<()>) -> Result<()> {
        let path = self.path();
        let failed = |e| Error::store("write", path.display(), e);
        make_private_folder(&self.folder).map_err(failed)?;
        let lock = private(&self.folder.join("lock"), File::options().create(true)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut media = self.media()?;
        change(&mut media)?;
        let nonce: [u8; NONCE_LEN] = random(self.repo.entropy())?;
        let mut bytes = [&MAGIC[..], &nonce].concat();
        seal::seal_append(&self.repo.keys().media_key()?, &nonce, &self.binding(), &codec::encode(&media), &mut bytes);
        replace(&self.folder, &path, &bytes).map_err(failed)?;
        replace(&self.folder, &self.folder.join(PLACES), places(&media).as_bytes()).map_err(failed)
    }
}

/// What is needed to open a medium by its name, before any key is known: no name of a series or file is in it.
fn places(media: &[Medium]) -> String {
    let lines = media
        .iter()
        .filter(|one| !one.retired)
        .map(|one| format!("{} {} {} {}\n", hex(&one.id), hex(one.uuid.as_bytes()), hex(&one.folder), one.name));
    lines.collect()
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| unhex::<1>(pair?).ok().map(|[byte]| byte)).collect()
}

/// Where a medium's copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The medium's own id, in hex.
    pub id: String,
    /// The folder of its copy, or of what is known of it.
    pub folder: PathBuf,
    /// True when the medium is there.
    pub present: bool,
}

/// Where the copy of the medium of this name is. Of all repositories below this folder of all that is remembered.
pub fn place_of(state: &Path, host: &dyn Host, name: &str) -> Result<Place> {
    for entry in fs::read_dir(state.join("media")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path().join(PLACES)).unwrap_or_default();
        for line in text.lines() {
            let mut fields = line.splitn(4, ' ');
            let (Some(id), Some(uuid), Some(folder)) = (fields.next(), fields.next(), fields.next()) else { continue };
            let (Some(uuid), Some(folder)) = (bytes_of(uuid), bytes_of(folder)) else { continue };
            if fields.next() != Some(name) {
                continue;
            }
            for mounted in host.mounts()? {
                let there = mounted.point.join(OsStr::from_bytes(&folder));
                if host.uuid(&mounted).is_some_and(|found| found.as_bytes() == uuid) && there.is_dir() {
                    return Ok(Place { id: id.to_owned(), folder: there, present: true });
                }
            }
            return Ok(Place { id: id.to_owned(), folder: entry.path().join(id), present: false });
        }
    }
    Err(Error::usage(format!("no medium is called {}: see `vault media list`", crate::name::Shown(name.as_bytes()))))
}
