//! Assembles a pack while it goes to the store: memory for a directory, not for the pack.

use super::{DIRECTORY_STEP, Directory, FOOTER_LEN, FOOTER_MAGIC, PackEntry, SegmentEntry, object_name, padding_step};
use crate::id::BlobId;
use crate::{
    error::Result,
    hash::ObjectHasher,
    id::{PackId, RepoId},
    keys::wrap::WrappedKey,
    model::codec,
    object::{self, HEADER_LEN, Kind, NONCE_LEN, TAG_LEN},
    seal::{self, SealKey},
    segment::{BlobEntry, Recipe},
    store::{Store, Upload},
    world::{Entropy, random},
};

/// A sealed and proved segment on its way into a pack.
#[derive(Debug)]
pub struct Sealed {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How to open them.
    pub recipe: Recipe,
    /// The key, wrapped.
    pub key: WrappedKey,
    /// How many versions it is away from one that leans on none.
    pub generation: u8,
    /// Base blobs.
    pub bases: Vec<BlobId>,
    /// Its blobs.
    pub blobs: Vec<BlobEntry>,
}

/// A pack that is being written.
pub struct PackWriter<'s> {
    upload: Box<dyn Upload + 's>,
    hasher: ObjectHasher,
    len: u64,
    kind: Kind,
    header: [u8; HEADER_LEN],
    directory: Directory,
    blobs: usize,
}

impl<'s> PackWriter<'s> {
    /// Begins a pack of this kind.
    pub fn new(store: &'s dyn Store, kind: Kind, repo: RepoId) -> Result<Self> {
        let header = object::header(kind, repo);
        let mut pack = PackWriter {
            upload: store.upload()?,
            hasher: ObjectHasher::default(),
            len: 0,
            kind,
            header,
            directory: Directory::default(),
            blobs: 0,
        };
        pack.append(&header)?;
        Ok(pack)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.upload.append(bytes)?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Length so far, in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True before the first segment.
    pub fn is_empty(&self) -> bool {
        self.directory.segments.is_empty()
    }

    /// Number of blobs so far.
    pub fn blob_count(&self) -> usize {
        self.blobs
    }

    /// Appends a segment. Returns the room of its bytes, to be used again.
    pub fn add(&mut self, sealed: Sealed) -> Result<Vec<u8>> {
        // Segments of few writers lie in a pack: the key is among the last.
        let key = match self.directory.keys.iter().rposition(|key| *key == sealed.key) {
            Some(at) => at,
            None => {
                self.directory.keys.push(sealed.key);
                self.directory.keys.len() - 1
            }
        };
        let entry = SegmentEntry {
            offset: self.len,
            stored: sealed.bytes.len() as u32,
            raw: sealed.recipe.raw,
            codec: sealed.recipe.codec,
            key: key as u32,
            counter: sealed.recipe.counter,
            generation: sealed.generation,
            bases: sealed.bases,
            blobs: sealed.blobs,
        };
        self.append(&sealed.bytes)?;
        self.blobs += entry.blobs.len();
        self.directory.segments.push(entry);
        Ok(sealed.bytes)
    }

    /// Appends padding, directory and footer and gives the pack its name.
    pub fn finish(mut self, directory_key: &SealKey, entropy: &dyn Entropy) -> Result<PackEntry> {
        let plain = object::pad(&codec::encode(&self.directory), 0, 0, DIRECTORY_STEP);
        let sealed_len = NONCE_LEN + plain.len() + TAG_LEN;
        let bare = self.len + (sealed_len + FOOTER_LEN) as u64;
        let padding = bare.next_multiple_of(padding_step(bare)) - bare;
        self.append_random(padding, entropy)?;

        let mut footer = [0; FOOTER_LEN];
        footer[..8].copy_from_slice(&self.len.to_le_bytes());
        footer[8..16].copy_from_slice(&(sealed_len as u64).to_le_bytes());
        footer[16..24].copy_from_slice(&FOOTER_MAGIC);
        let nonce: [u8; NONCE_LEN] = random(entropy)?;
        let mut end = Vec::with_capacity(sealed_len + FOOTER_LEN);
        end.extend_from_slice(&nonce);
        let ad = [&self.header[..], &footer[..16]].concat();
        seal::seal_append(directory_key, &nonce, &ad, &plain, &mut end);
        end.extend_from_slice(&footer);
        self.append(&end)?;

        let id = PackId(self.hasher.finish());
        self.upload.finish(&object_name(&id))?;
        Ok(PackEntry { id, len: self.len, kind: self.kind as u8, directory: self.directory })
    }

    /// Random bytes, not zeros, which would show where the contents end. Stretched from one draw: they are not secret.
    fn append_random(&mut self, len: u64, entropy: &dyn Entropy) -> Result<()> {
        let seed: [u8; 32] = random(entropy)?;
        let mut noise = blake3::Hasher::new_derive_key("vault v1 pack padding").update(&seed).finalize_xof();
        let mut left = len;
        let mut buf = vec![0; left.min(64 << 10) as usize];
        while left > 0 {
            let part = left.min(buf.len() as u64) as usize;
            noise.fill(&mut buf[..part]);
            self.append(&buf[..part])?;
            left -= part as u64;
        }
        Ok(())
    }
}
