use super::*;
use crate::{
    model::snapshot::Source,
    monitor::Silent,
    ops::{
        check::{self, ReadData},
        fixture::{self, Fixture},
        forget::policy::{Every, Policy, Reach, Rule},
        snapshot::snapshot,
    },
    store::faulty::{Fault, FaultyStore, Op},
};
use std::{io::ErrorKind, sync::Arc};

const OLD: &str = "alpha/-/wiki";
const NEW: &str = "beta/vm1/wiki";

fn series(text: &str) -> Series {
    Series::parse(text).unwrap()
}

fn actor() -> Actor {
    Actor { host: "desk".into(), user: "ann".into() }
}

fn go(repo: &Repository, from: &str, to: &str) -> Result<Report> {
    let (from, to, actor) = (series(from), series(to), actor());
    relocate(repo, &Request { from: &from, to: &to, actor: &actor, dry_run: false }, &Silent)
}

fn night(fixture: &Fixture, series: &str, night: i64) -> Listed {
    let files = vec![
        ("same", fixture::file(&fixture::noise(9_000, 1))),
        ("new", fixture::file(&fixture::noise(3_000, 100 + night as u64))),
    ];
    fixture.snapshot(series, 1_000 * night, vec![("app", fixture::dir(files))])
}

fn pin(repo: &Repository, listed: &Listed) {
    let changes = [Change::Tag { tag: "release".into(), on: true }, Change::Pin { on: true, reason: Some("x".into()) }];
    annotate(repo, std::slice::from_ref(listed), &changes, &actor(), &Silent).unwrap();
}

fn listed(repo: &Repository, text: &str) -> Vec<Listed> {
    repo.snapshots(Some(&series(text))).unwrap().listed
}

fn sources(all: &[Listed]) -> Vec<Vec<Source>> {
    all.iter().map(|listed| listed.snapshot.sources.clone()).collect()
}

fn numbers(all: &[Listed]) -> Vec<u64> {
    all.iter().map(|listed| listed.snapshot.head.sequence).collect()
}

fn findings(repo: &Repository) -> Vec<String> {
    let report = check::check(repo, ReadData::Percent(100.0), 1, &Silent).unwrap();
    report.findings.into_iter().map(|finding| finding.object).collect()
}

fn last(n: u64) -> Policy {
    Policy { rules: vec![Rule { every: Every::Snapshot, reach: Reach::Count(n) }], ..Policy::default() }
}

#[test]
fn a_series_goes_on_under_its_new_name() {
    let fixture = Fixture::new();
    let nights: Vec<Listed> = (1..=3).map(|n| night(&fixture, OLD, n)).collect();
    pin(&fixture.repo, &nights[0]);
    let packs = fixture.names("packs/");
    let maintainer = fixture.as_maintainer();
    let report = go(&maintainer, OLD, NEW).unwrap();
    assert_eq!((report.moved.len(), report.reordered), (3, 0));
    assert_eq!(fixture.names("packs/"), packs, "nothing but snapshots is written");
    assert!(listed(&fixture.repo, OLD).is_empty());
    let there = listed(&fixture.repo, NEW);
    assert_eq!((numbers(&there), sources(&there)), (vec![1, 2, 3], sources(&nights)));
    assert_eq!(there[2].snapshot.head.previous, Some(there[1].id));
    assert_eq!(there[0].snapshot.head.previous, None);
    let marks = fixture.repo.annotations(None).unwrap().of(&fixture.tag(NEW), &there[0].id);
    assert_eq!((marks.tags_with(&[]), marks.pin.is_some()), (vec!["release".to_owned()], true));
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
    assert_eq!(follow(&fixture.repo, &series(OLD)).unwrap(), Some(series(NEW)));
    // The next night counts on, and rules see one series.
    let fourth = night(&fixture, NEW, 4);
    assert_eq!((fourth.snapshot.head.sequence, fourth.snapshot.head.previous), (4, Some(there[2].id)));
    let plan = forget::of_policy(&fixture.repo, &[], &last(2), &jiff::tz::TimeZone::UTC, &Silent).unwrap();
    assert_eq!(plan.doomed.iter().map(|doomed| doomed.head.snapshot).collect::<Vec<_>>(), [there[1].id]);
    assert!(matches!(go(&maintainer, OLD, NEW), Err(Error::Usage { what }) if what.contains("was moved to beta")));
}

#[test]
fn the_next_snapshot_reads_no_file_that_has_not_changed() {
    let fixture = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page"), fixture::noise(5_000, 3)).unwrap();
    let take = |to: &str| {
        let sources = vec![fixture::path("app", folder.path())];
        snapshot(&fixture.repo, fixture::request(to, sources), &Silent).unwrap()
    };
    // Files that were just written are read again: their times may not tell.
    filetime(&folder.path().join("page"));
    take(OLD);
    go(&fixture.repo, OLD, NEW).unwrap();
    let packs = fixture.names("packs/");
    take(NEW);
    let there = listed(&fixture.repo, NEW);
    assert_eq!(numbers(&there), [1, 2]);
    assert_eq!(there[1].snapshot.work.bytes_new, 0);
    assert_eq!(fixture.names("packs/"), packs);
}

fn filetime(path: &std::path::Path) {
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
}

#[test]
fn nights_that_the_new_name_had_too_early_stand_behind() {
    let fixture = Fixture::new();
    // Something else had that name long ago.
    night(&fixture, NEW, 1);
    let mut nights: Vec<Listed> = (2..=4).map(|n| night(&fixture, OLD, n)).collect();
    nights.extend((5..=6).map(|n| night(&fixture, NEW, n)));
    let report = go(&fixture.repo, OLD, NEW).unwrap();
    assert_eq!((report.moved.len(), report.reordered), (5, 2));
    let there = listed(&fixture.repo, NEW);
    assert_eq!(numbers(&there), [1, 4, 5, 6, 7, 8]);
    assert_eq!(sources(&there[1..]), sources(&nights));
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
    assert_eq!(follow(&fixture.repo, &series(NEW)).unwrap(), None, "it is still there");
}

#[test]
fn a_run_that_ends_at_any_step_is_ended_by_the_next() {
    for early in [false, true] {
        let build = || {
            let fixture = Fixture::new();
            let mut nights: Vec<Listed> = (1..=3).map(|n| night(&fixture, OLD, n)).collect();
            if early {
                nights.push(night(&fixture, NEW, 4));
            }
            pin(&fixture.repo, &nights[1]);
            (fixture, nights)
        };
        let writes = [Op::Finish, Op::Remove, Op::Sync];
        let counts = {
            let (fixture, _) = build();
            let faulty = Arc::new(FaultyStore::new(fixture.store.clone()));
            let repo = fixture.reopen(faulty.clone());
            let before = writes.map(|op| faulty.count(op));
            go(&repo, OLD, NEW).unwrap();
            [0, 1, 2].map(|i| faulty.count(writes[i]) - before[i])
        };
        assert!(counts.iter().all(|count| *count > 4), "{counts:?}");
        for (op, count) in writes.into_iter().zip(counts) {
            for nth in 1..=count {
                let (fixture, nights) = build();
                let faulty = Arc::new(FaultyStore::new(fixture.store.clone()));
                let repo = fixture.reopen(faulty.clone());
                faulty.plan(Fault::on(op, nth, ErrorKind::Other).lasting());
                let _ = go(&repo, OLD, NEW);
                drop(repo);
                // Each night is in one of the series at every moment.
                let all = [listed(&fixture.repo, OLD), listed(&fixture.repo, NEW)].concat();
                let held = sources(&all);
                assert!(sources(&nights).iter().all(|night| held.contains(night)), "{op:?} {nth}");
                assert_eq!(findings(&fixture.repo), Vec::<String>::new(), "{op:?} {nth}");
                if !listed(&fixture.repo, OLD).is_empty() {
                    go(&fixture.repo, OLD, NEW).unwrap();
                }
                let there = listed(&fixture.repo, NEW);
                let surplus = there.len() - nights.len();
                // Of nights that both had, one may be there twice when the run ended between the two series.
                assert!(surplus == 0 || early, "{op:?} {nth}: {surplus}");
                assert!(sources(&nights).iter().all(|night| sources(&there).contains(night)));
                let annotations = fixture.repo.annotations(None).unwrap();
                let pinned = there.iter().filter(|one| annotations.of(&fixture.tag(NEW), &one.id).pin.is_some());
                assert_eq!(sources(&pinned.cloned().collect::<Vec<_>>()), sources(&nights[1..2]), "{op:?} {nth}");
                assert_eq!(findings(&fixture.repo), Vec::<String>::new(), "{op:?} {nth}");
            }
        }
    }
}

#[test]
fn who_may_not_forget_may_not_move() {
    let fixture = Fixture::new();
    night(&fixture, OLD, 1);
    let writer = fixture.as_writer();
    assert!(matches!(go(&writer, OLD, NEW), Err(Error::NotPermitted { .. })));
    assert_eq!((fixture.names("snapshots/").len(), fixture.names("gone/").len()), (1, 0));
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_done() {
    let fixture = Fixture::new();
    let one = night(&fixture, OLD, 1);
    night(&fixture, OLD, 2);
    assert!(matches!(go(&fixture.repo, OLD, OLD), Err(Error::Usage { .. })));
    assert!(matches!(go(&fixture.repo, NEW, OLD), Err(Error::Usage { .. })));
    assert!(matches!(go(&fixture.repo, OLD, &format!("a/b/{}", ["x"; 510].join("/"))), Err(Error::Usage { .. })));
    let before = fixture.store.names();
    let (from, to, actor) = (series(OLD), series(NEW), actor());
    let dry = Request { from: &from, to: &to, actor: &actor, dry_run: true };
    assert_eq!(relocate(&fixture.repo, &dry, &Silent).unwrap().moved.len(), 2);
    assert_eq!(fixture.store.names(), before);
    fixture.store.tamper(&fixture.object(OLD, &one.id), |bytes| bytes[400] ^= 1);
    assert!(matches!(go(&fixture.repo, OLD, NEW), Err(Error::Corrupt { what, .. }) if what.contains("left behind")));
    assert_eq!(fixture.store.names().len(), before.len());
}

#[test]
fn there_and_back_again_is_no_loop() {
    let fixture = Fixture::new();
    let nights: Vec<Listed> = (1..=2).map(|n| night(&fixture, OLD, n)).collect();
    go(&fixture.repo, OLD, NEW).unwrap();
    go(&fixture.repo, NEW, "gamma/-/wiki").unwrap();
    assert_eq!(follow(&fixture.repo, &series(OLD)).unwrap(), Some(series("gamma/-/wiki")));
    go(&fixture.repo, "gamma/-/wiki", OLD).unwrap();
    let there = listed(&fixture.repo, OLD);
    assert_eq!((numbers(&there), sources(&there)), (vec![3, 4], sources(&nights)));
    assert_eq!(follow(&fixture.repo, &series(NEW)).unwrap(), Some(series(OLD)));
    assert_eq!(follow(&fixture.repo, &series(OLD)).unwrap(), None);
    assert_eq!(findings(&fixture.repo), Vec::<String>::new());
    // One whose tombstones lead in a circle leads nowhere.
    let ids = there.iter().map(|listed| (fixture.tag(OLD), listed.id)).collect();
    let plan = forget::of_ids(&fixture.repo, ids, &format!("{REASON}{NEW}"), true, &Silent).unwrap();
    forget::apply(&fixture.repo, &plan, &actor(), &Silent).unwrap();
    assert_eq!(follow(&fixture.repo, &series(OLD)).unwrap(), None);
}

#[test]
fn a_tombstone_that_is_damaged_leads_nowhere() {
    let fixture = Fixture::new();
    night(&fixture, OLD, 1);
    go(&fixture.repo, OLD, NEW).unwrap();
    let grave = fixture.names("gone/").remove(0);
    fixture.store.tamper(&grave, |bytes| bytes[300] ^= 1);
    assert_eq!(moved_to(&fixture.repo, &series(OLD)).unwrap(), None);
}
