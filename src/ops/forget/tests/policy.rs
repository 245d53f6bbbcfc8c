use crate::id::SnapshotId;
use crate::ops::forget::policy::*;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use proptest::prelude::*;

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

#[test]
fn each_rule_keeps_the_newest_of_its_periods() {
    let all = series(&[
        "2024-12-30T10:00:00",
        "2025-12-29T10:00:00",
        "2026-01-04T10:00:00",
        "2026-01-05T10:00:00",
        "2026-10-31T23:59:59",
        "2026-11-01T00:00:00",
        "2026-11-20T10:15:00",
        "2026-11-20T10:45:00",
        "2026-11-21T10:10:00",
        "2026-11-21T11:00:00",
    ]);
    for (rule, expected) in [
        (keep(Every::Snapshot, 3), &[8, 9, 10][..]),
        (keep(Every::Hour, 3), &[8, 9, 10]),
        (keep(Every::Day, 3), &[6, 8, 10]),
        (keep(Every::Month, 3), &[4, 5, 10]),
        (keep(Every::Year, 2), &[2, 10]),
        (within(Every::Snapshot, DAY), &[9, 10]),
        (within(Every::Snapshot, 25 * 3600), &[7, 8, 9, 10]),
        (within(Every::Day, 21 * DAY), &[5, 6, 8, 10]),
    ] {
        assert_eq!(kept(&all, &policy(&[rule])), expected, "{rule}");
    }
    // Weeks are ISO weeks: W44 ends with Sunday, 1 November; W01 of 2026 began in 2025.
    assert_eq!(kept(&all, &policy(&[keep(Every::Week, 4)])), [3, 4, 6, 10]);
    let outcome = judged(&all, &policy(&[keep(Every::Week, 5)]));
    assert_eq!(numbers(&outcome), [1, 3, 4, 6, 10]);
    assert!(matches!(&outcome.verdicts[2].keep[0], Reason::Rule { period, nth: 4, .. } if period == "2026-W01"));
}

#[test]
fn rules_add_up_and_say_so() {
    let all = series(&["2026-11-18T01:00:00", "2026-11-19T01:00:00", "2026-11-20T01:00:00", "2026-11-20T02:00:00"]);
    let outcome = judged(&all, &policy(&[keep(Every::Snapshot, 1), keep(Every::Day, 2)]));
    assert_eq!(numbers(&outcome), [2, 4]);
    assert_eq!(said(&outcome, 4), ["newest", "newest complete", "last 1/1", "daily 1/2"]);
    assert_eq!(said(&outcome, 2), ["daily 2/2"]);
    assert!(said(&outcome, 1).is_empty());
}

#[test]
fn the_oldest_is_kept_until_there_are_enough_periods() {
    let mut all = series(&["2026-11-18T01:00:00", "2026-11-18T02:00:00", "2026-11-19T01:00:00"]);
    let yearly = policy(&[keep(Every::Year, 2)]);
    let outcome = judged(&all, &yearly);
    assert_eq!((numbers(&outcome), said(&outcome, 1)), (vec![1, 3], vec!["oldest (yearly)".to_owned()]));
    // It is then the one that stands for its year.
    all[0].time = at("2025-11-18T01:00:00");
    assert_eq!(said(&judged(&all, &yearly), 1), ["yearly 2/2"]);
    all.insert(0, taken(0, at("2025-01-01T00:00:00")));
    assert_eq!(kept(&all, &yearly), [1, 3]);
}

#[test]
fn tags_and_pins_are_kept() {
    let mut all = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00", "2026-11-19T01:00:00", "2026-11-20T01:00:00"]);
    all[0].tags = vec!["release".into(), "x".into()];
    all[1].pinned = true;
    let tagged = Policy { tags: vec!["release".into()], ..policy(&[keep(Every::Snapshot, 1)]) };
    let outcome = judged(&all, &tagged);
    assert_eq!(numbers(&outcome), [1, 2, 4]);
    assert_eq!((said(&outcome, 1), said(&outcome, 2)), (vec!["tag release".into()], vec!["pinned".to_owned()]));
    assert_eq!(kept(&all, &Policy { tags: vec!["release".into()], ..Policy::default() }), [1, 2, 4]);
}

#[test]
fn incomplete_snapshots_displace_nothing() {
    let mut all = series(&[
        "2026-11-16T01:00:00",
        "2026-11-17T01:00:00",
        "2026-11-18T01:00:00",
        "2026-11-18T02:00:00",
        "2026-11-19T01:00:00",
        "2026-11-20T01:00:00",
        "2026-11-20T02:00:00",
    ]);
    for i in [3, 4, 6] {
        all[i].complete = false;
    }
    // Of the 18th the complete one; the 19th has none and does not count; the newest is kept for being the newest.
    let outcome = judged(&all, &policy(&[keep(Every::Day, 3)]));
    assert_eq!(numbers(&outcome), [2, 3, 5, 6, 7]);
    assert_eq!(said(&outcome, 5), ["daily 1/3 (incomplete)"]);
    assert_eq!(said(&outcome, 7), ["newest"]);
    assert_eq!(kept(&all, &policy(&[keep(Every::Snapshot, 2)])), [3, 5, 6, 7]);
    // A series that is never complete does not grow for ever.
    all.iter_mut().for_each(|c| c.complete = false);
    assert_eq!(kept(&all, &policy(&[keep(Every::Day, 2)])), [5, 7]);
}

#[test]
fn the_last_complete_one_is_kept_however_old_it_is() {
    let mut all = series(&["2020-01-01T00:00:00", "2026-11-18T01:00:00", "2026-11-19T01:00:00"]);
    all[1].complete = false;
    all[2].complete = false;
    let outcome = judged(&all, &policy(&[within(Every::Snapshot, 3600)]));
    assert_eq!((numbers(&outcome), said(&outcome, 1)), (vec![1, 3], vec!["newest complete".to_owned()]));
}

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
fn the_order_is_that_of_the_numbers() {
    let mut all = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00", "2026-11-19T01:00:00"]);
    all.reverse();
    assert_eq!(kept(&all, &policy(&[keep(Every::Snapshot, 2)])), [2, 3]);
    // Two that were taken at once and have one number, in either order of their ids.
    let mut twins = vec![
        taken(1, at("2026-11-17T01:00:00")),
        taken(3, at("2026-11-17T02:00:00")),
        taken(2, at("2026-11-17T03:00:00")),
    ];
    twins[1].sequence = 2;
    assert_eq!(judged(&twins, &policy(&[keep(Every::Snapshot, 1)])).guards, []);
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

#[test]
fn twins_stay_or_go_together_and_count_once() {
    let all = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00", "2026-11-19T01:00:00", "2026-11-20T01:00:00"]);
    for above in [true, false] {
        // Each has one; it is smaller, as something was taken out of it.
        let twins = all.iter().map(|c| Candidate { size: c.size / 4, ..twin(c, above) });
        let both: Vec<Candidate> = all.iter().cloned().chain(twins).collect();
        for rule in [keep(Every::Day, 2), keep(Every::Snapshot, 2), within(Every::Day, DAY), keep(Every::Year, 1)] {
            let (alone, outcome) = (judged(&all, &policy(&[rule])), judged(&both, &policy(&[rule])));
            assert_eq!((outcome.verdicts.len(), &outcome.guards[..], outcome.held), (8, &[][..], 0));
            for c in &both {
                let of = |outcome: &Outcome, id| outcome.verdicts.iter().find(|v| v.id == id).unwrap().keep.clone();
                let original = all.iter().find(|other| other.sequence == c.sequence).unwrap();
                assert_eq!(of(&outcome, c.id), of(&alone, original.id), "{rule} {c:?}");
            }
        }
        // A pin of one holds the other; a whole one makes the number whole.
        let mut both = both;
        both[0].pinned = true;
        both[7].complete = false;
        let outcome = judged(&both, &policy(&[keep(Every::Snapshot, 1)]));
        let kept = |c: &Candidate| outcome.verdicts.iter().any(|v| v.id == c.id && !v.keep.is_empty());
        assert_eq!(both.iter().map(kept).collect::<Vec<_>>(), [true, false, false, true, true, false, false, true]);
    }
}

/// Whatever of the two says it, and if both do.
#[test]
fn what_holds_one_twin_holds_the_other() {
    let all = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00"]);
    let tagged = Policy { tags: vec!["x".into()], ..policy(&[keep(Every::Snapshot, 1)]) };
    for above in [true, false] {
        for (first, second) in [(true, false), (false, true), (true, true), (false, false)] {
            let by = |pins: bool| {
                let mut both = vec![all[0].clone(), twin(&all[0], above), all[1].clone()];
                for (one, held) in both.iter_mut().zip([first, second]).filter(|(_, held)| *held) {
                    one.pinned |= pins && held;
                    one.tags.extend((!pins).then(|| "x".to_owned()));
                }
                let outcome = judged(&both, &tagged);
                outcome.verdicts.iter().map(|verdict| !verdict.keep.is_empty()).collect::<Vec<_>>()
            };
            let held = first || second;
            assert_eq!((by(true), by(false)), (vec![held, held, true], vec![held, held, true]), "{first} {second}");
        }
    }
}

/// However much there is in an incomplete one.
#[test]
fn an_incomplete_twin_does_not_hide_that_the_complete_one_is_small() {
    let mut all = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00", "2026-11-19T01:00:00", "2026-11-20T01:00:00"]);
    all[3].size = 100;
    for above in [true, false] {
        let large = Candidate { complete: false, size: 1000, ..twin(&all[3], above) };
        let both: Vec<Candidate> = all.iter().cloned().chain([large]).collect();
        let outcome = judged(&both, &policy(&[keep(Every::Snapshot, 1)]));
        assert_eq!(said(&outcome, 4), ["held: suddenly small"]);
        assert_eq!(said(&outcome, 3), ["newest", "newest complete", "last 1/1"]);
    }
}

#[test]
fn a_clock_that_stands_still_runs_as_it_should() {
    let all = series(&["2026-11-17T01:00:00", "2026-11-17T01:00:00", "2026-11-17T01:00:00"]);
    let outcome = judged(&all, &policy(&[keep(Every::Snapshot, 1)]));
    assert_eq!((numbers(&outcome), outcome.held), (vec![3], 0));
}

#[test]
fn periods_are_those_of_the_zone() {
    let all = series(&["2026-11-19T22:30:00", "2026-11-19T23:30:00", "2026-11-20T10:00:00"]);
    let in_zone = |hours| {
        let zone = TimeZone::fixed(jiff::tz::offset(hours));
        numbers(&judge(&all, &policy(&[keep(Every::Day, 2)]), &zone, at("2026-11-21T12:00:00")))
    };
    assert_eq!((in_zone(0), in_zone(1)), (vec![2, 3], vec![1, 3]));
    // The hour that comes twice when clocks are put back is two hours.
    let rule = "CET-1CEST,M3.5.0,M10.5.0/3";
    let zone = TimeZone::posix(rule).unwrap();
    let twice = series(&["2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-25T02:30:00"]);
    let outcome = judge(&twice, &policy(&[keep(Every::Hour, 3)]), &zone, at("2026-11-21T12:00:00"));
    assert_eq!(numbers(&outcome), [1, 2, 3]);
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

#[test]
fn no_rule_is_no_policy() {
    assert!(policy(&[]).is_empty() && policy(&[keep(Every::Day, 0)]).is_empty());
    assert!(!policy(&[keep(Every::Day, 0), keep(Every::Year, 1)]).is_empty());
    assert!(!Policy { tags: vec!["x".into()], ..Policy::default() }.is_empty());
    assert!(judged(&[], &policy(&[keep(Every::Day, 1)])).verdicts.is_empty());
    let text = policy(&[keep(Every::Snapshot, 3), within(Every::Snapshot, 2 * DAY), within(Every::Week, 14 * DAY)]);
    assert_eq!(text.to_string(), "last 3, within 2d, weekly within 2w");
}

#[test]
fn spans_are_written_in_the_largest_unit_that_fits() {
    for (seconds, text) in [
        (0, "0s"),
        (59, "59s"),
        (120, "2m"),
        (36 * 3600, "36h"),
        (3 * 86400, "3d"),
        (14 * 86400, "2w"),
        (365 * 86400, "1y"),
        (730 * 86400, "2y"),
        (366 * 86400, "366d"),
    ] {
        assert_eq!(span(seconds), text);
    }
}

/// One for each number, with all that is true of any of its twins.
fn collapsed(all: &[Candidate]) -> Vec<Candidate> {
    let firsts = all.iter().enumerate().filter(|(i, c)| all[..*i].iter().all(|before| before.sequence != c.sequence));
    let of = |(_, first): (usize, &Candidate)| {
        let twins = || all.iter().filter(|c| c.sequence == first.sequence);
        let complete = twins().any(|c| c.complete);
        let size = twins().filter(|c| c.complete == complete).map(|c| c.size).max().unwrap();
        Candidate { complete, size, pinned: twins().any(|c| c.pinned), ..first.clone() }
    };
    firsts.map(of).collect()
}

// What the rules mean, said another way: not by walking, but by what is true of a snapshot that is kept.

/// The calendar by arithmetic: days since 1970 to year, month, day (Howard Hinnant's algorithm).
fn civil(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (yoe + era * 400 + i64::from(m <= 2), m, d)
}

fn naive_period(every: Every, c: &Candidate) -> (i64, i64) {
    let day = c.time.div_euclid(DAY);
    let (year, month, _) = civil(day);
    match every {
        Every::Snapshot => (c.sequence as i64, 0),
        Every::Hour => (c.time.div_euclid(3600), 0),
        Every::Day => (day, 0),
        // 1970 began on a Thursday.
        Every::Week => ((day + 3).div_euclid(7), 0),
        Every::Month => (year, month),
        Every::Year => (year, 0),
    }
}

fn naive_keeps(all: &[Candidate], trusted: &[&Candidate], c: &Candidate, rule: Rule, now: i64) -> bool {
    let same = |a: &Candidate, b: &Candidate| naive_period(rule.every, a) == naive_period(rule.every, b);
    let newer = |a: &Candidate, b: &Candidate| a.sequence > b.sequence;
    let stands = |c: &Candidate| {
        let rivals = || trusted.iter().filter(|other| same(other, c));
        match c.complete {
            true => !rivals().any(|other| other.complete && newer(other, c)),
            false => !rivals().any(|other| other.complete || newer(other, c)),
        }
    };
    let newest_of = |c: &Candidate| trusted.iter().filter(|other| same(other, c)).map(|other| other.sequence).max();
    let ahead = |complete: bool| {
        let before =
            |other: &&&Candidate| other.complete == complete && stands(other) && newest_of(other) > newest_of(c);
        trusted.iter().filter(before).count() as u64
    };
    let newest = trusted.iter().max_by_key(|c| c.sequence);
    let reference = newest.map_or(now, |newest| newest.time.min(now));
    assert!(all.len() >= trusted.len());
    match rule.reach {
        Reach::Within(span) => stands(c) && c.time >= reference - span as i64,
        Reach::Count(n) => {
            let by_period = stands(c) && ahead(true) < n && (c.complete || ahead(false) < n);
            let wholes = trusted.iter().filter(|c| c.complete && stands(c)).count() as u64;
            let oldest = trusted.iter().filter(|c| c.complete).min_by_key(|c| c.sequence);
            let fills = rule.every != Every::Snapshot && wholes < n && oldest.is_some_and(|oldest| oldest.id == c.id);
            by_period || fills
        }
    }
}

/// The length of the longest run of times that never falls, by trying all.
fn longest_rise(times: &[i64]) -> usize {
    (0..1u32 << times.len())
        .map(|mask| {
            let run: Vec<i64> = (0..times.len()).filter(|i| mask >> i & 1 == 1).map(|i| times[i]).collect();
            if run.is_sorted() { run.len() } else { 0 }
        })
        .max()
        .unwrap_or(0)
}

fn suspicions_of(outcome: &Outcome) -> Vec<Vec<Suspicion>> {
    let of = |reason: &Reason| match reason {
        Reason::Suspect(suspicion) => Some(*suspicion),
        _ => None,
    };
    outcome.verdicts.iter().map(|verdict| verdict.keep.iter().filter_map(of).collect()).collect()
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let every =
        prop::sample::select(vec![Every::Snapshot, Every::Hour, Every::Day, Every::Week, Every::Month, Every::Year]);
    let reach = prop_oneof![(0u64..5).prop_map(Reach::Count), (0u64..4_000_000).prop_map(Reach::Within)];
    (every, reach).prop_map(|(every, reach)| Rule { every, reach })
}

prop_compose! {
    /// Snapshots whose steps in time are minutes to years, and sometimes go back.
    fn any_series()(
        start in -100_000_000i64..1_700_000_000,
        steps in prop::collection::vec(
            (prop_oneof![Just(600i64), Just(3600), Just(40_000), Just(86_400), Just(1_000_000), Just(20_000_000), -9_000_000i64..0],
             prop::bool::weighted(0.75), prop_oneof![4 => 900u64..1100, 1 => 0u64..600], prop::bool::weighted(0.1),
             prop::option::weighted(0.2, (any::<(bool, bool)>(), 0u64..1100))),
            0..11,
        ),
    ) -> Vec<Candidate> {
        let mut time = start;
        steps.into_iter().zip(1..).flat_map(|((step, complete, size, pinned, other), n)| {
            time += step;
            let one = Candidate { complete, size, pinned, ..taken(n, time) };
            let other = other.map(|((above, complete), size)| Candidate { complete, size, pinned: false, ..twin(&one, above) });
            [Some(one), other].into_iter().flatten().collect::<Vec<_>>()
        }).collect()
    }
}

proptest! {
    #[test]
    fn the_walk_keeps_what_the_definition_says(
        all in any_series(), rules in prop::collection::vec(any_rule(), 1..4),
        free in any::<(bool, bool)>(), back in 0i64..90_000_000,
    ) {
        let now = all.last().map_or(0, |c| c.time) + 3600 - if back > 45_000_000 { back - 45_000_000 } else { 0 };
        let policy = Policy { despite_shrink: free.0, despite_clock: free.1, ..policy(&rules) };
        let with_twins = judge(&all, &policy, &TimeZone::UTC, now);
        let of = |id| with_twins.verdicts.iter().find(|verdict| verdict.id == id).unwrap();
        let twins = all;
        let all = collapsed(&twins);
        for c in &twins {
            let first = all.iter().find(|first| first.sequence == c.sequence).unwrap();
            prop_assert_eq!(&of(c.id).keep, &of(first.id).keep);
        }
        prop_assert_eq!(with_twins.verdicts.len(), twins.len());
        let outcome = Outcome { verdicts: all.iter().map(|c| of(c.id).clone()).collect(), ..Outcome::default() };
        let suspicions = suspicions_of(&outcome);
        let trusted: Vec<&Candidate> =
            all.iter().zip(&suspicions).filter(|(_, of)| of.is_empty()).map(|(c, _)| c).collect();
        let newest = trusted.last().map(|c| c.sequence);
        let last_complete = trusted.iter().rev().find(|c| c.complete).map(|c| c.sequence);
        for ((c, verdict), suspected) in all.iter().zip(&outcome.verdicts).zip(&suspicions) {
            let by_rules = suspected.is_empty() && rules.iter().any(|rule| naive_keeps(&all, &trusted, c, *rule, now));
            let for_ever = c.pinned || Some(c.sequence) == newest || Some(c.sequence) == last_complete;
            prop_assert_eq!(!verdict.keep.is_empty(), by_rules || for_ever || !suspected.is_empty(), "{:?} {:?}", c, verdict);
        }
        // The guards, said another way.
        for (c, of) in all.iter().zip(&suspicions) {
            prop_assert_eq!(of.contains(&Suspicion::Future), !free.1 && c.time > now + 3600);
            prop_assert!(!free.1 || !of.contains(&Suspicion::Backwards));
            prop_assert!(!free.0 || !of.contains(&Suspicion::Shrunken));
        }
        if !free.1 {
            let past: Vec<(i64, bool)> = all.iter().zip(&suspicions).filter(|(c, _)| c.time <= now + 3600)
                .map(|(c, of)| (c.time, !of.contains(&Suspicion::Backwards))).collect();
            let right: Vec<i64> = past.iter().filter(|(_, right)| *right).map(|(time, _)| *time).collect();
            prop_assert!(right.is_sorted());
            prop_assert_eq!(right.len(), longest_rise(&past.iter().map(|(time, _)| *time).collect::<Vec<_>>()));
        }
        if !free.0 {
            let mut sizes: Vec<u64> = all.iter().filter(|c| c.complete).map(|c| c.size).collect();
            sizes.sort_unstable();
            let n = sizes.len();
            let median = if n == 0 { 0.0 } else { (sizes[(n - 1) / 2] + sizes[n / 2]) as f64 / 2.0 };
            let big = all.iter().rposition(|c| c.complete && c.size as f64 >= median / 2.0);
            for (i, (c, of)) in all.iter().zip(&suspicions).enumerate() {
                let small = c.complete && big.is_none_or(|big| i > big);
                prop_assert_eq!(of.contains(&Suspicion::Shrunken), small);
            }
        }
    }

    #[test]
    fn the_newest_complete_one_is_never_forgotten(all in any_series(), rule in any_rule(), now in any::<i64>(), free in any::<(bool, bool)>()) {
        let policy = Policy { despite_shrink: free.0, despite_clock: free.1, ..policy(&[rule]) };
        let outcome = judge(&all, &policy, &TimeZone::UTC, now);
        if let Some(last) = all.iter().rev().find(|c| c.complete) {
            prop_assert!(numbers(&outcome).contains(&last.sequence));
        }
        prop_assert_eq!(outcome.guards.is_empty(), outcome.held == 0);
    }

    #[test]
    fn the_calendar_of_the_test_is_the_worlds(day in -30_000i64..60_000) {
        let date = Timestamp::from_second(day * DAY).unwrap().to_zoned(TimeZone::UTC).date();
        prop_assert_eq!(civil(day), (i64::from(date.year()), i64::from(date.month()), i64::from(date.day())));
    }
}
