//! The program as its users meet it: arguments, exit codes, what is printed where.

#[path = "../common/mod.rs"]
mod common;

mod check;
mod copy;
mod disaster;
mod forget;
mod keys;
mod look;
mod output;
mod parity;
mod pull;
mod read;
mod relocate;
mod repository;
mod rewrite;
mod snapshot;

use common::world::World;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A folder with a few files, and the series that it is taken as.
fn with_source(world: &World) -> [&'static str; 4] {
    fs::create_dir_all(world.path("src/sub")).unwrap();
    world.file("src/a", "first", 0o644);
    world.file("src/sub/b\x1b[31m\n", "second", 0o600);
    ["snapshot", "src", "--as", "alpha/-/src"]
}

/// Three snapshots of one series, oldest first: their objects in the store.
fn three_snapshots(world: &World) -> Vec<PathBuf> {
    let args = with_source(world);
    let mut objects = Vec::new();
    for i in 0..3 {
        world.file("src/a", &format!("version {i}"), 0o644);
        let made = world.run(&[&args[..], &["--json"]].concat()).expect(0).result();
        let id = made["snapshot"]["id"].as_str().unwrap().to_owned();
        let series = fs::read_dir(world.repo().join("snapshots")).unwrap().next().unwrap().unwrap().path();
        objects.push(series.join(id));
    }
    objects
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}
