//! A medium of which the file system still works, more or less: what it gives is copied, and mended in the copy, where nothing can fail any more.

use super::{salvage::Salvaged, target};
use crate::{
    error::{Error, Result},
    hash::ObjectHasher,
    monitor::{Counter, Monitor, Phase},
    ops::{
        naming,
        parity::{self, Examine, MendRequest},
    },
    parity::SECTOR,
    repo::Repository,
    store::{Entry, ObjectName, Store},
};
use std::collections::BTreeMap;

/// Bytes that are read at a time.
const PIECE: usize = 256 * SECTOR;

/// Copies what can be read of each object, zeros for what cannot, and makes whole what second copies and parity can. Repeatable: what
/// the store has whole is left as it is, of the rest each try adds what it can read. Nothing is called whole that was not held against its name.
pub fn salvage(from: &dyn Store, store: &dyn Store, monitor: &dyn Monitor) -> Result<Salvaged> {
    target::claim(store, parity::whose_store(from)?)?;
    monitor.phase(Phase::Storing);
    let mut entries: Vec<Entry> = Vec::new();
    from.list("", &mut |entry| {
        let name = entry.name.as_str();
        // What was put aside has sectors that are lost elsewhere.
        if naming::class(name).is_some() || is_aside(name) {
            entries.push(entry);
        }
        Ok(())
    })?;
    entries.sort();
    monitor.expect(Counter::Stored, entries.iter().map(|entry| entry.len).sum());
    let mut out = Salvaged::default();
    let mut unread: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in &entries {
        let lost = one(from, entry, store, monitor)?;
        if lost > 0 {
            unread.insert(entry.name.as_str(), lost);
        }
        monitor.add(Counter::Objects, 1);
    }
    if !entries.is_empty() && from.list("", &mut |_| Ok(())).is_err() {
        return Err(Error::store(
            "read",
            from.place(),
            std::io::Error::other("it is gone: attach it again, and do the same again"),
        ));
    }
    store.sync()?;
    let request = MendRequest { all_missing: true, ..MendRequest::new(Examine::All) };
    let mended = parity::mend(store, &request, monitor)?;
    out.mended = mended.mended.len() as u64;
    count(store, &unread, &mut out, monitor)?;
    let is_partial = |name: &str| out.partial.iter().any(|(partial, ..)| partial == name);
    out.lost = mended.lost.into_iter().map(|(name, _)| name).filter(|name| !is_partial(name)).collect();
    out.repo = Repository::identify(store).ok();
    Ok(out)
}

fn is_aside(name: &str) -> bool {
    name.starts_with(naming::DAMAGED)
}

/// What is whole now, object by object.
fn count(store: &dyn Store, unread: &BTreeMap<&str, u64>, out: &mut Salvaged, monitor: &dyn Monitor) -> Result<()> {
    monitor.phase(Phase::Verifying);
    let mut entries = Vec::new();
    store.list("", &mut |entry| {
        if parity::is_coverable(entry.name.as_str()) {
            entries.push(entry);
        }
        Ok(())
    })?;
    entries.sort();
    for Entry { name, len, .. } in entries {
        monitor.check()?;
        if parity::is_whole(store, &name)? {
            out.whole += 1;
            out.bytes += len;
        } else {
            // Of one that was cut short, or damaged when it could still be read, nothing tells how much is wrong.
            let lost = unread.get(name.as_str()).copied().unwrap_or(0);
            out.partial.push((name.to_string(), lost, crate::parity::sectors(len)));
        }
    }
    Ok(())
}

/// Copies one object, and says how many of its sectors nobody could read, now or before.
fn one(from: &dyn Store, entry: &Entry, store: &dyn Store, monitor: &dyn Monitor) -> Result<u64> {
    let name = &entry.name;
    let aside = is_aside(name.as_str());
    let before = store.stat(name)?;
    let is_there = before.is_some();
    if is_there && !aside && parity::is_whole(store, name)? {
        monitor.add(Counter::Stored, entry.len);
        return Ok(0);
    }
    let (mut upload, mut hasher) = (store.upload()?, ObjectHasher::default());
    let (mut at, mut lost) = (0, 0);
    let mut piece = vec![0; PIECE.min(entry.len as usize)];
    while at < entry.len {
        monitor.check()?;
        let part = piece.get_mut(..(entry.len - at).min(PIECE as u64) as usize).unwrap_or_default();
        if from.get_range(name, at, part).is_err() {
            for (number, sector) in (0u64..).zip(part.chunks_mut(SECTOR)) {
                let at = at + number * SECTOR as u64;
                if from.get_range(name, at, sector).is_ok() {
                    continue;
                }
                sector.fill(0);
                // An earlier try may have had it.
                let had = is_there && !aside && store.get_range(name, at, sector).is_ok();
                lost += u64::from(!had || sector.iter().all(|byte| *byte == 0));
            }
        }
        hasher.update(part);
        upload.append(part)?;
        at += part.len() as u64;
        monitor.add(Counter::Stored, part.len() as u64);
    }
    if !is_there {
        upload.finish(name)?;
        return Ok(lost);
    }
    let sum = hasher.finish();
    if aside {
        put_beside(store, name, sum, upload)?;
    } else if parity::sum(store, name)? != Some(sum) {
        parity::put_in_place(store, name, upload)?;
    }
    Ok(lost)
}

/// Another one that was put aside, under the next name that is free; none twice.
fn put_beside(
    store: &dyn Store,
    name: &ObjectName,
    sum: [u8; 32],
    upload: Box<dyn crate::store::Upload + '_>,
) -> Result<()> {
    let numbered = (0..parity::ASIDE_MAX).filter_map(|n| match n {
        0 => Some(name.clone()),
        n => ObjectName::new(format!("{name}.{n}")),
    });
    for name in numbered {
        if store.stat(&name)?.is_none() {
            return upload.finish(&name).map(drop);
        }
        if parity::sum(store, &name)? == Some(sum) {
            break;
        }
    }
    Ok(())
}
