//! A writer's stay in the repository: steps W1 to W13 of `format-spec/12-prune.md`.
//!
//! Nothing is locked. A session tells prune which of its notes the writer knows; an intent keeps a finished snapshot's blobs alive
//! before the snapshot is there; and before it is there, the writer makes sure that nothing it relies on is being removed.

use super::{
    Listed, Repository,
    gc::{Damaged, Told},
    packer::Written,
    snapshots::{object_name as snapshot_name, open_intent, seal_snapshot},
};
use crate::{
    error::{Error, Result},
    hash,
    id::{PackId, SeriesTag, SessionId, SnapshotId},
    index::BlobIndex,
    keys::Keyring,
    model::{codec, gc::Session as Said, limits, snapshot::Snapshot},
    monitor::Monitor,
    name::cut_text,
    object::{self, Kind},
    series::Series,
    store::{Entry, ObjectName},
    world::{Entropy, Time, random},
};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Mutex, PoisonError},
};

/// A session whose newest object is older than this is not alive, in seconds.
pub const ALIVE: i64 = 24 * 3600;
/// True for a session that may still hold a writer. Without a clock of the store nobody is known to be dead.
pub fn is_alive(stored: i64, now: i64, store_has_clock: bool) -> bool {
    // A time in the far future is as wrong as one long past.
    !store_has_clock || now.saturating_sub(stored).saturating_abs() < ALIVE
}

/// Seconds after which somebody who stood still does not go on with what others may take for dead: half of the time after which they do.
pub const STILL_MAX: i64 = ALIVE / 2;

/// True when so long has passed between two looks at this machine's clock.
pub fn stood_still(since: Time, now: Time) -> bool {
    now.sec.saturating_sub(since.sec).saturating_abs() >= STILL_MAX
}

/// A session is renewed when its newest object is older than this, in seconds.
const RENEW_AFTER: i64 = 6 * 3600;
/// How often a snapshot is sealed until its id is below that of the one that it stands beside.
const SEALINGS: usize = 1 << 14;

/// A session's or an intent's name in the store.
pub fn object_name(id: &SessionId) -> ObjectName {
    ObjectName::of_parts(&["sessions", &id.to_string()])
}

/// An intent's name in the store.
pub fn intent_name(id: &SnapshotId) -> ObjectName {
    ObjectName::of_parts(&["sessions", &id.to_string()])
}

/// Seals a session.
pub fn seal_session(keys: &Keyring, session: &Said, entropy: &dyn Entropy) -> Result<Vec<u8>> {
    session.validate().map_err(Error::usage)?;
    object::seal_envelope(Kind::Session, keys.repo(), &keys.session_key(), &codec::encode(session), entropy)
}

/// Opens a session and checks all that can be checked within it.
pub fn open_session(keys: &Keyring, bytes: &[u8], name: &dyn fmt::Display) -> Result<Said> {
    let payload = object::open_envelope(Kind::Session, keys.repo(), &keys.session_key(), bytes, name)?;
    let session: Said = codec::decode(&payload).map_err(|e| Error::corrupt(name, e))?;
    session.validate().map_err(|e| Error::corrupt(name, e))?;
    Ok(session)
}

/// A writer's stay. When it is dropped, or ends with a snapshot, the session is removed; when the process is killed, prune removes
/// it a day later.
pub struct Session<'r> {
    repo: &'r Repository,
    said: Said,
    /// The packs that prune may remove.
    named: HashSet<PackId>,
    /// Notes that could not be read, from times when nobody was at work who is now.
    passed_over: Vec<ObjectName>,
    /// The session's newest object and when it was stored; `None` for one who stores nothing.
    newest: Option<Mutex<(ObjectName, Time)>>,
}

/// The index as a writer may use it.
pub struct Usable {
    /// The blobs that will last.
    pub index: BlobIndex,
    /// The packs in the store, with their lengths.
    pub packs: HashMap<PackId, u64>,
}

/// What lies in the folder of sessions.
#[derive(Debug)]
pub enum Stay {
    /// A session, or one of its renewals.
    Session {
        /// Its name.
        name: ObjectName,
        /// When it was stored, by the store's clock, in seconds since 1970; zero where the store does not tell.
        stored: i64,
        /// What it says.
        said: Said,
    },
    /// A snapshot that is about to be stored.
    Intent {
        /// The folder that it is to be stored in.
        tag: SeriesTag,
        /// When it was stored, as above.
        stored: i64,
        /// The snapshot.
        listed: Box<Listed>,
    },
    /// An object that cannot be read: it may be either.
    Damaged(Damaged),
    /// A name without bytes: the power went before they came.
    Hollow(ObjectName),
}

impl Repository {
    /// All sessions and intents; for maintainers and owners.
    pub fn stays(&self, monitor: &dyn Monitor) -> Result<Vec<Stay>> {
        let mut entries = Vec::new();
        self.store().list("sessions/", &mut |entry| {
            if let Ok(id) = SnapshotId::parse(entry.name.leaf())
                && intent_name(&id) == entry.name
            {
                entries.push((id, entry));
            }
            Ok(())
        })?;
        let mut stays = Vec::new();
        for (id, Entry { name, stored, len }) in entries {
            let told = self.tell(&name, |bytes| {
                if object::read_header(bytes, Kind::Session, &name).is_ok() {
                    let said = open_session(self.keys(), bytes, &name)?;
                    return Ok(Stay::Session { name: name.clone(), stored, said });
                }
                let (tag, snapshot) = open_intent(self.keys(), bytes, &name)?;
                Ok(Stay::Intent { tag, stored, listed: Box::new(Listed { id, len, snapshot }) })
            })?;
            match told {
                Told::Is(stay) => stays.push(stay),
                // Its writer has ended, with or without a snapshot, or another prune has dealt with it.
                Told::Gone => {}
                Told::Foreign(error) => monitor.note(&format!("{error}; it is left alone")),
                Told::Damaged(error) => stays.push(Stay::Damaged(Damaged { name, stored, error })),
                Told::Hollow => stays.push(Stay::Hollow(name)),
            }
        }
        Ok(stays)
    }

    /// True when the intent of a snapshot is there and whole: if the snapshot is not, nobody was told of it, and prune publishes it.
    pub fn is_on_its_way(&self, id: &SnapshotId) -> Result<bool> {
        match self.tell(&intent_name(id), |_| Ok(())) {
            Ok(told) => Ok(matches!(told, Told::Is(()))),
            Err(error) => Err(error),
        }
    }

    /// Begins a stay (W1, W2). `host` is the machine. One who only pretends stores no session.
    pub fn begin(&self, host: &str, pretend: bool, monitor: &dyn Monitor) -> Result<Session<'_>> {
        let notes = self.notes()?;
        for (_, error) in &notes.foreign {
            monitor.note(&format!("{error}; it is left alone"));
        }
        self.pass_over(&notes.damaged, false, monitor)?;
        let named = notes.named();
        let passed_over = notes.damaged.into_iter().map(|damaged| damaged.name).collect();
        let names = notes.names;
        let said = Said {
            nonce: random(self.entropy())?,
            begun: self.clock().now(),
            host: cut_text(host, limits::SESSION_TEXT_MAX).to_owned(),
            program: concat!("vault ", env!("CARGO_PKG_VERSION")).to_owned(),
            seen: names,
        };
        let mut session = Session { repo: self, said, named, passed_over, newest: None };
        if !pretend {
            session.newest = Some(Mutex::new((session.store_object()?, session.said.begun)));
        }
        Ok(session)
    }
}

impl<'r> Session<'r> {
    /// The repository.
    pub fn repo(&self) -> &'r Repository {
        self.repo
    }

    fn store_object(&self) -> Result<ObjectName> {
        let bytes = seal_session(self.repo.keys(), &self.said, self.repo.entropy())?;
        let name = object_name(&SessionId(hash::object_name(&bytes)));
        self.repo.store().put(&name, &bytes)?;
        Ok(name)
    }

    /// The index without what is not in the store or may go (W3, W4).
    pub fn load_index(&self, monitor: &dyn Monitor) -> Result<Usable> {
        self.load_index_without(&HashSet::new(), monitor)
    }

    /// The same without packs that are known to be damaged.
    pub fn load_index_without(&self, damaged: &HashSet<PackId>, monitor: &dyn Monitor) -> Result<Usable> {
        let (mut index, unreadable) = self.repo.load_index(false)?;
        for (object, error) in &unreadable {
            monitor.note(&format!("{object} cannot be read ({error}); what it listed is stored again"));
        }
        let packs = self.repo.list_packs()?;
        let absent = index.compare_with_store(&|id| packs.get(id).copied(), &(&self.named | damaged));
        if !absent.is_empty() {
            monitor.note(&format!("{} packs are missing from the store; what they held is stored again", absent.len()));
        }
        Ok(Usable { index, packs })
    }

    /// Takes up packs that a run which was killed had stored and not yet listed (W5). Returns how many.
    pub fn adopt(&self, usable: &Usable, monitor: &dyn Monitor) -> Result<usize> {
        let mut unlisted = usable.index.unlisted(usable.packs.keys());
        unlisted.retain(|id| !self.named.contains(id));
        let adopted = self.list_whole(&usable.index, &unlisted, monitor)?;
        if adopted > 0 {
            monitor.note(&format!("{adopted} packs of a run that was interrupted are used"));
        }
        Ok(adopted)
    }

    /// Stores the session anew when its newest object is getting old: a session that seems dead does not hold up a sweep.
    pub fn renew_when_due(&self) -> Result<()> {
        let Some(newest) = &self.newest else { return Ok(()) };
        let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.repo.clock().now();
        // A clock that was set back is as good a reason.
        if now.sec.saturating_sub(newest.1.sec).saturating_abs() < RENEW_AFTER {
            return Ok(());
        }
        let before = std::mem::replace(&mut *newest, (self.store_object()?, now));
        self.repo.store().remove(&before.0)
    }

    /// Publishes a snapshot whose blobs are durable, which [`Written`] attests, and returns when it is durable itself (W8 to W13).
    /// Fails when prune is removing what the snapshot relies on, or may be after half a day; what was stored is of use for the next attempt.
    pub fn publish(self, snapshot: &Snapshot, index: &BlobIndex, _written: &Written) -> Result<SnapshotId> {
        let bytes = seal_snapshot(self.repo.keys(), snapshot, self.repo.entropy())?;
        self.publish_sealed(&self.tag_of(snapshot)?, &bytes, index)
    }

    /// The same for a snapshot with the number of another one, under an id that makes it count as the earlier of the two. The session
    /// goes on.
    pub fn publish_before(
        &self,
        snapshot: &Snapshot,
        other: &SnapshotId,
        index: &BlobIndex,
        _written: &Written,
    ) -> Result<SnapshotId> {
        let tag = self.tag_of(snapshot)?;
        for _ in 0..SEALINGS {
            let bytes = seal_snapshot(self.repo.keys(), snapshot, self.repo.entropy())?;
            if SnapshotId(hash::object_name(&bytes)) < *other {
                return self.publish_sealed(&tag, &bytes, index);
            }
        }
        Err(Error::refused(format!("no id was found below that of snapshot {}: run it again", other.short())))
    }

    fn tag_of(&self, snapshot: &Snapshot) -> Result<SeriesTag> {
        Ok(self.repo.keys().series_tag(&Series::parse(&snapshot.series)?))
    }

    /// Publishes a snapshot that is sealed already, into the folder of its series. The session goes on.
    pub fn publish_sealed(&self, tag: &SeriesTag, bytes: &[u8], index: &BlobIndex) -> Result<SnapshotId> {
        let (repo, store) = (self.repo, self.repo.store());
        if bytes.len() as u64 > limits::META_MAX {
            return Err(Error::refused("the snapshot's description and configuration are too long"));
        }
        let id = SnapshotId(hash::object_name(bytes));
        let (name, intent) = (snapshot_name(tag, &id), intent_name(&id));
        let begun = repo.clock().now();
        store.put(&intent, bytes)?;
        store.sync()?;
        if let Some(noticed) = repo.noticed_since(&self.said.seen, &self.passed_over)? {
            // The intent stays: prune may be about to publish it.
            self.stand_by(index, &noticed)?;
        }
        // An intent that cannot be read is passed over in the end, and keeps nothing then.
        if stood_still(begun, repo.clock().now()) {
            return Err(Error::Overtaken);
        }
        store.put(&name, bytes)?;
        store.sync()?;
        // What is left behind is no harm: prune takes it away.
        let _ = store.remove(&intent);
        Ok(id)
    }

    /// Makes sure that all that is relied on is there to stay (W10).
    fn stand_by(&self, index: &BlobIndex, noticed: &HashSet<PackId>) -> Result<()> {
        let present = self.repo.list_packs()?;
        let relied = index.relied_on();
        let holds = |packs: HashSet<PackId>| packs.iter().all(|id| present.contains_key(id) && !noticed.contains(id));
        if relied.is_some_and(holds) {
            return Ok(());
        }
        Err(Error::Overtaken)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(newest) = &self.newest {
            let (name, _) = &*newest.lock().unwrap_or_else(PoisonError::into_inner);
            // What is left behind is no harm: prune takes it away.
            let _ = self.repo.store().remove(name);
        }
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}, {} notes seen)", self.said.host, self.said.seen.len())
    }
}
