//! What is left on a damaged medium, put into a folder that every other command opens.
//!
//! ```text
//! device ─▶ image         read once, around bad sectors; a map beside it, so that a copy goes on where it stopped
//! image  ─▶ scan          where objects begin, where packs end, tables of sidecars: by magic, without a file system
//!        ─▶ place         each sector of what sidecars cover, by its mark: fragments are found like what lies in one piece
//!        ─▶ salvage       parity over what is missing; what no sidecar covers where it lies in one piece
//! folder ─▶ salvage       what the file system still gives, with second copies and parity
//! ```
//!
//! No key is needed. Of what no sidecar covers, snapshots, tombstones, tags and pins come back with one ([`marks`], [`snapshots`]): only the
//! key tells where such an object ends and which series it belongs to. The index is made anew from the packs, by a repair.

mod carve;
mod copy;
mod folder;
mod medium;
mod place;
mod salvage;
mod scan;
mod target;
#[cfg(test)]
mod tests;

pub use carve::{marks, snapshots};
pub use copy::{Copied, copy, map_of};
pub use folder::salvage as salvage_folder;
pub use medium::{FileMedium, Medium, read_around};
pub use place::{Placed, place};
pub use salvage::{Salvaged, salvage};
pub use scan::{Scan, scan};
