//! A store that fails on request, around another: for tests of what is left when any one step fails.
//!
//! Operations are counted by kind. A [`Fault`] hits the n-th operation of its kind after it was planned, once or from
//! then on, either in place of the operation or after it was carried out (the answer was lost on its way). Nothing is
//! random, so a test can first count the operations of a run and then fail each of them in turn.

use super::{Capabilities, Entry, ObjectName, Put, Store, Upload, lock};
use crate::error::{Error, Result};
use std::{collections::BTreeSet, io, sync::Mutex, thread};

/// Kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Op {
    /// [`Store::get`] and [`Store::get_range`].
    Get,
    /// [`Store::stat`].
    Stat,
    /// [`Store::list`].
    List,
    /// [`Store::upload`]; a put is an upload, an append and a finish.
    Upload,
    /// [`Upload::append`].
    Append,
    /// [`Upload::finish`].
    Finish,
    /// [`Store::remove`].
    Remove,
    /// [`Store::sync`].
    Sync,
    /// [`Store::now`].
    Now,
    /// [`Store::rename`] and [`Store::exchange`].
    Rename,
}

const OPS: usize = 10;

/// A failure to come.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    op: Option<Op>,
    // Operations to let pass, counted down.
    spare: u64,
    lasting: bool,
    applied: bool,
    kind: io::ErrorKind,
}

impl Fault {
    /// Fails the `nth` operation of this kind from now, counted from one.
    pub fn on(op: Op, nth: u64, kind: io::ErrorKind) -> Self {
        Fault { op: Some(op), spare: nth.saturating_sub(1), lasting: false, applied: false, kind }
    }

    /// Fails the `nth` operation from now, whatever its kind.
    pub fn any(nth: u64, kind: io::ErrorKind) -> Self {
        Fault { op: None, ..Self::on(Op::Get, nth, kind) }
    }

    /// Fails all such operations from then on.
    pub fn lasting(self) -> Self {
        Fault { lasting: true, ..self }
    }

    /// Carries the operation out and then says that it failed.
    pub fn applied(self) -> Self {
        Fault { applied: true, ..self }
    }
}

/// A store around another that counts operations and fails those it was told to.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: [u64; OPS],
    faults: Vec<Fault>,
    unreadable: BTreeSet<ObjectName>,
    breaks: Option<&'static str>,
}

impl<S: Store> FaultyStore<S> {
    /// Fails nothing as yet.
    pub fn new(inner: S) -> Self {
        FaultyStore { inner, state: Mutex::default() }
    }

    /// The store inside, which does not fail.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Adds a failure to come.
    pub fn plan(&self, fault: Fault) {
        lock(&self.state).faults.push(fault);
    }

    /// Lets an object lie on bad sectors: it is listed, and each read of it fails.
    pub fn unreadable(&self, name: ObjectName) {
        lock(&self.state).unreadable.insert(name);
    }

    /// Panics in each read by a thread of this name.
    pub fn breaks_in(&self, thread: &'static str) {
        lock(&self.state).breaks = Some(thread);
    }

    /// Forgets all failures to come.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        state.faults.clear();
        state.unreadable.clear();
        state.breaks = None;
    }

    /// Operations of this kind so far, failed ones too.
    pub fn count(&self, op: Op) -> u64 {
        lock(&self.state).counts[op as usize]
    }

    /// All operations so far.
    pub fn total(&self) -> u64 {
        lock(&self.state).counts.iter().sum()
    }

    // Counts an operation; the fault that hits it, if any.
    fn hit(&self, op: Op) -> Option<Fault> {
        let mut state = lock(&self.state);
        state.counts[op as usize] += 1;
        let mut hit = None;
        state.faults.retain_mut(|fault| {
            if fault.op.is_some_and(|only| only != op) {
                return true;
            }
            if fault.spare > 0 {
                fault.spare -= 1;
                return true;
            }
            hit = hit.or(Some(*fault));
            fault.lasting
        });
        hit
    }

    fn read<T>(&self, name: &ObjectName, action: impl FnOnce(&S) -> Result<T>) -> Result<T> {
        let (is_bad, breaks) = {
            let state = lock(&self.state);
            (state.unreadable.contains(name), state.breaks)
        };
        assert!(breaks.is_none() || thread::current().name() != breaks, "a thread that breaks, on request");
        self.run(Op::Get, "read", name.as_str(), |s| match is_bad {
            true => Err(Error::store("read", name, io::Error::other("a bad sector, on request"))),
            false => action(s),
        })
    }

    fn run<T>(&self, op: Op, doing: &'static str, object: &str, action: impl FnOnce(&S) -> Result<T>) -> Result<T> {
        let Some(fault) = self.hit(op) else { return action(&self.inner) };
        if fault.applied {
            action(&self.inner)?;
        }
        Err(Error::store(doing, object, io::Error::new(fault.kind, "failed on request")))
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        self.read(name, |s| s.get(name, max))
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read(name, |s| s.get_range(name, offset, out))
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        // The upload inside borrows from `self`, so `run` cannot hand it on.
        let failed = self.run(Op::Upload, "begin", "an upload", |_| Ok(()));
        failed.and_then(|()| Ok(Box::new(FaultyUpload { store: self, inner: self.inner.upload()?, torn: false }) as _))
    }
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.run(Op::List, "list", prefix, |s| s.list(prefix, each))
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.run(Op::Stat, "read", name.as_str(), |s| s.stat(name))
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.run(Op::Remove, "remove", name.as_str(), |s| s.remove(name))
    }
    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        self.run(Op::Rename, "rename", from.as_str(), |s| s.rename(from, to))
    }
    fn exchange(&self, a: &ObjectName, b: &ObjectName) -> Result<bool> {
        self.run(Op::Rename, "rename", a.as_str(), |s| s.exchange(a, b))
    }
    fn sync(&self) -> Result<()> {
        self.run(Op::Sync, "flush", "the store", |s| s.sync())
    }
    fn now(&self) -> Result<Option<i64>> {
        self.run(Op::Now, "read the clock of", "the store", |s| s.now())
    }
}

struct FaultyUpload<'s, S> {
    store: &'s FaultyStore<S>,
    inner: Box<dyn Upload + 's>,
    // A real store never gives a name to what was not written in full.
    torn: bool,
}

impl<S: Store> Upload for FaultyUpload<'_, S> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let inner = &mut self.inner;
        let done = self.store.run(Op::Append, "write", "an upload", |_| inner.append(bytes));
        self.torn |= done.is_err();
        done
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<Put> {
        if self.torn {
            return Err(Error::store("store", name, io::Error::other("an earlier write failed")));
        }
        self.store.run(Op::Finish, "store", name.as_str(), |_| self.inner.finish(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{conformance, memory::MemoryStore};

    fn store() -> (FaultyStore<MemoryStore>, ObjectName) {
        (FaultyStore::new(MemoryStore::new()), ObjectName::new("packs/a").unwrap())
    }

    #[test]
    fn without_faults_it_is_the_store_inside() {
        conformance::check(&store().0).unwrap();
    }

    #[test]
    fn only_the_nth_of_its_kind_fails_and_only_once() {
        let (store, name) = store();
        store.put(&name, b"bytes").unwrap();
        store.plan(Fault::on(Op::Get, 2, io::ErrorKind::PermissionDenied));
        store.get(&name, 9).unwrap();
        store.stat(&name).unwrap();
        assert!(matches!(store.get_range(&name, 0, &mut [0]), Err(Error::Store { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied));
        store.get(&name, 9).unwrap();
        assert_eq!((store.count(Op::Get), store.count(Op::Append), store.total()), (3, 1, 7));
    }

    #[test]
    fn a_lasting_fault_ends_when_it_is_healed() {
        let (store, name) = store();
        store.plan(Fault::on(Op::Append, 1, io::ErrorKind::StorageFull).lasting());
        for _ in 0..3 {
            assert!(store.put(&name, b"bytes").unwrap_err().is_store_full());
        }
        store.heal();
        assert_eq!(store.put(&name, b"bytes").unwrap(), Put::Created);
    }

    #[test]
    fn an_applied_fault_reports_failure_of_what_was_done() {
        let (store, name) = store();
        store.plan(Fault::on(Op::Finish, 1, io::ErrorKind::TimedOut).applied());
        store.put(&name, b"bytes").unwrap_err();
        assert_eq!(store.inner().get(&name, 9).unwrap(), b"bytes");
    }

    #[test]
    fn what_was_not_written_in_full_gets_no_name() {
        let (store, name) = store();
        store.plan(Fault::on(Op::Append, 2, io::ErrorKind::Other).applied());
        let mut upload = store.upload().unwrap();
        upload.append(b"1").unwrap();
        upload.append(b"2").unwrap_err();
        upload.finish(&name).unwrap_err();
        assert!(store.inner().names().is_empty());
    }

    #[test]
    fn any_operation_can_be_the_one_to_fail() {
        for nth in 1..=4 {
            let (store, name) = store();
            store.plan(Fault::any(nth, io::ErrorKind::Other));
            let done = store.put(&name, b"bytes").and_then(|_| store.sync());
            assert!(done.is_err(), "operation {nth} was not hit");
            store.put(&name, b"bytes").and_then(|_| store.sync()).unwrap();
        }
    }
}
