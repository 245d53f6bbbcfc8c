//! vault

#![deny(unsafe_code)]

pub mod chunk;
pub mod cli;
pub mod compress;
pub mod error;
pub mod fs;
pub mod hash;
pub mod id;
pub mod index;
pub mod keys;
pub mod model;
pub mod monitor;
pub mod name;
pub mod object;
pub mod ops;
pub mod pack;
pub mod repo;
pub mod seal;
pub mod segment;
pub mod series;
pub mod store;
pub mod world;
