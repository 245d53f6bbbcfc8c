//! `vault.toml` and `vault.d/*.toml`: what is read, where each value came from, and what it means.
//!
//! ```text
//! files ─▶ read: one table of values, each with file and line ─▶ check: keys and kinds, by schema ─▶ fleet: services, repositories, …
//!                                                                                                 └─▶ show, json_schema
//! ```
//!
//! What a server, a VM or an application says counts for all below it; the nearer word counts, key by key (so an application's
//! `slo = { rpo = "6h" }` leaves the rest of `slo` as it was). Patterns to leave out, and tags, add up.

pub mod check;
mod common;
pub mod fleet;
pub mod json_schema;
pub mod key;
mod pull;
pub mod read;
pub mod schema;
pub mod select;
pub mod show;
pub mod stored;
#[cfg(test)]
mod tests;
pub mod value;

pub use check::{Fault, Types};
pub use fleet::{Access, Check, CopyJob, DrillJob, Every, Fleet, Medium, Notify, Repository, Role, StatusFiles};
pub use pull::Pull;
pub use select::Select;
pub use stored::StoredConfig;

use crate::error::{Error, Result};
use std::path::Path;

/// Reads a configuration, looks whether all of it is as it should be, and says what it means. The first fault is the error; for
/// all of them see [`check::faults`].
pub fn load(main: &Path, types: &dyn Types) -> Result<Fleet> {
    of_table(read::read(main)?, types)
}

/// The same of a configuration that was read.
pub fn of_table(whole: value::Table, types: &dyn Types) -> Result<Fleet> {
    let faults = check::faults(&whole, types);
    match faults.first() {
        None => Fleet::new(whole, types),
        Some(first) if faults.len() == 1 => Err(Error::usage(first)),
        Some(first) => Err(Error::usage(format!("{first} (and {} more: see `vault config check`)", faults.len() - 1))),
    }
}
