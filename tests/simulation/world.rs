//! A repository on a watched disk: each step that was taken, and what must hold before, during and after it.

use crate::{
    contents::{Contents, stream_name},
    disk::{Fault, Objects, Recorder},
    operations::{Around, Done, Op, doomed, memory, objects, perform},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;
use vault::{
    error::Result,
    id::{PackId, SnapshotId},
    pack,
    store::local::LocalStore,
};

/// What must be in a repository, and what must not.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// There is a repository.
    pub made: bool,
    pub held: BTreeMap<SnapshotId, Contents>,
    pub gone: BTreeSet<SnapshotId>,
    /// Snapshots that are being rewritten: each is there, or one that holds the rest of it.
    pub replaced: Vec<(SnapshotId, Contents)>,
    /// Snapshots that are being forgotten: each is there, or a tombstone of it.
    pub dying: BTreeSet<SnapshotId>,
    /// The second key opens it, or must not.
    pub second: Option<bool>,
    /// It was damaged on purpose and not repaired yet.
    pub damaged: bool,
}

impl Expected {
    /// A snapshot may be taken away from now on. Returns what it held.
    pub fn doom(&mut self, id: SnapshotId) -> Option<Contents> {
        self.dying.insert(id);
        self.held.remove(&id)
    }

    /// An operation has done this, by its own account.
    pub fn follow(&mut self, done: &Done) {
        done.removed.iter().for_each(|id| drop(self.held.remove(id)));
        self.held.extend(done.added.iter().cloned());
        self.gone.extend(&done.removed);
    }
}

/// A step of a program: what was done between which changes of the disk, and what holds before, during and after it.
pub struct Step {
    pub op: Op,
    pub around: Around,
    pub end: usize,
    pub during: Expected,
    pub after: Expected,
}

/// A repository on a watched disk.
pub struct World {
    pub dir: TempDir,
    pub recorder: Arc<Recorder>,
    pub around: Around,
    pub expected: Expected,
    pub steps: Vec<Step>,
}

/// Where folders of repositories are made: in memory where there is such a place, since a disk adds nothing.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

impl World {
    pub fn new(seed: u64) -> Self {
        let dir = folder();
        let recorder = Recorder::new(dir.path());
        let around = Around { seed: seed.wrapping_mul(1_000), time: 1_700_000_000, copy: None };
        World { dir, recorder, around, expected: Expected::default(), steps: Vec::new() }
    }

    fn store(&self, op: &Op) -> Result<LocalStore> {
        let store = LocalStore::open_watched(self.dir.path(), self.recorder.clone())?;
        let gathered = matches!(op, Op::Replicate { gathered: true, .. });
        Ok(if gathered { store.gathering() } else { store })
    }

    /// What lies in the folder now.
    pub fn objects(&self) -> Objects {
        objects(&LocalStore::open_untouched(self.dir.path()).unwrap())
    }

    /// Does something, perhaps with a disk that fails.
    pub fn step(&mut self, op: Op, fault: Option<Fault>) -> Result<()> {
        self.around.seed += 1;
        self.around.time += 3600;
        if let Op::Repair { packs } = op {
            self.damage(packs);
        }
        let before = self.objects();
        let mut during = self.expected.clone();
        if self.expected.made {
            for id in doomed(Arc::new(memory(&before)), &op, &self.around).unwrap() {
                if let (Some(mut rest), Op::Rewrite(stream)) = (during.doom(id), &op) {
                    rest.remove(&stream_name(*stream));
                    during.replaced.push((id, rest));
                }
            }
        }
        if matches!(op, Op::AddKey | Op::RemoveKey) {
            during.second = None;
        }
        self.recorder.fail(fault);
        let result = self.store(&op).and_then(|store| perform(Arc::new(store), &op, &self.around));
        self.recorder.fail(None);
        let end = self.recorder.changes();
        let mut after = Expected { replaced: Vec::new(), dying: BTreeSet::new(), ..during.clone() };
        if let Ok(done) = &result {
            after.made = true;
            after.follow(done);
            match op {
                Op::AddKey => after.second = Some(true),
                Op::RemoveKey => after.second = Some(false),
                Op::Repair { .. } => after.damaged = false,
                _ => {}
            }
        }
        self.expected = after.clone();
        self.steps.push(Step { op, around: self.around.clone(), end, during, after });
        result.map(drop)
    }

    /// Takes away what a repair brings back: an index object, or a byte of a pack.
    fn damage(&mut self, packs: bool) {
        // A repair that was killed is tried again on the same damage, with the same copy.
        if self.expected.damaged {
            return;
        }
        let objects = self.objects();
        let folder = if packs { "packs/" } else { "index/" };
        // A pack that nobody has listed is nobody's: a repair of packs leaves it alone, and one of the index, which reads none, lists it.
        let unlisted = if packs { self.unlisted(&objects) } else { BTreeSet::new() };
        let is_meant = |name: &str| name.starts_with(folder) && !unlisted.contains(name);
        let Some((name, bytes)) = objects.iter().find(|(name, _)| is_meant(name)) else { return };
        self.around.copy = packs.then(|| memory(&objects));
        let mut spoilt = bytes.to_vec();
        spoilt[100] ^= 1;
        self.recorder.damage(name, packs.then_some(spoilt));
        self.expected.damaged = true;
    }

    /// Names of packs that no index object lists.
    fn unlisted(&self, objects: &Objects) -> BTreeSet<String> {
        let all = || objects.keys().filter(|name| name.starts_with("packs/"));
        let Ok(repo) = self.around.open(Arc::new(memory(objects))) else { return all().cloned().collect() };
        let (index, _) = repo.load_index(false).unwrap();
        let ids: Vec<PackId> = all().filter_map(|name| PackId::parse(name.rsplit('/').next()?).ok()).collect();
        index.unlisted(ids.iter()).iter().map(|id| pack::object_name(id).to_string()).collect()
    }

    /// Time passes for what lies in the folder.
    pub fn pass(&mut self, seconds: i64) {
        let mut stack = vec![self.dir.path().to_owned()];
        while let Some(folder) = stack.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
                if entry.file_type().unwrap().is_dir() {
                    stack.push(entry.path());
                    continue;
                }
                let file = std::fs::File::open(entry.path()).unwrap();
                let modified = file.metadata().unwrap().modified().unwrap();
                file.set_modified(modified - std::time::Duration::from_secs(seconds as u64)).unwrap();
            }
        }
    }
}
