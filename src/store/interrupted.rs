//! A store in which something happens in the middle of somebody's work: for tests of who meets whom, and where.

use super::{
    faulty::Op,
    lock,
    memory::MemoryStore,
    watched::{Watch, Watched},
};
use crate::error::Result;
use std::{
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// A store that lets something happen once, just before the operation that it waits for.
pub type Interrupted<'a> = Watched<Event<'a>>;

type When<'a> = dyn Fn(Op, &str) -> bool + Send + Sync + 'a;

/// What is to happen, and before which operation.
pub struct Event<'a> {
    when: Box<When<'a>>,
    what: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl Watch for Event<'_> {
    fn before(&self, op: Op, name: &str, _: Range<u64>) -> Result<()> {
        let event = if (self.when)(op, name) { lock(&self.what).take() } else { None };
        event.into_iter().for_each(|event| event());
        Ok(())
    }
}

impl<'a> Interrupted<'a> {
    /// `event` happens before the operation `nth`, counted from one.
    pub fn new(inner: MemoryStore, nth: u64, event: impl FnOnce() + Send + 'a) -> Arc<Self> {
        let count = AtomicU64::new(0);
        Self::when(inner, move |_, _| count.fetch_add(1, Ordering::SeqCst) + 1 == nth, event)
    }

    /// `event` happens before the first operation that `when` takes, by its kind and what it is about.
    pub fn when(
        inner: MemoryStore,
        when: impl Fn(Op, &str) -> bool + Send + Sync + 'a,
        event: impl FnOnce() + Send + 'a,
    ) -> Arc<Self> {
        Arc::new(Watched { inner, watch: Event { when: Box::new(when), what: Mutex::new(Some(Box::new(event))) } })
    }

    /// False when there was no such operation.
    pub fn happened(&self) -> bool {
        lock(&self.watch.what).is_none()
    }
}
