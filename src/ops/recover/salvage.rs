//! What was found becomes objects of a store. An object that is not whole is stored all the same when something of it is there: a repair takes whole
//! segments out of it.

use super::{
    carve,
    medium::Medium,
    place::{Placed, place},
    scan::Scan,
    target,
};
use crate::{
    error::{Error, Result},
    hash::ObjectHasher,
    id::RepoId,
    model::limits,
    monitor::{Counter, Monitor, Phase},
    ops::{
        naming,
        parity::{self, Rebuilt, Sectors, Verdict, examine, rebuild},
    },
    parity::{Covered, Layout, SECTOR},
    store::{ObjectName, Store},
};
use std::collections::BTreeSet;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// The repository.
    pub repo: Option<RepoId>,
    /// Objects that are whole.
    pub whole: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that parity helped with.
    pub mended: u64,
    /// Those that no sidecar covers, and that lay in one piece.
    pub carved: u64,
    /// Objects of which sectors are lost, with how many of how many: stored with zeros in their place.
    pub partial: Vec<(String, u64, u64)>,
    /// Objects of which nothing is left.
    pub lost: Vec<String>,
    /// Beginnings of objects of which nothing more could be made without a key.
    pub unclear: u64,
}

/// The repository on a medium: that of most objects, or the one that is asked for.
fn whose(scan: &Scan, wanted: Option<RepoId>) -> Result<RepoId> {
    let found = scan.repositories();
    match wanted {
        Some(repo) if found.contains_key(&repo) => Ok(repo),
        Some(repo) => Err(Error::usage(format!("nothing of the repository {repo} is on this medium"))),
        None => {
            let most = found.iter().max_by_key(|(repo, count)| (**count, repo.0)).map(|(repo, _)| *repo);
            most.ok_or_else(|| Error::NoRepository {
                place: "this medium".into(),
                why: "no object of a vault repository was seen on it".into(),
            })
        }
    }
}

/// Stores what is left of one repository. What the store has already is left as it is, so that this can be repeated.
pub fn salvage(
    medium: &dyn Medium,
    scan: &Scan,
    repo: Option<RepoId>,
    store: &dyn Store,
    monitor: &dyn Monitor,
) -> Result<Salvaged> {
    let repo = whose(scan, repo)?;
    target::claim(store, Some(repo))?;
    let mut out = Salvaged { repo: Some(repo), ..Salvaged::default() };
    let placed = place(medium, scan, monitor)?;
    monitor.phase(Phase::Storing);
    // Later sidecars know of later objects; one that is in several is taken from the first that has it whole.
    let mut done: BTreeSet<ObjectName> = BTreeSet::new();
    let mut poor = Vec::new();
    // Older sidecars cover what was forgotten later: whichever names its tombstone tells.
    let tables = scan.sets.iter().filter(|layout| layout.block.repo == repo).flat_map(|layout| &layout.table.objects);
    let gone: BTreeSet<&str> =
        tables.map(|object| object.name.as_str()).filter(|name| name.starts_with("gone/")).collect();
    for (layout, placed) in scan.sets.iter().zip(&placed).filter(|(layout, _)| layout.block.repo == repo) {
        let verdict = examine(layout, placed, None, monitor)?;
        let rebuilt = match verdict.bad.is_empty() {
            true => Rebuilt::new(),
            false => rebuild(layout, placed, &verdict, monitor)?,
        };
        for object in 0..layout.table.objects.len() {
            monitor.check()?;
            let set = Set { layout, placed, verdict: &verdict, rebuilt: &rebuilt, gone: &gone };
            set.one(object, store, &mut done, &mut poor, &mut out, monitor)?;
        }
    }
    for (name, lost, of, upload) in poor {
        if done.contains(&name) {
            continue;
        }
        done.insert(name.clone());
        match upload {
            Some(bytes) if lost < of => {
                put_poor(store, &name, bytes)?;
                out.partial.push((name.to_string(), lost, of));
            }
            _ => out.lost.push(name.to_string()),
        }
    }
    let known: BTreeSet<u64> = placed.iter().flat_map(Placed::places).collect();
    carve::packs(medium, scan, repo, &known, store, &mut out, monitor)?;
    store.sync()?;
    out.partial.sort();
    out.lost.sort();
    Ok(out)
}

/// A damaged object, as the lengths of memory allow: its bytes are written again from the medium when nothing better was found.
type Poor<'a> = (ObjectName, u64, u64, Option<PoorBytes<'a>>);

struct PoorBytes<'a> {
    layout: &'a Layout,
    placed: &'a Placed<'a>,
    object: usize,
    rebuilt: Vec<(u32, Vec<u8>)>,
}

fn put_poor(store: &dyn Store, name: &ObjectName, from: PoorBytes<'_>) -> Result<()> {
    let rebuilt: Rebuilt = from.rebuilt.into_iter().collect();
    let mut upload = store.upload()?;
    each_piece(from.layout, from.placed, &rebuilt, from.object, &mut |piece| upload.append(piece))?;
    upload.finish(name).map(drop)
}

struct Set<'a, 'p> {
    layout: &'p Layout,
    placed: &'p Placed<'p>,
    verdict: &'a Verdict,
    rebuilt: &'a Rebuilt,
    /// Tombstones that any table names.
    gone: &'a BTreeSet<&'a str>,
}

/// True for a snapshot that has a tombstone.
fn is_forgotten(name: &str, gone: &BTreeSet<&str>) -> bool {
    name.strip_prefix("snapshots/").is_some_and(|rest| gone.contains(format!("gone/{rest}").as_str()))
}

impl<'p> Set<'_, 'p> {
    fn one(
        &self,
        object: usize,
        store: &dyn Store,
        done: &mut BTreeSet<ObjectName>,
        poor: &mut Vec<Poor<'p>>,
        out: &mut Salvaged,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let wanted = |covered: &&Covered| {
            let name = covered.name.as_str();
            parity::is_in_sets(name) && !done.contains(&covered.name) && !is_forgotten(name, self.gone)
        };
        let Some(covered) = self.layout.table.objects.get(object).filter(wanted) else { return Ok(()) };
        let range = self.layout.range(object);
        let lost = self.verdict.bad.range(range.clone()).filter(|sector| !self.rebuilt.contains_key(sector)).count();
        let mut is_whole = false;
        if lost == 0 {
            // Of an earlier try there may be one, whole or not.
            is_whole = store.stat(&covered.name)?.is_some() && parity::is_whole(store, &covered.name)?;
            if !is_whole {
                let (mut upload, mut hasher, mut small) = (store.upload()?, ObjectHasher::default(), Vec::new());
                each_piece(self.layout, self.placed, self.rebuilt, object, &mut |piece| {
                    hasher.update(piece);
                    if covered.len <= limits::MARK_MAX {
                        small.extend_from_slice(piece);
                    }
                    upload.append(piece)
                })?;
                let sum = hasher.finish();
                is_whole = sum == covered.sum
                    && parity::is_as_named(covered.name.as_str(), &sum, || naming::ends_with_sum(&small));
                if is_whole {
                    parity::put_in_place(store, &covered.name, upload)?;
                }
            }
        }
        if is_whole {
            done.insert(covered.name.clone());
            out.whole += 1;
            out.bytes += covered.len;
            out.mended += u64::from(self.verdict.is_damaged(self.layout, object));
            monitor.add(Counter::Objects, 1);
        } else {
            let rebuilt = self.rebuilt.range(range).map(|(sector, bytes)| (*sector, bytes.clone())).collect();
            let bytes = PoorBytes { layout: self.layout, placed: self.placed, object, rebuilt };
            poor.push((covered.name.clone(), lost as u64, covered.sectors(), Some(bytes)));
        }
        Ok(())
    }
}

/// Calls `each` with an object's bytes in their order.
fn each_piece(
    layout: &Layout,
    placed: &Placed<'_>,
    rebuilt: &Rebuilt,
    object: usize,
    each: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let Some(covered) = layout.table.objects.get(object) else { return Ok(()) };
    let start = layout.range(object).start;
    let mut bytes = vec![0; 256 * SECTOR];
    let mut at = 0;
    while at < covered.sectors() {
        let count = (covered.sectors() - at).min(256);
        let part = bytes.get_mut(..count as usize * SECTOR).unwrap_or_default();
        placed.object(covered, at, part);
        for (number, sector) in (start + at as u32..).zip(part.chunks_mut(SECTOR)) {
            if let Some(right) = rebuilt.get(&number) {
                sector.copy_from_slice(right);
            }
        }
        let there = (covered.len - at * SECTOR as u64).min(part.len() as u64);
        each(part.get(..there as usize).unwrap_or_default())?;
        at += count;
    }
    Ok(())
}
