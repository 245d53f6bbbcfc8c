//! What was found so far, one finding an object, and what of the repository is damaged thereby.

use super::{
    Finding,
    losses::{Losses, SeriesLoss, SnapshotLoss},
};
use crate::{
    error::{Error, Result},
    id::{BlobId, PackId},
    index::{BlobIndex, Place},
    model::limits,
    monitor::Monitor,
    repo::Repository,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard},
};

/// Things wrong with one object that are named; the rest is counted.
const NAMED: usize = 4;
/// Lost paths that are named.
const LOST_NAMED: usize = 100;
/// Notes that are kept; the rest is counted.
const NOTES_MAX: usize = 1000;
/// Blobs that no index lists, of which the stem of the id is kept to tell which pack holds them.
const UNLISTED_MAX: usize = 1 << 20;

/// Number of a finding.
pub(super) type Number = usize;

/// The beginning of an id is enough, as it is to the index: keyed hashes that share it do not occur.
pub(super) fn stem(id: &BlobId) -> [u8; 16] {
    std::array::from_fn(|i| id.0[i])
}

/// Collects, from any thread.
pub(super) struct Findings<'a> {
    pub(super) repo: &'a Repository,
    pub(super) monitor: &'a dyn Monitor,
    list: Mutex<List>,
    damage: Mutex<Damage>,
}

#[derive(Default)]
struct List {
    findings: Vec<Found>,
    by_object: HashMap<String, Number>,
    losses: Losses,
    notes: Vec<String>,
    more_notes: u64,
}

#[derive(Default)]
struct Found {
    object: String,
    whats: Vec<String>,
    more: u64,
    lost: Vec<String>,
    lost_count: u64,
    /// Why it is none the worse.
    settled: Option<&'static str>,
    /// Of what is wrong, so many are harmless when nothing is lost by it.
    doubts: u64,
    /// It lies beside the repository: no snapshot hangs on it.
    beside: bool,
}

impl Found {
    fn is_doubtful(&self) -> bool {
        self.doubts >= self.whats.len() as u64 + self.more && self.lost_count == 0
    }
}

/// What cannot be read, and the finding that says why.
#[derive(Default)]
pub(super) struct Damage {
    /// Packs of which nothing can be read.
    pub(super) packs: HashMap<PackId, Number>,
    /// Segments, by pack and offset.
    pub(super) segments: HashMap<(PackId, u64), Number>,
    /// Single blobs of segments that are whole otherwise.
    pub(super) in_segments: HashMap<(PackId, u64, BlobId), Number>,
    /// Pages that cannot be used.
    pub(super) pages: HashMap<BlobId, Number>,
    /// Pages that do not fit where they are, and may well fit elsewhere.
    pub(super) misfits: HashMap<BlobId, Number>,
    /// Extents whose blob has another length.
    pub(super) extents: HashMap<(BlobId, u32), Number>,
    /// Blobs that no index lists, by the stem of their id, with the finding of the pack that holds them all the same.
    pub(super) unlisted: HashMap<[u8; 16], Option<Number>>,
    /// The finding of blobs that no index lists: of an index object that is damaged, or of all such blobs.
    pub(super) index: Option<Number>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl<'a> Findings<'a> {
    pub(super) fn new(repo: &'a Repository, monitor: &'a dyn Monitor) -> Self {
        Findings { repo, monitor, list: Mutex::default(), damage: Mutex::default() }
    }

    /// What is damaged; held for moments only.
    pub(super) fn damage(&self) -> MutexGuard<'_, Damage> {
        lock(&self.damage)
    }

    /// Something is wrong with an object. `what` must be safe to print.
    pub(super) fn add(&self, object: &str, what: impl Into<String>) -> Number {
        let what = what.into();
        let mut list = lock(&self.list);
        let list = &mut *list;
        let next = list.findings.len();
        let number = match list.by_object.entry(object.to_owned()) {
            Entry::Occupied(number) => *number.get(),
            Entry::Vacant(vacant) => {
                let object = object.to_owned();
                list.findings.push(Found { object, ..Found::default() });
                *vacant.insert(next)
            }
        };
        if let Some(found) = list.findings.get_mut(number) {
            if found.whats.contains(&what) {
            } else if found.whats.len() < NAMED {
                self.monitor.problem(&format!("{object}: {what}"));
                found.whats.push(what);
            } else {
                found.more += 1;
            }
        }
        number
    }

    /// Takes an error for a finding on `object` when it is about one object, and returns it when it is about all of them, or
    /// about one of a newer format.
    pub(super) fn judge(&self, object: &str, error: Error) -> Result<Number> {
        match error {
            Error::Corrupt { object: of, what } if of == object => Ok(self.add(object, what)),
            Error::Missing { object: of } if of == object => Ok(self.add(object, "it is not in the store")),
            error @ (Error::Corrupt { .. } | Error::Missing { .. }) => Ok(self.add(object, error.to_string())),
            // A bad sector is one object's; a cable that was pulled is not.
            error @ Error::Store { .. } if self.repo.is_there() => Ok(self.add(object, error.to_string())),
            error => Err(error),
        }
    }

    /// True when something is wrong with an object already.
    pub(super) fn is_told(&self, object: &str) -> bool {
        lock(&self.list).by_object.contains_key(object)
    }

    /// What was last added to the finding is none when nothing is lost by it.
    pub(super) fn doubt(&self, number: Number) {
        if let Some(found) = lock(&self.list).findings.get_mut(number) {
            found.doubts += 1;
        }
    }

    /// The finding is on what no snapshot needs: it makes nothing else doubtful.
    pub(super) fn beside(&self, number: Number) {
        if let Some(found) = lock(&self.list).findings.get_mut(number) {
            found.beside = true;
        }
    }

    /// A blob that is needed and listed nowhere.
    pub(super) fn unlisted(&self, id: &BlobId) {
        let mut damage = self.damage();
        if damage.unlisted.len() < UNLISTED_MAX {
            damage.unlisted.entry(stem(id)).or_default();
        }
    }

    /// Something odd but harmless. Must be safe to print.
    pub(super) fn note(&self, text: impl Into<String>) {
        let mut list = lock(&self.list);
        if list.notes.len() < NOTES_MAX {
            list.notes.push(text.into());
        } else {
            list.more_notes += 1;
        }
    }

    /// Something is lost through a finding: a path, safe to print, that stands for `count` entries.
    pub(super) fn lose(&self, number: Number, path: impl FnOnce() -> String, count: u64) {
        if let Some(found) = lock(&self.list).findings.get_mut(number) {
            found.lost_count = found.lost_count.saturating_add(count);
            if found.lost.len() < LOST_NAMED {
                found.lost.push(path());
            }
        }
    }

    /// What is lost of a snapshot.
    pub(super) fn lose_of(&self, series: &str, loss: SnapshotLoss) {
        lock(&self.list).losses.add(series, loss);
    }

    /// Objects with findings through which nothing is lost.
    pub(super) fn costless(&self) -> Vec<(String, Number)> {
        let list = lock(&self.list);
        let costless = list.findings.iter().enumerate().filter(|(_, found)| found.lost_count == 0);
        costless.map(|(number, found)| (found.object.clone(), number)).collect()
    }

    /// A finding that is only a note, and why.
    pub(super) fn settle(&self, number: Number, why: &'static str) {
        if let Some(found) = lock(&self.list).findings.get_mut(number) {
            found.settled = Some(why);
        }
    }

    /// All findings, by object, what is lost, and all notes.
    pub(super) fn finish(self) -> (Vec<Finding>, Vec<SeriesLoss>, Vec<String>) {
        let list = self.list.into_inner().unwrap_or_else(|e| e.into_inner());
        let (mut findings, mut notes) = (Vec::new(), list.notes);
        // Where something else is wrong nobody knows what is lost.
        let open = |found: &&Found| found.settled.is_none() && !found.beside;
        let harmless = list.findings.iter().filter(open).all(|found| found.is_doubtful());
        for found in list.findings {
            let mut what = found.whats.join("; ");
            if found.more > 0 {
                what = format!("{what}; and {} more", found.more);
            }
            match found.settled {
                Some(why) => notes.push(format!("{}: {what}; {why}", found.object)),
                None if harmless && !found.beside => {
                    notes.push(format!("{}: {what}, and nothing needs it", found.object))
                }
                None => findings.push(Finding {
                    object: found.object,
                    what,
                    lost: found.lost,
                    lost_count: found.lost_count,
                }),
            }
        }
        findings.sort_by(|a, b| a.object.cmp(&b.object));
        if list.more_notes > 0 {
            notes.push(format!("and {} more", list.more_notes));
        }
        (findings, list.losses.finish(), notes)
    }
}

impl Damage {
    /// True when no file can be lost.
    pub(super) fn is_empty(&self) -> bool {
        self.packs.is_empty()
            && self.segments.is_empty()
            && self.in_segments.is_empty()
            && self.pages.is_empty()
            && self.misfits.is_empty()
            && self.extents.is_empty()
            && self.unlisted.is_empty()
    }

    /// The finding through which a blob is lost; `None` for one that is not.
    pub(super) fn loss(&self, index: &BlobIndex, id: &BlobId) -> Option<Number> {
        self.loss_below(index, id, &mut Below::default(), 0)
    }

    fn loss_below(&self, index: &BlobIndex, id: &BlobId, below: &mut Below, depth: usize) -> Option<Number> {
        if let Some(number) = self.pages.get(id) {
            return Some(*number);
        }
        let mut first = None;
        for place in index.places(id) {
            match self.loss_of_place(index, id, place, below, depth) {
                Some(number) => first.get_or_insert(number),
                None => return None,
            };
        }
        // Without places and without a word on it in `unlisted`, it was one too many to be kept.
        first.or_else(|| self.unlisted.get(&stem(id)).copied().flatten()).or(self.index)
    }

    fn loss_of_place(
        &self,
        index: &BlobIndex,
        id: &BlobId,
        place: Place,
        below: &mut Below,
        depth: usize,
    ) -> Option<Number> {
        let located = index.locate(place)?;
        let at = (located.pack, located.offset);
        let own = self.packs.get(&at.0).or_else(|| self.segments.get(&at));
        if let Some(number) = own.or_else(|| self.in_segments.get(&(at.0, at.1, *id))) {
            return Some(*number);
        }
        if depth >= limits::DELTA_DEPTH_MAX {
            return None;
        }
        if let Some(known) = below.get(&at) {
            return *known;
        }
        // Until it is known: a forged segment may lean on itself.
        below.insert(at, None);
        let loss = located.bases.iter().find_map(|base| self.loss_below(index, base, below, depth + 1));
        below.insert(at, loss);
        loss
    }
}

/// What is lost of the segments that one blob needs, each looked at once: they share their bases.
type Below = HashMap<(PackId, u64), Option<Number>>;
