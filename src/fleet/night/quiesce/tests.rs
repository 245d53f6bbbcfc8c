//! What is done for a volume, written down by something that stands in for it; real ones are in `tests/torture`.

use super::*;
use crate::monitor::Silent;
use std::cell::RefCell;

/// Writes down what it is to do; `lvs` knows a volume.
#[derive(Default)]
struct Scribe {
    done: RefCell<Vec<String>>,
    fails: Option<&'static str>,
    point: PathBuf,
    within: Vec<PathBuf>,
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
    fn subvolume(&self, _: &Path) -> Result<PathBuf> {
        Ok(self.point.clone())
    }
    fn subvolumes_in(&self, root: &Path) -> Result<Vec<PathBuf>> {
        Ok(vec![root.join(".vault-0-0"), root.join("elsewhere")])
    }
    fn mounts_below(&self, _: &Path) -> Result<Vec<PathBuf>> {
        Ok(self.within.clone())
    }
}

fn trees(dir: &Path) -> [TreeInput; 2] {
    ["app", "data"].map(|name| {
        fs::create_dir_all(dir.join(name)).unwrap();
        TreeInput {
            path: dir.join(name).into_os_string().into_encoded_bytes(),
            exclude: vec!["/cache".into()],
            ..TreeInput::default()
        }
    })
}

fn begin(runner: &Scribe, how: &Quiesce, scratch: &Path) -> Result<(Still, [PathBuf; 2])> {
    let mut trees = trees(&runner.point);
    let [one, other] = &mut trees;
    let still = Still::begin_with(runner, how, "a/-/b", scratch, true, &mut [one, other], &Silent)?;
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

#[test]
fn what_no_snapshot_would_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let point = dir.path().canonicalize().unwrap();
    for (within, is_good) in
        [("app", true), ("app/cache/x", true), ("application", true), ("app/cached", false), ("data/x/cache", false)]
    {
        for how in [Quiesce::Lvm { size: "5G".into() }, Quiesce::Btrfs, Quiesce::Zfs] {
            let runner = Scribe { point: point.clone(), within: vec![point.join(within)], ..Scribe::default() };
            let begun = begin(&runner, &how, &point.join("scratch"));
            assert_eq!(begun.is_ok(), is_good, "{within}");
            assert!(is_good || runner.done.borrow().is_empty(), "something was made");
        }
    }
}

#[test]
fn what_a_killed_run_left_mounted_in_the_tree_is_no_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let point = dir.path().canonicalize().unwrap();
    let scratch = point.join("app/scratch");
    let first = |within: Vec<PathBuf>| {
        let runner = Scribe { point: point.clone(), within, ..Scribe::default() };
        begin(&runner, &Quiesce::Lvm { size: "5G".into() }, &scratch).map(|(_, [app, _])| app)
    };
    let left = first(Vec::new()).unwrap().parent().unwrap().to_owned();
    assert!(left.starts_with(&scratch), "{left:?}");
    assert!(first(vec![left.clone()]).is_ok());
    assert!(first(vec![left.join("below")]).is_err());
    assert!(first(vec![scratch.join("vault-data")]).is_err());
}
