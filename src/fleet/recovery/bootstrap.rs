//! From a repository and its key alone, on a bare machine: the configuration back.

use super::own_recipes::OwnRecipes;
use crate::{
    error::{Error, Result},
    fleet::{
        config::{StoredConfig, show, value::Table},
        database,
    },
    model::snapshot::SourceKind,
    monitor::Monitor,
    name::Shown,
    repo::Listed,
    series::Series,
};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// How the file is called.
const FILE: &str = "vault.toml";
/// And the folder of recipes of users' own.
const RECIPES: &str = "recipes.d";

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bootstrap {
    /// The file.
    pub file: PathBuf,
    /// Applications that it has.
    pub applications: Vec<Series>,
    /// Those of them whose newest snapshot holds dumps that go into a server, and its kind.
    pub with_servers: Vec<(Series, &'static str)>,
    /// Series whose newest snapshot holds no configuration that can be read, and why. Safe to print.
    pub without: Vec<(String, String)>,
    /// Recipes that were written.
    pub recipes: Vec<PathBuf>,
    /// What is to be known of recipes. Safe to print.
    pub notes: Vec<String>,
}

/// Writes `to/vault.toml` and `to/recipes.d`, put together from what the newest snapshot of each series holds; where two say different things of what
/// they share (a server, a repository), the later one counts. Nothing that is there is changed.
///
/// The places that it names are those of the machine that is gone: whoever uses it looks at them first.
pub fn bootstrap(newest: &[Listed], to: &Path, monitor: &dyn Monitor) -> Result<Bootstrap> {
    let file = to.join(FILE);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::refused(format!(
            "{} is there already: choose another folder with --to, and compare",
            Shown(file.as_os_str().as_encoded_bytes())
        )),
        _ => Error::Target { path: Shown(file.as_os_str().as_encoded_bytes()).to_string(), source },
    };
    let mut oldest_first: Vec<&Listed> = newest.iter().collect();
    oldest_first.sort_by_key(|listed| listed.snapshot.head.time);
    let mut recipes = OwnRecipes::default();
    let (mut whole, mut report) = (Table::default(), Bootstrap { file: file.clone(), ..Bootstrap::default() });
    for listed in oldest_first {
        monitor.check()?;
        let name = Shown(listed.snapshot.series.as_bytes()).to_string();
        match stored(listed) {
            Ok(stored) => {
                recipes.take(&stored);
                whole.overlay(&stored.table);
                let server = listed.snapshot.sources.iter().find_map(|source| match &source.kind {
                    SourceKind::Stream { command } => database::server_for(command),
                    SourceKind::Tree { .. } => None,
                });
                report.with_servers.extend(server.map(|kind| (stored.app.series.clone(), kind)));
                report.applications.push(stored.app.series);
            }
            Err(why) => report.without.push((name, why)),
        }
    }
    report.applications.sort();
    if report.applications.is_empty() {
        return Err(Error::refused(
            "no snapshot holds a configuration: they were not taken by `vault run`; see `vault snapshots`, and restore them with `vault restore`",
        ));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(failed)?;
    let mut out = fs::File::options().write(true).create_new(true).mode(0o600).open(&file).map_err(failed)?;
    out.write_all(show::render(&whole, "").as_bytes()).and_then(|()| out.sync_all()).map_err(failed)?;
    (report.recipes, report.notes) = recipes.write(&to.join(RECIPES))?;
    Ok(report)
}

/// The configuration that a snapshot holds; why not, safe to print.
fn stored(listed: &Listed) -> Result<StoredConfig, String> {
    let Some(bytes) = &listed.snapshot.configuration else {
        return Err("its newest snapshot holds no configuration".into());
    };
    let series = Series::parse(&listed.snapshot.series).map_err(|e| e.to_string())?;
    StoredConfig::decode(&series, bytes).map_err(|e| e.to_string())
}
