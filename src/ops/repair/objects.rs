//! Snapshot objects: which can be read, which cannot, and which of these the other repository has.

use super::{Donor, health::of_one};
use crate::{
    error::{Error, Result},
    id::{SeriesTag, SnapshotId},
    model::limits,
    repo::{Listed, Repository, snapshots::object_name},
};
use std::collections::{BTreeMap, HashSet};

/// A snapshot object that is damaged, or not there although the next one says that it was before it.
pub(super) struct Unreadable {
    pub(super) tag: SeriesTag,
    pub(super) id: SnapshotId,
    /// What is wrong. Safe to print.
    pub(super) why: String,
    /// It is not there.
    pub(super) gone: bool,
    /// The series, when other snapshots of it tell.
    pub(super) series: Option<String>,
    /// When it was begun, when its head still opens.
    pub(super) time: Option<i64>,
    /// What the other repository has in its place.
    pub(super) donated: Option<Donated>,
}

/// A snapshot of the other repository.
pub(super) struct Donated {
    pub(super) listed: Listed,
    pub(super) bytes: Vec<u8>,
}

/// The snapshots of a repository.
pub(super) struct Found {
    pub(super) listed: Vec<Listed>,
    pub(super) unreadable: Vec<Unreadable>,
    /// Those that a snapshot was made in the place of already.
    pub(super) stood_in_for: HashSet<SnapshotId>,
}

impl Found {
    /// All snapshots whose contents are needed.
    pub(super) fn all(&self) -> impl Iterator<Item = &Listed> {
        self.listed
            .iter()
            .chain(self.unreadable.iter().filter_map(|one| one.donated.as_ref().map(|donated| &donated.listed)))
    }
}

/// Reads all snapshots.
pub(super) fn find(repo: &Repository, donor: Option<&Donor<'_>>) -> Result<Found> {
    let mut found = Found { listed: Vec::new(), unreadable: Vec::new(), stood_in_for: HashSet::new() };
    let mut series: BTreeMap<SeriesTag, String> = BTreeMap::new();
    let (mut bad, mut before) = (Vec::new(), Vec::new());
    let names = repo.living(None)?.names;
    for (tag, id, _) in &names {
        match repo.read_snapshot(tag, id) {
            Ok(listed) => {
                series.entry(*tag).or_insert_with(|| listed.snapshot.series.clone());
                before.extend(listed.snapshot.head.previous.map(|previous| (*tag, previous)));
                found.stood_in_for.extend(listed.snapshot.repaired_from());
                found.listed.push(listed);
            }
            // A flipped bit makes no new format.
            Err(Error::Unsupported { what, .. }) if !is_named_rightly(repo, tag, id)? => {
                bad.push((*tag, *id, what, false));
            }
            Err(error) => bad.push((*tag, *id, of_one(repo, error)?, false)),
        }
    }
    let there: HashSet<(SeriesTag, SnapshotId)> = names.iter().map(|(tag, id, _)| (*tag, *id)).collect();
    before.sort();
    before.dedup();
    for (tag, id) in before {
        if there.contains(&(tag, id)) {
            continue;
        }
        // What was forgotten stays so.
        let is_forgotten = match repo.prove_forgotten(&tag, &id) {
            Ok(_) => true,
            Err(Error::Missing { .. } | Error::Corrupt { .. }) => false,
            Err(error) => return Err(error),
        };
        if !is_forgotten {
            bad.push((tag, id, "it is not in the store, but the one after it says that it was".into(), true));
        }
    }
    bad.retain(|(_, id, ..)| !found.stood_in_for.contains(id));
    for (tag, id, why, gone) in bad {
        let donated = match donor {
            Some(donor) => fetch(donor.repo, &tag, &id)?,
            None => None,
        };
        let time = repo.head_of_damaged(&object_name(&tag, &id)).map(|head| head.time.sec);
        let of_donated = donated.as_ref().map(|donated| donated.listed.snapshot.series.clone());
        let series = series.get(&tag).cloned().or(of_donated);
        found.unreadable.push(Unreadable { tag, id, why, gone, series, time, donated });
    }
    found.listed.sort_by(|a, b| {
        let key = |l: &Listed| (l.snapshot.head.sequence, l.id);
        a.snapshot.series.cmp(&b.snapshot.series).then(key(a).cmp(&key(b)))
    });
    Ok(found)
}

/// A snapshot as it lies in the other repository; `None` when it cannot be had there either.
fn fetch(from: &Repository, tag: &SeriesTag, id: &SnapshotId) -> Result<Option<Donated>> {
    let name = object_name(tag, id);
    let listed = from.read_snapshot(tag, id);
    match listed.and_then(|listed| Ok((listed, from.store().get(&name, limits::META_MAX)?))) {
        Ok((listed, bytes)) if crate::hash::object_name(&bytes) == id.0 => Ok(Some(Donated { listed, bytes })),
        Ok(_) => Ok(None),
        Err(error) => of_one(from, error).map(|_| None),
    }
}

fn is_named_rightly(repo: &Repository, tag: &SeriesTag, id: &SnapshotId) -> Result<bool> {
    let bytes = repo.store().get(&object_name(tag, id), limits::META_MAX)?;
    Ok(crate::hash::object_name(&bytes) == id.0)
}
