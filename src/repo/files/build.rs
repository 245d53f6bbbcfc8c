//! Writes down what is known of files, while they are walked.

use super::{
    FAN_BITS_MAX, Facts, Found, HEAD_PLAIN, HEADER_LEN, Head, Kept, ListKey, MAGIC, Place, ROW_LEN, Row, binding,
    leading, of_file, of_page, user_hash,
};
use crate::{
    error::{Error, Result},
    id::{BlobId, hex},
    model::{codec, node::Meta},
    object::{self, NONCE_LEN},
    repo::Repository,
    seal::{self, SealKey},
    series::Series,
    world::random,
};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

/// Rows that are sorted in memory (8 MiB); more are laid aside as sorted runs.
const RUN_ROWS: usize = 256 << 10;
/// Bytes of each run that are read at once when the runs are merged.
const RUN_BUFFER: usize = 32 << 10;

/// Takes what becomes known of files; nothing counts before [`FilesBuilder::finish`]. From several threads.
pub struct FilesBuilder {
    key: [u8; 32],
    path: PathBuf,
    draft: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    out: BufWriter<File>,
    /// Where the next record goes.
    at: u64,
    /// Names given to lists of extents.
    lists: u64,
    rows: Vec<Row>,
    aside: Option<Aside>,
    /// Why nothing more is written: a full cache is no reason for a snapshot to fail.
    failed: Option<io::Error>,
}

/// Sorted runs of rows, one behind the other in a file without a name.
struct Aside {
    file: File,
    ends: Vec<u64>,
}

impl Repository {
    /// Begins to remember a series' files anew; `None` when there is no folder for it.
    pub fn remember_files(&self, series: &Series) -> Result<Option<FilesBuilder>> {
        let Some(path) = self.files_path(series) else { return Ok(None) };
        let key = random(self.entropy())?;
        let nonce: [u8; 8] = random(self.entropy())?;
        sweep(&path);
        let draft = path.with_extension(format!("{}.draft", hex(&nonce)));
        let Ok(file) = private(&draft) else { return Ok(None) };
        // Says that somebody is writing it; the system takes the lock off whoever dies.
        let _ = file.lock();
        let mut out = BufWriter::with_capacity(256 << 10, file);
        let failed = out.write_all(&[0; HEADER_LEN]).err();
        let inner = Inner { out, at: HEADER_LEN as u64, lists: 0, rows: Vec::new(), aside: None, failed };
        Ok(Some(FilesBuilder { key, path, draft, inner: Mutex::new(inner) }))
    }
}

fn private(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Removes drafts of this series whose writers were killed.
fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let draft = entry.path();
        let is_ours = draft.file_name().and_then(|name| name.to_str()).is_some_and(|found| {
            found.strip_prefix(name).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".draft"))
        });
        if is_ours && File::open(&draft).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(&draft);
        }
    }
}

impl FilesBuilder {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A name for a list of extents whose pages are to be kept.
    pub fn list_key(&self) -> ListKey {
        let mut inner = self.inner();
        inner.lists += 1;
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        ListKey(*hasher.update(&[3]).update(&inner.lists.to_le_bytes()).finalize().as_bytes())
    }

    /// Keeps what is known of a file of `size` bytes.
    pub fn add(&self, place: &Place, size: u64, meta: &Meta, kept: &Kept) {
        let (found, key) = of_file(&self.key, place, &Facts::of_meta(size, meta));
        self.push(found, &key, codec::encode(kept));
    }

    /// Keeps a page of a list of extents.
    pub fn add_page(&self, list: &ListKey, id: &BlobId, page: &[u8]) {
        let (found, key) = of_page(&self.key, list, id);
        self.push(found, &key, page.to_vec());
    }

    fn push(&self, found: Found, key: &SealKey, mut record: Vec<u8>) {
        let mut inner = self.inner();
        if inner.failed.is_some() {
            return;
        }
        // Places differ, so that one key seals one record; the offset as counter keeps two apart all the same.
        seal::seal_segment(key, inner.at, &[], &mut record);
        let row = Row { found, offset: inner.at, len: record.len() as u32 };
        inner.at += record.len() as u64;
        inner.rows.push(row);
        let written = inner.out.write_all(&record).and_then(|()| inner.lay_aside_when_many(&self.draft));
        inner.failed = written.err();
    }

    /// Puts what was kept in the place of what was remembered before. `complete`: the snapshot was made in full, by `user`.
    pub fn finish(self, repo: &Repository, series: &Series, user: &str, complete: bool) -> Result<()> {
        let nonce: [u8; NONCE_LEN] = random(repo.entropy())?;
        let mut inner = self.inner();
        let finished = inner.finish().and_then(|(rows_at, rows, fan_bits)| {
            let user = user_hash(repo.keys(), user);
            let head = Head { key: self.key, user, complete, rows_at, rows, fan_bits };
            let plain = object::pad(&codec::encode(&head), 0, 0, HEAD_PLAIN);
            let mut header = [&MAGIC[..], &nonce].concat();
            seal::seal_append(&repo.keys().files_key(), &nonce, &binding(repo, series), &plain, &mut header);
            inner.out.get_ref().write_all_at(&header, 0)?;
            // Not synced: what a power cut takes away is read again.
            fs::rename(&self.draft, &self.path)
        });
        finished.map_err(|e| Error::store("write", self.path.display(), e))
    }
}

impl Drop for FilesBuilder {
    fn drop(&mut self) {
        // After it was renamed there is none.
        let _ = fs::remove_file(&self.draft);
    }
}

impl Inner {
    fn lay_aside_when_many(&mut self, draft: &Path) -> io::Result<()> {
        if self.rows.len() < RUN_ROWS {
            return Ok(());
        }
        let aside = match &mut self.aside {
            Some(aside) => aside,
            None => {
                let path = draft.with_extension("rows.draft");
                let file = private(&path)?;
                fs::remove_file(&path)?;
                self.aside.insert(Aside { file, ends: Vec::new() })
            }
        };
        self.rows.sort_unstable();
        let mut out = BufWriter::with_capacity(256 << 10, &aside.file);
        for row in self.rows.drain(..) {
            out.write_all(&row.to_bytes())?;
        }
        out.flush()?;
        drop(out);
        aside.ends.push(aside.file.stream_position()?);
        Ok(())
    }

    /// Writes the rows and the fan-out; returns where the rows begin, how many there are, and the fan-out's bits.
    fn finish(&mut self) -> io::Result<(u64, u64, u32)> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        self.rows.sort_unstable();
        let aside_rows = self.aside.as_ref().and_then(|aside| aside.ends.last()).map_or(0, |end| end / ROW_LEN as u64);
        let rows = aside_rows + self.rows.len() as u64;
        let bits = (rows / 64).max(1).ilog2().min(FAN_BITS_MAX);
        let mut counts = vec![0u64; 1 << bits];
        let (at, out) = (self.at, &mut self.out);
        let mut put = |row: Row| {
            counts[leading(&row.found, bits)] += 1;
            out.write_all(&row.to_bytes())
        };
        match &self.aside {
            None => self.rows.drain(..).try_for_each(&mut put)?,
            Some(aside) => merge(aside, std::mem::take(&mut self.rows), &mut put)?,
        }
        let mut sum = 0u64;
        out.write_all(&sum.to_le_bytes())?;
        for count in counts {
            sum += count;
            out.write_all(&sum.to_le_bytes())?;
        }
        out.flush()?;
        Ok((at, rows, bits))
    }
}

/// Hands out the rows of all runs in order.
fn merge(aside: &Aside, last: Vec<Row>, put: &mut dyn FnMut(Row) -> io::Result<()>) -> io::Result<()> {
    let mut runs: Vec<Box<dyn Iterator<Item = io::Result<Row>> + '_>> = vec![Box::new(last.into_iter().map(Ok))];
    let mut from = 0;
    for &to in &aside.ends {
        let part = Part { file: &aside.file, at: from, end: to };
        let mut part = BufReader::with_capacity(RUN_BUFFER, part);
        runs.push(Box::new((0..(to - from) / ROW_LEN as u64).map(move |_| {
            let mut row = [0; ROW_LEN];
            part.read_exact(&mut row)?;
            Ok(Row::from_bytes(&row))
        })));
        from = to;
    }
    let mut heads = BinaryHeap::new();
    for (n, run) in runs.iter_mut().enumerate() {
        heads.extend(run.next().transpose()?.map(|row| Reverse((row, n))));
    }
    while let Some(Reverse((row, n))) = heads.pop() {
        put(row)?;
        if let Some(run) = runs.get_mut(n) {
            heads.extend(run.next().transpose()?.map(|row| Reverse((row, n))));
        }
    }
    Ok(())
}

/// A stretch of a file.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = room.len().min((self.end - self.at) as usize);
        let read = self.file.read_at(&mut room[..len], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
