//! Files that stand still while they are read: a snapshot of the file system, read in the place of the files themselves.
//!
//! A snapshot is one of a single file system or subvolume: in the place of another that lies within it there is an empty folder. So all
//! of a tree has to lie on the one that holds it.
//!
//! What is made has a name that follows from the application, so that a run can remove what one that was killed has left.

mod machine;
mod nested;
mod ours;
#[cfg(test)]
mod tests;

use crate::{
    error::{Error, Result},
    fleet::app::Quiesce,
    monitor::Monitor,
    ops::snapshot::TreeInput,
};
use machine::Machine;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// What was made, to be removed again: the last first.
pub struct Still {
    undo: Vec<Vec<OsString>>,
}

/// Runs commands; in tests something that only writes them down.
pub trait Runner {
    /// Runs a command; its output when it ends well.
    fn run(&self, words: &[&OsStr]) -> Result<String>;
    /// The file system that holds a path: what it is mounted from, and where.
    fn holding(&self, path: &Path) -> Result<(PathBuf, PathBuf)>;
    /// The btrfs subvolume that holds a path: its root.
    fn subvolume(&self, path: &Path) -> Result<PathBuf>;
    /// Subvolumes that lie directly in a subvolume, wherever below its root.
    fn subvolumes_in(&self, root: &Path) -> Result<Vec<PathBuf>>;
    /// Where something is mounted below a folder.
    fn mounts_below(&self, folder: &Path) -> Result<Vec<PathBuf>>;
}

/// Where a tree lies, without links.
fn real(tree: &TreeInput) -> Result<PathBuf> {
    let given = Path::new(OsStr::from_bytes(&tree.path));
    given.canonicalize().map_err(|e| Error::store("look at", given.display(), e))
}

impl Still {
    /// Makes snapshots of the file systems that hold the trees, and lets the trees be read from there. `series` names them, `scratch` is
    /// where they are mounted. `whole`: what else lies on other file systems below the trees is wanted, too.
    pub fn begin(
        how: &Quiesce,
        series: &str,
        scratch: &Path,
        whole: bool,
        trees: &mut [&mut TreeInput],
        monitor: &dyn Monitor,
    ) -> Result<Still> {
        Still::begin_with(&Machine, how, series, scratch, whole, trees, monitor)
    }

    fn begin_with(
        runner: &dyn Runner,
        how: &Quiesce,
        series: &str,
        scratch: &Path,
        whole: bool,
        trees: &mut [&mut TreeInput],
        monitor: &dyn Monitor,
    ) -> Result<Still> {
        let mut still = Still { undo: Vec::new() };
        if *how == Quiesce::None {
            return Ok(still);
        }
        if whole {
            for tree in trees.iter() {
                nested::refuse(runner, how, scratch, tree, monitor)?;
            }
        }
        let mut made: Vec<(PathBuf, PathBuf)> = Vec::new();
        for (number, tree) in trees.iter_mut().enumerate() {
            let one = still.tree(runner, how, &ours::name(series, number), scratch, tree, &mut made);
            if let Err(error) = one {
                // The error is what counts.
                let _ = still.end_with(runner, monitor);
                return Err(error);
            }
        }
        Ok(still)
    }

    fn tree(
        &mut self,
        runner: &dyn Runner,
        how: &Quiesce,
        name: &str,
        scratch: &Path,
        tree: &mut TreeInput,
        made: &mut Vec<(PathBuf, PathBuf)>,
    ) -> Result<()> {
        let whole = real(tree)?;
        let (source, point) = match how {
            Quiesce::Btrfs => (PathBuf::new(), runner.subvolume(&whole)?),
            _ => runner.holding(&whole)?,
        };
        let place = match made.iter().find(|(known, _)| *known == point) {
            Some((_, place)) => place.clone(),
            None => {
                let place = match how {
                    Quiesce::None => return Ok(()),
                    Quiesce::Lvm { size } => self.lvm(runner, name, size, scratch, &source)?,
                    Quiesce::Btrfs => self.btrfs(runner, name, &point)?,
                    Quiesce::Zfs => self.zfs(runner, name, &source, &point)?,
                };
                made.push((point.clone(), place.clone()));
                place
            }
        };
        let below = whole.strip_prefix(&point).unwrap_or(Path::new(""));
        let place = if below.as_os_str().is_empty() { place } else { place.join(below) };
        tree.read_from = Some(place.into_os_string().into_encoded_bytes());
        Ok(())
    }

    fn lvm(&mut self, runner: &dyn Runner, name: &str, size: &str, scratch: &Path, source: &Path) -> Result<PathBuf> {
        let os = OsStr::new;
        let known = runner.run(&[
            os("lvs"),
            os("--noheadings"),
            os("--separator"),
            os("/"),
            os("-o"),
            os("vg_name,lv_name"),
            source.as_os_str(),
        ])?;
        let known = known.trim();
        let (group, _) = known.split_once('/').ok_or_else(|| {
            Error::refused(format!("{} is no logical volume: quiesce = \"lvm\" does not fit here", source.display()))
        })?;
        let snapshot = format!("{group}/{name}");
        let at = scratch.join(name);
        // What a run that was killed has left.
        let _ = runner.run(&[os("umount"), at.as_os_str()]);
        let _ = runner.run(&[os("lvremove"), os("-qq"), os("-y"), os(&snapshot)]);
        let option = if size.contains('%') { "-l" } else { "-L" };
        runner.run(&[os("lvcreate"), os("-qq"), os("-s"), os("-n"), os(name), os(option), os(size), os(known)])?;
        self.undo.push(["lvremove", "-qq", "-y", &snapshot].map(OsString::from).to_vec());
        fs::create_dir_all(&at).map_err(|e| Error::store("make", at.display(), e))?;
        let device = Path::new("/dev").join(&snapshot);
        let mount =
            |options: &str| runner.run(&[os("mount"), os("-o"), os(options), device.as_os_str(), at.as_os_str()]);
        // XFS refuses a second file system of one UUID; others do not know the option.
        if mount("ro").is_err() {
            mount("ro,nouuid")?;
        }
        self.undo.push(vec!["umount".into(), at.clone().into()]);
        Ok(at)
    }

    fn btrfs(&mut self, runner: &dyn Runner, name: &str, point: &Path) -> Result<PathBuf> {
        let os = OsStr::new;
        let at = point.join(format!(".{name}"));
        let _ = runner.run(&[os("btrfs"), os("subvolume"), os("delete"), at.as_os_str()]);
        runner.run(&[os("btrfs"), os("subvolume"), os("snapshot"), os("-r"), point.as_os_str(), at.as_os_str()])?;
        self.undo.push(vec!["btrfs".into(), "subvolume".into(), "delete".into(), at.clone().into()]);
        Ok(at)
    }

    fn zfs(&mut self, runner: &dyn Runner, name: &str, source: &Path, point: &Path) -> Result<PathBuf> {
        let os = OsStr::new;
        let snapshot = format!("{}@{name}", source.display());
        let _ = runner.run(&[os("zfs"), os("destroy"), os(&snapshot)]);
        runner.run(&[os("zfs"), os("snapshot"), os(&snapshot)])?;
        self.undo.push(["zfs", "destroy", &snapshot].map(OsString::from).to_vec());
        Ok(point.join(".zfs/snapshot").join(name))
    }

    /// Removes what was made.
    pub fn end(self, monitor: &dyn Monitor) -> Result<()> {
        self.end_with(&Machine, monitor)
    }

    fn end_with(mut self, runner: &dyn Runner, monitor: &dyn Monitor) -> Result<()> {
        let mut first = None;
        while let Some(words) = self.undo.pop() {
            let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
            if let Err(error) = runner.run(&words) {
                monitor.problem(&error.to_string());
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }
}
