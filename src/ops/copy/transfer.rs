//! Whole objects from store to store, several at once, each held against its name before it gets that name again.

use crate::{
    error::{Error, Result, reason},
    hash::ObjectHasher,
    id::RepoId,
    model::limits,
    monitor::{Counter, Monitor},
    object,
    ops::naming::{Class, class, ends_with_sum},
    store::{Entry, ObjectName, Store},
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

/// Objects in a row that cannot be read: more are no bad sectors, but a store that is gone.
const UNREAD_MAX: u32 = 4;
/// Bytes that are read, hashed and written at a time.
const PIECE: usize = 1 << 20;

/// An object on its way: where it lies, and the name it gets.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Item {
    pub(in crate::ops) entry: Entry,
    pub(in crate::ops) name: ObjectName,
    /// Something of that name and another length is there, and goes once the object is known to be whole.
    pub(in crate::ops) replaces: bool,
}

/// What became of the objects.
#[derive(Debug, Default)]
pub(in crate::ops) struct Came {
    /// Objects, and their bytes.
    pub(in crate::ops) objects: u64,
    pub(in crate::ops) bytes: u64,
    /// Those in the place of damaged ones.
    pub(in crate::ops) replaced: u64,
    /// Those that are not what their names say, or cannot be read, with the reason.
    pub(in crate::ops) damaged: BTreeMap<String, String>,
    /// Objects that were removed since they were listed.
    pub(in crate::ops) vanished: u64,
}

impl Came {
    /// The sum of both.
    pub(in crate::ops) fn add(&mut self, other: Came) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.replaced += other.replaced;
        self.damaged.extend(other.damaged);
        self.vanished += other.vanished;
    }
}

enum One {
    Whole,
    Vanished,
    Damaged(String),
    Unread(Error, String),
}

/// From one store to the other.
pub(in crate::ops) struct Transfer<'a> {
    pub(in crate::ops) from: &'a dyn Store,
    pub(in crate::ops) to: &'a dyn Store,
    pub(in crate::ops) repo: RepoId,
    /// How many objects at once.
    pub(in crate::ops) threads: usize,
    /// Bytes that are still to come, for who runs out of room.
    pub(in crate::ops) left: AtomicU64,
    pub(in crate::ops) monitor: &'a dyn Monitor,
}

impl Transfer<'_> {
    /// Copies all, the oldest first. Durable after the next sync. Fails when a store does.
    pub(in crate::ops) fn all(&self, mut items: Vec<Item>) -> Result<Came> {
        items.sort_by(|a, b| (a.entry.stored, &a.entry.name).cmp(&(b.entry.stored, &b.entry.name)));
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let state = Mutex::new((Came::default(), None, 0));
        let work = || {
            let mut piece = vec![0; PIECE];
            while !stop.load(Ordering::Relaxed)
                && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let one = self.monitor.check().and_then(|()| self.one(item, &mut piece));
                self.left.fetch_sub(item.entry.len.min(self.left.load(Ordering::Relaxed)), Ordering::Relaxed);
                let (came, failure, row) = &mut *state.lock().unwrap_or_else(PoisonError::into_inner);
                let one = match one {
                    Ok(One::Unread(error, what)) => {
                        *row += 1;
                        if *row < UNREAD_MAX { Ok(One::Damaged(what)) } else { Err(error) }
                    }
                    one => {
                        *row = 0;
                        one
                    }
                };
                match one {
                    Ok(One::Whole) => {
                        came.objects += 1;
                        came.bytes += item.entry.len;
                        came.replaced += u64::from(item.replaces);
                        self.monitor.add(Counter::Objects, 1);
                    }
                    Ok(One::Vanished) => came.vanished += 1,
                    Ok(One::Damaged(what) | One::Unread(_, what)) => {
                        let object = item.entry.name.to_string();
                        self.monitor.problem(&format!("{object}: {what}; it is not copied"));
                        came.damaged.insert(object, what);
                    }
                    Err(error) => {
                        // What did not arrive is still to come.
                        self.left.fetch_add(item.entry.len, Ordering::Relaxed);
                        stop.store(true, Ordering::Relaxed);
                        failure.get_or_insert(error);
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads.min(items.len()) {
                // Fewer threads are slower, and that is all.
                let _ = thread::Builder::new().name("copy".into()).spawn_scoped(scope, work);
            }
            work();
        });
        let (came, failure, _) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(came), Err)
    }

    fn one(&self, item: &Item, piece: &mut [u8]) -> Result<One> {
        let Item { entry, name, replaces } = item;
        let Some((class, hash)) = class(entry.name.as_str()) else {
            return Ok(One::Damaged("it is no object of a repository".into()));
        };
        // Read whole to look at its end.
        let longest = if class == Class::Tombstone { limits::MARK_MAX } else { limits::PACK_MAX };
        if entry.len > longest {
            return Ok(One::Damaged(format!("{} bytes are too long for what it should be", entry.len)));
        }
        let mut tail = Vec::new();
        let (mut hasher, mut at) = (ObjectHasher::default(), 0u64);
        let mut upload = self.to.upload()?;
        while at < entry.len {
            self.monitor.check()?;
            let len = (entry.len - at).min(piece.len() as u64) as usize;
            let part = &mut piece[..len];
            if let Err(error) = self.from.get_range(&entry.name, at, part) {
                return self.unread(entry, error);
            }
            if at == 0
                && let Some(what) = self.foreign(entry, class, part)?
            {
                return Ok(One::Damaged(what));
            }
            if class == Class::Tombstone {
                tail.extend_from_slice(part);
            }
            hasher.update(part);
            upload.append(part)?;
            at += len as u64;
            self.monitor.add(Counter::Bytes, len as u64);
        }
        if hash.is_some_and(|hash| hash != hasher.finish()) {
            return Ok(One::Damaged("its bytes are not those of its name".into()));
        }
        if class == Class::Tombstone && !ends_with_sum(&tail) {
            return Ok(One::Damaged("its bytes are not those of the hash at its end".into()));
        }
        if *replaces {
            self.to.remove(name)?;
        }
        upload.finish(name)?;
        Ok(One::Whole)
    }

    /// What is wrong with an object's header.
    fn foreign(&self, entry: &Entry, class: Class, first: &[u8]) -> Result<Option<String>> {
        match object::read_any_header(first, &entry.name) {
            Ok((_, repo)) if repo == self.repo => Ok(None),
            // Slots of other repositories are skipped by everybody.
            Ok(_) if class == Class::Slot => Ok(None),
            Ok(_) => Ok(Some("it belongs to another repository".into())),
            Err(Error::Corrupt { what, .. }) => Ok(Some(what)),
            Err(error) => Err(error),
        }
    }

    /// An object that cannot be read: a bad sector is its own, a cable that was pulled is not.
    fn unread(&self, entry: &Entry, error: Error) -> Result<One> {
        match error {
            Error::Missing { .. } => Ok(One::Vanished),
            Error::Corrupt { what, .. } => Ok(One::Damaged(what)),
            Error::Store { ref source, .. } if self.from.stat(&entry.name).is_ok_and(|stat| stat.is_some()) => {
                let what = format!("it cannot be read: {}", reason(source));
                Ok(One::Unread(error, what))
            }
            error => Err(error),
        }
    }
}
