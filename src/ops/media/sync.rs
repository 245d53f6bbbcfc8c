//! What is new onto a medium, and read back from it.

use super::{Catalogue, Host, Medium, Present, catalogue, expect_no_rollback, leave, locate};
use crate::{
    compress::Compression,
    error::{Error, Result},
    hash::ObjectHasher,
    id::PackId,
    model::medium::Marker,
    monitor::{Counter, Monitor, Phase},
    name::{Shown, cut_text},
    object::{self, HEADER_LEN, Kind},
    ops::{
        copy::{
            inventory::{Inventory, lacking, names},
            logical, replica,
            transfer::{Item, Transfer},
        },
        naming::{Class, MIRROR, class, ends_with_sum},
        parity,
    },
    parity::Percent,
    repo::Repository,
    store::{Entry, ObjectName, SharedStore, Store, local::LocalStore},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::unix::fs::MetadataExt,
    sync::{Arc, atomic::AtomicU64},
};

const PIECE: usize = 1 << 20;
const MARKER: u8 = Kind::Medium as u8;
const SIDECAR: u8 = Kind::Sidecar as u8;
/// Parity of a medium, in hundredths of a per cent.
const PARITY: u16 = 300;

/// A sync.
pub struct Request<'a> {
    /// The medium.
    pub medium: &'a Medium,
    /// Take a medium that is older than it was for what it is.
    pub accept_rollback: bool,
    /// Puts something around the medium's store, such as a limit.
    pub around: &'a dyn Fn(SharedStore) -> SharedStore,
    /// This machine.
    pub client: &'a str,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Snapshots that are new on the medium.
    pub snapshots: u64,
    /// Objects that are new on it, and their bytes.
    pub objects: u64,
    pub bytes: u64,
    /// Of these, sidecars and second copies: objects and their bytes.
    pub parity: (u64, u64),
    /// Bytes that were read back from it and are right.
    pub read_back: u64,
    /// Objects of the repository that are damaged and were not copied.
    pub damaged: u64,
    /// Objects on the medium that are damaged, and so not covered by its parity.
    pub unfit: u64,
    /// Snapshots that could not be copied.
    pub failed: u64,
    /// Snapshots that lie on it now.
    pub held: u64,
    /// Free bytes, and all of them.
    pub space: (u64, u64),
    /// The number of this sync.
    pub generation: u64,
    /// It was unmounted, and may be unplugged.
    pub unmounted: bool,
}

/// Brings a medium up to date: mounts it where its entry says so, copies what is new, reads that back from the disk, notes it in the
/// marker and in the catalogue. Earlier content is whole whatever happens, and the next sync goes on.
pub fn sync(
    catalogue: &Catalogue<'_>,
    host: &dyn Host,
    request: &Request<'_>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    monitor.phase(Phase::Opening);
    let present = locate(catalogue, host, request.medium, true)?;
    let synced = run(catalogue, host, request, &present, monitor);
    let left = leave(host, present);
    let mut report = synced?;
    report.unmounted = left?;
    Ok(report)
}

fn run(
    catalogue: &Catalogue<'_>,
    host: &dyn Host,
    request: &Request<'_>,
    present: &Present,
    monitor: &dyn Monitor,
) -> Result<Report> {
    let (repo, medium) = (catalogue.repo(), request.medium);
    if let Err(error) = expect_no_rollback(repo, medium, present) {
        if !request.accept_rollback {
            return Err(error);
        }
        // Nothing of this one was read.
        catalogue.set_read_back(medium, &BTreeMap::new())?;
        monitor.note(&format!("{error}; accepted"));
    } else if present.marker.generation > medium.generation {
        monitor.note(&format!(
            "medium {} was synced by another machine meanwhile ({})",
            Shown(medium.name.as_bytes()),
            Shown(present.marker.host.as_bytes())
        ));
    }
    let local = &present.store;
    let before = lengths(local)?;
    // What is healed in this run had another length: it is read back too, and so is all that a run brought that never got so far.
    let mut right = catalogue.read_back(medium)?;
    right.retain(|name, len| before.get(name) == Some(len));
    catalogue.set_read_back(medium, &right)?;
    let mut report = copy(repo, request, local, monitor)?;
    // What it makes up for is to be whole already: before it is read back, it is still in memory.
    let covered = if medium.parity { cover(request, local, monitor) } else { Ok(0) };
    // All that was copied counts, and is read back, though parity finds no room or fails.
    let uncovered = match covered {
        Ok(unfit) => {
            report.unfit = unfit;
            None
        }
        Err(error @ (Error::Cancelled | Error::Absent { .. })) => return Err(error),
        Err(error) => {
            let name = Shown(medium.name.as_bytes());
            let why = if error.is_store_full() { "there is no room for" } else { "something kept it from making" };
            monitor.note(&format!("all that was to be copied is on medium {name}; {why} all of its parity"));
            Some(error)
        }
    };
    let mut unread = lengths(local)?;
    unread.retain(|name, len| right.get(name) != Some(len));
    let new = || unread.iter().filter(|(name, len)| before.get(*name) != Some(len));
    let of_parity = || new().filter(|(name, _)| is_of_parity(name));
    (report.objects, report.bytes) = (new().count() as u64, new().map(|(_, len)| len).sum());
    report.parity = (of_parity().count() as u64, of_parity().map(|(_, len)| len).sum());
    let wrong = read_back(local, &unread, monitor)?;
    report.read_back = unread.iter().filter(|(name, _)| !wrong.contains_key(*name)).map(|(_, len)| len).sum();
    right.extend(unread.iter().filter(|(name, _)| !wrong.contains_key(*name)).map(|(name, len)| (name.clone(), *len)));
    catalogue.set_read_back(medium, &right)?;
    if let Some((name, what)) = wrong.iter().next() {
        let again = make_room(repo, local, &wrong, &unread)?;
        let name_of = Shown(medium.name.as_bytes());
        let next = match again == wrong.len() {
            true => "the next sync brings them anew; if that is wrong too, use another".to_owned(),
            false => format!("`vault repair --repo usb:{name_of} --from REPO` heals them"),
        };
        return Err(Error::corrupt(
            format!("{name} on medium {name_of}"),
            format!(
                "{what}; of {} objects that were read back {} are wrong: the medium or its cable fails; {next}",
                unread.len(),
                wrong.len()
            ),
        ));
    }

    monitor.phase(Phase::Publishing);
    // Still the same file system: one that vanished leaves an empty folder behind.
    if std::fs::metadata(&present.folder).map(|meta| meta.dev()).ok() != Some(present.device) {
        return Err(super::absent(medium, "it vanished during the sync; what it holds is whole, sync it again"));
    }
    let now = super::now(repo);
    let generation = present.marker.generation.max(medium.generation).saturating_add(1);
    let host_name = cut_text(request.client, 1024).to_owned();
    let marker = Marker { generation, time: now, host: host_name, ..present.marker.clone() };
    let marker_id = repo.put_marker(local, &marker)?;
    let view = keep_skeleton(catalogue, medium, local, monitor)?;
    let space = host.space(&present.point)?;
    let snapshots: Vec<catalogue::Held> = view
        .snapshots(None)?
        .listed
        .into_iter()
        .map(|listed| {
            let series = crate::series::Series::parse(&listed.snapshot.series)?;
            let tag = repo.keys().series_tag(&series);
            Ok(catalogue::Held {
                tag,
                id: listed.id,
                time: listed.snapshot.head.time.sec,
                series: listed.snapshot.series,
            })
        })
        .collect::<Result<_>>()?;
    (report.held, report.space, report.generation) = (snapshots.len() as u64, space, generation);
    catalogue.update(&medium.id, |known| {
        (known.generation, known.marker, known.space, known.snapshots) = (generation, marker_id, space, snapshots);
        known.syncs.push(catalogue::Sync { time: now.sec, bytes: report.bytes });
        let surplus = known.syncs.len().saturating_sub(catalogue::SYNCS_MAX);
        known.syncs.drain(..surplus);
    })?;
    match uncovered {
        None => Ok(report),
        Some(error) => Err(error),
    }
}

/// True for what makes up for losses of the others.
fn is_of_parity(name: &ObjectName) -> bool {
    name.as_str().starts_with(MIRROR) || class(name.as_str()).is_some_and(|(class, _)| class == Class::Sealed(SIDECAR))
}

/// Makes sidecars for what is new on a medium, and second copies of what everything else hangs on. Returns how much of it is damaged.
fn cover(request: &Request<'_>, on_it: &LocalStore, monitor: &dyn Monitor) -> Result<u64> {
    let percent = Percent::new(PARITY).ok_or_else(|| Error::usage("a share of parity is out of range"))?;
    // Nothing but a prune of its own removes anything from it: else what is missing is a loss, and may be needed.
    let drop_missing = replica::was_pruned(on_it)?;
    let to = (request.around)(Arc::new(on_it.again()?.gathering()));
    let request = parity::Addition { percent, mirror: true, drop_missing, replace: BTreeSet::new() };
    Ok(parity::add(&*to, &request, monitor)?.unfit.len() as u64)
}

/// Copies what is new: whole objects, or, onto a medium that is pruned on its own, as a writer does.
fn copy(repo: &Repository, request: &Request<'_>, on_it: &LocalStore, monitor: &dyn Monitor) -> Result<Report> {
    let mut report = Report {
        snapshots: 0,
        objects: 0,
        bytes: 0,
        parity: (0, 0),
        read_back: 0,
        damaged: 0,
        unfit: 0,
        failed: 0,
        held: 0,
        space: (0, 0),
        generation: 0,
        unmounted: false,
    };
    let plain = on_it.again()?;
    if replica::was_pruned(&plain)? {
        let to = repo.at((request.around)(Arc::new(plain)));
        let request = logical::Request {
            from: repo,
            to: &to,
            chosen: None,
            compression: Compression::default(),
            host: request.client,
            dry_run: false,
            threads: 0,
        };
        let copied = logical::copy(&request, monitor)?;
        (report.snapshots, report.failed) = (copied.copied.len() as u64, copied.failed.len() as u64);
    } else {
        let to = (request.around)(Arc::new(plain.gathering()));
        // One object at a time: sticks are slow at anything but long runs.
        // One that was synced has a copy: without it, it is not what it was.
        let create = request.medium.syncs.is_empty() || request.accept_rollback;
        let request = replica::Request { from: repo.store(), to: &*to, create, dry_run: false, threads: 1 };
        let copied = replica::replicate(&request, monitor)?;
        (report.snapshots, report.damaged) = (copied.snapshots, copied.damaged.len() as u64);
    }
    Ok(report)
}

/// All that is to be read back, and its lengths: not the marker, which is no part of the copy.
fn lengths(store: &LocalStore) -> Result<BTreeMap<ObjectName, u64>> {
    let mut out = BTreeMap::new();
    store.list("", &mut |entry| {
        let class = class(entry.name.as_str()).map(|(class, _)| class);
        if !matches!(class, None | Some(Class::Sealed(MARKER))) {
            out.insert(entry.name, entry.len);
        }
        Ok(())
    })?;
    Ok(out)
}

/// Reads objects from the disk and holds them against their names. Returns those that are wrong.
fn read_back(
    store: &LocalStore,
    unread: &BTreeMap<ObjectName, u64>,
    monitor: &dyn Monitor,
) -> Result<BTreeMap<ObjectName, String>> {
    monitor.phase(Phase::Verifying);
    monitor.expect(Counter::Stored, unread.values().sum());
    let mut wrong = BTreeMap::new();
    let mut piece = vec![0; PIECE];
    for (name, len) in unread {
        let entry = Entry { name: name.clone(), len: *len, stored: 0 };
        if let Some(what) = fault(store, &entry, &mut piece, monitor)? {
            wrong.insert(name.clone(), what);
        }
    }
    Ok(wrong)
}

/// What is wrong with an object on the disk.
fn fault(store: &LocalStore, entry: &Entry, piece: &mut [u8], monitor: &dyn Monitor) -> Result<Option<String>> {
    let Some((class, expected)) = class(entry.name.as_str()) else { return Ok(None) };
    store.drop_cached(&entry.name)?;
    let (mut hasher, mut at, mut whole) = (ObjectHasher::default(), 0u64, Vec::new());
    while at < entry.len {
        monitor.check()?;
        let len = (entry.len - at).min(piece.len() as u64) as usize;
        let part = &mut piece[..len];
        match store.get_range(&entry.name, at, part) {
            Ok(()) => {}
            // Removed meanwhile, or a bad sector; a cable that was pulled fails here once more.
            Err(error @ (Error::Corrupt { .. } | Error::Store { .. })) => {
                return answers(store).then(|| Some(error.to_string())).ok_or(error);
            }
            Err(error) => return Err(error),
        }
        hasher.update(part);
        if class == Class::Tombstone && at == 0 {
            whole.extend_from_slice(part);
        }
        at += len as u64;
        monitor.add(Counter::Stored, len as u64);
    }
    let right = match class {
        Class::Tombstone => ends_with_sum(&whole),
        _ => expected.is_none_or(|hash| hash == hasher.finish()),
    };
    Ok((!right).then(|| "it reads back differently".into()))
}

/// True when the disk itself gives bytes.
fn answers(store: &LocalStore) -> bool {
    let config = ObjectName::of_parts(&["config"]);
    store.drop_cached(&config).and_then(|()| store.get_range(&config, 0, &mut [0; 8])).is_ok()
}

/// Removes what is wrong and the repository still has, or is made anew, so that the next sync brings it. Returns how many these are.
fn make_room(
    repo: &Repository,
    store: &LocalStore,
    wrong: &BTreeMap<ObjectName, String>,
    lengths: &BTreeMap<ObjectName, u64>,
) -> Result<usize> {
    // One that is pruned on its own gets no packs of ours.
    if replica::was_pruned(store)? {
        return Ok(0);
    }
    let mut count = 0;
    for name in wrong.keys().filter(|name| name.as_str() != "config") {
        let comes_again = || -> Result<bool> {
            let near = repo.store().stat(name)?;
            Ok(near.is_some_and(|near| lengths.get(name) == Some(&near.len)))
        };
        if is_of_parity(name) || comes_again()? {
            store.remove(name)?;
            count += 1;
        }
    }
    store.sync()?;
    Ok(count)
}

/// Keeps what lies on a medium, but the contents of files, so that it can be asked for while the medium is away.
fn keep_skeleton(
    catalogue: &Catalogue<'_>,
    medium: &Medium,
    on_it: &LocalStore,
    monitor: &dyn Monitor,
) -> Result<Repository> {
    let repo = catalogue.repo();
    let skeleton = Arc::new(LocalStore::create(&catalogue.skeleton(medium))?.gathering());
    let (there, have) = (Inventory::to_copy(on_it)?, Inventory::of(&*skeleton)?);
    let transfer = |from: &dyn Store, entries: Vec<Entry>| {
        let items =
            entries.into_iter().map(|entry| Item { name: entry.name.clone(), replaces: false, entry }).collect();
        let quiet = Quiet(monitor);
        let transfer = Transfer {
            from,
            to: &*skeleton,
            repo: repo.keys().repo(),
            threads: 1,
            left: AtomicU64::new(0),
            monitor: &quiet,
        };
        transfer.all(items).and_then(|came| skeleton.sync().map(|()| came))
    };
    let mut small: Vec<Entry> = there.config.iter().filter(|_| have.config.is_none()).cloned().collect();
    for (there, have) in [(&there.keys, &have.keys), (&there.index, &have.index)] {
        small.extend(lacking(there, have));
    }
    transfer(on_it, small)?;
    // What the repository lists need not be looked at.
    let (index, _) = repo.load_index(false)?;
    let runs = index.runs();
    let kinds: HashMap<PackId, u8> = runs.iter().flat_map(|run| run.packs().map(|(id, _, kind)| (id, kind))).collect();
    let mut packs = Vec::new();
    for (name, entry) in there.packs.iter().filter(|(name, _)| !have.packs.contains_key(*name)) {
        let known = PackId::parse(name.leaf()).ok().and_then(|id| kinds.get(&id).copied());
        let kind = match known {
            Some(kind) => kind,
            None => kind_of(on_it, name)?,
        };
        if Kind::of_pack(kind) == Some(Kind::TreePack) {
            packs.push(entry.clone());
        }
    }
    // What the repository itself still has is sooner read there.
    let mut near = Vec::new();
    for entry in &packs {
        near.extend(repo.store().stat(&entry.name)?.filter(|near| near.len == entry.len));
    }
    transfer(repo.store(), near)?;
    let come = names(&*skeleton)?;
    packs.retain(|entry| !come.contains(&entry.name));
    transfer(on_it, packs)?;
    let mut rest = Vec::new();
    for (there, have) in [
        (&there.tombstones, &have.tombstones),
        (&there.annotations, &have.annotations),
        (&there.snapshots, &have.snapshots),
    ] {
        rest.extend(lacking(there, have));
    }
    transfer(on_it, rest)?;
    // What was forgotten on the medium is gone from there.
    let gone = have.snapshots.keys().filter(|name| !there.snapshots.contains_key(*name));
    gone.into_iter().try_for_each(|name| skeleton.remove(name))?;
    skeleton.sync()?;
    Ok(repo.at(skeleton))
}

/// The kind that a pack's header says; 0 when it cannot be read, which a check tells.
fn kind_of(store: &dyn Store, name: &ObjectName) -> Result<u8> {
    let mut header = [0; HEADER_LEN];
    match store.get_range(name, 0, &mut header) {
        Ok(()) => Ok(object::read_any_header(&header, name).map_or(0, |(kind, _)| kind)),
        Err(Error::Corrupt { .. } | Error::Missing { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Passes on the wish to stop, and nothing else: what is kept here is no progress of the medium.
struct Quiet<'a>(&'a dyn Monitor);

impl Monitor for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
    fn problem(&self, text: &str) {
        self.0.problem(text);
    }
}
