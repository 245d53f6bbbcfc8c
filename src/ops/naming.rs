//! What an object's name says of it, to anybody who holds the store: no key is needed.

use crate::{
    hash,
    id::{ID_LEN, KeyId, PackId, SeriesTag, unhex},
    object::Kind,
    pack, parity,
};

pub use crate::parity::{DAMAGED, MIRROR};

/// What kind of an object a name is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The repository's configuration; nothing tells its bytes.
    Config,
    /// A key slot.
    Slot,
    /// A pack of either kind.
    Pack,
    /// A sealed object, or a sidecar, of this kind, named by its hash.
    Sealed(u8),
    /// Named by its snapshot; ends with the hash of all before.
    Tombstone,
    /// What its header says, named by its hash all the same: sessions and intents.
    Other,
}

/// The class of an object by its name, and the hash of its bytes where the name tells; `None` for one that is none of a repository.
/// A second copy is of the class of the first.
pub fn class(name: &str) -> Option<(Class, Option<[u8; ID_LEN]>)> {
    let name = name.strip_prefix(MIRROR).unwrap_or(name);
    let parts: Vec<&str> = name.split('/').collect();
    let hash = || unhex::<ID_LEN>(parts.last()?).ok();
    let of_series = |tag: &str| SeriesTag::parse(tag).ok();
    match parts[..] {
        ["config"] => Some((Class::Config, None)),
        ["keys", id] => Some((Class::Slot, Some(KeyId::parse(id).ok()?.0))),
        ["packs", _, id] => {
            let id = PackId::parse(id).ok()?;
            (pack::object_name(&id).as_str() == name).then_some((Class::Pack, Some(id.0)))
        }
        ["index", _] => Some((Class::Sealed(Kind::Index as u8), Some(hash()?))),
        ["media", _] => Some((Class::Sealed(Kind::Medium as u8), Some(hash()?))),
        ["gc", _] => Some((Class::Sealed(Kind::Note as u8), Some(hash()?))),
        ["snapshots", tag, _] => {
            of_series(tag)?;
            Some((Class::Sealed(Kind::Snapshot as u8), Some(hash()?)))
        }
        ["sessions", _] => Some((Class::Other, Some(hash()?))),
        ["gone", tag, _] => {
            of_series(tag)?;
            hash().map(|_| (Class::Tombstone, None))
        }
        ["notes", tag, _] => {
            of_series(tag)?;
            Some((Class::Sealed(Kind::Annotation as u8), Some(hash()?)))
        }
        [parity::FOLDER, _] => Some((Class::Sealed(Kind::Sidecar as u8), Some(hash()?))),
        _ => None,
    }
}

/// True for the bytes of an object that ends with the hash of all before.
pub fn ends_with_sum(bytes: &[u8]) -> bool {
    bytes.split_last_chunk::<ID_LEN>().is_some_and(|(before, sum)| hash::object_name(before) == *sum)
}
