//! Tombstones in the store: what alone can explain that a snapshot is not there. Layout: `format-spec/13-forgetting.md`.
//!
//! A tombstone has two parts, since those who go on with a series and those who may forget are not the same: a head that every
//! role opens, for the numbers that were given, and a body under a key that writers lack, which is the proof.

use super::Repository;
use crate::{
    error::{Error, Result},
    hash,
    id::{ID_LEN, SeriesTag, SnapshotId},
    keys::{Keyring, Role},
    model::{
        codec, limits,
        tombstone::{GoneHead, Tombstone},
    },
    object::{self, HEADER_LEN, Kind, NONCE_LEN, TAG_LEN},
    seal,
    series::Series,
    store::{ObjectName, Put},
    world::{Entropy, random},
};
use std::{collections::BTreeSet, fmt};

const HEAD_NONCE: usize = HEADER_LEN;
const HEAD: usize = HEAD_NONCE + NONCE_LEN;
const HEAD_PLAIN: usize = 128;
const BODY_NONCE: usize = HEAD + HEAD_PLAIN + TAG_LEN;
const BODY: usize = BODY_NONCE + NONCE_LEN;
const SUM_LEN: usize = ID_LEN;
const STEP: usize = object::ENVELOPE_STEP;
const _: () = assert!(HEAD == 56 && BODY_NONCE == 200 && BODY == 224);

/// A tombstone's name in the store.
pub fn object_name(tag: &SeriesTag, id: &SnapshotId) -> ObjectName {
    ObjectName::of_parts(&["gone", &tag.to_string(), &id.to_string()])
}

/// Seals a tombstone; for maintainers and owners.
pub fn seal_tombstone(keys: &Keyring, tombstone: &Tombstone, entropy: &dyn Entropy) -> Result<Vec<u8>> {
    tombstone.validate().map_err(Error::usage)?;
    let key = keys.tombstone_key()?;
    let mut object = object::header(Kind::Tombstone, keys.repo()).to_vec();
    let nonce: [u8; NONCE_LEN] = random(entropy)?;
    let head = object::pad(&codec::encode(&tombstone.head), 0, 0, HEAD_PLAIN);
    let mut sealed = Vec::new();
    seal::seal_append(&keys.tombstone_head_key(), &nonce, &object, &head, &mut sealed);
    object.extend_from_slice(&nonce);
    object.extend_from_slice(&sealed);
    let nonce: [u8; NONCE_LEN] = random(entropy)?;
    let body = object::pad(&codec::encode(tombstone), BODY, TAG_LEN + SUM_LEN, STEP);
    sealed.clear();
    seal::seal_append(&key, &nonce, &object, &body, &mut sealed);
    object.extend_from_slice(&nonce);
    object.extend_from_slice(&sealed);
    // Its name is another object's hash, so it carries its own.
    let sum = hash::object_name(&object);
    object.extend_from_slice(&sum);
    Ok(object)
}

/// Opens a tombstone's head, which every role can. It proves no more than that some role of this repository wrote it.
pub fn open_head(
    keys: &Keyring,
    bytes: &[u8],
    tag: &SeriesTag,
    id: &SnapshotId,
    name: &dyn fmt::Display,
) -> Result<GoneHead> {
    let head = read_head(keys, bytes, name)?;
    if head.series != *tag || head.snapshot != *id {
        return Err(Error::corrupt(name, "it speaks of another snapshot than the one that it is named after"));
    }
    Ok(head)
}

/// Opens a tombstone that was found without its name: it says itself of which snapshot it speaks.
pub fn open_found(keys: &Keyring, bytes: &[u8], name: &dyn fmt::Display) -> Result<Tombstone> {
    let GoneHead { series, snapshot, .. } = read_head(keys, bytes, name)?;
    open_tombstone(keys, bytes, &series, &snapshot, name)
}

fn read_head(keys: &Keyring, bytes: &[u8], name: &dyn fmt::Display) -> Result<GoneHead> {
    let damaged = || Error::corrupt(name, "it does not verify under this repository's key");
    let whole = bytes.split_last_chunk::<SUM_LEN>().is_some_and(|(rest, sum)| hash::object_name(rest) == *sum);
    if !whole {
        return Err(Error::corrupt(name, "its bytes are not those that its own hash was made of"));
    }
    object::expect_header(bytes, Kind::Tombstone, keys.repo(), name)?;
    let header = bytes.get(..HEADER_LEN).ok_or_else(damaged)?;
    let (nonce, sealed) =
        bytes.get(HEAD_NONCE..BODY_NONCE).and_then(|part| part.split_first_chunk()).ok_or_else(damaged)?;
    let plain = seal::open(&keys.tombstone_head_key(), nonce, header, sealed).ok_or_else(damaged)?;
    let payload = object::unpad(&plain).ok_or_else(damaged)?;
    codec::decode(payload).map_err(|e| Error::corrupt(name, e))
}

/// Opens a tombstone, which proves that a maintainer or an owner wrote it.
pub fn open_tombstone(
    keys: &Keyring,
    bytes: &[u8],
    tag: &SeriesTag,
    id: &SnapshotId,
    name: &dyn fmt::Display,
) -> Result<Tombstone> {
    let key = keys.tombstone_key()?;
    let head = open_head(keys, bytes, tag, id, name)?;
    let forged = || Error::corrupt(name, "no maintainer or owner of this repository wrote it");
    if !bytes.len().is_multiple_of(STEP) {
        return Err(Error::corrupt(name, "its length is not a multiple of 4096"));
    }
    let before = bytes.get(..BODY_NONCE).ok_or_else(forged)?;
    let (nonce, sealed) = bytes
        .get(BODY_NONCE..bytes.len().saturating_sub(SUM_LEN))
        .and_then(|rest| rest.split_first_chunk())
        .ok_or_else(forged)?;
    let plain = seal::open(&key, nonce, before, sealed).ok_or_else(forged)?;
    let payload = object::unpad(&plain).ok_or_else(|| Error::corrupt(name, "its padding is wrong"))?;
    let tombstone: Tombstone = codec::decode(payload).map_err(|e| Error::corrupt(name, e))?;
    if tombstone.head != head {
        return Err(Error::corrupt(name, "its head and its body differ"));
    }
    tombstone.validate().map_err(|e| Error::corrupt(name, e))?;
    Ok(tombstone)
}

impl Repository {
    /// Names of all snapshots of which somebody says that they were forgotten, of one series or of all; to be proved. One without bytes
    /// says nothing: the power went before they came.
    pub fn tombstone_names(&self, series: Option<&Series>) -> Result<BTreeSet<(SeriesTag, SnapshotId)>> {
        let names = self.names_below("gone", series)?;
        Ok(names.into_iter().filter(|(.., len)| *len > 0).map(|(tag, id, _)| (tag, SnapshotId(id))).collect())
    }

    fn tombstone_bytes(&self, name: &ObjectName) -> Result<Vec<u8>> {
        self.store().get(name, limits::MARK_MAX)
    }

    /// Reads a tombstone and holds it against its proof; for maintainers and owners.
    pub fn tombstone(&self, tag: &SeriesTag, id: &SnapshotId) -> Result<Tombstone> {
        let name = object_name(tag, id);
        open_tombstone(self.keys(), &self.tombstone_bytes(&name)?, tag, id, &name)
    }

    /// A tombstone's head, as every role can open it.
    pub fn tombstone_head(&self, tag: &SeriesTag, id: &SnapshotId) -> Result<GoneHead> {
        let name = object_name(tag, id);
        open_head(self.keys(), &self.tombstone_bytes(&name)?, tag, id, &name)
    }

    /// Reads a tombstone and holds it against all that these keys can: the proof, or for a writer, who has no key to it, the head. A
    /// writer that is lied to reads its sources anew, and keeps clear of numbers that were never given: no data is lost by it.
    pub fn prove_forgotten(&self, tag: &SeriesTag, id: &SnapshotId) -> Result<GoneHead> {
        match self.keys().role() {
            Role::Writer => self.tombstone_head(tag, id),
            _ => self.tombstone(tag, id).map(|tombstone| tombstone.head),
        }
    }

    /// Stores a tombstone unless there is one already, which must then prove. Durable after the store's next sync; the snapshot
    /// may be removed only then.
    pub fn bury(&self, tombstone: &Tombstone) -> Result<()> {
        let GoneHead { series, snapshot, .. } = &tombstone.head;
        let name = object_name(series, snapshot);
        let bytes = seal_tombstone(self.keys(), tombstone, self.entropy())?;
        if self.store().put(&name, &bytes)? == Put::Existed {
            self.tombstone(series, snapshot)?;
        }
        Ok(())
    }
}
