//! The snapshots that are there now, and the folders in which the mount shows them.
//!
//! ```text
//! servers/<server>/<vm>/<relpath…>/<time>     a snapshot; `latest` beside it leads to the newest
//! ids/<id>                                    leads there
//! by-date/<time>_<id>                         leads there
//! ```

use super::{
    entry::Shot,
    folders::{Folders, Line, Version},
};
use crate::{
    error::{Error, Result},
    id::{SeriesTag, SnapshotId},
    monitor::Monitor,
    repo::{Repository, snapshots},
    series::Series,
    world::Time,
};
use rayon::prelude::*;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

/// Turns seconds since 1970 into the name of a snapshot's folder.
pub type TimeName = dyn Fn(i64) -> String + Send + Sync;

/// What was found of one snapshot's object.
enum Found {
    Good(Version),
    /// Damaged; with its number in the series, where that can still be read.
    Damaged(Option<u64>),
}

#[derive(Default)]
struct State {
    found: HashMap<(SeriesTag, SnapshotId), Found>,
    looked: Option<Time>,
    /// Some of the snapshots are newer than the index: they are not shown before it was loaded again.
    is_ahead_of_index: bool,
    /// The folders show something else.
    is_unshown: bool,
}

/// Knows the snapshots, and looks for new ones when asked.
pub struct Catalog<'r> {
    repo: &'r Repository,
    time_name: Box<TimeName>,
    /// Series that are not what this client saw of them before: which snapshot is the newest, nobody knows.
    rolled_back: HashSet<String>,
    /// Held while the store is looked at.
    state: Mutex<State>,
    folders: RwLock<Arc<Folders>>,
}

impl<'r> Catalog<'r> {
    /// Reads all snapshots. Those that cannot be read are problems told to the monitor.
    pub fn new(
        repo: &'r Repository,
        time_name: Box<TimeName>,
        rolled_back: HashSet<String>,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let (state, folders) = Default::default();
        let catalog = Catalog { repo, time_name, rolled_back, state, folders };
        catalog.look(&mut catalog.lock(), &|| Ok(()), monitor)?;
        Ok(catalog)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folders as they were when the store was looked at last.
    pub fn folders(&self) -> Arc<Folders> {
        self.folders.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks for new snapshots, unless that was done within this second. `before_new` is called before new ones are shown: what they
    /// hold must be found by then.
    pub fn refresh(&self, before_new: &dyn Fn() -> Result<()>, monitor: &dyn Monitor) -> Result<()> {
        // Who comes while another looks waits, and finds what that one found.
        let mut state = self.lock();
        let now = self.repo.clock().now();
        // A clock that is set back is no reason never to look again.
        let is_fresh = |at: Time| now >= at && (now.sec - at.sec, now.nsec) < (1, at.nsec);
        if state.looked.is_some_and(is_fresh) {
            return Ok(());
        }
        state.looked = Some(now);
        self.look(&mut state, before_new, monitor)
    }

    fn look(&self, state: &mut State, before_new: &dyn Fn() -> Result<()>, monitor: &dyn Monitor) -> Result<()> {
        let names: HashSet<(SeriesTag, SnapshotId)> =
            self.repo.living(None)?.names.into_iter().map(|(tag, id, _)| (tag, id)).collect();
        let before = state.found.len();
        state.found.retain(|name, _| names.contains(name));
        state.is_unshown |= before != state.found.len() || state.found.is_empty();
        let new: Vec<_> = names.into_iter().filter(|name| !state.found.contains_key(name)).collect();
        let read: Vec<_> = new.into_par_iter().map(|(tag, id)| ((tag, id), self.read(&tag, &id, monitor))).collect();
        // One that fails hides no other; and whatever fails is owed, and done when the store is looked at next.
        let mut failure = None;
        for (name, found) in read {
            match found {
                Ok(Some(found)) => {
                    state.is_ahead_of_index |= matches!(found, Found::Good(_));
                    state.is_unshown = true;
                    state.found.insert(name, found);
                }
                Ok(None) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if state.is_ahead_of_index {
            before_new()?;
            state.is_ahead_of_index = false;
        }
        if state.is_unshown {
            let folders = Arc::new(self.arrange(state));
            *self.folders.write().unwrap_or_else(PoisonError::into_inner) = folders;
            state.is_unshown = false;
        }
        failure.map_or(Ok(()), Err)
    }

    /// Reads one snapshot; `None` when it went away, or cannot be read now but perhaps later.
    fn read(&self, tag: &SeriesTag, id: &SnapshotId, monitor: &dyn Monitor) -> Result<Option<Found>> {
        let name = snapshots::object_name(tag, id);
        let told = |error: Error| monitor.problem(&format!("{error}; this snapshot is not shown"));
        match self.repo.read_snapshot(tag, id) {
            Ok(listed) => {
                let repaired_from = listed.snapshot.repaired_from();
                let series = Series::parse(&listed.snapshot.series)?;
                let head = listed.snapshot.head;
                let shot = Arc::new(Shot { id: *id, tag: *tag, time: head.time.sec });
                Ok(Some(Found::Good(Version { shot, series, sequence: head.sequence, repaired_from })))
            }
            Err(error @ (Error::Corrupt { .. } | Error::Unsupported { .. })) => {
                told(error);
                Ok(Some(Found::Damaged(self.repo.head_of_damaged(&name).map(|head| head.sequence))))
            }
            Err(Error::Missing { .. }) => Ok(None),
            Err(error @ Error::Store { .. }) => {
                told(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn arrange<'a>(&self, state: &'a State) -> Folders {
        let mut by_series: HashMap<SeriesTag, (Vec<&'a Version>, Option<u64>)> = HashMap::new();
        let stand_in = |found: &Found| if let Found::Good(version) = found { version.repaired_from } else { None };
        let stand_ins: HashSet<SnapshotId> = state.found.values().filter_map(stand_in).collect();
        for ((tag, id), found) in &state.found {
            let (versions, damaged) = by_series.entry(*tag).or_default();
            match found {
                Found::Good(version) => versions.push(version),
                // One that another was made in the place of is in nobody's way.
                Found::Damaged(number) if !stand_ins.contains(id) => *damaged = (*damaged).max(*number),
                Found::Damaged(_) => {}
            }
        }
        let line = |(mut versions, damaged): (Vec<&'a Version>, Option<u64>)| {
            versions.sort_by_key(|version| (version.sequence, version.shot.id));
            let newest = versions.last().map(|version| version.sequence);
            let rolled_back = versions.last().is_some_and(|version| self.rolled_back.contains(version.series.as_str()));
            // An older snapshot must not pass for the newest.
            Line { has_latest: !rolled_back && damaged <= newest, versions }
        };
        Folders::of(by_series.into_values().map(line).collect(), &*self.time_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitor::Recording,
        ops::fixture::{self, Fixture},
    };

    #[test]
    fn new_snapshots_that_the_index_could_not_be_loaded_for_are_shown_once_it_can() {
        let fixture = Fixture::new();
        let monitor = Recording::default();
        let catalog = Catalog::new(&fixture.repo, Box::new(|sec| format!("t{sec}")), HashSet::new(), &monitor).unwrap();
        fixture.snapshot("h/-/s", 1, vec![("f", fixture::file(b"f"))]);
        let is_shown = || catalog.folders().get("servers/h/-/s").is_some();
        catalog.refresh(&|| Err(Error::refused("not now")), &monitor).unwrap_err();
        assert!(!is_shown());
        // The next second.
        catalog.lock().looked = None;
        catalog.refresh(&|| Ok(()), &monitor).unwrap();
        assert!(is_shown());
        // Nothing is owed any more.
        catalog.lock().looked = None;
        catalog.refresh(&|| Err(Error::refused("not asked")), &monitor).unwrap();
    }
}
