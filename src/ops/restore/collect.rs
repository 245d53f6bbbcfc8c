//! Walks what is to be restored, in the order of the tree: makes directories at once, collects files into windows, and
//! finishes the directories that were left when their window is done.

use super::{
    Job, Top,
    dirs::{DirId, Dirs, ROOT},
    filter::Filter,
    links::Firsts,
    owners::Names,
    remove::Extras,
    window::{Finish, Window, weight_of},
};
use crate::{
    error::Result,
    fs::target::{Target, TargetDir, folded},
    id::BlobId,
    model::{
        limits::XATTRS_MAX,
        node::{Body, Meta, Node},
    },
    monitor::Counter,
    name::Name,
    ops::walk::{Event, TreeWalk},
};
use std::collections::HashSet;

/// Bytes of metadata that the directories around one entry may have together: a hostile tree could have a mebibyte on
/// each of 16 384 levels.
const AROUND_MAX: usize = 8 * XATTRS_MAX;

/// Where a directory of the walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not made: nothing in it was asked for yet.
    Waiting,
    /// In the target; `fresh` when nothing was in it.
    Here { dir: DirId, fresh: bool },
    /// It could not be made, and nothing in it is restored.
    Broken,
}

/// A directory that the walk is in.
pub(super) struct Level {
    pub state: State,
    name: Option<Name>,
    /// Given to it when it is left.
    meta: Option<Meta>,
    weight: usize,
    /// All that is in it is asked for.
    pub included: bool,
    /// Where the target folds case: the folded names so far.
    pub folded: Option<HashSet<Vec<u8>>>,
    /// Names in the target that may have to go.
    pub extras: Option<Extras>,
}

/// The walk and what it has collected.
pub(super) struct Collector<'a> {
    pub job: &'a Job<'a>,
    pub filter: Filter,
    pub target: Option<&'a Target>,
    pub dirs: Dirs,
    pub levels: Vec<Level>,
    around: usize,
    pub window: Window,
    pub firsts: Firsts,
    pub names: Names,
    pub buffer: Vec<u8>,
    pub restoring: bool,
}

impl<'a> Collector<'a> {
    pub fn new(job: &'a Job<'a>, filter: Filter, target: Option<&'a Target>) -> Self {
        Collector {
            job,
            filter,
            target,
            dirs: Dirs::new(&job.request.target, target, job.limits.open),
            levels: Vec::new(),
            around: 0,
            window: Window::default(),
            firsts: Firsts::default(),
            names: Names::new(job.request.owners),
            buffer: Vec::new(),
            restoring: false,
        }
    }

    /// Restores one entry with all that is in it.
    pub fn restore(&mut self, top: Top<'_>) -> Result<()> {
        let Top { node, owner, into_target, .. } = top;
        self.names.learn(node.meta.uid, owner.0.as_deref(), node.meta.gid, owner.1.as_deref());
        let request = self.job.request;
        let fresh = !request.in_place || self.target.is_none();
        let root = self.target.map(Target::root);
        let folds = root.filter(|_| !request.dry_run).is_some_and(|root| root.folds_case().unwrap_or(false));
        // A folder that was there and only leads to what was asked for keeps its metadata.
        let own = into_target && (fresh || !self.filter.is_selective());
        if let (true, true, false, Some(root)) = (request.dry_run, own, fresh, root)
            && root.stat_itself().is_ok_and(|found| found.metadata_differs(&node.meta, &self.names.policy().ownership))
        {
            self.job.tally.action("update", b"");
        }
        let level = Level {
            state: State::Here { dir: ROOT, fresh },
            name: None,
            meta: own.then(|| node.meta.clone()),
            weight: 0,
            included: !self.filter.is_selective(),
            folded: folds.then(HashSet::new),
            extras: root.filter(|_| into_target && !fresh).and_then(|root| self.extras_of(root)),
        };
        self.levels.push(level);
        match node.body {
            Body::Directory { tree, .. } if into_target => {
                self.job.tally.total(|totals| totals.directories += 1);
                self.walk(tree, b"")?;
            }
            ref body => {
                let (path, tree) = (node.name.as_bytes().to_vec(), directory(body));
                if let (true, Some(tree)) = (self.entry(node, &path)?, tree) {
                    self.walk(tree, &path)?;
                }
                self.levels.pop();
            }
        }
        self.close()?;
        self.firsts.clear();
        Ok(())
    }

    fn walk(&mut self, tree: BlobId, path: &[u8]) -> Result<()> {
        let mut walk = TreeWalk::new(self.job.reader, tree, path);
        while let Some(event) = walk.next_event() {
            self.job.tally.check()?;
            match event {
                Event::Entry { node, user, group } => {
                    self.job.monitor.at(walk.path());
                    self.names.learn(node.meta.uid, user.as_deref(), node.meta.gid, group.as_deref());
                    if !self.entry(*node, walk.path())? {
                        walk.skip();
                    }
                    if self.window.is_full(&self.job.limits) {
                        self.close()?;
                    }
                }
                Event::Unreadable(error) => {
                    // Who does not know what should be there must not say what should not.
                    if let Some(level) = self.levels.last_mut() {
                        level.extras = None;
                    }
                    let mut shown = self.dirs.path(ROOT, None);
                    if !walk.path().is_empty() {
                        shown.push(b'/');
                        shown.extend_from_slice(walk.path());
                    }
                    self.job
                        .tally
                        .problem(shown, format!("what is in this directory, or the rest of it, is lost: {error}"));
                }
                Event::Leave => self.leave()?,
            }
        }
        Ok(())
    }

    /// Deals with one entry; true when it is a directory that is to be entered.
    fn entry(&mut self, node: Node, path: &[u8]) -> Result<bool> {
        self.remove_before(Some(&node.name))?;
        let is_dir = node.is_dir();
        let Some(level) = self.levels.last() else { return Ok(false) };
        let included = level.included || self.filter.includes(path, is_dir);
        if level.state == State::Broken || self.filter.excludes(path, is_dir) {
            return Ok(false);
        }
        if included {
            self.count(&node);
            let Some((dir, fresh)) = self.arrive(Some(&node.name)) else { return Ok(false) };
            if self.collides(dir, &node.name) {
                return Ok(false);
            }
            if !is_dir {
                self.leaf(dir, fresh, node)?;
                return Ok(false);
            }
        }
        if is_dir {
            self.push(node, included);
            if included && self.arrive(None).is_none() {
                self.levels.pop();
                return Ok(false);
            }
        }
        Ok(is_dir)
    }

    fn count(&self, node: &Node) {
        self.job.tally.total(|totals| match node.body {
            Body::File { size, .. } => {
                totals.files += 1;
                totals.bytes = totals.bytes.saturating_add(size);
            }
            Body::Directory { .. } => totals.directories += 1,
            _ => totals.others += 1,
        });
    }

    /// Enters a directory of the tree, which is not yet made.
    fn push(&mut self, node: Node, included: bool) {
        let mut meta = node.meta;
        let mut weight = weight_of(&node.name, &meta);
        if self.around + weight > AROUND_MAX {
            let mut path = self.dirs.path(ROOT, None);
            for level in self.levels.iter().filter_map(|level| level.name.as_ref()).chain([&node.name]) {
                path.push(b'/');
                path.extend_from_slice(level.as_bytes());
            }
            self.job.tally.problem(path, "its extended attributes are left out: those around it are too large".into());
            meta.xattrs.clear();
            weight = 0;
        }
        self.around += weight;
        let (state, name) = (State::Waiting, Some(node.name));
        self.levels.push(Level { state, name, meta: Some(meta), weight, included, folded: None, extras: None });
    }

    /// Makes the directories of the walk that are not yet made; the innermost, or nothing when one cannot be. The walk
    /// is at `next` in the innermost.
    fn arrive(&mut self, next: Option<&Name>) -> Option<(DirId, bool)> {
        let first = self.levels.iter().rposition(|level| level.state != State::Waiting)?;
        let mut at = match self.levels.get(first)?.state {
            State::Here { dir, fresh } => (dir, fresh),
            _ => return None,
        };
        for number in first + 1..self.levels.len() {
            let folds = self.levels.get(number - 1).is_some_and(|level| level.folded.is_some());
            let level = self.levels.get(number)?;
            let (name, meta) = (level.name.clone()?, level.meta.clone()?);
            let leading = !level.included;
            let made = self.directory(at, &name, &meta, leading);
            let level = self.levels.get_mut(number)?;
            match made {
                Ok(Some(made)) => {
                    at = (made.dir, made.fresh);
                    level.state = State::Here { dir: made.dir, fresh: made.fresh };
                    level.folded = made.folds.unwrap_or(folds).then(HashSet::new);
                    level.extras = made.extras;
                    if leading && !made.fresh {
                        level.meta = None;
                    }
                    if leading {
                        self.job.tally.total(|totals| totals.directories += 1);
                    }
                    self.window.bytes += 160;
                }
                left_alone => {
                    if let Err(error) = left_alone {
                        self.job.tally.path_error(error);
                    }
                    for level in self.levels.iter_mut().skip(number) {
                        level.state = State::Broken;
                    }
                    return None;
                }
            }
        }
        // What led here went by before the names of these directories were known.
        for number in first + 1..self.levels.len() {
            let on_the_way = self.levels.get(number + 1).map_or(next, |level| level.name.as_ref()).cloned();
            if let (Some(name), Some(extras)) = (on_the_way, self.levels.get_mut(number)?.extras.as_mut()) {
                extras.spare(&name);
            }
        }
        Some(at)
    }

    /// Refuses the second of two names that the target takes for one.
    fn collides(&mut self, dir: DirId, name: &Name) -> bool {
        let Some(level) = self.levels.last_mut() else { return false };
        let collides = level.folded.as_mut().is_some_and(|seen| !seen.insert(folded(name)));
        if collides {
            let what = "the target takes this name and that of another entry for one".to_owned();
            self.job.tally.problem(self.dirs.path(dir, Some(name)), what);
        }
        collides
    }

    /// The names of a directory that may have to go: all, or those of files that a restore which was killed may have left.
    pub fn extras_of(&self, dir: &TargetDir) -> Option<Extras> {
        if !self.job.request.delete {
            // One that may not be listed may still be restored into.
            return dir.unfinished().ok().filter(|names| !names.is_empty()).map(Extras::left);
        }
        match dir.list() {
            Ok(names) => Some(Extras::all(names)),
            Err(error) => {
                self.job.tally.path_error(error);
                None
            }
        }
    }

    fn leave(&mut self) -> Result<()> {
        self.remove_before(None)?;
        let Some(level) = self.levels.pop() else { return Ok(()) };
        self.around = self.around.saturating_sub(level.weight);
        if let State::Here { dir, .. } = level.state {
            self.job.monitor.add(Counter::Entries, 1);
            if let (Some(meta), false) = (level.meta, self.job.request.dry_run) {
                self.window.bytes += level.weight;
                self.window.finishes.push(Finish { dir, meta });
            }
        }
        Ok(())
    }
}

fn directory(body: &Body) -> Option<BlobId> {
    match body {
        Body::Directory { tree, .. } => Some(*tree),
        _ => None,
    }
}
