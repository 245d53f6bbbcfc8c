//! Notes of prune in the store. Layout and protocol: `format-spec/12-prune.md`.

use super::Repository;
use crate::{
    error::{Error, Result},
    hash,
    id::{NoteId, PackId},
    keys::Keyring,
    model::{
        codec,
        gc::{Note, Step},
        limits,
    },
    monitor::Monitor,
    object::{self, Kind},
    repo::session::is_alive,
    store::{Entry, ObjectName},
    world::{Entropy, random},
};
use std::{collections::HashSet, fmt};

/// How often notes are listed anew when some went away while they were read.
const TRIES: usize = 16;

/// A note's name in the store.
pub fn object_name(id: &NoteId) -> ObjectName {
    ObjectName::of_parts(&["gc", &id.to_string()])
}

/// Seals a note.
pub fn seal_note(keys: &Keyring, note: &Note, entropy: &dyn Entropy) -> Result<Vec<u8>> {
    note.validate().map_err(Error::usage)?;
    object::seal_envelope(Kind::Note, keys.repo(), &keys.gc_key(), &codec::encode(note), entropy)
}

/// Opens a note and checks all that can be checked within it.
pub fn open_note(keys: &Keyring, bytes: &[u8], name: &dyn fmt::Display) -> Result<Note> {
    let payload = object::open_envelope(Kind::Note, keys.repo(), &keys.gc_key(), bytes, name)?;
    let note: Note = codec::decode(&payload).map_err(|e| Error::corrupt(name, e))?;
    note.validate().map_err(|e| Error::corrupt(name, e))?;
    Ok(note)
}

/// A note with its name.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Its name.
    pub id: NoteId,
    /// When it was stored, by the store's clock, in seconds since 1970; zero where the store does not tell.
    pub stored: i64,
    /// What it says.
    pub note: Note,
}

/// All notes at one time.
#[derive(Debug, Default)]
pub struct Notes {
    /// Names of all objects in the folder that can be read, also of those that are no notes of this repository; sorted.
    pub names: Vec<NoteId>,
    /// The notes.
    pub noted: Vec<Noted>,
    /// Objects that are no notes of this repository and never were, with the reason.
    pub foreign: Vec<(ObjectName, Error)>,
    /// Objects that cannot be read.
    pub damaged: Vec<Damaged>,
    /// Names without bytes.
    pub hollow: Vec<ObjectName>,
}

/// An object of which nobody knows what it said.
#[derive(Debug)]
pub struct Damaged {
    /// Its name.
    pub name: ObjectName,
    /// When it was stored, by the store's clock, in seconds since 1970; zero where the store does not tell.
    pub stored: i64,
    /// Why it cannot be read.
    pub error: Error,
}

impl Damaged {
    /// True when its bytes were read and are wrong. What the store could not read is no proof: it may be read tomorrow, or by others.
    pub fn is_lost(&self) -> bool {
        matches!(self.error, Error::Corrupt { .. })
    }
}

impl Notes {
    /// The packs that any note names.
    pub fn named(&self) -> HashSet<PackId> {
        self.noted.iter().flat_map(|noted| noted.note.packs.iter().copied()).collect()
    }
}

/// What becomes of reading an object of which only a name was known.
pub(super) enum Told<T> {
    /// It is what was looked for.
    Is(T),
    /// It has gone since.
    Gone,
    /// It is whole, and nobody who holds the repository's keys has made it.
    Foreign(Error),
    /// It cannot be read, or its bytes are not those of its name: what it said may matter.
    Damaged(Error),
    /// It has no bytes: the power went before they came, and so before anybody was told of it.
    Hollow,
}

impl Repository {
    /// Reads an object named by its hash and opens it.
    pub(super) fn tell<T>(&self, name: &ObjectName, open: impl FnOnce(&[u8]) -> Result<T>) -> Result<Told<T>> {
        let bytes = match self.store().get(name, limits::META_MAX) {
            Ok(bytes) => bytes,
            Err(Error::Missing { .. }) => return Ok(Told::Gone),
            Err(error @ Error::Corrupt { .. }) => return Ok(Told::Damaged(error)),
            // A bad sector is one object's; a cable that was pulled is not.
            Err(error @ Error::Store { .. }) if self.is_there() => return Ok(Told::Damaged(error)),
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            return Ok(Told::Hollow);
        }
        if crate::id::hex(&hash::object_name(&bytes)) != name.leaf() {
            return Ok(Told::Damaged(Error::corrupt(name, "its bytes are not those of its name")));
        }
        match open(&bytes) {
            Ok(told) => Ok(Told::Is(told)),
            Err(error @ Error::Corrupt { .. }) => Ok(Told::Foreign(error)),
            Err(error) => Err(error),
        }
    }

    fn note_entries(&self) -> Result<Vec<(NoteId, Entry)>> {
        let mut entries = Vec::new();
        self.store().list("gc/", &mut |entry| {
            if let Ok(id) = NoteId::parse(entry.name.leaf())
                && object_name(&id) == entry.name
            {
                entries.push((id, entry));
            }
            Ok(())
        })?;
        entries.sort_unstable();
        Ok(entries)
    }

    /// All notes, in one state that there was: of several that come and go none may be missed.
    pub fn notes(&self) -> Result<Notes> {
        'again: for _ in 0..TRIES {
            let mut notes = Notes::default();
            for (id, Entry { name, stored, .. }) in self.note_entries()? {
                notes.names.push(id);
                match self.tell(&name, |bytes| open_note(self.keys(), bytes, &name))? {
                    Told::Is(note) => notes.noted.push(Noted { id, stored, note }),
                    Told::Foreign(error) => notes.foreign.push((name, error)),
                    Told::Damaged(error) => {
                        notes.names.pop();
                        notes.damaged.push(Damaged { name, stored, error });
                    }
                    Told::Hollow => {
                        notes.names.pop();
                        notes.hollow.push(name);
                    }
                    // A sweep goes on: what it has begun meanwhile stands in a note that was not listed.
                    Told::Gone => continue 'again,
                }
            }
            return Ok(notes);
        }
        Err(Error::refused("notes of prune come and go faster than they can be read: run it again"))
    }

    /// Seconds since 1970 by the store's clock, or by this machine's where the store has none or no room to look at it; and whether the
    /// store has one.
    pub fn store_time(&self) -> Result<(i64, bool)> {
        match self.store().now() {
            Ok(Some(now)) => Ok((now, true)),
            Ok(None) => Ok((self.clock().now().sec, false)),
            Err(error) if error.is_store_full() => Ok((self.clock().now().sec, true)),
            Err(error) => Err(error),
        }
    }

    /// Fails unless whoever made these objects can be taken for dead: they are as old as a session that is not alive, or, where the store has no
    /// clock, the user says that all others are (`alone`). Then they are told, and a prune takes away what is lost.
    pub fn pass_over(&self, damaged: &[Damaged], alone: bool, monitor: &dyn Monitor) -> Result<()> {
        if damaged.is_empty() {
            return Ok(());
        }
        let (now, has_clock) = self.store_time()?;
        for one in damaged {
            let Damaged { name, stored, error } = one;
            // A clock knows better than a user who is at work.
            if if has_clock { is_alive(*stored, now, true) } else { !alone } {
                let next = match has_clock {
                    true => "a day after it was stored it is passed over",
                    false => "run vault prune --alone when no snapshot and no other prune is under way",
                };
                return Err(Error::corrupt(name, format!("{error}; what it said is not known and may matter: {next}")));
            }
            monitor.problem(&match one.is_lost() {
                true => format!("{error}; it is passed over, and prune takes it away"),
                false => format!("{error}; it is passed over, and stays: look after the disk"),
            });
        }
        Ok(())
    }

    /// The packs that notices name which were made since `seen` (sorted) was all there was; `None` when there are none. What was
    /// `passed_over` is no news.
    pub(crate) fn noticed_since(&self, seen: &[NoteId], passed_over: &[ObjectName]) -> Result<Option<HashSet<PackId>>> {
        let mut packs = None;
        for (id, Entry { name, .. }) in self.note_entries()? {
            if seen.binary_search(&id).is_ok() || passed_over.contains(&name) {
                continue;
            }
            match self.tell(&name, |bytes| open_note(self.keys(), bytes, &name))? {
                Told::Is(note) if note.step == Step::Notice => {
                    packs.get_or_insert_with(HashSet::new).extend(note.packs);
                }
                Told::Is(_) | Told::Foreign(_) | Told::Hollow => {}
                // It may name anything.
                Told::Damaged(error) => return Err(error),
                // A notice goes when its packs have gone, which shows in the list of packs.
                Told::Gone => drop(packs.get_or_insert_with(HashSet::new)),
            }
        }
        Ok(packs)
    }

    /// The packs that notes name, of either kind, beside those that were `seen`; `None` when one of them cannot be read, which may name
    /// anything.
    pub fn named_since(&self, seen: &HashSet<NoteId>) -> Result<Option<HashSet<PackId>>> {
        let mut packs = HashSet::new();
        for (id, Entry { name, .. }) in self.note_entries()? {
            if seen.contains(&id) {
                continue;
            }
            match self.tell(&name, |bytes| open_note(self.keys(), bytes, &name))? {
                Told::Is(note) => packs.extend(note.packs),
                // It goes when the packs have gone that it named.
                Told::Foreign(_) | Told::Gone | Told::Hollow => {}
                Told::Damaged(_) => return Ok(None),
            }
        }
        Ok(Some(packs))
    }

    /// Marks packs, on which nobody is to rely any more, in as many notes as it takes. Returns these.
    pub fn mark(&self, packs: impl IntoIterator<Item = PackId>) -> Result<Vec<NoteId>> {
        let packs: Vec<PackId> = packs.into_iter().collect();
        packs.chunks(limits::NAMED_MAX).map(|some| self.note(Step::Mark, some.to_vec())).collect()
    }

    /// Stores notices of packs, one at least, durable when it returns.
    pub fn notice(&self, packs: impl IntoIterator<Item = PackId>) -> Result<()> {
        let packs: Vec<PackId> = packs.into_iter().collect();
        if packs.is_empty() {
            return self.note(Step::Notice, packs).map(drop);
        }
        packs.chunks(limits::NAMED_MAX).try_for_each(|some| self.note(Step::Notice, some.to_vec()).map(drop))
    }

    /// Stores a note, durable when it returns. `packs` are at most [`limits::NAMED_MAX`].
    pub fn note(&self, step: Step, mut packs: Vec<PackId>) -> Result<NoteId> {
        packs.sort_unstable();
        packs.dedup();
        let note = Note { nonce: random(self.entropy())?, made: self.clock().now(), step, packs };
        let bytes = seal_note(self.keys(), &note, self.entropy())?;
        let id = NoteId(hash::object_name(&bytes));
        self.store().put(&object_name(&id), &bytes)?;
        self.store().sync()?;
        Ok(id)
    }
}
