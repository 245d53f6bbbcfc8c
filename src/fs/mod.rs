//! Users' files: the only place that reads or writes them.
//!
//! Reading goes from open directory to open directory ([`dir`]), never by a whole path: a path may be longer than the
//! kernel takes, and a parent that is renamed meanwhile must not lead elsewhere.

pub mod device;
pub mod dir;
pub mod error;
pub mod exclude;
pub mod extents;
pub mod fiemap;
pub mod held;
pub mod listing;
pub mod metadata;
pub mod order;
pub mod stat;
pub mod target;
mod trail;

pub use error::PathError;
