//! Who holds what: a repository by its own list, a medium by the catalogue, which answers while it lies in a safe.

use crate::{
    error::{Error, Result},
    fleet::{app::Service, config},
    id::{SeriesTag, SnapshotId},
    keys::Role,
    model::snapshot::Head,
    name::Shown,
    ops::media::Catalogue,
    repo::Repository,
};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Snapshots whose sizes are looked at, for what is usual.
pub const SIZES: usize = 8;

/// What kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderKind {
    Repository,
    Medium,
    /// The copy of another server's repository, which is not opened here.
    Pulled,
}

impl HolderKind {
    /// A word for programs.
    pub fn word(self) -> &'static str {
        match self {
            HolderKind::Repository => "repository",
            HolderKind::Medium => "medium",
            HolderKind::Pulled => "pulled",
        }
    }

    /// True for what is brought up to date now and then.
    pub fn is_synced(self) -> bool {
        self != HolderKind::Repository
    }
}

/// What a place holds of an application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// When the newest complete snapshot was begun.
    pub good: Option<i64>,
    /// When the newest one was.
    pub newest: Option<i64>,
    /// Snapshots.
    pub count: u64,
    /// Bytes of the files of the newest complete ones, the newest first.
    pub sizes: Vec<u64>,
}

/// A place that holds snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name in the configuration.
    pub name: String,
    pub kind: HolderKind,
    /// Where it stands.
    pub site: String,
    /// What it holds, by series.
    pub held: BTreeMap<String, Held>,
    /// A medium that is brought up to date now and then holds what is this old, in seconds; 0 for a repository.
    pub slack: u64,
    /// Snapshots of which nothing is known but that they are there.
    pub unnamed: u64,
    /// When a medium or a copy was last brought up to date.
    pub synced: Option<i64>,
    /// What is wrong with it; empty when nothing is. Safe to print.
    pub red: String,
    /// Series that are in it and not in the configuration.
    pub foreign: u64,
    /// Nothing can be said of what it holds.
    pub lost: bool,
}

impl Holder {
    /// All snapshots in it.
    pub fn snapshots(&self) -> u64 {
        self.held.values().map(|held| held.count).sum::<u64>() + self.unnamed
    }

    /// A repository that cannot be looked at.
    pub fn lost(repository: &config::Repository, error: &Error) -> Self {
        Holder {
            name: repository.name.clone(),
            kind: HolderKind::Repository,
            site: repository.site.clone(),
            held: BTreeMap::new(),
            slack: 0,
            unnamed: 0,
            synced: None,
            red: error.to_string(),
            foreign: 0,
            lost: true,
        }
    }

    /// A medium of which nothing is known.
    pub fn unknown_medium(medium: &config::Medium, error: &Error) -> Self {
        Holder {
            name: medium.name.clone(),
            kind: HolderKind::Medium,
            site: String::new(),
            held: BTreeMap::new(),
            slack: medium.overdue,
            unnamed: 0,
            synced: None,
            red: error.to_string(),
            foreign: 0,
            lost: true,
        }
    }
}

/// What a repository holds of these applications. Every key can ask.
pub fn of_repository(entry: &config::Repository, repo: &Repository, services: &[&Service]) -> Result<Holder> {
    let mut by_series: HashMap<SeriesTag, Vec<SnapshotId>> = HashMap::new();
    for (tag, id, _) in repo.living(None)?.names {
        by_series.entry(tag).or_default().push(id);
    }
    let wanted: Vec<(&Service, SeriesTag, Vec<SnapshotId>)> = services
        .iter()
        .map(|service| {
            let tag = repo.keys().series_tag(&service.app.series);
            (*service, tag, by_series.remove(&tag).unwrap_or_default())
        })
        .collect();
    let looked: Vec<(String, Held, u64)> = wanted
        .par_iter()
        .map(|(service, tag, ids)| {
            let (held, damaged) = held(repo, tag, ids)?;
            Ok((service.name().to_owned(), held, damaged))
        })
        .collect::<Result<_>>()?;
    let damaged: u64 = looked.iter().map(|(_, _, damaged)| damaged).sum();
    let red = match damaged {
        0 => String::new(),
        n => format!("{n} snapshots are damaged: see `vault check`"),
    };
    Ok(Holder {
        name: entry.name.clone(),
        kind: HolderKind::Repository,
        site: entry.site.clone(),
        held: looked.into_iter().filter(|(_, held, _)| held.count > 0).map(|(name, held, _)| (name, held)).collect(),
        slack: 0,
        unnamed: 0,
        synced: None,
        red,
        foreign: by_series.len() as u64,
        lost: false,
    })
}

fn held(repo: &Repository, tag: &SeriesTag, ids: &[SnapshotId]) -> Result<(Held, u64)> {
    let mut heads: Vec<(Head, SnapshotId)> = Vec::new();
    let mut damaged = 0;
    for id in ids {
        match repo.head(tag, id) {
            Ok(head) => heads.push((head, *id)),
            Err(Error::Missing { .. }) => {}
            Err(Error::Corrupt { .. } | Error::Store { .. }) => damaged += 1,
            Err(error) => return Err(error),
        }
    }
    heads.sort_by_key(|(head, id)| std::cmp::Reverse((head.sequence, *id)));
    let good: Vec<&(Head, SnapshotId)> = heads.iter().filter(|(head, _)| head.complete).collect();
    let mut sizes = Vec::new();
    if repo.keys().role() >= Role::Maintainer {
        for (_, id) in good.iter().take(SIZES) {
            // One that cannot be read is damaged, which a check tells.
            sizes.extend(repo.read_snapshot(tag, id).ok().map(|listed| listed.snapshot.totals.bytes));
        }
    }
    let held = Held {
        // By number, as everywhere: times may run backwards.
        good: good.first().map(|(head, _)| head.time.sec),
        newest: heads.first().map(|(head, _)| head.time.sec),
        count: heads.len() as u64,
        sizes,
    };
    Ok((held, damaged))
}

/// What is known to lie on a medium.
pub fn of_medium(
    medium: &config::Medium,
    catalogue: &Catalogue<'_>,
    services: &[&Service],
    now: i64,
) -> Result<Holder> {
    let known = catalogue.find(&medium.name)?;
    let mut held: BTreeMap<String, Held> = BTreeMap::new();
    let wanted: HashSet<&str> = services.iter().map(|service| service.name()).collect();
    for one in known.snapshots.iter().filter(|one| wanted.contains(one.series.as_str())) {
        let entry = held.entry(one.series.clone()).or_default();
        entry.count += 1;
        entry.newest = entry.newest.max(Some(one.time));
        entry.good = entry.good.max(Some(one.time));
    }
    let synced = known.synced();
    let age = synced.map(|time| now.saturating_sub(time));
    let late = age.is_none_or(|age| u64::try_from(age).is_ok_and(|age| age > medium.overdue));
    let site = if known.site.is_empty() {
        String::new()
    } else {
        format!("; it is kept at: {}", Shown(known.site.as_bytes()))
    };
    let red = match (late, age) {
        (false, _) => String::new(),
        (true, None) => format!("it was never brought up to date{site}"),
        (true, Some(age)) => format!("overdue: not brought up to date for {}{site}", super::judge::age_text(age)),
    };
    Ok(Holder {
        name: medium.name.clone(),
        kind: HolderKind::Medium,
        site: known.site,
        held,
        slack: medium.overdue,
        unnamed: 0,
        synced,
        red,
        foreign: 0,
        lost: false,
    })
}
