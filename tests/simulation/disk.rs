//! A disk that is watched: the store in a folder is the real one, and each change that it makes is recorded in order. From the record
//! follows what the disk may hold after a power cut between any two changes.
//!
//! The model is stricter than any file system: nothing is durable that was not flushed, and what was not flushed may have come to the
//! disk in any order. Entries of a folder become durable when that folder is flushed, bytes when their file is, a new folder's own entry
//! when the folder above it is.

use crate::chance::Chance;
use rustix::{fs::AtFlags, io::Errno};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};
use vault::store::local::disk::{At, Change, Watch};

/// A file or folder, by its number; folder 0 is the root.
type Node = usize;
/// Objects of a store by their names.
pub type Objects = BTreeMap<String, Arc<[u8]>>;

const SECTOR: usize = 512;

/// A step towards the disk that comes as a whole, or torn, or not at all.
#[derive(Debug, Clone)]
enum Atom {
    Enter(Node, String, Node),
    Leave(Node, String, Node),
    Append(Node, Arc<[u8]>),
}

/// An atom, the change that it belongs to, and after how many changes it is durable.
#[derive(Debug, Clone)]
struct Entry {
    atom: Atom,
    change: usize,
    durable: usize,
}

/// How a change fails.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Changes that still succeed.
    pub spare: usize,
    /// What the kernel says.
    pub errno: Errno,
    /// All later ones fail as well: so does a process that was killed.
    pub lasting: bool,
}

#[derive(Default)]
struct State {
    nodes: HashMap<u64, Node>,
    folders: HashMap<Node, BTreeMap<String, Node>>,
    next: Node,
    entries: Vec<Entry>,
    changes: usize,
    fault: Option<Fault>,
    /// Folders whose flushes are only pretended.
    lies: bool,
}

/// The watch, and the folder that it watches.
pub struct Recorder {
    folder: PathBuf,
    state: Mutex<State>,
}

impl Recorder {
    /// Watches an empty folder.
    pub fn new(folder: &Path) -> Arc<Self> {
        let mut state = State { next: 1, ..State::default() };
        state.folders.insert(0, BTreeMap::new());
        state.nodes.insert(std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(folder).unwrap()), 0);
        Arc::new(Recorder { folder: folder.to_owned(), state: Mutex::new(state) })
    }

    /// Flushes of folders do nothing from now on: what a test of the model itself is to find.
    pub fn lie(&self) {
        self.lock().lies = true;
    }

    pub fn fail(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// Changes so far, those that failed left out.
    pub fn changes(&self) -> usize {
        self.lock().changes
    }

    /// Damages the disk behind the store's back, durably; `None` removes the object.
    pub fn damage(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut state = self.lock();
        let (mut folder, mut parts) = (0, name.split('/').peekable());
        let leaf = loop {
            let part = parts.next().unwrap();
            if parts.peek().is_none() {
                break part;
            }
            folder = state.folders[&folder][part];
        };
        let (old, now) = (state.folders[&folder][leaf], state.changes + 1);
        let path = self.folder.join(name);
        std::fs::remove_file(&path).unwrap();
        let mut atoms = vec![Atom::Leave(folder, leaf.into(), old)];
        state.folders.get_mut(&folder).unwrap().remove(leaf);
        if let Some(bytes) = bytes {
            std::fs::write(&path, &bytes).unwrap();
            let ino = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap());
            let node = state.node(ino);
            state.folders.get_mut(&folder).unwrap().insert(leaf.into(), node);
            atoms.extend([Atom::Append(node, bytes.into()), Atom::Enter(folder, leaf.into(), node)]);
        }
        state.record(atoms);
        state.entries.iter_mut().filter(|entry| entry.change == now - 1).for_each(|entry| entry.durable = now);
    }

    /// Ends the recording.
    pub fn trace(&self) -> Trace {
        let state = self.lock();
        let folders = state.folders.keys().copied().collect();
        Trace { entries: state.entries.clone(), folders, changes: state.changes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn inode(at: &At<'_>) -> u64 {
    rustix::fs::statat(at.folder, at.leaf, AtFlags::SYMLINK_NOFOLLOW).expect("what was made is there").st_ino
}

impl State {
    fn node(&mut self, ino: u64) -> Node {
        self.nodes.insert(ino, self.next);
        self.next += 1;
        self.next - 1
    }

    fn of(&self, fd: BorrowedFd<'_>) -> Node {
        self.nodes[&rustix::fs::fstat(fd).expect("an open file").st_ino]
    }

    fn enter(&mut self, at: &At<'_>, node: Node) -> Atom {
        let folder = self.of(at.folder);
        self.folders.get_mut(&folder).unwrap().insert(at.leaf.into(), node);
        Atom::Enter(folder, at.leaf.into(), node)
    }

    fn leave(&mut self, at: &At<'_>) -> (Node, Atom) {
        let folder = self.of(at.folder);
        let node = self.folders.get_mut(&folder).unwrap().remove(at.leaf).expect("it was there");
        (node, Atom::Leave(folder, at.leaf.into(), node))
    }

    fn record(&mut self, atoms: Vec<Atom>) {
        let change = self.changes;
        self.entries.extend(atoms.into_iter().map(|atom| Entry { atom, change, durable: usize::MAX }));
        self.changes += 1;
    }

    fn flush(&mut self, which: impl Fn(&Atom) -> bool) {
        self.changes += 1;
        let now = self.changes;
        self.entries
            .iter_mut()
            .filter(|entry| entry.durable == usize::MAX && which(&entry.atom))
            .for_each(|entry| entry.durable = now);
    }

    fn apply(&mut self, change: &Change<'_>) {
        match change {
            Change::MakeFolder(at) => {
                let node = self.node(inode(at));
                self.folders.insert(node, BTreeMap::new());
                let atom = self.enter(at, node);
                self.record(vec![atom]);
            }
            Change::MakeFile(at) => {
                let node = self.node(inode(at));
                let atom = self.enter(at, node);
                self.record(vec![atom]);
            }
            Change::Append(file, bytes) => {
                let file = self.of(*file);
                self.record(vec![Atom::Append(file, (*bytes).into())]);
            }
            Change::Rename(from, to) => {
                let (node, left) = self.leave(from);
                let entered = self.enter(to, node);
                self.record(vec![entered, left]);
            }
            Change::Exchange(a, b) => {
                let ((one, left), (other, gone)) = (self.leave(a), self.leave(b));
                let (there, here) = (self.enter(b, one), self.enter(a, other));
                self.record(vec![left, gone, there, here]);
            }
            Change::Link(from, to) => {
                let folder = self.of(from.folder);
                let node = self.folders[&folder][from.leaf];
                let atom = self.enter(to, node);
                self.record(vec![atom]);
            }
            Change::Remove(at) => {
                let (_, atom) = self.leave(at);
                self.record(vec![atom]);
            }
            Change::FlushFile(file) => {
                let file = self.of(*file);
                self.flush(|atom| matches!(atom, Atom::Append(of, _) if *of == file));
            }
            Change::FlushFolder(folder) => {
                let (folder, lies) = (self.of(*folder), self.lies);
                self.flush(|atom| matches!(atom, Atom::Enter(of, ..) | Atom::Leave(of, ..) if *of == folder && !lies));
            }
            Change::FlushAll(_) => self.flush(|_| true),
        }
    }
}

impl Watch for Recorder {
    fn change(&self, change: &Change<'_>, make: &mut dyn FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
        // Changes are made one at a time, so that their order is known.
        let mut state = self.lock();
        if let Some(fault) = &mut state.fault {
            match fault.spare {
                0 => {
                    let (errno, lasting) = (fault.errno, fault.lasting);
                    if !lasting {
                        state.fault = None;
                    }
                    return Err(errno);
                }
                _ => fault.spare -= 1,
            }
        }
        // The disk is this record: the real one need not be waited for.
        if !matches!(change, Change::FlushFile(_) | Change::FlushFolder(_) | Change::FlushAll(_)) {
            make()?;
        }
        state.apply(change);
        Ok(())
    }
}

/// How the disk behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A rename comes whole or not at all.
    Journal,
    /// As on FAT: of a rename either half may be missing, and what lies under a name that was not flushed may have a tail of zeros,
    /// or end early.
    Fat,
}

/// Which of the changes that were not flushed have come to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    None,
    All,
    Prefix,
    Some,
}

/// What a power cut left.
pub struct Crash {
    pub objects: Objects,
    /// Objects under names that were not flushed.
    pub unflushed: BTreeSet<String>,
}

/// All that was done to a disk.
pub struct Trace {
    entries: Vec<Entry>,
    folders: BTreeSet<Node>,
    pub changes: usize,
}

impl Trace {
    /// What is on the disk when the power goes after so many changes.
    pub fn crash(&self, after: usize, kind: Kind, kept: Kept, chance: &mut Chance) -> Crash {
        let past: Vec<&Entry> = self.entries.iter().take_while(|entry| entry.change < after).collect();
        let mut chosen = vec![true; past.len()];
        let volatile = past.iter().filter(|entry| entry.durable > after).count();
        let cut = chance.below(volatile + 1);
        let (mut seen, mut start) = (0, 0);
        while start < past.len() {
            // Where renames are atomic, one half that is durable is both.
            let end = start + past[start..].iter().take_while(|entry| entry.change == past[start].change).count();
            let all = match kind {
                Kind::Journal => past[start..end].iter().any(|entry| entry.durable <= after).then_some(true),
                Kind::Fat => None,
            };
            let mut of_change = None;
            for n in start..end {
                if past[n].durable <= after {
                    continue;
                }
                seen += 1;
                let pick = || match kept {
                    Kept::None => false,
                    Kept::All => true,
                    Kept::Prefix => seen <= cut,
                    Kept::Some => chance.below(2) == 0,
                };
                chosen[n] = match kind {
                    Kind::Journal => *of_change.get_or_insert_with(|| all.unwrap_or_else(pick)),
                    Kind::Fat => all.unwrap_or_else(pick),
                };
            }
            start = end;
        }
        self.assemble(&past, &chosen, after, kind, kept, chance)
    }

    fn assemble(
        &self,
        past: &[&Entry],
        chosen: &[bool],
        after: usize,
        kind: Kind,
        kept: Kept,
        chance: &mut Chance,
    ) -> Crash {
        let mut folders: HashMap<Node, BTreeMap<&str, (Node, bool)>> = HashMap::new();
        let mut bytes: HashMap<Node, Vec<Arc<[u8]>>> = HashMap::new();
        // Files with bytes that were not flushed.
        let mut soft: BTreeSet<Node> = BTreeSet::new();
        for (entry, chosen) in past.iter().zip(chosen) {
            let flushed = entry.durable <= after;
            if let (Atom::Append(file, _), false) = (&entry.atom, flushed) {
                soft.insert(*file);
            }
            match &entry.atom {
                Atom::Append(file, part) => bytes.entry(*file).or_default().push(match (chosen, flushed, kept) {
                    (true, true, _) | (true, false, Kept::All) => part.clone(),
                    (true, false, _) => torn(part, chance),
                    // The length may have come without the bytes.
                    (false, ..) if chance.below(2) == 0 => vec![0; part.len()].into(),
                    (false, ..) => [].into(),
                }),
                Atom::Enter(folder, leaf, node) if *chosen => {
                    folders.entry(*folder).or_default().insert(leaf, (*node, flushed));
                }
                Atom::Leave(folder, leaf, node) if *chosen => {
                    let here = folders.entry(*folder).or_default();
                    if here.get(leaf.as_str()).is_some_and(|(there, _)| there == node) {
                        here.remove(leaf.as_str());
                    }
                }
                Atom::Enter(..) | Atom::Leave(..) => {}
            }
        }
        let mut crash = Crash { objects: Objects::new(), unflushed: BTreeSet::new() };
        let mut stack = vec![(0, String::new(), true)];
        while let Some((folder, prefix, flushed)) = stack.pop() {
            for (leaf, (node, named)) in folders.get(&folder).into_iter().flatten() {
                let (name, flushed) = (format!("{prefix}{leaf}"), flushed && *named);
                if name == "tmp" {
                    continue;
                }
                if self.folders.contains(node) {
                    stack.push((*node, format!("{name}/"), flushed));
                    continue;
                }
                let parts = bytes.get(node).map_or(&[][..], |parts| parts);
                let mut whole: Arc<[u8]> = match parts {
                    [one] => one.clone(),
                    many => many.concat().into(),
                };
                if !flushed && kind == Kind::Fat && kept == Kept::Some && chance.below(2) == 0 {
                    // A rename writes the new entry without blocks and length first, which follow with the inode: all or nothing
                    // of what was flushed.
                    whole = if soft.contains(node) { torn(&whole, chance) } else { [].into() };
                }
                if !flushed {
                    crash.unflushed.insert(name.clone());
                }
                crash.objects.insert(name, whole);
            }
        }
        crash
    }
}

/// Bytes up to some sector; after that zeros, or nothing.
fn torn(bytes: &[u8], chance: &mut Chance) -> Arc<[u8]> {
    let at = (chance.below(bytes.len() / SECTOR + 2) * SECTOR).min(bytes.len());
    let mut out = bytes[..at].to_vec();
    if chance.below(2) == 0 {
        out.resize(bytes.len(), 0);
    }
    out.into()
}
