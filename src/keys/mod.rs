//! Who may do what: the key hierarchy, slots that open it, the recovery sheet. `format-spec/02-keys.md` fixes all of it.

pub mod recovery;
pub mod slot;
pub mod wrap;

use crate::{
    chunk::TABLE_LEN,
    error::{Error, Result},
    hash::BlobNamer,
    id::{RepoId, SeriesTag},
    object::Kind,
    seal::SealKey,
    series::Series,
    world::{Entropy, random},
};
use std::fmt;
use wrap::{PublicKey, SecretKey};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// Add snapshots; read nothing.
    Writer = 1,
    /// Also read trees and snapshots; no contents of files.
    Maintainer = 2,
    /// Everything.
    Owner = 3,
}

impl Role {
    /// The role from its number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Role::Writer),
            2 => Some(Role::Maintainer),
            3 => Some(Role::Owner),
            _ => None,
        }
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Writer => "writer",
            Role::Maintainer => "maintainer",
            Role::Owner => "owner",
        }
    }

    /// Whose key will do where this role is needed.
    fn at_least(self) -> &'static str {
        match self {
            Role::Writer => "any key",
            Role::Maintainer => "a maintainer or owner key",
            Role::Owner => "an owner key",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `KDF(context, secret ‖ repo)`.
fn derive(context: &str, secret: &SealKey, repo: RepoId) -> [u8; 32] {
    *derive_hasher(context, secret, repo).finalize().as_bytes()
}

fn derive_hasher(context: &str, secret: &SealKey, repo: RepoId) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(secret.expose()).update(repo.as_bytes());
    hasher
}

/// The keys that one holds in a repository.
#[derive(Clone)]
pub struct Keyring {
    repo: RepoId,
    role: Role,
    root: Option<SealKey>,
    writer: SealKey,
    meta_public: PublicKey,
    data_public: PublicKey,
    meta_secret: Option<SecretKey>,
    data_secret: Option<SecretKey>,
}

impl Keyring {
    /// Everything, from the root secret.
    pub fn owner(repo: RepoId, root: SealKey) -> Self {
        let writer = SealKey::new(derive("vault v1 writer root", &root, repo));
        let meta = SecretKey::new(derive("vault v1 meta secret", &root, repo));
        let data = SecretKey::new(derive("vault v1 data secret", &root, repo));
        Keyring {
            repo,
            role: Role::Owner,
            root: Some(root),
            writer,
            meta_public: meta.public(),
            data_public: data.public(),
            meta_secret: Some(meta),
            data_secret: Some(data),
        }
    }

    /// A new repository's keys.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self> {
        Ok(Keyring::owner(RepoId(random(entropy)?), SealKey::new(random(entropy)?)))
    }

    /// Trees, snapshots and lists, no contents of files.
    fn maintainer(repo: RepoId, writer: SealKey, meta: SecretKey, data_public: PublicKey) -> Self {
        let meta_public = meta.public();
        Keyring {
            repo,
            role: Role::Maintainer,
            root: None,
            writer,
            meta_public,
            data_public,
            meta_secret: Some(meta),
            data_secret: None,
        }
    }

    /// What is needed to add snapshots.
    fn writer(repo: RepoId, writer: SealKey, meta_public: PublicKey, data_public: PublicKey) -> Self {
        Keyring {
            repo,
            role: Role::Writer,
            root: None,
            writer,
            meta_public,
            data_public,
            meta_secret: None,
            data_secret: None,
        }
    }

    /// The same keys with what `role` does not have taken away.
    pub fn narrowed(&self, role: Role) -> Result<Self> {
        let lacks = || self.lacks(role, format!("make {role} keys"));
        match role {
            Role::Owner => self.root.clone().map(|root| Keyring::owner(self.repo, root)).ok_or_else(lacks),
            Role::Maintainer => {
                let meta = self.meta_secret.clone().ok_or_else(lacks)?;
                Ok(Keyring::maintainer(self.repo, self.writer.clone(), meta, self.data_public.clone()))
            }
            Role::Writer => {
                Ok(Keyring::writer(self.repo, self.writer.clone(), self.meta_public.clone(), self.data_public.clone()))
            }
        }
    }

    /// The repository.
    pub fn repo(&self) -> RepoId {
        self.repo
    }

    /// What these keys may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Fails unless these keys may do what `needs` may; `what` says what for.
    pub fn expect(&self, needs: Role, what: impl Into<String>) -> Result<()> {
        if self.role >= needs { Ok(()) } else { Err(self.lacks(needs, what)) }
    }

    fn lacks(&self, needs: Role, what: impl Into<String>) -> Error {
        Error::NotPermitted { what: what.into(), role: self.role.name(), needs: needs.at_least() }
    }

    /// The root secret, for the recovery sheet.
    pub fn root(&self) -> Option<&SealKey> {
        self.root.as_ref()
    }

    fn sealing(&self, context: &str) -> SealKey {
        SealKey::new(derive(context, &self.writer, self.repo))
    }

    /// Names blobs.
    pub fn blob_namer(&self) -> BlobNamer {
        let key = |context| derive(context, &self.writer, self.repo);
        BlobNamer::new(key("vault v1 blob id: data"), key("vault v1 blob id: tree"), key("vault v1 blob id: list"))
    }

    /// The chunker's secret table.
    pub fn chunker_table(&self) -> Box<[u8; TABLE_LEN]> {
        let mut table = Box::new([0; TABLE_LEN]);
        derive_hasher("vault v1 chunker table", &self.writer, self.repo).finalize_xof().fill(&mut table[..]);
        table
    }

    /// Says where directories are cut into pages.
    pub fn page_key(&self) -> [u8; 32] {
        derive("vault v1 page cuts", &self.writer, self.repo)
    }

    /// The folder of a series.
    pub fn series_tag(&self, series: &Series) -> SeriesTag {
        let key = derive("vault v1 series", &self.writer, self.repo);
        let hash = blake3::keyed_hash(&key, series.as_str().as_bytes());
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash.as_bytes()[..16]);
        SeriesTag(tag)
    }

    /// Seals `config`.
    pub fn config_key(&self) -> SealKey {
        self.sealing("vault v1 config")
    }

    /// Seals directories of packs.
    pub fn directory_key(&self) -> SealKey {
        self.sealing("vault v1 directory")
    }

    /// Seals index objects.
    pub fn index_key(&self) -> SealKey {
        self.sealing("vault v1 index")
    }

    /// Seals heads of snapshots.
    pub fn head_key(&self) -> SealKey {
        self.sealing("vault v1 snapshot head")
    }

    /// Seals sessions.
    pub fn session_key(&self) -> SealKey {
        self.sealing("vault v1 session")
    }

    /// Seals notes of prune.
    pub fn gc_key(&self) -> SealKey {
        self.sealing("vault v1 gc")
    }

    /// Seals what every role may know of a forgotten snapshot.
    pub fn tombstone_head_key(&self) -> SealKey {
        self.sealing("vault v1 tombstone head")
    }

    /// Proves that a maintainer or an owner wrote a tombstone; [`Error::NotPermitted`] for a writer.
    pub fn tombstone_key(&self) -> Result<SealKey> {
        self.of_meta_secret("vault v1 tombstone", "forget snapshots")
    }

    /// Seals annotations; [`Error::NotPermitted`] for a writer.
    pub fn annotation_key(&self) -> Result<SealKey> {
        self.of_meta_secret("vault v1 annotation", "see or change tags and pins")
    }

    /// Seals markers of media.
    pub fn medium_key(&self) -> SealKey {
        self.sealing("vault v1 medium")
    }

    /// Seals what a client remembers of media and what lies on them; [`Error::NotPermitted`] for a writer.
    pub fn media_key(&self) -> Result<SealKey> {
        self.of_meta_secret("vault v1 local media", "see what lies on which medium")
    }

    /// Seals what a client remembers of files in its cache.
    pub fn files_key(&self) -> SealKey {
        self.sealing("vault v1 local files")
    }

    /// Turns paths into places of that cache.
    pub fn files_place_key(&self) -> [u8; 32] {
        derive("vault v1 local places", &self.writer, self.repo)
    }

    /// Seals what a client remembers of the history of trees; [`Error::NotPermitted`] for a writer.
    pub fn catalogue_key(&self) -> Result<SealKey> {
        self.of_meta_secret("vault v1 local history", "open trees and snapshots")
    }

    /// Seals what a client remembers of series.
    pub fn seen_key(&self) -> SealKey {
        self.sealing("vault v1 local series")
    }

    fn of_meta_secret(&self, context: &str, what: &str) -> Result<SealKey> {
        let secret = self.meta_secret.as_ref().ok_or_else(|| self.lacks(Role::Maintainer, what))?;
        Ok(SealKey::new(derive(context, &SealKey::new(*secret.expose()), self.repo)))
    }

    fn note_key(&self) -> SealKey {
        self.sealing("vault v1 slot note")
    }

    /// A fresh key for objects of this kind, and the same wrapped for whoever may open them.
    pub fn fresh_key(&self, kind: Kind, entropy: &dyn Entropy) -> Result<(SealKey, wrap::WrappedKey)> {
        let key = SealKey::new(random(entropy)?);
        let recipient = if kind == Kind::DataPack { &self.data_public } else { &self.meta_public };
        let wrapped = wrap::wrap(&key, recipient, &self.psk(), self.repo, kind, entropy)?;
        Ok((key, wrapped))
    }

    /// Opens a wrapped key; [`Error::NotPermitted`] when the role lacks the secret.
    pub fn unwrap_key(&self, kind: Kind, wrapped: &wrap::WrappedKey, object: &dyn fmt::Display) -> Result<SealKey> {
        let (secret, needs, what) = match kind {
            Kind::DataPack => (&self.data_secret, Role::Owner, "open contents of files"),
            _ => (&self.meta_secret, Role::Maintainer, "open trees and snapshots"),
        };
        let secret = secret.as_ref().ok_or_else(|| self.lacks(needs, what))?;
        wrap::unwrap(wrapped, secret, &self.psk(), self.repo, kind)
            .ok_or_else(|| Error::corrupt(object, "a wrapped key does not open"))
    }

    fn psk(&self) -> SealKey {
        self.sealing("vault v1 psk")
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({}, {:?})", self.role, self.repo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SeededEntropy;

    #[test]
    fn roles_agree_on_what_writers_share() {
        let entropy = SeededEntropy::new(3);
        let owner = Keyring::generate(&entropy).unwrap();
        let writer = owner.narrowed(Role::Writer).unwrap();
        let series = Series::parse("a/-/b").unwrap();
        assert_eq!(owner.series_tag(&series), writer.series_tag(&series));
        assert_eq!(owner.chunker_table(), writer.chunker_table());
        assert_eq!(owner.index_key(), writer.index_key());
    }

    #[test]
    fn narrower_keys_open_less_and_never_widen() {
        let entropy = SeededEntropy::new(3);
        let owner = Keyring::generate(&entropy).unwrap();
        let maintainer = owner.narrowed(Role::Maintainer).unwrap();
        let writer = maintainer.narrowed(Role::Writer).unwrap();
        let (data_key, data) = writer.fresh_key(Kind::DataPack, &entropy).unwrap();
        let (tree_key, tree) = writer.fresh_key(Kind::TreePack, &entropy).unwrap();
        assert_eq!(owner.unwrap_key(Kind::DataPack, &data, &"x").unwrap(), data_key);
        assert_eq!(maintainer.unwrap_key(Kind::TreePack, &tree, &"x").unwrap(), tree_key);
        assert!(matches!(maintainer.unwrap_key(Kind::DataPack, &data, &"x"), Err(Error::NotPermitted { .. })));
        assert!(matches!(writer.unwrap_key(Kind::TreePack, &tree, &"x"), Err(Error::NotPermitted { .. })));
        assert!(matches!(owner.unwrap_key(Kind::Snapshot, &tree, &"x"), Err(Error::Corrupt { .. })));
        assert_eq!(owner.tombstone_key().unwrap(), maintainer.tombstone_key().unwrap());
        assert_eq!(owner.annotation_key().unwrap(), maintainer.annotation_key().unwrap());
        assert!(writer.tombstone_key().is_err() && writer.annotation_key().is_err());
        assert!(writer.narrowed(Role::Maintainer).is_err() && maintainer.narrowed(Role::Owner).is_err());
    }

    #[test]
    fn keys_differ_by_repository() {
        let root = SealKey::new([1; 32]);
        let (a, b) = (Keyring::owner(RepoId([1; 16]), root.clone()), Keyring::owner(RepoId([2; 16]), root));
        assert_ne!(a.index_key(), b.index_key());
        assert_ne!(a.chunker_table(), b.chunker_table());
    }
}
