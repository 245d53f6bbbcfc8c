//! What this machine remembers of its runs: when each job was last done, and how it went. One small file beside what is remembered
//! of repositories; without it all jobs count as never done.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Longest file that is read, in bytes: thousands of applications.
const MAX: u64 = 64 << 20;

/// The last time of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Last {
    /// When it was last tried, in seconds since 1970.
    pub tried: i64,
    /// When it was last done well.
    pub good: Option<i64>,
    /// What went wrong at the last try; empty when nothing did.
    pub wrong: String,
    /// How long the last one that went well took, in seconds.
    pub seconds: f64,
}

/// The last times of all jobs: `snapshot alpha/web1/shop`, `copy local hub`, `check local`, `medium blue`, `drill alpha/web1/shop`, `run`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// By job.
    #[serde(default)]
    pub jobs: BTreeMap<String, Last>,
}

fn path(folder: &Path) -> PathBuf {
    folder.join("fleet.json")
}

impl State {
    /// Reads it; empty when there is none.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = path(folder);
        let failed = |e| Error::store("read", path.display(), e);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(e) => return Err(failed(e)),
            Ok(file) => file.take(MAX).read_to_end(&mut bytes).map_err(failed)?,
        };
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::corrupt(path.display(), format!("{e}; remove it, and all jobs count as never done")))
    }

    /// The last time of a job.
    pub fn last(&self, job: &str) -> Option<&Last> {
        self.jobs.get(job)
    }

    /// Notes how a job went at a time.
    pub fn note(&mut self, job: &str, time: i64, wrong: Option<&str>, seconds: f64) {
        let last = self.jobs.entry(job.to_owned()).or_default();
        last.tried = time;
        last.wrong = wrong.unwrap_or_default().to_owned();
        if wrong.is_none() {
            (last.good, last.seconds) = (Some(time), seconds);
        }
    }

    /// Changes what is remembered, one process after another; durable when this returns. What is remembered then.
    pub fn update(folder: &Path, change: impl FnOnce(&mut State)) -> Result<State> {
        let failed = |e| Error::store("write", path(folder).display(), e);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(folder.join("fleet.lock"));
        // Held until it is closed.
        let lock = lock.map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut state = State::read(folder)?;
        change(&mut state);
        let bytes = serde_json::to_vec_pretty(&state).map_err(|e| Error::corrupt(path(folder).display(), e))?;
        replace(&path(folder), &bytes, 0o600)?;
        Ok(state)
    }
}

/// Puts a file in the place of another in one step: whoever reads sees the one or the other.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let write = || {
        // What a killed process of the same number left.
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // Of a bare name the folder is where we are.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&beside);
        Error::store("write", path.display(), e)
    })
}

/// True when what is to be done at most so often (in seconds) is due again. A quarter less than that has to have passed: a nightly
/// job does not begin to the second.
pub fn due(now: i64, last: Option<i64>, every: u64) -> bool {
    let wait = i64::try_from(every - every / 4).unwrap_or(i64::MAX);
    // A time in the future is no reason to wait for it.
    last.is_none_or(|last| last > now || now.saturating_sub(last) >= wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        assert_eq!(State::read(&folder).unwrap(), State::default());
        State::update(&folder, |state| state.note("check local", 100, None, 2.0)).unwrap();
        let state = State::update(&folder, |state| state.note("check local", 200, Some("it broke"), 3.0)).unwrap();
        let back = State::read(&folder).unwrap();
        assert_eq!(back, state);
        let last = back.last("check local").unwrap();
        assert_eq!((last.tried, last.good, last.wrong.as_str(), last.seconds), (200, Some(100), "it broke", 2.0));
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["fleet.json", "fleet.lock"]);
        fs::write(folder.join("fleet.json"), "{").unwrap();
        assert!(matches!(State::read(&folder), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn a_nightly_job_is_due_each_night() {
        assert!(due(1000, None, 86400) && due(1000, Some(900), 0));
        assert!(due(86400, Some(600), 86400) && !due(40_000, Some(600), 86400));
        assert!(due(1000, Some(2000), 86400));
        assert!(due(i64::MAX, Some(i64::MIN), u64::MAX));
    }
}
