//! Each step of each operation failing, once and from then on: what the disk refuses, and what a store answers or does not answer.

use crate::{
    contents::{Sources, contents_of},
    operations::{Around, DAY, Op, doomed, memory, objects, perform},
    verify::{Depth, survives_in},
    world::Expected,
};
use rustix::io::Errno;
use std::{
    collections::BTreeSet,
    io::ErrorKind,
    sync::{Arc, Mutex},
};
use vault::{
    error::Result,
    store::{
        SharedStore,
        faulty::{Fault, FaultyStore},
        local::{
            LocalStore,
            disk::{Change, Watch},
        },
        memory::MemoryStore,
    },
};

/// An operation, and the repository that it finds.
struct Scene {
    name: &'static str,
    before: MemoryStore,
    op: Op,
    around: Around,
    expected: Expected,
}

fn sources(of: &[(u64, u64)]) -> Sources {
    of.iter().copied().collect()
}

impl Scene {
    /// After these operations, each an hour after the one before.
    fn after(name: &'static str, done: &[Op], op: Op) -> Scene {
        let before = MemoryStore::new();
        let mut around = Around { seed: 7_000, time: 1_700_000_000, copy: None };
        let mut expected = Expected::default();
        for one in done {
            (around.seed, around.time) = (around.seed + 1, around.time + 3600);
            let done = perform(Arc::new(before.clone()), one, &around).unwrap();
            expected.made = true;
            expected.held.retain(|id, _| !done.removed.contains(id));
            expected.held.extend(done.added);
            expected.gone.extend(done.removed);
            match one {
                Op::AddKey => expected.second = Some(true),
                Op::RemoveKey => expected.second = Some(false),
                _ => {}
            }
        }
        (around.seed, around.time) = (around.seed + 1, around.time + 3600);
        before.set_now(1_000_000_000);
        Scene { name, before, op, around, expected }
    }

    fn damaged(mut self, folder: &str) -> Scene {
        use vault::store::Store;
        let all = objects(&self.before);
        let name = all.keys().find(|name| name.starts_with(folder)).unwrap();
        let name = vault::store::ObjectName::new(name.as_str()).unwrap();
        match folder {
            "packs/" => {
                self.around.copy = Some(memory(&all));
                assert!(self.before.tamper(&name, |bytes| bytes[100] ^= 1));
            }
            _ => self.before.remove(&name).unwrap(),
        }
        self.expected.damaged = true;
        self
    }
}

/// All operations, each where it has something to do.
fn scenes() -> Vec<Scene> {
    let first = || vec![Op::Init, Op::Snapshot(sources(&[(0, 0), (1, 0), (2, 0), (3, 0)]))];
    let with = |more: &[Op]| [&first()[..], more].concat();
    let second = Op::Snapshot(sources(&[(0, 1), (1, 1), (4, 0)]));
    let forgotten = with(&[second.clone(), Op::Forget(1)]);
    let night = |nights, gathered| Op::Replicate { nights, gathered };
    vec![
        Scene::after("init", &[], Op::Init),
        Scene::after("first snapshot", &[Op::Init], first()[1].clone()),
        Scene::after("second snapshot", &first(), second.clone()),
        Scene::after("forget", &with(std::slice::from_ref(&second)), Op::Forget(1)),
        Scene::after("mark", &forgotten, Op::Prune),
        Scene::after("sweep", &[&forgotten[..], &[Op::Prune]].concat(), Op::Prune),
        Scene::after("tag", &first(), Op::Tag(1)),
        Scene::after("rewrite", &with(std::slice::from_ref(&second)), Op::Rewrite(1)),
        Scene::after("add key", &first(), Op::AddKey),
        Scene::after("remove key", &with(&[Op::AddKey]), Op::RemoveKey),
        Scene::after("repair index", &with(std::slice::from_ref(&second)), Op::Repair { packs: false })
            .damaged("index/"),
        Scene::after("repair packs", &with(&[second]), Op::Repair { packs: true }).damaged("packs/"),
        Scene::after("parity", &with(&[]), Op::Parity),
        Scene::after("repair by parity", &with(&[Op::Parity]), Op::Repair { packs: true }).damaged("packs/"),
        Scene::after("first copy", &[], night(2, false)),
        Scene::after("second copy", &[night(2, false)], night(3, false)),
        Scene::after("first sync", &[], night(2, true)),
        Scene::after("second sync", &[night(2, true)], night(3, true)),
        Scene::after("logical copy", &first(), Op::Copy),
        Scene::after("rekey", &[], Op::Rekey { nights: 2 }),
        Scene::after("rekey again", &[Op::Rekey { nights: 2 }], Op::Rekey { nights: 3 }),
    ]
}

/// What came of an operation: what must hold afterwards.
fn outcome(scene: &Scene, result: &Result<crate::operations::Done>) -> Expected {
    let mut expected = scene.expected.clone();
    if expected.made {
        for id in doomed(Arc::new(scene.before.clone()), &scene.op, &scene.around).unwrap() {
            expected.doom(id);
        }
    }
    if matches!(scene.op, Op::AddKey | Op::RemoveKey) {
        expected.second = None;
    }
    if let Ok(done) = result {
        expected.made = true;
        expected.follow(done);
        expected.damaged = false;
        match scene.op {
            Op::AddKey => expected.second = Some(true),
            Op::RemoveKey => expected.second = Some(false),
            _ => {}
        }
    }
    expected
}

/// Asks what a failure left.
fn ask(
    scene: &Scene,
    left: MemoryStore,
    result: &Result<crate::operations::Done>,
    depth: Depth,
) -> std::result::Result<(), String> {
    let expected = outcome(scene, result);
    let around = Around { seed: scene.around.seed + 500, time: scene.around.time + DAY, ..scene.around.clone() };
    let shared = || -> SharedStore { Arc::new(left.clone()) };
    survives_in(&left, &shared, &BTreeSet::new(), &expected, &scene.op, &around, depth)
}

/// All of `n` things, or about `most` of them that are spread evenly, shifted by the seed.
fn some(n: usize, most: usize) -> impl Iterator<Item = usize> {
    let stride = n.div_ceil(most.max(1)).max(1);
    let from = crate::number("VAULT_SEED", 1) as usize % stride;
    (from..n).step_by(stride)
}

fn most(quick: usize) -> usize {
    crate::number("VAULT_FAULTS", quick as u64) as usize
}

/// What a store may answer, and whether it has done what it was asked for all the same.
const ANSWERS: [(ErrorKind, bool); 4] = [
    (ErrorKind::Other, false),
    (ErrorKind::StorageFull, false),
    (ErrorKind::PermissionDenied, false),
    (ErrorKind::TimedOut, true),
];

#[test]
fn any_answer_of_the_store_may_fail() {
    let mut failures = Vec::new();
    for scene in scenes() {
        let count = {
            let store = Arc::new(FaultyStore::new(memory(&objects(&scene.before))));
            perform(store.clone(), &scene.op, &scene.around).unwrap_or_else(|e| panic!("{}: {e}", scene.name));
            store.total() as usize
        };
        let kinds = 2 * ANSWERS.len();
        let (mut tried, mut stopped) = (0, 0);
        for n in some(count * kinds, most(12)) {
            let (nth, (kind, applied), lasting) = (n / kinds + 1, ANSWERS[n % kinds / 2], n % 2 == 1);
            let store = Arc::new(FaultyStore::new(memory(&objects(&scene.before))));
            let fault = Fault::any(nth as u64, kind);
            let fault = if applied { fault.applied() } else { fault };
            store.plan(if lasting { fault.lasting() } else { fault });
            let result = perform(store.clone(), &scene.op, &scene.around);
            let left = store.inner().clone();
            drop(store);
            (tried, stopped) = (tried + 1, stopped + usize::from(result.is_err()));
            if let Err(why) = ask(&scene, left, &result, Depth::Settled) {
                failures.push(format!(
                    "{}: operation {nth} of {count}: {kind:?}, applied {applied}, lasting {lasting}: {}: {why}",
                    scene.name,
                    result.map_or_else(|e| e.to_string(), |_| "done".into())
                ));
            }
        }
        println!("{}: {tried} failures of {count} operations, {stopped} stopped it", scene.name);
        assert!(stopped * 2 > tried, "{}: {stopped} of {tried}", scene.name);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Fails the n-th change of the disk.
struct Failing(Mutex<(usize, Option<crate::disk::Fault>)>);

impl Watch for Failing {
    fn change(&self, change: &Change<'_>, make: &mut dyn FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.0 += 1;
        match &mut state.1 {
            Some(fault) if fault.spare == 0 => {
                let errno = fault.errno;
                if !fault.lasting {
                    state.1 = None;
                }
                return Err(errno);
            }
            Some(fault) => fault.spare -= 1,
            None => {}
        }
        drop(state);
        match change {
            Change::FlushFile(_) | Change::FlushFolder(_) | Change::FlushAll(_) => Ok(()),
            _ => make(),
        }
    }
}

/// Does the operation in a folder of which a change fails. Returns what came of it, what is left, and the changes that were tried.
fn in_folder(
    scene: &Scene,
    fault: Option<crate::disk::Fault>,
) -> (Result<crate::operations::Done>, MemoryStore, usize) {
    let dir = crate::world::folder();
    for (name, bytes) in objects(&scene.before) {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let failing = Arc::new(Failing(Mutex::new((0, fault))));
    let store = LocalStore::open_watched(dir.path(), failing.clone()).unwrap();
    let gathered = matches!(scene.op, Op::Replicate { gathered: true, .. });
    let store = if gathered { store.gathering() } else { store };
    let result = perform(Arc::new(store), &scene.op, &scene.around);
    let left = memory(&objects(&LocalStore::open_untouched(dir.path()).unwrap()));
    let count = failing.0.lock().unwrap().0;
    (result, left, count)
}

#[test]
fn any_change_of_the_disk_may_fail() {
    let mut failures = Vec::new();
    for scene in scenes() {
        let (result, _, count) = in_folder(&scene, None);
        result.unwrap_or_else(|e| panic!("{}: {e}", scene.name));
        let errnos = [Errno::IO, Errno::NOSPC, Errno::PERM];
        let kinds = 2 * errnos.len();
        let (mut tried, mut stopped) = (0, 0);
        for n in some(count * kinds, most(9)) {
            let (spare, errno, lasting) = (n / kinds, errnos[n % kinds / 2], n % 2 == 1);
            let (result, left, _) = in_folder(&scene, Some(crate::disk::Fault { spare, errno, lasting }));
            (tried, stopped) = (tried + 1, stopped + usize::from(result.is_err()));
            if let Err(why) = ask(&scene, left, &result, Depth::Settled) {
                failures.push(format!(
                    "{}: change {spare} of {count}: {errno:?}, lasting {lasting}: {}: {why}",
                    scene.name,
                    result.map_or_else(|e| e.to_string(), |_| "done".into())
                ));
            }
        }
        println!("{}: {tried} failures of {count} changes, {stopped} stopped it", scene.name);
        assert!(stopped > 0, "{}: {stopped} of {tried}", scene.name);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// What was asked for is there, and nothing else is: the scenes themselves.
#[test]
fn all_operations_do_what_they_are_asked_for() {
    for scene in scenes() {
        let store = memory(&objects(&scene.before));
        let result = perform(Arc::new(store.clone()), &scene.op, &scene.around);
        if let Op::Snapshot(sources) = &scene.op {
            assert_eq!(result.as_ref().unwrap().added[0].1, contents_of(sources));
        }
        assert_eq!(ask(&scene, store, &result, Depth::Settled), Ok(()), "{}", scene.name);
    }
}
