//! Dates in addresses, and what a mistyped series may have meant.

use crate::{
    error::{Error, Result},
    name::Shown,
    repo::Repository,
    series::Series,
};
use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::TimeZone,
};

/// Reading so many snapshots for a suggestion is still quick.
const SNAPSHOTS_FOR_SUGGESTION: usize = 1000;

/// The last second that a date or time means: `2026-03-02` its day, `2026-03-02T04:05` its minute, in `zone` unless the text
/// ends with a zone of its own (`Z`, `+01:00`).
pub fn instant(text: &str, zone: TimeZone) -> Result<i64> {
    let wrong = || {
        Error::usage(format!(
            "\"{}\" is no date or time: write 2026-03-02, 2026-03-02T04:05 or 2026-03-02T04:05:06",
            Shown(text.as_bytes())
        ))
    };
    if text.len() > 10
        && let Ok(exact) = text.parse::<Timestamp>()
    {
        return Ok(exact.as_second());
    }
    let (next, back) = match text.len() {
        10 => (text.parse::<Date>().map_err(|_| wrong())?.tomorrow().map(|day| day.at(0, 0, 0, 0)), 1),
        13 => (time(text, "%Y-%m-%dT%H").ok_or_else(wrong)?.checked_add(1.hour()), 1),
        16 => (time(text, "%Y-%m-%dT%H:%M").ok_or_else(wrong)?.checked_add(1.minute()), 1),
        19 => (Ok(time(text, "%Y-%m-%dT%H:%M:%S").ok_or_else(wrong)?), 0),
        _ => return Err(wrong()),
    };
    let next = next.and_then(|next| next.to_zoned(zone)).map_err(|_| wrong())?;
    Ok(next.timestamp().as_second() - back)
}

fn time(text: &str, format: &str) -> Option<DateTime> {
    let with_hour = |hour: &str| format!("{}T{hour}", &text.get(..10).unwrap_or_default());
    // A time of only an hour is none to the parser.
    let text = with_hour(text.get(11..)?);
    if format == "%Y-%m-%dT%H" {
        return DateTime::strptime("%Y-%m-%dT%H:%M", format!("{text}:00")).ok();
    }
    DateTime::strptime(format, text).ok()
}

/// `; did you mean …?` for a series that has no snapshots, when others are near and looking is cheap.
pub fn suggestion(repo: &Repository, series: &Series) -> Option<String> {
    if !repo.snapshot_names(Some(series)).ok()?.is_empty() {
        return None;
    }
    if repo.snapshot_names(None).ok()?.len() > SNAPSHOTS_FOR_SUGGESTION {
        return None;
    }
    let mut all: Vec<String> = repo.snapshots(None).ok()?.listed.into_iter().map(|l| l.snapshot.series).collect();
    all.dedup();
    let near = nearest(series.as_str(), &all);
    if near.is_empty() {
        return None;
    }
    let near: Vec<String> = near.iter().map(|name| Shown(name.as_bytes()).to_string()).collect();
    Some(format!("; did you mean {}?", near.join(" or ")))
}

/// The three nearest of names that are near at all.
fn nearest<'a>(wanted: &str, names: &'a [String]) -> Vec<&'a str> {
    let mut scored: Vec<(usize, &str)> = names
        .iter()
        .map(|name| {
            let leaf = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
            let same_leaf = leaf(name) == leaf(wanted) || name.contains(wanted);
            (if same_leaf { 1 } else { distance(wanted, name) }, name.as_str())
        })
        .filter(|(distance, _)| *distance <= wanted.chars().count().div_ceil(3))
        .collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_means_its_last_second() {
        let at = |text: &str| {
            let sec = instant(text, TimeZone::UTC).unwrap();
            Timestamp::from_second(sec).unwrap().to_string()
        };
        assert_eq!(at("2026-03-02"), "2026-03-02T23:59:59Z");
        assert_eq!(at("2026-03-02T04"), "2026-03-02T04:59:59Z");
        assert_eq!(at("2026-03-02T04:05"), "2026-03-02T04:05:59Z");
        assert_eq!(at("2026-03-02 04:05:06"), "2026-03-02T04:05:06Z");
        assert_eq!(at("2026-03-02T04:05:06+01:00"), "2026-03-02T03:05:06Z");
        assert_eq!(at("2024-12-31"), "2024-12-31T23:59:59Z");
    }

    #[test]
    fn a_day_ends_where_the_user_is() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(instant("2026-03-02", zone).unwrap(), instant("2026-03-02T21:59:59", TimeZone::UTC).unwrap());
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        for bad in [
            "2026-02-30",
            "2026-13-01",
            "2026-03-02T25",
            "2026-03-02T04:61",
            "2026-03-02x",
            "2026-03-02T04:0",
            "2026-03-0ä",
        ] {
            assert!(matches!(instant(bad, TimeZone::UTC), Err(Error::Usage { .. })), "{bad}");
        }
    }

    #[test]
    fn near_names_are_suggested() {
        let names = ["alpha/-/srv/wiki", "alpha/-/srv/shop", "beta/vm1/mail"].map(str::to_owned);
        assert_eq!(nearest("alpha/-/srv/wikki", &names)[0], "alpha/-/srv/wiki");
        assert_eq!(nearest("x/-/wiki", &names), ["alpha/-/srv/wiki"]);
        assert!(nearest("gamma/-/other", &names).is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
