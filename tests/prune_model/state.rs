//! What the store holds, and where each actor stands.
//!
//! Names of objects are positions in a mask. A name is given once: what was removed never comes back under it (packs, index objects and
//! notes of prune hold fresh random bytes, so two of them never have one name).

pub type Mask = u16;

pub const PACKS: usize = 12;
pub const INDEXES: usize = 16;
pub const NOTES: usize = 12;
/// Two writers, two pruners, one who forgets, and the pruner that comes when all others are dead.
pub const ACTORS: usize = 6;
pub const WRITERS: usize = 2;
pub const PRUNER: usize = 2;
pub const FORGETTER: usize = 4;
pub const LAST: usize = 5;

/// Objects in the store: sets of names, and what stands in the objects.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Store {
    pub packs: Mask,
    /// Blobs of each pack, as a set.
    pub blobs: [u8; PACKS],
    /// Packs whose bytes are damaged.
    pub damaged: Mask,
    pub indexes: Mask,
    /// Packs that each index object lists.
    pub lists: [Mask; INDEXES],
    /// Objects of `gc/`.
    pub notes: Mask,
    /// Packs that each of them names.
    pub names: [Mask; NOTES],
    /// Those of them that are notices, not marks.
    pub notices: Mask,
    /// Sessions, by writer, and the notes that each says it saw.
    pub sessions: Mask,
    pub seen: [Mask; WRITERS],
    /// Intents, snapshots, tombstones: snapshot 0 is there from the start, 1 and 2 are the writers'.
    pub intents: Mask,
    pub snapshots: Mask,
    pub gone: Mask,
}

/// What an actor remembers; the meaning of each is its own.
pub type Memory = [Mask; 12];

#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Actor {
    /// Which of its runs, and which step of it.
    pub run: u8,
    pub step: u8,
    pub memory: Memory,
}

#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct State {
    pub store: Store,
    pub actors: [Actor; ACTORS],
    /// Writers that were told success, and those that gave up.
    pub acknowledged: Mask,
    pub failed: Mask,
    /// Writers that stood still longer than their session lives: only these may be made to give up.
    pub expired: Mask,
}

pub fn bit(n: usize) -> Mask {
    1 << n
}

/// The members of a set.
pub fn each(set: Mask) -> impl Iterator<Item = usize> {
    (0..16).filter(move |n| set & bit(*n) != 0)
}

impl Store {
    /// What the index objects of a set list together; those that are gone list nothing.
    pub fn listed(&self, indexes: Mask) -> Mask {
        each(indexes & self.indexes).fold(0, |all, n| all | self.lists[n])
    }

    /// What the notes of a set name together.
    pub fn named(&self, notes: Mask) -> Mask {
        each(notes & self.notes).fold(0, |all, n| all | self.names[n])
    }

    // What nobody can read any more is forgotten: fewer states differ.

    pub fn remove_index(&mut self, index: Mask) {
        self.indexes &= !index;
        each(index).for_each(|n| self.lists[n] = 0);
    }

    /// What is not there any more is not damaged either.
    pub fn settle(&mut self) {
        self.damaged &= self.packs;
    }

    pub fn remove_note(&mut self, note: Mask) {
        self.notes &= !note;
        self.notices &= !note;
        each(note).for_each(|n| self.names[n] = 0);
    }

    /// The blobs that packs of a set hold.
    pub fn blobs_in(&self, packs: Mask) -> u8 {
        each(packs).fold(0, |all, n| all | self.blobs[n])
    }

    /// The packs of a set that hold a blob.
    pub fn holders(&self, blob: u8, packs: Mask) -> Mask {
        each(packs).filter(|n| self.blobs[*n] & blob != 0).fold(0, |all, n| all | bit(n))
    }
}

/// Single blobs of a set.
pub fn each_blob(blobs: u8) -> impl Iterator<Item = u8> {
    (0..8).map(|n| 1 << n).filter(move |blob| blobs & blob != 0)
}
