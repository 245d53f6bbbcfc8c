//! What a medium that carries a copy is known by. Layout: `format-spec/14-copies.md`.

use super::{codec::Malformed, limits};
use crate::world::Time;
use bincode::{Decode, Encode};

/// A medium's marker.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Marker {
    /// Random; the same for as long as the medium is used.
    pub medium: [u8; 16],
    /// Counts up with every sync: an older one was put back, or is a clone.
    pub generation: u64,
    /// What people call it.
    pub name: String,
    /// When it was last synced.
    pub time: Time,
    /// The machine that did it.
    pub host: String,
    /// Sidecars of parity are to be kept on it.
    pub parity: bool,
}

impl Marker {
    /// Checks what the types do not say.
    pub fn validate(&self) -> Result<(), Malformed> {
        if self.time.nsec >= 1_000_000_000 {
            return Err(Malformed::new("a time has too many nanoseconds"));
        }
        if self.name.is_empty() || self.name.len() > limits::TAG_MAX || self.host.len() > limits::REASON_MAX {
            return Err(Malformed::new("a text is empty or too long"));
        }
        Ok(())
    }
}
