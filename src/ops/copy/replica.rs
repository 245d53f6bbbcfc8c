//! The same repository once more: whole objects, without a key.
//!
//! Whoever holds the store can do it: every object is held against its name as it arrives. What was forgotten in the copy stays
//! forgotten there, and nothing that was forgotten in the source goes from the copy. An intent keeps each snapshot's blobs
//! alive in the copy before the snapshot is there, as for any writer; but without a key nobody can read which packs a prune is
//! about to remove, so a copy that was ever pruned is refused here: [`super::logical`] goes on there.

use super::{
    inventory::{Inventory, Objects, lacking},
    torn,
    transfer::{Came, Item, Transfer},
};
use crate::{
    error::{Error, Result},
    hash::object_name,
    id::{RepoId, SnapshotId},
    model::limits,
    monitor::{Counter, Monitor, Phase},
    object::{self, Kind},
    ops::{self, naming::ends_with_sum},
    repo::{Repository, session::intent_name},
    store::{Entry, ObjectName, Store},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

/// How often a source is listed anew because it was pruned meanwhile.
const ROUNDS: usize = 8;
/// Objects at once, unless it is said.
const THREADS_MAX: usize = 4;
/// Longest `config` and key slot that is looked at, in bytes.
const SMALL_MAX: u64 = 64 << 10;
/// Objects of a copy without config that the source is asked for: a prune may have removed some of them there.
const ASKED: usize = 64;

/// What is to be copied.
pub struct Request<'a> {
    /// Where from.
    pub from: &'a dyn Store,
    /// Where to. Puts may be gathered ([`crate::store::local::LocalStore::gathering`]).
    pub to: &'a dyn Store,
    /// Make the copy when there is none.
    pub create: bool,
    /// Tell what would be copied, and copy nothing.
    pub dry_run: bool,
    /// Objects at once; 0: some, by the number of cores.
    pub threads: usize,
}

/// What came of it, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The repository.
    pub repository: RepoId,
    /// True when the copy was made by this run.
    pub created: bool,
    /// Snapshots that were copied.
    pub snapshots: u64,
    /// Packs among the objects.
    pub packs: u64,
    /// Objects that were copied.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were damaged in the copy (their lengths showed it), in whose places the source's are now.
    pub replaced: u64,
    /// Snapshots that were forgotten in the copy, and so are not copied again.
    pub forgotten: u64,
    /// Keys that open the copy and no longer the source.
    pub extra_keys: u64,
    /// Objects of the source that are not what their names say, with the reason. They are not copied.
    pub damaged: BTreeMap<String, String>,
}

/// True when notes of prune lie in a store: then a key is needed to copy into it.
pub fn was_pruned(store: &dyn Store) -> Result<bool> {
    let mut any = false;
    store.list("gc/", &mut |_| {
        any = true;
        Ok(())
    })?;
    Ok(any)
}

/// Copies what the copy lacks. Fails when a store does; what was copied is of use to the next run.
pub fn replicate(request: &Request<'_>, monitor: &dyn Monitor) -> Result<Report> {
    monitor.phase(Phase::Opening);
    let (from, to) = (request.from, request.to);
    let repository = Repository::identify(from)?;
    let mut have = Inventory::of(to)?;
    let created = expect_target(request, repository, &have)?;
    if !have.notes.is_empty() {
        return Err(pruned(to));
    }
    torn::tell_apart(to, &mut have, created)?;
    let threads = match request.threads {
        0 => ops::threads(0).min(THREADS_MAX),
        n => n,
    };
    let transfer = Transfer { from, to, repo: repository, threads, left: AtomicU64::new(0), monitor };
    let mut run = Run { transfer, have, came: Came::default(), packs: 0 };
    let copied = run.copy(created, request.dry_run);
    if copied.is_err() && !request.dry_run {
        // What has come whole keeps its name; that this fails for the same reason is no news.
        let _ = to.sync();
    }
    let (snapshots, forgotten, extra_keys) = copied.map_err(|error| run.told(error))?;
    let Run { came: Came { objects, bytes, replaced, damaged, .. }, packs, .. } = run;
    Ok(Report { repository, created, snapshots, packs, objects, bytes, replaced, forgotten, extra_keys, damaged })
}

fn pruned(to: &dyn Store) -> Error {
    Error::refused(format!(
        "{} is pruned on its own, so a key is needed to copy into it: without one nobody can tell what prune is about to \
         remove there",
        to.place()
    ))
}

/// Makes sure that the copy may be there; true when it is still to be made.
fn expect_target(request: &Request<'_>, repository: RepoId, have: &Inventory) -> Result<bool> {
    let place = request.to.place();
    if request.create
        && have.config.is_some()
        && is_ours(request, repository, have)?
        && torn::is_stump(&config_of(request.to)?, &config_of(request.from)?)
    {
        // It comes last: the run that was to make the copy has not ended.
        return Ok(true);
    }
    match Repository::identify(request.to) {
        Ok(other) if other != repository => Err(Error::usage(format!(
            "{place} holds another repository ({other}), not a copy of {repository}: choose another place"
        ))),
        Ok(_) => {
            if config_of(request.from)? != config_of(request.to)? {
                let what = format!("it differs from the one in {}: see `vault check` on both", request.from.place());
                return Err(Error::corrupt(format!("the config in {place}"), what));
            }
            Ok(false)
        }
        Err(Error::NoRepository { .. }) | Err(Error::Corrupt { .. }) if request.create && have.config.is_none() => {
            if let Some(foreign) = &have.foreign {
                return Err(Error::refused(format!(
                    "{place} holds other things ({foreign}) and no repository: choose an empty or a new folder"
                )));
            }
            if !have.is_empty() && !is_ours(request, repository, have)? {
                return Err(Error::refused(format!(
                    "{place} holds objects of another repository that has lost its config: choose an empty or a new folder"
                )));
            }
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// True when what lies in the copy, whose config is missing or torn, is of this repository. A power cut at the beginning of a copy may have
/// left any of it, and that torn: names are enough, since no other repository has the same.
fn is_ours(request: &Request<'_>, repository: RepoId, have: &Inventory) -> Result<bool> {
    if have.keys.keys().any(|name| slot_of(request.to, name) == Some(repository)) {
        return Ok(true);
    }
    for name in have.objects().take(ASKED) {
        if request.from.stat(name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn config_of(store: &dyn Store) -> Result<Vec<u8>> {
    store.get(&ObjectName::of_parts(&["config"]), SMALL_MAX)
}

fn slot_of(store: &dyn Store, name: &ObjectName) -> Option<RepoId> {
    object::read_header(&store.get(name, SMALL_MAX).ok()?, Kind::Slot, name).ok()
}

/// True for a tombstone that is not what the hash at its end says.
fn is_broken(store: &dyn Store, entry: &Entry) -> Result<bool> {
    match store.get(&entry.name, limits::MARK_MAX) {
        Ok(bytes) => Ok(!ends_with_sum(&bytes)),
        Err(Error::Corrupt { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Tag of the series and name: what snapshots and their tombstones share.
fn below_folder(name: &ObjectName) -> &str {
    name.as_str().split_once('/').map_or("", |(_, rest)| rest)
}

struct Run<'a> {
    transfer: Transfer<'a>,
    have: Inventory,
    came: Came,
    packs: u64,
}

impl Run<'_> {
    /// Says how much is missing when the copy is full.
    fn told(&self, error: Error) -> Error {
        match error {
            Error::Store { doing, object, source }
                if matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) =>
            {
                let left = self.transfer.left.load(Ordering::Relaxed);
                let why = format!("{} ({left} bytes are still to be copied)", crate::error::reason(&source));
                Error::Store { doing, object, source: std::io::Error::new(source.kind(), why) }
            }
            error => error,
        }
    }

    fn items(&self, entries: Vec<Entry>, have: &Objects) -> Vec<Item> {
        let item = |entry: Entry| Item { name: entry.name.clone(), replaces: have.contains_key(&entry.name), entry };
        entries.into_iter().map(item).collect()
    }

    /// Copies objects; durable when it returns.
    fn transfer(&mut self, items: Vec<Item>) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let came = self.transfer.all(items)?;
        self.came.add(came);
        self.transfer.to.sync()
    }

    /// Snapshots that were copied, those that the copy forgot, and keys that only the copy has.
    fn copy(&mut self, created: bool, dry_run: bool) -> Result<(u64, u64, u64)> {
        let monitor = self.transfer.monitor;
        for _ in 0..ROUNDS {
            monitor.phase(Phase::Opening);
            let there = Inventory::to_copy(self.transfer.from)?;
            let plan = Plan::new(&there, &self.have, created, self.transfer.to)?;
            if plan.contested > 0 {
                monitor.note(&format!(
                    "{} snapshots have tombstones beside them in {}; they are copied, and these are not",
                    plan.contested,
                    self.transfer.from.place()
                ));
            }
            monitor.phase(Phase::Storing);
            monitor.expect(Counter::Bytes, self.came.bytes + plan.bytes());
            monitor.expect(Counter::Objects, self.came.objects + plan.objects());
            self.transfer.left.store(plan.bytes(), Ordering::Relaxed);
            let extra_keys = self.have.keys.keys().filter(|name| !there.keys.contains_key(*name)).count() as u64;
            if dry_run {
                self.came.objects = plan.objects();
                self.came.bytes = plan.bytes();
                self.packs = plan.packs.len() as u64;
                return Ok((plan.snapshots.len() as u64, plan.forgotten, extra_keys));
            }
            // A copy that is being made is known by its keys.
            let keys = self.items(plan.keys, &self.have.keys);
            self.transfer(keys)?;
            let before = self.came.objects;
            let packs = self.items(plan.packs, &self.have.packs);
            let count = packs.len();
            self.transfer(packs)?;
            self.packs += self.came.objects - before;
            let index = self.items(plan.index, &self.have.index);
            self.transfer(index)?;
            if std::mem::take(&mut self.came.vanished) > 0 {
                // A prune moved things: what it moved them to is listed anew.
                monitor.note(&format!(
                    "{} was pruned meanwhile; it is looked at again ({} of {count} packs came)",
                    self.transfer.from.place(),
                    self.came.objects - before,
                ));
                self.have = Inventory::of(self.transfer.to)?;
                self.came.damaged.clear();
                continue;
            }
            monitor.phase(Phase::Publishing);
            // A snapshot's tombstoned predecessors and its pins are there before it is.
            let mut marks = self.items(plan.tombstones, &self.have.tombstones);
            marks.extend(self.items(plan.annotations, &self.have.annotations));
            self.transfer(marks)?;
            let snapshots =
                if created { self.publish_new(&there, plan.snapshots) } else { self.publish(plan.snapshots) }?;
            return Ok((snapshots, plan.forgotten, extra_keys));
        }
        Err(Error::refused(format!(
            "{} is pruned faster than it can be copied: run it again",
            self.transfer.from.place()
        )))
    }

    /// Of a copy that is being made nothing counts before its config, which comes last.
    fn publish_new(&mut self, there: &Inventory, snapshots: Vec<Entry>) -> Result<u64> {
        let before = self.came.objects;
        let items = self.items(snapshots, &self.have.snapshots);
        self.transfer(items)?;
        let count = self.came.objects - before;
        let torn = self.have.config.iter().map(|entry| (entry.name.clone(), entry.clone())).collect();
        let config = self.items(there.config.iter().cloned().collect(), &torn);
        self.transfer(config)?;
        Ok(count)
    }

    /// Publishes snapshots beside whoever prunes the copy: as intents first. When no note of prune is there once these are durable,
    /// whoever sweeps from now on sees them.
    fn publish(&mut self, mut snapshots: Vec<Entry>) -> Result<u64> {
        // One comes after those before it, as far as can be told without a key.
        snapshots.sort_by(|a, b| (a.stored, &a.name).cmp(&(b.stored, &b.name)));
        let (to, before) = (self.transfer.to, self.came.objects);
        let replaced: BTreeSet<ObjectName> = snapshots
            .iter()
            .filter(|entry| self.have.snapshots.contains_key(&entry.name))
            .map(|e| e.name.clone())
            .collect();
        let mut names = Vec::new();
        let mut intents = Vec::new();
        for entry in snapshots {
            let Ok(id) = SnapshotId::parse(entry.name.leaf()) else { continue };
            let name = intent_name(&id);
            names.push((entry.name.clone(), name.clone(), id));
            intents.push(Item { entry, replaces: self.have.sessions.contains_key(&name), name });
        }
        self.transfer(intents)?;
        if was_pruned(to)? {
            return Err(pruned(to));
        }
        for (name, intent, id) in &names {
            // Forgotten, or damaged, in the source.
            let Some(_) = to.stat(intent)? else { continue };
            let bytes = to.get(intent, limits::META_MAX)?;
            if object_name(&bytes) != id.0 {
                return Err(Error::corrupt(intent, format!("{} gives other bytes than it took", to.place())));
            }
            if replaced.contains(name) {
                to.remove(name)?;
                self.came.replaced += 1;
            }
            to.put(name, &bytes)?;
        }
        to.sync()?;
        // Also those that a run left which was killed here. What is left behind is no harm: prune takes it away.
        let published = self.have.snapshots.keys().filter_map(|name| SnapshotId::parse(name.leaf()).ok());
        let left = published.map(|id| intent_name(&id)).filter(|name| self.have.sessions.contains_key(name));
        for intent in names.iter().map(|(_, intent, _)| intent.clone()).chain(left) {
            let _ = to.remove(&intent);
        }
        Ok(self.came.objects - before)
    }
}

/// What the copy lacks.
struct Plan {
    keys: Vec<Entry>,
    packs: Vec<Entry>,
    index: Vec<Entry>,
    snapshots: Vec<Entry>,
    tombstones: Vec<Entry>,
    annotations: Vec<Entry>,
    config: u64,
    forgotten: u64,
    /// Snapshots that are copied though tombstones lie beside them.
    contested: u64,
}

impl Plan {
    fn new(there: &Inventory, have: &Inventory, created: bool, to: &dyn Store) -> Result<Plan> {
        let names = |objects: &Objects| -> BTreeSet<String> {
            objects.keys().map(|name| below_folder(name).to_owned()).collect()
        };
        // Without a key nobody can tell whether a tombstone proves anything. A snapshot that is there all the same counts.
        let (gone_there, living, kept) = (names(&there.tombstones), names(&there.snapshots), names(&have.snapshots));
        let mut broken = BTreeSet::new();
        for entry in have.tombstones.values().filter(|entry| living.contains(below_folder(&entry.name))) {
            if is_broken(to, entry)? {
                broken.insert(below_folder(&entry.name).to_owned());
            }
        }
        let mut gone_here = names(&have.tombstones);
        gone_here.retain(|name| !broken.contains(name));
        let mut snapshots = lacking(&there.snapshots, &have.snapshots);
        let all = snapshots.len();
        snapshots.retain(|entry| !gone_here.contains(below_folder(&entry.name)));
        let forgotten = (all - snapshots.len()) as u64;
        let contested = snapshots.iter().filter(|entry| gone_there.contains(below_folder(&entry.name))).count() as u64;
        // A deletion is not passed on; but where the snapshot never came the tombstone explains why.
        let mut tombstones = lacking(&there.tombstones, &have.tombstones);
        tombstones
            .retain(|entry| !kept.contains(below_folder(&entry.name)) && !living.contains(below_folder(&entry.name)));
        // Two may differ and both prove: the copy's own goes only when it is damaged.
        let mut missing = Vec::new();
        for entry in tombstones {
            if have.tombstones.get(&entry.name).map_or(Ok(true), |own| is_broken(to, own))? {
                missing.push(entry);
            }
        }
        let tombstones = missing;
        Ok(Plan {
            keys: lacking(&there.keys, &have.keys),
            packs: lacking(&there.packs, &have.packs),
            index: lacking(&there.index, &have.index),
            snapshots,
            tombstones,
            annotations: lacking(&there.annotations, &have.annotations),
            config: there.config.as_ref().filter(|_| created).map_or(0, |entry| entry.len),
            forgotten,
            contested,
        })
    }

    fn parts(&self) -> impl Iterator<Item = &Entry> {
        let parts = [&self.keys, &self.packs, &self.index, &self.snapshots, &self.tombstones, &self.annotations];
        parts.into_iter().flatten()
    }

    fn bytes(&self) -> u64 {
        self.parts().map(|entry| entry.len).sum::<u64>() + self.config
    }

    fn objects(&self) -> u64 {
        self.parts().count() as u64 + u64::from(self.config > 0)
    }
}
