//! `vault restore --app`

use super::{
    exit::{Done, Failure},
    human, recipe,
    session::Session,
};
use crate::{
    error::Error,
    fleet::{
        database::{Server, credential::Credential},
        recovery::{self as op, Means, parse_server},
    },
    fs::target::Identity,
    name::Shown,
    ops::restore::Owners,
    repo::{BlobReader, Listed},
    series::Series,
};
use clap::ValueHint;
use serde_json::json;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

/// What only an application's restore takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "An application as a whole")]
pub struct AppArgs {
    /// Bring back a whole application by its recipe: each source into a folder of its name, databases into a server
    #[arg(long, conflicts_with_all = ["include", "exclude", "in_place", "dry_run"])]
    pub app: bool,
    /// A server for its databases: postgresql://USER@HOST:PORT/NAME, mysql:///SOCKET (again for more kinds); without it, dumps
    /// are restored as files
    #[arg(long, value_name = "SERVER", requires = "app")]
    database_server: Vec<String>,
    /// FILE with the password for it, alone or in the client's own form
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "database_server")]
    database_credential: Option<PathBuf>,
    /// The system's user that the database's client runs as
    #[arg(long, value_name = "USER", requires = "database_server")]
    database_run_as: Option<String>,
    #[command(flatten)]
    recipes: recipe::Folder,
}

impl AppArgs {
    fn servers(&self) -> Result<Vec<(String, Server)>, Error> {
        let mut servers = Vec::new();
        for text in &self.database_server {
            let (kind, server) = parse_server(text)?;
            let credential = match &self.database_credential {
                Some(path) => Some(Credential::File(std::path::absolute(path).map_err(Error::usage)?)),
                None => None,
            };
            servers.push((kind, Server { credential, run_as: self.database_run_as.clone(), ..server }));
        }
        Ok(servers)
    }
}

/// Brings an application back, and tells what came of it.
pub fn run(
    args: &AppArgs,
    target: &Path,
    owners: Owners,
    session: &Session,
    reader: &BlobReader<'_>,
    listed: &Listed,
) -> Result<Done, Failure> {
    let begun = Instant::now();
    let series = Series::parse(&listed.snapshot.series)?;
    let Some(means) = Means::of(listed, &args.recipes.recipes()?, None)? else {
        let what = format!(
            "snapshot {} holds no configuration of an application: restore it without --app",
            Session::name_of(listed)
        );
        return Err(Error::usage(what).into());
    };
    if let Some(note) = &means.note {
        session.screen.note(note);
    }
    let mut servers = args.servers()?;
    let progress = session.progress();
    let report = op::restore_app(
        reader,
        listed,
        &means.app,
        &*means.recipe,
        op::Request {
            target,
            databases: &mut servers,
            owners,
            verify: true,
            prove: true,
            protect: session.repository_identity().map(|(device, inode)| Identity { device, inode }),
        },
        progress.monitor(),
    );
    progress.end();
    let report = report?;
    let wrong = report.wrong();
    session.print_result(|| {
        let out = &mut io::BufWriter::new(io::stdout().lock());
        let target = Shown(target.as_os_str().as_encoded_bytes());
        writeln!(out, "restored application {} to {target}", Session::name_of(listed))?;
        let (files, bytes) = (human::counted(report.files, "file", "files"), human::bytes(report.bytes));
        writeln!(out, "  {files}, {bytes}, in {}", human::duration(begun.elapsed()))?;
        recipe::print_loaded(out, &report.databases)?;
        recipe::print_findings(out, &report.findings)?;
        for note in &report.notes {
            writeln!(out, "  note   {note}")?;
        }
        out.flush()
    });
    if !wrong.is_empty() {
        session.screen.error(&format!(
            "not all came back as it was: {}",
            human::counted(wrong.len() as u64, "thing is", "things are") + " wrong"
        ));
    }
    Ok(Done::unless(
        !wrong.is_empty(),
        json!({
            "snapshot": listed.id.to_string(),
            "series": series.to_string(),
            "files": report.files,
            "bytes": report.bytes,
            "databases": recipe::loaded_json(&report.databases),
            "findings": recipe::findings_json(&report.findings),
            "notes": report.notes,
            "wrong": wrong,
            "seconds": begun.elapsed().as_secs_f64(),
        }),
    ))
}
