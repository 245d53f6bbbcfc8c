//! The fleet: every application, every night, and proof that it comes back.
//!
//! ```text
//! vault.toml ─▶ config ─▶ App ─▶ recipe.plan ─▶ night: hooks → dumps and trees → snapshot → forget → copies → checks → history
//!                          │         └─ database: dump, load, count                               └─ status, from all of these
//!                          └─▶ recovery: restore an application with its databases; drill: the same in a scratch place, and compare
//! ```
//!
//! One configuration names servers, VMs and applications ([`config`]). What an application is made of, and how it is restored and
//! proved, is the knowledge of its [`recipe`]; that of its databases is in [`database`].

pub mod app;
pub mod config;
pub mod database;
pub mod drill;
pub mod history;
pub mod night;
pub mod notify;
pub mod recipe;
pub mod recovery;
pub mod schedule;
pub mod state;
pub mod status;
