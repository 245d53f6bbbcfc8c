//! Each object damaged in each way, and repairs that fail anywhere.

use super::*;
use crate::store::faulty::{Fault, FaultyStore};
use std::sync::Arc;

/// The snapshot that stands for another one now: itself, or the one that was made in its place.
fn standing(repo: &Repository, id: &crate::id::SnapshotId) -> Option<Listed> {
    let all = repo.snapshots(None).unwrap().listed;
    let repaired = all.iter().find(|listed| listed.snapshot.repaired_from() == Some(*id));
    repaired.or(all.iter().find(|listed| listed.id == *id)).cloned()
}

type Change = (&'static str, fn(&mut Vec<u8>));

const CHANGES: [Change; 6] = [
    ("a flip in the header", |bytes| bytes[9] ^= 1),
    ("a flip in the front", |bytes| bytes[41] ^= 1),
    ("a flip in the middle", |bytes| {
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
    }),
    ("a flip at the end", |bytes| {
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
    }),
    ("a cut", |bytes| bytes.truncate(bytes.len() / 2)),
    ("nothing left", Vec::clear),
];

/// Does it to each object but config and key slots, each time to a fresh copy.
fn each_damage(fixture: &Fixture, each: &mut dyn FnMut(Fixture, &ObjectName, &str)) {
    for name in fixture.store.names() {
        if !name.as_str().contains('/') || name.folder() == "keys" {
            continue;
        }
        for (how, change) in CHANGES {
            let damaged = fixture.copy();
            damaged.store.tamper(&name, change);
            each(damaged, &name, how);
        }
        let damaged = fixture.copy();
        damaged.store.remove(&name).unwrap();
        each(damaged, &name, "removed");
    }
}

#[test]
fn whatever_is_damaged_what_is_left_is_kept_and_the_rest_is_named() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    let (mut lossless, mut lossy) = (0, 0);
    each_damage(&fixture, &mut |damaged, name, how| {
        let at = format!("{how}: {name}");
        let before = damaged.store.names();
        let dry = repair(&damaged.repo, &Request { dry_run: true, ..request(None) }, &Silent).unwrap();
        assert_eq!(damaged.store.names(), before, "{at}");
        let report = run(&damaged.repo, None);
        let after = damaged.store.names();
        assert!(before.iter().all(|name| after.contains(name)), "{at}: something was removed");
        // A dry run tells of the same.
        assert_eq!((&dry.index, &dry.packs), (&report.index, &report.packs), "{at}");
        let told = |report: &Report| -> Vec<_> {
            report.snapshots.iter().flatten().map(|one| (one.loss.clone(), one.what.clone(), one.made)).collect()
        };
        assert_eq!(told(&dry), told(&report), "{at}");
        // Twice is once.
        run(&damaged.repo, None);
        assert_eq!(damaged.store.names(), after, "{at}");
        let checked = findings(&damaged.repo);
        for (listed, whole) in all.iter().zip(&whole) {
            let Some(now) = standing(&damaged.repo, &listed.id) else {
                assert!(name.leaf() == listed.id.to_string(), "{at}");
                continue;
            };
            let kept = contents(&damaged.repo, &now.snapshot);
            if now.id == listed.id {
                assert_eq!(&kept, whole, "{at}");
                continue;
            }
            // All that is there is right, and all that is not is named.
            lossy += 1;
            let snapshot = &now.snapshot;
            assert!(!snapshot.head.complete && snapshot.head.sequence == listed.snapshot.head.sequence);
            assert!(now.id < listed.id && snapshot.tags == ["repaired"]);
            let loss = &report.snapshots.iter().flatten().find(|one| one.new == Some(now.id)).unwrap().loss;
            assert_eq!(snapshot.problem_count, loss.entries, "{at}");
            let gone: Vec<&Vec<u8>> = whole.keys().filter(|path| !kept.contains_key(*path)).collect();
            assert_eq!(gone.len() as u64, loss.entries, "{at}: {loss:?}");
            for path in gone {
                let named = loss
                    .paths
                    .iter()
                    .any(|lost| lost.path == *path || lost.path.ends_with(b"/") && path.starts_with(&lost.path));
                assert!(named || loss.paths.len() == check::losses::PATHS_NAMED, "{at}: {}", crate::name::Shown(path));
            }
            for (path, bytes) in &kept {
                assert_eq!(Some(bytes), whole.get(path), "{at}");
            }
            let of_repaired: Vec<_> =
                checked.losses.iter().flat_map(|of| &of.snapshots).filter(|loss| loss.id == now.id).collect();
            assert!(of_repaired.is_empty(), "{at}: {of_repaired:?}");
        }
        if report.shortfall() == 0 {
            lossless += 1;
            // The newest snapshot has no successor that would miss it.
            assert_eq!(checked.findings, [], "{at}");
        } else {
            assert!(!checked.findings.is_empty(), "{at}");
        }
    });
    assert!(lossless > 20 && lossy > 50, "{lossless} {lossy}");
}

#[test]
fn whatever_is_damaged_comes_back_from_a_replica() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    let replica = fixture.copy();
    let mut fetched = 0;
    each_damage(&fixture, &mut |damaged, name, how| {
        let at = format!("{how}: {name}");
        let newest = name.leaf() == all[2].id.to_string();
        let dry = Request { dry_run: true, ..request(Some(&replica.repo)) };
        let dry = repair(&damaged.repo, &dry, &Silent).unwrap();
        let report = run(&damaged.repo, Some(&replica.repo));
        assert_eq!((&dry.index, &dry.packs), (&report.index, &report.packs), "{at}");
        assert_eq!(report.shortfall(), 0, "{at}: {report:?}");
        fetched += report.packs.as_ref().unwrap().fetched;
        // Nothing tells that there was one after the last.
        if !(newest && how == "removed") {
            for (listed, whole) in all.iter().zip(&whole) {
                let now = standing(&damaged.repo, &listed.id).unwrap();
                assert_eq!(&contents(&damaged.repo, &now.snapshot), whole, "{at}");
                assert!(now.snapshot.head.complete, "{at}");
            }
        }
        let checked = findings(&damaged.repo);
        assert_eq!(checked.findings, [], "{at}");
        // A pack that was removed does not return under its name.
        if name.as_str().starts_with("packs/") && how == "removed" {
            assert!(!damaged.store.names().contains(name), "{at}");
        }
        let before = damaged.store.names();
        let again = run(&damaged.repo, Some(&replica.repo));
        assert_eq!(damaged.store.names(), before, "{at}");
        assert_eq!(again.packs.unwrap().fetched, 0, "{at}");
    });
    assert!(fetched > 20);
}

#[test]
fn a_repair_that_fails_anywhere_is_done_by_the_next() {
    let (fixture, all) = repository();
    let whole: Vec<Contents> = all.iter().map(|listed| contents(&fixture.repo, &listed.snapshot)).collect();
    let replica = fixture.copy();
    let packs = fixture.names("packs/");
    fixture.store.tamper(&packs[0], |bytes| bytes[1000] ^= 1);
    fixture.store.remove(&packs[1]).unwrap();
    let index = fixture.names("index/").remove(0);
    fixture.store.tamper(&index, |bytes| bytes[100] ^= 1);
    fixture.store.tamper(&fixture.object("h/-/s", &all[0].id), |bytes| bytes[200] ^= 1);
    let total = {
        let faulty = Arc::new(FaultyStore::new(fixture.copy().store));
        let repo = fixture.reopen(faulty.clone());
        let before = faulty.total();
        run(&repo, Some(&replica.repo));
        faulty.total() - before
    };
    assert!(total > 100);
    for nth in (1..=total).step_by(3) {
        let faulty = Arc::new(FaultyStore::new(fixture.copy().store));
        let repo = fixture.reopen(faulty.clone());
        faulty.plan(Fault::any(nth, std::io::ErrorKind::Other));
        // What fails may be one object that counts as damaged then, or the whole run.
        let first = repair(&repo, &request(Some(&replica.repo)), &Silent);
        faulty.heal();
        let damaged = fixture.with_store(faulty.inner().clone());
        let report = run(&damaged.repo, Some(&replica.repo));
        assert_eq!(report.shortfall(), 0, "operation {nth}, {first:?}: {report:?}");
        for (listed, whole) in all.iter().zip(&whole) {
            let now = standing(&damaged.repo, &listed.id).unwrap();
            assert_eq!(&contents(&damaged.repo, &now.snapshot), whole, "operation {nth}");
        }
        assert_eq!(findings(&damaged.repo).findings, [], "operation {nth}");
    }
}

/// A power cut after it took away what an earlier run had stored and never flushed.
#[test]
fn what_a_killed_run_has_added_lasts_once_another_finds_nothing_to_do() {
    let (fixture, _) = repository();
    let faulty = Arc::new(FaultyStore::new(fixture.copy().store));
    let repo = fixture.reopen(faulty.clone());
    let before = faulty.count(crate::store::faulty::Op::Sync);
    assert!(run(&repo, None).is_idle());
    assert_eq!(faulty.count(crate::store::faulty::Op::Sync), before + 1);
}
