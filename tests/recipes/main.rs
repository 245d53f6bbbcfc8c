//! Applications with real servers and tools: a snapshot while they are written to, all of it lost, restored elsewhere, proved by the
//! recipe; and a drill that passes on a good snapshot and fails, with the reason, on one that was damaged on purpose.

mod command;
mod git;
mod java;
mod large;
mod mail;
mod mariadb;
mod postgresql;
mod rails;
mod scm;
mod sqlite;
mod user;
mod wiki;
mod world;
