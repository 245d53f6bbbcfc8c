//! What the browser can show: series, snapshots, folders, versions, what was found. And how to get at it.

use crate::{
    cli::{human, log::happened},
    error::{Error, Result},
    id::SnapshotId,
    model::node::{Body, Node},
    monitor::Monitor,
    name::Shown,
    ops::{
        diff, find,
        history::{Facts, Kind},
        log,
        lookup::{Found, lookup},
        ls,
        restore::{self, Owners},
    },
    repo::{BlobReader, Listed},
    series::Series,
};
use std::{collections::BTreeMap, rc::Rc};

/// Something that has a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// All series.
    Repository,
    /// The snapshots of a series.
    Series(String),
    /// What is in a folder of a snapshot; all sources for no path.
    Folder { snapshot: Rc<Listed>, path: Vec<u8> },
    /// The versions of a file or folder.
    Versions { series: String, path: Vec<u8> },
    /// What was found in the snapshots of a series.
    Found { series: String, pattern: String },
}

impl Place {
    /// The series that it is of.
    pub fn series(&self) -> Option<&str> {
        match self {
            Place::Repository => None,
            Place::Series(series) | Place::Versions { series, .. } | Place::Found { series, .. } => Some(series),
            Place::Folder { snapshot, .. } => Some(&snapshot.snapshot.series),
        }
    }

    /// What it is called, safe to show.
    pub fn title(&self) -> String {
        let shown = |text: &str| Shown(text.as_bytes()).to_string();
        match self {
            Place::Repository => "all series".into(),
            Place::Series(series) => shown(series),
            Place::Folder { snapshot, path } => {
                let time = human::local_time(snapshot.snapshot.head.time.sec);
                format!("{}  {time}  /{}", shown(&snapshot.snapshot.series), Shown(path))
            }
            Place::Versions { series, path } => format!("{}  versions of {}", shown(series), Shown(path)),
            Place::Found { series, pattern } => format!("{}  found: {}", shown(series), shown(pattern)),
        }
    }

    /// What to say when its list is empty.
    pub fn nothing(&self) -> String {
        match self {
            Place::Repository => "there are no snapshots yet",
            Place::Series(_) => "its snapshots cannot be read: see `vault check`",
            Place::Folder { .. } => "the folder is empty",
            Place::Versions { .. } => "no versions are known",
            Place::Found { .. } => "nothing was found",
        }
        .into()
    }
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A series with its number of snapshots, and its newest.
    Series { series: String, snapshots: usize, newest: Rc<Listed> },
    /// A snapshot.
    Snapshot(Rc<Listed>),
    /// An entry of a folder.
    Entry { snapshot: Rc<Listed>, path: Vec<u8>, node: Box<Node> },
    /// A version, which is in a snapshot; or that there is none from then on.
    Version { snapshot: Rc<Listed>, path: Vec<u8>, facts: Option<Facts>, what: String },
    /// What was found, in the last snapshot that has it.
    Match { found: Box<find::Match>, snapshot: Rc<Listed> },
}

fn leaf(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

impl Item {
    /// What it is called, safe to show.
    pub fn name(&self) -> String {
        match self {
            Item::Series { series, .. } => Shown(series.as_bytes()).to_string(),
            Item::Snapshot(listed) => human::local_time(listed.snapshot.head.time.sec),
            Item::Entry { path, node, .. } => {
                format!("{}{}", Shown(leaf(path)), if node.is_dir() { "/" } else { "" })
            }
            Item::Version { snapshot, .. } => human::local_time(snapshot.snapshot.head.time.sec),
            Item::Match { found, .. } => Shown(&found.path).to_string(),
        }
    }

    /// Size and more, safe to show: one column to the right of the name, then another.
    pub fn columns(&self) -> [String; 2] {
        match self {
            Item::Series { snapshots, newest, .. } => {
                let count = human::counted(*snapshots as u64, "snapshot", "snapshots");
                [count, human::local_time(newest.snapshot.head.time.sec)]
            }
            Item::Snapshot(listed) => {
                let state = if listed.snapshot.head.complete { "" } else { "  incomplete" };
                [human::bytes(listed.snapshot.totals.bytes), format!("{}{state}", listed.id.short())]
            }
            Item::Entry { node, .. } => [human::bytes(node.bytes()), human::local_time(node.meta.mtime.sec)],
            Item::Version { facts, what, .. } => {
                [facts.map(|facts| human::bytes(facts.size)).unwrap_or_default(), what.clone()]
            }
            Item::Match { found, .. } => {
                let end = if found.is_present { "now".into() } else { human::local_time(found.last.time.sec) };
                [human::bytes(found.facts.size), format!("until {end}")]
            }
        }
    }

    /// Where it leads; nowhere from a file.
    pub fn open(&self) -> Option<Place> {
        let folder = |snapshot: &Rc<Listed>, path: &[u8]| {
            Some(Place::Folder { snapshot: snapshot.clone(), path: path.to_vec() })
        };
        match self {
            Item::Series { series, .. } => Some(Place::Series(series.clone())),
            Item::Snapshot(snapshot) => folder(snapshot, b""),
            Item::Entry { snapshot, path, node } if node.is_dir() => folder(snapshot, path),
            Item::Match { snapshot, found } if found.facts.kind == Kind::Directory => folder(snapshot, &found.path),
            Item::Match { snapshot, found } => {
                let end = found.path.len() - leaf(&found.path).len();
                folder(snapshot, found.path.get(..end.saturating_sub(1)).unwrap_or_default())
            }
            Item::Version { snapshot, path, facts: Some(facts), .. } if facts.kind == Kind::Directory => {
                folder(snapshot, path)
            }
            Item::Entry { .. } | Item::Version { .. } => None,
        }
    }

    fn entry(&self) -> Option<(&Rc<Listed>, &[u8])> {
        match self {
            Item::Entry { snapshot, path, .. } | Item::Version { snapshot, path, facts: Some(_), .. } => {
                Some((snapshot, path))
            }
            Item::Match { snapshot, found } => Some((snapshot, &found.path)),
            _ => None,
        }
    }

    /// By what it is marked, when it can be restored.
    pub fn mark(&self) -> Option<(String, Vec<u8>)> {
        self.entry().map(|(snapshot, path)| (snapshot.id.to_string(), path.to_vec()))
    }

    /// Its versions.
    pub fn history(&self) -> Option<Place> {
        let (snapshot, path) = self.entry()?;
        Some(Place::Versions { series: snapshot.snapshot.series.clone(), path: path.to_vec() })
    }

    /// The series that it is, or is of.
    pub fn series(&self) -> Option<&str> {
        match self {
            Item::Series { series, .. } => Some(series),
            Item::Snapshot(snapshot) => Some(&snapshot.snapshot.series),
            _ => self.entry().map(|(snapshot, _)| snapshot.snapshot.series.as_str()),
        }
    }
}

/// Where lists come from.
pub trait Library {
    /// What is at a place.
    fn list(&mut self, place: &Place) -> Result<Vec<Item>>;
    /// What is in a file, or what is known of anything else: lines that are safe to show.
    fn preview(&mut self, item: &Item) -> Result<Vec<String>>;
    /// Brings entries back into a folder; says what came of it.
    fn restore(&mut self, items: &[Item], target: &str) -> Result<String>;
}

/// Entries of a folder that are listed: nobody scrolls further.
const ENTRIES_MAX: usize = 100_000;
/// Lines of a preview.
const LINES_MAX: usize = 500;
/// Bytes of a file that are looked at.
const FRONT: u64 = 64 << 10;

/// A repository.
pub struct Shelves<'r> {
    reader: &'r BlobReader<'r>,
    monitor: &'r dyn Monitor,
    protect: Option<crate::fs::target::Identity>,
    snapshots: BTreeMap<String, Vec<Rc<Listed>>>,
}

impl<'r> Shelves<'r> {
    /// Of all snapshots, which are given by series, oldest first.
    pub fn new(
        reader: &'r BlobReader<'r>,
        listed: Vec<Listed>,
        protect: Option<crate::fs::target::Identity>,
        monitor: &'r dyn Monitor,
    ) -> Self {
        let mut snapshots: BTreeMap<String, Vec<Rc<Listed>>> = BTreeMap::new();
        for one in listed {
            snapshots.entry(one.snapshot.series.clone()).or_default().push(Rc::new(one));
        }
        Shelves { reader, monitor, protect, snapshots }
    }

    fn snapshot(&self, series: &str, id: &SnapshotId) -> Option<Rc<Listed>> {
        self.snapshots.get(series)?.iter().find(|listed| listed.id == *id).cloned()
    }

    fn folder(&self, snapshot: &Rc<Listed>, path: &[u8]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        let mut each = |entry: &ls::Entry<'_>| {
            let (path, node) = (entry.path.to_vec(), Box::new(entry.node.clone()));
            items.push(Item::Entry { snapshot: snapshot.clone(), path, node });
            if items.len() < ENTRIES_MAX { Ok(()) } else { Err(Error::Cancelled) }
        };
        match ls::ls(self.reader, snapshot, Some(path), false, &mut each) {
            Err(Error::Cancelled) if items.len() >= ENTRIES_MAX => Ok(items),
            Ok(unreadable) => match unreadable.into_iter().next() {
                Some((_, error)) if items.is_empty() => Err(error),
                _ => Ok(items),
            },
            Err(error) => Err(error),
        }
    }

    fn versions(&self, series: &str, path: &[u8]) -> Result<Vec<Item>> {
        let log = log::log(self.reader.repo(), self.reader, &Series::parse(series)?, path, self.monitor)?;
        let befores = std::iter::once(None).chain(log.revisions.iter().map(Some));
        let item = |(at, (revision, before)): (usize, (&log::Revision, Option<&log::Revision>))| {
            let snapshot = self.snapshot(series, &revision.since.id)?;
            let what = happened(at + 1, revision, before);
            Some(Item::Version { snapshot, path: path.to_vec(), facts: revision.facts, what })
        };
        let mut items: Vec<Item> = log.revisions.iter().zip(befores).enumerate().filter_map(item).collect();
        items.reverse();
        Ok(items)
    }

    fn found(&self, series: &str, pattern: &str) -> Result<Vec<Item>> {
        let wanted = find::Wanted { patterns: vec![pattern.to_owned()], ignore_case: true, ..find::Wanted::default() };
        let (query, mut items) = (find::Query::new(wanted)?, Vec::new());
        let mut each = |found: &find::Match| {
            let snapshot = self.snapshot(&found.series, &found.last.id).filter(|_| found.series == series);
            items.extend(snapshot.map(|snapshot| Item::Match { found: Box::new(found.clone()), snapshot }));
            if items.len() < ENTRIES_MAX { Ok(()) } else { Err(Error::Cancelled) }
        };
        let scope = find::Scope { prefix: series, latest: false };
        match find::find(self.reader.repo(), self.reader, scope, &query, &mut each, self.monitor) {
            Err(Error::Cancelled) if items.len() >= ENTRIES_MAX => {}
            found => drop(found?),
        }
        items.reverse();
        Ok(items)
    }
}

impl Library for Shelves<'_> {
    fn list(&mut self, place: &Place) -> Result<Vec<Item>> {
        match place {
            Place::Repository => Ok(self
                .snapshots
                .iter()
                .filter_map(|(series, all)| {
                    let newest = all.last()?.clone();
                    Some(Item::Series { series: series.clone(), snapshots: all.len(), newest })
                })
                .collect()),
            Place::Series(series) => {
                let all = self.snapshots.get(series).map(Vec::as_slice).unwrap_or_default();
                Ok(all.iter().rev().cloned().map(Item::Snapshot).collect())
            }
            Place::Folder { snapshot, path } => self.folder(snapshot, path),
            Place::Versions { series, path } => self.versions(series, path),
            Place::Found { series, pattern } => self.found(series, pattern),
        }
    }

    fn preview(&mut self, item: &Item) -> Result<Vec<String>> {
        let Some((snapshot, path)) = item.entry() else { return Ok(vec!["nothing to look into".into()]) };
        let Found::Entry(entry) = lookup(self.reader, &snapshot.snapshot, Some(path))? else { return Ok(Vec::new()) };
        let node = &entry.node;
        Ok(match &node.body {
            Body::File { .. } => lines(&diff::front(self.reader, node, FRONT)?, node.bytes()),
            Body::Directory { entries, bytes, .. } => vec![
                human::counted(*entries, "entry", "entries"),
                human::bytes(*bytes),
                format!("mode {:04o}", node.meta.mode),
            ],
            Body::Symlink { target } => vec![format!("-> {}", Shown(target))],
            other => vec![Kind::of(other).word().into()],
        })
    }

    fn restore(&mut self, items: &[Item], target: &str) -> Result<String> {
        if std::fs::read_dir(target).is_ok_and(|mut there| there.next().is_some()) {
            return Err(Error::refused(format!("{} is not empty: choose another folder", Shown(target.as_bytes()))));
        }
        let (mut files, mut bytes, mut problems) = (0, 0, 0);
        let entries: Vec<(&Rc<Listed>, &[u8])> = items.iter().filter_map(Item::entry).collect();
        for (snapshot, path) in &entries {
            let request = restore::Request {
                path: Some(path.to_vec()),
                target: self.target_of(&entries, snapshot, path, target)?,
                // The folder was empty: what is there is what was marked, too.
                in_place: true,
                protect: self.protect,
                owners: Owners::Numeric,
                ..restore::Request::default()
            };
            let report = restore::restore(self.reader, snapshot, &request, self.monitor)?;
            files += report.totals.files;
            bytes += report.totals.bytes;
            problems += report.problem_count;
        }
        let what = format!("{}, {}", human::counted(files, "file", "files"), human::bytes(bytes));
        let target = Shown(target.as_bytes());
        Ok(match problems {
            0 => format!("restored {what} to {target}"),
            _ => format!(
                "restored {what} to {target}, with {}: see `vault restore`",
                human::counted(problems, "problem", "problems")
            ),
        })
    }
}

impl Shelves<'_> {
    /// Where one of several goes: below its snapshot's id where these differ, and below its folders, so that none meets another.
    fn target_of(&self, all: &[(&Rc<Listed>, &[u8])], snapshot: &Listed, path: &[u8], target: &str) -> Result<Vec<u8>> {
        let is_dir = match lookup(self.reader, &snapshot.snapshot, Some(path))? {
            Found::Entry(entry) => entry.node.is_dir(),
            Found::Snapshot => false,
        };
        let mut parts = vec![target.as_bytes()];
        let id = snapshot.id.short();
        if all.iter().any(|(other, _)| other.id != snapshot.id) {
            parts.push(id.as_bytes());
        }
        let name = leaf(path);
        if all.len() > 1 {
            parts.push(path.get(..path.len() - name.len()).unwrap_or_default());
        }
        // What is in a folder goes into the target.
        if is_dir {
            parts.push(name);
        }
        Ok(parts.join(&b'/'))
    }
}

/// The front of a file as lines: text, or numbers where it is none.
fn lines(front: &[u8], size: u64) -> Vec<String> {
    let mut lines: Vec<String> = if diff::is_text(front) {
        let lines = front.split(|&b| b == b'\n').take(LINES_MAX);
        lines.map(|line| Shown(line.strip_suffix(b"\r").unwrap_or(line)).to_string().replace("\\t", "    ")).collect()
    } else {
        let hex = |part: &[u8]| part.iter().map(|b| format!("{b:02x} ")).collect::<String>();
        let row = |(n, part): (usize, &[u8])| format!("{:08x}  {}", n * 16, hex(part));
        front.chunks(16).take(LINES_MAX).enumerate().map(row).collect()
    };
    if (front.len() as u64) < size {
        lines.push(format!("… of {}", human::bytes(size)));
    }
    lines
}
