//! Restoring from repositories in memory, made by hand.

mod build;
mod filter;
mod hostile;
mod in_place;
mod leaning;
mod plain;
mod random;
mod refused;
