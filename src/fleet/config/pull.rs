//! Repositories of other servers that are brought to this one.

use super::{
    check::share,
    common::{defaults, texts},
    schema::PULL_DEFAULTS,
    value::{Table, Value},
};
use crate::{error::Result, fleet::app::same_host, name::Shown, ops::pull, units::parse_size};
use std::path::{Path, PathBuf};

/// A repository of another server, and where its copy is.
#[derive(Debug, Clone, PartialEq)]
pub struct Pull {
    /// The other server's name, and that of the copy.
    pub server: String,
    /// The repository there, as the user wrote it.
    pub from: String,
    /// The folder whose `remote/SERVER` the copy is.
    pub partition: PathBuf,
    /// Machines that pull it; none: all.
    pub hosts: Vec<String>,
    /// Where the copy stands; empty when that is not said.
    pub site: String,
    /// Seconds between pulls, at least.
    pub every: u64,
    /// Seconds after which it is missed.
    pub overdue: u64,
    /// How the other machine is reached, when not as usual.
    pub ssh: Option<String>,
    pub remote_vault: Option<String>,
    /// Bytes a second at most.
    pub bandwidth: Option<u64>,
    /// Seconds between checks of the copy, at least, and the share of the packs to be read in each, in per cent.
    pub check: u64,
    pub read: Option<f64>,
}

impl Pull {
    /// What a table says.
    pub(super) fn new(server: &str, said: &Table, stands: &Value) -> Result<Self> {
        if let Err(why) = pull::check_server(server) {
            return Err(stands.wrong(server, why));
        }
        let mut table = defaults(PULL_DEFAULTS)?;
        table.overlay(said);
        let text = |key: &str| -> Result<Option<String>> { Ok(table.text(key)?.map(str::to_owned)) };
        let seconds = |key: &str| -> Result<u64> { Ok(table.duration(key)?.unwrap_or(0)) };
        let from = text("from")?.unwrap_or_default();
        if let (false, Some(value)) = (Path::new(&from).is_absolute() || from.contains(':'), table.get("from")) {
            return Err(value.wrong("from", format!("\"{}\" is no absolute path", Shown(from.as_bytes()))));
        }
        Ok(Pull {
            server: server.to_owned(),
            from,
            partition: table.path("partition")?.unwrap_or_default(),
            hosts: texts(&table, "hosts")?,
            site: text("site")?.unwrap_or_default(),
            every: seconds("every")?,
            overdue: seconds("overdue")?,
            ssh: text("ssh")?,
            remote_vault: text("remote-vault")?,
            bandwidth: table.text("bandwidth")?.and_then(|size| parse_size(size).ok()),
            check: seconds("check")?,
            read: table.text("read-data")?.and_then(share),
        })
    }

    /// True when the machine of this name pulls it.
    pub fn is_done_by(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|known| same_host(known, host))
    }

    /// The folder of the copy.
    pub fn folder(&self) -> PathBuf {
        pull::folder(&self.partition, &self.server)
    }

    /// How the copy is called in reports: where it is in its partition.
    pub fn copy_name(&self) -> String {
        format!("remote/{}", self.server)
    }
}
