//! The databases of an application: loaded, and counted again.

use super::{Report, Request, restored_path, source, target_failed, write_dump};
use crate::{
    error::{Error, Result},
    fleet::{
        database::{self, Target, facts::DumpFacts, facts::Facts},
        recipe::Finding,
    },
    monitor::Monitor,
    name::{Name, Shown},
    repo::{BlobReader, Listed},
};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

/// Differences that are told of one database.
const TOLD: usize = 5;

/// What became of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its source in the snapshot.
    pub name: String,
    /// Its kind.
    pub engine: String,
    /// The database that it was loaded into, or the file that it was written to. Safe to print.
    pub into: String,
    /// Tables, and rows in all of them, as they were counted when it was dumped.
    pub tables: u64,
    pub rows: u64,
}

/// When a dump's turn is. Roles of PostgreSQL come first, since what is loaded then belongs to them; accounts of MySQL last, since what
/// they may do is said of tables that have to be there.
fn turn(engine: &str) -> u8 {
    match engine {
        "mysql-roles" => 2,
        engine if engine.ends_with("-roles") => 0,
        _ => 1,
    }
}

/// Loads all of them, each when its turn has come.
pub(super) fn load_all(
    reader: &BlobReader<'_>,
    listed: &Listed,
    facts: &Facts,
    request: &mut Request<'_>,
    report: &mut Report,
    monitor: &dyn Monitor,
) -> Result<()> {
    let mut dumps: Vec<(&String, &DumpFacts)> = facts.databases.iter().collect();
    dumps.sort_by_key(|(_, dump)| turn(&dump.engine));
    for (name, dump) in dumps {
        monitor.check()?;
        let shown = Shown(name.as_bytes()).to_string();
        // Its name becomes one of a file.
        let is_there = Name::new(name.as_bytes()).is_ok() && source(listed, name.as_bytes()).is_some();
        if !is_there {
            report.findings.push(Finding::wrong(shown, "the snapshot knows of this dump, but does not hold it"));
            continue;
        }
        let one = One { reader, listed, name, dump, shown };
        match one.load(request, report, monitor) {
            // This database is lost; others may not be.
            Err(Error::Command { command, why }) => {
                report.findings.push(Finding::wrong(one.shown, format!("{command}: {why}")))
            }
            Err(
                error @ (Error::Corrupt { .. } | Error::Missing { .. } | Error::Refused { .. } | Error::Usage { .. }),
            ) => {
                report.findings.push(Finding::wrong(one.shown, error.to_string()));
            }
            done => done?,
        }
    }
    Ok(())
}

/// A dump.
struct One<'a> {
    reader: &'a BlobReader<'a>,
    listed: &'a Listed,
    name: &'a str,
    dump: &'a DumpFacts,
    shown: String,
}

impl One<'_> {
    fn load(&self, request: &mut Request<'_>, report: &mut Report, monitor: &dyn Monitor) -> Result<()> {
        let (reader, listed) = (self.reader, self.listed);
        let target = match self.dump.engine.as_str() {
            "sqlite" => Some(Target::File(self.file(request.target)?)),
            _ => request.databases.server(self.dump, monitor)?.map(Target::Server),
        };
        let mut write = |out: &mut dyn Write| write_dump(reader, listed, self.name, out, monitor);
        let Some(target) = target else {
            let path = request.target.join(self.name);
            let mut file = File::create_new(&path).map_err(|e| target_failed(&path, e))?;
            write(&mut file)?;
            let path = Shown(path.as_os_str().as_encoded_bytes()).to_string();
            report.notes.push(format!(
                "{path} is a dump of kind {}: no server was named to load it into",
                Shown(self.dump.engine.as_bytes())
            ));
            self.loaded(report, path);
            return Ok(());
        };
        database::load(self.dump, &target, &mut write, monitor)?;
        self.loaded(
            report,
            match &target {
                Target::Server(_) if self.dump.engine.ends_with("-roles") => "the server".into(),
                Target::Server(server) => format!("database {}", Shown(server.database.as_bytes())),
                Target::File(path) => Shown(path.as_os_str().as_encoded_bytes()).to_string(),
            },
        );
        if request.prove {
            let found = database::count(&self.dump.engine, &target, monitor)?;
            let wrong = match self.dump.engine.ends_with("-roles") {
                true => Vec::new(),
                false => database::differences(&self.dump.rows, &found, TOLD),
            };
            let rows: u64 = found.values().fold(0, |sum, rows| sum.saturating_add(*rows));
            let many = |n: u64, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
            let what = format!("{}: {} in {}", self.shown, many(rows, "row"), many(found.len() as u64, "table"));
            report.findings.push(Finding::unless(what, (!wrong.is_empty()).then(|| wrong.join("; "))));
        }
        Ok(())
    }

    fn loaded(&self, report: &mut Report, into: String) {
        report.databases.push(Loaded {
            name: self.name.to_owned(),
            engine: self.dump.engine.clone(),
            into,
            tables: self.dump.rows.len() as u64,
            rows: self.dump.rows.values().fold(0, |sum, rows| sum.saturating_add(*rows)),
        });
    }

    /// Where a SQLite database goes: to its place in the restored tree, or beside the trees.
    fn file(&self, target: &Path) -> Result<PathBuf> {
        let Some(path) = restored_path(self.listed, target, Path::new(&self.dump.database)) else {
            return Ok(target.join(self.name));
        };
        // A link on the way, which the snapshot may hold, could lead out of the target.
        let folder = path.parent().unwrap_or(target);
        let real = |path: &Path| fs::canonicalize(path).map_err(|e| target_failed(path, e));
        match real(folder).ok().zip(real(target).ok()) {
            Some((folder, target)) if folder.starts_with(&target) => Ok(path),
            _ => Ok(target.join(self.name)),
        }
    }
}
