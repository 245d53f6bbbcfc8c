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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{index::run::tests::pack, model::limits, object::TAG_LEN};

    #[test]
    fn a_segment_that_claims_too_many_bytes_is_refused_before_memory_is_taken() {
        let mut entry = pack(0, 10);
        entry.len = limits::PACK_MAX;
        assert!(entry.validate(&"x").is_ok());
        entry.directory.segments[0].stored = limits::STORED_MAX as u32;
        assert!(entry.validate(&"x").is_ok());
        for stored in [0, TAG_LEN as u32, limits::STORED_MAX as u32 + 1, 900 << 20] {
            entry.directory.segments[0].stored = stored;
            assert!(matches!(entry.validate(&"x"), Err(Error::Corrupt { .. })), "{stored}");
        }
    }
}
