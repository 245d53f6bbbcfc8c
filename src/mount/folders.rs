//! The folders that only the mount has, by the snapshots that are there.

use super::entry::{Shot, What};
use crate::{
    id::SnapshotId,
    name::{NAME_MAX, Shown, cut_text},
    series::Series,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The newest snapshot of a series is also found by this name.
const LATEST: &str = "latest";
/// The folders of the root.
const TOP: [&str; 3] = ["servers", "ids", "by-date"];

/// A snapshot that can be shown.
#[derive(Debug, Clone)]
pub struct Version {
    /// The snapshot.
    pub shot: Arc<Shot>,
    /// Its series.
    pub series: Series,
    /// Its number in the series.
    pub sequence: u64,
    /// The damaged snapshot that it was made in the place of.
    pub repaired_from: Option<SnapshotId>,
}

/// The snapshots of one series, oldest first.
pub struct Line<'a> {
    /// The snapshots.
    pub versions: Vec<&'a Version>,
    /// The last of them is the newest of the series.
    pub has_latest: bool,
}

impl Line<'_> {
    fn name(&self) -> &str {
        self.versions.first().map_or("", |version| version.series.as_str())
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.name().split('/')
    }

    fn time(&self) -> i64 {
        self.versions.last().map_or(0, |version| version.shot.time)
    }
}

/// One folder.
#[derive(Debug, Default)]
pub struct Folder {
    /// What is in it, by name.
    pub entries: BTreeMap<Box<[u8]>, What>,
    /// When the newest snapshot below it was taken.
    pub time: i64,
}

/// All folders, by path. The root's is empty; the others hold names of series as they are, not as they are shown.
#[derive(Debug)]
pub struct Folders(HashMap<Arc<str>, Folder>);

impl Default for Folders {
    fn default() -> Self {
        let mut folders = Folders(HashMap::new());
        folders.0.insert("".into(), Folder::default());
        for name in TOP {
            folders.make(&["", name]);
        }
        folders
    }
}

/// A part of a series as a name: nothing in it steers a terminal, and it is no longer than a name may be.
fn shown(part: &str) -> String {
    let shown = Shown(part.as_bytes()).to_string();
    if shown.len() <= NAME_MAX {
        return shown;
    }
    let hash = blake3::hash(part.as_bytes()).to_hex();
    format!("{}~{}", cut_text(&shown, NAME_MAX - 9), hash.get(..8).unwrap_or_default())
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

impl Folders {
    /// The folder of this path.
    pub fn get(&self, path: &str) -> Option<&Folder> {
        self.0.get(path)
    }

    /// Makes the last folder of a path, the part before being there.
    fn make(&mut self, parts: &[&str; 2]) -> Arc<str> {
        let path: Arc<str> = join(parts[0], parts[1]).into();
        if !self.0.contains_key(&path) {
            self.0.insert(path.clone(), Folder::default());
            self.enter(parts[0], &shown(parts[1]), What::Folder(path.clone()));
        }
        path
    }

    fn enter(&mut self, folder: &str, name: &str, what: What) {
        if let Some(folder) = self.0.get_mut(folder) {
            folder.entries.insert(name.as_bytes().into(), what);
        }
    }

    fn has(&self, folder: &str, name: &str) -> bool {
        self.get(folder).is_some_and(|folder| folder.entries.contains_key(name.as_bytes()))
    }

    /// The folders of these series.
    pub fn of(mut all: Vec<Line<'_>>, time_name: &dyn Fn(i64) -> String) -> Self {
        all.retain(|one| !one.versions.is_empty());
        all.sort_by(|a, b| a.name().cmp(b.name()));
        let mut folders = Folders::default();
        // All folders before any snapshot: a folder's name is the series', a snapshot's can be another.
        let places: Vec<Arc<str>> = all.iter().map(|one| folders.make_all(one)).collect();
        for (one, place) in all.iter().zip(&places) {
            folders.fill(place, one, time_name);
        }
        folders
    }

    fn make_all(&mut self, one: &Line<'_>) -> Arc<str> {
        let mut folder: Arc<str> = "servers".into();
        for part in one.parts() {
            self.touch(&folder, one.time());
            folder = self.make(&[&folder, part]);
        }
        self.touch(&folder, one.time());
        folder
    }

    fn fill(&mut self, folder: &str, one: &Line<'_>, time_name: &dyn Fn(i64) -> String) {
        let path = one.parts().map(shown).collect::<Vec<String>>().join("/");
        let mut last = String::new();
        for version in &one.versions {
            let (short, sec) = (version.shot.id.short(), version.shot.time);
            let time = time_name(sec);
            // Two of one second; or another series has a folder of that name here.
            let name = if self.has(folder, &time) { format!("{time}_{short}") } else { time.clone() };
            self.enter(folder, &name, What::Shot(version.shot.clone()));
            let link = What::Link { target: format!("../servers/{path}/{name}").into(), time: sec };
            let id = if self.has("ids", &short) { version.shot.id.to_string() } else { short };
            self.enter("by-date", &format!("{time}_{id}"), link.clone());
            self.enter("ids", &id, link);
            last = name;
        }
        for top in ["", "ids", "by-date"] {
            self.touch(top, one.time());
        }
        if one.has_latest && !self.has(folder, LATEST) {
            self.enter(folder, LATEST, What::Link { target: last.into(), time: one.time() });
        }
    }

    fn touch(&mut self, folder: &str, time: i64) {
        if let Some(folder) = self.0.get_mut(folder) {
            folder.time = folder.time.max(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SeriesTag;

    fn version(n: u8, series: &str, sec: i64) -> Version {
        let shot = Arc::new(Shot { id: SnapshotId([n; 32]), tag: SeriesTag([0; 16]), time: sec });
        Version { shot, series: Series::parse(series).unwrap(), sequence: n.into(), repaired_from: None }
    }

    fn names(folders: &Folders, path: &str) -> Vec<String> {
        let folder = folders.get(path).unwrap_or_else(|| panic!("{path}"));
        folder.entries.keys().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect()
    }

    fn target(folders: &Folders, folder: &str, name: &str) -> String {
        match &folders.get(folder).unwrap().entries[name.as_bytes()] {
            What::Link { target, .. } => target.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn time_name(sec: i64) -> String {
        format!("t{sec}")
    }

    fn folders(versions: &[Version], has_latest: bool) -> Folders {
        let mut names: Vec<&Series> = versions.iter().map(|version| &version.series).collect();
        names.dedup();
        let of = |name: &Series| versions.iter().filter(|version| version.series == *name).collect();
        Folders::of(names.iter().map(|name| Line { versions: of(name), has_latest }).collect(), &time_name)
    }

    #[test]
    fn series_lie_in_one_another_and_snapshots_are_found_three_ways() {
        let all = [version(1, "a/-/srv/wiki", 5), version(2, "a/-/srv/wiki", 7), version(3, "a/-/srv", 6)];
        let folders = folders(&all, true);
        assert_eq!(names(&folders, ""), ["by-date", "ids", "servers"]);
        assert_eq!(names(&folders, "servers/a/-"), ["srv"]);
        assert_eq!(names(&folders, "servers/a/-/srv"), ["latest", "t6", "wiki"]);
        assert_eq!(names(&folders, "servers/a/-/srv/wiki"), ["latest", "t5", "t7"]);
        assert_eq!(target(&folders, "servers/a/-/srv/wiki", "latest"), "t7");
        assert_eq!(names(&folders, "by-date"), ["t5_01010101", "t6_03030303", "t7_02020202"]);
        assert_eq!(target(&folders, "ids", "01010101"), "../servers/a/-/srv/wiki/t5");
        assert_eq!(folders.get("servers/a").unwrap().time, 7);
    }

    #[test]
    fn names_that_are_taken_or_cannot_be_shown_become_others() {
        let all = [
            version(1, "a/-/x", 5),
            version(2, "a/-/x", 5),
            version(5, "a/-/x", 9),
            version(3, "a/-/x/latest", 5),
            version(4, "a/-/x/t9", 1),
        ];
        let found = folders(&all, true);
        assert_eq!(names(&found, "servers/a/-/x"), ["latest", "t5", "t5_02020202", "t9", "t9_05050505"]);
        assert!(matches!(found.get("servers/a/-/x").unwrap().entries[&b"latest"[..]], What::Folder(_)));
        let long = "\u{202e}".repeat(80);
        let found = folders(&[version(6, "a/-/\u{202e}\\x", 5), version(7, &format!("a/-/{long}"), 5)], false);
        let shown = names(&found, "servers/a/-");
        assert_eq!(shown[0], "\\u{202e}\\\\x");
        assert!(shown[1].len() <= NAME_MAX && shown[1].contains('~'), "{}", shown[1]);
        assert_eq!(names(&found, "servers/a/-/\u{202e}\\x"), ["t5"]);
        assert_eq!(target(&found, "ids", "06060606"), "../servers/a/-/\\u{202e}\\\\x/t5");
    }
}
