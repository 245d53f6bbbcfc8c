//! What a snapshot of a tree's file system would not hold.

use super::{Runner, ours, real};
use crate::{
    error::{Error, Result},
    fleet::app::Quiesce,
    fs::exclude::{ExcludeOptions, Excludes},
    monitor::Monitor,
    name::Shown,
    ops::snapshot::TreeInput,
};
use std::path::Path;

/// Fails when another file system, or a subvolume, lies in the tree and is not left out: a snapshot has an empty folder there, which
/// nobody would notice before it is to be restored. What a run has made that was killed is none of the tree's: `scratch` may lie in it.
pub(super) fn refuse(
    runner: &dyn Runner,
    how: &Quiesce,
    scratch: &Path,
    tree: &TreeInput,
    monitor: &dyn Monitor,
) -> Result<()> {
    let whole = real(tree)?;
    let scratch = scratch.canonicalize().unwrap_or_else(|_| scratch.to_owned());
    let mut within = runner.mounts_below(&whole)?;
    within.retain(|one| {
        let is_left = is_ours(&scratch, one, "");
        if is_left {
            let path = Shown(one.as_os_str().as_encoded_bytes());
            monitor.note(&format!("{path} is a volume's snapshot that a run has left: it is no part of the tree"));
        }
        !is_left
    });
    if *how == Quiesce::Btrfs {
        let root = runner.subvolume(&whole)?;
        within.extend(runner.subvolumes_in(&root)?.into_iter().filter(|one| !is_ours(&root, one, ".")));
    }
    let patterns = tree.exclude.clone();
    let excludes = Excludes::new(&ExcludeOptions { patterns, ..ExcludeOptions::default() })?;
    for path in within {
        let Ok(below) = path.strip_prefix(&whole) else { continue };
        // Snapshots of ZFS that somebody looks into, which are in no snapshot, and need not be.
        if *how == Quiesce::Zfs && below.components().any(|part| part.as_os_str() == ".zfs") {
            continue;
        }
        let is_out = |part: &Path| excludes.leaves_out(part.as_os_str().as_encoded_bytes(), true);
        if below.as_os_str().is_empty() || below.ancestors().any(|part| !part.as_os_str().is_empty() && is_out(part)) {
            continue;
        }
        return Err(Error::refused(format!(
            "{} is a file system or subvolume of its own, which a snapshot of what lies around it does not hold: make it an application \
             or a source of its own, leave it out by `exclude`, or all such by `one-file-system = true`",
            Shown(path.as_os_str().as_encoded_bytes())
        )));
    }
    Ok(())
}

/// True for what a run puts into `folder`, with this before its name.
fn is_ours(folder: &Path, path: &Path, before: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(before));
    path.parent() == Some(folder) && name.is_some_and(ours::is_name)
}
