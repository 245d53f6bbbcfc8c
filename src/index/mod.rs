//! Which pack and segment hold a blob: sealed index objects in the store, and a derived table on the client's own disk.

mod folder;
#[cfg(all(test, feature = "interleaved"))]
mod interleaved;
pub mod mapped;
pub mod object;
mod reliance;
pub mod run;
mod runs;
pub mod table;
#[cfg(test)]
mod tests;

pub use object::IndexObject;
pub use run::{Located, Run, Source};
pub use runs::{Place, Runs};
pub use table::{BlobIndex, Membership};
