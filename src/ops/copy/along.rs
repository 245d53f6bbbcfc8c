//! What goes along with snapshots between repositories of the same keys, as it is: key slots, tombstones, notes.

use super::{
    inventory::{Inventory, Objects},
    transfer::{Item, Transfer},
};
use crate::{
    error::{Error, Result},
    id::{SeriesTag, SnapshotId},
    monitor::Monitor,
    repo::{Repository, snapshots},
    store::{Entry, ObjectName},
};
use std::sync::atomic::AtomicU64;

/// Copies what is missing, durable when it returns. A tombstone comes where it proves and neither side has the snapshot.
pub(super) fn take_along(from: &Repository, to: &Repository, monitor: &dyn Monitor) -> Result<()> {
    let (there, have) = (Inventory::to_copy(from.store())?, Inventory::of(to.store())?);
    let missing = |there: &Objects, have: &Objects| -> Vec<Entry> {
        there.values().filter(|entry| !have.contains_key(&entry.name)).cloned().collect()
    };
    let mut entries = missing(&there.keys, &have.keys);
    entries.extend(missing(&there.annotations, &have.annotations));
    for entry in missing(&there.tombstones, &have.tombstones) {
        let Some((tag, id)) = parts(&entry.name) else { continue };
        let snapshot = snapshots::object_name(&tag, &id);
        if there.snapshots.contains_key(&snapshot) || have.snapshots.contains_key(&snapshot) {
            continue;
        }
        match from.prove_forgotten(&tag, &id) {
            Ok(_) => entries.push(entry),
            Err(error @ (Error::Missing { .. } | Error::Corrupt { .. } | Error::Unsupported { .. })) => {
                monitor.problem(&format!("{}: {error}; it is not copied", entry.name));
            }
            Err(error) => return Err(error),
        }
    }
    let items = entries.into_iter().map(|entry| Item { name: entry.name.clone(), replaces: false, entry }).collect();
    let (from, to, repo) = (from.store(), to.store(), to.keys().repo());
    let transfer = Transfer { from, to, repo, threads: 1, left: AtomicU64::new(0), monitor };
    transfer.all(items)?;
    to.sync()
}

fn parts(name: &ObjectName) -> Option<(SeriesTag, SnapshotId)> {
    let (tag, id) = name.as_str().strip_prefix("gone/")?.split_once('/')?;
    Some((SeriesTag::parse(tag).ok()?, SnapshotId::parse(id).ok()?))
}
