//! The commands for all applications: they read `vault.toml`, and open what it names.

pub mod config;
pub mod history;
pub mod run;
pub mod schedule;
pub mod status;

use super::{exit::Failure, host, secrets, session::Session};
use crate::{
    error::{Error, Result},
    fleet::{
        config::{self as conf, Fleet, Role, read, value::Table},
        recipe::Recipes,
    },
    repo::Repository,
    store::SharedStore,
};
use clap::ValueHint;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// Where the configuration lies when nobody says.
const USUAL: &str = "/etc/vault/vault.toml";

/// Where the configuration is, and which machine this is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Which {
    /// The configuration; files in the folder of the same name with .d belong to it [env: VAULT_CONFIG; default: /etc/vault/vault.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Be this machine of the configuration [default: what this one is called]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
}

/// A configuration with the recipes that it may name.
pub struct Loaded {
    pub fleet: Fleet,
    pub recipes: Recipes,
    pub host: String,
}

impl Which {
    /// The file.
    pub fn path(&self) -> PathBuf {
        let set = || std::env::var_os("VAULT_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = self.config.clone().or_else(set).unwrap_or_else(|| USUAL.into());
        std::path::absolute(&path).unwrap_or(path)
    }

    /// This machine's name.
    pub fn host(&self) -> String {
        self.host.clone().unwrap_or_else(host::fqdn)
    }

    /// The values, and the recipes that count for them.
    pub fn read(&self) -> Result<(Table, Recipes)> {
        let path = self.path();
        let whole = read::read(&path)?;
        let said = whole.table("fleet").ok().flatten().and_then(|fleet| fleet.path("recipes").ok().flatten());
        let folder = said.unwrap_or_else(|| path.parent().unwrap_or(Path::new("/")).join("recipes.d"));
        Ok((whole, Recipes::builtin().with_folder(&folder)?))
    }

    /// What it means.
    pub fn load(&self) -> Result<Loaded> {
        let (whole, recipes) = self.read()?;
        Ok(Loaded { fleet: conf::of_table(whole, &recipes)?, recipes, host: self.host() })
    }
}

/// What an error of the command line's own is to the library.
pub fn flat(failure: Failure) -> Error {
    match failure {
        Failure::Vault(error) => error,
        other => Error::refused(other),
    }
}

/// The store of a repository of the configuration.
pub fn store(session: &Session, entry: &conf::Repository) -> Result<SharedStore> {
    session.open_store(&session.place_at(OsStr::new(&entry.path))?)
}

/// Opens a repository of the configuration.
pub fn open(session: &Session, entry: &conf::Repository) -> Result<Repository, Failure> {
    let place = session.place_at(OsStr::new(&entry.path))?;
    let store = session.open_store(&place)?;
    Repository::identify(&*store)?;
    let source = secrets::of_access(&entry.access, &session.global, &session.screen)?;
    // A copy may have the id of the original: its tables lie elsewhere, or they would drive those out.
    let below = (entry.role == Role::Copy).then_some(entry.name.as_str());
    let around = session.surroundings_at(&place, below);
    Ok(session.unlock_with(store, source, around)?.0)
}

/// The folder of what is remembered, which the fleet cannot do without.
pub fn state(session: &Session) -> Result<PathBuf> {
    session
        .state_folder()
        .ok_or_else(|| Error::usage("runs have nowhere to be remembered: give --state-dir, or set HOME"))
}
