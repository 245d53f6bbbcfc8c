//! Damage is injected, and has to go; or has to be named.

mod coverage;
mod interrupted;
mod second_copies;
mod sectors_lost;

use super::*;
use crate::{
    error::Error,
    hash::object_name,
    monitor::{Monitor as _, Recording, Silent},
    ops::fixture::{self, Fixture, noise},
    parity::{Percent, SECTOR},
    repo::Repository,
    store::{
        ObjectName, Store,
        faulty::{Fault, FaultyStore, Op},
        memory::MemoryStore,
        watched::Watched,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
};

fn percent() -> Percent {
    Percent::new(300).unwrap()
}

fn addition() -> Addition {
    Addition { percent: percent(), mirror: false, drop_missing: false, replace: BTreeSet::new() }
}

/// A repository with some snapshots, and packs of noise with these many bytes besides.
fn scene(packs: &[usize]) -> (Fixture, Vec<ObjectName>) {
    let fixture = Fixture::new();
    for n in 0..3 {
        let files = vec![("a", fixture::file(&noise(50_000, n))), ("b", fixture::file(&noise(300, 100 + n)))];
        fixture.snapshot("h/-/one", n as i64, vec![("data", fixture::dir(files))]);
    }
    let names = packs.iter().enumerate().map(|(n, len)| pack(&fixture.store, *len, 1000 + n as u64)).collect();
    (fixture, names)
}

fn pack(store: &MemoryStore, len: usize, seed: u64) -> ObjectName {
    let repo = Repository::identify(store).unwrap();
    let mut bytes = crate::object::header(crate::object::Kind::DataPack, repo).to_vec();
    bytes.extend(noise(len - bytes.len(), seed));
    let name = crate::pack::object_name(&crate::id::PackId(object_name(&bytes)));
    store.put(&name, &bytes).unwrap();
    name
}

fn contents(store: &MemoryStore) -> BTreeMap<ObjectName, Vec<u8>> {
    let whole = |name: ObjectName| (store.get(&name, u64::MAX).map(|bytes| (name, bytes))).unwrap();
    let names = store.names().into_iter().filter(|name| is_coverable(name.as_str()));
    names.map(whole).collect()
}

/// Spoils this share of all sectors of the objects that `which` chooses, in thousandths, and says how many.
fn spoil(store: &MemoryStore, thousandths: u64, seed: u64, which: impl Fn(&str) -> bool) -> usize {
    let mut all: Vec<(ObjectName, usize)> = Vec::new();
    for name in store.names().into_iter().filter(|name| which(name.as_str())) {
        let len = store.stat(&name).unwrap().unwrap().len;
        all.extend((0..crate::parity::sectors(len)).map(|sector| (name.clone(), sector as usize)));
    }
    let count = (all.len() as u64 * thousandths / 1000) as usize;
    all.sort_by_cached_key(|(name, sector)| object_name(format!("{seed} {name} {sector}").as_bytes()));
    for (name, sector) in all.iter().take(count) {
        store.tamper(name, |bytes| {
            let end = bytes.len().min((sector + 1) * SECTOR);
            bytes[sector * SECTOR..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        });
    }
    count
}

/// The store with these of its sectors bad.
fn scratched(store: &MemoryStore, bad: BTreeSet<(ObjectName, u64)>) -> impl Store {
    let read = move |op, name: &str, bytes: Range<u64>| {
        let sectors = bytes.start / SECTOR as u64..bytes.end.div_ceil(SECTOR as u64);
        match bad.iter().any(|(object, sector)| object.as_str() == name && sectors.contains(sector)) {
            true if op == Op::Get => Err(Error::store("read", name, io::Error::from_raw_os_error(5))),
            _ => Ok(()),
        }
    };
    Watched::by(store, read)
}

fn mend_all(store: &dyn Store) -> Mending {
    let request = MendRequest { all_missing: true, ..MendRequest::new(Examine::All) };
    mend(store, &request, &Silent).unwrap()
}
