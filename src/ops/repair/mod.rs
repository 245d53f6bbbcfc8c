//! Brings back what can be brought back. Only ever adds: index objects, packs, snapshots; nothing is changed or removed but damaged
//! objects, which are put aside when a whole one takes their place.
//!
//! ```text
//! whole       what second copies and parity have → byte for byte, in its old place (the damaged one is put aside)
//! index       packs that no index object lists  → listed, by their own directories
//! packs       whole segments of damaged packs   → verbatim into new packs       + a mark: nobody relies on the damaged ones
//!             what is missing                   → fetched from another repository with the same keys
//! snapshots   of which something is lost        → a snapshot of the rest beside each, which names what is lost
//!             that are damaged or gone          → fetched from the other repository
//! ```
//!
//! Each part finds out what is to be done, which a dry run tells, and then does it. A removed pack never returns under its name:
//! what is fetched comes in new packs. A second repair finds nothing to do.

mod health;
mod index;
mod objects;
mod packs;
mod snapshots;
mod survey;
#[cfg(test)]
mod tests;
mod whole;

pub use index::Index;
pub use packs::{DamagedPack, Packs};
pub use snapshots::Repaired;

use crate::{
    error::{Error, Result},
    hash::object_name,
    id::{BlobId, IndexId, PackId},
    index::{BlobIndex, Source},
    keys::Role,
    monitor::{Monitor, Phase},
    ops::parity::Mending,
    repo::{BlobReader, Repository, mover::Mover, snapshots::object_name as object_name_of},
    world::random,
};
use health::{Catalog, Health, Sound};
use packs::Moves;
use std::collections::HashSet;

/// What is to be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct What {
    /// The index.
    pub index: bool,
    /// Packs.
    pub packs: bool,
    /// Snapshots.
    pub snapshots: bool,
}

/// A repair.
pub struct Request<'a> {
    /// Of what.
    pub what: What,
    /// A replica, or a copy with the same keys, to fetch from.
    pub from: Option<&'a Repository>,
    /// Read all packs whole, to find all damage. Else those are read that this client found damaged before, and those whose
    /// length, header, directory or footer is wrong.
    pub read_data: bool,
    /// The machine that does it.
    pub host: &'a str,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
}

/// What came of it, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What second copies and parity brought back.
    pub whole: Mending,
    /// The index, when it was to be repaired.
    pub index: Option<Index>,
    /// Packs, when they were to be repaired.
    pub packs: Option<Packs>,
    /// Snapshots of which something is lost, or that cannot be read, when they were to be repaired.
    pub snapshots: Option<Vec<Repaired>>,
}

impl Report {
    /// True when there was nothing that could be done.
    pub fn is_idle(&self) -> bool {
        let index = self.index.as_ref().is_none_or(|index| index.listed == 0);
        let packs = self.packs.as_ref().is_none_or(|packs| packs.moved + packs.fetched + packs.marked == 0);
        self.whole.is_idle() && index && packs && !self.snapshots.iter().flatten().any(|one| one.made)
    }

    /// Things that this repair could not bring back.
    pub fn shortfall(&self) -> u64 {
        // Whether somebody needs what is in them shows in the snapshots.
        let unusable = match (&self.index, &self.snapshots) {
            (Some(index), None) => index.unusable.len() as u64,
            _ => 0,
        };
        let missing = self.packs.as_ref().map_or(0, |packs| packs.missing);
        let lost = self.snapshots.iter().flatten().filter(|one| one.is_short()).count() as u64;
        // Those of packs show in what is missing, of snapshots in what is lost; an index is made anew of the packs.
        let is_told = |name: &str| match name.split('/').next() {
            Some("packs") => true,
            Some("index") => self.index.is_some(),
            Some("snapshots") => self.snapshots.is_some(),
            _ => false,
        };
        let whole = self.whole.lost.iter().filter(|(name, _)| !is_told(name)).count() as u64;
        unusable + missing + lost + whole
    }
}

/// Another repository to fetch from.
struct Donor<'a> {
    repo: &'a Repository,
    index: &'a BlobIndex,
}

impl Donor<'_> {
    fn catalog(&self) -> Catalog<'_> {
        Catalog { repo: self.repo, index: self.index, pending: &[] }
    }
}

/// Repairs. Needs a key that opens snapshots; contents of files are only looked at with one that opens them.
///
/// Fails when a store as a whole does, or with [`Error::Unsupported`] at an object of a newer format. What was added by a run that
/// failed is found by the next.
pub fn repair(repo: &Repository, request: &Request<'_>, monitor: &dyn Monitor) -> Result<Report> {
    repo.keys().expect(Role::Maintainer, "open snapshots, which a repair does")?;
    monitor.phase(Phase::Opening);
    let there = match request.from {
        Some(from) => Some((from, donor_index(repo, from, monitor)?)),
        None => None,
    };
    let donor = there.as_ref().map(|(repo, index)| Donor { repo, index });
    let donor = donor.as_ref();
    let mut report = Report { whole: whole::mend(repo, request, monitor)?, ..Report::default() };
    // What a dry run would have made whole is left out of what follows.
    let coming_whole: HashSet<String> = match request.dry_run {
        true => report.whole.mended.iter().map(|one| one.object.clone()).collect(),
        false => HashSet::new(),
    };
    // Listed before the index is read, so that all they refer to is in it.
    let mut found = objects::find(repo, donor)?;
    found.unreadable.retain(|one| !coming_whole.contains(object_name_of(&one.tag, &one.id).as_str()));

    let (index, unreadable) = repo.load_index(true)?;
    let mut pending = Vec::new();
    if request.what.index {
        monitor.phase(Phase::Planning);
        let mut out = repair_index(repo, &index, donor, request, &mut pending, monitor)?;
        out.unreadable = unreadable.iter().map(|(object, error)| (object.clone(), error.to_string())).collect();
        report.index = Some(out);
    } else {
        for (object, error) in &unreadable {
            monitor.problem(&format!("{object}: {error}; see `vault repair index`"));
        }
    }

    let catalog = Catalog { repo, index: &index, pending: &pending };
    let mut coming = HashSet::new();
    let mut health = Health { bad: Default::default(), read: 0 };
    if request.what.packs || request.what.snapshots {
        monitor.phase(Phase::Verifying);
        health = Health::examine(&catalog, request.read_data, monitor)?;
        health.bad.retain(|id, _| !coming_whole.contains(crate::pack::object_name(id).as_str()));
    }
    if request.what.packs {
        let (packs, covered) = repair_packs(&catalog, &health, donor, &found, request.dry_run, monitor)?;
        report.packs = Some(packs);
        if request.dry_run {
            coming = covered;
        }
    }
    let missing = report.packs.as_ref().is_none_or(|packs| packs.missing > 0);
    if request.what.snapshots && missing && health.bad.values().any(|bad| !bad.told) {
        // What may be whole is not to be called lost.
        monitor.problem(
            "snapshots are left as they are: of damaged packs this key cannot tell what is whole; repair them with an owner's key",
        );
    } else if request.what.snapshots && !coming_whole.is_empty() {
        // Their trees may lie in what is not there yet.
        monitor.note("which snapshots would still lack something shows when what comes back whole is back");
    } else if request.what.snapshots {
        monitor.phase(Phase::Planning);
        let mut sound = Sound::new(&index, &health);
        sound.coming = coming;
        let from = donor.filter(|_| request.dry_run && request.what.packs);
        let repaired = snapshots::repair(repo, &sound, from, found, request, monitor)?;
        report.snapshots = Some(repaired);
    }
    if !request.dry_run {
        // What a run that was killed has added was found; now it lasts.
        repo.store().sync()?;
    }
    Ok(report)
}

/// The index of the repository that is fetched from, which must have the same keys.
fn donor_index(repo: &Repository, from: &Repository, monitor: &dyn Monitor) -> Result<BlobIndex> {
    let probe = |repo: &Repository| repo.namer().name(crate::hash::BlobKind::Data, b"same keys?");
    if repo.keys().repo() != from.keys().repo() || probe(repo) != probe(from) {
        return Err(Error::usage(format!(
            "{} is a repository of its own: only a replica, or a copy with the same keys, can be repaired from",
            from.store().place()
        )));
    }
    let (index, unreadable) = from.load_index(true)?;
    for (object, error) in unreadable {
        monitor.problem(&format!("{}: {object}: {error}", from.store().place()));
    }
    Ok(index)
}

fn repair_index(
    repo: &Repository,
    index: &BlobIndex,
    donor: Option<&Donor<'_>>,
    request: &Request<'_>,
    pending: &mut Vec<PackId>,
    monitor: &dyn Monitor,
) -> Result<Index> {
    let mut damaged = Vec::new();
    if request.dry_run {
        // Known to this run only: its table stands for an object that there is not, and goes with the next look.
        return index::each_unlisted(repo, index, donor, request.read_data, monitor, &mut |entry| {
            let id = IndexId(object_name(&random::<32>(repo.entropy())?));
            pending.push(entry.id);
            index.absorb(Source { id, len: 0 }, &[entry])
        });
    }
    let mut mover = Mover::new(repo, index, monitor);
    let out = index::each_unlisted(repo, index, donor, request.read_data, monitor, &mut |entry| {
        if repo.read_directory(&entry.id).is_err() {
            damaged.push(entry.id);
        }
        mover.list(entry)
    })?;
    mover.finish()?;
    // Whoever moves what is in them marks them then.
    if !request.what.packs {
        repo.mark(damaged)?;
    }
    Ok(out)
}

fn repair_packs(
    catalog: &Catalog<'_>,
    health: &Health,
    donor: Option<&Donor<'_>>,
    found: &objects::Found,
    dry_run: bool,
    monitor: &dyn Monitor,
) -> Result<(Packs, HashSet<BlobId>)> {
    let Catalog { repo, index, .. } = *catalog;
    monitor.phase(Phase::Planning);
    let sound = Sound::new(index, health);
    // What snapshots need and nothing lists any more can only come from elsewhere.
    let wanted = match donor {
        Some(donor) => {
            let (here, there) = (BlobReader::new(repo, index), BlobReader::new(donor.repo, donor.index));
            let pages = survey::Pages::new(&here, Some(&there));
            survey::survey(repo, &pages, &sound, found.all(), monitor)?.wanted
        }
        None => HashSet::new(),
    };
    let named = repo.notes()?.named();
    let moves = Moves { here: catalog, health, sound: &sound, donor, named: &named, monitor };
    monitor.phase(Phase::Storing);
    let to_mark: Vec<_> =
        health.bad.iter().filter(|(id, bad)| !bad.gone && !named.contains(*id)).map(|(id, _)| *id).collect();
    let mut moved = if dry_run {
        moves.each(&wanted, &mut |_, _| Ok(()))?
    } else {
        let mut mover = Mover::new(repo, index, monitor);
        let moved = moves.each(&wanted, &mut |kind, sealed| mover.take(kind, sealed))?;
        mover.finish()?;
        moved
    };
    moved.packs.marked = to_mark.len() as u64;
    if !dry_run {
        repo.mark(to_mark)?;
    }
    Ok((moved.packs, moved.covered))
}
