//! The directories of a window: known by number, held open while that is cheap, and found again when needed.

use crate::{
    fs::{
        PathError,
        target::{Target, TargetDir},
    },
    name::Name,
};
use lru::LruCache;
use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard},
};

/// Number of a directory; the target itself is 0.
pub(super) type DirId = u32;

pub(super) const ROOT: DirId = 0;

/// The way down to a directory: outlives the window, and takes one step of memory whatever the depth.
#[derive(Debug)]
pub(super) struct Way {
    parent: Option<Arc<Way>>,
    name: Name,
}

impl Way {
    /// The names on the way, from the target.
    pub fn names(way: Option<&Arc<Way>>) -> Vec<Name> {
        let mut names = Vec::new();
        let mut at = way;
        while let Some(step) = at {
            names.push(step.name.clone());
            at = step.parent.as_ref();
        }
        names.reverse();
        names
    }
}

impl Drop for Way {
    /// Step by step: a way may be longer than the stack is deep.
    fn drop(&mut self) {
        let mut at = self.parent.take();
        while let Some(mut step) = at.and_then(Arc::into_inner) {
            at = step.parent.take();
        }
    }
}

/// Directories of the target, each with the one that it lies in.
pub(super) struct Dirs {
    /// The target as the user calls it.
    target: Vec<u8>,
    root: Option<Arc<TargetDir>>,
    /// Of the numbers from 1.
    known: Vec<(DirId, Arc<Way>)>,
    open: Mutex<LruCache<DirId, Arc<TargetDir>>>,
}

impl Dirs {
    /// Without a target when it is not there and nothing is to be made.
    pub fn new(target: &[u8], root: Option<&Target>, open: usize) -> Self {
        Dirs {
            target: target.to_vec(),
            root: root.map(|target| Arc::new(target.root().clone())),
            known: Vec::new(),
            open: Mutex::new(LruCache::new(NonZeroUsize::new(open).unwrap_or(NonZeroUsize::MIN))),
        }
    }

    fn cache(&self) -> MutexGuard<'_, LruCache<DirId, Arc<TargetDir>>> {
        self.open.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn known(&self, id: DirId) -> Option<&(DirId, Arc<Way>)> {
        self.known.get((id as usize).checked_sub(1)?)
    }

    /// The way down to a directory; none to the target itself.
    pub fn way(&self, id: DirId) -> Option<Arc<Way>> {
        self.known(id).map(|(_, way)| way.clone())
    }

    /// The directory at the end of a way.
    pub fn follow(&self, way: Option<&Arc<Way>>) -> Result<TargetDir, PathError> {
        match &self.root {
            Some(root) => root.descend(&Way::names(way)),
            None => Err(PathError::new(self.target.clone(), "open directory", io::ErrorKind::NotFound)),
        }
    }

    /// Adds a directory, with its descriptor unless it is not there.
    pub fn add(&mut self, parent: DirId, name: &Name, open: Option<TargetDir>) -> DirId {
        let way = Way { parent: self.way(parent), name: name.clone() };
        self.known.push((parent, Arc::new(way)));
        let id = self.known.len() as DirId;
        if let Some(dir) = open {
            self.cache().put(id, Arc::new(dir));
        }
        id
    }

    /// The directory, opened again when it was closed: from the nearest one around it that is open.
    pub fn get(&self, id: DirId) -> Result<Arc<TargetDir>, PathError> {
        let mut names = Vec::new();
        let mut at = id;
        let mut cache = self.cache();
        let from = loop {
            if let Some(dir) = cache.get(&at) {
                break Some(dir.clone());
            }
            let Some((parent, way)) = self.known(at) else { break self.root.clone() };
            names.push(way.name.clone());
            at = *parent;
        };
        let Some(from) = from else {
            return Err(PathError::new(self.path(id, None), "open directory", io::ErrorKind::NotFound));
        };
        if names.is_empty() {
            return Ok(from);
        }
        names.reverse();
        let dir = Arc::new(from.descend(&names)?);
        cache.put(id, dir.clone());
        Ok(dir)
    }

    /// Path of the directory, or of an entry of it, below the target.
    pub fn relative(&self, id: DirId, name: Option<&Name>) -> Vec<u8> {
        let way = self.way(id);
        let names = Way::names(way.as_ref());
        let names: Vec<&[u8]> = names.iter().chain(name).map(Name::as_bytes).collect();
        names.join(&b'/')
    }

    /// Path of the directory, or of an entry of it, for people.
    pub fn path(&self, id: DirId, name: Option<&Name>) -> Vec<u8> {
        let mut path = self.target.clone();
        let below = self.relative(id, name);
        if !below.is_empty() {
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(&below);
        }
        path
    }

    /// Forgets all directories but those of a way down from the target, which become 1, 2, 3 …
    pub fn keep(&mut self, way: &[DirId]) {
        let mut known = Vec::with_capacity(way.len());
        let mut open = Vec::new();
        {
            let mut cache = self.cache();
            for (new, old) in (1..).zip(way) {
                if let Some((_, way)) = self.known(*old) {
                    known.push((new - 1, way.clone()));
                }
                open.extend(cache.pop(old).map(|dir| (new, dir)));
            }
            cache.clear();
            for (id, dir) in open {
                cache.put(id, dir);
            }
        }
        self.known = known;
    }
}
