//! Forgets snapshots: plan, then apply. What they alone needed stays in the store until a prune.
//!
//! **Order.** For each snapshot a tombstone is written first, then all are made durable, then the snapshots are removed, then the
//! annotations that spoke of them. So nothing but a tombstone can explain that a snapshot is absent, and whoever is killed in between
//! leaves snapshots that are forgotten already, whatever still lies there: the next run takes them away.
//!
//! Whether a key may remove objects is for the store's rights to say; what a key that only writes cannot do is prove a tombstone.

mod apply;
mod plan;
pub mod policy;
#[cfg(test)]
mod tests;

pub use apply::{Report, apply};
pub use plan::{Doomed, Entry, Plan, SeriesPlan, of_ids, of_policies, of_policy, of_snapshots};

/// Who asks, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor {
    /// The machine.
    pub host: String,
    /// The user.
    pub user: String,
}
