//! One verb each: plan (plain data), then apply. An operation tells its monitor what it does and returns a report.

pub mod annotate;
pub mod check;
pub mod dump;
#[cfg(test)]
pub(crate) mod fixture;
pub mod forget;
pub mod lookup;
pub mod ls;
pub mod prune;
pub mod repair;
pub mod restore;
pub mod snapshot;
pub mod stats;
pub mod walk;
