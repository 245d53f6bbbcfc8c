//! Is everything there, and is it what it should be?

mod beside;
mod cost;
mod data;
mod findings;
pub mod keyless;
pub mod losses;
mod marks;
mod objects;
mod packs;
mod pages;
mod superseded;
#[cfg(test)]
mod tests;

use crate::{
    error::Result,
    keys::Role,
    monitor::{Monitor, Phase},
    ops,
    repo::{BlobReader, Repository},
};
use findings::Findings;
use losses::SeriesLoss;

/// How much of the packs is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReadData {
    /// None: structure only.
    None,
    /// Packs of this share of their bytes, in per cent, above 0 and at most 100: those that this client has not read for the
    /// longest time. So a share of 5 covers everything in 20 runs. Those that were damaged when they were read last come on top, whatever the share.
    /// Dates are kept by [`crate::repo::checked`]; without a folder for derived tables, packs are chosen at random.
    Percent(f64),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object, `packs/3f/3f…`.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// What it costs: paths in snapshots, `series@id:path`, the first 100.
    pub lost: Vec<String>,
    /// All that it costs, in number of entries.
    pub lost_count: u64,
}

/// What came of a check.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Packs in the index.
    pub packs: u64,
    /// Blobs in the index.
    pub blobs: u64,
    /// Packs that were read whole.
    pub packs_read: u64,
    /// Bytes that were read from packs.
    pub bytes_read: u64,
    /// What is wrong; empty for a repository that is whole.
    pub findings: Vec<Finding>,
    /// What these cost, by series.
    pub losses: Vec<SeriesLoss>,
    /// What is odd but harmless: damage that a repair has made up for, packs that no index lists, foreign files.
    pub notes: Vec<String>,
}

/// Checks the repository. Needs a key that opens snapshots; one that opens no contents of files leaves these out, with a note.
///
/// Fails when the store as a whole does, or with [`Unsupported`](crate::error::Error::Unsupported) when it holds objects of a newer format, of which nothing is
/// assumed. `threads`: workers, 0 for one a core. Packs of the wrong length, and those that were damaged when this
/// client read them last, are read whatever `share` says, to know what is left. Of sidecars of parity and second copies of packs only the
/// length is looked at without a share, and with one all are read: they are few.
///
/// Order: snapshots are listed before the index is read, and packs after it, so that a snapshot that is taken meanwhile is no finding.
pub fn check(repo: &Repository, share: ReadData, threads: usize, monitor: &dyn Monitor) -> Result<Report> {
    repo.keys().expect(Role::Maintainer, "open snapshots, which a check does")?;
    let threads = ops::threads(threads);
    monitor.phase(Phase::Opening);
    let found = Findings::new(repo, monitor);
    objects::config_and_slots(&found)?;
    let snapshots = objects::snapshots(&found)?;
    let (index, unreadable) = repo.load_index(true)?;
    for (object, error) in unreadable {
        let finding = found.judge(&object, error)?;
        found.damage().index.get_or_insert(finding);
    }
    let named = marks::named_packs(&found)?;
    let reader = BlobReader::new(repo, &index);
    let stored = objects::Stored::list(&found)?;
    let packs = packs::Packs::compare(&found, &reader, &stored)?;

    monitor.phase(Phase::Planning);
    pages::check(&found, &reader, &snapshots, threads)?;
    objects::unlisted(&found, &packs, &stored)?;
    monitor.phase(Phase::Verifying);
    let read = data::read(&found, &reader, &packs, &stored, share, threads)?;
    cost::name_losses(&found, &reader, &snapshots)?;
    superseded::settle(&found, &index, &packs, &stored, &named)?;
    beside::check(&found, &stored, share, (read.packs, read.bytes), threads)?;

    let (findings, losses, notes) = found.finish();
    Ok(Report {
        snapshots: snapshots.len() as u64,
        packs: packs.len() as u64,
        blobs: index.len() as u64,
        packs_read: read.packs,
        bytes_read: read.bytes,
        findings,
        losses,
        notes,
    })
}
