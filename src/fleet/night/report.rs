//! What came of a run.

use crate::id::SnapshotId;
use std::fmt;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Snapshot(String),
    Forget(String),
    Copy { from: String, to: String },
    Medium(String),
    Pull(String),
    Prune(String),
    Check(String),
    Drill(String),
}

impl What {
    /// By which it is remembered.
    pub fn key(&self) -> String {
        match self {
            What::Snapshot(series) => format!("snapshot {series}"),
            What::Forget(repository) => format!("forget {repository}"),
            What::Copy { from, to } => format!("copy {from} {to}"),
            What::Medium(name) => format!("medium {name}"),
            What::Pull(server) => format!("pull {server}"),
            What::Prune(repository) => format!("prune {repository}"),
            What::Check(repository) => format!("check {repository}"),
            What::Drill(series) => format!("drill {series}"),
        }
    }

    /// The verb.
    pub fn verb(&self) -> &'static str {
        match self {
            What::Snapshot(_) => "snapshot",
            What::Forget(_) => "forget",
            What::Copy { .. } => "copy",
            What::Medium(_) => "medium",
            What::Pull(_) => "pull",
            What::Prune(_) => "prune",
            What::Check(_) => "check",
            What::Drill(_) => "drill",
        }
    }

    /// What it is done to.
    pub fn object(&self) -> String {
        match self {
            What::Snapshot(name)
            | What::Forget(name)
            | What::Medium(name)
            | What::Pull(name)
            | What::Prune(name)
            | What::Check(name)
            | What::Drill(name) => name.clone(),
            What::Copy { from, to } => format!("{from} to {to}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb(), crate::name::Shown(self.object().as_bytes()))
    }
}

/// What came of a job. Texts are safe to print.
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    /// It is done; what there is to tell.
    Good(String),
    /// A snapshot was made.
    Snapshot { id: SnapshotId, files: u64, bytes: u64, new: u64, stored: u64 },
    /// A snapshot was made of which something is missing.
    Incomplete { id: SnapshotId, why: String },
    /// An application was restored for a test, and all of it came back.
    Drill { files: u64, bytes: u64, seconds: f64 },
    /// A medium is not there: later.
    Absent(String),
    /// It was not due, or is not for this machine or key.
    Skipped(String),
    /// A dry run: it would be done.
    Planned(String),
    /// Nothing came of it.
    Failed(String),
}

impl Came {
    /// What went wrong.
    pub fn wrong(&self) -> Option<&str> {
        match self {
            Came::Incomplete { why, .. } | Came::Failed(why) => Some(why),
            _ => None,
        }
    }

    /// A word for tables and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Came::Good(_) | Came::Snapshot { .. } | Came::Drill { .. } => "done",
            Came::Incomplete { .. } => "incomplete",
            Came::Absent(_) => "absent",
            Came::Skipped(_) => "skipped",
            Came::Planned(_) => "planned",
            Came::Failed(_) => "failed",
        }
    }
}

/// A job that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub what: What,
    pub came: Came,
    pub seconds: f64,
}

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The jobs, in the order in which they were done.
    pub jobs: Vec<Job>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// The user stopped it.
    pub cancelled: bool,
}

impl Report {
    /// Jobs that went wrong, in number. That a medium is absent is nothing wrong.
    pub fn wrong(&self) -> usize {
        self.jobs.iter().filter(|job| matches!(job.came, Came::Failed(_) | Came::Incomplete { .. })).count()
    }

    /// How long all jobs took.
    pub fn seconds(&self) -> f64 {
        self.jobs.iter().map(|job| job.seconds).sum()
    }
}
