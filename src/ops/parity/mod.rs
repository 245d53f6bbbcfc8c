//! Parity: sidecars that bring back what a medium loses, second copies of what everything else hangs on, and their use. No key is
//! needed. Layout and promises: `format-spec/14-parity.md`.
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
pub use mend::{Examine, Mended, Report as Mending, Request as MendRequest, mend};
pub use rebuild::{Rebuilt, Verdict, examine, rebuild};
pub use sectors::{Sectors, StoreSectors};
pub use status::{Removed, Status, remove, status};

use crate::{
    error::{Error, Result},
    id::RepoId,
    ops::naming::{self, Class},
    parity::{self, Set},
    store::{Entry, ObjectName, Put, Store, Upload},
};
use std::collections::BTreeMap;

/// True for what sidecars cover: all that a repository consists of, and nothing that comes and goes with the programs at work on it.
pub fn is_coverable(name: &str) -> bool {
    let note = Class::Sealed(crate::object::Kind::Note as u8);
    let sidecar = Class::Sealed(crate::object::Kind::Sidecar as u8);
    !name.starts_with(naming::MIRROR)
        && naming::class(name).is_some_and(|(class, _)| class != Class::Other && class != note && class != sidecar)
}

/// True when these are the bytes of an object of that name, as far as anybody can tell without a key.
fn is_as_named(name: &str, sum: &[u8; 32], bytes_end: impl FnOnce() -> bool) -> bool {
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
    /// Sidecars.
    sidecars: Vec<Entry>,
    /// Second copies, by the name of the first.
    mirrored: BTreeMap<ObjectName, u64>,
    /// Damaged objects that were put aside: number and bytes.
    aside: (u64, u64),
}

fn list(store: &dyn Store) -> Result<Listing> {
    let mut out = Listing { objects: BTreeMap::new(), sidecars: Vec::new(), mirrored: BTreeMap::new(), aside: (0, 0) };
    store.list("", &mut |entry| {
        let name = entry.name.as_str();
        if is_coverable(name) {
            out.objects.insert(entry.name, entry.len);
        } else if parity::is_sidecar(name) {
            out.sidecars.push(entry);
        } else if let Some(first) = name.strip_prefix(naming::MIRROR) {
            out.mirrored.extend(ObjectName::new(first).map(|first| (first, entry.len)));
        } else if name.starts_with(naming::DAMAGED) {
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

/// How many damaged versions of one object are kept.
const ASIDE_MAX: u32 = 100;

/// Gives an upload, which is proved, the name of a damaged object, which is kept out of the way: what it lies on may be bad.
pub(super) fn put_in_place(store: &dyn Store, name: &ObjectName, upload: Box<dyn Upload + '_>) -> Result<()> {
    if store.stat(name)?.is_some() {
        let aside = (0..ASIDE_MAX).find_map(|n| {
            let number = if n == 0 { String::new() } else { format!(".{n}") };
            let to = ObjectName::new(format!("{}{name}{number}", naming::DAMAGED))?;
            match store.rename(name, &to) {
                Ok(Put::Existed) => None,
                done => Some(done),
            }
        });
        aside.unwrap_or_else(|| {
            Err(Error::refused(format!(
                "{name} cannot be put aside: too many damaged ones lie in {} already; remove them",
                naming::DAMAGED
            )))
        })?;
    }
    upload.finish(name).map(drop)
}
