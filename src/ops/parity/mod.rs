//! Parity: sidecars that bring back what a medium loses, second copies of what everything else hangs on, and their use. No key is
//! needed. Layout and promises: `format-spec/15-parity.md`.
//!
//! ```text
//! add      objects that no strong sidecar covers ─▶ sets ─▶ parity/<id>      metadata ─▶ mirror/<name>
//! mend     what is damaged ─▶ from its second copy, else from what is left of its set ─▶ proved by its hash
//! status   what is covered, and how strong it is
//! remove   all sidecars and second copies
//! ```

mod add;
mod encode;
mod mend;
mod mirror;
mod rebuild;
mod sectors;
mod status;
#[cfg(test)]
mod tests;

pub use add::{Added, Request as Addition, add};
pub(super) use mend::whose_store;
pub use mend::{Examine, Mended, Report as Mending, Request as MendRequest, mend};
pub use rebuild::{Rebuilt, Verdict, examine, rebuild};
pub use sectors::{InPlace, Sectors, StoreSectors};
pub use status::{Removed, Status, remove, status};

use crate::{
    error::{Error, Result},
    id::RepoId,
    object::Kind,
    ops::naming::{self, Class},
    parity::{self, Set},
    store::{Entry, ObjectName, Put, Store, Upload},
};
use std::collections::{BTreeMap, BTreeSet};

/// True for what sidecars cover: all that a repository consists of, and nothing that comes and goes with the programs at work on it. A medium's
/// marker is another one after each sync, and one that came back would tell of an older state.
pub fn is_coverable(name: &str) -> bool {
    let passing = [Kind::Note, Kind::Sidecar, Kind::Medium].map(|kind| Class::Sealed(kind as u8));
    !name.starts_with(naming::MIRROR)
        && naming::class(name).is_some_and(|(class, _)| class != Class::Other && !passing.contains(&class))
}

/// True for what sidecars are made for: all that, but for key slots. What a sidecar has nobody can take out of it, and a slot that was removed
/// must not come back: slots have second copies, always, which go with them.
pub(super) fn is_in_sets(name: &str) -> bool {
    is_coverable(name) && !is_slot(name)
}

fn is_slot(name: &str) -> bool {
    matches!(naming::class(name), Some((Class::Slot, _)))
}

/// True when these are the bytes of an object of that name, as far as anybody can tell without a key.
pub(super) fn is_as_named(name: &str, sum: &[u8; 32], bytes_end: impl FnOnce() -> bool) -> bool {
    match naming::class(name) {
        Some((_, Some(hash))) => hash == *sum,
        Some((Class::Tombstone, None)) => bytes_end(),
        _ => true,
    }
}

/// True for a store that has sidecars or second copies.
pub fn is_kept(store: &dyn Store) -> Result<bool> {
    let mut any = false;
    let mut found = |_| {
        any = true;
        Ok(())
    };
    store.list("parity/", &mut found)?;
    store.list(naming::MIRROR, &mut found)?;
    Ok(any)
}

/// The objects of a store, by name.
struct Listing {
    /// Those that sidecars cover.
    objects: BTreeMap<ObjectName, u64>,
    /// Sidecars. Files that are none are not touched, here and among the second copies.
    sidecars: Vec<Entry>,
    /// Second copies, by the name of the first.
    mirrored: BTreeMap<ObjectName, u64>,
    /// Objects of which a whole one may wait for its place.
    waiting: BTreeSet<ObjectName>,
    /// Damaged objects that were put aside: number and bytes.
    aside: (u64, u64),
}

fn list(store: &dyn Store) -> Result<Listing> {
    let mut out = Listing {
        objects: BTreeMap::new(),
        sidecars: Vec::new(),
        mirrored: BTreeMap::new(),
        waiting: BTreeSet::new(),
        aside: (0, 0),
    };
    store.list("", &mut |entry| {
        let name = entry.name.as_str();
        if is_coverable(name) {
            out.objects.insert(entry.name, entry.len);
        } else if naming::class(name).is_some() && parity::is_sidecar(name) {
            out.sidecars.push(entry);
        } else if let Some(first) = name.strip_prefix(naming::MIRROR).filter(|first| is_coverable(first)) {
            out.mirrored.extend(ObjectName::new(first).map(|first| (first, entry.len)));
        } else if let Some(first) = name.strip_prefix(naming::DAMAGED) {
            out.waiting.extend(first.strip_suffix(WAITING).and_then(ObjectName::new));
            out.aside = (out.aside.0 + 1, out.aside.1 + entry.len);
        }
        Ok(())
    })?;
    out.sidecars.sort();
    Ok(out)
}

/// How a sidecar is read: [`parity::open`] or [`parity::glance`].
type Open = fn(&dyn Store, &ObjectName, RepoId) -> Result<Set>;

/// Calls `each` with every sidecar that can be read, one in memory at a time, and `bad` with those that cannot.
fn each_set(
    store: &dyn Store,
    sidecars: &[Entry],
    repo: RepoId,
    open: Open,
    bad: &mut dyn FnMut(&Entry, String),
    each: &mut dyn FnMut(&Entry, Set) -> Result<()>,
) -> Result<()> {
    for entry in sidecars {
        match open(store, &entry.name, repo) {
            Ok(set) => each(entry, set)?,
            Err(Error::Corrupt { what, .. }) => bad(entry, what),
            // Removed since it was listed.
            Err(Error::Missing { .. }) => {}
            // A bad sector is its own; a store that does not tell of it any more is lost as a whole.
            Err(error @ Error::Store { .. }) if store.stat(&entry.name).is_ok_and(|found| found.is_some()) => {
                bad(entry, error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// True when an object's bytes are those of its name.
pub(super) fn is_whole(store: &dyn Store, name: &ObjectName) -> Result<bool> {
    mirror::is_whole(store, name, name)
}

/// The second copy's name.
fn mirror_name(name: &ObjectName) -> Option<ObjectName> {
    ObjectName::new(format!("{}{name}", naming::MIRROR))
}

/// The hash of an object's bytes; `None` when some cannot be had.
pub(super) fn sum(store: &dyn Store, name: &ObjectName) -> Result<Option<[u8; 32]>> {
    mirror::sum(store, name)
}

/// How many damaged versions of one object are kept.
pub(super) const ASIDE_MAX: u32 = 100;

/// The names under which damaged versions of an object are kept.
fn aside_names(name: &ObjectName) -> impl Iterator<Item = ObjectName> + '_ {
    (0..ASIDE_MAX).filter_map(move |n| {
        let number = if n == 0 { String::new() } else { format!(".{n}") };
        ObjectName::new(format!("{}{name}{number}", naming::DAMAGED))
    })
}

/// Where a whole object waits for the place of a damaged one.
fn waiting_name(name: &ObjectName) -> Option<ObjectName> {
    ObjectName::new(format!("{}{name}{WAITING}", naming::DAMAGED))
}

const WAITING: &str = ".new";

/// Puts an object out of the way, under the first name that is free.
pub(super) fn put_aside(store: &dyn Store, from: &ObjectName, name: &ObjectName) -> Result<()> {
    for to in aside_names(name) {
        if store.rename(from, &to)? == Put::Created {
            return Ok(());
        }
    }
    Err(Error::refused(format!(
        "{name} cannot be put aside: too many damaged ones lie in {} already; remove them",
        naming::DAMAGED
    )))
}

/// Keeps these bytes aside, none twice.
pub(super) fn put_beside(store: &dyn Store, name: &ObjectName, bytes: &[u8]) -> Result<()> {
    for to in aside_names(name) {
        if store.put(&to, bytes)? == Put::Created
            || store.get(&to, bytes.len() as u64).is_ok_and(|found| found == bytes)
        {
            break;
        }
    }
    Ok(())
}

/// Gives an upload, which is proved, the name of a damaged object, which is kept out of the way: what it lies on may be bad.
///
/// The whole one is durable before anything happens to the damaged one. Whoever is interrupted leaves one of both in place, or, where the store
/// cannot exchange names, a whole one that waits, which the next mending finds.
pub(super) fn put_in_place(store: &dyn Store, name: &ObjectName, upload: Box<dyn Upload + '_>) -> Result<()> {
    let too_long = || Error::refused(format!("{name} cannot be put aside: its name is too long"));
    let waiting = waiting_name(name).ok_or_else(too_long)?;
    if store.stat(&waiting)?.is_some() {
        // An interrupted one's; which of both it is nobody knows.
        put_aside(store, &waiting, name)?;
    }
    if store.stat(name)?.is_none() {
        return upload.finish(name).map(drop);
    }
    upload.finish(&waiting)?;
    store.sync()?;
    if store.exchange(name, &waiting)? {
        return put_aside(store, &waiting, name);
    }
    put_aside(store, name, name)?;
    match store.rename(&waiting, name)? {
        Put::Created => Ok(()),
        // Somebody stored it meanwhile.
        Put::Existed => put_aside(store, &waiting, name),
    }
}
