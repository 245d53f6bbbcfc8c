//! How much there is, and how much of it is worth its space.

use crate::{
    error::Result,
    index::BlobIndex,
    model::snapshot::Snapshot,
    monitor::{Monitor, Phase},
    repo::{Listed, Repository},
};
use std::collections::{BTreeMap, HashSet};

/// Sums over one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesStats {
    /// `server/vm/relpath`.
    pub series: String,
    /// Snapshots.
    pub snapshots: u64,
    /// Time of the newest, seconds since 1970.
    pub newest: i64,
    /// Bytes of files in the newest.
    pub bytes: u64,
    /// Files in the newest.
    pub files: u64,
    /// Sum of bytes of files over all snapshots.
    pub bytes_all: u64,
    /// Bytes that were new to the repository with these snapshots, before compression.
    pub bytes_new: u64,
    /// Bytes that they added to the store.
    pub bytes_stored: u64,
    /// The last 30 snapshots, oldest first.
    pub nights: Vec<Night>,
    /// Its sources, in the order of their names.
    pub sources: Vec<SourceStats>,
}

/// What one snapshot added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Night {
    /// When it was taken, seconds since 1970.
    pub time: i64,
    /// Bytes of files in it.
    pub bytes: u64,
    /// Bytes that were new to the repository, before compression.
    pub new: u64,
    /// Bytes that it added to the store.
    pub stored: u64,
}

/// Sums over one source of a series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// Its name.
    pub name: Vec<u8>,
    /// Snapshots that have it.
    pub snapshots: u64,
    /// Bytes of files in the newest of these.
    pub bytes: u64,
    /// Files in the newest of these.
    pub files: u64,
    /// Sum of bytes of files over all snapshots.
    pub bytes_all: u64,
    /// Bytes that were new to the repository with it, before compression, in all snapshots.
    pub bytes_new: u64,
    /// The same in each of the last 30 snapshots of the series, oldest first; 0 in those that lack it.
    pub nights: Vec<u64>,
}

/// Sums over segments that lean on earlier blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leaning {
    /// How many.
    pub segments: u64,
    /// Their plaintext, in bytes.
    pub plain: u64,
    /// Their length in the packs, in bytes.
    pub stored: u64,
    /// What they save, in bytes, supposed that they would have been compressed like the others.
    pub saved: u64,
}

/// Sums over the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// By series, sorted.
    pub series: Vec<SeriesStats>,
    /// Packs in the index, data and trees.
    pub packs: u64,
    /// Segments.
    pub segments: u64,
    /// Blobs, counting one that lies in two places twice.
    pub blobs: u64,
    /// Bytes of plaintext of the blobs.
    pub bytes_plain: u64,
    /// Bytes of the packs.
    pub bytes_packed: u64,
    /// Segments that are stored as the difference to an earlier version.
    pub leaning: Leaning,
    /// Bytes of all objects in the store.
    pub bytes_store: u64,
    /// Snapshots that cannot be read.
    pub unreadable: u64,
}

/// Snapshots of which a series shows how much was new.
const NEWEST: usize = 30;

/// Adds up. Needs a key that opens snapshots.
pub fn stats(repo: &Repository, monitor: &dyn Monitor) -> Result<Stats> {
    monitor.phase(Phase::Opening);
    let snapshots = repo.snapshots(None)?;
    let mut stats = Stats { unreadable: snapshots.unreadable.len() as u64, ..Stats::default() };
    // By series, oldest first.
    for of_one in snapshots.listed.chunk_by(|a, b| a.snapshot.series == b.snapshot.series) {
        stats.series.extend(series_stats(of_one));
    }
    monitor.check()?;
    let (index, unreadable) = repo.load_index(false)?;
    for (object, error) in &unreadable {
        monitor.problem(&format!("{object} is not counted: {error}"));
    }
    add_packs(&index, &mut stats);
    monitor.check()?;
    repo.store().list("", &mut |entry| {
        stats.bytes_store += entry.len;
        Ok(())
    })?;
    Ok(stats)
}

fn series_stats(snapshots: &[Listed]) -> Option<SeriesStats> {
    let newest = &snapshots.last()?.snapshot;
    let last = snapshots.len().saturating_sub(NEWEST);
    Some(SeriesStats {
        series: newest.series.clone(),
        snapshots: snapshots.len() as u64,
        newest: newest.head.time.sec,
        bytes: newest.totals.bytes,
        files: newest.totals.files,
        bytes_all: sum(snapshots, |snapshot| snapshot.totals.bytes),
        bytes_new: sum(snapshots, |snapshot| snapshot.work.bytes_new),
        bytes_stored: sum(snapshots, |snapshot| snapshot.work.bytes_stored),
        nights: snapshots.iter().skip(last).map(|listed| night(&listed.snapshot)).collect(),
        sources: by_source(snapshots),
    })
}

fn sum(snapshots: &[Listed], of: impl Fn(&Snapshot) -> u64) -> u64 {
    snapshots.iter().fold(0, |sum, listed| sum.saturating_add(of(&listed.snapshot)))
}

fn night(snapshot: &Snapshot) -> Night {
    let (time, bytes) = (snapshot.head.time.sec, snapshot.totals.bytes);
    Night { time, bytes, new: snapshot.work.bytes_new, stored: snapshot.work.bytes_stored }
}

fn by_source(snapshots: &[Listed]) -> Vec<SourceStats> {
    let mut sources: BTreeMap<&[u8], SourceStats> = BTreeMap::new();
    let last = snapshots.len().saturating_sub(NEWEST);
    let all = snapshots.iter().enumerate();
    for (at, source) in all.flat_map(|(at, listed)| listed.snapshot.sources.iter().map(move |source| (at, source))) {
        let name = source.root.name.as_bytes();
        let stats = sources.entry(name).or_default();
        stats.name = name.to_vec();
        stats.snapshots += 1;
        (stats.bytes, stats.files) = (source.totals.bytes, source.totals.files);
        stats.bytes_all = stats.bytes_all.saturating_add(source.totals.bytes);
        stats.bytes_new = stats.bytes_new.saturating_add(source.bytes_new);
        stats.nights.resize(snapshots.len() - last, 0);
        if let Some(night) = at.checked_sub(last).and_then(|at| stats.nights.get_mut(at)) {
            *night = source.bytes_new;
        }
    }
    sources.into_values().collect()
}

/// A pack that two index objects list counts once.
fn add_packs(index: &BlobIndex, stats: &mut Stats) {
    let mut seen = HashSet::new();
    let (mut alone_plain, mut alone_stored) = (0u64, 0u64);
    for run in index.runs().iter() {
        let first: Vec<bool> = run
            .packs()
            .map(|(id, len, _)| {
                let first = seen.insert(id);
                if first {
                    stats.packs += 1;
                    stats.bytes_packed += len;
                }
                first
            })
            .collect();
        for segment in run.segments().filter(|segment| first.get(segment.pack as usize).copied().unwrap_or(false)) {
            let (raw, stored) = (u64::from(segment.raw), u64::from(segment.stored));
            stats.segments += 1;
            stats.bytes_plain += raw;
            if segment.leans {
                stats.leaning.segments += 1;
                stats.leaning.plain += raw;
                stats.leaning.stored += stored;
            } else {
                alone_plain += raw;
                alone_stored += stored;
            }
        }
    }
    let share = alone_stored as f64 / alone_plain.max(1) as f64;
    stats.leaning.saved = ((stats.leaning.plain as f64 * share) as u64).saturating_sub(stats.leaning.stored);
    stats.blobs = index.len() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitor::Silent,
        ops::fixture::{self, Fixture},
    };

    #[test]
    fn sums_are_those_of_what_was_stored() {
        let fixture = Fixture::new();
        for n in 0..3u8 {
            let files = vec![("a", fixture::file(&vec![n; 5000])), ("b", fixture::file(&[7; 100]))];
            fixture.snapshot("h/-/one", n.into(), vec![("data", fixture::dir(files))]);
        }
        let db = || ("db", fixture::file(&[7; 100]));
        fixture.snapshot("h/-/two", 8, vec![db(), ("data", fixture::dir::<&str>(vec![]))]);
        fixture.snapshot("h/-/two", 9, vec![("data", fixture::dir::<&str>(vec![]))]);
        let stats = stats(&fixture.repo, &Silent).unwrap();
        let [one, two] = &stats.series[..] else { panic!("{stats:?}") };
        assert_eq!((one.snapshots, one.files, one.bytes, one.bytes_all), (3, 2, 5100, 15300));
        assert_eq!(
            one.nights.iter().map(|night| (night.time, night.bytes)).collect::<Vec<_>>(),
            [(0, 5100), (1, 5100), (2, 5100)]
        );
        assert!(one.nights.iter().all(|night| night.new >= 5000 && night.stored > 0), "{one:?}");
        assert_eq!(one.bytes_new, one.nights.iter().map(|night| night.new).sum::<u64>());
        assert_eq!(one.bytes_stored, one.nights.iter().map(|night| night.stored).sum::<u64>());
        assert_eq!((two.series.as_str(), two.snapshots, two.files, two.newest), ("h/-/two", 2, 0, 9));
        let sources: Vec<(&[u8], u64, u64)> =
            two.sources.iter().map(|one| (&one.name[..], one.snapshots, one.bytes_all)).collect();
        assert_eq!(sources, [(&b"data"[..], 2, 0), (b"db", 1, 100)]);
        // Three versions of one file, one that never changed; a page for each directory.
        assert_eq!(stats.blobs, 3 + 1 + 3 + 1);
        assert!(stats.bytes_plain > 15100 && stats.segments >= 2 && stats.packs >= 2, "{stats:?}");
        assert!(stats.bytes_store > stats.bytes_packed && stats.unreadable == 0, "{stats:?}");
    }
}
