//! A prune that is under way while something is taken out.

use super::*;
use crate::store::{Store as _, interrupted::Interrupted};

/// A prune that moves whatever holds anything dead.
fn thorough() -> prune::Options {
    prune::Options {
        grace: 0,
        threads: 1,
        max_unused: Some(prune::Unused::Bytes(0)),
        force: true,
        ..prune::Options::default()
    }
}

/// Operations from one that is looked at to the next; `VAULT_STEP=1` looks at each.
fn step(usual: u64) -> u64 {
    std::env::var("VAULT_STEP").map_or(usual, |text| text.parse().unwrap())
}

/// Two versions with a secret in each, and a snapshot that was forgotten: packs that hold a secret are worth moving.
fn world() -> World {
    let (world, listed) = World::new(2);
    // In one pack with what the others need.
    let passing =
        world.fixture.snapshot("h/-/other", 500, vec![("app", dir(vec![("passing", file(&noise(9000, 77)))]))]);
    repack(&world);
    forget(&world, &passing);
    assert_eq!(listed.len(), 2);
    world
}

/// All segments lie in one pack of data and one of trees.
fn repack(world: &World) {
    let (index, empty) = (world.fixture.index(), BlobIndex::empty(None));
    let mut mover = crate::repo::mover::Mover::new(world.repo(), &empty, &Silent);
    let packs: Vec<_> =
        index.runs().iter().flat_map(|run| run.packs().map(|(id, ..)| id).collect::<Vec<_>>()).collect();
    for id in &packs {
        assert!(mover.copy(&world.repo().read_directory(id).unwrap(), &|_| true).unwrap());
    }
    mover.finish().unwrap();
    for name in world.fixture.names("index/") {
        let id = crate::id::IndexId::parse(name.leaf()).unwrap();
        if world.repo().read_index_object(&id).unwrap().packs.iter().any(|entry| packs.contains(&entry.id)) {
            world.fixture.store.remove(&name).unwrap();
        }
    }
    packs.iter().for_each(|id| world.fixture.store.remove(&crate::pack::object_name(id)).unwrap());
}

fn forget(world: &World, listed: &Listed) {
    let tag = tag_of(world.repo(), &listed.snapshot).unwrap();
    let plan = forget::of_ids(world.repo(), [(tag, listed.id)].into(), "no longer needed", true, &Silent).unwrap();
    forget::apply(world.repo(), &plan, &actor(), &Silent).unwrap();
}

fn take_out(repo: &Repository) -> Result<Report> {
    let (targets, actor) = ([of_path(&format!("{SERIES}:/app//conf/key.pem"))], actor());
    rewrite(repo, &request(&targets, &actor), &never, &Silent)
}

/// All is whole, and two prunes later no secret is left.
fn settle(mut world: World, what: &str) {
    world.check();
    (0..3).for_each(|_| world.prune());
    world.check();
    for version in 1..=2 {
        assert!(!world.store_holds(&secret(version)), "{what}: the secret of version {version} is still there");
    }
    assert_eq!(world.listed().len(), 2, "{what}");
}

#[test]
fn what_a_prune_was_moving_is_taken_out_all_the_same() {
    let (mut nth, mut moved) = (0, 0);
    loop {
        nth += step(2);
        let world = world();
        let other = world.fixture.reopen(Arc::new(world.fixture.store.clone()));
        let store = Interrupted::new(world.fixture.store.clone(), nth, move || drop(take_out(&other).unwrap()));
        let pruner = world.fixture.reopen(store.clone());
        if store.happened() {
            continue;
        }
        match prune::prune(&pruner, &thorough(), &Silent) {
            Ok((_, report)) => moved += report.moved.packs,
            Err(Error::Refused { .. } | Error::Missing { .. }) => {}
            Err(error) => panic!("operation {nth}: {error}"),
        }
        if !store.happened() {
            break;
        }
        settle(world, &format!("operation {nth} of the prune"));
    }
    assert!(nth > 30 && moved > 0, "{nth} operations, {moved} packs moved");
}

#[test]
fn whole_prunes_amid_a_rewrite_keep_nothing_of_what_it_takes_out() {
    let (mut nth, mut ended_well) = (0, 0);
    loop {
        nth += step(11);
        let world = world();
        let other = world.fixture.reopen(Arc::new(world.fixture.store.clone()));
        let event = move || drop(prune::prune(&other, &thorough(), &Silent).unwrap());
        let store = Interrupted::new(world.fixture.store.clone(), nth, event);
        let owner = world.fixture.reopen(store.clone());
        if store.happened() {
            continue;
        }
        let done = take_out(&owner);
        if !store.happened() {
            break;
        }
        match done {
            Ok(_) => ended_well += 1,
            // It says so, and does it when it is run again.
            Err(Error::Refused { .. } | Error::Overtaken | Error::Corrupt { .. } | Error::Missing { .. }) => {
                take_out(world.repo()).unwrap_or_else(|error| panic!("operation {nth}: {error}"));
            }
            Err(error) => panic!("operation {nth}: {error}"),
        }
        settle(world, &format!("operation {nth} of the rewrite"));
    }
    assert!(nth > 60 && ended_well > 0, "{nth} operations, {ended_well} ended well");
}

#[test]
fn what_nobody_has_listed_yet_is_marked_too() {
    let world = world();
    // A run was killed before it had listed its packs.
    let names = world.fixture.names("index/");
    let copies: Vec<_> = {
        let (index, empty) = (world.fixture.index(), BlobIndex::empty(None));
        let mut mover = crate::repo::mover::Mover::new(world.repo(), &empty, &Silent);
        let packs: Vec<_> =
            index.runs().iter().flat_map(|run| run.packs().map(|(id, ..)| id).collect::<Vec<_>>()).collect();
        for id in packs {
            assert!(mover.copy(&world.repo().read_directory(&id).unwrap(), &|_| true).unwrap());
        }
        mover.finish().unwrap().packs
    };
    for name in world.fixture.names("index/").iter().filter(|name| !names.contains(name)) {
        world.fixture.store.remove(name).unwrap();
    }
    take_out(world.repo()).unwrap();
    let named = world.repo().notes().unwrap().named();
    // A snapshot would take them up.
    let holds = |id: &&crate::id::PackId| {
        let directory = world.repo().read_directory(id).unwrap().directory;
        let ids: Vec<_> = directory.segments.iter().flat_map(|segment| &segment.blobs).map(|blob| blob.id).collect();
        [1, 2]
            .iter()
            .any(|version| ids.contains(&world.repo().keys().blob_namer().name(BlobKind::Data, &secret(*version))))
    };
    let holders: Vec<_> = copies.iter().filter(holds).collect();
    assert!(!holders.is_empty() && holders.iter().all(|id| named.contains(id)), "{holders:?}");
    settle(world, "unlisted packs");
}
