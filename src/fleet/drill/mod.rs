//! The restore drill: an application comes back in a scratch place, and is compared with what was known when its snapshot was made.
//!
//! ```text
//! newest or random snapshot ─▶ files, read back ─▶ dumps into a scratch server, rows compared ─▶ recipe.verify ─▶ report, scratch removed
//! ```
//!
//! The time that it took is the measured recovery time (RTO); the age of the snapshot is what would be lost (RPO).

mod scratch;

use crate::{
    error::{Error, Result},
    fleet::{
        app::App,
        database::{Server, facts::DumpFacts, scratch::Scratch},
        recipe::{Finding, Recipe},
        recovery::{self, Loaded, Place},
    },
    id::SnapshotId,
    monitor::Monitor,
    ops::restore::Owners,
    repo::{BlobReader, Listed},
    world::{Clock, Time},
};
use scratch::Folder;
use std::path::Path;

/// How a drill is to be held.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// A folder with enough room; what is restored lies in a folder of its own below it, which is removed. Scratch servers run as
    /// users of their own, so everybody must be able to enter it.
    pub scratch: &'a Path,
    /// The most seconds that a restore may take.
    pub rto: Option<u64>,
    /// The most seconds that the newest snapshot may be old; not to be asked of a random one.
    pub rpo: Option<u64>,
}

/// What came of a drill.
#[derive(Debug, Clone)]
pub struct Report {
    /// `server/vm/relpath`.
    pub series: String,
    /// The snapshot that was restored.
    pub snapshot: SnapshotId,
    /// When the drill began.
    pub begun: Time,
    /// How many seconds it took: the measured RTO.
    pub seconds: f64,
    /// How many seconds old the snapshot was: the measured RPO.
    pub age: u64,
    /// Files that were restored, and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// Databases that were loaded.
    pub databases: Vec<Loaded>,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// What is worth knowing. Safe to print.
    pub notes: Vec<String>,
    /// All that is wrong, one line each; empty when the drill passed. Safe to print.
    pub wrong: Vec<String>,
}

impl Report {
    /// True when all came back as it was, in time.
    pub fn passed(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Holds a drill with this snapshot. What is wrong is in the report; an error is returned when the repository or the scratch place
/// failed, or when the user wants to stop. Whatever comes of it, the scratch place is removed.
pub fn drill(
    reader: &BlobReader<'_>,
    listed: &Listed,
    app: &App,
    recipe: &dyn Recipe,
    request: Request<'_>,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Report> {
    let begun = clock.now();
    let folder = Folder::make(request.scratch)?;
    let mut servers = Servers { within: request.scratch, started: Vec::new() };
    let restored = recovery::restore_app(
        reader,
        listed,
        app,
        recipe,
        recovery::Request {
            target: &folder.path().join("app"),
            databases: &mut servers,
            // Others' names and numbers mean nothing here, and who is not root could not give them.
            owners: if rustix::process::geteuid().is_root() { Owners::Numeric } else { Owners::Skip },
            verify: true,
            prove: true,
            protect: None,
        },
        monitor,
    );
    let seconds = between(begun, clock.now());
    drop(servers);
    let removed = folder.remove();
    let restored = match restored {
        Ok(restored) => restored,
        // A damaged repository is what a drill is to find.
        Err(
            error @ (Error::Corrupt { .. } | Error::Missing { .. } | Error::Refused { .. } | Error::Command { .. }),
        ) => {
            let findings = vec![Finding::wrong("restore", error.to_string())];
            recovery::Report { findings, ..recovery::Report::default() }
        }
        Err(error) => return Err(error),
    };
    let age = between(listed.snapshot.head.time, begun).max(0.0) as u64;
    let mut wrong = restored.wrong();
    let snapshot = &listed.snapshot;
    if !snapshot.head.complete {
        let first = snapshot.problems.first().map(|problem| {
            format!(": {}: {}", crate::name::Shown(&problem.path), crate::name::Shown(problem.what.as_bytes()))
        });
        wrong.push(format!("the snapshot is incomplete{}", first.unwrap_or_default()));
    }
    if let Some(rto) = request.rto.filter(|rto| seconds > *rto as f64) {
        wrong.push(format!("it took {seconds:.0} s, {rto} s were promised (RTO)"));
    }
    if let Some(rpo) = request.rpo.filter(|rpo| age > *rpo) {
        wrong.push(format!("the snapshot is {age} s old, {rpo} s were promised (RPO)"));
    }
    if let Err(error) = removed {
        wrong.push(error.to_string());
    }
    Ok(Report {
        series: snapshot.series.clone(),
        snapshot: listed.id,
        begun,
        seconds,
        age,
        files: restored.files,
        bytes: restored.bytes,
        databases: restored.databases,
        findings: restored.findings,
        notes: restored.notes,
        wrong,
    })
}

/// Seconds from one time to another.
fn between(from: Time, to: Time) -> f64 {
    (to.sec.saturating_sub(from.sec)) as f64 + (f64::from(to.nsec) - f64::from(from.nsec)) / 1e9
}

/// Scratch servers, started when the first dump of their kind comes.
struct Servers<'a> {
    within: &'a Path,
    started: Vec<(String, Scratch)>,
}

impl Place for Servers<'_> {
    fn server(&mut self, facts: &DumpFacts, monitor: &dyn Monitor) -> Result<Option<Server>> {
        let kind = facts.engine.strip_suffix("-roles").unwrap_or(&facts.engine);
        if let Some((_, scratch)) = self.started.iter().find(|(started, _)| started == kind) {
            return Ok(Some(scratch.server(&facts.database)));
        }
        let scratch = Scratch::start(kind, self.within, monitor)?;
        let server = scratch.server(&facts.database);
        self.started.push((kind.to_owned(), scratch));
        Ok(Some(server))
    }
}
