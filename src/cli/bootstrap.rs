//! `vault bootstrap`

use super::{
    exit::{Done, Failure},
    human,
    session::Session,
};
use crate::{fleet::recovery, name::Shown, repo::Listed};
use clap::ValueHint;
use serde_json::json;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  vault bootstrap /mnt/usb/vault --to /etc/vault
  vault bootstrap usb:blue --to /tmp/etc --recovery-file sheet.txt
  vault restore --app --repo /mnt/usb/vault alpha/web1/shop --target /srv/shop";

/// Write the configuration back from a repository and its key alone, on a bare machine
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The repository: a folder, or usb:NAME
    #[arg(value_name = "REPO", value_hint = ValueHint::DirPath)]
    address: Option<OsString>,
    /// The folder to write vault.toml and recipes.d to; made when it is not there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    to: PathBuf,
}

fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_encoded_bytes()).to_string()
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let own;
    let session = match args.address {
        Some(address) => {
            own = session.at(address);
            &own
        }
        None => session,
    };
    let repo = session.open()?;
    session.accept_rollback(&repo, None)?;
    let all = repo.snapshots(None)?;
    for (object, error) in &all.unreadable {
        session.screen.warn(&human::about(object, error));
    }
    let damaged = !all.unreadable.is_empty();
    let mut newest: BTreeMap<String, Listed> = BTreeMap::new();
    for listed in all.listed {
        let newer = |known: &Listed| known.snapshot.head.sequence < listed.snapshot.head.sequence;
        if newest.get(&listed.snapshot.series).is_none_or(newer) {
            newest.insert(listed.snapshot.series.clone(), listed);
        }
    }
    let newest: Vec<Listed> = newest.into_values().collect();
    let progress = session.progress();
    let report = recovery::bootstrap(&newest, &args.to, progress.monitor());
    progress.end();
    let report = report?;
    let file = shown(&report.file);
    let recipes: Vec<String> = report.recipes.iter().map(|path| shown(path)).collect();
    session.print_result(|| {
        let out = &mut io::stdout().lock();
        let count = human::counted(report.applications.len() as u64, "application", "applications");
        writeln!(out, "{file} written: {count}")?;
        for series in &report.applications {
            writeln!(out, "  {series}")?;
        }
        for recipe in &recipes {
            writeln!(out, "{recipe} written")?;
        }
        writeln!(out, "\nnext:")?;
        writeln!(out, "  look at the places in {file}: they are those of the machine that is gone")?;
        let mut named = String::new();
        if let Some(folder) = report.recipes.first().and_then(|recipe| recipe.parent()) {
            let folder = shown(folder);
            writeln!(out, "  look at the recipes in {folder}: they name commands that will be run")?;
            named = format!(" --recipes {folder}");
        }
        let needs_one = |series| report.with_servers.iter().any(|(other, _)| other == series);
        if let Some(series) = report.applications.iter().find(|series| !needs_one(*series)) {
            writeln!(out, "  vault restore --app {series} --target DIR{named}")?;
        }
        if let Some((series, kind)) = report.with_servers.first() {
            writeln!(out, "  vault restore --app {series} --target DIR --database-server {kind}://USER@HOST{named}")?;
        }
        writeln!(out, "  vault drill: prove that all of them come back")
    });
    for (series, why) in &report.without {
        session.screen.note(&format!("{series}: {why}"));
    }
    for note in &report.notes {
        session.screen.warn(note);
    }
    let without: Vec<_> = report.without.iter().map(|(series, why)| json!({ "series": series, "why": why })).collect();
    let applications: Vec<String> = report.applications.iter().map(ToString::to_string).collect();
    let (notes, without) = (&report.notes, &without);
    Ok(Done::unless(
        damaged,
        json!({ "file": file, "applications": applications, "recipes": recipes, "without": without, "notes": notes }),
    ))
}
