//! Damaged objects made whole again, byte for byte, each proved by its hash before it takes its place.

use super::{
    InPlace, Listing, Sectors, StoreSectors, each_set, is_as_named, is_in_sets, list, mirror, mirror_name,
    put_in_place,
    rebuild::{Rebuilt, Verdict, examine, rebuild},
    waiting_name,
};
use crate::{
    error::{Error, Result},
    hash::ObjectHasher,
    id::RepoId,
    monitor::{Monitor, Phase},
    ops::naming::{self, Class},
    parity::{Covered, Percent, SECTOR, Set},
    repo::Repository,
    store::{ObjectName, Store},
};
use std::collections::{BTreeMap, BTreeSet};

/// How much is read to find damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Examine {
    /// All objects and sidecars, whole.
    All,
    /// Of packs their lengths and both ends, and those that are named in the request; of all else everything.
    Looks,
    /// What is named in the request.
    Named,
    /// What a repository cannot be opened without: configuration and key slots.
    Entrance,
}

/// What is to be mended.
pub struct Request<'a> {
    /// How much is read.
    pub examine: Examine,
    /// Objects that are known to be damaged, or to be missing though they should be there.
    pub named: &'a BTreeSet<ObjectName>,
    /// Which names are to be mended at all.
    pub wants: &'a dyn Fn(&str) -> bool,
    /// Bring back all that is not there, but what was forgotten: for a store that nobody else works on. Otherwise only what nobody removes: configuration,
    /// tombstones, snapshots without one, the last key slots, and what is named.
    pub all_missing: bool,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
}

static NONE: BTreeSet<ObjectName> = BTreeSet::new();

impl Request<'_> {
    /// Mends whatever is found damaged, with nothing known beforehand.
    pub fn new(examine: Examine) -> Self {
        Request { examine, named: &NONE, wants: &|_| true, all_missing: false, dry_run: false }
    }
}

/// An object that was made whole, or would be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mended {
    /// Its name.
    pub object: String,
    /// Its length in bytes.
    pub len: u64,
    /// Sectors of it that parity brings back; `None` when its second copy is taken.
    pub sectors: Option<u64>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Sidecars that could be read.
    pub sidecars: u64,
    /// What was made whole.
    pub mended: Vec<Mended>,
    /// Covered objects of which too much is lost, with how much.
    pub lost: Vec<(String, String)>,
    /// Sidecars that are damaged: to be made anew.
    pub damaged_sidecars: BTreeSet<ObjectName>,
    /// Second copies that were damaged, and made anew.
    pub mirrored: u64,
    /// The most parity that any sidecar has.
    pub percent: Option<Percent>,
}

impl Report {
    /// True when there was nothing that could be done.
    pub fn is_idle(&self) -> bool {
        self.mended.is_empty() && self.damaged_sidecars.is_empty() && self.mirrored == 0
    }
}

/// Makes whole what second copies and parity can.
///
/// Fails when the store as a whole does, or is full. Nothing is removed before what takes its place is durable.
pub fn mend(store: &dyn Store, request: &Request<'_>, monitor: &dyn Monitor) -> Result<Report> {
    monitor.phase(Phase::Verifying);
    let listing = list(store)?;
    let mut out = Report::default();
    if listing.sidecars.is_empty() && listing.mirrored.is_empty() {
        return Ok(out);
    }
    let Some(repo) = whose(store, &listing)? else { return Ok(out) };
    let mut run = Run { store, request, listing: &listing, monitor, done: BTreeSet::new(), short: BTreeMap::new() };
    run.second_copies(repo, &mut out)?;
    let mut bad = BTreeSet::new();
    each_set(
        store,
        &listing.sidecars,
        repo,
        crate::parity::open,
        &mut |entry, why| {
            monitor.problem(&format!("{}: {why}", entry.name));
            bad.insert(entry.name.clone());
        },
        &mut |entry, set| {
            monitor.check()?;
            if entry.len != set.layout.geometry().file_len() {
                out.damaged_sidecars.insert(entry.name.clone());
            }
            out.sidecars += 1;
            out.percent = out.percent.max(Some(set.layout.block.percent));
            run.set(&set, &mut out)
        },
    )?;
    out.damaged_sidecars.append(&mut bad);
    if !request.dry_run {
        store.sync()?;
    }
    out.mended.sort();
    out.lost = std::mem::take(&mut run.short).into_iter().map(|(name, why)| (name.to_string(), why)).collect();
    Ok(out)
}

/// The repository that a store is, also when its configuration is damaged; `None` when nothing tells.
pub(in crate::ops) fn whose_store(store: &dyn Store) -> Result<Option<RepoId>> {
    match whose(store, &list(store)?) {
        // A medium that fails does so here first; what can be had of it comes all the same.
        Err(Error::Store { .. }) => Ok(None),
        found => found,
    }
}

/// The repository, also when its configuration is damaged: by its second copy or any sidecar.
fn whose(store: &dyn Store, listing: &Listing) -> Result<Option<RepoId>> {
    let wrong = match Repository::identify(store) {
        Ok(repo) => return Ok(Some(repo)),
        // Whatever is wrong with it: also a sector that cannot be read, or a version that is none.
        Err(error) => error,
    };
    for entry in &listing.sidecars {
        let mut read = |at: u64, out: &mut [u8]| store.get_range(&entry.name, at * SECTOR as u64, out).is_ok();
        if let Ok(block) = crate::parity::front_and_back(entry.len / SECTOR as u64, &mut read, &entry.name) {
            return Ok(Some(block.repo));
        }
    }
    let mut header = [0; crate::object::HEADER_LEN];
    for name in listing.mirrored.keys().filter_map(mirror_name) {
        if store.get_range(&name, 0, &mut header).is_ok()
            && let Ok((_, repo)) = crate::object::read_any_header(&header, &name)
        {
            return Ok(Some(repo));
        }
    }
    match wrong {
        Error::Corrupt { .. } | Error::NoRepository { .. } => Ok(None),
        wrong => Err(wrong),
    }
}

fn is_entrance(name: &ObjectName) -> bool {
    matches!(naming::class(name.as_str()), Some((Class::Config | Class::Slot, _)))
}

/// True when the first and the last sector of an object are what they were.
fn looks_whole(set: &Set, sectors: &InPlace<'_>, number: usize) -> bool {
    let Some(covered) = set.layout.table.objects.get(number) else { return true };
    let range = set.layout.range(number);
    let mut sector = vec![0; SECTOR];
    [0, covered.sectors().saturating_sub(1)].into_iter().all(|at| {
        sectors.object(covered, at, &mut sector);
        set.layout.table.data.get(range.start as usize + at as usize) == Some(&crate::parity::mark(&sector))
    })
}

struct Run<'a> {
    store: &'a dyn Store,
    request: &'a Request<'a>,
    listing: &'a Listing,
    monitor: &'a dyn Monitor,
    /// What is whole again.
    done: BTreeSet<ObjectName>,
    /// Of what too much is lost, as far as was seen.
    short: BTreeMap<ObjectName, String>,
}

impl Run<'_> {
    /// True for what is absent and should not be.
    fn is_lost(&self, name: &ObjectName) -> Result<bool> {
        let parts: Vec<&str> = name.as_str().split('/').collect();
        let forgotten = match parts[..] {
            ["snapshots", tag, id] => {
                let gone = ObjectName::of_parts(&["gone", tag, id]);
                self.listing.objects.contains_key(&gone) || self.store.stat(&gone)?.is_some()
            }
            _ => false,
        };
        if forgotten {
            return Ok(false);
        }
        if self.request.all_missing || self.request.named.contains(name) {
            return Ok(true);
        }
        // A mending was interrupted between both names.
        if self.listing.waiting.contains(name)
            && let Some(waiting) = waiting_name(name)
            && mirror::is_whole(self.store, &waiting, name)?
        {
            return Ok(true);
        }
        Ok(match naming::class(name.as_str()).map(|(class, _)| class) {
            Some(Class::Config | Class::Tombstone) => true,
            Some(Class::Sealed(_)) => parts.first() == Some(&"snapshots"),
            // A slot that was removed must not open the repository again.
            Some(Class::Slot) => !self.listing.objects.keys().any(|other| other.as_str().starts_with("keys/")),
            _ => false,
        })
    }

    /// What has a second copy. All of it is metadata, and read whole.
    fn second_copies(&mut self, repo: RepoId, out: &mut Report) -> Result<()> {
        for (name, len) in &self.listing.mirrored {
            self.monitor.check()?;
            if !(self.request.wants)(name.as_str()) {
                continue;
            }
            let is_asked_for = match self.request.examine {
                Examine::Named => self.request.named.contains(name),
                Examine::Entrance => is_entrance(name),
                Examine::All | Examine::Looks => true,
            };
            if !is_asked_for {
                continue;
            }
            let Some(second) = mirror_name(name) else { continue };
            let is_there = self.listing.objects.contains_key(name);
            if !is_there && !self.is_lost(name)? {
                continue;
            }
            if is_there && mirror::is_same(self.store, name, &second)? {
                continue;
            }
            let is_config = naming::class(name.as_str()).is_some_and(|(class, _)| class == Class::Config);
            // Its name does not tell which of both is right: a sidecar does.
            let right = if is_config { self.covered_sums(repo, name)? } else { BTreeSet::new() };
            let is_right = |of: &ObjectName| {
                let sum = mirror::proved_sum(self.store, of, name, &mut |_| Ok(()))?;
                Ok::<_, Error>(sum.is_some_and(|sum| right.is_empty() || right.contains(&sum)))
            };
            let whole = is_there && is_right(name)?;
            if whole && is_config && right.is_empty() {
                self.monitor.problem(&format!("{name} and {second} differ, and no sidecar tells which is right"));
                continue;
            }
            let from = if whole { name } else { &second };
            if self.request.dry_run {
                if !whole && !is_right(from)? {
                    continue;
                }
            } else {
                // Held against its name as it is copied: what was read before may not be what is read now.
                let Some(upload) = mirror::proved(self.store, from, name, &right)? else { continue };
                match whole {
                    true => {
                        self.store.remove(&second)?;
                        upload.finish(&second)?;
                    }
                    false => put_in_place(self.store, name, upload)?,
                }
            }
            if whole {
                out.mirrored += 1;
            } else {
                out.mended.push(Mended { object: name.to_string(), len: *len, sectors: None });
                self.done.insert(name.clone());
            }
        }
        Ok(())
    }

    /// What sidecars say an object's hash is.
    fn covered_sums(&self, repo: RepoId, name: &ObjectName) -> Result<BTreeSet<[u8; 32]>> {
        let mut out = BTreeSet::new();
        // Those that cannot be read are told when what they cover is looked at.
        each_set(self.store, &self.listing.sidecars, repo, crate::parity::glance, &mut |_, _| {}, &mut |_, set| {
            let objects = set.layout.table.objects.iter().filter(|object| object.name == *name);
            out.extend(objects.map(|object| object.sum));
            Ok(())
        })?;
        Ok(out)
    }

    /// Which objects of a set may be damaged, and are to be read.
    fn suspects(&self, set: &Set, sectors: &InPlace<'_>) -> Result<BTreeSet<usize>> {
        let mut out = BTreeSet::new();
        for (number, covered) in set.layout.table.objects.iter().enumerate() {
            let name = covered.name.as_str();
            if self.done.contains(&covered.name) || !is_in_sets(name) || !(self.request.wants)(name) {
                continue;
            }
            let named = self.request.named.contains(&covered.name);
            let is_suspect = match (self.listing.objects.get(&covered.name), self.request.examine) {
                (None, Examine::Named) => named && self.is_lost(&covered.name)?,
                (found, Examine::Entrance) => {
                    is_entrance(&covered.name) && (found.is_some() || self.is_lost(&covered.name)?)
                }
                (None, _) => self.is_lost(&covered.name)?,
                (Some(_), Examine::All) => true,
                (Some(_), Examine::Named) => named,
                (Some(len), Examine::Looks) => {
                    named
                        || *len != covered.len
                        || !covered.name.as_str().starts_with("packs/")
                        || !looks_whole(set, sectors, number)
                }
            };
            if is_suspect {
                out.insert(number);
            }
        }
        Ok(out)
    }

    fn set(&mut self, set: &Set, out: &mut Report) -> Result<()> {
        let layout = &set.layout;
        let sectors = StoreSectors::new(self.store, set);
        let in_place = InPlace(&sectors);
        let suspects = self.suspects(set, &in_place)?;
        let whole_set = self.request.examine == Examine::All;
        if suspects.is_empty() && !whole_set {
            return Ok(());
        }
        let found = examine(layout, &in_place, Some(&suspects), self.monitor)?;
        let is_damaged = |object: &usize| {
            let covered = layout.table.objects.get(*object);
            // One that is gone, and one that something was appended to.
            let differs = covered.is_some_and(|covered| self.listing.objects.get(&covered.name) != Some(&covered.len));
            differs || found.is_damaged(layout, *object)
        };
        let damaged: Vec<usize> = suspects.into_iter().filter(is_damaged).collect();
        let mut verdict = Verdict::default();
        if !damaged.is_empty() || whole_set {
            // The rest of the set counts too: absent objects, and damage that nobody asked about.
            verdict = examine(layout, &sectors, None, self.monitor)?;
        }
        if set.lost_blocks > 0 || !verdict.bad_recovery.is_empty() {
            out.damaged_sidecars.insert(set.name.clone());
        }
        let rebuilt = match self.request.dry_run || damaged.is_empty() {
            true => Rebuilt::new(),
            false => {
                self.monitor.phase(Phase::Storing);
                rebuild(layout, &sectors, &verdict, self.monitor)?
            }
        };
        for object in damaged {
            let Some(covered) = layout.table.objects.get(object) else { continue };
            let lost = verdict.bad.range(layout.range(object)).count() as u64;
            let is_mended = verdict.is_mendable(layout, object)
                && (self.request.dry_run || self.store_rebuilt(set, object, &sectors, &rebuilt)?);
            if is_mended {
                self.short.remove(&covered.name);
                self.done.insert(covered.name.clone());
                out.mended.push(Mended { object: covered.name.to_string(), len: covered.len, sectors: Some(lost) });
            } else {
                let why =
                    format!("{lost} of its {} sectors are lost, more than its parity makes up for", covered.sectors());
                self.short.insert(covered.name.clone(), why);
            }
        }
        Ok(())
    }

    /// Puts an object together from what is left of it and what was brought back. False when it does not come out right.
    fn store_rebuilt(&self, set: &Set, object: usize, sectors: &StoreSectors<'_>, rebuilt: &Rebuilt) -> Result<bool> {
        let Some(covered) = set.layout.table.objects.get(object) else { return Ok(false) };
        let Covered { name, len, sum } = covered;
        let range = set.layout.range(object);
        let (mut upload, mut hasher) = (self.store.upload()?, ObjectHasher::default());
        let mut bytes = Vec::new();
        let mut at = 0u64;
        let mut end = Vec::new();
        while at < covered.sectors() {
            self.monitor.check()?;
            let count = (covered.sectors() - at).min(256);
            bytes.resize(count as usize * SECTOR, 0);
            sectors.object(covered, at, &mut bytes);
            for (number, sector) in (range.start + at as u32..).zip(bytes.chunks_mut(SECTOR)) {
                if let Some(right) = rebuilt.get(&number) {
                    sector.copy_from_slice(right);
                }
            }
            let there = (len - at * SECTOR as u64).min(bytes.len() as u64) as usize;
            let part = bytes.get(..there).unwrap_or_default();
            hasher.update(part);
            upload.append(part)?;
            if *len <= crate::model::limits::MARK_MAX {
                end.extend_from_slice(part);
            }
            at += count;
        }
        let found = hasher.finish();
        if found != *sum || !is_as_named(name.as_str(), &found, || naming::ends_with_sum(&end)) {
            return Ok(false);
        }
        put_in_place(self.store, name, upload)?;
        Ok(true)
    }
}
