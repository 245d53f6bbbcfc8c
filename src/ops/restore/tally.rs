//! What came of a restore so far: counted by all of its threads.

use super::Report;
use crate::{
    error::{Error, Result},
    fs::{PathError, target::Shortfall},
    model::{
        limits,
        snapshot::{Problem, Totals},
    },
    monitor::Monitor,
    name::Shown,
};
use std::{
    io,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Lines of what would be done that are kept.
const ACTIONS_MAX: usize = 10_000;

#[derive(Default)]
struct Kept {
    totals: Totals,
    problems: Vec<Problem>,
    problem_count: u64,
    shortfall: Shortfall,
    actions: Vec<String>,
    fatal: Option<Error>,
}

/// The report to be.
pub(super) struct Tally<'m> {
    monitor: &'m dyn Monitor,
    kept: Mutex<Kept>,
    failed: AtomicBool,
    protected: AtomicBool,
    pub unchanged: AtomicU64,
    pub written: AtomicU64,
    pub bytes_written: AtomicU64,
    pub bytes_fetched: AtomicU64,
    pub deleted: AtomicU64,
    pub sockets: AtomicU64,
}

/// Adds to one of the counts.
pub(super) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl<'m> Tally<'m> {
    pub fn new(monitor: &'m dyn Monitor) -> Self {
        let zero = AtomicU64::default;
        Tally {
            monitor,
            kept: Mutex::default(),
            failed: AtomicBool::new(false),
            protected: AtomicBool::new(false),
            unchanged: zero(),
            written: zero(),
            bytes_written: zero(),
            bytes_fetched: zero(),
            deleted: zero(),
            sockets: zero(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Something went wrong with the entry at `path`; the rest goes on.
    /// Not once the target failed as a whole: that is said once, and each file would say it again.
    pub fn problem(&self, path: Vec<u8>, what: String) {
        if self.failed.load(Ordering::Relaxed) {
            return;
        }
        self.monitor.problem(&format!("{}: {what}", Shown(&path)));
        let mut kept = self.kept();
        kept.problem_count += 1;
        if kept.problems.len() < limits::PROBLEMS_MAX {
            kept.problems.push(Problem { path, what });
        }
    }

    /// The system refused something. That there is no room left, or that nothing may be written at all, ends the restore.
    pub fn path_error(&self, error: PathError) {
        let what = reason(&error);
        if is_whole(&error) {
            self.failed.store(true, Ordering::Relaxed);
            let path = Shown(&error.path).to_string();
            self.kept().fatal.get_or_insert(Error::Target { path, source: error.source });
        } else {
            self.problem(error.path, what);
        }
    }

    /// Counts what could not be given to an entry, or reports that giving it failed.
    pub fn applied(&self, result: Result<Shortfall, PathError>) {
        match result {
            Ok(short) if short.is_none() => {}
            Ok(short) => self.kept().shortfall += short,
            Err(error) => self.path_error(error),
        }
    }

    /// The directory that is left alone whatever is asked was met: said once.
    pub fn protected(&self, path: &[u8]) {
        if !self.protected.swap(true, Ordering::Relaxed) {
            self.monitor.note(&format!("{} is left alone: it is the repository that this comes from", Shown(path)));
        }
    }

    /// What would be done to an entry.
    pub fn action(&self, verb: &str, path: &[u8]) {
        let mut kept = self.kept();
        if kept.actions.len() < ACTIONS_MAX {
            let path: &[u8] = if path.is_empty() { b"." } else { path };
            kept.actions.push(format!("{verb} {}", Shown(path)));
        }
    }

    /// What is to be restored.
    pub fn total(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.kept().totals);
    }

    /// True when nothing more should be begun: the user asked to stop, or the target failed as a whole.
    pub fn stop(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.monitor.cancelled()
    }

    /// The reason for that.
    pub fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            // The error itself is returned once, at the end.
            return Err(Error::Cancelled);
        }
        self.monitor.check()
    }

    /// The failure of the target as a whole.
    pub fn fatal(&self) -> Result<()> {
        self.kept().fatal.take().map_or(Ok(()), Err)
    }

    pub fn into_report(self) -> Report {
        let kept = self.kept.into_inner().unwrap_or_else(|e| e.into_inner());
        Report {
            totals: kept.totals,
            files_unchanged: self.unchanged.into_inner(),
            files_written: self.written.into_inner(),
            bytes_written: self.bytes_written.into_inner(),
            bytes_fetched: self.bytes_fetched.into_inner(),
            deleted: self.deleted.into_inner(),
            sockets: self.sockets.into_inner(),
            shortfall: kept.shortfall.to_string(),
            problems: kept.problems,
            problem_count: kept.problem_count,
            actions: kept.actions,
        }
    }
}

/// What failed and why, without the path.
pub(super) fn reason(error: &PathError) -> String {
    let why = error.source.to_string();
    let why = match error.source.raw_os_error() {
        Some(code) => why.strip_suffix(&format!(" (os error {code})")).unwrap_or(&why).to_owned(),
        None => why,
    };
    format!("cannot {} it: {why}", error.doing)
}

/// True when the target as a whole failed: what is not restored for that is no problem of single files.
pub(super) fn is_whole(error: &PathError) -> bool {
    matches!(
        error.source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Recording;

    #[test]
    fn a_target_that_failed_as_a_whole_is_said_once() {
        let monitor = Recording::default();
        let tally = Tally::new(&monitor);
        tally.problem(b"before".to_vec(), "lost".into());
        let full = || PathError::new(&b"f"[..], "write", io::Error::from(io::ErrorKind::StorageFull));
        tally.path_error(full());
        tally.problem(b"f".to_vec(), reason(&full()));
        tally.problem(b"g".to_vec(), reason(&full()));
        assert_eq!(monitor.problems(), ["before: lost"]);
        assert!(matches!(tally.fatal(), Err(Error::Target { .. })));
    }
}
