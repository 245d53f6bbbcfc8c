//! Files that stand still while they are read: a snapshot of the file system, read in the place of the files themselves.
//!
//! What is made has a name that follows from the application, so that a run can remove what one that was killed has left.

use super::hooks::SECRETS;
use crate::{
    error::{Error, Result},
    fleet::app::Quiesce,
    monitor::Monitor,
    name::Shown,
    ops::{
        media::{Host, System},
        snapshot::TreeInput,
    },
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
}

struct Real;

impl Runner for Real {
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
        let failed = |e| Error::store("look at", path.display(), e);
        let whole = path.canonicalize().map_err(failed)?;
        let device = std::os::unix::fs::MetadataExt::dev(&fs::metadata(&whole).map_err(failed)?);
        let mounts = System.mounts()?;
        let found = mounts.into_iter().rev().filter(|one| whole.starts_with(&one.point));
        let found = found.max_by_key(|one| (one.device == device, one.point.as_os_str().len()));
        let found =
            found.ok_or_else(|| Error::usage(format!("{} lies on no file system that can be told", path.display())))?;
        Ok((found.source, found.point))
    }
}

impl Still {
    /// Makes snapshots of the file systems that hold the trees, and lets the trees be read from there. `series` names them, `scratch` is
    /// where they are mounted.
    pub fn begin(
        how: &Quiesce,
        series: &str,
        scratch: &Path,
        trees: &mut [&mut TreeInput],
        monitor: &dyn Monitor,
    ) -> Result<Still> {
        Still::begin_with(&Real, how, series, scratch, trees, monitor)
    }

    fn begin_with(
        runner: &dyn Runner,
        how: &Quiesce,
        series: &str,
        scratch: &Path,
        trees: &mut [&mut TreeInput],
        monitor: &dyn Monitor,
    ) -> Result<Still> {
        let mut still = Still { undo: Vec::new() };
        if *how == Quiesce::None {
            return Ok(still);
        }
        let mut made: Vec<(PathBuf, PathBuf)> = Vec::new();
        for (number, tree) in trees.iter_mut().enumerate() {
            let name =
                format!("vault-{}-{number}", blake3::hash(series.as_bytes()).to_hex().get(..12).unwrap_or_default());
            let one = still.tree(runner, how, &name, scratch, tree, &mut made);
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
        let given = Path::new(OsStr::from_bytes(&tree.path));
        let whole = given.canonicalize().map_err(|e| Error::store("look at", given.display(), e))?;
        let (source, point) = runner.holding(&whole)?;
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
        self.end_with(&Real, monitor)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;
    use std::cell::RefCell;

    /// Writes down what it is to do; `lvs` knows a volume.
    #[derive(Default)]
    struct Scribe {
        done: RefCell<Vec<String>>,
        fails: Option<&'static str>,
        point: PathBuf,
    }

    impl Runner for Scribe {
        fn run(&self, words: &[&OsStr]) -> Result<String> {
            let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
            self.done.borrow_mut().push(line.clone());
            match self.fails.is_some_and(|begin| line.starts_with(begin)) {
                true => Err(Error::refused(line)),
                false if words[0] == "lvs" => Ok("vg0/data".into()),
                false => Ok(String::new()),
            }
        }
        fn holding(&self, _: &Path) -> Result<(PathBuf, PathBuf)> {
            Ok(("/dev/mapper/vg0-data".into(), self.point.clone()))
        }
    }

    fn trees(dir: &Path) -> [TreeInput; 2] {
        ["app", "data"].map(|name| {
            fs::create_dir_all(dir.join(name)).unwrap();
            TreeInput { path: dir.join(name).into_os_string().into_encoded_bytes(), ..TreeInput::default() }
        })
    }

    fn begin(runner: &Scribe, how: &Quiesce, scratch: &Path) -> Result<(Still, [PathBuf; 2])> {
        let mut trees = trees(&runner.point);
        let [one, other] = &mut trees;
        let still = Still::begin_with(runner, how, "a/-/b", scratch, &mut [one, other], &Silent)?;
        Ok((still, trees.map(|tree| PathBuf::from(String::from_utf8(tree.read_from.unwrap()).unwrap()))))
    }

    #[test]
    fn a_volume_is_snapshot_once_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().canonicalize().unwrap();
        let runner = Scribe { point: point.clone(), ..Scribe::default() };
        let scratch = point.join("scratch");
        let (still, [app, data]) = begin(&runner, &Quiesce::Lvm { size: "10%ORIGIN".into() }, &scratch).unwrap();
        let place = app.parent().unwrap();
        assert!(place.starts_with(&scratch) && data == place.join("data"));
        still.end_with(&runner, &Silent).unwrap();
        let done = runner.done.borrow();
        let kinds: Vec<&str> = done.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(kinds, ["lvs", "umount", "lvremove", "lvcreate", "mount", "umount", "lvremove"], "{done:?}");
        assert!(done[3].contains("-l 10%ORIGIN vg0/data"), "{}", done[3]);
    }

    #[test]
    fn what_was_made_is_removed_when_the_rest_fails() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().canonicalize().unwrap();
        let runner = Scribe { point: point.clone(), fails: Some("mount"), ..Scribe::default() };
        let how = Quiesce::Lvm { size: "5G".into() };
        let begun = begin(&runner, &how, &point.join("scratch"));
        assert!(begun.is_err());
        assert!(runner.done.borrow().last().unwrap().starts_with("lvremove"));
    }

    #[test]
    fn subvolumes_and_data_sets_are_read_from_their_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().canonicalize().unwrap();
        for (how, below) in [(Quiesce::Btrfs, ".vault-"), (Quiesce::Zfs, ".zfs/snapshot/vault-")] {
            let runner = Scribe { point: point.clone(), ..Scribe::default() };
            let (still, [app, _]) = begin(&runner, &how, &point).unwrap();
            assert!(app.to_string_lossy().starts_with(&format!("{}/{below}", point.display())));
            assert!(app.ends_with("app"));
            still.end_with(&runner, &Silent).unwrap();
            assert!(runner.done.borrow().last().unwrap().contains(if how == Quiesce::Btrfs {
                "delete"
            } else {
                "destroy"
            }));
        }
    }
}
