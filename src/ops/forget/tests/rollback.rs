//! A store that is put back, and snapshots that are hidden: what a client that remembers makes of it, and what is no alarm.

use crate::ops::forget::*;
use crate::{
    error::{Error, Result},
    id::SnapshotId,
    keys::{
        Role,
        slot::{Costs, Secret},
    },
    model::tombstone::GoneHead,
    monitor::Silent,
    ops::{
        fixture::{self, Fixture},
        snapshot::snapshot,
    },
    repo::{Listed, Repository, Rollback, Surroundings, Unlock, tombstones},
    seal::SealKey,
    series::{Address, Series},
    store::{ObjectName, SharedStore, Store as _, interrupted::Interrupted, memory::MemoryStore},
    world::{FixedClock, SeededEntropy, Time},
};
use std::sync::Arc;

const SERIES: &str = "h/-/s";
const OTHER: &str = "h/-/other";

struct World {
    fixture: Fixture,
    state: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        World { fixture: Fixture::new(), state: tempfile::tempdir().unwrap() }
    }

    /// With this many snapshots, which a client of this role has looked at.
    fn seen(count: i64, role: Role) -> (Self, Vec<Listed>, Repository) {
        let world = World::new();
        let all = (0..count).map(|n| world.take(SERIES, n)).collect();
        let client = world.client(role);
        assert_eq!(client.look(Some(&series(SERIES)), false).unwrap(), []);
        (world, all, client)
    }

    /// Somebody else takes a snapshot.
    fn take(&self, series: &str, n: i64) -> Listed {
        let content = fixture::file(format!("{series} {n}").as_bytes());
        self.fixture.snapshot(series, 1_600_000_000 + n * 86400, vec![("f", content)])
    }

    /// A client that remembers.
    fn client(&self, role: Role) -> Repository {
        self.client_of(role, Arc::new(self.fixture.store.clone()))
    }

    /// The same, which sees the store through another one.
    fn client_of(&self, role: Role, store: SharedStore) -> Repository {
        let secret = Secret::KeyFile(SealKey::new([20 + role as u8; 32]));
        let (slots, _) = self.fixture.repo.list_slots().unwrap();
        if !slots.iter().any(|slot| slot.note.label == role.to_string()) {
            self.fixture.repo.add_slot(role, &secret, Costs::LOW, &role.to_string()).unwrap();
        }
        let around = Surroundings {
            clock: Arc::new(FixedClock(Time::from_sec(1_700_000_000))),
            entropy: Arc::new(SeededEntropy::new(5)),
            cache: None,
            state: Some(self.state.path().to_owned()),
        };
        Repository::open(store, &Unlock::Secret(secret), around).unwrap()
    }

    /// Takes an object away; putting the bytes back is [`World::put_back`].
    fn hide(&self, series: &str, listed: &Listed) -> (ObjectName, Vec<u8>) {
        let name = self.fixture.object(series, &listed.id);
        let bytes = self.fixture.store.get(&name, 1 << 20).unwrap();
        self.fixture.store.remove(&name).unwrap();
        (name, bytes)
    }

    fn put_back(&self, (name, bytes): (ObjectName, Vec<u8>)) {
        self.fixture.store.put(&name, &bytes).unwrap();
    }

    fn forget(&self, ids: &[SnapshotId]) {
        let addresses: Vec<Address> = ids.iter().map(|id| Address::parse(id.to_string().as_bytes()).unwrap()).collect();
        let repo = &self.fixture.repo;
        let plan = of_snapshots(repo, &addresses, &|_| Err(Error::usage("none")), "asked for", true, &Silent).unwrap();
        apply(repo, &plan, &Actor::default(), &Silent).unwrap();
    }
}

fn series(text: &str) -> Series {
    Series::parse(text).unwrap()
}

fn look(client: &Repository) -> Vec<Rollback> {
    client.look(None, false).unwrap()
}

fn missing(rollbacks: &[Rollback]) -> Vec<SnapshotId> {
    rollbacks.iter().flat_map(|rollback| &rollback.missing).map(|missing| missing.id).collect()
}

fn latest(client: &Repository) -> Result<SnapshotId> {
    let address = Address::parse(SERIES.as_bytes()).unwrap();
    client.resolve(&address, &|_| Err(Error::usage("none"))).map(|found| found.listed.id)
}

fn take_by(client: &Repository) -> Result<Option<SnapshotId>> {
    let request = fixture::request(SERIES, vec![fixture::stream("s", b"bytes".to_vec())]);
    snapshot(client, request, &Silent).map(|report| report.id)
}

#[test]
fn growth_by_others_and_forgetting_are_no_alarm() {
    for role in [Role::Writer, Role::Maintainer, Role::Owner] {
        let (world, all, client) = World::seen(4, role);
        world.take(OTHER, 0);
        let fifth = world.take(SERIES, 4);
        assert_eq!(look(&client), []);
        // Those that were seen, the newest among them, and one that came and went between two looks.
        let sixth = world.take(SERIES, 5);
        world.forget(&[all[0].id, all[2].id, fifth.id, sixth.id]);
        let seventh = world.take(SERIES, 6);
        assert_eq!(look(&client), []);
        world.forget(&[seventh.id]);
        assert_eq!(look(&client), []);
        assert!(take_by(&client).unwrap().is_some());
        assert_eq!(look(&client), []);
    }
}

#[test]
fn a_hidden_newest_snapshot_stops_all_who_would_go_on_from_an_older_one() {
    for role in [Role::Writer, Role::Maintainer, Role::Owner] {
        let (world, all, client) = World::seen(4, role);
        let hidden = world.hide(SERIES, &all[3]);
        for _ in 0..2 {
            // It stays told.
            let found = look(&client);
            assert_eq!(missing(&found), [all[3].id]);
            assert_eq!(found[0].numbers, (Some(4), Some(3)));
        }
        let refused = take_by(&client).unwrap_err();
        assert!(matches!(refused, Error::Rollback { .. }), "{refused}");
        assert!(refused.to_string().contains("number 4") && refused.to_string().contains("--accept-rollback"));
        if role != Role::Writer {
            let found = client.look(None, false).unwrap();
            assert_eq!(found[0].series, SERIES);
            assert!(matches!(latest(&client), Err(Error::Rollback { .. })));
        }
        assert_eq!(world.fixture.repo.snapshot_names(None).unwrap().len(), 3, "nothing was made");
        world.put_back(hidden);
        assert_eq!(look(&client), []);
        assert!(take_by(&client).is_ok());
    }
}

#[test]
fn a_hidden_middle_or_a_whole_series_is_told() {
    let (world, all, client) = World::seen(4, Role::Owner);
    let hidden = world.hide(SERIES, &all[1]);
    assert_eq!(missing(&look(&client)), [all[1].id]);
    // Even one who never saw it misses it: the next one says that it came before.
    assert_eq!(missing(&look(&world.fixture.repo)), [all[1].id]);
    assert!(matches!(latest(&world.fixture.repo), Err(Error::Rollback { .. })));
    world.put_back(hidden);
    for listed in &all {
        world.hide(SERIES, listed);
    }
    let found = look(&client);
    assert_eq!((found[0].series.as_str(), found[0].missing.len(), found[0].numbers), (SERIES, 4, (Some(4), None)));
    assert!(found[0].to_string().contains("are gone"), "{}", found[0]);
}

#[test]
fn what_is_hidden_behind_forgotten_ones_is_missed_by_newcomers() {
    let world = World::new();
    let all: Vec<Listed> = (0..5).map(|n| world.take(SERIES, n)).collect();
    world.forget(&[all[2].id, all[3].id]);
    assert_eq!(look(&world.client(Role::Maintainer)), []);
    let newcomer = World { fixture: world.fixture, state: tempfile::tempdir().unwrap() };
    newcomer.hide(SERIES, &all[1]);
    assert_eq!(missing(&look(&newcomer.client(Role::Owner))), [all[1].id]);
}

#[test]
fn an_older_state_of_the_whole_store_is_told() {
    for role in [Role::Writer, Role::Owner] {
        let world = World::new();
        world.take(SERIES, 0);
        let client = world.client(role);
        let copy: Vec<(ObjectName, Vec<u8>)> = world
            .fixture
            .store
            .names()
            .into_iter()
            .map(|name| (name.clone(), world.fixture.store.get(&name, 1 << 30).unwrap()))
            .collect();
        let second = take_by(&client).unwrap().unwrap();
        for name in world.fixture.store.names() {
            world.fixture.store.remove(&name).unwrap();
        }
        copy.into_iter().for_each(|object| world.put_back(object));
        // The client itself made the second one, and did not look since.
        assert_eq!(missing(&look(&client)), [second]);
        assert!(matches!(take_by(&client), Err(Error::Rollback { .. })));
    }
}

#[test]
fn a_forged_tombstone_explains_nothing_to_those_who_can_tell() {
    let (world, all, client) = World::seen(3, Role::Maintainer);
    world.hide(SERIES, &all[2]);
    let name = tombstones::object_name(&world.fixture.tag(SERIES), &all[2].id);
    world.fixture.store.put(&name, &[0; 4096]).unwrap();
    let found = look(&client);
    assert_eq!(missing(&found), [all[2].id]);
    assert!(found[0].missing[0].tombstone.is_some() && found[0].to_string().contains("gone/"));
    // A real one of another snapshot does no better.
    let head = GoneHead { series: world.fixture.tag(SERIES), snapshot: all[1].id, head: all[1].snapshot.head.clone() };
    let tombstone = crate::model::tombstone::Tombstone {
        head,
        time: Time::from_sec(5),
        host: "h".into(),
        user: "u".into(),
        reason: "r".into(),
    };
    let keys = world.fixture.repo.keys();
    let bytes = tombstones::seal_tombstone(keys, &tombstone, &SeededEntropy::new(1)).unwrap();
    world.fixture.store.remove(&name).unwrap();
    world.fixture.store.put(&name, &bytes).unwrap();
    assert_eq!(missing(&look(&client)), [all[2].id]);
}

#[test]
fn what_is_accepted_is_told_no_more_and_later_losses_are() {
    for role in [Role::Writer, Role::Owner] {
        let (world, all, client) = World::seen(5, role);
        world.hide(SERIES, &all[1]);
        let hidden = world.hide(SERIES, &all[4]);
        assert_eq!(missing(&client.look(Some(&series(SERIES)), true).unwrap()), [all[1].id, all[4].id]);
        assert_eq!(look(&client), []);
        let next = take_by(&client).unwrap().unwrap();
        assert_eq!(client.head(&world.fixture.tag(SERIES), &next).unwrap().sequence, 5);
        world.put_back(hidden);
        assert_eq!(look(&client), []);
        world.hide(SERIES, &all[2]);
        assert_eq!(missing(&look(&client)), [all[2].id]);
    }
}

#[test]
fn series_are_judged_one_by_one_and_a_memory_that_does_not_open_is_told() {
    let (world, all, client) = World::seen(2, Role::Owner);
    let others: Vec<Listed> = (0..2).map(|n| world.take(OTHER, n)).collect();
    assert_eq!(look(&client), []);
    world.hide(OTHER, &others[1]);
    assert_eq!(client.look(Some(&series(SERIES)), false).unwrap(), []);
    assert_eq!(latest(&client).unwrap(), all[1].id);
    assert_eq!(look(&client)[0].series, OTHER);
    for folder in std::fs::read_dir(world.state.path()).unwrap() {
        let path = folder.unwrap().path().join(world.fixture.tag(SERIES).to_string());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[50] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
    }
    let refused = latest(&client).unwrap_err();
    assert!(refused.to_string().contains("--accept-rollback"), "{refused}");
    client.look(Some(&series(SERIES)), true).unwrap();
    assert_eq!(latest(&client).unwrap(), all[1].id);
}

#[test]
fn a_machine_that_takes_no_file_reads_and_is_told_when_it_writes() {
    let (world, all, _) = World::seen(2, Role::Owner);
    let blocked = world.state.path().join("a file");
    std::fs::write(&blocked, "").unwrap();
    let secret = Secret::KeyFile(SealKey::new([20 + Role::Owner as u8; 32]));
    let around = Surroundings {
        clock: Arc::new(FixedClock(Time::from_sec(1_700_000_000))),
        entropy: Arc::new(SeededEntropy::new(6)),
        cache: None,
        state: Some(blocked),
    };
    let client = Repository::open(Arc::new(world.fixture.store.clone()), &Unlock::Secret(secret), around).unwrap();
    assert_eq!(look(&client), []);
    assert_eq!(latest(&client).unwrap(), all[1].id);
    assert!(take_by(&client).unwrap().is_some());
    assert!(client.look(None, true).is_err(), "what is accepted has to be remembered");
}

#[test]
fn a_store_that_does_not_answer_is_no_rollback() {
    use crate::store::faulty::{Fault, FaultyStore, Op};
    let (world, all, _) = World::seen(3, Role::Owner);
    world.forget(&[all[1].id]);
    let faulty = Arc::new(FaultyStore::<MemoryStore>::new(world.fixture.store.clone()));
    let secret = Secret::KeyFile(SealKey::new([20 + Role::Owner as u8; 32]));
    let around = Surroundings {
        clock: Arc::new(FixedClock(Time::from_sec(1_700_000_000))),
        entropy: Arc::new(SeededEntropy::new(6)),
        cache: None,
        state: Some(world.state.path().to_owned()),
    };
    let client = Repository::open(faulty.clone(), &Unlock::Secret(secret), around).unwrap();
    faulty.plan(Fault::on(Op::Get, 1, std::io::ErrorKind::PermissionDenied).lasting());
    assert!(matches!(client.look(None, false), Err(Error::Store { .. })));
    faulty.heal();
    assert_eq!(look(&client), []);
}

#[test]
fn what_another_run_made_while_one_looked_is_no_alarm() {
    for nth in 1.. {
        let world = World::new();
        for name in [SERIES, OTHER] {
            world.take(name, 0);
        }
        // Of each series one that the client has to read, so that time passes between the series, and one that comes meanwhile.
        let taken = [SERIES, OTHER].map(|name| (name, world.take(name, 1), world.take(name, 2)));
        let unread = taken.each_ref().map(|(name, one, _)| world.hide(name, one));
        let new = taken.each_ref().map(|(name, _, one)| world.hide(name, one));
        let (another, store) = (world.client(Role::Owner), world.fixture.store.clone());
        assert_eq!(look(&another), []);
        unread.into_iter().for_each(|object| world.put_back(object));
        let interrupted = Interrupted::new(world.fixture.store.clone(), nth, move || {
            for (name, bytes) in &new {
                store.put(name, bytes).unwrap();
            }
            assert_eq!(look(&another), []);
        });
        let client = world.client_of(Role::Owner, interrupted.clone());
        assert_eq!(look(&client), [], "before operation {nth}");
        if !interrupted.happened() {
            assert!(nth > 4, "{nth}");
            break;
        }
    }
}
