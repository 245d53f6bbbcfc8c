//! `vault`: content-addressed, deduplicated, encrypted backups for people who run servers.
//!
//! The library is everything but the command line: it prints nothing, reads no environment, no clock and no terminal, and is
//! told of all of them by its caller ([`world`], [`monitor`]). The format of a repository is in `format-spec/`.
//!
//! ```text
//! snapshot   walk → read → chunk → hash → known? → [segment: compress → seal → prove] → pack → store
//!                                         index           1 to 4 MiB at a time
//! publish    packs → index → snapshot        (each durable before the next begins)
//! restore    snapshot → tree pages → plan by pack → read ranges → open → decompress → verify id → write
//! ```
//!
//! Modules, each importing only those above it (`tests/layers.rs` says so when one does not):
//!
//! ```text
//! vocabulary        id · series · name · units · error · world · monitor        no IO
//! transforms        chunk · hash · compress · seal · object · keys · segment    bytes in, bytes out
//! places, layouts   store · model · pack · index · parity · fs
//! repository        repo        open, slots, snapshots; reader; writer, which owns the order of publishing
//! operations        ops         one verb each: plan, then apply; told to a monitor, answered by a report
//! surfaces          mount       the repository as a folder, for the kernel
//!                   server      a repository for others, who only read
//!                   fleet       all applications of all servers: configuration, recipes, the night, status, drills
//!                   cli         arguments, secrets, progress, tables, JSON, exit codes
//! ```
//!
//! To add a store, implement [`store::Store`] and pass [`store::conformance`]; to add a verb, write a module in [`ops`] and a file in `cli`;
//! to change the format, change `format-spec/` first, then `model`, then the vectors (`tests/format.rs`).

#![deny(unsafe_code)]

pub mod chunk;
pub mod cli;
pub mod compress;
pub mod error;
pub mod fleet;
pub mod fs;
pub mod hash;
pub mod id;
pub mod index;
pub mod keys;
pub mod model;
pub mod monitor;
pub mod mount;
pub mod name;
pub mod object;
pub mod ops;
pub mod pack;
pub mod parity;
pub mod repo;
pub mod seal;
pub mod segment;
pub mod series;
pub mod server;
pub mod store;
pub mod units;
pub mod world;
