//! Second copies: `mirror/` and the name, byte for byte, of key slots, and when asked of all but data packs.

use super::{Listing, add::Added, is_as_named, is_slot, mirror_name};
use crate::{
    error::{Error, Result},
    hash::ObjectHasher,
    model::limits,
    monitor::{Counter, Monitor},
    object::{self, HEADER_LEN, Kind},
    ops::naming::{self, Class},
    store::{ObjectName, Store, Upload},
};
use std::collections::BTreeSet;

/// Bytes that are read at a time.
const PIECE: u64 = 1 << 20;

/// True for an object of which a second copy is kept: what little everything else hangs on.
fn is_wanted(store: &dyn Store, name: &ObjectName) -> Result<bool> {
    match naming::class(name.as_str()) {
        Some((Class::Pack, _)) => {}
        Some(_) => return Ok(true),
        None => return Ok(false),
    }
    let mut header = [0; HEADER_LEN];
    match store.get_range(name, 0, &mut header) {
        Ok(()) => Ok(object::read_header(&header, Kind::TreePack, name).is_ok()),
        // What cannot be read is told by who looks for damage.
        Err(Error::Corrupt { .. } | Error::Missing { .. }) => Ok(false),
        Err(Error::Store { .. }) if store.stat(name).is_ok() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Calls `each` with the bytes of an object. False when some of it cannot be had.
fn read(store: &dyn Store, name: &ObjectName, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
    let Some(entry) = store.stat(name)? else { return Ok(false) };
    let mut piece = vec![0; entry.len.min(PIECE) as usize];
    let mut at = 0;
    while at < entry.len {
        let piece = piece.get_mut(..(entry.len - at).min(PIECE) as usize).unwrap_or_default();
        match store.get_range(name, at, piece) {
            Ok(()) => each(piece)?,
            Err(Error::Corrupt { .. } | Error::Missing { .. }) => return Ok(false),
            Err(Error::Store { .. }) if store.stat(name).is_ok() => return Ok(false),
            Err(error) => return Err(error),
        }
        at += piece.len() as u64;
    }
    Ok(true)
}

/// The hash of an object that has the bytes that belong to `first`, its own name or that of which it is a copy; `None` when it has others. `each` gets
/// these bytes as they are read.
pub(super) fn proved_sum(
    store: &dyn Store,
    name: &ObjectName,
    first: &ObjectName,
    each: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Option<[u8; 32]>> {
    let (mut hasher, mut small) = (ObjectHasher::default(), Vec::new());
    let had = read(store, name, &mut |piece| {
        hasher.update(piece);
        if (small.len() + piece.len()) as u64 <= limits::MARK_MAX {
            small.extend_from_slice(piece);
        }
        each(piece)
    })?;
    let is_config = naming::class(first.as_str()).is_some_and(|(class, _)| class == Class::Config);
    let sum = hasher.finish();
    let is_proved = had
        && is_as_named(first.as_str(), &sum, || naming::ends_with_sum(&small))
        // Nothing else tells its bytes.
        && (!is_config || object::read_header(&small, Kind::Config, name).is_ok());
    Ok(is_proved.then_some(sum))
}

/// True when an object has the bytes that belong to `first`, its own name or that of which it is a copy.
pub(super) fn is_whole(store: &dyn Store, name: &ObjectName, first: &ObjectName) -> Result<bool> {
    Ok(proved_sum(store, name, first, &mut |_| Ok(()))?.is_some())
}

/// The bytes of an object on their way to another name, held against `first` as they are read, and against `right` where that is known; `None` when
/// they are not what they should be.
pub(super) fn proved<'s>(
    store: &'s dyn Store,
    from: &ObjectName,
    first: &ObjectName,
    right: &BTreeSet<[u8; 32]>,
) -> Result<Option<Box<dyn Upload + 's>>> {
    let mut upload = store.upload()?;
    let sum = proved_sum(store, from, first, &mut |piece| upload.append(piece))?;
    Ok(sum.filter(|sum| right.is_empty() || right.contains(sum)).map(|_| upload))
}

/// The hash of an object's bytes; `None` when some cannot be had.
pub(super) fn sum(store: &dyn Store, name: &ObjectName) -> Result<Option<[u8; 32]>> {
    let mut hasher = ObjectHasher::default();
    let had = read(store, name, &mut |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(had.then(|| hasher.finish()))
}

/// True when both have the same bytes.
pub(super) fn is_same(store: &dyn Store, a: &ObjectName, b: &ObjectName) -> Result<bool> {
    Ok(matches!((sum(store, a)?, sum(store, b)?), (Some(a), Some(b)) if a == b))
}

/// Copies what has no second copy yet.
pub(super) fn copy(
    store: &dyn Store,
    listing: &Listing,
    slots_only: bool,
    out: &mut Added,
    monitor: &dyn Monitor,
) -> Result<()> {
    for (name, len) in &listing.objects {
        monitor.check()?;
        let is_asked_for = !slots_only || is_slot(name.as_str());
        if !is_asked_for || listing.mirrored.get(name) == Some(len) || !is_wanted(store, name)? {
            continue;
        }
        let Some(upload) = proved(store, name, name, &BTreeSet::new())? else {
            // Of others it was told when they were to be covered.
            if is_slot(name.as_str()) {
                monitor.problem(&format!("{name}: it is damaged, and has no second copy"));
            }
            continue;
        };
        let Some(second) = mirror_name(name) else { continue };
        if listing.mirrored.contains_key(name) {
            store.remove(&second)?;
        }
        upload.finish(&second)?;
        out.mirrored += 1;
        out.mirrored_bytes += len;
        monitor.add(Counter::Objects, 1);
    }
    Ok(())
}

/// Removes second copies of what is no more.
pub(super) fn drop_missing(store: &dyn Store, listing: &Listing, out: &mut Added) -> Result<()> {
    for name in listing.mirrored.keys().filter(|name| !listing.objects.contains_key(*name)) {
        if let Some(second) = mirror_name(name) {
            store.remove(&second)?;
            out.unmirrored += 1;
        }
    }
    Ok(())
}
