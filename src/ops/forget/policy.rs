//! Which snapshots of a series are worth keeping: rules in, reasons out. No IO, no clock.
//!
//! **Order** is that of the sequence numbers, never of the times. A **rule** cuts the series into periods (hours, days, ISO weeks,
//! months, years of a time zone) and keeps the newest snapshot of each of the newest periods: of so many, or of those that begin within
//! a span before the newest snapshot (or before now, when that is earlier). Where a rule finds fewer periods than it is to keep, it keeps
//! the oldest snapshot too, so that a yearly rule has something to keep while the first year lasts.
//!
//! **Incomplete** snapshots displace nothing: the newest complete one stands for a period. A period that has none is represented by its
//! newest incomplete one, which does not count; but no more such periods are kept than whole ones may be, or a series
//! that is never complete would grow for ever.
//!
//! Kept whatever the rules say: what is pinned or has a tag that is to be kept, the newest snapshot, and the newest complete one.
//!
//! **Twins** are snapshots of one number and one time: what was made in the place of another, and that other. They are kept or forgotten
//! together, and count once, or one would displace the other while that one is being forgotten for its sake.
//!
//! **Suspects** are kept and displace nothing: the rules are applied as if they were not there. See [`Suspicion`].

use crate::id::SnapshotId;
use jiff::{Timestamp, Zoned, tz::TimeZone};
use std::{cmp::Reverse, collections::HashMap, fmt};

/// Clocks of two machines may differ by so many seconds without a time being called one of the future.
const CLOCK_TOLERANCE: i64 = 3600;

/// What a rule keeps one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Each snapshot.
    Snapshot,
    /// Each hour.
    Hour,
    /// Each day.
    Day,
    /// Each ISO week, which begins on Monday.
    Week,
    /// Each month.
    Month,
    /// Each year.
    Year,
}

impl Every {
    /// The rule's name, as in `--keep-daily`.
    pub fn name(self) -> &'static str {
        match self {
            Every::Snapshot => "last",
            Every::Hour => "hourly",
            Every::Day => "daily",
            Every::Week => "weekly",
            Every::Month => "monthly",
            Every::Year => "yearly",
        }
    }
}

/// How far back a rule reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// So many periods.
    Count(u64),
    /// So many seconds before the newest snapshot.
    Within(u64),
}

/// One of `--keep-…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What it keeps one of.
    pub every: Every,
    /// How far back.
    pub reach: Reach,
}

/// What the user wants to keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// What any of these keeps is kept.
    pub rules: Vec<Rule>,
    /// Snapshots with any of these tags are kept.
    pub tags: Vec<String>,
    /// A sudden shrink is no reason to hold anything.
    pub despite_shrink: bool,
    /// Times that cannot be right are no reason to hold anything.
    pub despite_clock: bool,
}

impl Policy {
    /// True when it keeps nothing by itself, which nobody can want.
    pub fn is_empty(&self) -> bool {
        let empty = |rule: &Rule| matches!(rule.reach, Reach::Count(0) | Reach::Within(0));
        self.tags.is_empty() && self.rules.iter().all(empty)
    }
}

/// What the rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its number in the series.
    pub sequence: u64,
    /// When it was begun, in seconds since 1970.
    pub time: i64,
    /// All of its sources were read.
    pub complete: bool,
    /// Bytes of its files.
    pub size: u64,
    /// Its tags.
    pub tags: Vec<String>,
    /// It is never to be forgotten.
    pub pinned: bool,
}

/// Why a snapshot is not trusted to displace others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// It is one of the newest complete snapshots, and all from there on hold less than half of the median of the complete ones: data
    /// was lost, or a disk was not mounted.
    Shrunken,
    /// Its time lies more than an hour in the future.
    Future,
    /// Its time contradicts the order of the numbers: without it, and as few others as possible, times rise with the numbers.
    Backwards,
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is pinned, or may be.
    Pinned,
    /// It has this tag.
    Tag(String),
    /// It is the newest of the series.
    Newest,
    /// It is the newest complete one.
    LastComplete,
    /// It stands for a period.
    Rule {
        /// The rule.
        rule: Rule,
        /// The period, as people write it; empty where each snapshot is one.
        period: String,
        /// Which of the periods it is, counted from the newest; of an incomplete snapshot, which of those that have no other.
        nth: u64,
        /// False for a period that has only incomplete ones.
        complete: bool,
    },
    /// It is the oldest, and this rule has found fewer periods than it is to keep.
    Oldest(Rule),
    /// It displaces nothing, and is kept until somebody has looked at it.
    Suspect(Suspicion),
}

/// A span of time as it is typed: `30d`, `36h`.
pub fn span(seconds: u64) -> String {
    let units = [(365 * 86400, 'y'), (7 * 86400, 'w'), (86400, 'd'), (3600, 'h'), (60, 'm')];
    let unit = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    let (unit, letter) = unit.unwrap_or((1, 's'));
    format!("{}{letter}", seconds / unit)
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.every, self.reach) {
            (every, Reach::Count(n)) => write!(f, "{} {n}", every.name()),
            (Every::Snapshot, Reach::Within(s)) => write!(f, "within {}", span(s)),
            (every, Reach::Within(s)) => write!(f, "{} within {}", every.name(), span(s)),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.rules.iter().map(Rule::to_string);
        let tags = self.tags.iter().map(|tag| format!("tag {tag}"));
        f.write_str(&rules.chain(tags).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Suspicion::Shrunken => "held: suddenly small",
            Suspicion::Future => "held: its time is in the future",
            Suspicion::Backwards => "held: its time runs backwards",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Pinned => f.write_str("pinned"),
            Reason::Tag(tag) => write!(f, "tag {tag}"),
            Reason::Newest => f.write_str("newest"),
            Reason::LastComplete => f.write_str("newest complete"),
            Reason::Rule { rule, nth, complete, .. } => {
                match (rule.every, rule.reach) {
                    (every, Reach::Count(n)) => write!(f, "{} {nth}/{n}", every.name())?,
                    _ => write!(f, "{rule}")?,
                }
                if *complete { Ok(()) } else { f.write_str(" (incomplete)") }
            }
            Reason::Oldest(rule) => write!(f, "oldest ({})", rule.every.name()),
            Reason::Suspect(suspicion) => suspicion.fmt(f),
        }
    }
}

/// What becomes of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The snapshot.
    pub id: SnapshotId,
    /// Why it is kept; it is forgotten when nothing keeps it.
    pub keep: Vec<Reason>,
}

/// A suspicion that keeps snapshots from being forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Why.
    pub suspicion: Suspicion,
    /// The suspects, oldest first.
    pub suspects: Vec<SnapshotId>,
}

/// What becomes of a series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// One for each candidate, oldest first.
    pub verdicts: Vec<Verdict>,
    /// Suspicions, when they hold anything.
    pub guards: Vec<Guard>,
    /// Snapshots, suspects and older ones, that would be forgotten if nothing were suspected.
    pub held: u64,
}

/// Judges the snapshots of one series. Periods are those of `zone`; `now` is in seconds since 1970.
pub fn judge(candidates: &[Candidate], policy: &Policy, zone: &TimeZone, now: i64) -> Outcome {
    let mut order: Vec<&Candidate> = candidates.iter().collect();
    // Two writers at once may give one number twice; their times need not be in the order of the ids.
    order.sort_by_key(|c| (c.sequence, c.time, c.id));
    let groups: Vec<&[&Candidate]> = order.chunk_by(|a, b| (a.sequence, a.time) == (b.sequence, b.time)).collect();
    let merged: Vec<Candidate> = groups.iter().filter_map(|twins| merge(twins)).collect();
    judge_ordered(&merged.iter().collect::<Vec<_>>(), &groups, policy, zone, now)
}

/// All that is true of any of these twins.
fn merge(twins: &[&Candidate]) -> Option<Candidate> {
    let (first, others) = twins.split_first()?;
    let mut merged = (*first).clone();
    for other in others {
        // What an incomplete one holds says nothing of a complete one.
        match (merged.complete, other.complete) {
            (true, false) => {}
            (false, true) => merged.size = other.size,
            _ => merged.size = merged.size.max(other.size),
        }
        merged.complete |= other.complete;
        merged.pinned |= other.pinned;
        merged.tags.extend(other.tags.iter().cloned());
    }
    Some(merged)
}

/// `order` has one for each of the `groups`.
fn judge_ordered(
    order: &[&Candidate],
    groups: &[&[&Candidate]],
    policy: &Policy,
    zone: &TimeZone,
    now: i64,
) -> Outcome {
    let weigh = |policy: &Policy| {
        let suspicions = suspicions(order, policy, now);
        let keep = reasons(order, &suspicions, policy, zone, now);
        (suspicions, keep)
    };
    let (suspicions, keep) = weigh(policy);
    let (_, lenient) = weigh(&Policy { despite_shrink: true, despite_clock: true, ..policy.clone() });
    let judged = keep.iter().zip(&lenient).zip(groups);
    let held = judged.filter(|((kept, lenient), _)| !kept.is_empty() && lenient.is_empty());
    let held: usize = held.map(|(_, twins)| twins.len()).sum();
    let guard = |suspicion: Suspicion| {
        let suspects = groups.iter().zip(&suspicions).filter(|(_, of)| of.contains(&suspicion));
        Guard { suspicion, suspects: suspects.flat_map(|(twins, _)| twins.iter().map(|c| c.id)).collect() }
    };
    let mut guards: Vec<Guard> =
        [Suspicion::Shrunken, Suspicion::Future, Suspicion::Backwards].into_iter().map(guard).collect();
    guards.retain(|guard| held > 0 && !guard.suspects.is_empty());
    let verdict = |(twins, keep): (&&[&Candidate], Vec<Reason>)| -> Vec<Verdict> {
        twins.iter().map(|c| Verdict { id: c.id, keep: keep.clone() }).collect()
    };
    let verdicts = groups.iter().zip(keep).flat_map(verdict).collect();
    Outcome { verdicts, guards, held: held as u64 }
}

fn suspicions(order: &[&Candidate], policy: &Policy, now: i64) -> Vec<Vec<Suspicion>> {
    let mut out = vec![Vec::new(); order.len()];
    if !policy.despite_clock {
        let in_future = |c: &Candidate| c.time > now.saturating_add(CLOCK_TOLERANCE);
        let past: Vec<usize> = (0..order.len()).filter(|&i| !in_future(order[i])).collect();
        let times: Vec<i64> = past.iter().map(|&i| order[i].time).collect();
        for (i, c) in order.iter().enumerate() {
            if in_future(c) {
                out[i].push(Suspicion::Future);
            }
        }
        for (&i, rises) in past.iter().zip(rising(&times)) {
            if !rises {
                out[i].push(Suspicion::Backwards);
            }
        }
    }
    if !policy.despite_shrink {
        let mut sizes: Vec<u64> = order.iter().filter(|c| c.complete).map(|c| c.size).collect();
        sizes.sort_unstable();
        let complete = (0..order.len()).rev().filter(|&i| order[i].complete);
        for i in complete.take_while(|&i| is_below_half_of_median(order[i].size, &sizes)) {
            out[i].push(Suspicion::Shrunken);
        }
    }
    out
}

fn is_below_half_of_median(size: u64, sorted: &[u64]) -> bool {
    let middle = |i: usize| u128::from(sorted.get(i).copied().unwrap_or(0));
    let twice_the_median = match sorted.len() {
        0 => 0,
        n if n % 2 == 1 => 2 * middle(n / 2),
        n => middle(n / 2 - 1) + middle(n / 2),
    };
    4 * u128::from(size) < twice_the_median
}

/// Which of the times belong to the longest run that never falls. Of two that contradict each other the later is the one that is
/// wrong.
fn rising(times: &[i64]) -> Vec<bool> {
    // Patience sorting from the newest to the oldest: `ends[n]` is the oldest member of the run of n + 1 that ends latest.
    let (mut ends, mut after): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), vec![None; times.len()]);
    for i in (0..times.len()).rev() {
        let at = ends.partition_point(|&end| Reverse(times[end]) <= Reverse(times[i]));
        after[i] = at.checked_sub(1).and_then(|before| ends.get(before).copied());
        if at == ends.len() {
            ends.push(i);
        } else {
            ends[at] = i;
        }
    }
    let mut out = vec![false; times.len()];
    let mut next = ends.last().copied();
    while let Some(i) = next {
        out[i] = true;
        next = after[i];
    }
    out
}

fn reasons(
    order: &[&Candidate],
    suspicions: &[Vec<Suspicion>],
    policy: &Policy,
    zone: &TimeZone,
    now: i64,
) -> Vec<Vec<Reason>> {
    let mut keep: Vec<Vec<Reason>> = vec![Vec::new(); order.len()];
    for (i, c) in order.iter().enumerate() {
        if c.pinned {
            keep[i].push(Reason::Pinned);
        }
        keep[i].extend(policy.tags.iter().filter(|tag| c.tags.contains(tag)).cloned().map(Reason::Tag));
    }
    // From the newest to the oldest.
    let trusted: Vec<usize> = (0..order.len()).rev().filter(|&i| suspicions[i].is_empty()).collect();
    if let Some(&newest) = trusted.first() {
        keep[newest].push(Reason::Newest);
    }
    let complete_of = |indices: &[usize]| indices.iter().copied().find(|&i| order[i].complete);
    if let Some(complete) = complete_of(&trusted) {
        keep[complete].push(Reason::LastComplete);
    }
    let reference = trusted.first().map_or(now, |&newest| order[newest].time.min(now));
    for rule in &policy.rules {
        apply(*rule, order, &trusted, reference, zone, &mut keep);
    }
    for (i, of) in suspicions.iter().enumerate() {
        keep[i].extend(of.iter().copied().map(Reason::Suspect));
    }
    keep
}

/// A period with the snapshot that stands for it.
struct Period {
    label: String,
    stands: usize,
    complete: bool,
}

fn apply(
    rule: Rule,
    order: &[&Candidate],
    newest_first: &[usize],
    reference: i64,
    zone: &TimeZone,
    keep: &mut [Vec<Reason>],
) {
    let (mut periods, mut known): (Vec<Period>, HashMap<Key, usize>) = (Vec::new(), HashMap::new());
    for &i in newest_first {
        let (key, label) = period_of(rule.every, order[i], i, zone);
        let at = *known.entry(key).or_insert(periods.len());
        match periods.get_mut(at) {
            None => periods.push(Period { label, stands: i, complete: order[i].complete }),
            Some(period) if order[i].complete && !period.complete => {
                (period.stands, period.complete) = (i, true);
            }
            Some(_) => {}
        }
    }
    let (mut whole, mut partial) = (0, 0);
    for Period { label, stands, complete } in periods {
        let nth = if complete { whole + 1 } else { partial + 1 };
        match rule.reach {
            Reach::Count(n) if whole >= n => return,
            Reach::Count(n) if nth > n => continue,
            Reach::Within(span) if order[stands].time < reference.saturating_sub_unsigned(span) => continue,
            _ if complete => whole = nth,
            _ => partial = nth,
        }
        keep[stands].push(Reason::Rule { rule, period: label, nth, complete });
    }
    let oldest = newest_first.iter().rev().copied().find(|&i| order[i].complete);
    if let (Reach::Count(n), Some(oldest)) = (rule.reach, oldest)
        && rule.every != Every::Snapshot
        && whole < n
        && !keep[oldest].iter().any(|reason| matches!(reason, Reason::Rule { rule: other, .. } if *other == rule))
    {
        keep[oldest].push(Reason::Oldest(rule));
    }
}

/// Year; month or week or 0; day or 0; hour or 0; seconds east of Greenwich where an hour may come twice. For each snapshot its place.
type Key = (i64, i8, i8, i8, i32);

fn period_of(every: Every, candidate: &Candidate, place: usize, zone: &TimeZone) -> (Key, String) {
    if every == Every::Snapshot {
        return ((place as i64, 0, 0, 0, 0), String::new());
    }
    let time = Timestamp::from_second(candidate.time);
    let beyond = if candidate.time < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let zoned = Zoned::new(time.unwrap_or(beyond), zone.clone());
    let (date, year) = (zoned.date(), i64::from(zoned.year()));
    let key = match every {
        Every::Snapshot | Every::Year => (year, 0, 0, 0, 0),
        Every::Month => (year, date.month(), 0, 0, 0),
        Every::Week => {
            let week = date.iso_week_date();
            (i64::from(week.year()), week.week(), 0, 0, 0)
        }
        Every::Day => (year, date.month(), date.day(), 0, 0),
        Every::Hour => (year, date.month(), date.day(), zoned.hour(), zoned.offset().seconds()),
    };
    let label = match every {
        Every::Snapshot => String::new(),
        Every::Year => format!("{:04}", key.0),
        Every::Month => format!("{:04}-{:02}", key.0, key.1),
        Every::Week => format!("{:04}-W{:02}", key.0, key.1),
        Every::Day => format!("{:04}-{:02}-{:02}", key.0, key.1, key.2),
        Every::Hour => format!("{:04}-{:02}-{:02}T{:02}", key.0, key.1, key.2, key.3),
    };
    (key, label)
}
