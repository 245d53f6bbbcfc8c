//! Brings an application back: its files, its databases, and what its recipe has to finish.
//!
//! ```text
//! snapshot ─▶ facts ─▶ trees, each into a folder of its source's name
//!                  └─▶ dumps, streamed into the server that is named (roles first); or kept as files where none is
//!                  └─▶ recipe.settle ─▶ recipe.verify
//! ```

mod bootstrap;
mod databases;
mod means;
mod own_recipes;
mod place;
mod promise;

pub use bootstrap::{Bootstrap, bootstrap};
pub use databases::Loaded;
pub use means::Means;
pub use place::{Place, parse_server};
pub use promise::promised;

use crate::{
    error::{Error, Result},
    fleet::{
        app::App,
        database::facts::{FACTS_MAX, Facts, SOURCE},
        recipe::{Finding, Recipe, Restored},
    },
    model::{
        node::Body,
        snapshot::{Problem, Source, SourceKind},
    },
    monitor::{Monitor, Phase},
    name::Shown,
    ops::{
        dump,
        restore::{self, Owners},
    },
    repo::{BlobReader, Listed},
};
use std::{
    ffi::OsStr,
    io::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// What is to be brought back, and how.
pub struct Request<'a> {
    /// The folder that gets each source under its name; made when it is not there.
    pub target: &'a Path,
    /// Where databases go.
    pub databases: &'a mut dyn Place,
    /// Whose the restored files are.
    pub owners: Owners,
    /// Read back what was written.
    pub verify: bool,
    /// Compare rows, and run the recipe's verification.
    pub prove: bool,
    /// A directory that is never entered: the repository.
    pub protect: Option<crate::fs::target::Identity>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Regular files that were restored, and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// Databases.
    pub databases: Vec<Loaded>,
    /// What the recipe finished, and what else is worth knowing. Safe to print.
    pub notes: Vec<String>,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// Entries that could not be restored: the first ones, and all in number.
    pub problems: Vec<Problem>,
    pub problem_count: u64,
}

impl Report {
    /// All that is wrong, one line each. Safe to print.
    pub fn wrong(&self) -> Vec<String> {
        let finding = |finding: &Finding| Some(format!("{}: {}", finding.what, finding.wrong.as_ref()?));
        let mut wrong: Vec<String> = self.findings.iter().filter_map(finding).collect();
        wrong.extend(self.problems.iter().map(|problem| format!("{}: {}", Shown(&problem.path), problem.what)));
        let more = self.problem_count.saturating_sub(self.problems.len() as u64);
        if more > 0 {
            wrong.push(format!("and {more} more entries"));
        }
        wrong
    }
}

/// What was known of the application when its snapshot was made; `None` when nothing was.
pub fn facts(reader: &BlobReader<'_>, listed: &Listed, monitor: &dyn Monitor) -> Result<Option<Facts>> {
    let Some(source) = source(listed, SOURCE.as_bytes()) else { return Ok(None) };
    match source.root.body {
        Body::File { size, .. } if size <= FACTS_MAX => {}
        _ => return Err(Error::corrupt(SOURCE, "it is too long, or no file")),
    }
    let mut bytes = Vec::new();
    dump::dump(reader, listed, Some(SOURCE.as_bytes()), &mut bytes, monitor)?;
    Facts::decode(&bytes).map(Some)
}

fn source<'a>(listed: &'a Listed, name: &[u8]) -> Option<&'a Source> {
    listed.snapshot.sources.iter().find(|source| source.root.name.as_bytes() == name)
}

/// Brings an application back. What is wrong with single entries, databases and findings is in the report; an error is returned when
/// the target or the repository failed, or when the user wants to stop.
pub fn restore_app(
    reader: &BlobReader<'_>,
    listed: &Listed,
    app: &App,
    recipe: &dyn Recipe,
    mut request: Request<'_>,
    monitor: &dyn Monitor,
) -> Result<Report> {
    let mut report = Report::default();
    let facts = facts(reader, listed, monitor)?.unwrap_or_default();
    prepare(request.target)?;
    for source in &listed.snapshot.sources {
        let name = source.root.name.as_bytes();
        let is_dump = matches!(source.kind, SourceKind::Stream { .. })
            && std::str::from_utf8(name).is_ok_and(|name| facts.databases.contains_key(name));
        if !is_dump && name != SOURCE.as_bytes() {
            tree(reader, listed, source, &request, &mut report, monitor)?;
        }
    }
    databases::load_all(reader, listed, &facts, &mut request, &mut report, monitor)?;
    monitor.phase(Phase::Verifying);
    let restored = Restored { app, folder: request.target, facts: &facts };
    let settled = recipe.settle(&restored, monitor)?;
    report.notes.extend(settled);
    if request.prove {
        report.findings.extend(recipe.verify(&restored, monitor)?);
    }
    Ok(report)
}

/// The folder that gets the sources: it must be empty, or not there.
fn prepare(target: &Path) -> Result<()> {
    let failed = |source| Error::Target { path: Shown(target.as_os_str().as_bytes()).to_string(), source };
    std::fs::create_dir_all(target).map_err(failed)?;
    match std::fs::read_dir(target).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(Error::refused(format!(
            "{} is not empty: an application is restored into a folder of its own",
            Shown(target.as_os_str().as_bytes())
        ))),
    }
}

/// Restores a source into a folder of its name, or as a file of its name.
fn tree(
    reader: &BlobReader<'_>,
    listed: &Listed,
    source: &Source,
    request: &Request<'_>,
    report: &mut Report,
    monitor: &dyn Monitor,
) -> Result<()> {
    let name = source.root.name.as_bytes();
    let is_dir = source.root.is_dir();
    let target = if is_dir { request.target.join(OsStr::from_bytes(name)) } else { request.target.to_owned() };
    let done = restore::restore(
        reader,
        listed,
        &restore::Request {
            path: Some(name.to_vec()),
            target: target.into_os_string().into_vec(),
            // A file lies beside the other sources.
            in_place: !is_dir,
            verify: request.verify,
            protect: request.protect,
            owners: request.owners,
            ..restore::Request::default()
        },
        monitor,
    )?;
    report.files += done.totals.files;
    report.bytes += done.totals.bytes;
    report.problem_count += done.problem_count;
    report.problems.extend(done.problems);
    if !done.shortfall.is_empty() {
        report.notes.push(done.shortfall);
    }
    Ok(())
}

/// Where a path of the source machine lies below the target: in the restored tree that holds it.
fn restored_path(listed: &Listed, target: &Path, original: &Path) -> Option<PathBuf> {
    listed.snapshot.sources.iter().find_map(|source| {
        let SourceKind::Tree { path, .. } = &source.kind else { return None };
        let rest = original.strip_prefix(Path::new(OsStr::from_bytes(path))).ok()?;
        // What a snapshot says is not to lead out of the target.
        let plain = rest.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        (plain && rest.components().next().is_some() && source.root.is_dir())
            .then(|| target.join(OsStr::from_bytes(source.root.name.as_bytes())).join(rest))
    })
}

/// Writes a dump of the snapshot.
fn write_dump(
    reader: &BlobReader<'_>,
    listed: &Listed,
    name: &str,
    out: &mut dyn Write,
    monitor: &dyn Monitor,
) -> Result<()> {
    dump::dump(reader, listed, Some(name.as_bytes()), out, monitor)
}

fn target_failed(path: &Path, source: io::Error) -> Error {
    Error::Target { path: Shown(path.as_os_str().as_bytes()).to_string(), source }
}
