//! Reads back what a window wrote, past the page cache where the system lets go of it.

use super::{
    dirs::Dirs,
    files::{Files, How, Item},
    tally::reason,
    window::Want,
};
use crate::{
    error::Result,
    fs::{
        PathError,
        target::{Kind, Target, forget_cached},
    },
    hash::{BlobKind, BlobNamer},
    model::node::Meta,
    world::Time,
};
use std::os::unix::fs::FileExt;

/// Compares every stretch that was written with its blob's id. Returns the files that differ; nothing is left of
/// them, or, where they were changed in place, a time (1970) that does not let them pass for restored.
pub(super) fn verify(target: &Target, files: &Files<'_>, wants: &mut [Want], namer: &BlobNamer) -> Result<Vec<u32>> {
    target.sync()?;
    wants.sort_unstable_by_key(|want| (want.item, want.at));
    let mut differ = Vec::new();
    let mut buffer = Vec::new();
    for group in wants.chunk_by(|a, b| a.item == b.item) {
        files.tally.check()?;
        let Some(index) = group.first().map(|want| want.item) else { continue };
        let Some(item) = files.items.get(index as usize) else { continue };
        // One that goes on is read back as far as it is.
        let goes_on = item.more && item.failed.get().is_none();
        if item.done.get().is_none() && !goes_on {
            continue;
        }
        let why = match read_back(files.dirs, item, group, namer, &mut buffer) {
            Ok(true) => continue,
            Ok(false) => "it reads back otherwise than it was written: test the target's medium".to_owned(),
            Err(error) => reason(&error),
        };
        if goes_on {
            // Said, and undone, when it is finished.
            let _ = item.failed.set(why);
            continue;
        }
        files.tally.problem(files.dirs.path(item.dir, Some(&item.name)), why);
        give_up(files, item);
        differ.push(index);
    }
    Ok(differ)
}

fn read_back(
    dirs: &Dirs,
    item: &Item,
    wants: &[Want],
    namer: &BlobNamer,
    buffer: &mut Vec<u8>,
) -> Result<bool, PathError> {
    let (opened, temporary);
    let temp = match &item.how {
        How::Replace(temp) => {
            temporary = temp.lock().unwrap_or_else(|e| e.into_inner());
            temporary.as_ref()
        }
        _ => None,
    };
    let file = match temp {
        Some(temp) => temp.file(),
        None => {
            opened = dirs.get(item.dir)?.open_to_compare(&item.name)?;
            &opened
        }
    };
    forget_cached(file);
    for want in wants {
        buffer.resize(want.len as usize, 0);
        let read = file.read_exact_at(buffer, want.at);
        read.map_err(|e| PathError::new(dirs.path(item.dir, Some(&item.name)), "read back", e))?;
        if namer.name(BlobKind::Data, buffer) != want.id {
            return Ok(false);
        }
    }
    Ok(true)
}

fn give_up(files: &Files<'_>, item: &Item) {
    let done = files.dirs.get(item.dir).and_then(|dir| match item.how {
        How::InPlace => {
            let meta = Meta { mtime: Time::default(), ..item.meta.clone() };
            dir.apply_to(&item.name, Kind::File, &meta, files.policy).map(|_| ())
        }
        _ => dir.remove(&item.name),
    });
    if let Err(error) = done {
        files.tally.path_error(error);
    }
}
