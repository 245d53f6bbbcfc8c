//! What this client has seen of each series, so that an older state of the store, or a snapshot that is hidden, does not pass for
//! all there is.
//!
//! A local file a series in a folder that is not to be deleted. A snapshot that was seen there, or that a later one or a tombstone
//! says came before it, must be there, or have a tombstone that proves; else the store was put back to an older state, or somebody
//! removed it. What a client sees for the first time it believes, as far as the chain has no gap.
//!
//! Only tombstones of what has gone since the last look are read, so that a look costs two listings and little more. A writer
//! can hold tombstones against their heads only (see [`Repository::prove_forgotten`]). Two things a look does not tell: that
//! snapshots came back that were forgotten (nothing is lost by it), and that one of two which were made at once is hidden from a
//! client that never saw it.

use super::Repository;
use crate::{
    error::{Error, Result},
    id::{SeriesTag, SnapshotId, hex},
    keys::Role,
    model::{codec, snapshot::Head},
    name::Shown,
    object::NONCE_LEN,
    seal,
    series::Series,
    world::random,
};
use bincode::{Decode, Encode};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const MAGIC: [u8; 8] = *b"VLTSEEN2";
/// A series of a hundred thousand snapshots takes some 5 MB.
const SEEN_MAX: u64 = 64 << 20;

/// A snapshot as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
struct Sight {
    sequence: u64,
    /// Seconds since 1970 at which it was begun.
    time: i64,
}

impl Sight {
    fn of(head: &Head) -> Self {
        Sight { sequence: head.sequence, time: head.time.sec }
    }
}

/// So many tombstones are read each time, before it is written down which were.
const UNREAD_MAX: usize = 16;

type Newest = Option<(SnapshotId, Sight)>;

/// What is remembered of a series.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
struct Seen {
    /// Its name, where the key opens snapshots: others have it from who asks.
    series: Option<String>,
    /// The snapshot with the highest number that was ever seen.
    newest: Newest,
    /// Those that were there.
    there: BTreeMap<SnapshotId, Sight>,
    /// Those that were missing, which the user took note of.
    accepted: BTreeSet<SnapshotId>,
    /// Tombstones whose heads were read, and the highest number among them: a series of ten years has thousands, of which only the
    /// new ones are read again.
    buried: BTreeSet<SnapshotId>,
    last_buried: Option<(SnapshotId, Head)>,
}

/// A snapshot that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub id: SnapshotId,
    /// Its number, and when it was begun (seconds since 1970), if this client has seen it.
    pub seen: Option<(u64, i64)>,
    /// A tombstone that does not prove, if there is one: why.
    pub tombstone: Option<String>,
}

/// A series that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// The series, or the folder of one whose name is not known.
    pub series: String,
    /// What is missing, the newest last.
    pub missing: Vec<Missing>,
    /// The highest number that this client has seen, and the highest that is there now.
    pub numbers: (Option<u64>, Option<u64>),
}

impl std::fmt::Display for Rollback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", Shown(self.series.as_bytes()))?;
        match self.numbers {
            (Some(seen), Some(there)) if there < seen => write!(
                f,
                "the store was put back to an older state: number {seen} was seen here, {there} is its newest now; "
            )?,
            (Some(seen), None) => write!(f, "its snapshots are gone, of which number {seen} was seen here; ")?,
            _ => {}
        }
        let shown: Vec<String> = self.missing.iter().rev().take(3).map(Missing::described).collect();
        let more = match self.missing.len().saturating_sub(shown.len()) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let are = if self.missing.len() == 1 { "is" } else { "are" };
        write!(f, "{}{more} {are} missing, and no tombstone explains it", shown.join(", "))
    }
}

impl Missing {
    fn described(&self) -> String {
        let number = self.seen.map_or_else(String::new, |(number, _)| format!(" (number {number})"));
        let tombstone = self.tombstone.as_ref().map_or_else(String::new, |why| format!(" [{why}]"));
        format!("snapshot {}{number}{tombstone}", self.id.short())
    }
}

impl From<Rollback> for Error {
    fn from(rollback: Rollback) -> Self {
        Error::Rollback { what: rollback.to_string() }
    }
}

/// A series as it is in the store now.
struct Look {
    seen: Seen,
    forgotten: Vec<SnapshotId>,
    missing: Vec<Missing>,
}

impl Repository {
    /// Looks at a series, or at all, and compares them with what this client has seen. What is as it should be is remembered, and
    /// so is the rest when it is to be `accepted`: then it is no longer told.
    pub fn look(&self, series: Option<&Series>, accept: bool) -> Result<Vec<Rollback>> {
        let known = match series {
            Some(series) => vec![self.keys().series_tag(series)],
            None => self.remembered_series(),
        };
        // What is remembered is read before the store is listed: a snapshot that another run makes in between would be taken for a
        // hidden one.
        let mut remembered: BTreeMap<SeriesTag, Result<Seen>> =
            known.into_iter().map(|tag| (tag, self.recollect(&tag))).collect();
        let mut tags: BTreeMap<SeriesTag, BTreeSet<SnapshotId>> =
            remembered.keys().map(|tag| (*tag, BTreeSet::new())).collect();
        for (tag, id, _) in self.snapshot_names(series)? {
            tags.entry(tag).or_default().insert(id);
        }
        let mut rollbacks = Vec::new();
        for (tag, there) in tags {
            let before = match remembered.remove(&tag) {
                None => Seen::default(),
                Some(Err(Error::Corrupt { .. })) if accept => Seen::default(),
                Some(before) => before?,
            };
            let look = self.compare(&tag, &there, &before)?;
            if !look.missing.is_empty() {
                let known = look.seen.series.clone().or_else(|| series.map(ToString::to_string));
                let number = |newest: Newest| newest.map(|(_, sight)| sight.sequence);
                rollbacks.push(Rollback {
                    series: known.unwrap_or_else(|| format!("the series in snapshots/{tag}")),
                    missing: look.missing.clone(),
                    numbers: (number(before.newest), number(newest_of(&look.seen.there))),
                });
            }
            if accept {
                self.remember(&tag, |seen| look.merge_into(seen, true))?;
            } else if look.missing.is_empty() {
                // Who reads from a machine that takes no file is not kept from it; a snapshot tells (`saw`).
                let _ = self.remember(&tag, |seen| look.merge_into(seen, false));
            }
        }
        Ok(rollbacks)
    }

    /// Fails with [`Error::Rollback`] unless a series is as this client last saw it, or further.
    pub fn expect_no_rollback(&self, series: &Series) -> Result<()> {
        match self.look(Some(series), false)?.pop() {
            Some(rollback) => Err(rollback.into()),
            None => Ok(()),
        }
    }

    /// The highest number among these tombstones of a series, and the snapshot that had it. Those that this client has read before
    /// are not read again.
    pub(super) fn last_buried(
        &self,
        tag: &SeriesTag,
        gone: &BTreeSet<SnapshotId>,
    ) -> Result<Option<(SnapshotId, Head)>> {
        // What does not open is told by a look, and then nothing is known.
        let known = self.recollect(tag).unwrap_or_default();
        // Of what has gone from the store since nothing is said any more.
        let is_known = known.last_buried.as_ref().is_none_or(|(id, _)| gone.contains(id));
        let (mut last, buried) = if is_known { (known.last_buried, known.buried) } else { Default::default() };
        let mut read = BTreeSet::new();
        for id in gone.difference(&buried) {
            let head = match self.tombstone_head(tag, id) {
                Ok(gone) => gone.head,
                // Of one that is damaged nothing is known; a check tells.
                Err(Error::Corrupt { .. } | Error::Missing { .. }) => continue,
                Err(error) => return Err(error),
            };
            read.insert(*id);
            if last.as_ref().is_none_or(|(other, last)| (last.sequence, *other) < (head.sequence, *id)) {
                last = Some((*id, head));
            }
        }
        if read.len() > UNREAD_MAX || !is_known {
            let before: BTreeSet<SnapshotId> = buried.intersection(gone).copied().collect();
            // Who is not let write a file reads them again the next time.
            let _ = self.remember(tag, |seen| {
                seen.buried = before.union(&read).copied().collect();
                seen.last_buried = last.clone();
            });
        }
        Ok(last)
    }

    /// Remembers a snapshot that was just published.
    pub fn saw(&self, series: &Series, id: &SnapshotId, head: &Head) -> Result<()> {
        let sight = Sight::of(head);
        self.remember(&self.keys().series_tag(series), |seen| {
            seen.there.insert(*id, sight);
            seen.newest = newer(newest_of(&seen.there), seen.newest);
        })
    }

    fn compare(&self, tag: &SeriesTag, there: &BTreeSet<SnapshotId>, before: &Seen) -> Result<Look> {
        let mut look = Look { seen: before.clone(), forgotten: Vec::new(), missing: Vec::new() };
        let mut asked = BTreeSet::new();
        let mut came_before = Vec::new();
        for (id, sight) in &before.there {
            if there.contains(id) {
                continue;
            }
            look.seen.there.remove(id);
            asked.insert(*id);
            match self.explain(tag, id)? {
                Ok(_) => look.forgotten.push(*id),
                Err(_) if before.accepted.contains(id) => {}
                Err(tombstone) => {
                    look.missing.push(Missing { id: *id, seen: Some((sight.sequence, sight.time)), tombstone })
                }
            }
        }
        for id in there.iter().filter(|id| !before.there.contains_key(id)) {
            let Some(head) = self.sight(tag, id, &mut look.seen)? else { continue };
            look.seen.there.insert(*id, Sight::of(&head));
            came_before.extend(head.previous);
        }
        while let Some(id) = came_before.pop() {
            if there.contains(&id) || before.accepted.contains(&id) || !asked.insert(id) {
                continue;
            }
            match self.explain(tag, &id)? {
                Ok(head) => came_before.extend(head.previous),
                Err(tombstone) => look.missing.push(Missing { id, seen: None, tombstone }),
            }
        }
        look.seen.newest = newer(newest_of(&look.seen.there), before.newest);
        look.missing.sort_by_key(|missing| (missing.seen, missing.id));
        Ok(look)
    }

    /// The head of a snapshot that is new to this client, and the series' name where that is not known and can be. `None` for one that
    /// cannot be read, which a check tells, or that was forgotten meanwhile.
    fn sight(&self, tag: &SeriesTag, id: &SnapshotId, seen: &mut Seen) -> Result<Option<Head>> {
        if seen.series.is_none()
            && self.keys().role() >= Role::Maintainer
            && let Ok(listed) = self.read_snapshot(tag, id)
        {
            seen.series = Some(listed.snapshot.series);
            return Ok(Some(listed.snapshot.head));
        }
        match self.head(tag, id) {
            Ok(head) => Ok(Some(head)),
            Err(Error::Corrupt { .. } | Error::Missing { .. } | Error::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The head that a tombstone keeps of what is not there, or why none explains it.
    fn explain(&self, tag: &SeriesTag, id: &SnapshotId) -> Result<Result<Head, Option<String>>> {
        match self.prove_forgotten(tag, id) {
            Ok(gone) => Ok(Ok(gone.head)),
            Err(Error::Missing { .. }) => Ok(Err(None)),
            Err(error @ (Error::Corrupt { .. } | Error::Unsupported { .. })) => Ok(Err(Some(error.to_string()))),
            // That the store does not answer says nothing of what is in it.
            Err(error) => Err(error),
        }
    }

    fn seen_folder(&self) -> Option<PathBuf> {
        Some(self.around.state.as_ref()?.join(hex(self.keys().repo().as_bytes())))
    }

    fn remembered_series(&self) -> Vec<SeriesTag> {
        let folder = self.seen_folder().and_then(|folder| fs::read_dir(folder).ok());
        let names = folder.into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| SeriesTag::parse(name.to_str()?).ok()).collect()
    }

    fn binding_of(&self, tag: &SeriesTag) -> Vec<u8> {
        [&MAGIC[..], self.keys().repo().as_bytes(), &tag.0].concat()
    }

    fn recollect(&self, tag: &SeriesTag) -> Result<Seen> {
        let Some(folder) = self.seen_folder() else { return Ok(Seen::default()) };
        let path = folder.join(tag.to_string());
        let failed = |e| Error::store("read", path.display(), e);
        let bytes = match fs::metadata(&path) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Seen::default());
            }
            Ok(meta) if meta.len() <= SEEN_MAX => fs::read(&path).map_err(failed)?,
            Ok(_) => Vec::new(),
            Err(e) => return Err(failed(e)),
        };
        let open = || {
            let (nonce, sealed) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<NONCE_LEN>()?;
            let plain = seal::open(&self.keys().seen_key(), nonce, &self.binding_of(tag), sealed)?;
            codec::decode(&plain).ok()
        };
        open().ok_or_else(|| {
            let what =
                "it does not open, so nothing tells whether the store was put back; go on with --accept-rollback";
            Error::corrupt(path.display(), what)
        })
    }

    /// Changes what is remembered. Runs that end at once wait for one another here, for the time that it takes to write a file.
    fn remember(&self, tag: &SeriesTag, change: impl FnOnce(&mut Seen)) -> Result<()> {
        let Some(folder) = self.seen_folder() else { return Ok(()) };
        let path = folder.join(tag.to_string());
        let failed = |e| Error::store("write", path.display(), e);
        super::make_private_folder(&folder).map_err(failed)?;
        let lock = private(&folder.join("lock"), File::options().create(true)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        // One that does not open was told, and is replaced when the user accepts that.
        let before = self.recollect(tag).ok();
        let mut seen = before.clone().unwrap_or_default();
        change(&mut seen);
        if before.as_ref() == Some(&seen) {
            return Ok(());
        }
        let nonce: [u8; NONCE_LEN] = random(self.entropy())?;
        let mut bytes = [&MAGIC[..], &nonce].concat();
        seal::seal_append(&self.keys().seen_key(), &nonce, &self.binding_of(tag), &codec::encode(&seen), &mut bytes);
        replace(&folder, &path, &bytes).map_err(failed)
    }
}

impl Look {
    fn merge_into(self, seen: &mut Seen, accept: bool) {
        // Another run may have seen more meanwhile.
        for id in self.forgotten.iter().chain(self.missing.iter().map(|missing| &missing.id)) {
            seen.there.remove(id);
        }
        seen.series = self.seen.series.or(seen.series.take());
        seen.there.extend(self.seen.there);
        seen.accepted.retain(|id| !seen.there.contains_key(id));
        seen.accepted.extend(self.missing.iter().map(|missing| missing.id));
        let newest = newest_of(&seen.there);
        seen.newest = if accept { newest } else { newer(newest, newer(seen.newest, self.seen.newest)) };
    }
}

fn newest_of(there: &BTreeMap<SnapshotId, Sight>) -> Newest {
    there.iter().map(|(id, sight)| (*id, *sight)).max_by_key(|(id, sight)| (sight.sequence, *id))
}

/// The one with the higher number.
fn newer(one: Newest, other: Newest) -> Newest {
    [one, other].into_iter().flatten().max_by_key(|(id, sight)| (sight.sequence, *id))
}

pub(crate) fn private(path: &Path, options: &mut fs::OpenOptions) -> io::Result<File> {
    options.write(true).mode(0o600).open(path)
}

/// Unlike a cache it must survive a power cut.
pub(crate) fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = private(&draft, File::options().create(true).truncate(true))?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}
