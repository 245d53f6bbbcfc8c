mod crashes;
mod forgetting;
mod graves;
mod marks;
mod policy;
mod proofs;
mod rollback;

use super::{policy::*, *};
use crate::{
    error::{Error, Result},
    hash,
    id::{SeriesTag, SnapshotId},
    model::{
        annotation::Change,
        codec,
        tombstone::{GoneHead, Tombstone},
    },
    monitor::Silent,
    object,
    ops::{
        annotate::annotate,
        check::{self, ReadData},
        fixture::{self, Fixture},
        snapshot::snapshot,
    },
    repo::{Listed, Repository, snapshots::object_name, tombstones},
    series::Address,
    store::{ObjectName, Store as _},
    world::{SeededEntropy, Time},
};
use jiff::tz::TimeZone;

const SERIES: &str = "h/-/s";
const DAY: i64 = 86400;

/// Snapshots of one file each, a day apart, of which the last is a day old.
fn days(fixture: &Fixture, series: &str, n: i64) -> Vec<Listed> {
    let content = |day: i64| fixture::file(format!("{series} day {day:08}").as_bytes());
    (0..n).map(|day| fixture.snapshot(series, 1_700_000_000 - (n - day) * DAY, vec![("f", content(day))])).collect()
}

fn last(n: u64) -> Policy {
    Policy { rules: vec![Rule { every: Every::Snapshot, reach: Reach::Count(n) }], ..Policy::default() }
}

fn actor() -> Actor {
    Actor { host: "host".into(), user: "user".into() }
}

fn plan(repo: &Repository, policy: &Policy) -> Plan {
    of_policy(repo, &[], policy, &TimeZone::UTC, &Silent).unwrap()
}

fn forget(repo: &Repository, policy: &Policy) -> Result<Report> {
    let plan = of_policy(repo, &[], policy, &TimeZone::UTC, &Silent)?;
    apply(repo, &plan, &actor(), &Silent)
}

fn by_id(repo: &Repository, ids: &[SnapshotId], force: bool) -> Result<Plan> {
    let addresses: Vec<Address> = ids.iter().map(|id| Address::parse(id.to_string().as_bytes()).unwrap()).collect();
    of_snapshots(repo, &addresses, &|_| Err(Error::usage("no dates here")), "asked for", force, &Silent)
}

fn forget_ids(repo: &Repository, ids: &[SnapshotId]) {
    apply(repo, &by_id(repo, ids, true).unwrap(), &actor(), &Silent).unwrap();
}

fn listed(repo: &Repository) -> Vec<SnapshotId> {
    repo.snapshots(None).unwrap().listed.iter().map(|listed| listed.id).collect()
}

fn ids(all: &[Listed]) -> Vec<SnapshotId> {
    all.iter().map(|listed| listed.id).collect()
}

fn findings(repo: &Repository) -> Vec<String> {
    let report = check::check(repo, ReadData::None, 1, &Silent).unwrap();
    report.findings.into_iter().map(|finding| finding.object).collect()
}

fn pin(on: bool) -> Vec<Change> {
    vec![Change::Pin { on, reason: None }]
}

fn tombstone(head: GoneHead) -> Tombstone {
    Tombstone { head, time: Time::from_sec(5), host: "h".into(), user: "u".into(), reason: "r".into() }
}

fn head_of(tag: SeriesTag, listed: &Listed) -> GoneHead {
    GoneHead { series: tag, snapshot: listed.id, head: listed.snapshot.head.clone() }
}
