mod damage;
mod packs;
mod snapshots;
mod whole;

use super::*;
use crate::{
    model::node::Body,
    monitor::{Recording, Silent},
    ops::{
        check::{self, ReadData},
        fixture::{self, Fixture, Item, Piece},
        snapshot,
        walk::{Event, TreeWalk},
    },
    pack,
    repo::Listed,
    store::{ObjectName, Store as _},
};
use std::collections::BTreeMap;

const ALL: What = What { index: true, packs: true, snapshots: true };
const INDEX: What = What { index: true, packs: false, snapshots: false };

fn request(from: Option<&Repository>) -> Request<'_> {
    Request { what: ALL, from, read_data: true, host: "host", dry_run: false }
}

fn run(repo: &Repository, from: Option<&Repository>) -> Report {
    repair(repo, &request(from), &Silent).unwrap()
}

fn findings(repo: &Repository) -> check::Report {
    check::check(repo, ReadData::Percent(100.0), 2, &Silent).unwrap()
}

/// Directories, one of several pages, a file with a long list, holes, several packs of either kind; three versions.
fn sources(version: u64) -> Vec<(&'static str, Item)> {
    let long = (0..40u64).flat_map(|n| [Piece::Data(fixture::noise(300 + n as usize, n)), Piece::Hole(4096)]).collect();
    let many = (0..300).map(|n| (format!("file-{n:04}"), fixture::file(format!("content {}", n % 20).as_bytes())));
    let app = fixture::dir(vec![
        ("big", fixture::file(&fixture::noise(30_000, 1000 + version))),
        ("long", fixture::pieces(long)),
        ("many", fixture::dir(many.collect())),
        ("sub", fixture::dir(vec![("version", fixture::file(format!("version {version}").as_bytes()))])),
    ]);
    vec![("app", app), ("db", fixture::file(&fixture::noise(5000, 2000 + version)))]
}

fn repository() -> (Fixture, Vec<Listed>) {
    let fixture = Fixture::new();
    let all = (0..3).map(|version| fixture.snapshot("h/-/s", version as i64, sources(version))).collect();
    (fixture, all)
}

type Contents = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// All that can be read of a snapshot: paths, with the bytes of files.
fn contents(repo: &Repository, snapshot: &crate::model::snapshot::Snapshot) -> Contents {
    let (index, _) = repo.load_index(true).unwrap();
    let reader = BlobReader::new(repo, &index);
    let mut out = Contents::new();
    let file = |path: &[u8], body: &Body, out: &mut Contents| {
        match body {
            Body::File { size, content } => {
                if let Ok(bytes) = fixture::contents_of(&reader, *size, content) {
                    out.insert(path.to_vec(), Some(bytes));
                }
            }
            _ => drop(out.insert(path.to_vec(), None)),
        };
    };
    for source in &snapshot.sources {
        let name = source.root.name.as_bytes();
        file(name, &source.root.body, &mut out);
        let Body::Directory { tree, .. } = source.root.body else { continue };
        let mut walk = TreeWalk::salvaging(&reader, tree, name);
        while let Some(event) = walk.next_event() {
            if let Event::Entry { node, .. } = event {
                file(walk.path(), &node.body, &mut out);
            }
        }
    }
    out
}

#[test]
fn a_repair_needs_the_right_role_and_stops_when_asked() {
    let (fixture, _) = repository();
    let monitor = Recording::default();
    monitor.cancel();
    fixture.store.remove(&fixture.names("packs/")[0]).unwrap();
    let before = fixture.store.names();
    assert!(matches!(repair(&fixture.repo, &request(None), &monitor), Err(Error::Cancelled)));
    assert_eq!(fixture.store.names(), before);
}
