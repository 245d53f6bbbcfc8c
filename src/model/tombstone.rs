//! What is left of a snapshot that was forgotten. Layout: `format-spec/13-forgetting.md`.

use super::{codec::Malformed, limits, snapshot::Head};
use crate::{
    id::{SeriesTag, SnapshotId},
    world::Time,
};
use bincode::{Decode, Encode};

/// What every role may know of a forgotten snapshot: enough to go on with the series.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct GoneHead {
    /// The folder that it lay in.
    pub series: SeriesTag,
    /// Its name.
    pub snapshot: SnapshotId,
    /// Its head. The sequence number is 0 for a snapshot that was so damaged that its own did not open.
    pub head: Head,
}

/// Says that a snapshot was forgotten on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Tombstone {
    /// What the head says, again: both must agree.
    pub head: GoneHead,
    /// When it was forgotten.
    pub time: Time,
    /// The machine that did it.
    pub host: String,
    /// The user who did it.
    pub user: String,
    /// Why: the rules that kept it no longer, or what the user said.
    pub reason: String,
}

impl Tombstone {
    /// Checks what the types do not say.
    pub fn validate(&self) -> Result<(), Malformed> {
        if [self.time, self.head.head.time].iter().any(|time| time.nsec >= 1_000_000_000) {
            return Err(Malformed::new("a time has too many nanoseconds"));
        }
        if [&self.host, &self.user, &self.reason].iter().any(|text| text.len() > limits::REASON_MAX) {
            return Err(Malformed::new("a text is too long"));
        }
        Ok(())
    }
}
