//! Users' file systems: what is read from them and what is restored to them.

pub mod error;
pub mod target;
