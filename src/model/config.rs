//! What is fixed for a repository when it is made. Layout: `format-spec/02-keys.md`.

use super::limits;
use crate::error::{Error, Result};
use bincode::{Decode, Encode};

/// How sources are cut into blobs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ChunkerConfig {
    /// The algorithm: 1 is FastCDC 2020 with a keyed table, normalization level 1.
    pub algorithm: u8,
    /// Shortest blob, in bytes: even, at least 64.
    pub min: u32,
    /// Aim, in bytes: a power of two.
    pub average: u32,
    /// Longest blob, in bytes: even.
    pub max: u32,
}

/// The repository's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Config {
    /// How sources are cut.
    pub chunker: ChunkerConfig,
    /// Segments of whole files are closed when they hold this many bytes of plaintext; those of parts of large files at half of it, those
    /// of trees and of differences at a quarter.
    pub segment_target: u32,
    /// Packs are closed when they hold this many bytes.
    pub pack_target: u32,
    /// Bits for features that readers must know; none are defined.
    pub features: u64,
    /// When the repository was made: seconds since 1970.
    pub created: i64,
}

impl Default for ChunkerConfig {
    fn default() -> Self {
        // 128 KiB: a tenth of the new bytes of 1 MiB chunks on a changed disk image, at half the index of 64 KiB ones.
        ChunkerConfig { algorithm: 1, min: 32 << 10, average: 128 << 10, max: 512 << 10 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            chunker: ChunkerConfig::default(),
            segment_target: 4 << 20,
            pack_target: 64 << 20,
            features: 0,
            created: 0,
        }
    }
}

impl Config {
    /// Checks what a reader must check before it uses the values.
    pub fn validate(&self) -> Result<()> {
        if self.features != 0 {
            return Err(Error::unsupported("config", format!("feature bits {:#x} are set", self.features)));
        }
        if self.chunker.algorithm != 1 {
            return Err(Error::unsupported("config", format!("chunker {}", self.chunker.algorithm)));
        }
        let c = &self.chunker;
        let sane = c.min >= 64
            && c.min.is_multiple_of(2)
            && c.max.is_multiple_of(2)
            && c.average.is_power_of_two()
            && (256..=1 << 22).contains(&c.average)
            && c.min <= c.average
            && c.average <= c.max
            && c.max as usize <= limits::BLOB_MAX
            && (4096..=limits::SEGMENT_MAX as u32 / 2).contains(&self.segment_target)
            && u64::from(self.pack_target) <= limits::PACK_MAX / 2
            && self.pack_target >= 4096;
        if sane { Ok(()) } else { Err(Error::corrupt("config", "its sizes are out of bounds")) }
    }
}
