//! What is covered and how well; and all of it taken away.

use super::{add, each_set, is_slot, list};
use crate::{
    error::Result,
    monitor::Monitor,
    parity,
    repo::Repository,
    store::{ObjectName, Store},
};
use std::collections::BTreeSet;

/// What a store has in parity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Status {
    /// Objects that sidecars are for.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that a strong sidecar covers; of key slots those with a second copy.
    pub covered: u64,
    /// Their bytes.
    pub covered_bytes: u64,
    /// Sidecars.
    pub sidecars: u64,
    /// Their bytes.
    pub parity_bytes: u64,
    /// Sidecars that absent objects have weakened: what is left of them is to be covered anew.
    pub weak: u64,
    /// Sidecars of which the table has lost blocks, or that cannot be used at all, with what is wrong.
    pub damaged: Vec<(String, String)>,
    /// The least that any strong sidecar can bring back, in per cent of the sectors of one of its groups; `None` without any.
    pub least: Option<f64>,
    /// Objects that sidecars name and that are not in the store.
    pub missing: u64,
    /// Second copies.
    pub mirrored: u64,
    /// Their bytes.
    pub mirrored_bytes: u64,
    /// Damaged objects that were put aside.
    pub aside: u64,
    /// Their bytes.
    pub aside_bytes: u64,
}

/// Looks at sidecars' tables, names and lengths; reads no objects.
pub fn status(store: &dyn Store, monitor: &dyn Monitor) -> Result<Status> {
    let repo = Repository::identify(store)?;
    let listing = list(store)?;
    let mut out = Status {
        objects: listing.objects.len() as u64,
        bytes: listing.objects.values().sum(),
        sidecars: listing.sidecars.len() as u64,
        parity_bytes: listing.sidecars.iter().map(|entry| entry.len).sum(),
        mirrored: listing.mirrored.len() as u64,
        mirrored_bytes: listing.mirrored.values().sum(),
        aside: listing.aside.0,
        aside_bytes: listing.aside.1,
        ..Status::default()
    };
    let (mut covered, mut missing): (BTreeSet<ObjectName>, BTreeSet<ObjectName>) = Default::default();
    let mut damaged = Vec::new();
    each_set(
        store,
        &listing.sidecars,
        repo,
        parity::glance,
        &mut |entry, why| damaged.push((entry.name.to_string(), why)),
        &mut |entry, set| {
            monitor.check()?;
            let geometry = *set.layout.geometry();
            if set.lost_blocks > 0 {
                out.damaged.push((entry.name.to_string(), format!("{} blocks of its table are lost", set.lost_blocks)));
            } else if entry.len != geometry.file_len() {
                out.damaged.push((entry.name.to_string(), "it was cut short".into()));
            }
            let found = add::strength(&set, &listing.objects);
            missing.extend(found.missing);
            if found.taken > add::WEAK {
                out.weak += 1;
            } else {
                let left = f64::from(geometry.recovery) * (1.0 - found.taken);
                let share = left / f64::from(geometry.group_len(0)) * 100.0;
                out.least = Some(out.least.map_or(share, |least| least.min(share)));
                covered.extend(set.layout.table.objects.into_iter().map(|object| object.name));
            }
            Ok(())
        },
    )?;
    out.damaged.append(&mut damaged);
    // What covers a slot is its second copy.
    covered.extend(listing.mirrored.keys().filter(|name| is_slot(name.as_str())).cloned());
    for name in covered {
        if let Some(len) = listing.objects.get(&name) {
            out.covered += 1;
            out.covered_bytes += len;
        }
    }
    out.missing = missing.len() as u64;
    Ok(out)
}

/// What was taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Sidecars.
    pub sidecars: u64,
    /// Second copies.
    pub mirrored: u64,
    /// Bytes of both.
    pub bytes: u64,
}

/// Removes all sidecars and second copies.
pub fn remove(store: &dyn Store, monitor: &dyn Monitor) -> Result<Removed> {
    Repository::identify(store)?;
    let listing = list(store)?;
    let mut out = Removed::default();
    for entry in &listing.sidecars {
        monitor.check()?;
        store.remove(&entry.name)?;
        out.sidecars += 1;
        out.bytes += entry.len;
    }
    for (name, len) in &listing.mirrored {
        monitor.check()?;
        if let Some(second) = super::mirror_name(name) {
            store.remove(&second)?;
        }
        out.mirrored += 1;
        out.bytes += len;
    }
    debug_assert!(listing.sidecars.iter().all(|entry| parity::is_sidecar(entry.name.as_str())));
    store.sync()?;
    Ok(out)
}
