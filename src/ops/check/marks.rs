//! What lies beside snapshots and packs: tombstones, tags, pins; notes of prune, sessions.

use super::findings::Findings;
use crate::{
    error::{Error, Result},
    id::{PackId, SeriesTag, SnapshotId},
    model::snapshot::Head,
    repo::{annotations, session::Stay, tombstones},
    store::ObjectName,
};
use std::collections::{HashMap, HashSet};

/// Heads of the forgotten, by what they were.
pub(super) type Gone = HashMap<(SeriesTag, SnapshotId), Head>;

/// Reads all tombstones; those that do not prove are findings, and explain nothing.
pub(super) fn tombstones(found: &Findings<'_>) -> Result<Gone> {
    let mut gone = HashMap::new();
    for (tag, id) in found.repo.tombstone_names(None)? {
        found.monitor.check()?;
        match found.repo.tombstone(&tag, &id) {
            Ok(tombstone) => drop(gone.insert((tag, id), tombstone.head.head)),
            Err(error) => drop(found.judge(tombstones::object_name(&tag, &id).as_str(), error)?),
        }
    }
    Ok(gone)
}

/// A name without bytes, which nobody relies on.
pub(super) fn hollow(found: &Findings<'_>, name: &ObjectName) {
    let next = match name.folder() {
        "index" => "what it may have listed `vault repair index` lists again; prune takes it away",
        _ => "prune takes it away",
    };
    found.add(name.as_str(), format!("it has no bytes, as a power cut may leave it; {next}"));
}

/// Reads all annotations.
pub(super) fn annotations(found: &Findings<'_>, there: &HashSet<(SeriesTag, SnapshotId)>, gone: &Gone) -> Result<()> {
    for (tag, id) in found.repo.annotation_names(None)? {
        found.monitor.check()?;
        let name = annotations::object_name(&tag, &id);
        match found.repo.read_annotation(&tag, &id) {
            Ok(annotation) => {
                let key = (tag, annotation.snapshot);
                if gone.contains_key(&key) {
                    found.note(format!("{name}: its snapshot was forgotten; the next `vault forget` takes it away"));
                } else if !there.contains(&key) {
                    found.note(format!("{name}: its snapshot {} is not in the store", annotation.snapshot.short()));
                }
            }
            // Removed with its snapshot since it was listed.
            Err(Error::Missing { .. }) => {}
            Err(error) => drop(found.judge(name.as_str(), error)?),
        }
    }
    Ok(())
}

/// Reads the notes of prune, the sessions and the intents. Those that are damaged hold up prune for a day, and damaged notes hold up
/// snapshots.
pub(super) fn of_prune(found: &Findings<'_>) -> Result<()> {
    match found.repo.notes() {
        Ok(notes) => {
            notes.foreign.iter().for_each(|(_, error)| found.note(format!("{error}; it is left alone")));
            notes.hollow.iter().for_each(|name| hollow(found, name));
            notes.damaged.into_iter().try_for_each(|damaged| one(found, damaged.error))?;
        }
        Err(error) => one(found, error)?,
    }
    match found.repo.stays(found.monitor) {
        Ok(stays) => stays.into_iter().try_for_each(|stay| match stay {
            Stay::Damaged(damaged) => one(found, damaged.error),
            Stay::Hollow(name) => {
                hollow(found, &name);
                Ok(())
            }
            _ => Ok(()),
        }),
        Err(error) => one(found, error),
    }
}

/// The packs that notes name, as far as these can be read.
pub(super) fn named_packs(found: &Findings<'_>) -> Result<HashSet<PackId>> {
    match found.repo.notes() {
        Ok(notes) => Ok(notes.named()),
        Err(error) => one(found, error).map(|()| HashSet::new()),
    }
}

fn one(found: &Findings<'_>, error: Error) -> Result<()> {
    match &error {
        Error::Corrupt { object, .. } | Error::Store { object, .. } => {
            found.judge(&object.clone(), error)?;
            Ok(())
        }
        // Notes come and go: prune is under way.
        Error::Refused { .. } => Ok(()),
        _ => Err(error),
    }
}
