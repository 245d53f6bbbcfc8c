//! What lies beside what snapshots are made of: markers of media, sidecars of parity, second copies. No file is lost with them, but
//! whoever counts on them is to know. They are held against their names as without a key, and against what only a key tells.

use super::{ReadData, findings::Findings, keyless, objects::Stored};
use crate::{
    error::{Error, Result},
    model::limits,
    monitor::Counter,
    ops::naming::{self, MIRROR},
    parity,
    repo::media::open_marker,
    store::{Entry, ObjectName},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Marker,
    Sidecar,
    Copy,
}

impl Class {
    /// What an object is by its name, when it lies beside.
    pub(super) fn of(name: &ObjectName) -> Option<Self> {
        let name = name.as_str();
        match name {
            _ if name.starts_with(MIRROR) => Some(Class::Copy),
            _ if name.starts_with("media/") => Some(Class::Marker),
            _ if parity::is_sidecar(name) => Some(Class::Sidecar),
            _ => None,
        }
    }

    /// What is to be done about damage.
    fn advice(self) -> &'static str {
        match self {
            Class::Marker => {
                "`vault media sync` replaces it while another one is whole; else retire the medium and add it again"
            }
            Class::Sidecar => "`vault repair --read-data` makes it anew",
            Class::Copy => "`vault repair` makes it anew",
        }
    }
}

/// Looks at all of it. `before`: objects and bytes that were read until now.
pub(super) fn check(
    found: &Findings<'_>,
    stored: &Stored,
    share: ReadData,
    before: (u64, u64),
    threads: usize,
) -> Result<()> {
    let (monitor, store, repo) = (found.monitor, found.repo.store(), found.repo.keys().repo());
    let is_read = |entry: &&Entry| share != ReadData::None || !is_bulk(&entry.name);
    let read: Vec<Entry> = stored.beside.iter().filter(is_read).cloned().collect();
    if !read.is_empty() {
        monitor.expect(Counter::Objects, before.0 + read.len() as u64);
        monitor.expect(Counter::Stored, before.1 + read.iter().map(|entry| entry.len).sum::<u64>());
    }
    let tell = |object: &str, what: String| add(found, object, what);
    keyless::Run::new(store, Some(repo), monitor, &tell).all(&read, threads)?;
    for entry in &stored.beside {
        monitor.check()?;
        match Class::of(&entry.name) {
            Some(Class::Marker) => marker(found, entry)?,
            Some(Class::Sidecar) => sidecar(found, entry)?,
            Some(Class::Copy) => copy(found, stored, entry)?,
            None => {}
        }
    }
    Ok(())
}

/// True for what is about as large as contents are.
fn is_bulk(name: &ObjectName) -> bool {
    match Class::of(name) {
        Some(Class::Sidecar) => true,
        Some(Class::Copy) => matches!(naming::class(name.as_str()), Some((naming::Class::Pack, _))),
        _ => false,
    }
}

/// The first of a second copy.
fn first_of(name: &ObjectName) -> Option<ObjectName> {
    name.as_str().strip_prefix(MIRROR).and_then(ObjectName::new)
}

fn add(found: &Findings<'_>, object: &str, what: String) {
    let name = ObjectName::new(object);
    // The copy of what a prune has removed serves nobody.
    let is_left =
        name.as_ref().and_then(first_of).is_some_and(|first| matches!(found.repo.store().stat(&first), Ok(None)));
    if is_left {
        let todo = "it is the copy of what is no more, which `vault parity add --drop-missing` takes away";
        found.note(format!("{object}: {what}; {todo}"));
        return;
    }
    let advice = name.as_ref().and_then(Class::of).map_or(String::new(), |class| format!(": {}", class.advice()));
    let number = found.add(object, format!("{what}{advice}"));
    found.beside(number);
}

/// One whose bytes are those of its name may still be none of this repository's.
fn marker(found: &Findings<'_>, entry: &Entry) -> Result<()> {
    let name = &entry.name;
    let bytes = match found.repo.store().get(name, limits::MARK_MAX) {
        Ok(bytes) => bytes,
        // Replaced by a sync since it was listed.
        Err(Error::Missing { .. }) => return Ok(()),
        // Told as it was held against its name.
        Err(_) if found.is_told(name.as_str()) => return Ok(()),
        Err(error) => return found.judge(name.as_str(), error).map(|number| found.beside(number)),
    };
    match open_marker(found.repo.keys(), &bytes, name) {
        Err(Error::Corrupt { what, .. }) if !found.is_told(name.as_str()) => add(found, name.as_str(), what),
        Ok(_) | Err(Error::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Its length tells that it was cut, though nobody reads it whole.
fn sidecar(found: &Findings<'_>, entry: &Entry) -> Result<()> {
    let (name, repo) = (&entry.name, found.repo.keys().repo());
    if found.is_told(name.as_str()) {
        return Ok(());
    }
    match parity::glance(found.repo.store(), name, repo) {
        Ok(set) if entry.len == set.layout.geometry().file_len() => {}
        Ok(set) => {
            let len = set.layout.geometry().file_len();
            add(found, name.as_str(), format!("it has {} bytes in place of {len}", entry.len));
        }
        Err(Error::Missing { .. }) => {}
        Err(Error::Corrupt { what, .. }) => add(found, name.as_str(), what),
        Err(error) => return found.judge(name.as_str(), error).map(|number| found.beside(number)),
    }
    Ok(())
}

/// What its name does not tell, the first does.
fn copy(found: &Findings<'_>, stored: &Stored, entry: &Entry) -> Result<()> {
    let (name, store) = (&entry.name, found.repo.store());
    let Some(first) = first_of(name) else { return Ok(()) };
    match naming::class(name.as_str()) {
        Some((naming::Class::Pack, Some(id))) => match stored.packs.get(&crate::id::PackId(id)) {
            // Which of both is right the first's directory tells: that was looked at.
            Some(len) if *len != entry.len && !found.is_told(name.as_str()) && !found.is_told(first.as_str()) => {
                add(found, name.as_str(), format!("it has {} bytes in place of {len}", entry.len));
            }
            _ => {}
        },
        // Configuration and tombstones: another one, whole as it may be, is none of this object.
        Some((_, None)) if !found.is_told(name.as_str()) && !found.is_told(first.as_str()) => {
            let bytes = |name| store.get(name, limits::MARK_MAX).ok();
            if bytes(&first).zip(bytes(name)).is_some_and(|(first, second)| first != second) {
                add(found, name.as_str(), format!("it is not what {first} is"));
            }
        }
        _ => {}
    }
    Ok(())
}
