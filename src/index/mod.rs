//! Which pack and segment hold a blob: sealed index objects in the store, and a derived table on the client's own disk.

pub mod mapped;
pub mod object;
mod reliance;
pub mod run;
pub mod table;

pub use object::IndexObject;
pub use run::{Located, Run, Source};
pub use table::{BlobIndex, Membership};
