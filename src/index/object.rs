//! Index objects: sealed copies of packs' directories. Layout: `format-spec/04-index.md`.

use crate::{
    error::{Error, Result},
    id::{IndexId, RepoId},
    model::codec,
    object::{self, Kind},
    pack::PackEntry,
    seal::SealKey,
    store::ObjectName,
    world::Entropy,
};
use bincode::{Decode, Encode};
use std::collections::HashSet;

/// Some packs and what they hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct IndexObject {
    /// None twice.
    pub packs: Vec<PackEntry>,
}

/// An index object's name in the store.
pub fn object_name(id: &IndexId) -> ObjectName {
    ObjectName::of_parts(&["index", &id.to_string()])
}

impl IndexObject {
    /// The sealed object.
    pub fn seal(&self, repo: RepoId, key: &SealKey, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        object::seal_envelope(Kind::Index, repo, key, &codec::encode(self), entropy)
    }

    /// Opens and checks an object. Its bytes must have been checked against its name before.
    pub fn open(bytes: &[u8], repo: RepoId, key: &SealKey, name: &ObjectName) -> Result<Self> {
        let payload = object::open_envelope(Kind::Index, repo, key, bytes, name)?;
        IndexObject::decode(&payload, name)
    }

    /// Decodes and checks an opened payload.
    pub fn decode(payload: &[u8], name: &dyn std::fmt::Display) -> Result<Self> {
        let index: IndexObject = codec::decode(payload).map_err(|e| Error::corrupt(name, e))?;
        let mut seen = HashSet::new();
        for pack in &index.packs {
            pack.validate(name)?;
            if !seen.insert(pack.id) {
                return Err(Error::corrupt(name, format!("pack {} is listed twice", pack.id.short())));
            }
        }
        Ok(index)
    }
}
