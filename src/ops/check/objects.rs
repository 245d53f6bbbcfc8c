//! Single objects: config, key slots, snapshots; and what else lies in the store.

use super::{
    beside,
    findings::{Findings, stem},
    losses::SnapshotLoss,
    marks,
    packs::Packs,
};
use crate::{
    error::{Error, Result},
    id::{PackId, SeriesTag, SnapshotId},
    keys::Role,
    model::node::Node,
    ops::naming::{self, Class},
    pack,
    repo::snapshots::object_name,
    store::{Entry, ObjectName},
};
use std::collections::{HashMap, HashSet};

/// The config opens, and so do the slots' notes; a slot's keys only open with its secret, but its name covers them.
pub(super) fn config_and_slots(found: &Findings<'_>) -> Result<()> {
    if let Err(error) = found.repo.verify_config() {
        found.judge("config", error)?;
    }
    let (slots, unusable) = found.repo.list_slots()?;
    for error in unusable {
        match &error {
            Error::Corrupt { object, .. } | Error::Missing { object } => found.judge(&object.clone(), error)?,
            _ => return Err(error),
        };
    }
    if !slots.iter().any(|slot| slot.note.role == Role::Owner) {
        found.add("keys", "no owner's key slot is left: only the recovery sheet opens the repository");
    }
    Ok(())
}

/// What a check needs of a snapshot.
pub(super) struct Root {
    /// `series@id`, for people.
    pub(super) label: String,
    /// Its name in the store.
    pub(super) object: String,
    /// `server/vm/relpath`.
    pub(super) series: String,
    /// The snapshot.
    pub(super) id: SnapshotId,
    /// When it was begun, in seconds since 1970.
    pub(super) time: i64,
    /// The roots of its sources.
    pub(super) sources: Vec<Node>,
}

/// Reads all snapshots, and looks for gaps in their chains, which nothing but a tombstone that proves can explain.
pub(super) fn snapshots(found: &Findings<'_>) -> Result<Vec<Root>> {
    let mut roots = Vec::new();
    let mut series_of: HashMap<SeriesTag, String> = HashMap::new();
    let mut stand_ins: HashSet<SnapshotId> = HashSet::new();
    let (mut unreadable, mut predecessors) = (Vec::new(), Vec::new());
    let names = found.repo.snapshot_names(None)?;
    // Listed after the snapshots: what is forgotten meanwhile is in one of the lists at least.
    let gone = marks::tombstones(found)?;
    let on_its_way = |object: &ObjectName| {
        found.note(format!(
            "{object}: it was on its way, and its intent is there: prune, or the next copy, publishes it"
        ));
    };
    for (tag, id, len) in &names {
        found.monitor.check()?;
        let object = object_name(tag, id).to_string();
        if gone.contains_key(&(*tag, *id)) {
            found.note(format!("{object}: it was forgotten; the next `vault forget` takes it away"));
            continue;
        }
        if *len == 0 && found.repo.is_on_its_way(id)? {
            on_its_way(&object_name(tag, id));
            continue;
        }
        match found.repo.read_snapshot(tag, id) {
            Ok(listed) => {
                let snapshot = listed.snapshot;
                stand_ins.extend(snapshot.repaired_from());
                series_of.entry(*tag).or_insert_with(|| snapshot.series.clone());
                if let Some(previous) = snapshot.head.previous {
                    predecessors.push((*tag, previous, format!("snapshot {}", snapshot.head.sequence)));
                }
                let label = format!("{}@{}", snapshot.series, id.short());
                let sources = snapshot.sources.into_iter().map(|source| source.root).collect();
                let (series, time) = (snapshot.series, snapshot.head.time.sec);
                roots.push(Root { label, object, series, id: *id, time, sources });
            }
            // Forgotten since it was listed.
            Err(Error::Missing { .. }) if found.repo.prove_forgotten(tag, id).is_ok() => {}
            Err(error) => unreadable.push((*tag, *id, found.judge(&object, error)?)),
        }
    }
    // The oldest first: what a snapshot has that the one before has not was written in one go, and is read so.
    roots.sort_by(|a, b| (&a.series, a.time, a.id).cmp(&(&b.series, b.time, b.id)));
    let there: HashSet<(SeriesTag, SnapshotId)> = names.iter().map(|(tag, id, _)| (*tag, *id)).collect();
    for ((tag, _), head) in &gone {
        if let Some(previous) = head.previous {
            predecessors.push((*tag, previous, format!("the tombstone of snapshot {}", head.sequence)));
        }
    }
    predecessors.sort();
    for (tag, id, after) in predecessors {
        if !there.contains(&(tag, id)) && !gone.contains_key(&(tag, id)) {
            if found.repo.is_on_its_way(&id)? {
                on_its_way(&object_name(&tag, &id));
                continue;
            }
            let what = format!("it is not in the store, but {after} of the series says that it came before");
            unreadable.push((tag, id, found.add(object_name(&tag, &id).as_str(), what)));
        }
    }
    for (tag, id, number) in unreadable {
        if stand_ins.contains(&id) {
            found.settle(number, "a snapshot that was made in its place has all of it");
            continue;
        }
        let series = series_of.get(&tag).map_or("", String::as_str);
        let time = found.repo.head_of_damaged(&object_name(&tag, &id)).map(|head| head.time.sec);
        found.lose_of(series, SnapshotLoss { whole: true, ..SnapshotLoss::new(id, time) });
        found.lose(number, || format!("{series}@{}", id.short()), 1);
    }
    marks::annotations(found, &there, &gone)?;
    marks::of_prune(found)?;
    Ok(roots)
}

/// What is in the store.
pub(super) struct Stored {
    /// The packs, and their lengths.
    pub(super) packs: HashMap<PackId, u64>,
    /// Markers of media, sidecars of parity, second copies.
    pub(super) beside: Vec<Entry>,
}

impl Stored {
    /// Lists the whole store; what is no object of the repository is a note.
    pub(super) fn list(found: &Findings<'_>) -> Result<Self> {
        let (mut packs, mut beside) = (HashMap::new(), Vec::new());
        found.repo.store().list("", &mut |entry| {
            let name = &entry.name;
            let class = naming::class(name.as_str());
            if let (Some((Class::Pack, Some(id))), "packs") =
                (class, name.as_str().split('/').next().unwrap_or_default())
            {
                packs.insert(PackId(id), entry.len);
            }
            let known = class.is_some() || name.as_str().starts_with(naming::DAMAGED);
            if !known {
                found.note(format!("{name}: no object of this repository, left alone"));
            }
            // Whoever reads these passes over names without bytes.
            if entry.len == 0 && class.is_some() && ["index/", "gone/"].iter().any(|of| name.as_str().starts_with(of)) {
                marks::hollow(found, name);
            }
            if class.is_some() && beside::Class::of(name).is_some() {
                beside.push(entry);
            }
            Ok(())
        })?;
        beside.sort();
        Ok(Stored { packs, beside })
    }
}

/// Packs that no index lists: harmless unless snapshots need what is in them.
pub(super) fn unlisted(found: &Findings<'_>, packs: &Packs, stored: &Stored) -> Result<()> {
    let mut needed = found.damage().unlisted.len();
    let index_damaged = found.damage().index.is_some();
    let mut unlisted: Vec<(&PackId, &u64)> = stored.packs.iter().filter(|(id, _)| !packs.lists(id)).collect();
    unlisted.sort();
    for (id, len) in unlisted {
        found.monitor.check()?;
        let name = pack::object_name(id);
        let mut held = 0;
        // A leftover may be cut short: that it cannot be read is no finding.
        if needed > 0
            && !index_damaged
            && let Ok(entry) = found.repo.read_directory(id)
        {
            let blobs = entry.directory.segments.iter().flat_map(|segment| &segment.blobs);
            let mut damage = found.damage();
            let held_here: Vec<[u8; 16]> = blobs
                .map(|blob| stem(&blob.id))
                .filter(|blob| matches!(damage.unlisted.get(blob), Some(None)))
                .collect();
            held = held_here.len();
            if held > 0 {
                let what = format!(
                    "no index object lists it, but snapshots need {held} of its blobs: an index object was lost, \
                     and can be made anew from the packs"
                );
                let number = found.add(name.as_str(), what);
                for blob in held_here {
                    damage.unlisted.insert(blob, Some(number));
                }
            }
            needed = needed.saturating_sub(held);
        }
        if held == 0 {
            found.note(format!(
                "{name}: no index object lists it ({len} bytes): a harmless leftover of an interrupted run, or of one that \
                 is under way"
            ));
        }
    }
    let mut damage = found.damage();
    if needed > 0 && !index_damaged {
        let what = format!("{needed} blobs that snapshots need are listed by no index object");
        damage.index = Some(found.add("index", what));
    }
    Ok(())
}
