//! Which snapshots a policy keeps, and why.

mod definition;
mod guards;
mod rules;
mod twins;

use crate::{id::SnapshotId, ops::forget::policy::*};
use jiff::{civil::DateTime, tz::TimeZone};

const DAY: i64 = 86400;

/// Seconds of a time in UTC.
fn at(text: &str) -> i64 {
    let time: DateTime = text.parse().unwrap();
    time.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second()
}

/// The n-th snapshot of a series, complete and of one size.
fn taken(n: u64, time: i64) -> Candidate {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Candidate { id: SnapshotId(id), sequence: n, time, complete: true, size: 1000, tags: vec![], pinned: false }
}

fn series(times: &[&str]) -> Vec<Candidate> {
    times.iter().zip(1..).map(|(time, n)| taken(n, at(time))).collect()
}

fn keep(every: Every, n: u64) -> Rule {
    Rule { every, reach: Reach::Count(n) }
}

fn within(every: Every, span: i64) -> Rule {
    Rule { every, reach: Reach::Within(span as u64) }
}

fn policy(rules: &[Rule]) -> Policy {
    Policy { rules: rules.to_vec(), ..Policy::default() }
}

fn judged(all: &[Candidate], policy: &Policy) -> Outcome {
    judge(all, policy, &TimeZone::UTC, at("2026-11-21T12:00:00"))
}

/// Numbers of the kept.
fn kept(all: &[Candidate], policy: &Policy) -> Vec<u64> {
    numbers(&judged(all, policy))
}

fn numbers(outcome: &Outcome) -> Vec<u64> {
    let number = |verdict: &Verdict| u64::from_be_bytes(verdict.id.0[..8].try_into().unwrap());
    outcome.verdicts.iter().filter(|verdict| !verdict.keep.is_empty()).map(number).collect()
}

fn said(outcome: &Outcome, number: u64) -> Vec<String> {
    let id = taken(number, 0).id;
    let verdict = outcome.verdicts.iter().find(|verdict| verdict.id == id).unwrap();
    verdict.keep.iter().map(Reason::to_string).collect()
}

/// Another of the same number and time, with an id above or below.
fn twin(of: &Candidate, above: bool) -> Candidate {
    let mut id = of.id.0;
    id[31] = 1;
    if !above {
        let number = of.sequence.to_be_bytes();
        assert_eq!(id[..8], number, "one that has no twin yet");
        id[..8].copy_from_slice(&(of.sequence - 1).to_be_bytes());
        id[31] = 2;
    }
    Candidate { id: SnapshotId(id), ..of.clone() }
}
