//! Whole operations on one repository, in any order, with steps of the store that fail: what was acknowledged stays, whatever
//! else comes of them. Four bytes for each operation: what, on what, which step fails, and how.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{
    collections::BTreeMap,
    io::{Cursor, ErrorKind},
    sync::Arc,
};
use vault::{
    error::{Error, Result},
    hash::BlobKind,
    id::SnapshotId,
    keys::slot::{Costs, Secret},
    model::{
        config::{ChunkerConfig, Config},
        node::{Body, Extent},
        paging::{PageSource, each_extent},
    },
    monitor::Silent,
    name::Name,
    ops::{
        check::{ReadData, check},
        forget::{self, Actor},
        prune::{self, prune},
        repair::{self, repair},
        snapshot::{Input, Request, SourceRequest, snapshot},
    },
    repo::{BlobReader, Repository, Surroundings, Unlock},
    seal::SealKey,
    series::{Address, Series},
    store::{
        faulty::{Fault, FaultyStore},
        memory::MemoryStore,
    },
    world::{FixedClock, SeededEntropy, Time},
};

const BEGIN: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3600;
/// For `repair`: neither packs nor snapshots, and no pack is read.
const INDEX_ONLY: u8 = 2 | 4 | 8;

/// A stream's contents, by number: what was forgotten comes back.
fn contents(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; 300 + usize::from(number) * 37];
    blake3::Hasher::new().update(&[number % 24]).finalize_xof().fill(&mut bytes);
    // Versions of one stream, which lean on one another.
    bytes.extend([number; 40]);
    bytes
}

struct World {
    store: Arc<FaultyStore<MemoryStore>>,
    repo: Repository,
    now: i64,
    opened: u64,
    /// Acknowledged, and not asked to be forgotten.
    held: BTreeMap<SnapshotId, Vec<u8>>,
}

fn secret() -> Secret {
    Secret::KeyFile(SealKey::new([7; 32]))
}

impl World {
    fn new() -> World {
        let store = Arc::new(FaultyStore::new(MemoryStore::new()));
        let config = Config {
            chunker: ChunkerConfig { algorithm: 1, min: 64, average: 256, max: 1024 },
            segment_target: 16 << 10,
            pack_target: 64 << 10,
            ..Config::default()
        };
        let around = Self::around(BEGIN, 0);
        let repo = Repository::init(store.clone(), &secret(), Costs::LOW, "key", config, around).unwrap();
        let mut world = World { store, repo, now: BEGIN, opened: 0, held: BTreeMap::new() };
        world.pass(0);
        world
    }

    fn around(now: i64, opened: u64) -> Surroundings {
        Surroundings {
            clock: Arc::new(FixedClock(Time::from_sec(now))),
            entropy: Arc::new(SeededEntropy::new(opened)),
            cache: None,
            state: None,
        }
    }

    /// Another process, with a clock of that time.
    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.opened += 1;
        self.store.inner().set_now(self.now);
        let around = Self::around(self.now, self.opened);
        self.repo = Repository::open(self.store.clone(), &Unlock::Secret(secret()), around).unwrap();
    }

    fn snapshot(&mut self, on: u8) -> Result<()> {
        let numbers: Vec<u8> = (0..=on % 3).map(|n| on.wrapping_mul(n + 1)).collect();
        let sources = numbers.iter().zip(0u8..).map(|(number, at)| SourceRequest {
            name: Name::new(vec![b'a' + at]).unwrap(),
            input: Input::Stream(Box::new(Cursor::new(contents(*number)))),
        });
        let series = Series::parse(["h/-/a", "h/-/b"][usize::from(on >> 7)]).unwrap();
        let request = Request { threads: 1, ..Request::new(series, sources.collect(), "host", "user") };
        let id = snapshot(&self.repo, request, &Silent)?.id.unwrap();
        self.held.insert(id, numbers);
        Ok(())
    }

    fn forget(&mut self, on: u8) -> Result<()> {
        let Some(id) = self.held.keys().nth(usize::from(on) % self.held.len().max(1)).copied() else { return Ok(()) };
        self.held.remove(&id);
        let address = Address::parse(id.to_string().as_bytes()).unwrap();
        let never = |_: &str| Err(Error::usage("no dates here"));
        let plan = forget::of_snapshots(&self.repo, &[address], &never, "asked for", true, &Silent)?;
        forget::apply(&self.repo, &plan, &Actor { host: "host".into(), user: "user".into() }, &Silent).map(drop)
    }

    fn prune(&self) -> Result<()> {
        let options = prune::Options { grace: 0, force: true, threads: 1, ..prune::Options::default() };
        prune(&self.repo, &options, &Silent).map(drop)
    }

    /// What a run left that never came to list its packs is refused: the index might be lost. It is made anew, as the refusal says,
    /// and then only a repository that never had a snapshot is left alone.
    fn prune_as_advised(&self) {
        let Err(error) = self.prune() else { return };
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        if !self.repo.load_index(false).unwrap().0.is_empty() {
            assert!(self.held.is_empty(), "{error:?}");
            return;
        }
        self.repair(INDEX_ONLY).unwrap();
        let again = self.prune();
        assert!(again.is_ok() || (self.held.is_empty() && matches!(again, Err(Error::Refused { .. }))), "{again:?}");
    }

    fn repair(&self, on: u8) -> Result<()> {
        let what = repair::What { index: on & 1 == 0, packs: on & 2 == 0, snapshots: on & 4 == 0 };
        let request = repair::Request { what, from: None, read_data: on & 8 == 0, host: "host", dry_run: false };
        repair(&self.repo, &request, &Silent).map(drop)
    }

    /// Nothing is wrong, and each snapshot that is held is what it was.
    fn verify(&self) {
        let report = check(&self.repo, ReadData::Percent(100.0), 1, &Silent).unwrap();
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
        let (index, unreadable) = self.repo.load_index(true).unwrap();
        assert!(unreadable.is_empty(), "{unreadable:?}");
        let reader = BlobReader::new(&self.repo, &index);
        let listed = self.repo.snapshots(None).unwrap().listed;
        for (id, numbers) in &self.held {
            let found = listed.iter().find(|listed| listed.id == *id).unwrap_or_else(|| panic!("{id} is lost"));
            assert_eq!(found.snapshot.sources.len(), numbers.len());
            for (source, number) in found.snapshot.sources.iter().zip(numbers) {
                let Body::File { size, content } = &source.root.body else { panic!("no stream") };
                let mut bytes = Vec::new();
                let mut take = |extent| {
                    match extent {
                        Extent::Hole { len } => bytes.resize(bytes.len() + len as usize, 0),
                        Extent::Data { id, .. } => bytes.extend(reader.blob(BlobKind::Data, &id)?),
                    }
                    Ok(())
                };
                each_extent(&reader as &dyn PageSource, content, *size, &mut take).unwrap();
                assert!(bytes == contents(*number), "{id} holds other bytes");
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    for step in data.chunks_exact(4).take(24) {
        let &[what, on, nth, how] = step else { continue };
        let kind = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::PermissionDenied, ErrorKind::TimedOut];
        if how & 1 == 1 {
            let mut fault = Fault::any(u64::from(nth) + 1, kind[usize::from(how >> 1 & 3)]);
            if how & 8 != 0 {
                fault = fault.lasting();
            }
            if how & 16 != 0 {
                fault = fault.applied();
            }
            world.store.plan(fault);
        }
        let done = match what % 8 {
            0..=2 => world.snapshot(on),
            3 => world.forget(on),
            4 | 5 => world.prune(),
            6 => world.repair(on),
            _ => Ok(()),
        };
        world.store.heal();
        assert!(done.is_ok() || how & 1 == 1 || matches!(done, Err(Error::Refused { .. })), "{what} {on}: {done:?}");
        // Most go on in the same process; the dead are told apart from the living by the days that pass.
        if what % 8 == 7 || how & 32 != 0 {
            world.pass(i64::from(on % 3) * DAY);
        }
        if how & 64 != 0 {
            world.verify();
        }
    }
    world.pass(2 * DAY);
    world.verify();
    for _ in 0..2 {
        world.prune_as_advised();
        world.pass(2 * DAY);
        world.verify();
    }
});
