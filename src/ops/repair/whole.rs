//! First of all: what second copies and parity bring back byte for byte. Then nothing of it has to be moved or given up.

use super::Request;
use crate::{
    error::Result,
    id::PackId,
    monitor::Monitor,
    ops::parity::{self, Addition, Examine, MendRequest, Mending},
    pack,
    repo::Repository,
    store::ObjectName,
};
use std::collections::{BTreeSet, HashSet};

/// Mends what is damaged, and packs that are gone though they should be there.
pub(super) fn mend(repo: &Repository, request: &Request<'_>, monitor: &dyn Monitor) -> Result<Mending> {
    let store = repo.store();
    if !parity::is_kept(store)? {
        return Ok(Mending::default());
    }
    let mut named: BTreeSet<ObjectName> = repo.checked().damaged().map(pack::object_name).collect();
    if request.what.packs {
        named.extend(lost_packs(repo)?);
    }
    // Without the entrance nothing else can be mended; tombstones tell which snapshots are to stay away.
    let what = request.what;
    let wants = move |name: &str| match name.split('/').next() {
        Some("packs") => what.packs,
        Some("index") => what.index,
        Some("snapshots" | "notes") => what.snapshots,
        _ => true,
    };
    let examine = if request.read_data { Examine::All } else { Examine::Looks };
    let asked = MendRequest { named: &named, wants: &wants, dry_run: request.dry_run, ..MendRequest::new(examine) };
    let mut report = parity::mend(store, &asked, monitor)?;
    if !request.dry_run {
        make_anew(repo, &mut report, monitor)?;
    }
    Ok(report)
}

/// Packs that the index lists, that are not there, and that no prune has removed. In this order: a pack that is seen to be absent; then the
/// notes, which name it as long as the index still lists a pack that a sweep removed; then the index.
fn lost_packs(repo: &Repository) -> Result<Vec<ObjectName>> {
    let present = repo.list_packs()?;
    let noted = repo.notes()?.named();
    let (index, _) = repo.load_index(true)?;
    let runs = index.runs();
    let listed: HashSet<PackId> =
        runs.iter().flat_map(|run| run.packs().map(|(id, ..)| id).collect::<Vec<_>>()).collect();
    let is_lost = |id: &&PackId| !present.contains_key(*id) && !noted.contains(*id);
    Ok(listed.iter().filter(is_lost).map(pack::object_name).collect())
}

/// Sidecars that are damaged themselves, and what is new since, covered.
fn make_anew(repo: &Repository, report: &mut Mending, monitor: &dyn Monitor) -> Result<()> {
    let Some(percent) = report.percent.filter(|_| !report.damaged_sidecars.is_empty()) else { return Ok(()) };
    let replace = report.damaged_sidecars.clone();
    parity::add(repo.store(), &Addition { percent, mirror: false, drop_missing: false, replace }, monitor)?;
    Ok(())
}
