//! What each rule keeps, and what is kept besides.

use super::*;

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
