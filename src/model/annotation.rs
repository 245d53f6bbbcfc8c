//! Tags and pins that a snapshot, which is immutable, was given later. Layout: `format-spec/13-forgetting.md`.

use super::{codec::Malformed, limits};
use crate::{
    id::{SeriesTag, SnapshotId},
    world::Time,
};
use bincode::{Decode, Encode};

/// One thing that is said of a snapshot; what is said last of the same thing holds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// It has this tag, or has it no longer.
    Tag { tag: String, on: bool },
    /// It is never to be forgotten, or may be again; and why.
    Pin { on: bool, reason: Option<String> },
    /// It was made of another one, of which something was taken out; what, and why.
    Rewritten { from: SnapshotId, what: String },
}

/// What was said of one snapshot at one time.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Annotation {
    /// The folder of the snapshot.
    pub series: SeriesTag,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// One more than all that whoever said it knew of for this snapshot; from 1.
    pub counter: u64,
    /// When it was said.
    pub time: Time,
    /// The machine that said it.
    pub host: String,
    /// The user who said it.
    pub user: String,
    /// What is said, in order.
    pub changes: Vec<Change>,
}

/// Checks that a text can be a tag: one word that can be typed.
pub fn check_tag(tag: &str) -> Result<(), Malformed> {
    if tag.is_empty() || tag.len() > limits::TAG_MAX {
        return Err(Malformed::new(format!("a tag has between 1 and {} bytes", limits::TAG_MAX)));
    }
    if tag.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Malformed::new("a tag is one word, without blanks and control characters"));
    }
    Ok(())
}

impl Annotation {
    /// Checks what the types do not say.
    pub fn validate(&self) -> Result<(), Malformed> {
        if self.counter == 0 {
            return Err(Malformed::new("it has no number"));
        }
        if self.time.nsec >= 1_000_000_000 {
            return Err(Malformed::new("a time has too many nanoseconds"));
        }
        if self.changes.is_empty() || self.changes.len() > limits::CHANGES_MAX {
            return Err(Malformed::new(format!("it has between 1 and {} changes", limits::CHANGES_MAX)));
        }
        let too_long = |text: &str| text.len() > limits::REASON_MAX;
        if too_long(&self.host) || too_long(&self.user) {
            return Err(Malformed::new("a text is too long"));
        }
        self.changes.iter().try_for_each(|change| match change {
            // A tag that somebody else's program gave may be no word; it can be taken off all the same.
            Change::Tag { tag, on: true } => check_tag(tag),
            Change::Tag { tag, .. } if too_long(tag) => Err(Malformed::new("a tag is too long")),
            Change::Rewritten { what, .. } if too_long(what) => {
                Err(Malformed::new(format!("what was taken out is longer than {} bytes", limits::REASON_MAX)))
            }
            Change::Pin { reason: Some(reason), .. } if too_long(reason) => {
                Err(Malformed::new(format!("the reason of a pin is longer than {} bytes", limits::REASON_MAX)))
            }
            _ => Ok(()),
        })
    }
}
