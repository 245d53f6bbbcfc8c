//! Where something is, or was: a search over all snapshots of many series.

mod query;
#[cfg(test)]
mod tests;

pub use query::{Query, Wanted};

use super::{
    history::{Facts, History, Version, series_of},
    walk::{Event, TreeWalk},
};
use crate::{
    error::{Error, Result},
    monitor::{Counter, Monitor, Phase},
    ops::compare::tree_of,
    repo::{BlobReader, Repository},
    series::Series,
};
use std::collections::BTreeMap;

/// An entry that is searched for, in snapshots one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// `server/vm/relpath`.
    pub series: String,
    /// Path below the snapshot.
    pub path: Vec<u8>,
    /// The newest version of it that matches.
    pub facts: Facts,
    /// The first snapshot that has it.
    pub first: Version,
    /// The last snapshot that has it without a gap since the first.
    pub last: Version,
    /// Snapshots from the first to the last.
    pub snapshots: usize,
    /// Versions of it in them.
    pub versions: usize,
    /// The last is the newest of the series.
    pub is_present: bool,
}

/// What came of a search.
#[derive(Debug, Default)]
pub struct Report {
    /// Series that were searched.
    pub series: usize,
    /// Snapshots that were searched.
    pub snapshots: usize,
    /// Matches.
    pub matches: usize,
    /// Snapshots that could not be read, and what is lost of the trees of others.
    pub unreadable: Vec<Error>,
}

/// Where to search.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Only series under this one: server, server/vm, server/vm/relpath. Empty for all.
    pub prefix: &'a str,
    /// Only the newest snapshot of each.
    pub latest: bool,
}

/// Hears of one match after the other: of each series first what is gone, in the order in which it went.
pub type Each<'a> = dyn FnMut(&Match) -> Result<()> + 'a;

/// Searches. An entry that changes is one match as long as each of its versions matches.
pub fn find(
    repo: &Repository,
    reader: &BlobReader<'_>,
    scope: Scope<'_>,
    query: &Query,
    each: &mut Each<'_>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    monitor.phase(Phase::Planning);
    let exactly = Series::parse(scope.prefix.trim_end_matches('/')).ok().map(|series| repo.keys().series_tag(&series));
    let mut report = Report::default();
    for (tag, living) in series_of(repo)? {
        monitor.check()?;
        let is_wanted = scope.prefix.is_empty() || exactly == Some(tag) || {
            // Its name stands in each of its snapshots. When none can be read nobody knows whether it is meant: that is told.
            let mut names = living.iter().filter_map(|id| repo.read_snapshot(&tag, id).ok());
            let name = names.next().and_then(|listed| Series::parse(&listed.snapshot.series).ok());
            name.is_none_or(|series| series.is_under(scope.prefix))
        };
        if !is_wanted {
            continue;
        }
        let mut history = History::open(repo, &tag, &living, monitor)?;
        report.unreadable.extend(history.take_unreadable().into_iter().map(|(_, error)| error));
        let found = if scope.latest {
            newest(repo, reader, &history, query, each, monitor)?
        } else {
            all_versions(reader, &mut history, query, each, monitor)?
        };
        report.series += 1;
        report.snapshots += found.snapshots;
        report.matches += found.matches;
        report.unreadable.extend(found.unreadable);
    }
    Ok(report)
}

/// A match that still goes on.
struct Open {
    first: usize,
    facts: Facts,
    /// Positions of the snapshots in which it changed.
    versions: Vec<usize>,
}

fn all_versions(
    reader: &BlobReader<'_>,
    history: &mut History<'_>,
    query: &Query,
    each: &mut Each<'_>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    let versions = history.versions().to_vec();
    let ranges = history.ranges();
    let series = history.series().to_owned();
    let mut report = Report { snapshots: ranges.len(), ..Report::default() };
    let mut open: BTreeMap<Vec<u8>, Open> = BTreeMap::new();
    let newest = ranges.newest();
    let mut close = |path: Vec<u8>, open: Open, last: usize, each: &mut Each<'_>| -> Result<()> {
        let Some((first, last, snapshots)) = ranges.within(open.first, last) else { return Ok(()) };
        let (Some(first_version), Some(last_version)) = (versions.get(first), versions.get(last)) else {
            return Ok(());
        };
        report.matches += 1;
        each(&Match {
            series: series.clone(),
            path,
            facts: open.facts,
            first: first_version.clone(),
            last: last_version.clone(),
            snapshots,
            versions: ranges.distinct(&open.versions, last),
            is_present: newest == Some(last),
        })
    };
    let lost = history.follow(
        reader,
        &mut |at, path, facts| {
            if !query.matches_path(path) {
                return Ok(());
            }
            match (open.get_mut(path), facts.filter(|facts| query.matches_facts(facts))) {
                (Some(open), Some(facts)) => {
                    open.facts = *facts;
                    open.versions.push(at);
                }
                (Some(_), None) => {
                    if let Some((path, open)) = open.remove_entry(path) {
                        close(path, open, at.saturating_sub(1), each)?;
                    }
                }
                (None, Some(facts)) => {
                    open.insert(path.to_vec(), Open { first: at, facts: *facts, versions: vec![at] });
                }
                (None, None) => {}
            }
            Ok(())
        },
        monitor,
    )?;
    for (path, open) in open {
        close(path, open, versions.len().saturating_sub(1), each)?;
    }
    report.unreadable = lost;
    Ok(report)
}

fn newest(
    repo: &Repository,
    reader: &BlobReader<'_>,
    history: &History<'_>,
    query: &Query,
    each: &mut Each<'_>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    let mut report = Report::default();
    let Some(version) = history.ranges().newest().and_then(|at| history.versions().get(at)) else { return Ok(report) };
    report.snapshots = 1;
    let tag = repo.keys().series_tag(&Series::parse(history.series())?);
    let listed = repo.read_snapshot(&tag, &version.id)?;
    let mut look = |path: &[u8], node: &crate::model::node::Node| {
        monitor.add(Counter::Entries, 1);
        if !query.matches_path(path) {
            return Ok(0);
        }
        let facts = Facts::of(node);
        if !query.matches_facts(&facts) {
            return Ok(0);
        }
        let (first, last) = (version.clone(), version.clone());
        let (series, path) = (history.series().to_owned(), path.to_vec());
        each(&Match { series, path, facts, first, last, snapshots: 1, versions: 1, is_present: true }).map(|()| 1)
    };
    for source in &listed.snapshot.sources {
        let name = source.root.name.as_bytes();
        report.matches += look(name, &source.root)?;
        let Some(tree) = tree_of(&source.root) else { continue };
        let mut walk = TreeWalk::new(reader, tree, name);
        while let Some(event) = walk.next_event() {
            monitor.check()?;
            match event {
                Event::Entry { node, .. } => report.matches += look(walk.path(), &node)?,
                Event::Leave => {}
                Event::Unreadable(error @ (Error::Corrupt { .. } | Error::Missing { .. })) => {
                    report.unreadable.push(error);
                }
                Event::Unreadable(error) => return Err(error),
            }
        }
    }
    Ok(report)
}
