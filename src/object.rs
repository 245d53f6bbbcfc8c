//! What all objects have in common: kinds, the header, sealed envelopes. Layout: `format-spec/01-objects.md`.

use crate::{
    error::{Error, Result},
    id::RepoId,
    seal::{self, SealKey},
    world::{Entropy, random},
};
use std::fmt;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 32;
/// Length of an extended nonce in bytes.
pub const NONCE_LEN: usize = 24;
/// Length of a tag in bytes.
pub const TAG_LEN: usize = 16;
/// Metadata objects are padded to a multiple of this many bytes.
pub const ENVELOPE_STEP: usize = 4096;

const MAGIC: [u8; 8] = *b"\x89VAULT\r\n";
const VERSION: u16 = 1;
const SUITE: u8 = 1;

/// What an object is; the number stands in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The repository's configuration.
    Config = 1,
    /// A key slot.
    Slot = 2,
    /// A pack of data blobs.
    DataPack = 3,
    /// A pack of tree and list pages.
    TreePack = 4,
    /// An index object.
    Index = 5,
    /// A snapshot.
    Snapshot = 6,
    /// A writer at work.
    Session = 7,
    /// What prune is about to do.
    Note = 8,
    /// What is left of a snapshot that was forgotten.
    Tombstone = 9,
    /// Tags and pins that a snapshot was given later.
    Annotation = 10,
    /// What a medium that carries a copy is known by.
    Medium = 11,
    /// What brings back lost sectors of other objects.
    Sidecar = 12,
}

impl Kind {
    /// The kind of a pack from its number.
    pub fn of_pack(number: u8) -> Option<Kind> {
        match number {
            3 => Some(Kind::DataPack),
            4 => Some(Kind::TreePack),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Config => "config",
            Kind::Slot => "key slot",
            Kind::DataPack => "data pack",
            Kind::TreePack => "tree pack",
            Kind::Index => "index object",
            Kind::Snapshot => "snapshot",
            Kind::Session => "session",
            Kind::Note => "note of prune",
            Kind::Tombstone => "tombstone",
            Kind::Annotation => "annotation",
            Kind::Medium => "marker of a medium",
            Kind::Sidecar => "sidecar",
        })
    }
}

/// The 32 bytes that begin an object of this kind in this repository.
pub fn header(kind: Kind, repo: RepoId) -> [u8; HEADER_LEN] {
    let mut out = [0; HEADER_LEN];
    out[..8].copy_from_slice(&MAGIC);
    out[8..10].copy_from_slice(&VERSION.to_le_bytes());
    out[10] = kind as u8;
    out[11] = SUITE;
    out[16..].copy_from_slice(repo.as_bytes());
    out
}

/// Reads a header of which the repository is not known yet. `object` names it in errors.
pub fn read_header(bytes: &[u8], kind: Kind, object: &dyn fmt::Display) -> Result<RepoId> {
    let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
        return Err(Error::corrupt(object, "it is shorter than a header"));
    };
    check_header(bytes, object)?;
    if bytes[10] != kind as u8 {
        return Err(Error::corrupt(
            object,
            format!("it is an object of kind {} where a {kind} is expected", bytes[10]),
        ));
    }
    Ok(repo_of(bytes))
}

fn repo_of(header: &[u8; HEADER_LEN]) -> RepoId {
    RepoId(std::array::from_fn(|i| header[16 + i]))
}

/// All that headers of every kind have in common.
fn check_header(bytes: &[u8; HEADER_LEN], object: &dyn fmt::Display) -> Result<()> {
    if bytes[..8] != MAGIC {
        return Err(Error::corrupt(object, "it does not begin as an object of a vault repository"));
    }
    let version = u16::from_le_bytes([bytes[8], bytes[9]]);
    if version != VERSION {
        return Err(Error::unsupported(
            object,
            format!("its format version is {version}, this program knows {VERSION}"),
        ));
    }
    if bytes[11] != SUITE {
        return Err(Error::unsupported(
            object,
            format!("its cipher suite is {}, this program knows {SUITE}", bytes[11]),
        ));
    }
    if bytes[12..16] != [0; 4] {
        return Err(Error::corrupt(object, "reserved bytes of its header are set"));
    }
    Ok(())
}

/// Reads a header of which neither the kind nor the repository is known, and returns both.
pub fn read_any_header(bytes: &[u8], object: &dyn fmt::Display) -> Result<(u8, RepoId)> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
        return Err(Error::corrupt(object, "it is shorter than a header"));
    };
    check_header(header, object)?;
    Ok((header[10], repo_of(header)))
}

/// Checks that an object begins with exactly this kind's header for this repository.
pub fn expect_header(bytes: &[u8], kind: Kind, repo: RepoId, object: &dyn fmt::Display) -> Result<()> {
    if read_header(bytes, kind, object)? == repo {
        Ok(())
    } else {
        Err(Error::corrupt(object, "it belongs to another repository"))
    }
}

/// `u32 length ‖ payload ‖ zeros`, as long as makes `before + plaintext + after` a multiple of `step`.
pub fn pad(payload: &[u8], before: usize, after: usize, step: usize) -> Vec<u8> {
    let total = (before + 4 + payload.len() + after).next_multiple_of(step);
    let mut plain = Vec::with_capacity(total - before);
    plain.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    plain.extend_from_slice(payload);
    plain.resize(total - before - after, 0);
    plain
}

/// The payload of a padded plaintext; `None` when the length does not fit or the padding is not zero.
pub fn unpad(plain: &[u8]) -> Option<&[u8]> {
    let (len, rest) = plain.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    let (payload, padding) = rest.split_at_checked(len)?;
    padding.iter().all(|&b| b == 0).then_some(payload)
}

/// Seals a payload as a metadata object of this kind.
pub fn seal_envelope(
    kind: Kind,
    repo: RepoId,
    key: &SealKey,
    payload: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>> {
    let header = header(kind, repo);
    let nonce: [u8; NONCE_LEN] = random(entropy)?;
    let plain = pad(payload, HEADER_LEN + NONCE_LEN, TAG_LEN, ENVELOPE_STEP);
    let mut object = Vec::with_capacity(HEADER_LEN + NONCE_LEN + plain.len() + TAG_LEN);
    object.extend_from_slice(&header);
    object.extend_from_slice(&nonce);
    seal::seal_append(key, &nonce, &header, &plain, &mut object);
    Ok(object)
}

/// Opens a metadata object of this kind and returns its payload.
pub fn open_envelope(
    kind: Kind,
    repo: RepoId,
    key: &SealKey,
    bytes: &[u8],
    object: &dyn fmt::Display,
) -> Result<Vec<u8>> {
    expect_header(bytes, kind, repo, object)?;
    if !bytes.len().is_multiple_of(ENVELOPE_STEP) {
        return Err(Error::corrupt(object, "its length is not a multiple of 4096"));
    }
    let damaged = || Error::corrupt(object, "it does not verify under this repository's key");
    let (header, rest) = bytes.split_at_checked(HEADER_LEN).ok_or_else(damaged)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
    let plain = seal::open(key, nonce, header, sealed).ok_or_else(damaged)?;
    let payload = unpad(&plain).ok_or_else(|| Error::corrupt(object, "its padding is wrong"))?;
    Ok(payload.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SeededEntropy;

    const REPO: RepoId = RepoId([7; 16]);

    fn sealed() -> Vec<u8> {
        seal_envelope(Kind::Index, REPO, &SealKey::new([1; 32]), b"payload", &SeededEntropy::new(1)).unwrap()
    }

    #[test]
    fn envelopes_open_again() {
        let payload = open_envelope(Kind::Index, REPO, &SealKey::new([1; 32]), &sealed(), &"x").unwrap();
        assert_eq!(payload, b"payload");
        assert_eq!(sealed().len(), ENVELOPE_STEP);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let key = SealKey::new([1; 32]);
        for at in (0..ENVELOPE_STEP).step_by(7).chain(0..80) {
            for bit in 0..8 {
                let mut bytes = sealed();
                bytes[at] ^= 1 << bit;
                assert!(open_envelope(Kind::Index, REPO, &key, &bytes, &"x").is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn later_versions_are_unsupported_not_corrupt() {
        let mut bytes = sealed();
        bytes[8] = 2;
        assert!(matches!(read_header(&bytes, Kind::Index, &"x"), Err(Error::Unsupported { .. })));
        bytes = sealed();
        bytes[11] = 9;
        assert!(matches!(read_header(&bytes, Kind::Index, &"x"), Err(Error::Unsupported { .. })));
    }

    #[test]
    fn kinds_and_repositories_are_not_exchanged() {
        let key = SealKey::new([1; 32]);
        assert!(open_envelope(Kind::Config, REPO, &key, &sealed(), &"x").is_err());
        assert!(open_envelope(Kind::Index, RepoId([8; 16]), &key, &sealed(), &"x").is_err());
    }

    #[test]
    fn a_header_that_is_none_is_told_before_anything_is_opened() {
        let header = header(Kind::Index, REPO);
        assert_eq!(read_header(&header, Kind::Index, &"x").unwrap(), REPO);
        assert_eq!(read_any_header(&header, &"x").unwrap(), (Kind::Index as u8, REPO));
        for at in (0..8).chain(12..16) {
            let mut bytes = header;
            bytes[at] ^= 1;
            assert!(matches!(read_header(&bytes, Kind::Index, &"x"), Err(Error::Corrupt { .. })), "byte {at}");
            assert!(matches!(read_any_header(&bytes, &"x"), Err(Error::Corrupt { .. })), "byte {at}");
        }
        assert!(read_header(&header[..31], Kind::Index, &"x").is_err());
    }

    /// By one who holds the key.
    #[test]
    fn an_object_of_a_length_that_is_never_made_is_refused() {
        let (key, header, nonce) = (SealKey::new([1; 32]), header(Kind::Index, REPO), [3; NONCE_LEN]);
        let open = |step| {
            let mut object = [&header[..], &nonce].concat();
            let plain = pad(b"payload", object.len(), TAG_LEN, step);
            seal::seal_append(&key, &nonce, &header, &plain, &mut object);
            open_envelope(Kind::Index, REPO, &key, &object, &"x")
        };
        assert_eq!(open(ENVELOPE_STEP).unwrap(), b"payload");
        assert!(matches!(open(ENVELOPE_STEP / 2), Err(Error::Corrupt { .. })));
    }

    /// Lengths tell as little as they can, and not a byte is cut off.
    #[test]
    fn whatever_the_length_it_comes_back_from_the_least_room_that_it_takes() {
        let (before, after) = (HEADER_LEN + NONCE_LEN, TAG_LEN);
        for len in (0..3).chain(ENVELOPE_STEP - 200..ENVELOPE_STEP + 3).chain([3 * ENVELOPE_STEP]) {
            let payload = vec![7; len];
            let plain = pad(&payload, before, after, ENVELOPE_STEP);
            let whole = before + plain.len() + after;
            assert_eq!((whole % ENVELOPE_STEP, unpad(&plain)), (0, Some(&payload[..])), "{len}");
            assert!(whole < before + 4 + len + after + ENVELOPE_STEP, "{len}");
        }
    }
}
