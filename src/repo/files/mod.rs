//! What a writer remembers of files, so that it need not read again what has not changed: it cannot open the snapshot before.
//!
//! One local file a series, which is derived and may be deleted at any time. It must tell a thief who has it *and* the writer's key
//! no more than the repository does. So nothing in it is opened by the key alone: each record is found by, and sealed under, a hash
//! of the file's path together with its size, times, inode, links, mode and owners. Who does not have the file (its exact times and
//! inode included) learns how many records there are, and how long each is. There is no hash of a path alone to try guesses on.
//!
//! ```text
//! 0      magic (8) ‖ nonce (24) ‖ sealed head (128 + 16)      under a key that follows from W, bound to repository and series
//! 176    records: each sealed under a key of its own          in the order of the walk
//! rows   found by (16) ‖ offset (8) ‖ length (4)              sorted; about 45 + 28 bytes a small file
//! fan    row numbers by leading bits (8 each)
//! ```
//!
//! The head holds a key that is drawn anew for each file, from which all keys of records follow; so each of them seals one record.
//! Rows and fan need no proof: a wrong one leads to a record that does not open, and the file is read.

mod build;
#[cfg(test)]
mod tests;

pub use build::FilesBuilder;

use super::Repository;
use crate::{
    error::{Error, Result},
    fs::stat::Stat,
    hash::{BlobKind, BlobNamer},
    id::BlobId,
    keys::Keyring,
    model::{
        codec, limits,
        node::{Content, Meta},
        paging::PageSource,
    },
    object::{self, NONCE_LEN, TAG_LEN},
    seal::{self, SealKey},
    series::Series,
    world::Time,
};
use bincode::{Decode, Encode};
use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

const MAGIC: [u8; 8] = *b"VLTFILE1";
const HEAD_PLAIN: usize = 128;
const HEADER_LEN: usize = MAGIC.len() + NONCE_LEN + HEAD_PLAIN + TAG_LEN;
const ROW_LEN: usize = 28;
/// The fan-out takes 8 MiB at most.
const FAN_BITS_MAX: u32 = 20;
/// Rows that are read for one question; 64 are usual.
const BUCKET_MAX: u64 = 64 << 10;
const _: () = assert!(HEADER_LEN == 176);

/// The sealed head.
#[derive(Encode, Decode)]
struct Head {
    /// From which the keys of all records follow.
    key: [u8; 32],
    /// The user who ran the snapshot, as a hash.
    user: [u8; 32],
    /// The snapshot was made in full: attributes that a file did not have were not there, rather than not readable.
    complete: bool,
    rows_at: u64,
    rows: u64,
    fan_bits: u32,
}

/// Which file of a series: its source and path, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place([u8; 32]);

/// Names the pages of one list of extents among the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct ListKey([u8; 32]);

/// What is kept of a file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    /// It had no extended attributes.
    pub bare: bool,
    /// Its contents.
    pub content: Content,
    /// Under which the pages of a long list are kept.
    pub list: Option<ListKey>,
}

/// All that tells that a file has not changed: what the snapshot before is compared by, too.
struct Facts([u8; 56]);

impl Facts {
    fn new(size: u64, times: [Time; 2], inode: u64, numbers: [u32; 4]) -> Self {
        let mut out = [0; 56];
        out[..8].copy_from_slice(&size.to_le_bytes());
        for (at, time) in [8, 20].into_iter().zip(times) {
            out[at..at + 8].copy_from_slice(&time.sec.to_le_bytes());
            out[at + 8..at + 12].copy_from_slice(&time.nsec.to_le_bytes());
        }
        out[32..40].copy_from_slice(&inode.to_le_bytes());
        for (at, number) in (40..).step_by(4).zip(numbers) {
            out[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        Facts(out)
    }

    fn of_stat(stat: &Stat) -> Self {
        let numbers = [stat.links, stat.mode, stat.uid, stat.gid];
        Facts::new(stat.size, [stat.mtime, stat.ctime], stat.inode, numbers)
    }

    fn of_meta(size: u64, meta: &Meta) -> Self {
        Facts::new(size, [meta.mtime, meta.ctime], meta.inode, [meta.links, meta.mode, meta.uid, meta.gid])
    }
}

/// By what a record is found.
type Found = [u8; 16];

/// How a record is found and opened: both halves follow from a key and from what the record is about.
fn secrets(key: &[u8; 32], what: u8, whose: &[u8; 32], rest: &[u8]) -> (Found, SealKey) {
    let mut out = [0; 48];
    blake3::Hasher::new_keyed(key).update(&[what]).update(whose).update(rest).finalize_xof().fill(&mut out);
    let (mut found, mut key) = ([0; 16], [0; 32]);
    found.copy_from_slice(&out[..16]);
    key.copy_from_slice(&out[16..]);
    (found, SealKey::new(key))
}

fn of_file(key: &[u8; 32], place: &Place, facts: &Facts) -> (Found, SealKey) {
    secrets(key, 1, &place.0, &facts.0)
}

fn of_page(key: &[u8; 32], list: &ListKey, id: &BlobId) -> (Found, SealKey) {
    secrets(key, 2, &list.0, &id.0)
}

/// What the head is bound to.
fn binding(repo: &Repository, series: &Series) -> Vec<u8> {
    let tag = repo.keys().series_tag(series);
    [&MAGIC[..], repo.keys().repo().as_bytes(), &tag.0].concat()
}

fn user_hash(keys: &Keyring, user: &str) -> [u8; 32] {
    *blake3::keyed_hash(keys.files_key().expose(), user.as_bytes()).as_bytes()
}

/// Turns paths into places; the same in all runs.
#[derive(Clone)]
pub struct Places([u8; 32]);

impl Places {
    /// For one repository.
    pub fn new(keys: &Keyring) -> Self {
        Places(keys.files_place_key())
    }

    /// The place of a path below a source.
    pub fn of(&self, source: &[u8], path: &[u8]) -> Place {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // Neither part can hold a zero byte.
        hasher.update(source).update(&[0]).update(path);
        Place(*hasher.finalize().as_bytes())
    }
}

/// What was remembered.
pub struct Files {
    file: File,
    head: Head,
    fan: Vec<u64>,
    knows_attributes: bool,
    namer: BlobNamer,
}

impl Repository {
    fn files_path(&self, series: &Series) -> Option<PathBuf> {
        Some(self.cache_folder("files")?.join(self.keys().series_tag(series).to_string()))
    }

    /// What was remembered of a series' files when `user` or another took the last snapshot here; `None` when nothing was, or what
    /// there is cannot be used: it is broken, of another repository, or of another series.
    pub fn remembered_files(&self, series: &Series, user: &str) -> Option<Files> {
        let file = File::open(self.files_path(series)?).ok()?;
        let mut header = [0; HEADER_LEN];
        file.read_exact_at(&mut header, 0).ok()?;
        let (nonce, sealed) = header.strip_prefix(&MAGIC)?.split_first_chunk::<NONCE_LEN>()?;
        let plain = seal::open(&self.keys().files_key(), nonce, &binding(self, series), sealed)?;
        let head: Head = codec::decode(object::unpad(&plain)?).ok()?;
        let fan_len = (1usize << Some(head.fan_bits).filter(|&bits| bits <= FAN_BITS_MAX)?) + 1;
        let fan_at = head.rows.checked_mul(ROW_LEN as u64)?.checked_add(head.rows_at)?;
        if file.metadata().ok()?.len() != fan_at.checked_add(fan_len as u64 * 8)? {
            return None;
        }
        let mut bytes = vec![0; fan_len * 8];
        file.read_exact_at(&mut bytes, fan_at).ok()?;
        let fan = bytes.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number)).collect();
        // All of it will be wanted, in no order of the disk; a hint, so it may fail.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
        let knows_attributes = head.complete && head.user == user_hash(self.keys(), user);
        Some(Files { file, head, fan, knows_attributes, namer: self.namer().clone() })
    }
}

impl Files {
    /// True when what a record says of attributes holds for the user who asks.
    pub fn knows_attributes(&self) -> bool {
        self.knows_attributes
    }

    /// What is kept of the file at this place, if it is still the same. Whether its blobs are is not asked here.
    pub fn find(&self, place: &Place, stat: &Stat) -> Option<Kept> {
        let (found, key) = of_file(&self.head.key, place, &Facts::of_stat(stat));
        codec::decode(&self.record(&found, &key)?).ok()
    }

    fn record(&self, found: &Found, key: &SealKey) -> Option<Vec<u8>> {
        let bucket = leading(found, self.head.fan_bits);
        let (from, to) = (*self.fan.get(bucket)?, *self.fan.get(bucket + 1)?);
        let count = to.checked_sub(from).filter(|&count| count <= BUCKET_MAX && to <= self.head.rows)?;
        let mut rows = vec![0; count as usize * ROW_LEN];
        self.file.read_exact_at(&mut rows, self.head.rows_at + from * ROW_LEN as u64).ok()?;
        let row = rows.as_chunks::<ROW_LEN>().0.iter().find(|row| row.starts_with(found))?;
        let row = Row::from_bytes(row);
        if row.len as usize > limits::BLOB_MAX {
            return None;
        }
        let mut record = vec![0; row.len as usize];
        self.file.read_exact_at(&mut record, row.offset).ok()?;
        seal::open_segment(key, row.offset, &[], &mut record).then_some(record)
    }

    /// The pages of a long list of extents.
    pub fn pages(&self, list: ListKey) -> Pages<'_> {
        Pages { files: self, list }
    }
}

/// Pages of one list of extents, as they were kept.
pub struct Pages<'a> {
    files: &'a Files,
    list: ListKey,
}

impl PageSource for Pages<'_> {
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        let (found, key) = of_page(&self.files.head.key, &self.list, id);
        let page = self.files.record(&found, &key).filter(|page| self.files.namer.name(kind, page) == *id);
        page.ok_or_else(|| Error::Missing { object: id.to_string() })
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    found: Found,
    offset: u64,
    len: u32,
}

impl Row {
    fn to_bytes(self) -> [u8; ROW_LEN] {
        let mut out = [0; ROW_LEN];
        out[..16].copy_from_slice(&self.found);
        out[16..24].copy_from_slice(&self.offset.to_le_bytes());
        out[24..].copy_from_slice(&self.len.to_le_bytes());
        out
    }

    fn from_bytes(bytes: &[u8; ROW_LEN]) -> Self {
        let (mut found, mut offset, mut len) = ([0; 16], [0; 8], [0; 4]);
        found.copy_from_slice(&bytes[..16]);
        offset.copy_from_slice(&bytes[16..24]);
        len.copy_from_slice(&bytes[24..]);
        Row { found, offset: u64::from_le_bytes(offset), len: u32::from_le_bytes(len) }
    }
}

fn leading(found: &Found, bits: u32) -> usize {
    let mut word = [0; 4];
    word.copy_from_slice(&found[..4]);
    (u64::from(u32::from_be_bytes(word)) >> (32 - bits)) as usize
}
