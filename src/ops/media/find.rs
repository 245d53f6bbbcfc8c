//! Which medium holds it?

use super::{Catalogue, Medium};
use crate::{
    error::{Error, Result},
    ops::lookup::{Found, lookup},
    repo::{BlobReader, Listed},
    series::Address,
    store::local::LocalStore,
};
use std::{path::Path, sync::Arc};

/// A medium that holds what was asked for.
#[derive(Debug)]
pub struct Place {
    /// The medium.
    pub medium: Medium,
    /// The snapshot that the address names there.
    pub listed: Listed,
    /// The entry that its path names; `None` for the snapshot itself.
    pub entry: Option<Box<crate::ops::lookup::Entry>>,
}

/// The media that hold what an address names, the nearest in time first: each by itself, so a date may name an older snapshot on one that
/// was synced earlier. Retired media count too. No medium need be there. `instant` turns a date as the user wrote it into seconds.
///
/// What is known of a medium may be damaged: `problem` is told, and the others are still asked.
pub fn find(
    catalogue: &Catalogue<'_>,
    address: &Address,
    instant: &dyn Fn(&str) -> Result<i64>,
    problem: &mut dyn FnMut(&Medium, &Error),
) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for medium in catalogue.media()? {
        let folder = catalogue.skeleton(&medium);
        if !folder.is_dir() {
            continue;
        }
        match on_one(catalogue, &folder, address, instant) {
            Ok(Some((listed, entry))) => places.push(Place { medium, listed, entry }),
            Ok(None) => {}
            Err(error) => problem(&medium, &error),
        }
    }
    places.sort_by_key(|place| (std::cmp::Reverse(place.listed.snapshot.head.time), place.medium.name.clone()));
    Ok(places)
}

type OnOne = Option<(Listed, Option<Box<crate::ops::lookup::Entry>>)>;

/// What an address names in the copy of one medium; `None` when nothing.
fn on_one(
    catalogue: &Catalogue<'_>,
    folder: &Path,
    address: &Address,
    instant: &dyn Fn(&str) -> Result<i64>,
) -> Result<OnOne> {
    let repo = catalogue.repo().at(Arc::new(LocalStore::open(folder)?));
    let listed = match repo.resolve(address, instant) {
        Ok(resolved) => resolved.listed,
        // Nothing of that series, or that old, lies on it.
        Err(Error::Usage { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if address.path.is_none() {
        return Ok(Some((listed, None)));
    }
    let (index, _) = repo.load_index(true)?;
    match lookup(&BlobReader::new(&repo, &index), &listed.snapshot, address.path.as_deref()) {
        Ok(Found::Entry(found)) => Ok(Some((listed, Some(found)))),
        Ok(Found::Snapshot) => Ok(Some((listed, None))),
        Err(Error::Usage { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
