//! What a power cut may have left in a copy: an object under its name and in its full length, and zeros from some sector on (on FAT),
//! when its folder was not flushed. Its length does not show it.
//!
//! Every object ends in the tag of a seal, a hash, or a pack's footer: an end of zeros is a torn one. Read back is only the end of what no run that
//! came to its own end has made durable; all of it would be the whole copy, from another machine even over the link.

use super::inventory::{Inventory, Objects};
use crate::{
    error::{Error, Result},
    id::SnapshotId,
    repo::session::intent_name,
    store::{Entry, Store},
};

/// Sectors come as a whole.
const SECTOR: u64 = 512;
/// Bytes of the end that are read: of a pack half its magic, and what is reserved behind it.
const END: u64 = 16;
/// The clock of a file system may be so coarse, in seconds (FAT).
const COARSE: i64 = 2;

/// Takes torn objects for damaged: what is torn gets the length of an empty one. Without config all are looked at: the run that was to make
/// the copy has not ended.
pub(super) fn tell_apart(store: &dyn Store, have: &mut Inventory, unfinished: bool) -> Result<()> {
    // Whatever was stored before a snapshot was, was durable before it.
    let newest = have.snapshots.values().map(|entry| entry.stored).max().filter(|_| !unfinished);
    let doubtful =
        |entry: &Entry| newest.is_none_or(|newest| entry.stored == 0 || entry.stored >= newest.saturating_sub(COARSE));
    let parts = [&mut have.keys, &mut have.packs, &mut have.index, &mut have.tombstones, &mut have.annotations];
    for objects in parts {
        each(store, objects, doubtful)?;
    }
    // Intents go when what they are for is durable.
    let sessions = &have.sessions;
    each(store, &mut have.snapshots, |entry| {
        unfinished || SnapshotId::parse(entry.name.leaf()).is_ok_and(|id| sessions.contains_key(&intent_name(&id)))
    })
}

fn each(store: &dyn Store, objects: &mut Objects, doubtful: impl Fn(&Entry) -> bool) -> Result<()> {
    for entry in objects.values_mut().filter(|entry| entry.len > 0 && doubtful(entry)) {
        if ends_in_zeros(store, entry)? {
            entry.len = 0;
        }
    }
    Ok(())
}

fn ends_in_zeros(store: &dyn Store, entry: &Entry) -> Result<bool> {
    // No more than lies in the last sector: what is before it may have come.
    let len = END.min((entry.len - 1) % SECTOR + 1);
    let mut end = [0xff; END as usize];
    let Some(end) = end.get_mut(..len as usize) else { return Ok(false) };
    match store.get_range(&entry.name, entry.len - len, end) {
        Ok(()) => Ok(end.iter().all(|byte| *byte == 0)),
        // Removed since it was listed, or shorter than that.
        Err(Error::Missing { .. }) => Ok(false),
        Err(Error::Corrupt { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// True for the beginning of an object, or nothing of it, with zeros or nothing behind it: what a power cut leaves of a file.
pub(super) fn is_stump(bytes: &[u8], whole: &[u8]) -> bool {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    bytes != whole && bytes.len() <= whole.len() && bytes.get(..end).is_some_and(|stump| whole.starts_with(stump))
}

#[cfg(test)]
mod tests {
    use super::super::{
        replica::{Request, replicate},
        tests::{into, is_clean, objects, reopened, three_nights},
    };
    use crate::id::SnapshotId;
    use crate::{
        monitor::Silent,
        repo::session::intent_name,
        store::{ObjectName, Store, memory::MemoryStore},
    };

    /// Zeros from the last whole sector on.
    fn tear(store: &MemoryStore, name: &ObjectName) {
        store.tamper(name, |bytes| {
            let from = (bytes.len() - 1) / 512 * 512;
            bytes[from..].fill(0);
        });
    }

    fn of(store: &MemoryStore, folder: &str) -> Vec<ObjectName> {
        store.names().into_iter().filter(|name| name.as_str().starts_with(folder)).collect()
    }

    #[test]
    fn what_is_torn_in_a_copy_that_was_being_made_is_copied_again() {
        let (fixture, whole) = (three_nights(), MemoryStore::new());
        replicate(&into(&fixture.store, &whole), &Silent).unwrap();
        for folder in ["config", "packs/", "index/", "snapshots/"] {
            let to = MemoryStore::new();
            replicate(&into(&fixture.store, &to), &Silent).unwrap();
            of(&to, folder).iter().for_each(|name| tear(&to, name));
            if folder != "config" {
                to.remove(&of(&to, "config")[0]).unwrap();
            }
            replicate(&into(&fixture.store, &to), &Silent).unwrap_or_else(|e| panic!("{folder}: {e}"));
            assert_eq!(objects(&to), objects(&whole), "{folder}");
            is_clean(&reopened(&fixture, &to));
        }
    }

    /// A power cut at its very beginning (seed 1005120 of the simulation).
    #[test]
    fn a_copy_that_has_neither_config_nor_key_slots_yet_is_gone_on_with() {
        let (fixture, whole) = (three_nights(), MemoryStore::new());
        replicate(&into(&fixture.store, &whole), &Silent).unwrap();
        for folder in ["packs/", "index/", "snapshots/"] {
            let to = MemoryStore::new();
            for name in of(&whole, folder) {
                to.put(&name, &whole.get(&name, u64::MAX).unwrap()).unwrap();
                tear(&to, &name);
            }
            replicate(&into(&fixture.store, &to), &Silent).unwrap_or_else(|e| panic!("{folder}: {e}"));
            assert_eq!(objects(&to), objects(&whole), "{folder}");
        }
    }

    #[test]
    fn what_is_torn_of_the_last_run_is_copied_again() {
        let (fixture, to) = (three_nights(), MemoryStore::new());
        to.set_now(1_000);
        replicate(&into(&fixture.store, &to), &Silent).unwrap();
        let whole = objects(&to);
        for folder in ["packs/", "index/", "keys/"] {
            tear(&to, &of(&to, folder)[0]);
            assert_eq!(replicate(&into(&fixture.store, &to), &Silent).unwrap().replaced, 1, "{folder}");
            assert_eq!(objects(&to), whole, "{folder}");
        }
        // A snapshot is durable when its intent is gone.
        let name = of(&to, "snapshots/").remove(0);
        let intent = intent_name(&SnapshotId::parse(name.leaf()).unwrap());
        to.put(&intent, &whole[&name]).unwrap();
        tear(&to, &name);
        replicate(&into(&fixture.store, &to), &Silent).unwrap();
        assert_eq!((objects(&to), to.stat(&intent).unwrap()), (whole, None));
    }

    #[test]
    fn a_dry_run_tells_of_it() {
        let (fixture, to) = (three_nights(), MemoryStore::new());
        replicate(&into(&fixture.store, &to), &Silent).unwrap();
        tear(&to, &of(&to, "packs/")[0]);
        let report = replicate(&Request { dry_run: true, ..into(&fixture.store, &to) }, &Silent).unwrap();
        assert_eq!((report.objects, report.packs), (1, 1));
    }
}
