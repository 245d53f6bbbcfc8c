//! Covers what is not covered yet.

use super::{Listing, each_set, encode, is_in_sets, list, mirror, put_aside};
use crate::{
    error::Result,
    monitor::{Counter, Monitor, Phase},
    parity::{self, Percent, Set},
    repo::Repository,
    store::{ObjectName, Store},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is to be added.
#[derive(Debug, Clone)]
pub struct Request {
    /// How much parity new sidecars get.
    pub percent: Percent,
    /// Keep second copies of all but data packs; else of key slots alone.
    pub mirror: bool,
    /// What sidecars and second copies have and the store has not was removed on purpose, by a prune: they need not be able to bring it
    /// back. Without this, they stay.
    pub drop_missing: bool,
    /// Sidecars that are damaged: what they cover is covered anew, then they go.
    pub replace: BTreeSet<ObjectName>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added {
    /// Sidecars that were made.
    pub sidecars: u64,
    /// Objects in them.
    pub objects: u64,
    /// Bytes of these objects.
    pub bytes: u64,
    /// Bytes of the new sidecars.
    pub parity_bytes: u64,
    /// Sidecars that went: others cover what is left of their objects.
    pub removed: u64,
    /// Second copies that were made.
    pub mirrored: u64,
    /// Their bytes.
    pub mirrored_bytes: u64,
    /// Second copies that went, of objects that are no more.
    pub unmirrored: u64,
    /// Objects that sidecars cover and that are not in the store.
    pub missing: u64,
    /// Objects that are not what their names say, or cannot be read, with the reason: nothing covers what is damaged already.
    pub unfit: Vec<(String, String)>,
}

/// Objects of a set that are not there, and whether it could bring much else back.
pub(super) struct Strength {
    pub(super) missing: Vec<ObjectName>,
    /// The share of each group's recovery sectors, in the worst group, that missing objects would take.
    pub(super) taken: f64,
}

/// What absent objects leave of a set. Objects that are there count as whole.
pub(super) fn strength(set: &Set, there: &BTreeMap<ObjectName, u64>) -> Strength {
    let (layout, geometry) = (&set.layout, set.layout.geometry());
    let mut lost = vec![0u32; geometry.groups as usize];
    let mut missing = Vec::new();
    for (number, object) in layout.table.objects.iter().enumerate() {
        if there.contains_key(&object.name) {
            continue;
        }
        missing.push(object.name.clone());
        for sector in layout.range(number) {
            if let Some(lost) = lost.get_mut((sector % geometry.groups) as usize) {
                *lost += 1;
            }
        }
    }
    let worst = lost.into_iter().max().unwrap_or(0);
    Strength { missing, taken: f64::from(worst) / f64::from(geometry.recovery) }
}

/// Beyond this share of its recovery sectors a set is weak: what is left of it is covered anew.
pub(super) const WEAK: f64 = 0.25;

/// Makes sidecars for all objects that no strong one covers, and second copies when asked. May be interrupted at any time: a sidecar that is stored
/// counts, and the next run goes on with the rest.
///
/// Fails when the store as a whole does; an object that is damaged is left out and told.
pub fn add(store: &dyn Store, request: &Request, monitor: &dyn Monitor) -> Result<Added> {
    monitor.phase(Phase::Opening);
    let repo = Repository::identify(store)?;
    let listing = list(store)?;
    let mut out = Added::default();
    let (mut strong, mut weak) = (BTreeSet::new(), Vec::new());
    let mut missing = BTreeSet::new();
    let replace = |name: &ObjectName| request.replace.contains(name);
    each_set(
        store,
        &listing.sidecars,
        repo,
        parity::glance,
        &mut |entry, why| {
            monitor.problem(&format!("{}: {why}; see `vault repair`", entry.name));
        },
        &mut |entry, set| {
            monitor.check()?;
            let found = strength(&set, &listing.objects);
            missing.extend(found.missing.iter().cloned());
            let names = set.layout.table.objects.iter().map(|object| object.name.clone());
            // One that was cut short has lost recovery sectors, whatever its table says.
            let is_cut = entry.len != set.layout.geometry().file_len();
            if found.taken > WEAK || is_cut || replace(&entry.name) {
                weak.push((entry.name.clone(), !found.missing.is_empty(), names.collect::<Vec<_>>()));
            } else {
                strong.extend(names);
            }
            Ok(())
        },
    )?;
    out.missing = missing.len() as u64;

    monitor.phase(Phase::Storing);
    let made = cover(store, repo, request, &listing, &mut strong, &mut out, monitor)?;
    mirror::copy(store, &listing, !request.mirror, &mut out, monitor)?;
    store.sync()?;

    monitor.phase(Phase::Removing);
    for (name, has_missing, objects) in weak {
        let is_needed = objects.iter().any(|object| listing.objects.contains_key(object) && !strong.contains(object));
        // It may be all that can bring the missing ones back.
        if !made.contains(&name) && !is_needed && (!has_missing || request.drop_missing) {
            store.remove(&name)?;
            out.removed += 1;
        }
    }
    // Of a sidecar that tells nothing any more there is nothing to be had.
    let untold = request
        .replace
        .iter()
        .filter(|name| !made.contains(*name) && listing.sidecars.iter().any(|entry| entry.name == **name));
    for name in untold {
        if matches!(parity::open(store, name, repo), Err(crate::error::Error::Corrupt { .. })) {
            // It may only be that nothing can be read just now.
            put_aside(store, name, name)?;
            out.removed += 1;
        }
    }
    if request.drop_missing {
        mirror::drop_missing(store, &listing, &mut out)?;
    }
    store.sync()?;
    Ok(out)
}

/// Covers what `strong` does not have, and adds it; gives the names of the new sidecars.
fn cover(
    store: &dyn Store,
    repo: crate::id::RepoId,
    request: &Request,
    listing: &Listing,
    strong: &mut BTreeSet<ObjectName>,
    out: &mut Added,
    monitor: &dyn Monitor,
) -> Result<BTreeSet<ObjectName>> {
    let mut made = BTreeSet::new();
    let mut open: VecDeque<(ObjectName, u64)> = listing
        .objects
        .iter()
        .filter(|(name, len)| **len > 0 && is_in_sets(name.as_str()) && !strong.contains(*name))
        .map(|(name, len)| (name.clone(), *len))
        .collect();
    monitor.expect(Counter::Objects, open.len() as u64);
    monitor.expect(Counter::Stored, open.iter().map(|(_, len)| len).sum());
    for (name, _) in listing.objects.iter().filter(|(_, len)| **len == 0) {
        unfit(out, name, "it is empty", monitor);
    }
    while let Some(first) = open.pop_front() {
        let mut batch = vec![first];
        let (mut shards, most) = (batch.iter().map(|(_, len)| parity::sectors(*len)).sum::<u64>(), OBJECTS_MAX);
        let target = u64::from(parity::set_shards(request.percent));
        while let Some((_, len)) = open.front()
            && shards + parity::sectors(*len) <= target
            && batch.len() < most
            && let Some(next) = open.pop_front()
        {
            shards += parity::sectors(next.1);
            batch.push(next);
        }
        // What turns out to be damaged is left out, and the rest begun again.
        while !batch.is_empty() {
            match encode::encode(store, repo, &batch, request, monitor)? {
                encode::Made::Stored { name, len } => {
                    made.insert(name);
                    out.sidecars += 1;
                    out.objects += batch.len() as u64;
                    out.bytes += batch.iter().map(|(_, len)| len).sum::<u64>();
                    out.parity_bytes += len;
                    strong.extend(batch.drain(..).map(|(name, _)| name));
                    // Whoever is interrupted from here on begins with the next.
                    store.sync()?;
                }
                encode::Made::Unfit { name, why, gone } => {
                    batch.retain(|(other, _)| *other != name);
                    if !gone {
                        unfit(out, &name, &why, monitor);
                    }
                }
            }
        }
    }
    Ok(made)
}

/// Objects of one set, at most: their names are to stay a small part of the table.
const OBJECTS_MAX: usize = 65_536;

fn unfit(out: &mut Added, name: &ObjectName, why: &str, monitor: &dyn Monitor) {
    monitor.problem(&format!("{name}: {why}; it is not covered: see `vault repair`"));
    out.unfit.push((name.to_string(), why.to_owned()));
}
