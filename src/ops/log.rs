//! The versions of one file or directory: when each appeared, and when it was gone.

use super::{
    history::{Facts, History, Version},
    ls::plain_path,
};
use crate::{
    error::{Error, Result},
    monitor::Monitor,
    name::Shown,
    repo::{BlobReader, Repository},
    series::Series,
};

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The first snapshot that has it, or from which on it is gone.
    pub since: Version,
    /// The last snapshot before the next revision.
    pub until: Version,
    /// Snapshots from the one to the other.
    pub snapshots: usize,
    /// What it is; `None` when it is gone.
    pub facts: Option<Facts>,
    /// In what it differs from the revision before, in words; nothing for one that appeared or is gone.
    pub what: Vec<&'static str>,
}

/// What is known of a path.
#[derive(Debug, Default)]
pub struct Log {
    /// Oldest first.
    pub revisions: Vec<Revision>,
    /// Snapshots that were looked at.
    pub snapshots: usize,
    /// Snapshots that could not be read, and what is lost of the trees of others.
    pub unreadable: Vec<Error>,
}

/// Tells what became of a path over all snapshots of a series.
pub fn log(
    repo: &Repository,
    reader: &BlobReader<'_>,
    series: &Series,
    path: &[u8],
    monitor: &dyn Monitor,
) -> Result<Log> {
    let path = plain_path(path);
    if path.is_empty() {
        return Err(Error::usage(
            "which file or folder? Give its path behind a colon, its source's name first: SERIES:app/config",
        ));
    }
    let tag = repo.keys().series_tag(series);
    repo.keys().catalogue_key()?;
    let living: Vec<_> = repo.living(Some(series))?.names.into_iter().map(|(_, id, _)| id).collect();
    if living.is_empty() {
        return Err(Error::usage(format!("{series} has no snapshots: see `vault snapshots`")));
    }
    let mut history = History::open(repo, &tag, &living, monitor)?;
    let mut out = Log::default();
    out.unreadable.extend(history.take_unreadable().into_iter().map(|(_, error)| error));
    let mut events: Vec<(usize, Option<Facts>)> = Vec::new();
    let mut each = |at: usize, of: &[u8], facts: Option<&Facts>| {
        if of == path {
            events.push((at, facts.copied()));
        }
        Ok(())
    };
    out.unreadable.extend(history.follow(reader, &mut each, monitor)?);
    let (ranges, versions) = (history.ranges(), history.versions());
    out.snapshots = ranges.len();
    let mut before: Option<Facts> = None;
    let ends = events.iter().skip(1).map(|(at, _)| *at).chain([versions.len()]);
    for ((at, facts), end) in events.iter().zip(ends) {
        // What only forgotten snapshots had is not told.
        let Some((since, until, snapshots)) = ranges.within(*at, end.saturating_sub(1)) else { continue };
        if *facts == before {
            if let (Some(last), Some(until)) = (out.revisions.last_mut(), versions.get(until)) {
                (last.until, last.snapshots) = (until.clone(), last.snapshots + snapshots);
            }
            continue;
        }
        let (Some(since), Some(until)) = (versions.get(since), versions.get(until)) else { continue };
        let what = match (&before, facts) {
            (Some(before), Some(facts)) => before.changes(facts),
            _ => Vec::new(),
        };
        before = *facts;
        let (since, until) = (since.clone(), until.clone());
        out.revisions.push(Revision { since, until, snapshots, facts: *facts, what });
    }
    if out.revisions.is_empty() && out.unreadable.is_empty() {
        return Err(Error::usage(format!(
            "no snapshot of {series} has, or had, a \"{}\": see `vault find`",
            Shown(&path)
        )));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitor::Silent,
        ops::fixture::{self, Fixture, Item},
    };

    fn of(nights: &[Vec<(&str, Item)>], path: &str) -> Result<Vec<String>> {
        let fixture = Fixture::new();
        for (n, files) in nights.iter().enumerate() {
            let listed = vec![("app", fixture::dir(vec![("etc", fixture::dir(files.clone()))]))];
            fixture.snapshot("h/-/s", n as i64, listed);
        }
        let index = fixture.index();
        let reader = BlobReader::new(&fixture.repo, &index);
        let log = log(&fixture.repo, &reader, &Series::parse("h/-/s")?, path.as_bytes(), &Silent)?;
        assert!(log.unreadable.is_empty() && log.snapshots == nights.len());
        let line = |revision: &Revision| {
            let Revision { since, until, snapshots, facts, what } = revision;
            let size = facts.map_or("gone".into(), |facts| facts.size.to_string());
            format!("{}-{} {snapshots} {size} {}", since.sequence, until.sequence, what.join(","))
        };
        Ok(log.revisions.iter().map(line).collect())
    }

    #[test]
    fn each_version_is_told_once() {
        let file = |text: &str| fixture::file(text.as_bytes());
        let mut private = file("22");
        private.meta.mode = 0o600;
        let nights = [
            vec![("b", file(""))],
            vec![("a", file("1")), ("b", file(""))],
            vec![("a", file("1")), ("b", file("x"))],
            vec![("a", file("22"))],
            vec![("a", private.clone())],
            vec![],
            vec![],
            vec![("a", private)],
        ];
        let expected = ["2-3 2 1 ", "4-4 1 2 content", "5-5 1 2 mode", "6-7 2 gone ", "8-8 1 2 "];
        assert_eq!(of(&nights, "app/etc/a").unwrap(), expected);
        assert_eq!(of(&nights, "/app//etc/./a/").unwrap(), expected);
        let folder = ["1-1 1 0 ", "2-2 1 1 content", "3-3 1 2 content", "4-4 1 2 content", "5-5 1 2 content"];
        assert_eq!(of(&nights, "app/etc").unwrap()[..5], folder);
    }

    #[test]
    fn what_never_was_is_a_mistake() {
        let nights = [vec![("a", fixture::file(b""))]];
        for path in ["app/etc/b", "app/etc/a/x", "", "/"] {
            assert!(matches!(of(&nights, path), Err(Error::Usage { .. })), "{path}");
        }
        assert!(matches!(of(&[], "app/etc/a"), Err(Error::Usage { .. })));
    }
}
