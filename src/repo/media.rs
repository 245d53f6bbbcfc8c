//! Markers of media: small objects in `media/` of the copy that a medium carries. Layout: `format-spec/14-copies.md`.

use super::Repository;
use crate::{
    error::{Error, Result},
    hash,
    id::unhex,
    keys::Keyring,
    model::{codec, limits, medium::Marker},
    object::{self, Kind},
    store::{ObjectName, Store},
    world::Entropy,
};
use std::fmt;

/// Markers that are looked at; a sync leaves one.
const MARKERS_MAX: usize = 64;

fn object_name(id: &[u8; 32]) -> ObjectName {
    ObjectName::of_parts(&["media", &crate::id::hex(id)])
}

/// Seals a marker.
pub fn seal_marker(keys: &Keyring, marker: &Marker, entropy: &dyn Entropy) -> Result<Vec<u8>> {
    marker.validate().map_err(Error::usage)?;
    object::seal_envelope(Kind::Medium, keys.repo(), &keys.medium_key(), &codec::encode(marker), entropy)
}

/// Opens a marker and checks all that can be checked within it.
pub fn open_marker(keys: &Keyring, bytes: &[u8], name: &dyn fmt::Display) -> Result<Marker> {
    let payload = object::open_envelope(Kind::Medium, keys.repo(), &keys.medium_key(), bytes, name)?;
    let marker: Marker = codec::decode(&payload).map_err(|e| Error::corrupt(name, e))?;
    marker.validate().map_err(|e| Error::corrupt(name, e))?;
    Ok(marker)
}

fn names(store: &dyn Store) -> Result<Vec<ObjectName>> {
    let mut names = Vec::new();
    store.list("media/", &mut |entry| {
        if unhex::<32>(entry.name.leaf()).is_ok() && names.len() < MARKERS_MAX {
            names.push(entry.name);
        }
        Ok(())
    })?;
    Ok(names)
}

impl Repository {
    /// The newest marker in a store, and the hash that names it; `None` when there is none of this repository that can be read.
    pub fn marker_in(&self, store: &dyn Store) -> Result<Option<(Marker, [u8; 32])>> {
        let mut newest: Option<(Marker, [u8; 32])> = None;
        for name in names(store)? {
            let opened = store
                .get(&name, limits::MARK_MAX)
                .and_then(|bytes| Ok((open_marker(self.keys(), &bytes, &name)?, hash::object_name(&bytes))));
            match opened {
                Ok(marker) if newest.as_ref().is_none_or(|(than, _)| than.generation < marker.0.generation) => {
                    newest = Some(marker);
                }
                Ok(_) | Err(Error::Corrupt { .. } | Error::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(newest)
    }

    /// Stores a marker, durable when it returns, and removes those before it. Returns the hash that names it.
    pub fn put_marker(&self, store: &dyn Store, marker: &Marker) -> Result<[u8; 32]> {
        let before = names(store)?;
        let bytes = seal_marker(self.keys(), marker, self.entropy())?;
        let id = hash::object_name(&bytes);
        let name = object_name(&id);
        store.put(&name, &bytes)?;
        store.sync()?;
        before.iter().try_for_each(|name| store.remove(name))?;
        store.sync()?;
        Ok(id)
    }
}
