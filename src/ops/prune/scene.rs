//! What lies in the store: steps V1 to V6 of `format-spec/12-prune.md`, in their order.

use crate::{
    error::{Error, Result},
    id::{IndexId, PackId, SeriesTag, SnapshotId},
    index::{BlobIndex, Source},
    keys::Role,
    model::snapshot::Snapshot,
    monitor::Monitor,
    object::{self, HEADER_LEN, Kind},
    ops::naming,
    pack,
    repo::{
        Listed, Repository,
        gc::{Damaged, Notes},
        session::Stay,
        snapshots::object_name,
    },
    series::Series,
    store::ObjectName,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Odd names that are told of.
const ODD_MAX: usize = 20;

pub(super) const NO_SNAPSHOTS: &str = "there are no snapshots, and no tombstones of forgotten ones: nothing is pruned. They may be lost; \
     if there never were any, remove the repository";

/// What lies in the store.
pub(super) struct Scene {
    /// The time by the store's clock, or by this machine's.
    pub now: i64,
    /// Sessions and intents.
    pub stays: Vec<Stay>,
    /// Notes of prune.
    pub notes: Notes,
    /// Sessions, intents and notes whose bytes are lost, from times when nobody was at work who is now.
    pub damaged: Vec<ObjectName>,
    /// Names without bytes: the power went before these came, and so before anybody relied on them.
    pub hollow: Vec<ObjectName>,
    /// These, and those that the store could not read.
    pub passed_over: Vec<ObjectName>,
    /// Snapshots that are there and were not forgotten; by series, oldest first.
    pub snapshots: Vec<Listed>,
    /// Snapshots that were forgotten and are still in the store.
    pub leftovers: Vec<(SeriesTag, SnapshotId)>,
    /// Everything that was forgotten.
    pub gone: BTreeSet<(SeriesTag, SnapshotId)>,
    /// The index objects.
    pub sources: Vec<Source>,
    /// What they list.
    pub index: BlobIndex,
    /// The packs in the store, with their lengths.
    pub packs: HashMap<PackId, u64>,
    /// Those of them that no index object lists and that are this repository's.
    pub unlisted: BTreeMap<PackId, u64>,
}

/// Sessions and intents.
#[derive(Default)]
pub(super) struct Stays {
    pub stays: Vec<Stay>,
    /// What cannot be read.
    pub damaged: Vec<Damaged>,
    /// Names without bytes.
    pub hollow: Vec<ObjectName>,
}

/// Sessions and intents, and what of them cannot be read.
pub(super) fn stays(repo: &Repository, monitor: &dyn Monitor) -> Result<Stays> {
    let mut out = Stays::default();
    for stay in repo.stays(monitor)? {
        match stay {
            Stay::Damaged(one) => out.damaged.push(one),
            Stay::Hollow(name) => out.hollow.push(name),
            stay => out.stays.push(stay),
        }
    }
    Ok(out)
}

impl Scene {
    /// Looks at everything. Fails when something cannot be read that might say what is needed. The index is not read again when it
    /// is the one of `before`.
    pub(super) fn look(repo: &Repository, before: Option<Scene>, alone: bool, monitor: &dyn Monitor) -> Result<Scene> {
        repo.keys().expect(Role::Maintainer, "open snapshots, which pruning does")?;
        let (now, _) = repo.store_time()?;
        let Stays { stays, mut damaged, mut hollow } = stays(repo, monitor)?;
        let mut notes = repo.notes()?;
        damaged.append(&mut notes.damaged);
        hollow.append(&mut notes.hollow);
        repo.pass_over(&damaged, alone, monitor)?;
        let passed_over = damaged.iter().map(|damaged| damaged.name.clone()).collect();
        let damaged = damaged.into_iter().filter(Damaged::is_lost).map(|damaged| damaged.name).collect();
        for folder in ["index/", "gone/"] {
            repo.store().list(folder, &mut |entry| {
                if entry.len == 0 && naming::class(entry.name.as_str()).is_some() {
                    hollow.push(entry.name);
                }
                Ok(())
            })?;
        }
        for (_, error) in &notes.foreign {
            monitor.note(&format!("{error}; it is left alone"));
        }
        let (snapshots, leftovers, gone) = snapshots(repo, monitor)?;
        monitor.check()?;
        let (sources, index) = match before {
            Some(before) if before.sources == sources_of(repo)? => (before.sources, before.index),
            _ => index(repo)?,
        };
        let packs = packs(repo, &mut hollow, monitor)?;
        if !packs.is_empty() && index.is_empty() {
            return Err(Error::refused(
                "the index is empty, and there are packs: nothing is pruned. The index may be lost; it can be made anew from the \
                 packs",
            ));
        }
        // The first one of all may be on its way, and its writer dead.
        let begun = stays.iter().any(|stay| matches!(stay, Stay::Intent { .. }));
        if !packs.is_empty() && snapshots.is_empty() && gone.is_empty() && !begun {
            return Err(Error::refused(NO_SNAPSHOTS));
        }
        let ids: Vec<PackId> = packs.keys().copied().collect();
        let mut unlisted = BTreeMap::new();
        for id in index.unlisted(ids.iter()) {
            if is_ours(repo, &id, monitor)? {
                unlisted.insert(id, packs.get(&id).copied().unwrap_or(0));
            }
        }
        Ok(Scene {
            now,
            stays,
            notes,
            damaged,
            hollow,
            passed_over,
            snapshots,
            leftovers,
            gone,
            sources,
            index,
            packs,
            unlisted,
        })
    }

    /// True for a snapshot of which a tombstone proves that it was forgotten.
    pub(super) fn is_gone(&self, repo: &Repository, tag: &SeriesTag, id: &SnapshotId) -> bool {
        self.gone.contains(&(*tag, *id)) && repo.prove_forgotten(tag, id).is_ok()
    }

    /// An index object without bytes.
    pub(super) fn hollow_index(&self) -> Option<&ObjectName> {
        self.hollow.iter().find(|name| name.folder() == "index")
    }

    /// A snapshot that another names as the one before, and that is neither there nor forgotten.
    pub(super) fn gap(&self, repo: &Repository) -> Option<(String, SnapshotId)> {
        let mut there: HashSet<SnapshotId> = self.snapshots.iter().map(|listed| listed.id).collect();
        there.extend(self.snapshots.iter().filter_map(|listed| listed.snapshot.repaired_from()));
        self.snapshots.iter().find_map(|listed| {
            let previous = listed.snapshot.head.previous.filter(|previous| !there.contains(previous))?;
            let series = Series::parse(&listed.snapshot.series).ok()?;
            let tag = repo.keys().series_tag(&series);
            let label = format!("{}@{}", listed.snapshot.series, listed.id.short());
            (!self.is_gone(repo, &tag, &previous)).then_some((label, previous))
        })
    }
}

/// The index objects in the store, sorted.
fn sources_of(repo: &Repository) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    repo.store().list("index/", &mut |entry| {
        if let Ok(id) = IndexId::parse(entry.name.leaf())
            && entry.len > 0
        {
            sources.push(Source { id, len: entry.len });
        }
        Ok(())
    })?;
    sources.sort_unstable_by_key(|source| source.id);
    Ok(sources)
}

/// Reads the index, whatever tables of it there are already: what is removed hangs on it.
fn index(repo: &Repository) -> Result<(Vec<Source>, BlobIndex)> {
    let (index, unreadable) = repo.load_index(true)?;
    if let Some((object, error)) = unreadable.into_iter().next() {
        return Err(match error {
            Error::Missing { .. } => Error::refused(
                "index objects come and go while they are read: another prune is under way; run it again",
            ),
            error => Error::corrupt(
                object,
                format!("it cannot be read ({error}): nothing is pruned before the index is whole; see `vault check`"),
            ),
        });
    }
    let mut sources: Vec<Source> = index.runs().iter().flat_map(|run| run.sources().collect::<Vec<_>>()).collect();
    sources.sort_unstable_by_key(|source| source.id);
    Ok((sources, index))
}

type Found = (Vec<Listed>, Vec<(SeriesTag, SnapshotId)>, BTreeSet<(SeriesTag, SnapshotId)>);

fn snapshots(repo: &Repository, monitor: &dyn Monitor) -> Result<Found> {
    let found = repo.snapshots(None)?;
    for (_, error) in &found.doubtful {
        monitor.problem(&format!("{error}; it hides nothing"));
    }
    // The object of a snapshot that another was made in the place of, in the same series: all that could be had of it is needed there.
    let stand_ins: HashSet<String> =
        found.listed.iter().filter_map(|listed| stands_for(repo, &listed.snapshot)).collect();
    for (object, error) in found.unreadable {
        return Err(match error {
            Error::Corrupt { .. } if stand_ins.contains(&object) => {
                monitor.note(&format!("{error}; a snapshot that was made in its place is there"));
                continue;
            }
            // Somebody forgets at the same time.
            Error::Missing { .. } => Error::refused(format!("{object} went away while it was read: run it again")),
            Error::Corrupt { what, .. } => Error::corrupt(
                object,
                format!("{what}: nothing is pruned as long as it is there; see `vault check`, or forget it"),
            ),
            error => error,
        });
    }
    // Read after the snapshots: what is forgotten meanwhile has its tombstone before it goes.
    Ok((found.listed, found.leftovers, repo.tombstone_names(None)?))
}

/// The object of the damaged snapshot that this one was made in the place of.
fn stands_for(repo: &Repository, snapshot: &Snapshot) -> Option<String> {
    let (from, series) = (snapshot.repaired_from()?, Series::parse(&snapshot.series).ok()?);
    Some(object_name(&repo.keys().series_tag(&series), &from).to_string())
}

/// The packs in the store, but for those without bytes; what else lies among them is told of.
fn packs(repo: &Repository, hollow: &mut Vec<ObjectName>, monitor: &dyn Monitor) -> Result<HashMap<PackId, u64>> {
    let (mut packs, mut odd) = (HashMap::new(), Vec::new());
    repo.store().list("packs/", &mut |entry| {
        match PackId::parse(entry.name.leaf()) {
            Ok(id) if pack::object_name(&id) == entry.name && entry.len == 0 => hollow.push(entry.name),
            Ok(id) if pack::object_name(&id) == entry.name => drop(packs.insert(id, entry.len)),
            _ if odd.len() < ODD_MAX => odd.push(entry.name),
            _ => {}
        }
        Ok(())
    })?;
    let tell = |name: &ObjectName| monitor.note(&format!("{name}: no object of this repository, left alone"));
    odd.iter().for_each(tell);
    Ok(packs)
}

/// True for a pack that some writer of this repository has stored. What is not is told of and left alone.
fn is_ours(repo: &Repository, id: &PackId, monitor: &dyn Monitor) -> Result<bool> {
    let name = pack::object_name(id);
    let mut header = [0; HEADER_LEN];
    match repo.store().get_range(&name, 0, &mut header) {
        Ok(()) => {}
        Err(Error::Missing { .. }) => return Ok(false),
        Err(Error::Corrupt { .. }) => {
            monitor.note(&format!("{name}: too short for a pack of this repository, left alone"));
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    let expect = |kind| object::expect_header(&header, kind, repo.keys().repo(), &name);
    match expect(Kind::DataPack).or_else(|_| expect(Kind::TreePack)) {
        Ok(()) => Ok(true),
        Err(Error::Corrupt { .. }) => {
            monitor.note(&format!("{name}: no pack of this repository, left alone"));
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
