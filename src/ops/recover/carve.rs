//! What no sidecar covers, where it lies in one piece. A fragmented object of this kind is lost: nothing tells where its parts are.

use super::{
    medium::{Medium, read_around},
    salvage::Salvaged,
    scan::{ALIGNED, Scan},
};
use crate::{
    error::{Error, Result},
    hash::{ObjectHasher, object_name},
    id::{KeyId, PackId, RepoId, SnapshotId, hex},
    keys::Role,
    monitor::{Counter, Monitor},
    object::{ENVELOPE_STEP, Kind},
    pack,
    repo::{Repository, snapshots as snapshot},
    store::{ObjectName, Put, Store},
};
use std::collections::BTreeSet;

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
    for (begin, (kind, _)) in scan.heads.iter().filter(|(begin, (_, of))| *of == repo && !known.contains(begin)) {
        monitor.check()?;
        let found = match *kind {
            kind if Kind::of_pack(kind).is_some() => match scan.packs.get(begin) {
                Some(len) => pack_at(medium, *begin, *len, store)?,
                None => None,
            },
            kind if kind == Kind::Slot as u8 => whole(medium, *begin, SLOT).map(|bytes| {
                let name = ObjectName::of_parts(&["keys", &KeyId(object_name(&bytes)).to_string()]);
                store.put(&name, &bytes).map(|put| (put, SLOT))
            }),
            kind if kind == Kind::Config as u8 => whole(medium, *begin, ENVELOPE_STEP as u64).map(|bytes| {
                store.put(&ObjectName::of_parts(&["config"]), &bytes).map(|put| (put, ENVELOPE_STEP as u64))
            }),
            _ => None,
        }
        .map_or(Ok(None), |found| found.map(Some))?;
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
    Ok(())
}

fn whole(medium: &dyn Medium, at: u64, len: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    (at + len <= medium.length() && medium.read(at, &mut bytes).is_ok()).then_some(bytes)
}

/// A pack that begins and ends as one: named by what it is now, so that it counts as whole where a sector of it is lost. Its segments' tags
/// tell which these are.
type Stored = Option<Result<(Put, u64)>>;

fn pack_at(medium: &dyn Medium, begin: u64, len: u64, store: &dyn Store) -> Result<Stored> {
    let (mut upload, mut hasher) = (store.upload()?, ObjectHasher::default());
    let mut piece = vec![0; PIECE.min(len) as usize];
    let mut at = 0;
    while at < len {
        let part = piece.get_mut(..(len - at).min(PIECE) as usize).unwrap_or_default();
        read_around(medium, begin + at, part, &mut |_, _| {});
        hasher.update(part);
        upload.append(part)?;
        at += part.len() as u64;
    }
    let name = pack::object_name(&PackId(hasher.finish()));
    // What a sidecar's table names is there already, under its name.
    Ok(Some(upload.finish(&name).map(|put| (put, len))))
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
