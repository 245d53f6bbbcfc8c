//! A store that is full: what nobody needs any more has to make room for the word that it goes.

use super::*;
use crate::{
    model::gc::Step,
    store::{
        Capabilities,
        faulty::{Fault, FaultyStore, Op},
    },
};
use std::{io::ErrorKind, sync::Arc};

/// A mark names packs that nobody needs and one that stays; another only packs that nobody needs. Or a notice names what nobody needs.
struct Marked {
    world: World,
    store: Arc<FaultyStore<crate::store::memory::MemoryStore>>,
    repo: Repository,
    dead: BTreeSet<PackId>,
    stays: PackId,
}

impl Marked {
    fn new() -> Marked {
        let marked = Marked::unmarked();
        marked.world.repo().mark(marked.dead.iter().copied().chain([marked.stays])).unwrap();
        marked.world.repo().mark(marked.dead.iter().copied()).unwrap();
        marked
    }

    fn unmarked() -> Marked {
        let mut world = World::new();
        let packs = |world: &World| world.repo().list_packs().unwrap().into_keys().collect::<BTreeSet<_>>();
        let old = [world.snapshot(&[(1, 0), (2, 0)]), world.snapshot(&[(3, 0), (4, 0)])];
        let dead = packs(&world);
        world.snapshot(&[(5, 0), (6, 0)]);
        let stays = *packs(&world).difference(&dead).next().unwrap();
        old.into_iter().for_each(|old| world.forget(old));
        let store = Arc::new(FaultyStore::new(world.fixture.store.clone()));
        let repo = world.fixture.reopen(store.clone());
        Marked { world, store, repo, dead, stays }
    }

    /// Nothing is moved away from the pack that stays, unless it is to go.
    fn prune(&self) -> Result<Report> {
        prune(&self.repo, &Options { max_repack: Some(0), ..at_once() }, &Silent).map(|(_, report)| report)
    }
}

/// It may be damaged, and then nobody else knows. Only while a notice takes the place of its own mark, on a store that has no room for
/// both, is it named by neither.
#[test]
fn ripe_marks_make_room_and_what_they_name_and_stays_is_named_wherever_it_is_stopped() {
    for full in 0..3 {
        let mut unnamed = 0;
        for nth in 1.. {
            let mut marked = Marked::new();
            for upload in 1..=full {
                marked.store.plan(Fault::on(Op::Upload, upload, ErrorKind::StorageFull));
            }
            marked.store.plan(Fault::any(nth, ErrorKind::Other).lasting());
            let report = marked.prune();
            marked.store.heal();
            unnamed += usize::from(!marked.world.repo().notes().unwrap().named().contains(&marked.stays));
            marked.world.verify();
            if let Ok(report) = report {
                assert_eq!(report.removed.packs, marked.dead.len() as u64, "{full}");
                marked.world.settle();
                break;
            }
        }
        assert_eq!(unnamed, if full < 2 { 0 } else { 3 }, "{full}");
    }
}

/// What a notice names and stays needs no further one each night.
#[test]
fn a_pack_that_cannot_go_is_named_once_and_for_all() {
    let mut marked = Marked::new();
    for upload in 1..=2 {
        marked.store.plan(Fault::on(Op::Upload, upload, ErrorKind::StorageFull));
    }
    // Nothing can be moved out of it.
    let name = crate::pack::object_name(&marked.stays);
    let mut bytes = marked.world.fixture.store.get(&name, u64::MAX).unwrap();
    bytes[100] ^= 1;
    marked.world.fixture.store.remove(&name).unwrap();
    marked.world.fixture.store.put(&name, &bytes).unwrap();
    assert_eq!(marked.prune().unwrap().removed.packs, marked.dead.len() as u64);
    let named = marked.world.names("gc/");
    assert_eq!(named.len(), 1);
    for _ in 0..3 {
        marked.world.pass(2 * DAY);
        assert_eq!(marked.prune().unwrap().damaged, [marked.stays]);
        assert_eq!(marked.world.names("gc/"), named);
    }
}

/// A sweep was stopped after its notice, and then the store ran full: what that notice names needs no other.
#[test]
fn what_a_notice_names_already_makes_room() {
    for full in 0..=2 {
        for nth in 1.. {
            assert!(nth < 500, "it never gets through");
            let mut marked = Marked::unmarked();
            marked
                .world
                .repo()
                .note(Step::Notice, marked.dead.iter().copied().chain([marked.stays]).collect())
                .unwrap();
            for upload in 1..=full {
                marked.store.plan(Fault::on(Op::Upload, upload, ErrorKind::StorageFull));
            }
            marked.store.plan(Fault::any(nth, ErrorKind::Other).lasting());
            let report = marked.prune();
            marked.store.heal();
            assert!(marked.world.repo().notes().unwrap().named().contains(&marked.stays));
            marked.world.verify();
            if let Ok(report) = report {
                assert_eq!(report.removed.packs, marked.dead.len() as u64, "{full}");
                marked.world.settle();
                break;
            }
        }
    }
}

/// Who could not read a notice that is a day old would take its maker for dead, and rely on what it names.
#[test]
fn nothing_goes_under_an_old_notice_alone() {
    for (age, clock, goes) in [(0, true, true), (DAY / 2 - 1, true, true), (DAY / 2, true, false), (0, false, false)] {
        let mut marked = Marked::unmarked();
        marked.world.repo().note(Step::Notice, marked.dead.iter().copied().collect()).unwrap();
        marked.world.pass(age);
        let can = Capabilities { exclusive_create: true, clock, remove: true };
        marked.world.fixture.store.set_capabilities(can);
        let packs = marked.world.names("packs/");
        marked.store.plan(Fault::on(Op::Upload, 1, ErrorKind::StorageFull).lasting());
        assert!(marked.prune().is_err());
        let left = packs.len() - if goes { marked.dead.len() } else { 0 };
        assert_eq!(marked.world.names("packs/").len(), left, "{age} {clock}");
        marked.world.verify();
    }
}

/// A plan counts what went to make room, and is judged by what there was.
#[test]
fn what_made_room_is_counted() {
    let marked = Marked::unmarked();
    marked.world.repo().note(Step::Notice, marked.dead.iter().copied().collect()).unwrap();
    marked.store.plan(Fault::on(Op::Upload, 1, ErrorKind::StorageFull));
    let options = Options { max_repack: Some(0), force: false, ..at_once() };
    let (plan, report) = prune(&marked.repo, &options, &Silent).unwrap();
    assert_eq!(report.removed.packs, marked.dead.len() as u64);
    assert_eq!((plan.numbers.removed, plan.numbers.stored.packs), (report.removed, marked.dead.len() as u64 + 1));
}

#[test]
fn where_nothing_makes_room_or_nothing_is_known_to_no_pack_goes() {
    for (fault, has_marks) in [
        (Fault::on(Op::Upload, 1, ErrorKind::StorageFull).lasting(), false),
        (Fault::on(Op::Upload, 1, ErrorKind::Other), true),
    ] {
        let mut marked = Marked::new();
        let (packs, marks) = (marked.world.names("packs/"), marked.world.names("gc/"));
        marked.store.plan(fault);
        assert!(marked.prune().is_err());
        assert_eq!(marked.world.names("packs/"), packs);
        assert_eq!(marked.world.names("gc/"), if has_marks { marks } else { BTreeSet::new() });
        marked.world.verify();
        marked.world.settle();
    }
}

#[test]
fn of_many_notices_those_go_whose_packs_have_gone() {
    let mut marked = Marked::new();
    let gone: Vec<_> = (0..3).map(|n| marked.world.repo().note(Step::Notice, vec![PackId([n; 32])]).unwrap()).collect();
    let here: Vec<_> = (0..3).map(|_| marked.world.repo().note(Step::Notice, vec![marked.stays]).unwrap()).collect();
    let both = marked.world.repo().note(Step::Notice, vec![PackId([7; 32]), marked.stays]).unwrap();
    let here = [here, vec![both]].concat();
    marked.prune().unwrap();
    let names = marked.world.repo().notes().unwrap().names;
    let left = |notes: &[crate::id::NoteId]| notes.iter().filter(|id| names.contains(id)).count();
    assert_eq!((left(&gone), left(&here)), (0, 4));
    marked.world.settle();
}
