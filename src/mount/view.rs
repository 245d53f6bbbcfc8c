//! The repository as a tree of files: what each request of the kernel comes to, without the kernel.

use super::{
    ahead::Ahead,
    attr::{self, Owners},
    catalog::Catalog,
    content::{File, Sought},
    entry::{Address, Parent, Shot, What},
    folders::Folders,
    number::{Identity, ROOT},
    pages::{NodeRef, Pages},
    table::Table,
};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::SnapshotId,
    model::{
        node::{Body, Extent, Node},
        snapshot::Source,
    },
    monitor::Monitor,
    repo::{BlobReader, Listed, Repository},
    series::Series,
};
use fuser::FileAttr;
use lru::LruCache;
use std::{
    collections::HashSet,
    fmt::Display,
    num::NonZeroUsize,
    ops::{Deref, Range},
    sync::{Arc, Mutex, PoisonError},
};

/// Snapshots whose sources are kept.
const SNAPSHOTS: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Objects whose failures are remembered, so that each is told once.
const TOLD_MAX: usize = 10_000;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum No {
    /// There is no such entry, and never will be.
    Entry,
    /// There is no such entry now.
    EntryYet,
    /// The number stands for nothing any more.
    Stale,
    /// It is none of what can be asked for this.
    Invalid,
    /// It is no directory.
    Directory,
    /// There is nothing behind this offset.
    Beyond,
    /// It cannot be read; the monitor was told why.
    Unreadable,
}

/// What a request comes to.
pub type Answer<T> = std::result::Result<T, No>;

/// An entry as the kernel is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Its number is in it.
    pub attr: FileAttr,
    /// It will never be another one.
    pub lasting: bool,
}

/// A stored entry, wherever it was found.
enum Found {
    Page(NodeRef),
    Root(Arc<Vec<Source>>, usize),
}

impl Deref for Found {
    type Target = Node;
    fn deref(&self) -> &Node {
        match self {
            Found::Page(node) => node,
            Found::Root(sources, at) => &sources[*at].root,
        }
    }
}

/// What a mount begins with.
pub enum Root<'r> {
    /// All snapshots.
    All(Box<Catalog<'r>>),
    /// One snapshot, or a directory in it.
    One(Box<Listed>, Vec<u8>),
}

/// A repository as a tree of files. Shared by threads.
pub struct View<'r> {
    repo: &'r Repository,
    reader: &'r BlobReader<'r>,
    pages: Pages<'r>,
    catalog: Option<Box<Catalog<'r>>>,
    table: Table,
    /// What the root would be called if it were not the root.
    root: Option<Identity>,
    ahead: Ahead,
    owners: Owners,
    sources: Mutex<LruCache<SnapshotId, Arc<Vec<Source>>>>,
    told: Mutex<HashSet<String>>,
    monitor: Arc<dyn Monitor>,
}

/// Bounds and choices of a mount.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Decoded pages that are kept, in bytes.
    pub pages: usize,
    /// Bytes that are opened ahead of who reads a file from front to back.
    pub ahead: u64,
    /// Whose the entries are.
    pub owners: Owners,
}

impl<'r> View<'r> {
    /// Shows what `root` begins with, reading with `reader`. Fails when that is no directory.
    pub fn new(
        reader: &'r BlobReader<'r>,
        root: Root<'r>,
        settings: Settings,
        monitor: Arc<dyn Monitor>,
    ) -> Result<Self> {
        let (catalog, fixed) = match root {
            Root::All(catalog) => (Some(catalog), None),
            Root::One(listed, path) => (None, Some((listed, path))),
        };
        let mut view = View {
            repo: reader.repo(),
            reader,
            pages: Pages::new(reader, settings.pages),
            catalog,
            table: Table::new(What::Folder("".into())),
            root: None,
            ahead: Ahead::new(settings.ahead),
            owners: settings.owners,
            sources: Mutex::new(LruCache::new(SNAPSHOTS)),
            told: Mutex::default(),
            monitor,
        };
        if let Some((listed, path)) = fixed {
            let Listed { id, snapshot, .. } = *listed;
            let tag = view.repo.keys().series_tag(&Series::parse(&snapshot.series)?);
            let shot = Shot { id, tag, time: snapshot.head.time.sec };
            view.keep_sources(id, snapshot.sources.into());
            let root = view.descend(shot.into(), &path)?;
            view.root = Some(match &root {
                What::Dir(dir) => dir.identity,
                _ => Identity::of_snapshot(&id),
            });
            view.table = Table::new(root);
        }
        Ok(view)
    }

    /// The entry at a path in a snapshot.
    fn descend(&self, shot: Arc<Shot>, path: &[u8]) -> Result<What> {
        let mut what = What::Shot(shot);
        for name in path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".") {
            let parent = match &what {
                What::Shot(shot) => Parent::Shot(shot.clone()),
                What::Dir(dir) => Parent::Dir(dir.clone()),
                _ => break,
            };
            let missing = || Error::usage(format!("{} is not there: see `vault ls`", Address(&parent, name)));
            let node = self.node(&parent, name)?.ok_or_else(missing)?;
            what = What::stored(&parent, &node);
        }
        match what.place().filter(|_| !what.is_directory()) {
            Some((parent, name)) => {
                Err(Error::usage(format!("{} is no directory: only these can be mounted", Address(&parent, name))))
            }
            None => Ok(what),
        }
    }

    fn keep_sources(&self, id: SnapshotId, sources: Arc<Vec<Source>>) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(id, sources);
    }

    /// What a snapshot consists of.
    pub(super) fn sources(&self, shot: &Shot) -> Result<Arc<Vec<Source>>> {
        if let Some(sources) = self.sources.lock().unwrap_or_else(PoisonError::into_inner).get(&shot.id) {
            return Ok(sources.clone());
        }
        let sources = Arc::new(self.repo.read_snapshot(&shot.tag, &shot.id)?.snapshot.sources);
        self.keep_sources(shot.id, sources.clone());
        Ok(sources)
    }

    /// The stored entry of this name.
    fn node(&self, parent: &Parent, name: &[u8]) -> Result<Option<Found>> {
        match parent {
            Parent::Dir(dir) => Ok(self.pages.find(&dir.tree, name)?.map(Found::Page)),
            Parent::Shot(shot) => {
                let sources = self.sources(shot)?;
                let at = sources.binary_search_by(|source| source.root.name.as_bytes().cmp(name));
                Ok(at.ok().map(|at| Found::Root(sources, at)))
            }
        }
    }

    /// Tells, once for each object, what cannot be read.
    pub(super) fn unreadable(&self, at: &dyn Display, error: Error) -> No {
        let object = match &error {
            Error::Corrupt { object, .. }
            | Error::Missing { object }
            | Error::Unsupported { object, .. }
            | Error::Store { object, .. } => object.clone(),
            other => other.to_string(),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX && told.insert(object) {
            self.monitor.problem(&format!("{at} cannot be read: {error}"));
        }
        No::Unreadable
    }

    /// The stored entry that a number stands for.
    fn stored(&self, what: &What) -> Answer<Found> {
        let (parent, name) = what.place().ok_or(No::Invalid)?;
        match self.node(&parent, name) {
            Ok(node) => node.ok_or(No::Stale),
            Err(error) => Err(self.unreadable(&Address(&parent, name), error)),
        }
    }

    /// What a number stands for.
    pub(super) fn what(&self, number: u64) -> Answer<What> {
        self.table.get(number).ok_or(No::Stale)
    }

    /// What the kernel is told of an entry that has this number.
    fn tell(&self, number: u64, what: &What) -> Answer<Told> {
        let (link, time) = match what {
            What::Folder(path) => {
                let folders = self.folders();
                (None, folders.as_ref().and_then(|folders| folders.get(path)).ok_or(No::Stale)?.time)
            }
            What::Link { target, time } => (Some(&**target), *time),
            What::Shot(shot) => (None, shot.time),
            What::Dir(_) | What::Leaf { .. } => {
                return Ok(Told { attr: attr::of_node(number, &*self.stored(what)?, self.owners), lasting: true });
            }
        };
        Ok(Told { attr: attr::made_up(number, link, time, self.owners), lasting: false })
    }

    /// What `stat` says of a number.
    pub fn attributes(&self, number: u64) -> Answer<Told> {
        self.tell(number, &self.what(number)?)
    }

    pub(super) fn folders(&self) -> Option<Arc<Folders>> {
        self.catalog.as_ref().map(|catalog| catalog.folders())
    }

    /// Looks for new snapshots, at most once a second. That none can be found now is told, and no reason to hide the known ones.
    pub(super) fn refresh(&self) {
        let Some(catalog) = &self.catalog else { return };
        let before_new = || {
            let (newer, unreadable) = self.repo.load_index(false)?;
            for (object, error) in unreadable {
                self.unreadable(&object, error);
            }
            self.reader.index().replace(newer);
            Ok(())
        };
        if let Err(error) = catalog.refresh(&before_new, &*self.monitor) {
            self.unreadable(&"the list of snapshots", error);
        }
    }

    /// Finds a name in a directory and counts that the kernel knows it. [`No::Entry`] for what never will be there, and
    /// [`No::EntryYet`] for what may come.
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Answer<Told> {
        let parent = match self.what(parent)? {
            What::Folder(path) => return self.lookup_in_folder(&path, name),
            What::Shot(shot) => Parent::Shot(shot),
            What::Dir(dir) => Parent::Dir(dir),
            _ => return Err(No::Directory),
        };
        match self.node(&parent, name) {
            Ok(node) => Ok(self.enter_node(&parent, &*node.ok_or(No::Entry)?)),
            Err(error) => Err(self.unreadable(&Address(&parent, name), error)),
        }
    }

    /// Counts that the kernel is told of a stored entry.
    pub(super) fn enter_node(&self, parent: &Parent, node: &Node) -> Told {
        let number = self.table.enter(parent.identity_of(node), || What::stored(parent, node));
        self.tell_node(number, node)
    }

    /// What the kernel is told of a stored entry that has this number.
    pub(super) fn tell_node(&self, number: u64, node: &Node) -> Told {
        Told { attr: attr::of_node(number, node, self.owners), lasting: true }
    }

    fn lookup_in_folder(&self, path: &str, name: &[u8]) -> Answer<Told> {
        let find = || self.folders()?.get(path)?.entries.get(name).cloned();
        // A link may lead to another by now. What is a snapshot, or a folder, stays one.
        let what = match find().filter(|what| !matches!(what, What::Link { .. })) {
            Some(what) => what,
            None => {
                self.refresh();
                find().ok_or(No::EntryYet)?
            }
        };
        self.enter_made_up(path, name, &what)
    }

    /// Counts that the kernel is told of an entry that only the mount has.
    pub(super) fn enter_made_up(&self, folder: &str, name: &[u8], what: &What) -> Answer<Told> {
        let number = self.table.enter(identity_of_made_up(folder, name, what), || what.clone());
        self.tell(number, what).inspect_err(|_| self.table.forget(number, 1))
    }

    /// What the kernel is told of an entry that only the mount has, without counting it.
    pub(super) fn tell_made_up(&self, folder: &str, name: &[u8], what: &What) -> Answer<Told> {
        self.tell(identity_of_made_up(folder, name, what).number, what)
    }

    /// The kernel forgot that it was told of a number so many times.
    pub fn forget(&self, number: u64, lookups: u64) {
        self.table.forget(number, lookups);
    }

    /// The entries that the kernel knows.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The number of what an entry is in: the root's for what only the mount has, which is not asked.
    pub fn parent_number(&self, what: &What) -> u64 {
        let parent = what.place().map(|(parent, _)| parent.identity());
        match parent {
            Some(identity) if self.root != Some(identity) => identity.number,
            _ => ROOT,
        }
    }

    /// Where a symbolic link leads.
    pub fn link(&self, number: u64) -> Answer<Vec<u8>> {
        let what = self.what(number)?;
        if let What::Link { target, .. } = &what {
            return Ok(target.as_bytes().to_vec());
        }
        match &self.stored(&what)?.body {
            Body::Symlink { target } => Ok(target.clone()),
            _ => Err(No::Invalid),
        }
    }

    /// Calls `each` with an entry's extended attributes.
    pub fn attributes_beyond(&self, number: u64, each: &mut dyn FnMut(&[u8], &[u8])) -> Answer<()> {
        let what = self.what(number)?;
        if what.is_stored() {
            let node = self.stored(&what)?;
            node.meta.xattrs.iter().for_each(|xattr| each(&xattr.name, &xattr.value));
        }
        Ok(())
    }

    fn file(&self, what: &What) -> Answer<File> {
        match &self.stored(what)?.body {
            Body::File { size, content } => Ok(File { size: *size, content: content.clone() }),
            _ => Err(No::Invalid),
        }
    }

    fn failed(&self, what: &What, error: Error) -> No {
        match what.place() {
            Some((parent, name)) => self.unreadable(&Address(&parent, name), error),
            None => self.unreadable(&"a file", error),
        }
    }

    /// Appends `len` bytes of a file from `offset` on, or as many as there are. Returns the stretch behind them that will be read
    /// next, to be opened by [`View::open_ahead`].
    pub fn read(&self, number: u64, offset: u64, len: usize, out: &mut Vec<u8>) -> Answer<Range<u64>> {
        let what = self.what(number)?;
        let file = self.file(&what)?;
        let next = self.ahead.watch(number, offset, len as u64);
        file.read(self.reader, &self.pages, offset, len, out).map_err(|error| self.failed(&what, error))?;
        Ok(next.start.min(file.size)..next.end.min(file.size))
    }

    /// Opens what lies in a stretch of a file, so that who comes to read it finds it in memory.
    pub fn open_ahead(&self, number: u64, stretch: Range<u64>) {
        let Ok(file) = self.what(number).and_then(|what| self.file(&what)) else { return };
        let mut open = |begin: u64, extent: Extent| {
            if let Extent::Data { id, .. } = extent {
                self.reader.blob_in_place(BlobKind::Data, &id)?;
            }
            Ok(begin + extent.len() < stretch.end)
        };
        // Whoever reads it will be told why it cannot be.
        let _ = file.each_extent(&self.pages, stretch.start, &mut open);
    }

    /// Where data, or a hole, begins at `offset` or behind it.
    pub fn seek(&self, number: u64, offset: u64, sought: Sought) -> Answer<u64> {
        let what = self.what(number)?;
        let found = self.file(&what)?.seek(&self.pages, offset, sought).map_err(|error| self.failed(&what, error))?;
        found.ok_or(No::Beyond)
    }

    /// The decoded pages.
    pub(super) fn pages(&self) -> &Pages<'r> {
        &self.pages
    }
}

fn identity_of_made_up(folder: &str, name: &[u8], what: &What) -> Identity {
    match what {
        What::Folder(path) => Identity::of_folder(path),
        What::Shot(shot) => Identity::of_snapshot(&shot.id),
        What::Link { target, .. } => Identity::of_link(folder, name, target),
        // No folder of the mount's own holds these.
        What::Dir(_) | What::Leaf { .. } => Identity::of_folder(folder),
    }
}
