//! A medium of which the file system still works, more or less: what it gives is copied, and mended in the copy, where nothing can fail any more.

use super::salvage::Salvaged;
use crate::{
    error::Result,
    monitor::{Counter, Monitor, Phase},
    ops::{
        naming,
        parity::{self, Examine, MendRequest},
    },
    parity::SECTOR,
    repo::Repository,
    store::{Entry, Put, Store},
};
use std::collections::BTreeSet;

/// Bytes that are read at a time.
const PIECE: usize = 256 * SECTOR;

/// Copies what can be read of each object, zeros for what cannot, and makes whole what second copies and parity can. Repeatable: what
/// the store has is left as it is.
pub fn salvage(from: &dyn Store, store: &dyn Store, monitor: &dyn Monitor) -> Result<Salvaged> {
    monitor.phase(Phase::Storing);
    let mut entries: Vec<Entry> = Vec::new();
    from.list("", &mut |entry| {
        if naming::class(entry.name.as_str()).is_some() {
            entries.push(entry);
        }
        Ok(())
    })?;
    entries.sort();
    monitor.expect(Counter::Stored, entries.iter().map(|entry| entry.len).sum());
    let mut out = Salvaged::default();
    let mut short = Vec::new();
    for entry in &entries {
        let (lost, put) = one(from, entry, store, monitor)?;
        if put == Put::Created && lost > 0 {
            short.push((entry, lost));
        }
        monitor.add(Counter::Objects, 1);
    }
    store.sync()?;
    let request = MendRequest { examine: Examine::All, named: &BTreeSet::new(), all_missing: true, dry_run: false };
    let mended = parity::mend(store, &request, monitor)?;
    let whole: BTreeSet<&str> = mended.mended.iter().map(|one| one.object.as_str()).collect();
    let is_counted = |name: &str| parity::is_coverable(name);
    out.mended = whole.len() as u64;
    for (entry, lost) in short.into_iter().filter(|(entry, _)| is_counted(entry.name.as_str())) {
        if !whole.contains(entry.name.as_str()) {
            out.partial.push((entry.name.to_string(), lost, crate::parity::sectors(entry.len)));
        }
    }
    let is_partial = |name: &str| out.partial.iter().any(|(partial, ..)| partial == name);
    out.lost = mended.lost.into_iter().map(|(name, _)| name).filter(|name| !is_partial(name)).collect();
    store.list("", &mut |entry| {
        let name = entry.name.as_str();
        if is_counted(name) && !is_partial(name) && !out.lost.iter().any(|lost| lost == name) {
            out.whole += 1;
            out.bytes += entry.len;
        }
        Ok(())
    })?;
    out.repo = Repository::identify(store).ok();
    Ok(out)
}

/// Copies one object, and says how many of its sectors cannot be read.
fn one(from: &dyn Store, entry: &Entry, store: &dyn Store, monitor: &dyn Monitor) -> Result<(u64, Put)> {
    let mut upload = store.upload()?;
    let (mut at, mut lost) = (0, 0);
    let mut piece = vec![0; PIECE.min(entry.len as usize)];
    while at < entry.len {
        monitor.check()?;
        let part = piece.get_mut(..(entry.len - at).min(PIECE as u64) as usize).unwrap_or_default();
        if from.get_range(&entry.name, at, part).is_err() {
            for (number, sector) in (0u64..).zip(part.chunks_mut(SECTOR)) {
                if from.get_range(&entry.name, at + number * SECTOR as u64, sector).is_err() {
                    sector.fill(0);
                    lost += 1;
                }
            }
        }
        upload.append(part)?;
        at += part.len() as u64;
        monitor.add(Counter::Stored, part.len() as u64);
    }
    Ok((lost, upload.finish(&entry.name)?))
}
