//! Restoring from repositories in memory, made by hand.

mod build;
mod filter;
mod folding;
mod hostile;
mod in_place;
mod leaning;
mod names;
mod plain;
mod random;
mod refused;
mod users;
