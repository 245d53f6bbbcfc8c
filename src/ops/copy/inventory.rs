//! The objects of a store, by folder.

use crate::{
    error::{Error, Result},
    ops::naming::{Class, class},
    store::{Entry, ObjectName, Store},
};
use std::collections::{BTreeMap, BTreeSet};

/// How often a source is listed until it holds still.
const TRIES: usize = 16;

/// Objects by name.
pub(in crate::ops) type Objects = BTreeMap<ObjectName, Entry>;

/// What lies in a store.
#[derive(Debug, Default)]
pub(in crate::ops) struct Inventory {
    pub(in crate::ops) config: Option<Entry>,
    pub(in crate::ops) keys: Objects,
    pub(in crate::ops) packs: Objects,
    pub(in crate::ops) index: Objects,
    pub(in crate::ops) snapshots: Objects,
    pub(in crate::ops) tombstones: Objects,
    pub(in crate::ops) annotations: Objects,
    pub(in crate::ops) sessions: Objects,
    /// Notes of prune: there are some from the first prune on.
    pub(in crate::ops) notes: Objects,
    /// The first thing that is no object of a repository.
    pub(in crate::ops) foreign: Option<ObjectName>,
}

impl Inventory {
    /// Everything.
    pub(in crate::ops) fn of(store: &dyn Store) -> Result<Self> {
        let mut out = Inventory::default();
        out.list(store, "")?;
        Ok(out)
    }

    /// The names of all that is copied but the config.
    pub(in crate::ops) fn objects(&self) -> impl Iterator<Item = &ObjectName> {
        let folders = [&self.keys, &self.snapshots, &self.index, &self.packs, &self.annotations, &self.tombstones];
        folders.into_iter().flat_map(|objects| objects.keys())
    }

    /// What is to be copied, such that all that the snapshots need is listed in the index objects and lies in the packs, whatever a
    /// prune does meanwhile: snapshots first; and no index object came or went while packs were listed (their names never come back).
    pub(in crate::ops) fn to_copy(store: &dyn Store) -> Result<Self> {
        let mut out = Inventory::default();
        for folder in ["snapshots/", "gone/", "notes/", "keys/"] {
            out.list(store, folder)?;
        }
        out.config = store.stat(&ObjectName::of_parts(&["config"]))?;
        out.list(store, "index/")?;
        for _ in 0..TRIES {
            let index = std::mem::take(&mut out.index);
            out.packs.clear();
            out.list(store, "packs/")?;
            out.list(store, "index/")?;
            if index.keys().eq(out.index.keys()) {
                return Ok(out);
            }
        }
        Err(Error::refused(format!(
            "the index of {} changes faster than it can be listed: run it again",
            store.place()
        )))
    }

    fn list(&mut self, store: &dyn Store, prefix: &str) -> Result<()> {
        store.list(prefix, &mut |entry| {
            let folder = entry.name.as_str().split('/').next().unwrap_or_default();
            let objects = match (class(entry.name.as_str()).map(|(class, _)| class), folder) {
                (Some(Class::Config), _) => {
                    self.config = Some(entry);
                    return Ok(());
                }
                (None, _) => {
                    self.foreign.get_or_insert(entry.name);
                    return Ok(());
                }
                // A medium's marker is its own.
                (_, "media") => return Ok(()),
                (_, "keys") => &mut self.keys,
                (_, "packs") => &mut self.packs,
                (_, "index") => &mut self.index,
                (_, "snapshots") => &mut self.snapshots,
                (_, "gone") => &mut self.tombstones,
                (_, "notes") => &mut self.annotations,
                (_, "gc") => &mut self.notes,
                _ => &mut self.sessions,
            };
            objects.insert(entry.name.clone(), entry);
            Ok(())
        })
    }

    /// True without any object.
    pub(in crate::ops) fn is_empty(&self) -> bool {
        let all = [&self.keys, &self.packs, &self.index, &self.snapshots, &self.tombstones, &self.annotations];
        self.config.is_none() && self.foreign.is_none() && all.iter().all(|objects| objects.is_empty())
    }
}

/// Those that the other side lacks, or holds in another length, which is then damage on one of the sides.
pub(in crate::ops) fn lacking(there: &Objects, have: &Objects) -> Vec<Entry> {
    let lacks = |entry: &&Entry| have.get(&entry.name).is_none_or(|had| had.len != entry.len);
    there.values().filter(lacks).cloned().collect()
}

/// The names of all objects.
pub(in crate::ops) fn names(store: &dyn Store) -> Result<BTreeSet<ObjectName>> {
    let mut names = BTreeSet::new();
    store.list("", &mut |entry| {
        names.insert(entry.name);
        Ok(())
    })?;
    Ok(names)
}
