//! A simulated disk under the real store: whatever fails, and whenever the power goes, nothing that was acknowledged is lost.
//!
//! `VAULT_SEEDS=1000000 VAULT_SEED=1 cargo test --release --test simulation -- --nocapture` runs a million power cuts, on all cores or on
//! `VAULT_THREADS`.

mod chance;
mod contents;
mod crashes;
mod disk;
mod faults;
mod operations;
mod programs;
mod sequences;
mod verify;
mod world;

/// A number from the environment, or this one.
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: no number")))
}
