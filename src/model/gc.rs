//! What lets snapshots and prune go on at the same time: sessions of writers, notes of prune. Layout: `format-spec/12-prune.md`.

use super::{codec::Malformed, limits};
use crate::{
    id::{NoteId, PackId},
    world::Time,
};
use bincode::{Decode, Encode};

/// A writer at work.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// Random; the same in all renewals.
    pub nonce: [u8; 16],
    /// When the writer began.
    pub begun: Time,
    /// The machine that it runs on.
    pub host: String,
    /// The program.
    pub program: String,
    /// The notes that it knows of, sorted.
    pub seen: Vec<NoteId>,
}

/// How far prune has come with some packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Step {
    /// They may go: nobody should rely on them.
    Mark,
    /// Their removal has begun.
    Notice,
}

/// What prune is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Note {
    /// Random, so that no two have one name.
    pub nonce: [u8; 16],
    /// When it was made.
    pub made: Time,
    /// What is about to be done.
    pub step: Step,
    /// With which packs; sorted.
    pub packs: Vec<PackId>,
}

impl Session {
    /// Checks what the types do not say.
    pub fn validate(&self) -> Result<(), Malformed> {
        if self.begun.nsec >= 1_000_000_000 {
            return Err(Malformed::new("a time has too many nanoseconds"));
        }
        if [&self.host, &self.program].iter().any(|text| text.len() > limits::SESSION_TEXT_MAX) {
            return Err(Malformed::new("a text is too long"));
        }
        if self.seen.len() > limits::NAMED_MAX || !self.seen.is_sorted_by(|a, b| a < b) {
            return Err(Malformed::new("its notes are too many, not sorted, or occur twice"));
        }
        Ok(())
    }
}

impl Note {
    /// Checks what the types do not say.
    pub fn validate(&self) -> Result<(), Malformed> {
        if self.made.nsec >= 1_000_000_000 {
            return Err(Malformed::new("a time has too many nanoseconds"));
        }
        if self.packs.len() > limits::NAMED_MAX || !self.packs.is_sorted_by(|a, b| a < b) {
            return Err(Malformed::new("its packs are too many, not sorted, or occur twice"));
        }
        Ok(())
    }
}
