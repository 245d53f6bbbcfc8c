//! Which snapshots something is to be taken out of, and what is known of them.

use super::Request;
use crate::{
    error::{Error, Result},
    id::{SeriesTag, SnapshotId},
    model::{annotation::Annotation, snapshot::Snapshot},
    repo::{Listed, Repository},
    series::Series,
};
use std::collections::{BTreeMap, BTreeSet};

/// A snapshot that was chosen.
pub(super) struct Choice {
    pub(super) tag: SeriesTag,
    pub(super) listed: Listed,
    /// Paths to take out, the source's name first.
    pub(super) paths: BTreeSet<Vec<u8>>,
    /// What was said of it, in order.
    pub(super) annotations: Vec<Annotation>,
    pub(super) is_pinned: bool,
    /// An annotation of its series that cannot be read, and may be a pin.
    doubt: Option<String>,
}

impl Choice {
    /// Refuses what the user has to ask for.
    pub(super) fn expect_permission(&self, request: &Request<'_>, rest: &Snapshot) -> Result<()> {
        let id = self.listed.id.short();
        if rest.sources.is_empty() {
            return Err(Error::refused(format!("nothing would be left of {id}: see `vault forget`")));
        }
        if request.keep_originals {
            return Ok(());
        }
        if let Some(why) = &self.doubt {
            return Err(Error::refused(format!("{why}, and may say that {id} is pinned: move it away, and run again")));
        }
        if self.is_pinned && !request.pinned {
            return Err(Error::refused(format!(
                "{id} is pinned: give --pinned to put a rewritten snapshot in its place, which is pinned then"
            )));
        }
        Ok(())
    }
}

/// All snapshots; by series, oldest first. One that cannot be read may be one of those that are meant.
pub(super) fn all(repo: &Repository) -> Result<Vec<Listed>> {
    let found = repo.snapshots(None)?;
    match found.unreadable.into_iter().chain(found.doubtful).next() {
        None => Ok(found.listed),
        Some((_, error @ Error::Unsupported { .. })) => Err(error),
        Some((object, error)) => Err(Error::corrupt(
            object,
            format!("{error}: it may hold what is to be taken out; see `vault repair`, or forget it"),
        )),
    }
}

/// A path in the form in which a walk has it.
fn normal(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    parts.join(&b'/')
}

/// Finds the snapshots that are meant; by series, oldest first.
pub(super) fn choose(
    repo: &Repository,
    request: &Request<'_>,
    all: &[Listed],
    instant: &dyn Fn(&str) -> Result<i64>,
) -> Result<Vec<Choice>> {
    let mut chosen: BTreeMap<SnapshotId, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for target in request.targets {
        let path = target.address.path.as_deref().map(normal).filter(|path| !path.is_empty());
        if path.is_none() && request.patterns.is_empty() {
            return Err(Error::usage(
                "what is to be taken out? Give a path (SERIES:SOURCE/PATH), or --exclude PATTERN",
            ));
        }
        let series = target.address.series.as_ref().filter(|_| target.all);
        let one = match series {
            Some(series) => {
                repo.expect_no_rollback(series)?;
                None
            }
            None => Some(repo.resolve(&target.address, instant)?.surely()?.id),
        };
        let mut found = false;
        for listed in all {
            let is_meant = match (series, &one) {
                (Some(series), _) => listed.snapshot.series == series.as_str(),
                (None, one) => *one == Some(listed.id),
            };
            if is_meant {
                found = true;
                chosen.entry(listed.id).or_default().extend(path.clone());
            }
        }
        if let (false, Some(series)) = (found, series) {
            return Err(Error::usage(format!("{series} has no snapshots: see `vault snapshots`")));
        }
    }
    let annotations = repo.annotations(None)?;
    let mut choices = Vec::new();
    for listed in all {
        let Some(paths) = chosen.remove(&listed.id) else { continue };
        let tag = repo.keys().series_tag(&Series::parse(&listed.snapshot.series)?);
        let doubt = annotations.doubt(&tag).map(|one| format!("{} cannot be read ({})", one.object, one.error));
        let is_pinned = annotations.of(&tag, &listed.id).pin.is_some();
        let annotations = annotations.said_of(repo, &tag, &listed.id)?;
        choices.push(Choice { tag, listed: listed.clone(), paths, annotations, is_pinned, doubt });
    }
    Ok(choices)
}
