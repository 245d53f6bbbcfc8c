//! Reads packs for those who have no index or do not trust it: the directory from the end, or all of one, to hold it against its name.

use super::{DIRECTORY_STEP, Directory, FOOTER_LEN, FOOTER_MAGIC, PackEntry, object_name};
use crate::{
    error::{Error, Result},
    hash::ObjectHasher,
    id::{PackId, RepoId},
    model::{codec, limits},
    object::{self, HEADER_LEN, Kind, NONCE_LEN, TAG_LEN},
    seal::{self, SealKey},
    store::Store,
};

/// Offset and length of the sealed directory, from a pack's footer.
pub fn parse_footer(footer: &[u8; FOOTER_LEN], pack_len: u64) -> Option<(u64, usize)> {
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| footer[at + i]));
    let (offset, len) = (number(0), number(8));
    let fits = footer[16..24] == FOOTER_MAGIC
        && footer[24..] == [0; 8]
        && pack_len <= limits::PACK_MAX
        && len <= limits::DIRECTORY_MAX
        && len >= (NONCE_LEN + TAG_LEN) as u64
        && offset >= HEADER_LEN as u64
        && offset.checked_add(len).and_then(|end| end.checked_add(FOOTER_LEN as u64)) == Some(pack_len);
    fits.then_some((offset, len as usize))
}

/// Reads, opens and checks the directory of a pack.
pub fn read_directory(store: &dyn Store, id: &PackId, repo: RepoId, directory_key: &SealKey) -> Result<PackEntry> {
    let name = object_name(id);
    let len = store.stat(&name)?.ok_or_else(|| Error::Missing { object: name.to_string() })?.len;
    if len < (HEADER_LEN + FOOTER_LEN) as u64 {
        return Err(Error::corrupt(&name, "it is too short for a pack"));
    }
    let (mut header, mut footer) = ([0; HEADER_LEN], [0; FOOTER_LEN]);
    store.get_range(&name, 0, &mut header)?;
    store.get_range(&name, len - FOOTER_LEN as u64, &mut footer)?;
    let kind = match object::read_header(&header, Kind::DataPack, &name) {
        Err(Error::Corrupt { .. }) => Kind::TreePack,
        _ => Kind::DataPack,
    };
    object::expect_header(&header, kind, repo, &name)?;
    let (offset, sealed_len) =
        parse_footer(&footer, len).ok_or_else(|| Error::corrupt(&name, "its footer is wrong: it was cut short"))?;
    let mut sealed = vec![0; sealed_len];
    store.get_range(&name, offset, &mut sealed)?;
    let directory = open_directory(&sealed, &header, &footer, directory_key)
        .ok_or_else(|| Error::corrupt(&name, "its directory does not verify"))?;
    let entry = PackEntry { id: *id, len, kind: kind as u8, directory };
    entry.validate(&name)?;
    let end = entry.directory.segments.last().map_or(0, |last| last.offset + u64::from(last.stored));
    if end > offset {
        return Err(Error::corrupt(&name, "a segment reaches into the directory"));
    }
    Ok(entry)
}

/// Lengths of a directory that are tried when the footer does not tell: each costs as many bytes to be looked at.
const GUESSES: u64 = 1024;

/// The directory of a pack whose header or footer is damaged, as long as the directory itself is whole: the header is the same
/// for all packs of a kind, and where the directory begins can be tried out. `None` when it cannot be had.
pub fn recover_directory(store: &dyn Store, id: &PackId, repo: RepoId, directory_key: &SealKey) -> Option<PackEntry> {
    let name = object_name(id);
    let len = store.stat(&name).ok()??.len;
    let footer_at = len.checked_sub(FOOTER_LEN as u64).filter(|_| len <= limits::PACK_MAX)?;
    let mut footer = [0; FOOTER_LEN];
    store.get_range(&name, footer_at, &mut footer).ok()?;
    let told = parse_footer(&footer, len).map(|(_, sealed_len)| sealed_len as u64);
    let guessed = (1..=GUESSES).map(|n| (NONCE_LEN + TAG_LEN) as u64 + n * DIRECTORY_STEP as u64);
    let mut end = Vec::new();
    for sealed_len in told.into_iter().chain(guessed) {
        let Some(offset) = footer_at.checked_sub(sealed_len).filter(|offset| *offset >= HEADER_LEN as u64) else {
            break;
        };
        // Read from the end on, each byte once.
        if (end.len() as u64) < sealed_len {
            let mut more = vec![0; (sealed_len - end.len() as u64) as usize];
            store.get_range(&name, offset, &mut more).ok()?;
            more.append(&mut end);
            end = more;
        }
        let sealed = end.get(end.len() - sealed_len as usize..)?;
        let mut footer = [0; FOOTER_LEN];
        footer[..8].copy_from_slice(&offset.to_le_bytes());
        footer[8..16].copy_from_slice(&sealed_len.to_le_bytes());
        for kind in [Kind::DataPack, Kind::TreePack] {
            let header = object::header(kind, repo);
            if let Some(directory) = open_directory(sealed, &header, &footer, directory_key) {
                let entry = PackEntry { id: *id, len, kind: kind as u8, directory };
                return entry.validate(&name).is_ok().then_some(entry);
            }
        }
    }
    None
}

/// Opens a sealed directory: the part of [`read_directory`] that needs no store.
pub fn open_directory(
    sealed: &[u8],
    header: &[u8; HEADER_LEN],
    footer: &[u8; FOOTER_LEN],
    directory_key: &SealKey,
) -> Option<Directory> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let ad = [&header[..], &footer[..16]].concat();
    let plain = seal::open(directory_key, nonce, &ad, rest)?;
    codec::decode(object::unpad(&plain)?).ok()
}

/// Reads a pack and holds it against its name. False for one that is not there.
pub fn is_whole(store: &dyn Store, id: &PackId) -> Result<bool> {
    let name = &object_name(id);
    let Some(entry) = store.stat(name)? else { return Ok(false) };
    let (mut hasher, mut at) = (ObjectHasher::default(), 0);
    let mut part = vec![0; 1 << 20];
    while at < entry.len {
        let len = (entry.len - at).min(part.len() as u64) as usize;
        store.get_range(name, at, &mut part[..len])?;
        hasher.update(&part[..len]);
        at += len as u64;
    }
    Ok(hasher.finish() == id.0)
}

#[cfg(test)]
mod tests {
    // Written packs are read back, whole and damaged, in `repo::tests`, where there is a store to hold them.
    use super::*;

    #[test]
    fn footers_must_fit_the_pack() {
        let mut footer = [0; FOOTER_LEN];
        footer[..8].copy_from_slice(&100u64.to_le_bytes());
        footer[8..16].copy_from_slice(&200u64.to_le_bytes());
        footer[16..24].copy_from_slice(&FOOTER_MAGIC);
        assert_eq!(parse_footer(&footer, 332), Some((100, 200)));
        assert_eq!(parse_footer(&footer, 333), None);
        for (at, value) in [(0, u64::MAX), (8, u64::MAX), (0, 3), (8, 10)] {
            let mut wrong = footer;
            wrong[at..at + 8].copy_from_slice(&value.to_le_bytes());
            assert_eq!(parse_footer(&wrong, 332), None);
        }
        footer[31] = 1;
        assert_eq!(parse_footer(&footer, 332), None);
    }
}
