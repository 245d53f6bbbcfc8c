//! Damage that costs nothing, because a repair has put what was whole elsewhere: a note, so that only what needs somebody's
//! attention makes a check fail.

use super::{findings::Findings, objects::Stored, packs::Packs};
use crate::{error::Result, id::PackId, index::BlobIndex};
use std::collections::HashSet;

/// Turns findings into notes where all that an object held is had elsewhere.
pub(super) fn settle(
    found: &Findings<'_>,
    index: &BlobIndex,
    packs: &Packs,
    stored: &Stored,
    named: &HashSet<PackId>,
) -> Result<()> {
    let mut absent = HashSet::new();
    for (object, number) in found.costless() {
        let mut parts = object.split('/');
        match (parts.next(), parts.next_back().map(PackId::parse)) {
            (Some("packs"), Some(Ok(id))) if named.contains(&id) => {
                found.settle(number, "it is marked as damaged and costs nothing: a prune takes it away")
            }
            (Some("packs"), Some(Ok(id))) if !stored.packs.contains_key(&id) => drop(absent.insert(id)),
            // One that could be read at first counts.
            (Some("index"), Some(Ok(id))) if !packs.has_object(&id.0) && nothing_unlisted(found, packs, stored) => {
                found.settle(number, "every pack that is there is listed by others, and nothing is lost with it");
            }
            _ => {}
        }
    }
    if absent.is_empty() {
        return Ok(());
    }
    let mut kept = absent.clone();
    packs.each(found, &mut |_, entry| {
        if kept.contains(&entry.id) {
            let mut blobs = entry.directory.segments.iter().flat_map(|segment| &segment.blobs);
            if !blobs.all(|blob| found.damage().loss(index, &blob.id).is_none()) {
                kept.remove(&entry.id);
            }
        }
        Ok(())
    })?;
    for (object, number) in found.costless() {
        if PackId::parse(object.rsplit('/').next().unwrap_or_default()).is_ok_and(|id| kept.contains(&id)) {
            found.settle(number, "all that it held lies in other packs: a prune takes it off the index");
        }
    }
    Ok(())
}

/// True when no pack is there that an index object ought to list.
fn nothing_unlisted(found: &Findings<'_>, packs: &Packs, stored: &Stored) -> bool {
    stored.packs.keys().all(|id| packs.lists(id) || found.repo.read_directory(id).is_err())
}
