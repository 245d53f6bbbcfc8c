mod crashes;
mod damage;
mod full;
mod hollow;
mod leaning;
mod looks;
mod meetings;
mod merging;
mod notes;
mod overtaken;
mod plans;
mod readers;
mod refusals;
mod sessions;

use super::*;
use crate::{
    model::{
        node::Body,
        snapshot::{Snapshot, Source},
    },
    monitor::Silent,
    ops::{
        check::{self, ReadData},
        fixture::{self, Fixture},
        forget::{self, Actor},
        snapshot::{Request, snapshot},
    },
    repo::BlobReader,
    series::Address,
    store::{ObjectName, Store as _},
};
use std::collections::{BTreeMap, BTreeSet};

const SERIES: &str = "h/-/s";
const DAY: i64 = 24 * 3600;

/// What a snapshot holds: files by number, each in a version. Versions of one file lean on one another.
type Contents = BTreeMap<u64, u64>;

fn bytes_of(file: u64, version: u64) -> Vec<u8> {
    let mut bytes = fixture::noise(9000, file);
    bytes.extend(fixture::noise(50, 1000 * file + version));
    bytes
}

fn take(repo: &Repository, contents: &Contents) -> Result<SnapshotId> {
    let source = |(file, version): (&u64, &u64)| fixture::stream(format!("f{file}"), bytes_of(*file, *version));
    let request = Request { threads: 1, ..fixture::request(SERIES, contents.iter().map(source).collect()) };
    snapshot(repo, request, &Silent).map(|report| report.id.unwrap())
}

/// A repository in memory, and what its snapshots hold.
struct World {
    fixture: Fixture,
    now: i64,
    held: BTreeMap<SnapshotId, Contents>,
}

fn at_once() -> Options {
    Options { grace: 0, force: true, threads: 1, ..Options::default() }
}

impl World {
    fn new() -> World {
        World { fixture: Fixture::new(), now: 1_000_000_000, held: BTreeMap::new() }
    }

    fn repo(&self) -> &Repository {
        &self.fixture.repo
    }

    fn snapshot(&mut self, contents: &[(u64, u64)]) -> SnapshotId {
        let contents: Contents = contents.iter().copied().collect();
        let id = take(self.repo(), &contents).unwrap();
        self.held.insert(id, contents);
        id
    }

    fn forget(&mut self, id: SnapshotId) {
        let address = Address::parse(id.to_string().as_bytes()).unwrap();
        let never = |_: &str| Err(Error::usage("no dates here"));
        let plan = forget::of_snapshots(self.repo(), &[address], &never, "asked for", true, &Silent).unwrap();
        let actor = Actor { host: "host".into(), user: "user".into() };
        forget::apply(self.repo(), &plan, &actor, &Silent).unwrap();
        self.held.remove(&id);
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.fixture.store.set_now(self.now);
    }

    fn prune(&self) -> (Plan, Report) {
        prune(self.repo(), &at_once(), &Silent).unwrap()
    }

    fn names(&self, folder: &str) -> BTreeSet<ObjectName> {
        self.fixture.names(folder).into_iter().collect()
    }

    /// All snapshots that were acknowledged are there and hold what they should, and a check finds nothing.
    fn verify(&self) {
        let report = check::check(self.repo(), ReadData::Percent(100.0), 1, &Silent).unwrap();
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
        let index = self.fixture.index();
        let reader = BlobReader::new(self.repo(), &index);
        let listed = self.repo().snapshots(None).unwrap().listed;
        for (id, contents) in &self.held {
            let found = listed.iter().find(|listed| listed.id == *id).unwrap_or_else(|| panic!("{id} is not there"));
            let expected: BTreeMap<Vec<u8>, Vec<u8>> =
                contents.iter().map(|(f, v)| (format!("f{f}").into_bytes(), bytes_of(*f, *v))).collect();
            assert_eq!(bytes_in(&reader, &found.snapshot), expected);
        }
    }

    /// Whatever was left behind goes in the end, and nothing else.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.pass(2 * DAY);
            self.prune();
            self.verify();
        }
        let plan = plan(self.repo(), &at_once(), &Silent).unwrap();
        assert!(plan.remove.is_empty() && plan.dead.is_empty(), "{plan:#?}");
        assert!(self.names("sessions/").is_empty());
    }
}

fn bytes_in(reader: &BlobReader<'_>, snapshot: &Snapshot) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let of = |source: &Source| {
        let Body::File { size, content } = &source.root.body else { panic!() };
        (source.root.name.as_bytes().to_vec(), fixture::contents_of(reader, *size, content).unwrap())
    };
    snapshot.sources.iter().map(of).collect()
}

/// Some snapshots of which one was forgotten, and so many prunes after that.
fn forgotten(prunes: usize) -> World {
    let mut world = World::new();
    let old = world.snapshot(&[(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)]);
    world.snapshot(&[(1, 1), (6, 0), (7, 0)]);
    world.forget(old);
    for _ in 0..prunes {
        world.prune();
    }
    world
}
