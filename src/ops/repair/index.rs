//! Packs that no readable index object lists: told by their own directories, and listed.

use super::{Donor, health::of_one};
use crate::{
    error::{Error, Result},
    id::PackId,
    index::BlobIndex,
    monitor::{Counter, Monitor},
    pack::{self, PackEntry},
    repo::Repository,
};
use std::collections::HashSet;

/// What becomes of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Index objects that cannot be read, with the reason.
    pub unreadable: Vec<(String, String)>,
    /// Packs that are listed now, by their own directories.
    pub listed: u64,
    /// Those among them of which the directory was found although header or footer are damaged, or is that of the other repository.
    pub recovered: u64,
    /// Blobs in them.
    pub blobs: u64,
    /// Packs of which nothing tells what is in them, with the reason: they are left alone.
    pub unusable: Vec<(String, String)>,
}

/// Where a pack's directory comes from.
pub(super) enum Told {
    Whole(PackEntry),
    Recovered(PackEntry),
    No(String),
}

/// Calls `each` with every pack that is to be listed. `whole`: only packs that were read and held against their names.
pub(super) fn each_unlisted(
    repo: &Repository,
    index: &BlobIndex,
    donor: Option<&Donor<'_>>,
    whole: bool,
    monitor: &dyn Monitor,
    each: &mut dyn FnMut(PackEntry) -> Result<()>,
) -> Result<Index> {
    let mut out = Index::default();
    let stored = repo.list_packs()?;
    let mut unlisted = index.unlisted(stored.keys());
    unlisted.sort();
    monitor.expect(Counter::Objects, unlisted.len() as u64);
    let mut untold = Vec::new();
    for id in unlisted {
        monitor.check()?;
        match tell(repo, &id, whole)? {
            Told::Whole(entry) => take(&mut out, entry, each)?,
            Told::Recovered(entry) => {
                out.recovered += 1;
                take(&mut out, entry, each)?;
            }
            Told::No(why) => untold.push((id, why)),
        }
        monitor.add(Counter::Objects, 1);
    }
    if let Some(donor) = donor
        && !untold.is_empty()
    {
        let ids: HashSet<PackId> = untold.iter().map(|(id, _)| *id).collect();
        let mut told = HashSet::new();
        donor.catalog().each(monitor, &mut |entry| {
            if ids.contains(&entry.id) && told.insert(entry.id) {
                out.recovered += 1;
                take(&mut out, entry, each)?;
            }
            Ok(())
        })?;
        untold.retain(|(id, _)| !told.contains(id));
    }
    out.unusable = untold.into_iter().map(|(id, why)| (pack::object_name(&id).to_string(), why)).collect();
    Ok(out)
}

fn take(out: &mut Index, entry: PackEntry, each: &mut dyn FnMut(PackEntry) -> Result<()>) -> Result<()> {
    out.listed += 1;
    out.blobs += entry.blob_count() as u64;
    each(entry)
}

pub(super) fn tell(repo: &Repository, id: &PackId, whole: bool) -> Result<Told> {
    let why = match repo.read_directory(id) {
        Ok(_) if whole && !repo.is_whole(id).unwrap_or(false) => "its bytes are not those of its name".to_owned(),
        Ok(entry) => return Ok(Told::Whole(entry)),
        // A flipped bit makes no new format; a pack that is whole may be of one.
        Err(error @ Error::Unsupported { .. }) => match repo.is_whole(id) {
            Ok(true) => return Err(error),
            _ => "its bytes are not those of its name".into(),
        },
        Err(error) => of_one(repo, error)?,
    };
    let recovered = pack::read::recover_directory(repo.store(), id, repo.keys().repo(), &repo.keys().directory_key());
    Ok(match recovered {
        Some(entry) => Told::Recovered(entry),
        None => Told::No(why),
    })
}
