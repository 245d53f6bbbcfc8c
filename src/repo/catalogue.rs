//! What a client remembers of the history of a series, so that it need not read all its trees again to find one name: a list of
//! blocks, each sealed, to which blocks are added as snapshots come. What is in them is for `ops::history` to say.
//!
//! One local file a series, which is derived and may be deleted at any time. It holds names, so its key follows from a secret that
//! only those have who may read trees: with a writer's key it tells nothing but how long each block is.
//!
//! ```text
//! block  length (4) ‖ nonce (24) ‖ sealed (plaintext length (4) ‖ Zstandard frame)      bound to repository, series and number
//! ```
//!
//! A block that does not open ends the list, and the next one that is added takes its place. Who adds holds a lock on the file.

use super::Repository;
use crate::{
    compress::{Compression, Compressor, Decompressor},
    error::Result,
    id::SeriesTag,
    object::NONCE_LEN,
    seal::{self, SealKey},
    world::random,
};
use std::{
    fs::File,
    os::unix::fs::{FileExt, OpenOptionsExt},
};

const MAGIC: [u8; 8] = *b"VLTHIST2";
/// Longest block in bytes, before and after it is sealed.
pub const BLOCK_MAX: usize = 16 << 20;
/// Longest file in bytes: what does not fit is read from the trees each time.
const FILE_MAX: u64 = 256 << 20;
/// Level of compression: blocks are written once and read often.
const LEVEL: i32 = 3;

/// The catalogue of one series.
pub struct Catalogue {
    file: File,
    key: SealKey,
    binding: Vec<u8>,
    /// Where each block that was read begins, and where the last of them ends.
    starts: Vec<u64>,
    end: u64,
    may_write: bool,
}

impl Repository {
    /// The catalogue of a series; `None` where there is no folder for it. Fails for a role that cannot read trees.
    pub fn catalogue(&self, tag: &SeriesTag) -> Result<Option<Catalogue>> {
        let key = self.keys().catalogue_key()?;
        let Some(folder) = self.cache_folder("history") else { return Ok(None) };
        let path = folder.join(tag.to_string());
        let opened = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let Ok(file) = opened else { return Ok(None) };
        // Another process that is about to add blocks is not disturbed; the system takes the lock off whoever dies.
        let may_write = file.try_lock().is_ok();
        let binding = [&MAGIC[..], self.keys().repo().as_bytes(), &tag.0].concat();
        Ok(Some(Catalogue { file, key, binding, starts: Vec::new(), end: 0, may_write }))
    }
}

impl Catalogue {
    fn binding(&self, number: usize) -> Vec<u8> {
        [&self.binding[..], &(number as u64).to_le_bytes()].concat()
    }

    /// Reads the block after the last one that was read; `None` when there is none that opens.
    pub fn read_next(&mut self) -> Option<Vec<u8>> {
        let (plain, len) = self.open_at(self.starts.len(), self.end)?;
        self.starts.push(self.end);
        self.end += len;
        Some(plain)
    }

    /// Reads a block again.
    pub fn read(&self, number: usize) -> Option<Vec<u8>> {
        Some(self.open_at(number, *self.starts.get(number)?)?.0)
    }

    fn open_at(&self, number: usize, at: u64) -> Option<(Vec<u8>, u64)> {
        let mut head = [0; 4 + NONCE_LEN];
        self.file.read_exact_at(&mut head, at).ok()?;
        let (len, nonce) = head.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len) as usize;
        if len > BLOCK_MAX {
            return None;
        }
        let mut sealed = vec![0; len];
        self.file.read_exact_at(&mut sealed, at + head.len() as u64).ok()?;
        let packed = seal::open(&self.key, nonce.first_chunk()?, &self.binding(number), &sealed)?;
        let (raw, frame) = packed.split_first_chunk::<4>()?;
        let raw = Some(u32::from_le_bytes(*raw) as usize).filter(|&raw| raw <= BLOCK_MAX)?;
        let mut plain = Vec::new();
        Decompressor::default().decompress(frame, &[], raw, &mut plain).ok()?;
        Some((plain, (head.len() + len) as u64))
    }

    /// Adds a block behind those that were read. False when there is no room, or another process is about to: that is no reason
    /// for anything to fail.
    pub fn append(&mut self, repo: &Repository, plain: &[u8]) -> Result<bool> {
        let mut frame = Vec::new();
        if !self.may_write
            || plain.len() > BLOCK_MAX
            || Compressor::new(Compression::Level(LEVEL)).compress(plain, &mut frame).is_err()
        {
            return Ok(false);
        }
        let nonce: [u8; NONCE_LEN] = random(repo.entropy())?;
        let packed = [&(plain.len() as u32).to_le_bytes()[..], &frame].concat();
        let mut sealed = Vec::with_capacity(packed.len() + 64);
        seal::seal_append(&self.key, &nonce, &self.binding(self.starts.len()), &packed, &mut sealed);
        let block = [&(sealed.len() as u32).to_le_bytes()[..], &nonce, &sealed].concat();
        let written = sealed.len() <= BLOCK_MAX
            && self.end + block.len() as u64 <= FILE_MAX
            && self.file.set_len(self.end).is_ok()
            && self.file.write_all_at(&block, self.end).is_ok();
        if written {
            self.starts.push(self.end);
            self.end += block.len() as u64;
        }
        Ok(written)
    }

    /// Number of blocks that were read or added.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// True when nothing was read or added.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Keeps the first so many blocks: the others are of no use.
    pub fn truncate(&mut self, blocks: usize) {
        if let Some(end) = self.starts.get(blocks) {
            self.end = *end;
            self.starts.truncate(blocks);
        }
    }

    /// The same, and takes them out of the file.
    pub fn cut(&mut self, blocks: usize) {
        self.truncate(blocks);
        if self.may_write {
            // A file that is not cut has blocks that go on where these end; they are written over.
            let _ = self.file.set_len(self.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{
            Role,
            slot::{Costs, Secret},
        },
        model::config::Config,
        repo::Surroundings,
        store::memory::MemoryStore,
        world::{FixedClock, SeededEntropy, Time},
    };
    use std::{fs, path::PathBuf, sync::Arc};

    struct World {
        repo: Repository,
        dir: tempfile::TempDir,
    }

    const TAG: SeriesTag = SeriesTag([7; 16]);

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let around = Surroundings {
                clock: Arc::new(FixedClock(Time::from_sec(0))),
                entropy: Arc::new(SeededEntropy::new(1)),
                cache: Some(dir.path().to_owned()),
                state: None,
            };
            let secret = Secret::KeyFile(SealKey::new([1; 32]));
            let store = Arc::new(MemoryStore::new());
            let repo = Repository::init(store, &secret, Costs::LOW, "test", Config::default(), around).unwrap();
            World { repo, dir }
        }

        fn repo(&self) -> &Repository {
            &self.repo
        }

        fn file(&self) -> PathBuf {
            let [folder] = &fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>()[..]
            else {
                panic!()
            };
            folder.join("history").join(TAG.to_string())
        }

        fn blocks(&self) -> Vec<Vec<u8>> {
            let mut catalogue = self.repo().catalogue(&TAG).unwrap().unwrap();
            std::iter::from_fn(|| catalogue.read_next()).collect()
        }

        fn add(&self, blocks: &[&[u8]]) {
            let repo = self.repo();
            let mut catalogue = repo.catalogue(&TAG).unwrap().unwrap();
            while catalogue.read_next().is_some() {}
            for block in blocks {
                assert!(catalogue.append(repo, block).unwrap());
            }
        }
    }

    #[test]
    fn blocks_come_back_and_nothing_of_them_is_in_clear() {
        let world = World::new();
        assert!(world.blocks().is_empty());
        let mut noise = vec![0; 70_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let large = [b"secret-name/".repeat(100), noise].concat();
        world.add(&[b"secret-name", b"", &large]);
        world.add(&[b"later"]);
        assert_eq!(world.blocks(), [b"secret-name".to_vec(), vec![], large, b"later".to_vec()]);
        let bytes = fs::read(world.file()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
        let mut catalogue = world.repo().catalogue(&TAG).unwrap().unwrap();
        catalogue.read_next().unwrap();
        assert_eq!((catalogue.read(0), catalogue.read(1)), (Some(b"secret-name".to_vec()), None));
    }

    #[test]
    fn what_is_damaged_ends_the_list_and_is_written_anew() {
        let world = World::new();
        world.add(&[b"one", b"two", b"three"]);
        let whole = fs::read(world.file()).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(world.file(), &bytes).unwrap();
            let blocks = world.blocks();
            assert!(
                blocks.len() < 3
                    && [&b"one"[..], b"two"].starts_with(&blocks.iter().map(|b| &b[..]).collect::<Vec<_>>())
            );
            fs::write(world.file(), &whole[..at]).unwrap();
            assert!(world.blocks().len() < 3);
        }
        world.add(&[b"anew"]);
        assert_eq!(world.blocks().last().unwrap(), b"anew");
        // Blocks of another place in the list, and of another series.
        fs::write(world.file(), &whole[whole.len() / 3..]).unwrap();
        assert!(world.blocks().is_empty());
        fs::write(world.file(), &whole).unwrap();
        fs::rename(world.file(), world.file().with_file_name(SeriesTag([8; 16]).to_string())).unwrap();
        assert!(world.repo().catalogue(&SeriesTag([8; 16])).unwrap().unwrap().read_next().is_none());
    }

    #[test]
    fn one_writes_at_a_time() {
        let world = World::new();
        let repo = world.repo();
        let mut first = repo.catalogue(&TAG).unwrap().unwrap();
        let mut second = repo.catalogue(&TAG).unwrap().unwrap();
        assert!(!second.append(repo, b"x").unwrap());
        assert!(first.append(repo, b"x").unwrap());
        drop(first);
        assert_eq!(second.read_next().unwrap(), b"x");
        second.truncate(0);
        assert!(second.is_empty());
    }

    #[test]
    fn a_writers_key_opens_none() {
        let world = World::new();
        let narrow = world.repo.keys().narrowed(Role::Writer).unwrap();
        assert!(narrow.catalogue_key().is_err());
        let maintainer = world.repo.keys().narrowed(Role::Maintainer).unwrap();
        assert!(maintainer.catalogue_key().unwrap() == world.repo.keys().catalogue_key().unwrap());
    }
}
