//! A store that asks again when a connection fails for a moment, around another.
//!
//! Asked again is only what may be carried out twice: reads, listings, removals and puts of whole objects. Never a sync
//! (a failed one is final) and never the parts of an upload, whose bytes are gone: who uploads in parts begins anew.

use super::{Capabilities, Entry, ObjectName, Put, Store, Upload};
use crate::error::{Error, Result};
use std::{io::ErrorKind, time::Duration};

/// How often and how patiently.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts in all; at least one is made.
    pub attempts: u32,
    /// The wait after the first failure. Each further one is twice as long.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for Patience {
    /// Six attempts within some 15 seconds.
    fn default() -> Self {
        Patience { attempts: 6, first: Duration::from_millis(500), longest: Duration::from_secs(10) }
    }
}

/// Waits, so that the caller decides what waiting means.
pub type Sleeper = Box<dyn Fn(Duration) + Send + Sync>;

/// A store around another that repeats what failed for the moment.
pub struct RetryStore<S> {
    inner: S,
    patience: Patience,
    sleep: Sleeper,
}

impl<S: Store> RetryStore<S> {
    /// Repeats operations on `inner`.
    pub fn new(inner: S, patience: Patience, sleep: Sleeper) -> Self {
        RetryStore { inner, patience, sleep }
    }

    fn retry<T>(&self, mut action: impl FnMut(&S) -> Result<T>) -> Result<T> {
        let mut wait = self.patience.first;
        for _ in 1..self.patience.attempts {
            match action(&self.inner) {
                Err(e) if is_passing(&e) => (self.sleep)(wait),
                done => return done,
            }
            wait = wait.saturating_mul(2).min(self.patience.longest);
        }
        action(&self.inner)
    }
}

// True for what may be better in a moment.
fn is_passing(e: &Error) -> bool {
    use ErrorKind::*;
    let Error::Store { source, .. } = e else { return false };
    matches!(
        source.kind(),
        Interrupted
            | WouldBlock
            | TimedOut
            | ConnectionReset
            | ConnectionAborted
            | ConnectionRefused
            | NotConnected
            | BrokenPipe
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
    )
}

impl<S: Store> Store for RetryStore<S> {
    fn place(&self) -> String {
        self.inner.place()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        self.retry(|s| s.get(name, max))
    }
    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        self.retry(|s| s.get_range(name, offset, out))
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        self.retry(|_| self.inner.upload())
    }
    /// Asks again only until the first entry was handed on: none is told twice.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let mut begun = false;
        let mut ended = None;
        let listed = self.retry(|s| {
            let done = s.list(prefix, &mut |entry| {
                begun = true;
                each(entry)
            });
            match done {
                // Handed around `retry`, which would take it for passing.
                Err(e) if begun => {
                    ended = Some(e);
                    Ok(())
                }
                done => done,
            }
        });
        ended.map_or(listed, Err)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        self.retry(|s| s.stat(name))
    }
    fn remove(&self, name: &ObjectName) -> Result<()> {
        self.retry(|s| s.remove(name))
    }
    /// Not asked again: after a first attempt that was carried out the old name is gone.
    fn rename(&self, from: &ObjectName, to: &ObjectName) -> Result<Put> {
        self.inner.rename(from, to)
    }

    fn exchange(&self, a: &ObjectName, b: &ObjectName) -> Result<bool> {
        self.inner.exchange(a, b)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn now(&self) -> Result<Option<i64>> {
        self.retry(|s| s.now())
    }
    /// May be told [`Put::Existed`] about its own bytes, when only the answer to the first attempt was lost.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put> {
        self.retry(|s| s.put(name, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        conformance,
        faulty::{Fault, FaultyStore, Op},
        memory::MemoryStore,
    };
    use std::sync::{Arc, Mutex};

    type Waits = Arc<Mutex<Vec<u64>>>;

    fn store() -> (RetryStore<FaultyStore<MemoryStore>>, Waits, ObjectName) {
        let waits = Waits::default();
        let patience = Patience { attempts: 4, first: Duration::from_millis(100), longest: Duration::from_millis(300) };
        let sleep = {
            let waits = waits.clone();
            Box::new(move |wait: Duration| waits.lock().unwrap().push(wait.as_millis() as u64))
        };
        let name = ObjectName::new("packs/a").unwrap();
        (RetryStore::new(FaultyStore::new(MemoryStore::new()), patience, sleep), waits, name)
    }

    #[test]
    fn keeps_the_contract() {
        conformance::check(&store().0).unwrap();
    }

    #[test]
    fn waits_longer_each_time_and_gives_up() {
        let (store, waits, name) = store();
        store.inner.plan(Fault::on(Op::Get, 1, ErrorKind::TimedOut).lasting());
        assert!(matches!(store.get(&name, 1), Err(Error::Store { .. })));
        assert_eq!(*waits.lock().unwrap(), [100, 200, 300]);
        assert_eq!(store.inner.count(Op::Get), 4);
    }

    #[test]
    fn a_passing_failure_is_not_seen() {
        let (store, _, name) = store();
        store.inner.plan(Fault::on(Op::Append, 1, ErrorKind::ConnectionReset));
        assert_eq!(store.put(&name, b"bytes").unwrap(), Put::Created);
        store.inner.plan(Fault::on(Op::Finish, 1, ErrorKind::TimedOut).applied());
        let other = ObjectName::new("packs/b").unwrap();
        assert_eq!(store.put(&other, b"bytes").unwrap(), Put::Existed);
        for op in [Op::Get, Op::Stat, Op::List, Op::Remove, Op::Now, Op::Upload] {
            store.inner.plan(Fault::on(op, 1, ErrorKind::WouldBlock));
        }
        assert_eq!(store.get(&name, 9).unwrap(), b"bytes");
        assert!(store.stat(&name).unwrap().is_some() && store.now().unwrap().is_some());
        let mut seen = 0;
        store
            .list("", &mut |_| {
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, 2);
        store.remove(&name).unwrap();
        store.upload().map(drop).unwrap();
    }

    #[test]
    fn lasting_failures_and_syncs_are_not_repeated() {
        let (store, waits, name) = store();
        store.inner.plan(Fault::on(Op::Append, 1, ErrorKind::StorageFull));
        assert!(store.put(&name, b"bytes").unwrap_err().is_store_full());
        store.inner.plan(Fault::on(Op::Sync, 1, ErrorKind::TimedOut));
        store.sync().unwrap_err();
        assert!(matches!(store.get(&name, 1), Err(Error::Missing { .. })));
        assert!(waits.lock().unwrap().is_empty());
    }

    #[test]
    fn a_listing_that_was_begun_is_not_begun_again() {
        let (store, waits, name) = store();
        store.put(&name, b"bytes").unwrap();
        store.inner.plan(Fault::on(Op::List, 1, ErrorKind::TimedOut).applied());
        let mut seen = 0;
        store
            .list("", &mut |_| {
                seen += 1;
                Ok(())
            })
            .unwrap_err();
        assert_eq!((seen, waits.lock().unwrap().len()), (1, 0));
    }
}
