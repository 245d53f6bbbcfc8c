//! A replica on a backup server, kept up to date from the repository of another server: by [`replica`], without a key, and without
//! passing on that anything was forgotten.
//!
//! Whoever rules the other server can put its repository back to an older state, or remove what it likes. The copy loses nothing by it,
//! but somebody should hear of it. Without a key little can be told of a repository, only which objects there are. That is enough for
//! this: a snapshot that was seen there stays there, or has a tombstone; and a tombstone stays for ever. So the names of both are
//! remembered with each pull, beside those that the copy holds. What cannot be told: whether a tombstone was made by somebody who
//! may forget (that takes a key: `vault check` on the copy), and that a snapshot was removed before the first pull that would have seen it.

use super::{
    copy::replica,
    naming::{Class, class, ends_with_sum},
};
use crate::{
    error::{Error, Result},
    id::RepoId,
    model::limits,
    monitor::{Monitor, Phase},
    repo::{Repository, make_private_folder, seen::replace},
    store::{ObjectName, Store},
};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Objects at once when the way is long: so many answers are waited for together.
pub const THREADS_FAR: usize = 32;
/// The file that remembers, in a folder of the copy's own.
const FILE: &str = "pulled";
const HEAD: &str = "vault pulled 1";
/// Two million names fit.
const FILE_MAX: u64 = 256 << 20;

/// What is to be pulled.
pub struct Request<'a> {
    /// The other server's repository.
    pub from: &'a dyn Store,
    /// The copy here, which is made when there is none. Puts may be gathered.
    pub to: &'a dyn Store,
    /// A folder for what is remembered of this copy; without one only what the copy holds is known.
    pub state: Option<&'a Path>,
    /// Take what the source shows for what is to be there.
    pub accept: bool,
    /// Tell what would be pulled, and pull nothing.
    pub dry_run: bool,
    /// Objects at once; 0: some.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was copied.
    pub copy: replica::Report,
    /// Snapshots that the source showed before, and hides now.
    pub lost: BTreeSet<ObjectName>,
    /// Tombstones that the source showed before, and hides now.
    pub unburied: BTreeSet<ObjectName>,
    /// Snapshots that the source shows, and that it is known to have shown.
    pub shows: (u64, u64),
}

impl Report {
    /// True when the source shows less than it did.
    pub fn is_rolled_back(&self) -> bool {
        !self.lost.is_empty() || !self.unburied.is_empty()
    }

    /// What is wrong with a source that shows less than before, for people.
    pub fn told(&self, server: &str) -> String {
        let part = |names: &BTreeSet<ObjectName>, one: &str, many: &str| {
            let first = names.first()?;
            Some(match names.len() {
                1 => format!("1 {one} ({first})"),
                n => format!("{n} {many} ({first}, …)"),
            })
        };
        let parts = [
            part(
                &self.lost,
                "snapshot that it has shown before, and no tombstone explains it",
                "snapshots that it has shown before, and no tombstone explains it",
            ),
            part(&self.unburied, "tombstone", "tombstones"),
        ];
        let hidden: Vec<String> = parts.into_iter().flatten().collect();
        format!(
            "{server} hides {}: its repository was put back to an older state, or somebody removes from it. The copy here has lost \
             nothing. Find out who could write there; to go on without this message: --accept-rollback",
            hidden.join(" and ")
        )
    }
}

/// Why this cannot be what the copy of a server is called.
pub fn check_server(name: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || name.starts_with(['.', '-']) || !name.bytes().all(plain) {
        return Err("this is no server's name: letters, digits, dots and dashes");
    }
    Ok(())
}

/// Where the copy of a server is.
pub fn folder(partition: &Path, server: &str) -> PathBuf {
    partition.join("remote").join(server)
}

/// What is known of a source.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    repository: Option<RepoId>,
    /// Snapshots and tombstones that were there.
    seen: BTreeSet<ObjectName>,
    /// Those that are gone, which the user took note of.
    accepted: BTreeSet<ObjectName>,
}

/// Copies what the copy lacks, and tells what the source no longer shows. Fails when a store does; what has come is of use to the next
/// run.
pub fn pull(request: &Request<'_>, monitor: &dyn Monitor) -> Result<Report> {
    monitor.phase(Phase::Opening);
    let repository = Repository::identify(request.from)?;
    let memory = request.state.map_or(Ok(Memory::default()), |folder| recall(folder, request.accept))?;
    expect_same(&memory, repository, request)?;
    // Whoever forgets writes the tombstone first.
    let (mut there, mut known) = (BTreeSet::new(), memory.seen);
    names(request.from, "snapshots/", &mut there)?;
    names(request.from, "gone/", &mut there)?;
    // Of the copy's tombstones some may be its own.
    names(request.to, "snapshots/", &mut known)?;
    let (mut lost, mut unburied) = (BTreeSet::new(), BTreeSet::new());
    for name in known.iter().filter(|name| !there.contains(*name) && !memory.accepted.contains(*name)) {
        monitor.check()?;
        match tombstone_of(name) {
            None => drop(unburied.insert(name.clone())),
            Some(grave) if known.contains(&grave) && there.contains(&grave) => {}
            Some(grave) if explains(request.from, &grave, &there)? => {}
            Some(_) => drop(lost.insert(name.clone())),
        }
    }
    let is_snapshot = |name: &&ObjectName| tombstone_of(name).is_some();
    let shows =
        (there.iter().filter(is_snapshot).count() as u64, known.union(&there).filter(is_snapshot).count() as u64);
    let copy = replica::Request {
        from: request.from,
        to: request.to,
        create: true,
        dry_run: request.dry_run,
        threads: request.threads,
    };
    let copy = replica::replicate(&copy, monitor)?;
    if let Some(folder) = request.state.filter(|_| !request.dry_run) {
        let gone = lost.union(&unburied).cloned();
        let (mut seen, mut accepted) = (there, memory.accepted);
        if request.accept {
            accepted.extend(gone)
        } else {
            seen.extend(gone)
        }
        remember(folder, &Memory { repository: Some(repository), seen, accepted })?;
    }
    if request.accept {
        (lost, unburied) = Default::default();
    }
    Ok(Report { copy, lost, unburied, shows })
}

/// The copy and its source are those of the last time.
fn expect_same(memory: &Memory, repository: RepoId, request: &Request<'_>) -> Result<()> {
    if request.accept {
        return Ok(());
    }
    if memory.repository.is_some_and(|before| before != repository) {
        let what = format!(
            "{} holds another repository than the one that was pulled from there before; nothing was copied",
            request.from.place()
        );
        return Err(Error::Rollback { what });
    }
    match Repository::identify(request.to) {
        Err(Error::NoRepository { place, .. }) if !memory.seen.is_empty() => Err(Error::Absent {
            what: format!(
                "the copy that was in {place} is not there: is the partition mounted? To begin anew: --accept-rollback"
            ),
        }),
        _ => Ok(()),
    }
}

fn names(store: &dyn Store, prefix: &str, out: &mut BTreeSet<ObjectName>) -> Result<()> {
    store.list(prefix, &mut |entry| {
        if class(entry.name.as_str()).is_some() {
            out.insert(entry.name);
        }
        Ok(())
    })
}

/// The name of a snapshot's tombstone; `None` for what is no snapshot.
fn tombstone_of(name: &ObjectName) -> Option<ObjectName> {
    ObjectName::new(format!("gone/{}", name.as_str().strip_prefix("snapshots/")?))
}

/// True for a tombstone that is there and whole: more can only be told with a key.
fn explains(from: &dyn Store, grave: &ObjectName, there: &BTreeSet<ObjectName>) -> Result<bool> {
    if !there.contains(grave) || class(grave.as_str()).is_none_or(|(class, _)| class != Class::Tombstone) {
        return Ok(false);
    }
    match from.get(grave, limits::MARK_MAX) {
        Ok(bytes) => Ok(ends_with_sum(&bytes)),
        Err(Error::Missing { .. } | Error::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn recall(folder: &Path, accept: bool) -> Result<Memory> {
    let path = folder.join(FILE);
    let failed = |e| Error::store("read", path.display(), e);
    let text = match fs::metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
        Ok(meta) if meta.len() <= FILE_MAX => fs::read(&path).map_err(failed)?,
        Ok(_) => Vec::new(),
        Err(e) => return Err(failed(e)),
    };
    match std::str::from_utf8(&text).ok().and_then(parse) {
        Some(memory) => Ok(memory),
        None if accept => Ok(Memory::default()),
        None => {
            let what = "it is not what vault wrote, so nothing tells whether the source was put back; go on with --accept-rollback";
            Err(Error::corrupt(path.display(), what))
        }
    }
}

fn parse(text: &str) -> Option<Memory> {
    let mut lines = text.lines();
    let repository = lines.next()?.strip_prefix(HEAD)?.strip_prefix(' ')?;
    let mut memory = Memory { repository: Some(RepoId::parse(repository).ok()?), ..Memory::default() };
    // Written whole or not at all; the last line says so all the same.
    let mut ended = false;
    for line in lines {
        match line.split_once(' ') {
            Some(("seen", name)) => memory.seen.insert(ObjectName::new(name)?),
            Some(("accepted", name)) => memory.accepted.insert(ObjectName::new(name)?),
            _ => {
                ended = line == "end";
                continue;
            }
        };
    }
    ended.then_some(memory)
}

fn written(memory: &Memory) -> String {
    let repository = memory.repository.map(|repository| repository.to_string()).unwrap_or_default();
    let mut out = format!("{HEAD} {repository}\n");
    for (word, names) in [("seen", &memory.seen), ("accepted", &memory.accepted)] {
        names.iter().for_each(|name| out += &format!("{word} {name}\n"));
    }
    out + "end\n"
}

fn remember(folder: &Path, memory: &Memory) -> Result<()> {
    let path: PathBuf = folder.join(FILE);
    let failed = |e| Error::store("write", path.display(), e);
    make_private_folder(folder).map_err(failed)?;
    replace(folder, &path, written(memory).as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitor::Silent,
        ops::fixture::{self, Fixture},
        repo::Listed,
        store::memory::MemoryStore,
    };

    const SERIES: &str = "h/-/app";

    struct Pulled {
        source: Fixture,
        copy: MemoryStore,
        state: tempfile::TempDir,
    }

    impl Pulled {
        fn new(nights: i64) -> (Self, Vec<Listed>) {
            let source = Fixture::new();
            let state = tempfile::tempdir().unwrap();
            let pulled = Pulled { source, copy: MemoryStore::new(), state };
            let nights = (1..=nights).map(|night| pulled.night(night)).collect();
            (pulled, nights)
        }

        fn night(&self, night: i64) -> Listed {
            let file = fixture::file(&fixture::noise(9_000, night as u64));
            self.source.snapshot(SERIES, 1_000 + night, vec![("app", file)])
        }

        fn request(&self) -> Request<'_> {
            let (from, to) = (&self.source.store, &self.copy);
            Request { from, to, state: Some(self.state.path()), accept: false, dry_run: false, threads: 2 }
        }

        fn pull(&self) -> Report {
            pull(&self.request(), &Silent).unwrap()
        }

        fn object(&self, night: &Listed) -> ObjectName {
            self.source.object(SERIES, &night.id)
        }

        fn forget(&self, night: &Listed) {
            let head =
                GoneHead { series: self.source.tag(SERIES), snapshot: night.id, head: night.snapshot.head.clone() };
            let (repo, text) = (&self.source.repo, || "x".to_owned());
            let time = repo.clock().now();
            repo.bury(&Tombstone { head, time, host: text(), user: text(), reason: text() }).unwrap();
            self.source.store.remove(&self.object(night)).unwrap();
        }
    }

    use crate::model::tombstone::{GoneHead, Tombstone};

    #[test]
    fn what_was_forgotten_there_stays_here_and_is_no_rollback() {
        let (pulled, nights) = Pulled::new(3);
        let report = pulled.pull();
        assert!(report.copy.created && report.copy.snapshots == 3 && !report.is_rolled_back());
        pulled.forget(&nights[0]);
        pulled.night(4);
        // Twice: at first its tombstone is read, then it is known.
        for new in [1, 0] {
            let report = pulled.pull();
            assert!(report.copy.snapshots == new && !report.is_rolled_back(), "{report:?}");
            assert_eq!(report.shows, (3, 4));
        }
        assert!(pulled.copy.stat(&pulled.object(&nights[0])).unwrap().is_some());
    }

    #[test]
    fn a_snapshot_that_is_hidden_is_told_each_time_until_it_is_accepted() {
        let (pulled, nights) = Pulled::new(3);
        pulled.pull();
        pulled.source.store.remove(&pulled.object(&nights[2])).unwrap();
        pulled.night(4);
        for new in [1, 0] {
            let report = pulled.pull();
            assert_eq!(report.lost.iter().collect::<Vec<_>>(), [&pulled.object(&nights[2])]);
            assert_eq!(report.copy.snapshots, new, "what is new comes all the same");
        }
        assert!(!pull(&Request { accept: true, ..pulled.request() }, &Silent).unwrap().is_rolled_back());
        assert!(!pulled.pull().is_rolled_back());
    }

    #[test]
    fn without_a_state_folder_the_copy_remembers() {
        let (pulled, nights) = Pulled::new(2);
        let request = || Request { state: None, ..pulled.request() };
        pull(&request(), &Silent).unwrap();
        pulled.source.store.remove(&pulled.object(&nights[1])).unwrap();
        assert_eq!(pull(&request(), &Silent).unwrap().lost.len(), 1);
    }

    #[test]
    fn a_tombstone_that_is_damaged_explains_nothing_and_one_that_goes_is_told() {
        let (pulled, nights) = Pulled::new(3);
        pulled.pull();
        pulled.forget(&nights[0]);
        let grave = tombstone_of(&pulled.object(&nights[0])).unwrap();
        assert!(pulled.source.store.tamper(&grave, |bytes| bytes[40] ^= 1));
        assert_eq!(pulled.pull().lost.len(), 1);
        assert!(pulled.source.store.tamper(&grave, |bytes| bytes[40] ^= 1));
        assert!(!pulled.pull().is_rolled_back());
        pulled.source.store.remove(&grave).unwrap();
        let report = pulled.pull();
        assert_eq!((report.lost.len(), report.unburied.len()), (1, 1));
    }

    #[test]
    fn another_repository_and_an_empty_place_are_not_filled() {
        let (mut pulled, _) = Pulled::new(2);
        pulled.pull();
        let copy = std::mem::take(&mut pulled.copy);
        assert!(matches!(pull(&pulled.request(), &Silent), Err(Error::Absent { .. })));
        assert!(pulled.copy.names().is_empty());
        pulled.copy = copy;
        pulled.source = Fixture::with_seed(7);
        assert!(matches!(pull(&pulled.request(), &Silent), Err(Error::Rollback { .. })));
    }

    #[test]
    fn what_is_remembered_comes_back_and_damage_is_told() {
        let name = |text: &str| ObjectName::new(text).unwrap();
        let memory = Memory {
            repository: Some(RepoId([7; 16])),
            seen: BTreeSet::from([name("gone/a/b"), name("snapshots/a/c")]),
            accepted: BTreeSet::from([name("snapshots/a/b")]),
        };
        let text = written(&memory);
        assert_eq!(parse(&text), Some(memory));
        for bad in ["", "x", &text[..text.len() - 2], &text.replace("seen gone", "seen /gone")] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let (pulled, _) = Pulled::new(1);
        pulled.pull();
        fs::write(pulled.state.path().join(FILE), "x").unwrap();
        assert!(matches!(pull(&pulled.request(), &Silent), Err(Error::Corrupt { .. })));
        assert!(pull(&Request { accept: true, ..pulled.request() }, &Silent).is_ok());
        assert!(!pulled.pull().is_rolled_back());
    }
}
