//! What a snapshot of a tree's file system would not hold.

use super::{OURS, Runner, real};
use crate::{
    error::{Error, Result},
    fleet::app::Quiesce,
    fs::exclude::{ExcludeOptions, Excludes},
    name::Shown,
    ops::snapshot::TreeInput,
};
use std::path::Path;

/// Fails when another file system, or a subvolume, lies in the tree and is not left out: a snapshot has an empty folder there, which
/// nobody would notice before it is to be restored.
pub(super) fn refuse(runner: &dyn Runner, how: &Quiesce, tree: &TreeInput) -> Result<()> {
    let whole = real(tree)?;
    let mut within = runner.mounts_below(&whole)?;
    if *how == Quiesce::Btrfs {
        let root = runner.subvolume(&whole)?;
        within.extend(runner.subvolumes_in(&root)?.into_iter().filter(|one| !is_ours(&root, one)));
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

/// True for what a run has made that was killed.
fn is_ours(root: &Path, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    path.parent() == Some(root) && name.is_some_and(|name| name.starts_with(&format!(".{OURS}")))
}
