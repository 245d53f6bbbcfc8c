//! Snapshots in the store. Layout: `format-spec/06-snapshots.md`.

use super::Repository;
use crate::{
    error::{Error, Result, reason},
    hash,
    id::{SeriesTag, SnapshotId},
    keys::{
        Keyring,
        wrap::{WRAPPED_LEN, WrappedKey},
    },
    model::{
        codec, limits,
        snapshot::{Head, Snapshot},
        tree,
    },
    object::{self, HEADER_LEN, Kind, NONCE_LEN, TAG_LEN},
    repo::tombstones,
    seal,
    series::{Address, Series, Version},
    store::ObjectName,
    world::{Entropy, random},
};
use std::collections::HashSet;

const WRAP: usize = HEADER_LEN;
const HEAD_NONCE: usize = WRAP + WRAPPED_LEN;
const HEAD: usize = HEAD_NONCE + NONCE_LEN;
const HEAD_PLAIN: usize = 128;
const BODY_NONCE: usize = HEAD + HEAD_PLAIN + TAG_LEN;
const BODY: usize = BODY_NONCE + NONCE_LEN;
const STEP: usize = object::ENVELOPE_STEP;
const _: () = assert!(HEAD_NONCE == 112 && HEAD == 136 && BODY_NONCE == 280 && BODY == 304);

/// A snapshot with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: SnapshotId,
    /// Its length in the store, in bytes.
    pub len: u64,
    /// What it says.
    pub snapshot: Snapshot,
}

/// The repository's snapshots.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Those that could be read, by series, oldest first.
    pub listed: Vec<Listed>,
    /// Objects that could not be read, with the reason.
    pub unreadable: Vec<(String, Error)>,
    /// Snapshots that were forgotten and are still in the store.
    pub leftovers: Vec<(SeriesTag, SnapshotId)>,
    /// Tombstones that prove nothing, with the reason: their snapshots are listed.
    pub doubtful: Vec<(String, Error)>,
}

/// Names of the snapshots in the store.
#[derive(Debug, Default)]
pub struct Living {
    /// Those that are to be taken for there, with their lengths in bytes; sorted.
    pub names: Vec<(SeriesTag, SnapshotId, u64)>,
    /// Those that were forgotten.
    pub leftovers: Vec<(SeriesTag, SnapshotId)>,
    /// Tombstones beside snapshots that prove nothing, with the reason: such a snapshot is there.
    pub doubtful: Vec<(String, Error)>,
}

/// The newest snapshot of some.
type Newest = Option<(SnapshotId, Head)>;

/// The snapshot that an address names.
#[derive(Debug)]
pub struct Resolved {
    /// The snapshot.
    pub listed: Listed,
    /// Damaged snapshots of which nobody can tell whether one of them was meant: the user has to hear of them.
    pub passed_over: Vec<Error>,
}

impl Resolved {
    /// The snapshot, for who must not take another one for it.
    pub fn surely(self) -> Result<Listed> {
        match self.passed_over.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.listed),
        }
    }
}

/// Where a series ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesEnd {
    /// The snapshot with the highest number that was ever given, forgotten or not: the next one follows it.
    pub last: Option<(SnapshotId, Head)>,
    /// The newest snapshot that was not forgotten.
    pub living: Option<SnapshotId>,
}

/// A snapshot's name in the store.
pub fn object_name(tag: &SeriesTag, id: &SnapshotId) -> ObjectName {
    ObjectName::of_parts(&["snapshots", &tag.to_string(), &id.to_string()])
}

/// Seals a snapshot.
pub fn seal_snapshot(keys: &Keyring, snapshot: &Snapshot, entropy: &dyn Entropy) -> Result<Vec<u8>> {
    let mut object = object::header(Kind::Snapshot, keys.repo()).to_vec();
    let (body_key, wrapped) = keys.fresh_key(Kind::Snapshot, entropy)?;
    object.extend_from_slice(&wrapped.to_bytes());
    let nonce: [u8; NONCE_LEN] = random(entropy)?;
    let head = object::pad(&codec::encode(&snapshot.head), 0, 0, HEAD_PLAIN);
    let mut sealed = Vec::new();
    seal::seal_append(&keys.head_key(), &nonce, &object, &head, &mut sealed);
    object.extend_from_slice(&nonce);
    object.extend_from_slice(&sealed);
    let nonce: [u8; NONCE_LEN] = random(entropy)?;
    let body = object::pad(&codec::encode(snapshot), BODY, TAG_LEN, STEP);
    sealed.clear();
    seal::seal_append(&body_key, &nonce, &object, &body, &mut sealed);
    object.extend_from_slice(&nonce);
    object.extend_from_slice(&sealed);
    Ok(object)
}

/// Opens a snapshot's head, which every role can.
pub fn open_head(keys: &Keyring, bytes: &[u8], name: &dyn std::fmt::Display) -> Result<Head> {
    object::expect_header(bytes, Kind::Snapshot, keys.repo(), name)?;
    let damaged = || Error::corrupt(name, "its head does not verify");
    let before = bytes.get(..HEAD_NONCE).ok_or_else(damaged)?;
    let (nonce, sealed) =
        bytes.get(HEAD_NONCE..BODY_NONCE).and_then(|part| part.split_first_chunk()).ok_or_else(damaged)?;
    let plain = seal::open(&keys.head_key(), nonce, before, sealed).ok_or_else(damaged)?;
    let payload = object::unpad(&plain).ok_or_else(damaged)?;
    codec::decode(payload).map_err(|e| Error::corrupt(name, e))
}

/// Opens a snapshot and checks all that can be checked within it.
pub fn open_snapshot(keys: &Keyring, bytes: &[u8], tag: &SeriesTag, name: &dyn std::fmt::Display) -> Result<Snapshot> {
    let (of, snapshot) = open_intent(keys, bytes, name)?;
    if of != *tag {
        return Err(Error::corrupt(name, "it lies in the folder of another series"));
    }
    Ok(snapshot)
}

/// Opens a snapshot that lies in no folder of a series; returns the tag of its series too.
pub fn open_intent(keys: &Keyring, bytes: &[u8], name: &dyn std::fmt::Display) -> Result<(SeriesTag, Snapshot)> {
    let head = open_head(keys, bytes, name)?;
    if !bytes.len().is_multiple_of(STEP) {
        return Err(Error::corrupt(name, "its length is not a multiple of 4096"));
    }
    let damaged = || Error::corrupt(name, "it does not verify under this repository's key");
    let wrapped = bytes.get(WRAP..).and_then(|rest| rest.first_chunk()).ok_or_else(damaged)?;
    let key = keys.unwrap_key(Kind::Snapshot, &WrappedKey::from_bytes(wrapped), name)?;
    let before = bytes.get(..BODY_NONCE).ok_or_else(damaged)?;
    let (nonce, sealed) = bytes.get(BODY_NONCE..).and_then(|rest| rest.split_first_chunk()).ok_or_else(damaged)?;
    let plain = seal::open(&key, nonce, before, sealed).ok_or_else(damaged)?;
    let payload = object::unpad(&plain).ok_or_else(|| Error::corrupt(name, "its padding is wrong"))?;
    let snapshot: Snapshot = codec::decode(payload).map_err(|e| Error::corrupt(name, e))?;
    let bad = |what: &str| Err(Error::corrupt(name, what));
    if snapshot.head != head {
        return bad("its head and its body differ");
    }
    let series = Series::parse(&snapshot.series).map_err(|e| Error::corrupt(name, e))?;
    if !snapshot.sources.is_sorted_by(|a, b| a.root.name < b.root.name) {
        return bad("its sources are not sorted, or occur twice");
    }
    if [snapshot.head.time, snapshot.finished].iter().any(|time| time.nsec >= 1_000_000_000) {
        return bad("a time has too many nanoseconds");
    }
    if snapshot.problems.len() > limits::PROBLEMS_MAX {
        return bad("it lists too many problems");
    }
    for source in &snapshot.sources {
        tree::check_node(&source.root).map_err(|e| Error::corrupt(name, e))?;
    }
    Ok((keys.series_tag(&series), snapshot))
}

impl Repository {
    /// Names of the snapshot objects in the store, of one series or of all: also of those that were forgotten and are still there.
    pub fn snapshot_names(&self, series: Option<&Series>) -> Result<Vec<(SeriesTag, SnapshotId, u64)>> {
        let names = self.names_below("snapshots", series)?;
        Ok(names.into_iter().map(|(tag, id, len)| (tag, SnapshotId(id), len)).collect())
    }

    /// Names of the snapshots of one series, or of all, and which of them were forgotten although they are still there: whoever
    /// forgets writes a tombstone first, and may be killed before it removes the snapshot.
    pub fn living(&self, series: Option<&Series>) -> Result<Living> {
        let mut out = Living::default();
        // In this order: what is forgotten meanwhile has its tombstone before it goes.
        let names = self.snapshot_names(series)?;
        let gone = self.tombstone_names(series)?;
        for (tag, id, len) in names {
            if gone.contains(&(tag, id)) {
                match self.prove_forgotten(&tag, &id) {
                    Ok(_) => {
                        out.leftovers.push((tag, id));
                        continue;
                    }
                    Err(error) if is_of_one_object(&error) => {
                        out.doubtful.push((tombstones::object_name(&tag, &id).to_string(), error));
                    }
                    Err(error) => return Err(error),
                }
            }
            out.names.push((tag, id, len));
        }
        Ok(out)
    }

    fn snapshot_bytes(&self, tag: &SeriesTag, id: &SnapshotId) -> Result<Vec<u8>> {
        let name = object_name(tag, id);
        let bytes = self.store().get(&name, limits::META_MAX)?;
        if hash::object_name(&bytes) != id.0 {
            return Err(Error::corrupt(&name, "its bytes are not those of its name"));
        }
        Ok(bytes)
    }

    /// Reads the head of a snapshot, as every role can.
    pub fn head(&self, tag: &SeriesTag, id: &SnapshotId) -> Result<Head> {
        open_head(self.keys(), &self.snapshot_bytes(tag, id)?, &object_name(tag, id))
    }

    /// Reads one snapshot.
    pub fn read_snapshot(&self, tag: &SeriesTag, id: &SnapshotId) -> Result<Listed> {
        let bytes = self.snapshot_bytes(tag, id)?;
        let snapshot = open_snapshot(self.keys(), &bytes, tag, &object_name(tag, id))?;
        Ok(Listed { id: *id, len: bytes.len() as u64, snapshot })
    }

    /// Reads the snapshots of one series, or of all, without those that were forgotten.
    pub fn snapshots(&self, series: Option<&Series>) -> Result<Snapshots> {
        let Living { names, leftovers, doubtful } = self.living(series)?;
        let mut out = Snapshots { leftovers, doubtful, ..Snapshots::default() };
        for (tag, id, len) in names {
            // The power went before its bytes came, and so before anybody was told of it.
            if len == 0 && self.is_on_its_way(&id)? {
                continue;
            }
            match self.read_snapshot(&tag, &id) {
                Ok(listed) => out.listed.push(listed),
                // Forgotten since it was listed.
                Err(Error::Missing { .. }) if self.prove_forgotten(&tag, &id).is_ok() => {}
                // One bad sector must not hide the other snapshots.
                Err(error) if is_of_one_object(&error) => {
                    out.unreadable.push((object_name(&tag, &id).to_string(), error));
                }
                Err(error) => return Err(error),
            }
        }
        out.listed.sort_by(|a, b| {
            let key = |l: &Listed| (l.snapshot.head.sequence, l.id);
            a.snapshot.series.cmp(&b.snapshot.series).then(key(a).cmp(&key(b)))
        });
        Ok(out)
    }

    /// Where a series ends, which every role can ask: numbers of forgotten snapshots are not given again.
    pub fn series_end(&self, series: &Series) -> Result<SeriesEnd> {
        let tag = self.keys().series_tag(series);
        let (mut last, mut living): (Newest, Newest) = (None, None);
        let newer = |than: &Newest, id: SnapshotId, head: &Head| {
            than.as_ref().is_none_or(|(other, last)| (last.sequence, *other) < (head.sequence, id))
        };
        // In this order: what is forgotten meanwhile is then in one of the lists at least.
        let names = self.snapshot_names(Some(series))?;
        let mut gone = self.tombstone_names(Some(series))?;
        for (_, id, _) in names {
            let head = match self.head(&tag, &id) {
                Ok(head) => head,
                // A damaged one does not keep the next from being made, but its number is taken. A failing store does: the same
                // number would be given twice.
                Err(Error::Corrupt { .. }) => match self.head_of_damaged(&object_name(&tag, &id)) {
                    Some(head) => head,
                    None => continue,
                },
                Err(Error::Missing { .. }) => {
                    // Forgotten just now.
                    gone.insert((tag, id));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let forgotten = gone.contains(&(tag, id)) && self.prove_forgotten(&tag, &id).is_ok();
            if !forgotten && newer(&living, id, &head) {
                living = Some((id, head.clone()));
            }
            if newer(&last, id, &head) {
                last = Some((id, head));
            }
        }
        let gone = gone.into_iter().map(|(_, id)| id).collect();
        if let Some((id, head)) = self.last_buried(&tag, &gone)?
            && newer(&last, id, &head)
        {
            last = Some((id, head));
        }
        Ok(SeriesEnd { last, living: living.map(|(id, _)| id) })
    }

    /// Finds the snapshot whose id begins so, in one series or in all; forgotten ones are not found.
    pub fn find(&self, series: Option<&Series>, prefix: &str) -> Result<(SeriesTag, SnapshotId)> {
        let what = match series {
            Some(series) => series.to_string(),
            None => "the repository".into(),
        };
        let names = self.living(series)?.names;
        let mut found = names.iter().filter(|(_, id, _)| id.to_string().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some((tag, id, _)), None) => Ok((*tag, *id)),
            (Some(_), Some(_)) => Err(Error::usage(format!("several snapshots begin with {prefix}: give more digits"))),
            (None, _) => {
                let gone = self.tombstone_names(series)?;
                let was_there = gone.iter().any(|(_, id)| id.to_string().starts_with(prefix));
                let why = if was_there { "the one that did was forgotten; " } else { "" };
                Err(Error::usage(format!("no snapshot of {what} begins with {prefix}: {why}see `vault snapshots`")))
            }
        }
    }

    /// Finds the snapshot that an address names; unless that is by its id, [`Error::Rollback`] when the series is not what it was. `instant` turns a date or time as the user wrote it into the last second it
    /// means.
    ///
    /// A damaged snapshot whose head still says that it is the one that is meant is an error; one whose head says nothing is passed
    /// over, which is told. One that another was made in the place of is in nobody's way.
    pub fn resolve(&self, address: &Address, instant: &dyn Fn(&str) -> Result<i64>) -> Result<Resolved> {
        let what = match &address.series {
            Some(series) => series.to_string(),
            None => "the repository".into(),
        };
        if let Version::Id(prefix) = &address.version {
            let (tag, id) = self.find(address.series.as_ref(), prefix)?;
            return Ok(Resolved { listed: self.read_snapshot(&tag, &id)?, passed_over: Vec::new() });
        }
        if let Some(series) = &address.series {
            // An older snapshot must not pass for the newest because that one is hidden.
            self.expect_no_rollback(series)?;
        }
        let all = self.snapshots(address.series.as_ref())?;
        let until = match &address.version {
            Version::At(text) => Some(instant(text)?),
            Version::Age(age) => Some(self.clock().now().sec.saturating_sub_unsigned(*age)),
            _ => None,
        };
        let stand_ins: HashSet<SnapshotId> =
            all.listed.iter().filter_map(|listed| listed.snapshot.repaired_from()).collect();
        let newest =
            all.listed.into_iter().rfind(|listed| until.is_none_or(|until| listed.snapshot.head.time.sec <= until));
        let mut passed_over = Vec::new();
        for (object, error) in all.unreadable {
            let name = ObjectName::new(&*object);
            let id = name.as_ref().and_then(|name| SnapshotId::parse(name.leaf()).ok());
            // Removed between the list and the look, or made up for.
            if matches!(error, Error::Missing { .. }) || id.is_some_and(|id| stand_ins.contains(&id)) {
                continue;
            }
            match name.and_then(|name| self.head_of_damaged(&name)) {
                None => passed_over.push(in_the_way(object, error)),
                // An older snapshot must not pass for the one that was asked for.
                Some(head) => {
                    let harmless = until.is_some_and(|until| head.time.sec > until)
                        || newest.as_ref().is_some_and(|newest| head.sequence < newest.snapshot.head.sequence);
                    if !harmless {
                        return Err(in_the_way(object, error));
                    }
                }
            }
        }
        match (newest, until) {
            (Some(listed), _) => Ok(Resolved { listed, passed_over }),
            // Nothing is left that could have been meant.
            (None, _) if !passed_over.is_empty() => Err(passed_over.remove(0)),
            (None, Some(_)) => {
                Err(Error::usage(format!("{what} has no snapshot that old: see `vault snapshots {what}`")))
            }
            (None, None) => Err(Error::usage(format!("{what} has no snapshots: see `vault snapshots`"))),
        }
    }

    /// The head of a snapshot that is damaged elsewhere: when it opens, it is as it was written.
    pub fn head_of_damaged(&self, name: &ObjectName) -> Option<Head> {
        let bytes = self.store().get(name, limits::META_MAX).ok()?;
        open_head(self.keys(), &bytes, name).ok()
    }
}

/// True for a failure that says nothing of other objects.
fn is_of_one_object(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. } | Error::Missing { .. } | Error::Unsupported { .. } | Error::Store { .. })
}

/// Why no snapshot can be chosen: this one may be the one that was asked for.
fn in_the_way(object: String, error: Error) -> Error {
    let on = "it may be the snapshot that was asked for: name a snapshot by its id (see `vault snapshots`), or bring it back (see `vault repair`)";
    match error {
        Error::Corrupt { what, .. } => Error::corrupt(object, format!("{what}; {on}")),
        Error::Unsupported { what, .. } => Error::unsupported(object, format!("{what}; {on}")),
        Error::Store { source, .. } => Error::corrupt(object, format!("it cannot be read: {}; {on}", reason(&source))),
        error => Error::corrupt(object, format!("{error}; {on}")),
    }
}
