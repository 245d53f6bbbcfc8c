//! Recipes of users' own that snapshots hold, back into a folder.

use crate::{
    error::{Error, Result, reason},
    fleet::{config::StoredConfig, recipe::User},
    name::Shown,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Those that were found, by their names.
#[derive(Default)]
pub(super) struct OwnRecipes {
    texts: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl OwnRecipes {
    /// Takes the recipe of a snapshot, if it holds one. One that is taken later counts.
    pub fn take(&mut self, stored: &StoredConfig) {
        let Some(text) = &stored.recipe else { return };
        let name = &stored.app.recipe;
        // One that does not say anything would be in the way of all that reads the folder.
        if let Err(error) = User::of_snapshot(name, text) {
            self.notes.push(format!("{}: {error}", stored.app.series));
            return;
        }
        let before = self.texts.insert(name.clone(), text.clone());
        if before.is_some_and(|before| before != *text) {
            let shown = Shown(name.as_bytes());
            self.notes.push(format!("snapshots hold different recipes \"{shown}\": that of the newest counts"));
        }
    }

    /// Writes them, each into a file of its name; nothing that is there is changed. The files, and what else is to be told.
    pub fn write(self, folder: &Path) -> Result<(Vec<PathBuf>, Vec<String>)> {
        let (mut written, mut notes) = (Vec::new(), self.notes);
        for (name, text) in &self.texts {
            // The name was looked at: it is one of a file.
            let path = folder.join(format!("{name}.toml"));
            let failed =
                |source| Error::Target { path: Shown(path.as_os_str().as_encoded_bytes()).to_string(), source };
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
            match fs::File::options().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
                    written.push(path);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => notes.extend(kept(&path, text)),
                Err(e) => return Err(failed(e)),
            }
        }
        Ok((written, notes))
    }
}

/// What is to be told of a file that is there already; nothing when it is the same.
fn kept(path: &Path, text: &str) -> Option<String> {
    let shown = Shown(path.as_os_str().as_encoded_bytes());
    match fs::read(path) {
        Ok(there) if there == text.as_bytes() => None,
        Ok(_) => Some(format!("{shown} is there already, and is not as the snapshot has it: it was left as it is")),
        Err(e) => Some(format!("{shown} is there already, and cannot be read: {}", reason(&e))),
    }
}
