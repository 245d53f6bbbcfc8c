//! What no sidecar covers, where it lies in one piece. A fragmented object of this kind is lost: nothing tells where its parts are.

use super::{
    medium::{Medium, read_around},
    salvage::Salvaged,
    scan::{ALIGNED, Scan},
};
use crate::{
    error::{Error, Result},
    hash::{ObjectHasher, object_name},
    id::{AnnotationId, KeyId, PackId, RepoId, SnapshotId, hex},
    keys::Role,
    model::limits,
    monitor::{Counter, Monitor},
    object::{ENVELOPE_STEP, Kind},
    ops::parity,
    pack,
    parity::sectors as parity_sectors,
    repo::{Repository, annotations, snapshots as snapshot, tombstones},
    store::{ObjectName, Put, Store},
};
use std::collections::{BTreeMap, BTreeSet};

/// Length of a key slot in bytes.
const SLOT: u64 = 512;
/// Bytes that are read at a time.
const PIECE: u64 = 1 << 20;
/// Steps of 4096 bytes that a snapshot's length is tried out to: 1 MiB.
const SNAPSHOT_STEPS: u64 = 256;

/// Stores packs, key slots and the configuration that begin where nothing `known` does.
pub(super) fn packs(
    medium: &dyn Medium,
    scan: &Scan,
    repo: RepoId,
    known: &BTreeSet<u64>,
    store: &dyn Store,
    out: &mut Salvaged,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut configs: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut slots = 0;
    store.list("keys/", &mut |_| {
        slots += 1;
        Ok(())
    })?;
    for (begin, (kind, _)) in scan.heads.iter().filter(|(begin, (_, of))| *of == repo && !known.contains(begin)) {
        monitor.check()?;
        let found = match *kind {
            kind if Kind::of_pack(kind).is_some() => match scan.packs.get(begin) {
                // One that a sidecar covers, of which the first sector is damaged: it is mended already.
                Some(len) if known.range(*begin..begin + len).next().is_some() => continue,
                Some(len) => pack_at(medium, *begin, *len, store, out)?,
                None => None,
            },
            kind if kind == Kind::Slot as u8 => match whole(medium, *begin, SLOT) {
                Some(bytes) => slot(&bytes, &mut slots, store)?,
                None => None,
            },
            kind if kind == Kind::Config as u8 => match whole(medium, *begin, ENVELOPE_STEP as u64) {
                Some(bytes) => {
                    *configs.entry(bytes).or_default() += 1;
                    continue;
                }
                None => None,
            },
            _ => None,
        };
        match found {
            // A second copy of what is there.
            Some((Put::Existed, _)) => {}
            Some((Put::Created, len)) => {
                out.carved += 1;
                out.whole += 1;
                out.bytes += len;
                monitor.add(Counter::Objects, 1);
            }
            None => out.unclear += 1,
        }
    }
    config(configs, store, out)
}

/// Nothing tells which of several configurations is right: that of which there are most is taken, unless a sidecar told of one. The others are put aside.
fn config(found: BTreeMap<Vec<u8>, u64>, store: &dyn Store, out: &mut Salvaged) -> Result<()> {
    let mut found: Vec<(Vec<u8>, u64)> = found.into_iter().collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let name = ObjectName::of_parts(&["config"]);
    for (bytes, _) in found {
        match store.put(&name, &bytes)? {
            Put::Created => {
                out.carved += 1;
                out.whole += 1;
                out.bytes += bytes.len() as u64;
            }
            Put::Existed if store.get(&name, ENVELOPE_STEP as u64).is_ok_and(|there| there == bytes) => {}
            Put::Existed => parity::put_beside(store, &name, &bytes)?,
        }
    }
    Ok(())
}

/// A slot, unless there would be more than anybody tries: old ones may lie on the medium, too.
fn slot(bytes: &[u8], slots: &mut usize, store: &dyn Store) -> Result<Option<(Put, u64)>> {
    let name = ObjectName::of_parts(&["keys", &KeyId(object_name(bytes)).to_string()]);
    if *slots >= limits::SLOTS_MAX && store.stat(&name)?.is_none() {
        return Ok(None);
    }
    let put = store.put(&name, bytes)?;
    *slots += usize::from(put == Put::Created);
    Ok(Some((put, SLOT)))
}

fn whole(medium: &dyn Medium, at: u64, len: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    (at + len <= medium.length() && medium.read(at, &mut bytes).is_ok()).then_some(bytes)
}

/// A pack that begins and ends as one: named by what it is now, so that its name cannot tell that a sector of it is lost. Its segments' tags
/// tell which these are. One of which some cannot be read is no whole one.
fn pack_at(
    medium: &dyn Medium,
    begin: u64,
    len: u64,
    store: &dyn Store,
    out: &mut Salvaged,
) -> Result<Option<(Put, u64)>> {
    let mut lost = 0;
    let (mut upload, mut hasher) = (store.upload()?, ObjectHasher::default());
    let mut piece = vec![0; PIECE.min(len) as usize];
    let mut at = 0;
    while at < len {
        let part = piece.get_mut(..(len - at).min(PIECE) as usize).unwrap_or_default();
        read_around(medium, begin + at, part, &mut |_, len| lost += parity_sectors(len));
        hasher.update(part);
        upload.append(part)?;
        at += part.len() as u64;
    }
    let name = pack::object_name(&PackId(hasher.finish()));
    // What a sidecar's table names is there already, under its name.
    let put = upload.finish(&name)?;
    if lost > 0 {
        out.partial.push((name.to_string(), lost, parity_sectors(len)));
        return Ok(Some((Put::Existed, len)));
    }
    Ok(Some((put, len)))
}

/// Stores tombstones, tags and pins that no sidecar covers and that lie in one piece, as [`snapshots`] does, before which it should be run.
/// They say themselves of which snapshot they speak.
pub fn marks(medium: &dyn Medium, scan: &Scan, repo: &Repository, monitor: &dyn Monitor) -> Result<u64> {
    repo.keys().expect(Role::Maintainer, "open tombstones and tags, which looking for them does")?;
    let mut count = 0;
    for (begin, (kind, of)) in &scan.heads {
        let (is_tombstone, is_annotation) = (*kind == Kind::Tombstone as u8, *kind == Kind::Annotation as u8);
        if *of != repo.keys().repo() || !(is_tombstone || is_annotation) {
            continue;
        }
        monitor.check()?;
        let most = limits::MARK_MAX.min(medium.length().saturating_sub(*begin));
        let mut bytes = vec![0; most as usize];
        read_around(medium, *begin, &mut bytes, &mut |_, _| {});
        let about = format!("what begins at byte {begin}");
        for len in (1..=bytes.len() / ENVELOPE_STEP).map(|steps| steps * ENVELOPE_STEP) {
            let part = bytes.get(..len).unwrap_or_default();
            let opened = match is_tombstone {
                true => tombstones::open_found(repo.keys(), part, &about)
                    .map(|found| tombstones::object_name(&found.head.series, &found.head.snapshot)),
                false => annotations::open_found(repo.keys(), part, &about)
                    .map(|found| annotations::object_name(&found.series, &AnnotationId(object_name(part)))),
            };
            match opened {
                Ok(name) => {
                    count += u64::from(repo.store().put(&name, part)? == Put::Created);
                    break;
                }
                Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    repo.store().sync()?;
    Ok(count)
}

/// Stores snapshots that no sidecar covers and that lie in one piece, into a repository that was salvaged, and says how many. Only a key that opens them tells where they
/// end. Those that were forgotten may be among them.
pub fn snapshots(medium: &dyn Medium, scan: &Scan, repo: &Repository, monitor: &dyn Monitor) -> Result<u64> {
    repo.keys().expect(Role::Maintainer, "open snapshots, which looking for them does")?;
    let mut count = 0;
    let own = (Kind::Snapshot as u8, repo.keys().repo());
    for (begin, _) in scan.heads.iter().filter(|(_, head)| **head == own) {
        monitor.check()?;
        let most = (SNAPSHOT_STEPS * ENVELOPE_STEP as u64).min(medium.length().saturating_sub(*begin));
        let mut bytes = vec![0; most as usize / ALIGNED as usize * ALIGNED as usize];
        read_around(medium, *begin, &mut bytes, &mut |_, _| {});
        let name = format!("the snapshot at byte {begin}");
        if snapshot::open_head(repo.keys(), &bytes, &name).is_err() {
            continue;
        }
        for len in (1..=bytes.len() / ENVELOPE_STEP).map(|steps| steps * ENVELOPE_STEP) {
            let part = bytes.get(..len).unwrap_or_default();
            match snapshot::open_intent(repo.keys(), part, &name) {
                Ok((tag, _)) => {
                    let name = snapshot::object_name(&tag, &SnapshotId(object_name(part)));
                    let gone = ObjectName::of_parts(&["gone", &tag.to_string(), &hex(&object_name(part))]);
                    if repo.store().stat(&gone)?.is_none() && repo.store().put(&name, part)? == Put::Created {
                        count += 1;
                    }
                    break;
                }
                Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    repo.store().sync()?;
    Ok(count)
}
