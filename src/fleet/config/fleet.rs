//! What a configuration means.

use super::{
    check::{Types, share},
    common::{self, defaults, inherit, natural, texts},
    pull::Pull,
    schema::{APP, CHECK_DEFAULT, FLEET_DEFAULTS, MEDIUM_DEFAULTS},
    select::Select,
    value::{Kind, Table, Value},
};
use crate::{
    error::{Error, Result},
    fleet::{
        app::{App, Service, same_host},
        config::key::{find, nearest},
        night::drills,
    },
    name::Shown,
    ops::forget::policy::Policy,
    series::Series,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// All of it.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// How reports call it.
    pub name: String,
    /// The folder of reports.
    pub history: PathBuf,
    /// The folder of the user's own recipes, when it is said.
    pub recipes: Option<PathBuf>,
    /// Repositories, by name.
    pub repositories: BTreeMap<String, Repository>,
    /// Media, by name.
    pub media: BTreeMap<String, Medium>,
    /// Applications, by series.
    pub services: Vec<Service>,
    /// What is brought here from other servers, by their names.
    pub pulls: BTreeMap<String, Pull>,
    /// What is copied.
    pub copies: Vec<CopyJob>,
    /// What is checked.
    pub checks: Vec<Check>,
    /// What is restored for a test.
    pub drills: Vec<DrillJob>,
    /// Who is told.
    pub notify: Notify,
    /// Files that are written.
    pub status: StatusFiles,
    /// All that was said, and what counts for the fleet when nothing is.
    pub whole: Table,
}

/// What a repository is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Snapshots are taken into it.
    Local,
    /// They are copied to it.
    Copy,
}

/// How a repository is opened. The configuration holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    KeyFile(PathBuf),
    PasswordFile(PathBuf),
    PasswordCommand(String),
    PasswordEnv(String),
    /// As the command line says.
    Unsaid,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its name in the configuration.
    pub name: String,
    /// Its place, as the user wrote it.
    pub path: String,
    /// What it is for.
    pub role: Role,
    /// Where it stands; empty when that is not said.
    pub site: String,
    /// Machines that can reach it; none: all.
    pub hosts: Vec<String>,
    /// How it is opened.
    pub access: Access,
    /// What is kept in it, when it is a copy.
    pub retention: Policy,
    /// Seconds between prunes, at least; `None`: as usual.
    pub prune: Option<Every>,
}

/// How often something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    Never,
    /// Not before so many seconds have passed.
    Seconds(u64),
}

impl Repository {
    /// True when the machine of this name can reach it.
    pub fn is_reached_from(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|known| same_host(known, host))
    }
}

/// A USB disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// Its name.
    pub name: String,
    /// Whose copy it carries.
    pub repository: String,
    /// Seconds between syncs, at least.
    pub every: u64,
    /// Seconds after a sync from which on it is missed.
    pub overdue: u64,
}

/// Something to be copied.
#[derive(Debug, Clone)]
pub struct CopyJob {
    pub from: String,
    pub to: String,
    pub every: u64,
    pub select: Select,
}

/// Something to be checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub repository: String,
    pub every: u64,
    /// Share of the packs to be read, in per cent.
    pub read: Option<f64>,
}

/// Something to be restored for a test.
#[derive(Debug, Clone)]
pub struct DrillJob {
    pub select: Select,
    /// Seconds between two of one application; `None`: half of what was promised for it.
    pub every: Option<u64>,
    /// So many in one run.
    pub most: usize,
    /// Where.
    pub scratch: PathBuf,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notify {
    pub healthcheck: Option<String>,
    pub webhook: Option<String>,
    pub mail: Vec<String>,
    pub mail_command: String,
    /// Also when all went well.
    pub always: bool,
}

/// Files that are written after each run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusFiles {
    pub prometheus: Option<PathBuf>,
    pub html: Option<PathBuf>,
    pub json: Option<PathBuf>,
}

/// Tables under names of the user's; none when there are none.
fn named<'a>(table: &'a Table, key: &str) -> Result<Vec<(&'a str, &'a Table, &'a Value)>> {
    let Some(all) = table.table(key)? else { return Ok(Vec::new()) };
    let each = all.0.iter().filter_map(|(name, value)| match &value.kind {
        Kind::Table(table) => Some((name.as_str(), table, value)),
        _ => None,
    });
    Ok(each.collect())
}

/// A table, or tables, under one key.
fn tables<'a>(whole: &'a Table, key: &str) -> Vec<&'a Table> {
    let of = |value: &'a Value| match &value.kind {
        Kind::Table(table) => Some(table),
        _ => None,
    };
    match whole.get(key) {
        Some(Value { kind: Kind::List(list), .. }) => list.iter().filter_map(of).collect(),
        Some(value) => of(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn owned(table: &Table, key: &str) -> Result<String> {
    Ok(table.text(key)?.unwrap_or_default().to_owned())
}

impl Fleet {
    /// What a configuration means that has no faults.
    pub fn new(said: Table, types: &dyn Types) -> Result<Self> {
        let mut whole = defaults(FLEET_DEFAULTS)?;
        whole.overlay(&said);
        let empty = Table::default();
        let fleet = whole.table("fleet")?.unwrap_or(&empty);
        let mut out = Fleet {
            name: owned(fleet, "name")?,
            history: fleet.path("history")?.unwrap_or_default(),
            recipes: fleet.path("recipes")?,
            repositories: BTreeMap::new(),
            media: BTreeMap::new(),
            services: Vec::new(),
            pulls: BTreeMap::new(),
            copies: Vec::new(),
            checks: Vec::new(),
            drills: Vec::new(),
            notify: notify(whole.table("notify")?.unwrap_or(&empty))?,
            status: status(whole.table("status")?.unwrap_or(&empty))?,
            whole: Table::default(),
        };
        for (name, table, value) in named(&whole, "repositories")? {
            out.repositories.insert(name.to_owned(), repository(name, table, value)?);
        }
        out.services(&whole, types)?;
        out.media(&whole)?;
        for (server, table, value) in named(&whole, "pull")? {
            out.pulls.insert(server.to_owned(), Pull::new(server, table, value)?);
        }
        for table in tables(&whole, "copy") {
            let from = out.repository_of(table, "from")?;
            let to = out.repository_of(table, "to")?;
            if let (true, Some(value)) = (from == to, table.get("to")) {
                return Err(value.wrong("copy.to", "a repository is not copied to itself"));
            }
            let (every, select) = (table.duration("every")?.unwrap_or(0), select(table)?);
            out.copies.push(CopyJob { from, to, every, select });
        }
        out.checks(&whole)?;
        for table in tables(&whole, "drill") {
            let most = natural(table, "most")?.unwrap_or(u64::MAX);
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let scratch = table.path("scratch")?.unwrap_or_else(|| drills::SCRATCH.into());
            out.drills.push(DrillJob { select: select(table)?, every: table.duration("every")?, most, scratch });
        }
        out.whole = whole;
        Ok(out)
    }

    fn services(&mut self, whole: &Table, types: &dyn Types) -> Result<()> {
        let mut base = common::app_defaults()?;
        if let Some(said) = whole.table("defaults")? {
            base = inherit(&base, said);
        }
        for (server, table, _) in named(whole, "servers")? {
            let site = owned(table, "site")?;
            let mut hosts = texts(table, "hosts")?;
            if hosts.is_empty() {
                hosts.push(server.to_owned());
            }
            let of_server = inherit(&base, &without(table, &["site", "hosts", "vms", "apps"]));
            let mut add = |vm: &str, relpath: &str, level: &Table, app: &Table, stands: &Value, hosts: &[String]| {
                let service = service([server, vm, relpath], &inherit(level, app), stands, types)?;
                let (site, hosts) = (site.clone(), hosts.to_vec());
                self.services.push(Service { site, hosts, ..service });
                Ok::<(), Error>(())
            };
            for (relpath, app, stands) in named(table, "apps")? {
                add("-", relpath, &of_server, app, stands, &hosts)?;
            }
            for (vm, table, _) in named(table, "vms")? {
                let own = texts(table, "hosts")?;
                let hosts = if own.is_empty() { &hosts } else { &own };
                let of_vm = inherit(&of_server, &without(table, &["hosts", "apps"]));
                for (relpath, app, stands) in named(table, "apps")? {
                    add(vm, relpath, &of_vm, app, stands, hosts)?;
                }
            }
        }
        self.services.sort_by(|a, b| a.app.series.cmp(&b.app.series));
        for pair in self.services.windows(2) {
            if let [one, other] = pair
                && one.app.series == other.app.series
            {
                return Err(Error::usage(format!(
                    "{}: {} is at {} already",
                    other.app.origin, other.app.series, one.app.origin
                )));
            }
        }
        let only = self.only_local();
        for i in 0..self.services.len() {
            let Some(service) = self.services.get(i) else { break };
            let (name, value) = (service.repository.clone(), service.effective.get("repository").cloned());
            let found = match (name.is_empty(), &only, value) {
                (true, Ok(only), _) => only.clone(),
                (true, Err(why), _) => {
                    return Err(Error::usage(format!("{}: {}: {why}", service.app.origin, service.name())));
                }
                (false, _, Some(value)) => self.known(&name, "repository", &value)?,
                (false, _, None) => name,
            };
            if let Some(service) = self.services.get_mut(i) {
                service.repository = found;
            }
        }
        Ok(())
    }

    fn media(&mut self, whole: &Table) -> Result<()> {
        for (name, said, _) in named(whole, "media")? {
            let mut table = defaults(MEDIUM_DEFAULTS)?;
            table.overlay(said);
            let repository = self.repository_of(&table, "repository")?;
            let (every, overdue) = (table.duration("every")?.unwrap_or(0), table.duration("overdue")?.unwrap_or(0));
            self.media.insert(name.to_owned(), Medium { name: name.to_owned(), repository, every, overdue });
        }
        Ok(())
    }

    fn checks(&mut self, whole: &Table) -> Result<()> {
        let usual = defaults(CHECK_DEFAULT)?;
        let said = tables(whole, "check");
        for table in if said.is_empty() { vec![&usual] } else { said } {
            let of = match table.get("repository") {
                Some(_) => vec![self.repository_of(table, "repository")?],
                None => {
                    let local = self.repositories.values().filter(|one| one.role == Role::Local);
                    local.map(|one| one.name.clone()).collect()
                }
            };
            let (every, read) = (table.duration("every")?.unwrap_or(0), table.text("read-data")?.and_then(share));
            self.checks.extend(of.into_iter().map(|repository| Check { repository, every, read }));
        }
        Ok(())
    }

    /// The repository that counts when none is said.
    fn only_local(&self) -> Result<String, String> {
        let mut local = self.repositories.values().filter(|one| one.role == Role::Local);
        match (local.next(), local.next()) {
            (Some(one), None) => Ok(one.name.clone()),
            (None, _) => Err("which repository? Write [repositories.local] with its path".into()),
            (Some(_), Some(_)) => Err("which repository? There are several with role = \"local\": write repository = \"NAME\" \
                                       for the server, the VM or the application, or say of the others that role = \"copy\""
                .into()),
        }
    }

    fn repository_of(&self, table: &Table, key: &str) -> Result<String> {
        match (table.text(key)?, table.get(key)) {
            (Some(name), Some(value)) => self.known(name, key, value),
            _ => self.only_local().map_err(Error::usage),
        }
    }

    fn known(&self, name: &str, key: &str, value: &Value) -> Result<String> {
        if self.repositories.contains_key(name) {
            return Ok(name.to_owned());
        }
        let known = self.repositories.keys().map(String::as_str);
        let shown = Shown(name.as_bytes());
        Err(value.wrong(
            key,
            match nearest(name, known.clone()) {
                Some(meant) => format!("there is no repository \"{shown}\"; did you mean \"{meant}\"?"),
                None => {
                    format!("there is no repository \"{shown}\"; there are {}", known.collect::<Vec<_>>().join(", "))
                }
            },
        ))
    }

    /// The applications that are meant; an error when there is none.
    pub fn selected(&self, select: &Select, words: &[String]) -> Result<Vec<&Service>> {
        let found: Vec<&Service> = self.services.iter().filter(|one| select.matches(one)).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        // A machine may have nothing to do but to pull.
        if self.services.is_empty() && select.is_all() && !self.pulls.is_empty() {
            return Ok(found);
        }
        if self.services.is_empty() {
            return Err(Error::usage(
                "the configuration names no application: write [servers.NAME.apps.\"path\"] with a type (see `vault recipe list`)",
            ));
        }
        let names = self.services.iter().map(Service::name);
        let hint = words.iter().find_map(|word| nearest(word, names.clone()));
        let hint = hint.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        Err(Error::usage(format!("no application is selected by {}{hint}", Shown(words.join(" ").as_bytes()))))
    }

    /// The application of this name.
    pub fn service(&self, series: &str) -> Option<&Service> {
        self.services.iter().find(|one| one.name() == series)
    }
}

fn without(table: &Table, names: &[&str]) -> Table {
    let mut out = table.clone();
    out.0.retain(|name, _| !names.contains(&name.as_str()));
    out
}

fn select(table: &Table) -> Result<Select> {
    let words = texts(table, "select")?;
    match (Select::parse(words.iter().map(String::as_str)), table.get("select")) {
        (Err(error), Some(value)) => Err(value.wrong("select", error)),
        (parsed, _) => parsed,
    }
}

fn service([server, vm, relpath]: [&str; 3], effective: &Table, stands: &Value, types: &dyn Types) -> Result<Service> {
    let series = Series::parse(&format!("{server}/{vm}/{relpath}"))
        .map_err(|error| Error::usage(format!("{}: {error}", stands.origin)))?;
    let recipe = owned(effective, "type")?;
    let keys = types.keys(&recipe).unwrap_or_default();
    let mut settings = effective.clone();
    settings.0.retain(|name, _| find(APP, name).is_none() || find(keys, name).is_some());
    Ok(Service {
        app: App { series, recipe, settings, exclude: texts(effective, "exclude")?, origin: stands.origin.clone() },
        site: String::new(),
        hosts: Vec::new(),
        repository: owned(effective, "repository")?,
        retention: common::retention(effective)?,
        slo: common::slo(effective)?,
        every: effective.duration("every")?.unwrap_or(0),
        hooks: common::hooks(effective)?,
        quiesce: common::quiesce(effective)?,
        tags: common::tags(effective)?,
        compression: common::compression(effective)?,
        one_file_system: effective.flag("one-file-system")?.unwrap_or(false),
        effective: effective.clone(),
    })
}

fn repository(name: &str, table: &Table, stands: &Value) -> Result<Repository> {
    let ways = ["key-file", "password-file", "password-command", "password-env"];
    let said: Vec<&str> = ways.into_iter().filter(|way| table.get(way).is_some()).collect();
    if said.len() > 1 {
        return Err(stands.wrong(name, format!("it is opened in one way, not by {}", said.join(" and "))));
    }
    let access = match said.first() {
        Some(&"key-file") => Access::KeyFile(table.path("key-file")?.unwrap_or_default()),
        Some(&"password-file") => Access::PasswordFile(table.path("password-file")?.unwrap_or_default()),
        Some(&"password-command") => Access::PasswordCommand(owned(table, "password-command")?),
        Some(_) => Access::PasswordEnv(owned(table, "password-env")?),
        None => Access::Unsaid,
    };
    let path = owned(table, "path")?;
    if let (false, Some(value)) = (Path::new(&path).is_absolute() || path.contains(':'), table.get("path")) {
        return Err(value.wrong("path", format!("\"{}\" is no absolute path", Shown(path.as_bytes()))));
    }
    let role = if table.text("role")? == Some("copy") { Role::Copy } else { Role::Local };
    let (site, hosts) = (owned(table, "site")?, texts(table, "hosts")?);
    let prune = match table.text("prune")? {
        None => None,
        Some("never") => Some(Every::Never),
        Some(_) => table.duration("prune")?.map(Every::Seconds),
    };
    let retention = common::retention(table)?;
    Ok(Repository { name: name.to_owned(), path, role, site, hosts, access, retention, prune })
}

fn notify(table: &Table) -> Result<Notify> {
    Ok(Notify {
        healthcheck: table.text("healthcheck")?.map(str::to_owned),
        webhook: table.text("webhook")?.map(str::to_owned),
        mail: texts(table, "mail")?,
        mail_command: owned(table, "mail-command")?,
        always: table.text("on")? == Some("always"),
    })
}

fn status(table: &Table) -> Result<StatusFiles> {
    Ok(StatusFiles { prometheus: table.path("prometheus")?, html: table.path("html")?, json: table.path("json")? })
}
