//! From a repository and its key alone, on a bare machine: the configuration back.

use crate::{
    error::{Error, Result, reason},
    fleet::config::StoredConfig,
    monitor::Monitor,
    name::Shown,
    repo::Listed,
    series::Series,
};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bootstrap {
    /// Files, each with the series that it is of.
    pub files: Vec<(Series, PathBuf)>,
    /// Series whose newest snapshot holds no configuration that can be read, and why. Safe to print.
    pub without: Vec<(String, String)>,
}

/// Writes the configuration that the newest snapshot of each series holds into `to`, a file each; `to/vault.d` is made when it is
/// not there, and nothing that is there is changed.
///
/// The repositories that the files name are those of the machine that is gone: whoever reads them checks these first.
pub fn bootstrap(newest: &[Listed], to: &Path, monitor: &dyn Monitor) -> Result<Bootstrap> {
    let folder = to.join("vault.d");
    let failed = |path: &Path, source: std::io::Error| Error::Target { path: shown(path), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|e| failed(&folder, e))?;
    let mut report = Bootstrap::default();
    let mut used: BTreeMap<String, u32> = BTreeMap::new();
    for listed in newest {
        monitor.check()?;
        let name = Shown(listed.snapshot.series.as_bytes()).to_string();
        let stored = match &listed.snapshot.configuration {
            None => Err("its newest snapshot holds no configuration".to_owned()),
            Some(bytes) => Series::parse(&listed.snapshot.series)
                .and_then(|series| StoredConfig::decode(&series, bytes))
                .map_err(|e| e.to_string()),
        };
        let stored = match stored {
            Ok(stored) => stored,
            Err(why) => {
                report.without.push((name, why));
                continue;
            }
        };
        let plain = file_name(stored.app.series.as_str());
        let number = used.entry(plain.clone()).or_insert(0);
        *number += 1;
        let path = folder.join(if *number > 1 { format!("{plain}-{number}.toml") } else { format!("{plain}.toml") });
        let mut options = fs::File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(stored.text.as_bytes()).and_then(|()| file.sync_all()));
        match written {
            Ok(()) => report.files.push((stored.app.series, path)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                report.without.push((name, format!("{} is there already: {}", shown(&path), reason(&e))));
            }
            Err(e) => return Err(failed(&path, e)),
        }
    }
    Ok(report)
}

fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_encoded_bytes()).to_string()
}

/// A series as the name of a file.
fn file_name(series: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let name: String = series.chars().map(plain).collect();
    name.trim_start_matches('.').chars().take(200).collect()
}
