//! What lanes and the packer meet through: a channel, and the packer's thread. Where orders of threads are tried, both are those of
//! `shuttle`, which chooses who goes on.

#[cfg(not(all(test, feature = "interleaved")))]
mod by {
    pub use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
    pub use std::thread::scope;
    use std::thread::{Builder, Scope, ScopedJoinHandle};

    /// Starts a thread that ends with the scope.
    pub fn spawn<'scope, T: Send + 'scope>(
        scope: &'scope Scope<'scope, '_>,
        name: &str,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> std::io::Result<ScopedJoinHandle<'scope, T>> {
        Builder::new().name(name.into()).spawn_scoped(scope, work)
    }
}

#[cfg(all(test, feature = "interleaved"))]
mod by {
    pub use shuttle::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender as Sender, sync_channel as bounded};
    use shuttle::thread::{JoinHandle, spawn as start};

    /// Stands for a scope: those of `shuttle` wake whoever opened them when the last of their threads ends, whatever he waits for.
    pub struct Scope;

    /// Calls `work`, which joins what it starts.
    pub fn scope<T>(work: impl FnOnce(&Scope) -> T) -> T {
        work(&Scope)
    }

    /// Starts a thread, which must be joined before what it borrows ends.
    #[expect(unsafe_code)]
    pub fn spawn<'a, T: Send + 'static>(
        _: &Scope,
        _: &str,
        work: impl FnOnce() -> T + Send + 'a,
    ) -> std::io::Result<JoinHandle<T>> {
        let work: Box<dyn FnOnce() -> T + Send + 'a> = Box::new(work);
        // SAFETY: in tests alone, where all that start threads join them, or fail and end the process's only test.
        let work: Box<dyn FnOnce() -> T + Send> = unsafe { std::mem::transmute(work) };
        Ok(start(work))
    }
}

pub(crate) use by::{Receiver, RecvTimeoutError, Sender, bounded, scope, spawn};
