//! What quiescing asks of this machine.

use super::Runner;
use crate::{
    error::{Error, Result},
    fleet::night::hooks::SECRETS,
    name::Shown,
    ops::media::{Host, System},
};
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Programs and the mount table of this machine.
pub(super) struct Machine;

impl Runner for Machine {
    fn run(&self, words: &[&OsStr]) -> Result<String> {
        let (Some(program), args) = (words.first(), words.get(1..).unwrap_or_default()) else {
            return Ok(String::new());
        };
        let named = words.iter().map(|word| Shown(word.as_bytes()).to_string()).collect::<Vec<_>>().join(" ");
        let mut command = Command::new(program);
        for secret in SECRETS {
            command.env_remove(secret);
        }
        let output = command.args(args).stdin(Stdio::null()).output();
        let output = output.map_err(|e| Error::Command { command: named.clone(), why: e.to_string() })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let why = format!("{} ({})", Shown(said.trim().as_bytes()), output.status);
        Err(Error::Command { command: named, why })
    }

    fn holding(&self, path: &Path) -> Result<(PathBuf, PathBuf)> {
        let whole = path.canonicalize().map_err(|e| failed(path, e))?;
        let device = looked_at(&whole)?.dev();
        // By its number alone: where a part of another one is mounted, the path tells the wrong one.
        let found =
            System.mounts()?.into_iter().rev().filter(|one| one.device == device && whole.starts_with(&one.point));
        let found = found.max_by_key(|one| one.point.as_os_str().len()).ok_or_else(|| {
            Error::refused(format!(
                "{} lies on no file system that is mounted there as a whole: quiesce does not fit here",
                path.display()
            ))
        })?;
        Ok((found.source, found.point))
    }

    fn subvolume(&self, path: &Path) -> Result<PathBuf> {
        let device = looked_at(path)?.dev();
        for above in path.ancestors() {
            let folder = looked_at(above)?;
            if folder.dev() != device {
                break;
            }
            if folder.ino() == SUBVOLUME {
                return Ok(above.to_owned());
            }
        }
        Err(Error::refused(format!(
            "{} lies in no btrfs subvolume whose root can be reached: quiesce = \"btrfs\" does not fit here",
            path.display()
        )))
    }

    fn subvolumes_in(&self, root: &Path) -> Result<Vec<PathBuf>> {
        let list = ["btrfs", "subvolume", "list", "-o"].map(OsStr::new);
        let listed = self.run(&[&list[..], &[root.as_os_str()]].concat())?;
        let device = looked_at(root)?.dev();
        // The paths begin at the root of the whole, wherever that is mounted: how much of one leads to our root is tried.
        let there = |path: &Path| {
            let is = |folder: &Path| {
                fs::symlink_metadata(folder).is_ok_and(|it| it.is_dir() && it.ino() == SUBVOLUME && it.dev() != device)
            };
            let parts: Vec<_> = path.components().collect();
            let ends = (0..parts.len()).filter_map(|at| parts.get(at..));
            ends.map(|end| root.join(end.iter().collect::<PathBuf>())).find(|folder| is(folder))
        };
        Ok(listed.lines().filter_map(|line| there(Path::new(line.split_once(" path ")?.1))).collect())
    }

    fn mounts_below(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        System.below(folder)
    }
}

/// The number that the root of each subvolume has, and nothing else.
const SUBVOLUME: u64 = 256;

fn failed(path: &Path, error: io::Error) -> Error {
    Error::store("look at", path.display(), error)
}

fn looked_at(path: &Path) -> Result<fs::Metadata> {
    fs::metadata(path).map_err(|e| failed(path, e))
}
