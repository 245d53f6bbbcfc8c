//! Complete uploads that wait for one another, so that one flush of the file system serves many of them.

use super::{LocalStore, folder, upload::Draft};
use crate::{
    error::Result,
    store::{ObjectName, lock},
};
use std::{io, os::fd::AsFd, sync::Mutex};

/// Files that wait at most: each holds two descriptors.
pub(super) const FILES: usize = 256;
/// Bytes that wait at most: what is lost when the process is killed, and the longest flush.
pub(super) const BYTES: u64 = 256 << 20;

/// A draft that is complete.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) draft: Draft,
    pub(super) name: ObjectName,
    pub(super) len: u64,
}

/// Drafts that wait.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    waiting: Mutex<(Vec<Waiting>, u64)>,
    /// Held while some are flushed and named: who finds none must not return before that is done.
    settling: Mutex<()>,
}

impl Gathered {
    /// Takes a draft; when enough are there they are flushed and named.
    pub(super) fn add(&self, store: &LocalStore, one: Waiting) -> Result<()> {
        let full = {
            let (waiting, bytes) = &mut *lock(&self.waiting);
            *bytes += one.len;
            waiting.push(one);
            waiting.len() >= FILES || *bytes >= BYTES
        };
        if full { self.settle(store) } else { Ok(()) }
    }

    /// Flushes all that wait, then gives them their names. What cannot be flushed gets none.
    pub(super) fn settle(&self, store: &LocalStore) -> Result<()> {
        let _turn = lock(&self.settling);
        let (waiting, _) = std::mem::take(&mut *lock(&self.waiting));
        let Some(first) = waiting.first() else { return Ok(()) };
        if let Some(lost) = *lock(&store.lost) {
            return Err(store.object("store", &first.name, lost));
        }
        if folder::flushes_all(store.root.as_fd()) {
            store.disk.flush_all(store.root.as_fd()).map_err(|e| {
                let e = io::Error::from(e);
                store.lose(&e);
                store.object("flush", &first.name, e)
            })?;
        } else {
            for Waiting { draft, name, .. } in &waiting {
                draft.flush().map_err(|e| {
                    store.lose(&e);
                    store.object("flush", name, e)
                })?;
            }
        }
        for Waiting { mut draft, name, .. } in waiting {
            draft.drop_cached();
            let failed = |e| store.object("store", &name, io::Error::from(e));
            let folder = folder::make(&store.disk, store.root.as_fd(), name.folder()).map_err(failed)?;
            // Who put one of that name meanwhile put the same bytes.
            draft.name(folder.as_fd(), name.leaf()).map_err(failed)?;
            store.touch(name.folder());
        }
        Ok(())
    }
}
