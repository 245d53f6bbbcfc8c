//! Objects held against their names, by anybody who holds the store: no key, no passphrase.
//!
//! Every object but `config` is named by the hash of its bytes (a tombstone ends with it), so a wrong byte shows without a key.
//! What this cannot tell: whether all objects are there that should be, and whether what is sealed makes sense.

use super::{Finding, ReadData};
use crate::{
    error::{Error, Result, reason},
    hash::ObjectHasher,
    id::{PackId, RepoId, hex},
    model::limits,
    monitor::{Counter, Monitor, Phase},
    object::{self, HEADER_LEN, Kind},
    ops::{
        self,
        naming::{self, Class},
    },
    pack::{self, FOOTER_LEN},
    repo::{
        Checked, Repository,
        checked::{self, Reading},
    },
    store::{Entry, Store},
    world::{Clock, Entropy, random},
};
use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

const PIECE: usize = 1 << 20;
/// Notes that are kept; the rest is counted.
const NOTES_MAX: usize = 1000;

/// What a check without a key is told of the world.
pub struct Around<'a> {
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Gives random bytes.
    pub entropy: &'a dyn Entropy,
    /// Folder for what is derived from all repositories, with the dates of readings.
    pub cache: Option<&'a Path>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The repository, when `config` says.
    pub repository: Option<RepoId>,
    /// Objects that were read whole.
    pub objects: u64,
    /// Packs among them.
    pub packs: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Objects that are not what their names say, by name. Nothing is known of what they cost.
    pub findings: Vec<Finding>,
    /// Files that are no objects of a repository, and the like.
    pub notes: Vec<String>,
}

/// Reads objects and holds them against their names: all but packs, and of these the share that is asked for
/// ([`ReadData::None`]: all). `threads`: how many read at once, 0 for one a core.
pub fn check(
    store: &dyn Store,
    read: ReadData,
    threads: usize,
    around: &Around<'_>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    monitor.phase(Phase::Opening);
    let mut report = Report::default();
    let findings: Mutex<Vec<Finding>> = Mutex::default();
    let tell = |object: &str, what: String| {
        monitor.problem(&format!("{object}: {what}"));
        let finding = Finding { object: object.to_owned(), what, lost: Vec::new(), lost_count: 0 };
        findings.lock().unwrap_or_else(|e| e.into_inner()).push(finding);
    };
    let mut repo = None;
    match Repository::identify(store) {
        Ok(found) => repo = Some(found),
        Err(Error::Corrupt { object, what }) => tell(&object, what),
        Err(error) => return Err(error),
    }
    report.repository = repo;
    let (mut objects, mut packs, mut foreign) = (Vec::new(), Vec::new(), 0);
    store.list("", &mut |entry| {
        match naming::class(entry.name.as_str()) {
            Some((Class::Pack, _)) if !entry.name.as_str().starts_with(naming::MIRROR) => packs.push(entry),
            Some(_) => objects.push(entry),
            None if entry.name.as_str().starts_with(naming::DAMAGED) => {}
            None => {
                foreign += 1;
                if report.notes.len() < NOTES_MAX {
                    report.notes.push(format!("{}: no object of this repository, left alone", entry.name));
                }
            }
        }
        Ok(())
    })?;
    if foreign > NOTES_MAX {
        report.notes.push(format!("and {} more", foreign - NOTES_MAX));
    }
    let folder = around.cache.zip(repo).map(|(root, repo)| checked::folder_of(root, repo));
    let mut dates = Checked::open(folder.as_deref());
    let exists: HashSet<PackId> = packs.iter().filter_map(pack_id).collect();
    let packs = choose(packs, read, &dates, around.entropy)?;
    report.packs = packs.len() as u64;
    objects.sort();
    objects.extend(packs);

    monitor.phase(Phase::Verifying);
    monitor.expect(Counter::Objects, objects.len() as u64);
    monitor.expect(Counter::Stored, objects.iter().map(|entry| entry.len).sum());
    let mut run = Run::new(store, repo, monitor, &tell);
    let result = run.all(&objects, ops::threads(threads));
    let sec = around.clock.now().sec;
    let found = std::mem::take(run.found.get_mut().unwrap_or_else(|e| e.into_inner()));
    // Only a client that opens the repository has this folder; dates are kept where there is one.
    if folder.is_some_and(|folder| folder.is_dir()) {
        let read = found.read.iter().map(|(id, whole)| (*id, Reading { sec, whole: *whole }));
        dates.save(read, &|id| exists.contains(id));
    }
    result?;
    report.objects = found.objects;
    report.bytes = found.bytes;
    report.findings = findings.into_inner().unwrap_or_else(|e| e.into_inner());
    report.findings.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(report)
}

fn pack_id(entry: &Entry) -> Option<PackId> {
    PackId::parse(entry.name.leaf()).ok()
}

/// The packs that were not read for the longest time, up to a share of their bytes, and those that were damaged then.
fn choose(mut packs: Vec<Entry>, read: ReadData, dates: &Checked, entropy: &dyn Entropy) -> Result<Vec<Entry>> {
    let ReadData::Percent(percent) = read else {
        packs.sort();
        return Ok(packs);
    };
    let seed: [u8; 32] = random(entropy)?;
    let mut left = super::data::share_of(percent, packs.iter().map(|entry| entry.len).sum())?;
    packs.sort_by_cached_key(|entry| {
        super::data::turn(pack_id(entry).and_then(|id| dates.last(&id)), &seed, entry.name.leaf().as_bytes())
    });
    packs.retain(|entry| {
        let damaged = pack_id(entry).and_then(|id| dates.last(&id)).is_some_and(|last| !last.whole);
        if damaged {
            return true;
        }
        let take = left > 0;
        left = left.saturating_sub(entry.len);
        take
    });
    packs.sort();
    Ok(packs)
}

#[derive(Default)]
struct Found {
    read: Vec<(PackId, bool)>,
    objects: u64,
    bytes: u64,
    failed: Option<Error>,
}

/// Told of every object that is not what its name says, from any thread.
type Tell<'a> = dyn Fn(&str, String) + Sync + 'a;

/// Objects that are read whole, whoever asks for it.
pub(super) struct Run<'a> {
    store: &'a dyn Store,
    monitor: &'a dyn Monitor,
    repo: Option<RepoId>,
    tell: &'a Tell<'a>,
    found: Mutex<Found>,
    stop: AtomicBool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        store: &'a dyn Store,
        repo: Option<RepoId>,
        monitor: &'a dyn Monitor,
        tell: &'a Tell<'a>,
    ) -> Self {
        Run { store, monitor, repo, tell, found: Mutex::default(), stop: AtomicBool::new(false) }
    }

    /// Reads these objects, and tells of those that are damaged.
    pub(super) fn all(&self, objects: &[Entry], threads: usize) -> Result<()> {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..threads.min(objects.len()) {
                let work = || {
                    let mut piece = vec![0; PIECE];
                    while let Some(entry) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.stop.load(Ordering::Relaxed) {
                            return;
                        }
                        if let Err(error) = self.monitor.check().and_then(|()| self.one(entry, &mut piece)) {
                            self.stop.store(true, Ordering::Relaxed);
                            self.found.lock().unwrap_or_else(|e| e.into_inner()).failed.get_or_insert(error);
                            return;
                        }
                    }
                };
                let spawned = thread::Builder::new().name("check".into()).spawn_scoped(scope, work);
                spawned.map(drop).map_err(|e| Error::store("start a thread for", "objects", e))?;
            }
            Ok::<(), Error>(())
        })?;
        match self.found.lock().unwrap_or_else(|e| e.into_inner()).failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Reads one object to its end.
    fn one(&self, entry: &Entry, piece: &mut [u8]) -> Result<()> {
        let Some((class, hash)) = naming::class(entry.name.as_str()) else { return Ok(()) };
        let (mut hasher, mut at) = (ObjectHasher::default(), 0u64);
        let (mut header, mut footer) = ([0; HEADER_LEN], [0; FOOTER_LEN]);
        while at < entry.len {
            self.monitor.check()?;
            let len = (entry.len - at).min(piece.len() as u64) as usize;
            let part = &mut piece[..len];
            if let Err(error) = self.store.get_range(&entry.name, at, part) {
                return self.unread(entry, error);
            }
            hasher.update(part);
            if at == 0 {
                let len = part.len().min(HEADER_LEN);
                header[..len].copy_from_slice(&part[..len]);
            }
            // The last bytes, though pieces end anywhere.
            match part.last_chunk::<FOOTER_LEN>() {
                Some(last) => footer = *last,
                None => {
                    footer.rotate_left(part.len());
                    let keep = FOOTER_LEN - part.len();
                    footer[keep..].copy_from_slice(part);
                }
            }
            at += len as u64;
            self.monitor.add(Counter::Stored, len as u64);
        }
        let mut faults = Vec::new();
        // Short enough to have come in one piece.
        if class == Class::Tombstone && !naming::ends_with_sum(piece.get(..entry.len as usize).unwrap_or_default()) {
            faults.push("its bytes are not those of the hash at its end".to_owned());
        }
        if hash.is_some_and(|hash| hash != hasher.finish()) {
            faults.push("its bytes are not those of its name".to_owned());
            faults.extend(looks_cut(class, entry.len, &footer));
        }
        let (expected, also) = match class {
            Class::Config => (Some(Kind::Config as u8), None),
            Class::Slot => (Some(Kind::Slot as u8), None),
            Class::Pack => (Some(Kind::DataPack as u8), Some(Kind::TreePack as u8)),
            Class::Sealed(kind) => (Some(kind), None),
            Class::Tombstone => (Some(Kind::Tombstone as u8), None),
            Class::Other => (None, None),
        };
        let read = &header[..(entry.len as usize).min(HEADER_LEN)];
        match object::read_any_header(read, &entry.name) {
            Ok((kind, _)) if expected.is_some_and(|expected| kind != expected) && also != Some(kind) => {
                faults.push(format!("it is an object of kind {kind}, which does not belong there"));
            }
            // Slots of other repositories are skipped by everybody.
            Ok((_, repo)) if class != Class::Slot && self.repo.is_some_and(|own| own != repo) => {
                faults.push(format!("it belongs to another repository ({})", hex(repo.as_bytes())));
            }
            Ok(_) => {}
            // The first of a second copy says itself when it is of a newer format.
            Err(Error::Unsupported { object, what })
                if faults.is_empty() && !entry.name.as_str().starts_with(naming::MIRROR) =>
            {
                return Err(Error::Unsupported { object, what });
            }
            // Said of `config` before anything else.
            Err(_) if class == Class::Config && self.repo.is_none() => {}
            Err(Error::Corrupt { what, .. } | Error::Unsupported { what, .. }) => faults.push(what),
            Err(error) => return Err(error),
        }
        let whole = faults.is_empty();
        if !whole {
            (self.tell)(entry.name.as_str(), faults.join("; "));
        }
        self.count(entry, whole);
        Ok(())
    }

    /// An object that cannot be read: a bad sector is its own, a cable that was pulled is not.
    fn unread(&self, entry: &Entry, error: Error) -> Result<()> {
        let name = entry.name.as_str();
        match error {
            // A prune has removed it since it was listed.
            Error::Missing { .. } => return Ok(()),
            Error::Corrupt { what, .. } => (self.tell)(name, what),
            Error::Store { source, .. } if self.store.stat(&entry.name).is_ok() => {
                (self.tell)(name, format!("it cannot be read: {}", reason(&source)));
            }
            error => return Err(error),
        }
        self.count(entry, false);
        Ok(())
    }

    fn count(&self, entry: &Entry, whole: bool) {
        let mut found = self.found.lock().unwrap_or_else(|e| e.into_inner());
        found.objects += 1;
        found.bytes += entry.len;
        if entry.name.as_str().starts_with("packs/") {
            found.read.extend(pack_id(entry).map(|id| (id, whole)));
        }
        drop(found);
        self.monitor.add(Counter::Objects, 1);
    }
}

/// What the length of a damaged object says.
fn looks_cut(class: Class, len: u64, footer: &[u8; FOOTER_LEN]) -> Option<String> {
    let step = object::ENVELOPE_STEP as u64;
    match class {
        _ if len == 0 => Some("it is empty".into()),
        Class::Pack if len > limits::PACK_MAX => Some(format!("{len} bytes are too long for a pack")),
        Class::Pack if pack::read::parse_footer(footer, len).is_none() => {
            Some(format!("it does not end as a pack of {len} bytes does: it was cut short, or its end is damaged"))
        }
        Class::Sealed(_) | Class::Config if !len.is_multiple_of(step) => {
            Some(format!("its length of {len} is not a multiple of {step}: it was cut short"))
        }
        _ => None,
    }
}
