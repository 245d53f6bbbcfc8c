//! A repository: a store, keys that open it, and what the format makes of both.

pub mod annotations;
pub mod blob;
pub mod cache;
pub mod catalogue;
pub mod checked;
pub mod files;
mod filling;
pub mod gc;
pub mod ground;
pub(crate) mod handover;
mod lane;
pub mod media;
pub mod mover;
mod packer;
pub mod reader;
mod room;
pub mod seen;
pub mod session;
pub mod slots;
pub mod snapshots;
pub mod spares;
pub mod tombstones;
pub mod writer;

pub use annotations::{Annotations, Marks, Pin};
pub use checked::Checked;
pub use lane::{Lane, Row};
pub use packer::Written;
pub use reader::BlobReader;
pub use seen::Rollback;
pub use session::Session;
pub use slots::{SlotInfo, Unlock};
pub use snapshots::{Listed, Living, Resolved, SeriesEnd, Snapshots};
pub use writer::{WriteOptions, Writer};

use crate::{
    error::{Error, Result},
    hash::BlobNamer,
    id::{ID_LEN, IndexId, PackId, RepoId, SeriesTag, unhex},
    index::{self, BlobIndex, IndexObject, table::Unreadable},
    keys::{
        Keyring,
        slot::{Costs, Note, Secret},
    },
    model::{codec, config::Config},
    object::{self, Kind},
    pack::{self, PackEntry},
    series::Series,
    store::{ObjectName, Put, SharedStore, Store},
    world::{Clock, Entropy},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Longest `config` in bytes.
const CONFIG_MAX: u64 = 64 << 10;
/// How often the index is loaded when parts of it go away meanwhile.
const INDEX_TRIES: usize = 4;

/// What a repository is told of the world around it.
#[derive(Clone)]
pub struct Surroundings {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Folder for derived tables of all repositories; without one they stay in memory.
    pub cache: Option<PathBuf>,
    /// Folder in which this client remembers how far the series of repositories at this place had come; not to be deleted. A replica
    /// elsewhere may lag behind: it has another folder. Without one nothing is remembered.
    pub state: Option<PathBuf>,
}

/// An open repository.
#[derive(Clone)]
pub struct Repository {
    store: SharedStore,
    keys: Keyring,
    config: Config,
    around: Surroundings,
    namer: BlobNamer,
}

fn config_name() -> ObjectName {
    ObjectName::of_parts(&["config"])
}

/// Reads `config` and the repository's id from its header, which needs no key.
fn read_config(store: &dyn Store) -> Result<(Vec<u8>, RepoId)> {
    let none = |why: &str| Error::NoRepository { place: store.place(), why: why.into() };
    let foreign = || {
        if slots::any_slot(store) {
            let what = "it does not begin as it was written, though key slots lie beside it; bring it back from a copy";
            return Error::corrupt("config", what);
        }
        none("its config is not a vault repository's; choose another folder, or make one with `vault init`")
    };
    // Asked for, so that it lasts with the next sync: who made it may have been killed before its own.
    store.stat(&config_name())?;
    let bytes = match store.get(&config_name(), CONFIG_MAX) {
        // The power went while it was made: nothing has been stored yet.
        Ok(bytes) if bytes.is_empty() && !holds_any(store, "snapshots/") => {
            return Err(none(
                "what was begun there was cut off; begin again, with `vault init` or the copy that it was to be",
            ));
        }
        Ok(bytes) => bytes,
        Err(Error::Missing { .. }) => {
            return Err(none("it holds none; choose another folder, or make one with `vault init`"));
        }
        Err(Error::Corrupt { .. }) => return Err(foreign()),
        Err(error) => return Err(error),
    };
    match object::read_header(&bytes, Kind::Config, &"config") {
        Ok(repo) => Ok((bytes, repo)),
        Err(Error::Corrupt { .. }) => Err(foreign()),
        Err(error) => Err(error),
    }
}

/// True unless nothing is listed there.
fn holds_any(store: &dyn Store, prefix: &str) -> bool {
    store.list(prefix, &mut |_| Err(Error::Cancelled)).is_err()
}

fn open_config(payload: &[u8]) -> Result<Config> {
    let config: Config = codec::decode(payload).map_err(|e| Error::corrupt("config", e))?;
    config.validate()?;
    Ok(config)
}

impl Repository {
    /// Makes a repository that `secret` opens as owner. Nothing of it counts before `config`, which is written last: after
    /// an interruption it may be made again.
    pub fn init(
        store: SharedStore,
        secret: &Secret,
        costs: Costs,
        label: &str,
        config: Config,
        around: Surroundings,
    ) -> Result<Self> {
        if store.stat(&config_name())?.is_some_and(|entry| entry.len > 0) {
            // Whoever made it may have been killed before it was durable, and now it is relied on.
            store.sync()?;
            return Err(Error::refused(format!("there is a repository at {} already", store.place())));
        }
        let created = around.clock.now().sec;
        let config = Config { created, ..config };
        config.validate()?;
        let keys = Keyring::generate(&*around.entropy)?;
        let note = Note { role: keys.role(), created, label: label.to_owned() };
        slots::store_slot(&*store, &keys, secret, costs, &note, &*around.entropy)?;
        let bytes = object::seal_envelope(
            Kind::Config,
            keys.repo(),
            &keys.config_key(),
            &codec::encode(&config),
            &*around.entropy,
        )?;
        if store.put(&config_name(), &bytes)? == Put::Existed {
            return Err(Error::refused(format!("another process has just made a repository at {}", store.place())));
        }
        store.sync()?;
        Ok(Repository { store, namer: keys.blob_namer(), keys, config, around })
    }

    /// The id of the repository in a store, which needs no key; [`Error::NoRepository`] when there is none.
    pub fn identify(store: &dyn Store) -> Result<RepoId> {
        read_config(store).map(|(_, repo)| repo)
    }

    /// Opens a repository.
    pub fn open(store: SharedStore, unlock: &Unlock, around: Surroundings) -> Result<Self> {
        let (bytes, repo) = read_config(&*store)?;
        let keys = slots::open_keys(&*store, repo, unlock)?;
        let payload = match (object::open_envelope(Kind::Config, repo, &keys.config_key(), &bytes, &"config"), unlock) {
            // A sheet of another repository is well-formed; that it is the wrong one shows here.
            (Err(Error::Corrupt { .. }), Unlock::Root(_)) => {
                return Err(Error::WrongKey { why: "this recovery sheet belongs to another repository".into() });
            }
            (payload, _) => payload?,
        };
        let config = open_config(&payload)?;
        Ok(Repository { store, namer: keys.blob_namer(), keys, config, around })
    }

    /// Opens a replica of this repository by the keys that are known already: its slots may be older than those here.
    pub fn open_replica(&self, store: SharedStore, around: Surroundings) -> Result<Self> {
        let (bytes, repo) = read_config(&*store)?;
        if repo != self.keys.repo() {
            return Err(Error::usage(format!("{} holds another repository ({repo})", store.place())));
        }
        let config =
            open_config(&object::open_envelope(Kind::Config, repo, &self.keys.config_key(), &bytes, &"config")?)?;
        Ok(Repository { store, config, around, ..self.clone() })
    }

    /// The same repository in another store: a replica, of which nothing is derived or remembered here.
    pub fn at(&self, store: SharedStore) -> Repository {
        let around = Surroundings { cache: None, state: None, ..self.around.clone() };
        Repository { store, around, ..self.clone() }
    }

    /// Where the objects live.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The keys.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Reads `config` again: it must be whole, and say what it said when the repository was opened.
    pub fn verify_config(&self) -> Result<()> {
        let name = config_name();
        let bytes = self.store.get(&name, CONFIG_MAX)?;
        let key = self.keys.config_key();
        let payload = object::open_envelope(Kind::Config, self.keys.repo(), &key, &bytes, &name)?;
        let config: Config = codec::decode(&payload).map_err(|e| Error::corrupt(&name, e))?;
        config.validate()?;
        if config == self.config { Ok(()) } else { Err(Error::corrupt(&name, "it has changed since it was opened")) }
    }

    /// True when the store still answers and holds the repository: a failure was then one object's.
    pub fn is_there(&self) -> bool {
        matches!(self.store.stat(&config_name()), Ok(Some(_)))
    }

    /// Reads an index object and checks it against its name.
    pub fn read_index_object(&self, id: &IndexId) -> Result<IndexObject> {
        index::table::read_object(&*self.store, self.keys.repo(), &self.keys.index_key(), id)
    }

    /// Reads a pack's own directory.
    pub fn read_directory(&self, id: &PackId) -> Result<PackEntry> {
        pack::read_directory(&*self.store, id, self.keys.repo(), &self.keys.directory_key())
    }

    /// Reads a pack and holds it against its name. False for one that is not there.
    pub fn is_whole(&self, id: &PackId) -> Result<bool> {
        pack::is_whole(&*self.store, id)
    }

    /// Names blobs.
    pub fn namer(&self) -> &BlobNamer {
        &self.namer
    }

    /// Tells the time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.around.clock
    }

    /// Gives random bytes.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.around.entropy
    }

    /// A folder for this repository's derived files, made when it is not there.
    fn cache_folder(&self, name: &str) -> Option<PathBuf> {
        let root = self.around.cache.as_ref()?;
        let folder = checked::folder_of(root, self.keys.repo()).join(name);
        make_private_folder(&folder).ok()?;
        Some(folder)
    }

    /// When this client last read the packs.
    pub fn checked(&self) -> Checked {
        Checked::open(self.cache_folder("index").as_deref().and_then(Path::parent))
    }

    /// All blobs that the index objects list. `fresh` makes the local tables anew from the store.
    ///
    /// Objects that go away while they are read were replaced by others: then all are listed again.
    pub fn load_index(&self, fresh: bool) -> Result<(BlobIndex, Unreadable)> {
        let (key, mut tries) = (self.keys.index_key(), INDEX_TRIES);
        loop {
            let loaded = BlobIndex::load(&*self.store, self.keys.repo(), &key, self.cache_folder("index"), fresh)?;
            tries -= 1;
            if tries == 0 || !loaded.1.iter().any(|(_, error)| matches!(error, Error::Missing { .. })) {
                return Ok(loaded);
            }
        }
    }

    /// Objects of the shape `folder/<series>/<id>`, of one series or of all, with their lengths; sorted.
    fn names_below(&self, folder: &str, series: Option<&Series>) -> Result<Vec<(SeriesTag, [u8; ID_LEN], u64)>> {
        let prefix = match series {
            Some(series) => format!("{folder}/{}/", self.keys().series_tag(series)),
            None => format!("{folder}/"),
        };
        let mut names = Vec::new();
        self.store.list(&prefix, &mut |entry| {
            let mut parts = entry.name.as_str().split('/').skip(1);
            if let (Some(Ok(tag)), Some(Ok(id)), None) =
                (parts.next().map(SeriesTag::parse), parts.next().map(unhex), parts.next())
            {
                names.push((tag, id, entry.len));
            }
            Ok(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// The packs in the store, with their lengths.
    pub fn list_packs(&self) -> Result<HashMap<PackId, u64>> {
        let mut packs = HashMap::new();
        self.store.list("packs/", &mut |entry| {
            if let Ok(id) = PackId::parse(entry.name.leaf())
                && pack::object_name(&id) == entry.name
            {
                packs.insert(id, entry.len);
            }
            Ok(())
        })?;
        Ok(packs)
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({}, {:?})", self.store.place(), self.keys)
    }
}

pub(crate) fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
