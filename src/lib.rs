//! vault

#![deny(unsafe_code)]

pub mod error;
pub mod fs;
pub mod id;
pub mod model;
pub mod monitor;
pub mod name;
pub mod series;
pub mod store;
pub mod world;
