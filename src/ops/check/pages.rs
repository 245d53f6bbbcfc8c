//! Every page of every tree and list, each once, whatever number of snapshots it belongs to.

use super::{findings::Findings, objects::Root};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    index::Runs,
    model::{
        limits,
        node::{Body, Content, Extent, Node},
        tree::{ListPage, TreePage},
    },
    monitor::Counter,
    name::Name,
    pack,
    repo::BlobReader,
};
use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// A page and what the page above says of it. The same page under the same words need not be looked at twice; under other words it
/// must, since these may be wrong where the others were right.
enum Task {
    /// A page of a directory: the name of its first node, unless it is a root; a name that its names are below; pages and
    /// directories above it.
    Tree { id: BlobId, first: Option<Name>, below: Option<Name>, level: usize, depth: usize },
    /// A page of a list: bytes of the file below it; pages above it.
    List { id: BlobId, len: u64, level: usize },
}

impl Task {
    fn id(&self) -> (BlobKind, &BlobId) {
        match self {
            Task::Tree { id, .. } => (BlobKind::Tree, id),
            Task::List { id, .. } => (BlobKind::List, id),
        }
    }

    /// Half a hash of the page and what is said of it. The depth of directories is left out: a directory that occurs at many depths
    /// is judged at the first.
    fn key(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        match self {
            Task::Tree { id, first, below, level, .. } => {
                hasher.update(&id.0).update(&[2, *level as u8]);
                for name in [first, below] {
                    // No name holds a zero.
                    hasher.update(name.as_ref().map_or(b"", |name| name.as_bytes())).update(&[0]);
                }
            }
            Task::List { id, len, level } => {
                hasher.update(&id.0).update(&[3, *level as u8]).update(&len.to_le_bytes());
            }
        }
        let mut half = [0; 16];
        hasher.finalize_xof().fill(&mut half);
        half
    }
}

/// Tasks that wait, the newest taken first: their number stays about the depth of the trees times what a page holds.
#[derive(Default)]
struct Waiting {
    tasks: Vec<Task>,
    busy: usize,
    seen: HashSet<[u8; 16]>,
    failed: Option<Error>,
}

struct Check<'a, 'r> {
    found: &'a Findings<'a>,
    reader: &'a BlobReader<'r>,
    runs: Arc<Runs>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// Looks at all pages of all snapshots.
pub(super) fn check(found: &Findings<'_>, reader: &BlobReader<'_>, snapshots: &[Root], threads: usize) -> Result<()> {
    let check =
        Check { found, reader, runs: reader.index().runs(), waiting: Mutex::default(), changed: Condvar::new() };
    for root in snapshots {
        let mut tasks = Vec::new();
        for node in &root.sources {
            check.node(node, 0, &|| root.object.clone(), &mut tasks);
        }
        check.push(tasks);
        // A snapshot at a time: neighbours share nearly all of their pages, and few tasks wait.
        thread::scope(|scope| {
            for _ in 0..threads {
                let spawned = thread::Builder::new().name("check".into()).spawn_scoped(scope, || check.work());
                if let Err(e) = spawned {
                    check.fail(Error::store("start a thread for", "trees", e));
                }
            }
        });
        if let Some(error) = check.lock().failed.take() {
            return Err(error);
        }
        found.monitor.check()?;
    }
    Ok(())
}

impl Check<'_, '_> {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn fail(&self, error: Error) {
        let mut waiting = self.lock();
        waiting.failed.get_or_insert(error);
        waiting.tasks.clear();
        self.changed.notify_all();
    }

    fn push(&self, tasks: Vec<Task>) {
        let mut waiting = self.lock();
        // The first comes out first, as it lies in the packs.
        for task in tasks.into_iter().rev() {
            if waiting.seen.insert(task.key()) {
                waiting.tasks.push(task);
            }
        }
        self.changed.notify_all();
    }

    /// Takes tasks until there are none and nobody can bring more.
    fn work(&self) {
        loop {
            let mut waiting = self.lock();
            let task = loop {
                if waiting.failed.is_some() {
                    return;
                }
                if let Some(task) = waiting.tasks.pop() {
                    break task;
                }
                if waiting.busy == 0 {
                    return;
                }
                waiting = self.changed.wait(waiting).unwrap_or_else(|e| e.into_inner());
            };
            waiting.busy += 1;
            drop(waiting);
            match self.found.monitor.check().and_then(|()| self.page(&task)) {
                Ok(tasks) => self.push(tasks),
                Err(error) => self.fail(error),
            }
            self.lock().busy -= 1;
            self.changed.notify_all();
        }
    }

    /// The pack that holds a page, as the object of findings on it.
    fn object(&self, id: &BlobId) -> String {
        let index = self.reader.index();
        match index.place(id).and_then(|place| index.locate(place)) {
            Some(located) => pack::object_name(&located.pack).to_string(),
            None => "index".into(),
        }
    }

    /// A page that is what its id says, and still cannot be used.
    fn spoil(&self, kind: BlobKind, id: &BlobId, what: impl std::fmt::Display) {
        let number = self.found.add(&self.object(id), format!("{kind} {}: {what}", id.short()));
        self.found.damage().pages.insert(*id, number);
    }

    /// A page that is none the worse for it elsewhere.
    fn misfit(&self, kind: BlobKind, id: &BlobId, what: &str) {
        let number = self.found.add(&self.object(id), format!("{kind} {}: {what}", id.short()));
        self.found.damage().misfits.insert(*id, number);
    }

    /// Looks at one page and returns those below.
    fn page(&self, task: &Task) -> Result<Vec<Task>> {
        let (kind, id) = task.id();
        if self.reader.index().place(id).is_none() {
            self.found.unlisted(id);
            return Ok(Vec::new());
        }
        let bytes = match self.reader.blob(kind, id) {
            Ok(bytes) => bytes,
            Err(error) => {
                // The pack that is to blame may be another, when the page lies in several or leans on others.
                let object = match &error {
                    Error::Corrupt { object, .. } | Error::Missing { object } | Error::Store { object, .. }
                        if object.starts_with("packs/") =>
                    {
                        object.clone()
                    }
                    _ => self.object(id),
                };
                let number = match error {
                    Error::Missing { object: of } if of == object => {
                        self.found.add(&object, "the index lists it, but it is not in the store")
                    }
                    error => self.found.judge(&object, error)?,
                };
                self.found.damage().pages.insert(*id, number);
                return Ok(Vec::new());
            }
        };
        let mut below = Vec::new();
        match task {
            Task::Tree { .. } => match TreePage::decode(&bytes) {
                Ok(page) => self.tree(task, page, &mut below),
                Err(error) => self.spoil(kind, id, error),
            },
            Task::List { len, level, .. } => match ListPage::decode(&bytes) {
                Ok(page) => self.list(id, *len, *level, page, &mut below),
                Err(error) => self.spoil(kind, id, error),
            },
        }
        Ok(below)
    }

    fn tree(&self, task: &Task, page: TreePage, tasks: &mut Vec<Task>) {
        let Task::Tree { id, first, below, level, depth } = task else { return };
        let bad = |what| self.misfit(BlobKind::Tree, id, what);
        let (found_first, found_last) = match &page {
            TreePage::Leaf(leaf) => {
                (leaf.nodes.first().map(|node| &node.name), leaf.nodes.last().map(|node| &node.name))
            }
            TreePage::Inner(children) => {
                (children.first().map(|child| &child.first), children.last().map(|child| &child.first))
            }
        };
        if first.is_some() && first.as_ref() != found_first {
            return bad("it does not begin with the name that its parent says");
        }
        if below.is_some() && found_last >= below.as_ref() {
            return bad("its names come after those of the page that follows");
        }
        match page {
            TreePage::Inner(_) if *level >= limits::LEVELS_MAX => bad("too many levels of pages"),
            TreePage::Inner(children) => {
                let mut upper: Vec<Option<Name>> =
                    children.iter().skip(1).map(|child| Some(child.first.clone())).collect();
                upper.push(below.clone());
                for (child, below) in children.into_iter().zip(upper) {
                    let (level, depth) = (level + 1, *depth);
                    tasks.push(Task::Tree { id: child.id, first: Some(child.first), below, level, depth });
                }
            }
            TreePage::Leaf(leaf) => {
                self.found.monitor.add(Counter::Entries, leaf.nodes.len() as u64);
                let object = || self.object(id);
                for node in &leaf.nodes {
                    if node.is_dir() && depth + 1 >= limits::DEPTH_MAX {
                        bad("its directories are nested too deeply");
                    } else {
                        self.node(node, depth + 1, &object, tasks);
                    }
                }
            }
        }
    }

    fn list(&self, id: &BlobId, len: u64, level: usize, page: ListPage, tasks: &mut Vec<Task>) {
        let bad = |what| self.misfit(BlobKind::List, id, what);
        // Decoding has checked that neither sum overflows.
        match page {
            ListPage::Leaf(extents) if extents.iter().map(Extent::len).sum::<u64>() != len => {
                bad("its lengths do not add up")
            }
            ListPage::Leaf(extents) => {
                let object = || self.object(id);
                extents.iter().for_each(|extent| self.extent(extent, &object));
            }
            ListPage::Inner(children) if children.iter().map(|child| child.len).sum::<u64>() != len => {
                bad("its lengths do not add up")
            }
            ListPage::Inner(_) if level >= limits::LEVELS_MAX => bad("too many levels of pages"),
            ListPage::Inner(children) => {
                tasks.extend(children.iter().map(|c| Task::List { id: c.id, len: c.len, level: level + 1 }));
            }
        }
    }

    /// What a node leads to. `object` is what findings on the node itself are about.
    fn node(&self, node: &Node, depth: usize, object: &dyn Fn() -> String, tasks: &mut Vec<Task>) {
        match &node.body {
            Body::Directory { tree, .. } => {
                tasks.push(Task::Tree { id: *tree, first: None, below: None, level: 0, depth });
            }
            Body::File { size, content: Content::Paged(id) } => {
                tasks.push(Task::List { id: *id, len: *size, level: 0 });
            }
            Body::File { content: Content::Extents(extents), .. } => {
                extents.iter().for_each(|extent| self.extent(extent, object));
            }
            _ => {}
        }
    }

    /// A data blob must be listed, in the length that the file says. Whether its pack is there was asked for each pack.
    fn extent(&self, extent: &Extent, object: &dyn Fn() -> String) {
        let Extent::Data { id, len, .. } = extent else { return };
        let mut listed = None;
        for row in self.runs.iter().flat_map(|run| run.find(id)) {
            if row.len == *len {
                return;
            }
            listed = Some(row.len);
        }
        match listed {
            None => self.found.unlisted(id),
            Some(other) => {
                let what = format!("a file's extent gives blob {} {len} bytes in place of {other}", id.short());
                let number = self.found.add(&object(), what);
                self.found.damage().extents.insert((*id, *len), number);
            }
        }
    }
}
