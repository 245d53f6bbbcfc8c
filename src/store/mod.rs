//! Where objects live. A [`Store`] knows names and bytes; it knows nothing of keys, packs or snapshots.
//!
//! The trait asks only for what a folder, an SFTP server, S3 and a plain HTTP server all have: create-only put, ranged
//! get, listing by prefix, remove. What differs is told by [`Capabilities`]. A new concern (retry, throttle, …) is a store
//! around a store ([`retry::RetryStore`], [`faulty::FaultyStore`]). Every implementation passes [`conformance`].

pub mod conformance;
pub mod faulty;
#[cfg(test)]
pub mod interrupted;
pub mod local;
pub mod memory;
pub mod open;
pub mod remote;
pub mod retry;
pub mod throttle;
#[cfg(test)]
pub mod watched;

use crate::error::Result;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// An object's name in a store: parts of `[0-9a-z.-]` between single slashes, such as `packs/3f/3f…`, that neither begin
/// nor end with a dot (FAT drops dots at the end). Safe on every file system, FAT included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// Checks the text; `None` when it is not such a name.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let part_ok = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'.' | b'-'))
        };
        (text.len() <= 255 && text.split('/').all(part_ok)).then_some(ObjectName(text))
    }

    /// A name of parts that are known to be fine: hexadecimal text and folders of the format.
    pub fn of_parts(parts: &[&str]) -> Self {
        let name = ObjectName(parts.join("/"));
        debug_assert!(ObjectName::new(name.as_str()).is_some());
        name
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn leaf(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// What stands before the last slash; empty when there is none.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub len: u64,
    /// When it was stored, by the store's clock, in seconds since 1970; zero where the store does not tell.
    pub stored: i64,
}

/// What came of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there now, durable after the next [`Store::sync`].
    Created,
    /// An object of that name was there before; it was not touched. (A file without bytes is none: whoever stores one of its name
    /// replaces it. A power cut leaves such names on FAT, where a name gets its file's length and blocks after it is there.)
    Existed,
}

/// What a store can do beyond the minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Of several puts of one name at the same time exactly one is told [`Put::Created`] (none, when that answer was
    /// lost on its way and asked for again).
    pub exclusive_create: bool,
    /// [`Entry::stored`] and [`Store::now`] come from the store's own clock.
    pub clock: bool,
    /// Objects can be removed.
    pub remove: bool,
}

/// An object on its way into the store: bytes are appended, then it gets its name or is dropped without a trace.
/// Several uploads may be on their way at once, and be finished by different threads.
pub trait Upload: Send {
    /// Appends bytes. After a failure the upload can only be dropped.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
    /// Gives the object its name, unless the name is taken. Durable after the next [`Store::sync`].
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<Put>;
}

/// A place for immutable objects.
///
/// Errors are [`Error::Missing`](crate::error::Error::Missing) for an object that is not there,
/// [`Error::Corrupt`](crate::error::Error::Corrupt) for one that is longer or shorter than the caller knows it must be, and
/// [`Error::Store`](crate::error::Error::Store) for all else. A failed sync is final: it is never repeated for the same
/// bytes, since the kernel may have dropped them; this store's syncs fail from then on.
pub trait Store: Send + Sync {
    /// The place, for messages.
    fn place(&self) -> String;
    /// What this store can do.
    fn capabilities(&self) -> Capabilities;
    /// A whole object; fails when it is longer than `max` bytes, before memory is taken.
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>>;
    /// Fills `out` with the object's bytes from `offset`; fails when the object ends before that.
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()>;
    /// Begins an object of which the name is not yet known.
    fn upload(&self) -> Result<Box<dyn Upload + '_>>;
    /// The objects whose names begin with `prefix`, which is empty or ends with `/`, in no order. Things that are
    /// not objects (temporary files, other people's files) are left out.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()>;
    /// One object's entry; `None` when it is not there.
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>>;
    /// Removes an object; no error when it is not there.
    fn remove(&self, name: &ObjectName) -> Result<()>;
    /// Gives an object another name, unless that is taken; the object loses its old one then. Durable after the next [`Store::sync`].
    /// In one step and without reading it where the store can do that, by copying it otherwise. For what is to be kept out of the
    /// way: names that follow from contents do not change.
    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        let len = self.stat(from)?.ok_or_else(|| missing(from))?.len;
        let mut upload = self.upload()?;
        let mut piece = vec![0; len.min(COPY_PIECE) as usize];
        let mut at = 0;
        while at < len {
            let take = (len - at).min(COPY_PIECE);
            let piece = piece.get_mut(..take as usize).unwrap_or_default();
            self.get_range(from, at, piece)?;
            upload.append(piece)?;
            at += take;
        }
        let put = upload.finish(to)?;
        if put == Put::Created {
            self.remove(from)?;
        }
        Ok(put)
    }
    /// Lets two objects that are there change their names, in one step. False, and nothing is done, where the store cannot. Durable after the
    /// next [`Store::sync`].
    fn exchange(&self, _a: &ObjectName, _b: &ObjectName) -> Result<bool> {
        Ok(false)
    }
    /// Returns when everything put or removed through this store so far is durable, and also the names that
    /// [`Store::list`], [`Store::stat`] and [`Put::Existed`] told of so far: what a run builds on may have been put by
    /// another run that was killed before its sync.
    fn sync(&self) -> Result<()>;
    /// The store's clock, in seconds since 1970; `None` without [`Capabilities::clock`].
    fn now(&self) -> Result<Option<i64>>;

    /// Stores a whole object unless its name is taken.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put> {
        let mut upload = self.upload()?;
        upload.append(bytes)?;
        upload.finish(name)
    }
}

/// Bytes that are copied at a time by who has to.
const COPY_PIECE: u64 = 1 << 20;

/// A store shared between threads.
pub type SharedStore = Arc<dyn Store>;

impl<S: Store + ?Sized> Store for Arc<S> {
    fn place(&self) -> String {
        (**self).place()
    }
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        (**self).get(name, max)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        (**self).get_range(name, offset, out)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        (**self).upload()
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        (**self).list(prefix, each)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        (**self).stat(name)
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        (**self).remove(name)
    }
    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        (**self).rename(from, to)
    }
    fn exchange(&self, a: &ObjectName, b: &ObjectName) -> Result<bool> {
        (**self).exchange(a, b)
    }
    fn sync(&self) -> Result<()> {
        (**self).sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        (**self).now()
    }
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put> {
        (**self).put(name, bytes)
    }
}

// A thread that panicked while it held one of the locks here has left nothing half done: they guard single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// The errors that every implementation gives alike.
fn too_long(name: &ObjectName, len: u64, max: u64) -> crate::error::Error {
    crate::error::Error::corrupt(name, format_args!("it is {len} bytes long, and may be {max} at most"))
}

fn too_short(name: &ObjectName, len: u64, offset: u64, wanted: usize) -> crate::error::Error {
    crate::error::Error::corrupt(name, format_args!("it ends at byte {len}, before {wanted} bytes from {offset}"))
}

fn missing(name: &ObjectName) -> crate::error::Error {
    crate::error::Error::Missing { object: name.to_string() }
}

#[cfg(test)]
mod tests {
    use super::ObjectName;

    #[test]
    fn names_are_safe_on_every_file_system() {
        for bad in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", ".a", "a.", "A", "a b", "a_b", "ä", "a\0", "a:b"]
        {
            assert!(ObjectName::new(bad).is_none(), "{bad:?}");
        }
        assert!(ObjectName::new("a".repeat(256)).is_none());
        let name = ObjectName::new("packs/3f/3f-0.x").unwrap();
        assert_eq!((name.folder(), name.leaf()), ("packs/3f", "3f-0.x"));
        let name = ObjectName::new("config").unwrap();
        assert_eq!((name.folder(), name.leaf()), ("", "config"));
    }
}
