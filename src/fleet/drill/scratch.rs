//! A folder that is gone when the drill is over.

use crate::{
    error::{Error, Result},
    name::Shown,
};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// How a drill's folder begins.
const PREFIX: &str = "vault-drill-";

/// A private folder, removed in the end whatever happens.
pub(super) struct Folder(Option<PathBuf>);

impl Folder {
    /// Makes one below a folder that is there.
    pub fn make(within: &Path) -> Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = within.join(format!("{PREFIX}{}-{number}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| Error::Target { path: shown(&path), source })?;
        Ok(Folder(Some(path)))
    }

    pub fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Removes it, and says when that fails.
    pub fn remove(mut self) -> Result<()> {
        let Some(path) = self.0.take() else { return Ok(()) };
        remove_all(&path).map_err(|e| {
            Error::refused(format!("cannot remove the scratch folder {}: {}", shown(&path), crate::error::reason(&e)))
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = remove_all(&path);
        }
    }
}

fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_encoded_bytes()).to_string()
}

/// Folders are restored with their modes: from one that its owner may not write to, nothing can be removed.
fn remove_all(path: &Path) -> io::Result<()> {
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    let mut left = vec![path.to_owned()];
    while let Some(folder) = left.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(path)
}
