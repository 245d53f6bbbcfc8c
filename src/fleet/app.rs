//! One application, with everything that it inherits filled in; and what was promised for it.

use super::config::value::{Origin, Table};
use crate::{compress::Compression, ops::forget::policy::Policy, series::Series};

/// An application as the configuration has it.
#[derive(Debug, Clone)]
pub struct App {
    /// `server/vm/relpath`, by which its snapshots are known.
    pub series: Series,
    /// Its `type`: the name of its recipe.
    pub recipe: String,
    /// The keys of its recipe (`root`, `database`, …).
    pub settings: Table,
    /// Patterns that are left out of each of its sources, beside those of the recipe.
    pub exclude: Vec<String>,
    /// Where its table stands.
    pub origin: Origin,
}

/// An application, and how it is served: when it is backed up, to where, for how long, and what was promised.
#[derive(Debug, Clone)]
pub struct Service {
    /// The application.
    pub app: App,
    /// Where its server stands; empty when that is not said.
    pub site: String,
    /// Names of the machine on which it is backed up.
    pub hosts: Vec<String>,
    /// The repository that its snapshots go to.
    pub repository: String,
    /// What is kept; empty: everything.
    pub retention: Policy,
    /// What was promised.
    pub slo: Slo,
    /// Seconds between snapshots, at least; 0: in each run.
    pub every: u64,
    /// Commands of the user's.
    pub hooks: Hooks,
    /// Read from a snapshot of the file system.
    pub quiesce: Quiesce,
    /// Words for its snapshots.
    pub tags: Vec<String>,
    /// How hard to compress.
    pub compression: Compression,
    /// Do not enter other file systems.
    pub one_file_system: bool,
    /// All of its keys, inherited ones and those of its recipe, each with its place.
    pub effective: Table,
}

/// What was promised; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slo {
    /// The newest good snapshot is never older.
    pub rpo: u64,
    /// A restore takes no longer.
    pub rto: Option<u64>,
    /// Repositories and media that hold it.
    pub copies: u64,
    /// Sites at which these are.
    pub sites: u64,
    /// A repository that holds it was checked within this time.
    pub check: u64,
    /// It was restored for a test within this time.
    pub drill: Option<u64>,
}

/// Commands of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Before the application is read; one that fails ends it.
    pub before: Vec<String>,
    /// After it was read, whatever came of it.
    pub after: Vec<String>,
    /// When something went wrong.
    pub on_error: Vec<String>,
}

/// What makes files stand still while they are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Quiesce {
    /// Nothing.
    #[default]
    None,
    /// A snapshot of the logical volume, with so much room for what changes meanwhile.
    Lvm { size: String },
    /// A read-only snapshot of the subvolume.
    Btrfs,
    /// A snapshot of the data set.
    Zfs,
}

impl Service {
    /// The series, as text.
    pub fn name(&self) -> &str {
        self.app.series.as_str()
    }

    /// Server and VM (`-` for none).
    pub fn machine(&self) -> (&str, &str) {
        let mut parts = self.name().splitn(3, '/');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    /// True when it is backed up on the machine of this name, short or full.
    pub fn is_on(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| same_host(known, host))
    }
}

/// True when two names may be those of one machine: equal, or one is the other without its domain.
pub fn same_host(one: &str, other: &str) -> bool {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    match (one.contains('.'), other.contains('.')) {
        (true, true) => one.eq_ignore_ascii_case(other),
        _ => short(one) == short(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_short_and_a_full_name() {
        assert!(same_host("alpha", "alpha.example.org") && same_host("Alpha.example.org", "alpha"));
        assert!(same_host("alpha.example.org", "ALPHA.example.org"));
        assert!(!same_host("alpha.example.org", "alpha.example.com") && !same_host("alpha", "alphabet"));
    }
}
