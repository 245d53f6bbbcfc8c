//! What looks wrong displaces nothing: sudden shrinks, and clocks.

use super::*;

#[test]
fn a_sudden_shrink_holds_what_it_would_displace() {
    let day = |n: u64| taken(n, at("2026-11-01T01:00:00") + n as i64 * DAY);
    let mut all: Vec<Candidate> = (1..=7).map(day).collect();
    all[5].size = 10;
    all[6].size = 499;
    let two = policy(&[keep(Every::Day, 2)]);
    let outcome = judged(&all, &two);
    // The two newest whole ones, as if the small ones were not there.
    assert_eq!(numbers(&outcome), [4, 5, 6, 7]);
    assert_eq!(said(&outcome, 7), ["held: suddenly small"]);
    let [guard] = &outcome.guards[..] else { panic!("{outcome:?}") };
    assert_eq!(
        (guard.suspicion, &guard.suspects[..], outcome.held),
        (Suspicion::Shrunken, &[all[5].id, all[6].id][..], 2)
    );
    assert_eq!(kept(&all, &Policy { despite_shrink: true, ..two.clone() }), [6, 7]);
    // Exactly half is no shrink, and neither is a small one among others.
    all[6].size = 500;
    let outcome = judged(&all, &two);
    assert_eq!((numbers(&outcome), outcome.guards), (vec![6, 7], vec![]));
    // An incomplete one is small by nature.
    all[6] = Candidate { complete: false, size: 1, ..day(7) };
    all[5].size = 1000;
    assert_eq!(kept(&all, &two), [5, 6, 7]);
}

#[test]
fn a_guard_that_holds_nothing_is_silent() {
    let mut all = series(&["2026-11-18T01:00:00", "2026-11-19T01:00:00"]);
    all[1].size = 1;
    let outcome = judged(&all, &policy(&[keep(Every::Snapshot, 5)]));
    assert_eq!((numbers(&outcome), outcome.guards, outcome.held), (vec![1, 2], vec![], 0));
}

#[test]
fn times_that_cannot_be_right_displace_nothing() {
    let one = policy(&[keep(Every::Day, 1)]);
    // A clock that ran ahead, and was then put right.
    let ahead = series(&["2026-11-18T01:00:00", "2036-11-19T01:00:00", "2026-11-20T01:00:00"]);
    let outcome = judged(&ahead, &one);
    assert_eq!((numbers(&outcome), outcome.guards[0].suspicion), (vec![2, 3], Suspicion::Future));
    assert_eq!(kept(&ahead, &Policy { despite_clock: true, ..one.clone() }), [3]);
    // One that fell back to 1970 for a day, in the middle and at the end.
    let back = series(&["2026-11-17T01:00:00", "1970-01-01T01:00:00", "2026-11-19T01:00:00", "2026-11-20T01:00:00"]);
    let outcome = judged(&back, &one);
    assert_eq!((numbers(&outcome), said(&outcome, 2)), (vec![2, 4], vec!["held: its time runs backwards".to_owned()]));
    let newest = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00", "1970-01-01T00:00:00"]);
    assert_eq!(kept(&newest, &one), [2, 3]);
    assert_eq!(kept(&newest, &policy(&[within(Every::Snapshot, DAY)])), [1, 2, 3]);
    // Clocks of two machines are never quite the same.
    let mut near = series(&["2026-11-20T01:00:00", "2026-11-21T12:59:59"]);
    assert_eq!(judged(&near, &one).guards, []);
    near[1].time += 1;
    assert_eq!(judged(&near, &one).guards, []);
    near[1].time += 1;
    assert_eq!((kept(&near, &one), judged(&near, &one).guards[0].suspicion), (vec![1, 2], Suspicion::Future));
}

#[test]
fn a_clock_that_stands_still_runs_as_it_should() {
    let all = series(&["2026-11-17T01:00:00", "2026-11-17T01:00:00", "2026-11-17T01:00:00"]);
    let outcome = judged(&all, &policy(&[keep(Every::Snapshot, 1)]));
    assert_eq!((numbers(&outcome), outcome.held), (vec![3], 0));
}

#[test]
fn times_that_no_calendar_has_do_no_harm() {
    let mut all = vec![taken(1, i64::MIN), taken(2, 0), taken(3, i64::MAX)];
    all[1].size = u64::MAX;
    for every in [Every::Snapshot, Every::Hour, Every::Day, Every::Week, Every::Month, Every::Year] {
        for reach in [Reach::Count(u64::MAX), Reach::Within(u64::MAX), Reach::Within(1)] {
            let free = Policy { despite_clock: true, despite_shrink: true, ..policy(&[Rule { every, reach }]) };
            assert!(kept(&all, &free).contains(&3));
            assert!(kept(&all, &policy(&[Rule { every, reach }])).contains(&3));
        }
    }
    // The calendar's first year and its last.
    let free = Policy { despite_clock: true, despite_shrink: true, ..policy(&[keep(Every::Year, 9)]) };
    let period = |verdict: &Verdict| match &verdict.keep[..] {
        [.., Reason::Rule { period, .. }] => period.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(judged(&all, &free).verdicts.iter().map(period).collect::<Vec<_>>(), ["-9999", "1970", "9999"]);
}
