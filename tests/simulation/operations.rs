//! What is done to a repository, and what may be asked of it afterwards.

use crate::{
    contents::{Contents, Sources, bytes_of, contents_in, contents_of, stream_name, tree},
    disk::Objects,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};
use vault::{
    error::{Error, Result},
    id::SnapshotId,
    keys::{
        Role,
        slot::{Costs, Secret},
    },
    model::{
        annotation::Change,
        config::{ChunkerConfig, Config},
        medium::Marker,
    },
    monitor::Silent,
    name::Name,
    ops::{
        annotate::annotate,
        copy::{logical, replica},
        forget::{self, Actor},
        parity,
        prune::{self, Options, Unused},
        repair, rewrite,
        snapshot::{Input, Request, SourceRequest, snapshot},
    },
    parity::Percent,
    repo::{Listed, Repository, Surroundings, Unlock},
    seal::SealKey,
    series::{Address, Series},
    store::{ObjectName, SharedStore, Store, memory::MemoryStore},
    world::{FixedClock, SeededEntropy, Time},
};

pub const SERIES: &str = "h/-/s";
pub const DAY: i64 = 24 * 3600;

/// One thing that is done to a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Init,
    Snapshot(Sources),
    /// All but the last so many.
    Forget(usize),
    /// Marks, and sweeps what was marked before.
    Prune,
    Tag(u64),
    /// Takes this stream out of all snapshots.
    Rewrite(u64),
    AddKey,
    RemoveKey,
    /// Of the index, or of packs from a copy.
    Repair {
        packs: bool,
    },
    /// Whole objects of a repository with so many snapshots, put one by one or gathered as onto a medium, and the medium's marker.
    Replicate {
        nights: usize,
        gathered: bool,
    },
    /// Snapshots of another repository.
    Copy,
    /// All of a repository with so many snapshots into a new one, under new keys.
    Rekey {
        nights: usize,
    },
    /// Sidecars for what has none, and second copies.
    Parity,
}

fn request(sources: &Sources) -> Request {
    let source = |(stream, version): (&u64, &u64)| {
        let (name, input) = match stream {
            0 => ("tree".into(), Input::Path(tree(*version).as_os_str().as_encoded_bytes().to_vec())),
            _ => (stream_name(*stream), Input::Stream(Box::new(std::io::Cursor::new(bytes_of(*stream, *version))))),
        };
        SourceRequest { name: Name::new(name.as_bytes()).unwrap(), input }
    };
    let sources = sources.iter().map(source).collect();
    Request { threads: 1, ..Request::new(Series::parse(SERIES).unwrap(), sources, "host", "user") }
}

/// The world around an operation: its place in time and its own random bytes.
#[derive(Debug, Clone)]
pub struct Around {
    pub seed: u64,
    pub time: i64,
    /// A copy of the repository as it was before it was damaged.
    pub copy: Option<MemoryStore>,
}

impl Around {
    fn surroundings(&self) -> Surroundings {
        Surroundings {
            clock: Arc::new(FixedClock(Time::from_sec(self.time))),
            entropy: Arc::new(SeededEntropy::new(self.seed)),
            cache: None,
            state: None,
        }
    }

    pub fn open(&self, store: SharedStore) -> Result<Repository> {
        Repository::open(store, &Unlock::Secret(secret(1)), self.surroundings())
    }

    pub fn open_with_second(&self, store: SharedStore) -> Result<Repository> {
        Repository::open(store, &Unlock::Secret(secret(2)), self.surroundings())
    }
}

fn secret(n: u8) -> Secret {
    Secret::KeyFile(SealKey::new([n; 32]))
}

fn config() -> Config {
    Config {
        chunker: ChunkerConfig { algorithm: 1, min: 512, average: 2048, max: 8192 },
        segment_target: 8192,
        pack_target: 12 << 10,
        ..Config::default()
    }
}

fn actor() -> Actor {
    Actor { host: "host".into(), user: "user".into() }
}

pub fn at_once() -> Options {
    Options { grace: 0, force: true, threads: 1, max_unused: Some(Unused::Bytes(0)), ..Options::default() }
}

/// A repository in memory after so many nights, and what its snapshots hold.
pub fn donor(nights: usize) -> &'static (MemoryStore, BTreeMap<SnapshotId, Contents>) {
    static DONORS: OnceLock<Vec<(MemoryStore, BTreeMap<SnapshotId, Contents>)>> = OnceLock::new();
    let donors = DONORS.get_or_init(|| {
        let (store, mut held) = (MemoryStore::new(), BTreeMap::new());
        let mut out = Vec::new();
        for night in 0..3 {
            let time = 1_690_000_000 + night as i64 * DAY;
            let around = Around { seed: 5_000_000 + night, time, copy: None };
            if night == 0 {
                perform(Arc::new(store.clone()), &Op::Init, &around).unwrap();
            }
            let sources: Sources = [(0, night), (1, 0), (2, night), (30 + night, 0)].into_iter().collect();
            let done = perform(Arc::new(store.clone()), &Op::Snapshot(sources.clone()), &around).unwrap();
            held.insert(done.added[0].0, contents_of(&sources));
            out.push((memory(&objects(&store)), held.clone()));
        }
        out
    });
    &donors[nights - 1]
}

/// All objects of a store.
pub fn objects(store: &dyn Store) -> Objects {
    let mut names = Vec::new();
    let mut keep = |entry: vault::store::Entry| {
        names.push(entry.name);
        Ok(())
    };
    store.list("", &mut keep).unwrap();
    names.into_iter().map(|name| (name.to_string(), store.get(&name, u64::MAX).unwrap().into())).collect()
}

/// True where prune refuses, as it should: there are packs, of a first snapshot that was cut short, and no index that lists them, or neither
/// snapshots nor tombstones. That these are there for all that was acknowledged shows when it is restored.
pub fn is_begun(store: &dyn Store) -> bool {
    let names = objects(store);
    let any = |folder: &str| names.iter().any(|(name, bytes)| name.starts_with(folder) && !bytes.is_empty());
    any("packs/") && (!any("index/") || (!any("snapshots/") && !any("gone/")))
}

/// A store in memory that holds these.
pub fn memory(objects: &Objects) -> MemoryStore {
    let store = MemoryStore::new();
    for (name, bytes) in objects {
        store.put(&ObjectName::new(name.as_str()).unwrap(), bytes).unwrap();
    }
    store
}

/// What an operation has done, by its own account.
#[derive(Debug, Default)]
pub struct Done {
    pub added: Vec<(SnapshotId, Contents)>,
    pub removed: BTreeSet<SnapshotId>,
}

/// Snapshots that an operation may take away, by what lies in the store before it.
pub fn doomed(store: SharedStore, op: &Op, around: &Around) -> Result<BTreeSet<SnapshotId>> {
    let listed = || around.open(store.clone())?.snapshots(None).map(|all| all.listed);
    Ok(match op {
        Op::Forget(keep) => {
            let listed = listed()?;
            listed[..listed.len().saturating_sub(*keep)].iter().map(|one| one.id).collect()
        }
        Op::Rewrite(stream) => {
            let has = |one: &Listed| {
                one.snapshot.sources.iter().any(|source| source.root.name.as_bytes() == stream_name(*stream).as_bytes())
            };
            listed()?.into_iter().filter(has).map(|one| one.id).collect()
        }
        _ => BTreeSet::new(),
    })
}

/// Does it. An operation that was interrupted may be done once more.
pub fn perform(store: SharedStore, op: &Op, around: &Around) -> Result<Done> {
    if *op == Op::Init {
        // What an interrupted one left is no other's. What it was not told that it had made is there already.
        match Repository::identify(&*store) {
            Err(Error::NoRepository { .. }) | Ok(_) => {}
            Err(error) => return Err(error),
        }
        match Repository::init(store, &secret(1), Costs::LOW, "first", config(), around.surroundings()) {
            Err(Error::Refused { .. }) => {}
            made => drop(made?),
        }
        return Ok(Done::default());
    }
    if let Op::Replicate { nights, gathered } = op {
        let (from, held) = donor(*nights);
        let request = replica::Request { from, to: &*store, create: true, dry_run: false, threads: 1 };
        replica::replicate(&request, &Silent)?;
        if *gathered {
            let repo = around.open(store.clone())?;
            let generation = repo.marker_in(&*store)?.map_or(1, |(marker, _)| marker.generation + 1);
            let marker = Marker {
                medium: [7; 16],
                generation,
                name: "stick".into(),
                time: Time::from_sec(around.time),
                host: "host".into(),
                parity: false,
            };
            repo.put_marker(&*store, &marker)?;
        }
        return Ok(Done { added: held.clone().into_iter().collect(), ..Done::default() });
    }
    if let Op::Rekey { nights } = op {
        return rekey(store, *nights, around);
    }
    let repo = around.open(store.clone())?;
    let mut done = Done::default();
    match op {
        Op::Snapshot(sources) => {
            let id = snapshot(&repo, request(sources), &Silent)?.id.expect("no dry run");
            done.added.push((id, contents_of(sources)));
        }
        Op::Forget(_) => {
            done.removed = doomed(store, op, around)?;
            let tag = repo.keys().series_tag(&Series::parse(SERIES)?);
            let wanted = done.removed.iter().map(|id| (tag, *id)).collect();
            let plan = forget::of_ids(&repo, wanted, "asked for", true, &Silent)?;
            let report = forget::apply(&repo, &plan, &actor(), &Silent)?;
            if let Some((_, error)) = report.failed.into_iter().next() {
                return Err(error);
            }
        }
        Op::Prune => match prune::prune(&repo, &at_once(), &Silent) {
            Err(Error::Refused { .. }) if is_begun(repo.store()) => {}
            result => drop(result?),
        },
        Op::Tag(n) => {
            let listed = repo.snapshots(None)?.listed;
            let changes = [Change::Tag { tag: format!("tag-{n}"), on: true }];
            annotate(&repo, listed.get(..1).unwrap_or_default(), &changes, &actor(), &Silent)?;
        }
        Op::Rewrite(stream) => {
            done.removed = doomed(store, op, around)?;
            // One of which nothing would be left is refused, and all of the request with it.
            let listed = repo.snapshots(None)?.listed;
            let refused = listed.iter().any(|one| done.removed.contains(&one.id) && one.snapshot.sources.len() == 1);
            if done.removed.is_empty() || refused {
                return Ok(Done::default());
            }
            let address = Address::parse(format!("{SERIES}:{}", stream_name(*stream)).as_bytes())?;
            let request = rewrite::Request {
                targets: &[rewrite::Target { address, all: true }],
                patterns: Vec::new(),
                reason: None,
                keep_originals: false,
                pinned: false,
                actor: &actor(),
                dry_run: false,
            };
            let before = repo.snapshots(None)?.listed;
            let report = rewrite::rewrite(&repo, &request, &|_| Err(Error::usage("no dates here")), &Silent)?;
            for one in report.rewritten {
                let old = before.iter().find(|listed| listed.id == one.taken.id).expect("it was listed");
                let new = repo.snapshots(None)?.listed.into_iter().find(|listed| Some(listed.id) == one.new);
                let names = |listed: &Listed| {
                    listed.snapshot.sources.iter().map(|source| source.root.clone()).collect::<Vec<_>>()
                };
                let mut expected = names(old);
                expected.retain(|root| root.name.as_bytes() != stream_name(*stream).as_bytes());
                let new = new.expect("what was rewritten is listed");
                assert_eq!(names(&new), expected);
                done.added.push((new.id, contents_in(&repo, &new)?));
            }
        }
        Op::AddKey => {
            if !repo.list_slots()?.0.iter().any(|slot| slot.note.label == "second") {
                repo.add_slot(Role::Owner, &secret(2), Costs::LOW, "second")?;
            }
        }
        Op::RemoveKey => {
            for slot in repo.list_slots()?.0.iter().filter(|slot| slot.note.label == "second") {
                repo.remove_slot(&slot.id.to_string())?;
            }
        }
        Op::Repair { packs } => {
            let copy = around.copy.clone().map(|copy| around.open(Arc::new(copy))).transpose()?;
            let request = repair::Request {
                what: repair::What { index: !packs, packs: *packs, snapshots: false },
                from: copy.as_ref(),
                read_data: *packs,
                host: "host",
                dry_run: false,
            };
            repair::repair(&repo, &request, &Silent)?;
        }
        Op::Copy => {
            let held = &donor(3).1;
            let copied = copy_all(3, &repo, around)?
                .copied
                .into_iter()
                .filter_map(|one| Some((one.id?, held[&one.from].clone())));
            done.added.extend(copied);
        }
        Op::Parity => {
            let request = parity::Addition {
                percent: Percent::new(1000).unwrap(),
                mirror: true,
                drop_missing: true,
                replace: BTreeSet::new(),
            };
            parity::add(repo.store(), &request, &Silent)?;
        }
        Op::Init | Op::Replicate { .. } | Op::Rekey { .. } => unreachable!("done above"),
    }
    Ok(done)
}

/// All snapshots of a donor into another repository.
fn copy_all(nights: usize, to: &Repository, around: &Around) -> Result<logical::Report> {
    let seed = 6_000_000 + around.seed;
    let from = Around { seed, ..around.clone() }.open(Arc::new(donor(nights).0.clone()))?;
    let compression = Default::default();
    let request =
        logical::Request { from: &from, to, chosen: None, compression, host: "host", dry_run: false, threads: 1 };
    logical::copy(&request, &Silent)
}

/// A new repository, or what an interrupted run has made of it, gets all that a donor holds.
fn rekey(store: SharedStore, nights: usize, around: &Around) -> Result<Done> {
    let to = match Repository::identify(&*store) {
        Ok(_) => around.open(store)?,
        Err(Error::NoRepository { .. }) => {
            Repository::init(store, &secret(1), Costs::LOW, "first", config(), around.surroundings())?
        }
        Err(error) => return Err(error),
    };
    copy_all(nights, &to, around)?;
    // Those that a run had copied before it was killed are not told of again: what counts is what is there.
    let listed = to.snapshots(None)?.listed;
    let found = listed.iter().map(|one| Ok((one.id, contents_in(&to, one)?))).collect::<Result<Vec<_>>>()?;
    assert_eq!(found.len(), donor(nights).1.len(), "each once");
    let wanted = donor(nights).1.values();
    let added = wanted.map(|contents| {
        let one =
            found.iter().find(|(_, found)| found == contents).expect("all that was there is in the new repository");
        one.clone()
    });
    Ok(Done { added: added.collect(), ..Done::default() })
}
