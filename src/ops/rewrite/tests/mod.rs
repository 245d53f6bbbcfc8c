mod contents;
mod meanwhile;
mod refusals;
mod series;

use super::*;
use crate::{
    hash::BlobKind,
    keys::{
        Role,
        slot::{Costs, Secret},
    },
    model::{
        node::{Body, Extent, Meta},
        paging::each_extent,
    },
    monitor::Silent,
    ops::{
        check::{self, ReadData},
        fixture::{Fixture, Item, dir, file, noise, other},
        prune,
        walk::each_entry,
    },
    repo::{Surroundings, Unlock},
    seal::SealKey,
    store::faulty::{Fault, FaultyStore, Op},
    world::{FixedClock, SeededEntropy, Time},
};
use std::{collections::BTreeMap, io::ErrorKind, sync::Arc};

const SERIES: &str = "h/-/wiki";

struct World {
    fixture: Fixture,
    now: i64,
}

type Tree = Vec<(Vec<u8>, Item)>;

/// A tree of small files that lie together in segments, among them a secret one, in a version.
fn tree(version: u64) -> Tree {
    let conf = vec![
        (b"key.pem".to_vec(), file(&secret(version))),
        (b"site.conf".to_vec(), file(&noise(700, 1))),
        (b"x".to_vec(), dir(vec![("y", file(b"y"))])),
    ];
    let mut pages: Tree = (0..20u64).map(|n| (format!("p{n:02}").into_bytes(), file(&noise(1500, 100 + n)))).collect();
    pages.push((b"new".to_vec(), file(&noise(900, 1000 + version))));
    vec![
        (b"conf".to_vec(), dir(conf)),
        (b"log.tmp".to_vec(), file(&noise(400, 5))),
        (b"pages".to_vec(), dir(pages)),
        (b"pipe".to_vec(), other(Body::Fifo)),
    ]
}

fn secret(version: u64) -> Vec<u8> {
    [&b"-----BEGIN PRIVATE KEY-----"[..], &noise(300, 9000 + version)].concat()
}

fn actor() -> Actor {
    Actor { host: "desk".into(), user: "ann".into() }
}

fn of_path(text: &str) -> Target {
    Target { address: Address::parse(text.as_bytes()).unwrap(), all: !text.contains('@') && text.contains('/') }
}

fn request<'a>(targets: &'a [Target], actor: &'a Actor) -> Request<'a> {
    Request {
        targets,
        patterns: Vec::new(),
        reason: Some("leaked"),
        keep_originals: false,
        pinned: false,
        actor,
        dry_run: false,
    }
}

fn never(_: &str) -> Result<i64> {
    Err(Error::usage("no dates here"))
}

/// All that a snapshot holds: for each path the bytes of a file, and what else is known of the entry.
type Contents = BTreeMap<Vec<u8>, (Vec<u8>, Meta)>;

impl World {
    fn new(versions: u64) -> (World, Vec<Listed>) {
        let mut world = World { fixture: Fixture::new(), now: 1_700_000_000 };
        let listed = (1..=versions).map(|version| world.take(version)).collect();
        (world, listed)
    }

    fn take(&mut self, version: u64) -> Listed {
        self.fixture.snapshot(SERIES, version as i64 * 1000, vec![("app", dir(tree(version)))])
    }

    fn repo(&self) -> &Repository {
        &self.fixture.repo
    }

    /// A client that remembers what it saw.
    fn remembering(&self, state: &std::path::Path) -> Repository {
        let around = Surroundings {
            clock: Arc::new(FixedClock(Time::from_sec(self.now))),
            entropy: Arc::new(SeededEntropy::new(6)),
            cache: None,
            state: Some(state.to_owned()),
        };
        let secret = Secret::KeyFile(SealKey::new([7; 32]));
        if self.repo().list_slots().unwrap().0.len() == 1 {
            self.repo().add_slot(Role::Maintainer, &secret, Costs::LOW, "remembers").unwrap();
        }
        Repository::open(Arc::new(self.fixture.store.clone()), &Unlock::Secret(secret), around).unwrap()
    }

    fn out(&self, targets: &[Target], change: impl FnOnce(&mut Request<'_>)) -> Result<Report> {
        let actor = actor();
        let mut request = request(targets, &actor);
        change(&mut request);
        rewrite(self.repo(), &request, &never, &Silent)
    }

    fn listed(&self) -> Vec<Listed> {
        self.repo().snapshots(None).unwrap().listed
    }

    fn contents(&self, snapshot: &Snapshot) -> Contents {
        let index = self.fixture.index();
        let reader = BlobReader::new(self.repo(), &index);
        let mut contents = Contents::new();
        for source in &snapshot.sources {
            let mut add = |path: &[u8], node: &crate::model::node::Node| {
                let mut bytes = Vec::new();
                if let Body::File { size, content } = &node.body {
                    each_extent(&reader, content, *size, &mut |extent| {
                        let Extent::Data { id, .. } = extent else { panic!("no holes here") };
                        bytes.extend(reader.blob(BlobKind::Data, &id)?);
                        Ok(())
                    })?;
                }
                contents.insert(path.to_vec(), (bytes, node.meta.clone()));
                Ok(())
            };
            let name = source.root.name.as_bytes();
            add(name, &source.root).unwrap();
            if let Body::Directory { tree, .. } = source.root.body {
                each_entry(&reader, tree, name, &mut add).unwrap();
            }
        }
        contents
    }

    fn prune(&mut self) {
        self.now += 2 * 24 * 3600;
        self.fixture.store.set_now(self.now);
        let options = prune::Options { grace: 0, threads: 1, ..prune::Options::default() };
        let planned = prune::plan(self.repo(), &options, &Silent).unwrap();
        let (_, done) = prune::prune(self.repo(), &options, &Silent).unwrap();
        assert_eq!((planned.numbers.removed, planned.numbers.moved.packs), (done.removed, done.moved.packs));
    }

    fn check(&self) {
        let report = check::check(self.repo(), ReadData::Percent(100.0), 1, &Silent).unwrap();
        assert!(report.findings.is_empty(), "{report:#?}");
    }

    /// True when any pack in the store can be made to give these bytes, whatever the index says.
    fn store_holds(&self, what: &[u8]) -> bool {
        let repo = self.repo();
        repo.list_packs().unwrap().keys().any(|id| {
            let entry = repo.read_directory(id).unwrap();
            let index = BlobIndex::empty(None);
            let all: Vec<_> = repo.list_packs().unwrap().keys().map(|id| repo.read_directory(id).unwrap()).collect();
            index.absorb(crate::index::Source { id: crate::id::IndexId([9; 32]), len: 1 }, &all).unwrap();
            let reader = BlobReader::new(repo, &index);
            entry.directory.segments.iter().flat_map(|segment| &segment.blobs).any(|blob| {
                let kind = BlobKind::from_number(blob.kind).unwrap();
                reader.blob(kind, &blob.id).unwrap().windows(what.len()).any(|part| part == what)
            })
        })
    }
}
