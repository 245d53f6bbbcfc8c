//! What the rules mean, said another way: not by walking, but by what is true of a snapshot that is kept.

use super::*;
use jiff::Timestamp;
use proptest::prelude::*;

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
