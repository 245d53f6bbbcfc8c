//! Parity: what brings back sectors that a medium lost. Layout: `format-spec/15-parity.md`.
//!
//! ```text
//! objects, one after another, in sectors of 4 KiB
//!   sector i ─▶ group i mod G ─▶ Reed-Solomon over the group ─▶ recovery sectors
//! sidecar  =  table ‖ recovery sectors ‖ table again, as recovery sectors of its own blocks
//! table    =  names, lengths and hashes of the objects ‖ a hash for each sector
//! ```
//!
//! No key is needed for any of it: sidecars are made of, and bring back, bytes as they lie in the store.

mod block;
mod code;
mod geometry;
mod set;
mod table;

pub use block::{BLOCK_HEAD, Block, PAYLOAD, open_block};
pub use code::{Encoder, Wanting, decode};
pub use geometry::{GROUP_SHARDS, Geometry, Percent, SETS_SHARDS_MAX, recovery_for, set_shards};
pub use set::{FOLDER, Layout, Set, assemble, front_and_back, glance, is_sidecar, object_name, open, pieces};
pub use table::{Covered, Table};

/// The folder of second copies: `mirror/` and the name of the first.
pub const MIRROR: &str = "mirror/";
/// The folder of damaged objects that whole ones took the place of: `damaged/` and the name.
pub const DAMAGED: &str = "damaged/";

/// Length in bytes of a shard: what a medium loses at once, and what is aligned with it.
pub const SECTOR: usize = 4096;

/// What locates a damaged sector: the first 8 bytes of its hash. Enough against accidents; what is brought back is proved by its
/// object's whole hash.
pub type Mark = [u8; 8];

/// The mark of a sector, which is 4096 bytes long.
pub fn mark(sector: &[u8]) -> Mark {
    let hash = blake3::hash(sector);
    std::array::from_fn(|i| hash.as_bytes()[i])
}

/// Sectors that this many bytes take.
pub fn sectors(len: u64) -> u64 {
    len.div_ceil(SECTOR as u64)
}
