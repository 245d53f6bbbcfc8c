//! A repository as a tree of files that the kernel mounts: read-only, and read only where somebody looks.
//!
//! ```text
//! kernel ──▶ fuse ──▶ view ──▶ table      what a number stands for: a place in a stored tree, or a folder of the mount's own
//!                       ├────▶ pages      decoded pages of directories and lists, a bounded cache
//!                       ├────▶ content    bytes of files, through the reader's bounded cache of opened segments
//!                       ├────▶ ahead      who reads on and on is preceded by threads that open segments
//!                       └────▶ catalog    which snapshots there are now ──▶ folders
//! session: from the mount to its end
//! ```
//!
//! All that is in a snapshot never changes, so the kernel may keep what it was told for as long as it likes: names, attributes,
//! listings, bytes. Inode numbers follow from snapshot and path ([`number`]), not from the order of requests.

mod ahead;
mod attr;
mod catalog;
mod content;
mod entry;
mod folders;
mod fuse;
mod listing;
pub mod number;
mod pages;
mod session;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub use attr::Owners;
pub use catalog::{Catalog, TimeName};
pub use content::Sought;
pub use listing::{Item, Listing};
pub use session::{Place, expect_mountable, serve};
pub use table::Table;
pub use view::{Answer, No, Root, Settings, Told, View};
