//! One verb each: plan (plain data), then apply. An operation tells its monitor what it does and returns a report.

pub mod annotate;
pub mod check;
pub mod compare;
pub mod copy;
pub mod diff;
pub mod dump;
pub mod find;
#[cfg(test)]
pub(crate) mod fixture;
pub mod forget;
pub mod history;
#[cfg(all(test, feature = "interleaved"))]
mod interleaved;
pub mod log;
pub mod lookup;
pub mod ls;
pub mod media;
pub mod naming;
pub mod parity;
pub mod prune;
pub mod pull;
mod rebuild;
pub mod recover;
pub mod relocate;
pub mod repair;
pub mod restore;
pub mod rewrite;
pub mod snapshot;
pub mod stats;
pub mod walk;

/// Threads for so many that were asked for: 0 is one a core, and two where nobody can tell how many there are.
fn threads(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(2, |n| n.get()),
        asked => asked,
    }
}
