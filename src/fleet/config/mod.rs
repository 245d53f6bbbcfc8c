//! `vault.toml` and `vault.d/*.toml`: what is read, where each value came from, and what it means.

pub mod value;
