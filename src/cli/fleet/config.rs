//! `vault config`

use super::Which;
use crate::{
    cli::{
        exit::{Done, Failure},
        human,
        session::Session,
    },
    fleet::config::{self as conf, Select, check, json_schema, read, show},
    name::Shown,
};
use serde_json::json;
use std::{
    io::{self, Write},
    os::unix::ffi::OsStrExt,
};

const EXAMPLES: &str = "\
Examples:
  vault config check                              is all of it as it should be?
  vault config show                               all that was said, and where
  vault config show --effective alpha/web1/shop   what counts for an application, and where that was said
  vault config schema > vault.schema.json         for editors";

/// The configuration of all applications: vault.toml and vault.d/*.toml
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Look at each key and value; tells all that is wrong, with file and line
    #[command(after_help = "Example:\n  vault config check --config ./vault.toml")]
    Check {
        #[command(flatten)]
        which: Which,
    },
    /// Show each value with the file and line that it came from; secrets are not shown
    #[command(after_help = "Examples:\n  vault config show\n  vault config show --effective type:rails")]
    Show {
        /// Show what counts for applications, inherited values filled in
        #[arg(long)]
        effective: bool,
        /// Only these: server/vm/path or a beginning of it, type:NAME, server:NAME, vm:NAME, tag:WORD
        #[arg(value_name = "APP", requires = "effective")]
        select: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Print the JSON schema of vault.toml
    #[command(after_help = "Example:\n  vault config schema > vault.schema.json")]
    Schema {
        #[command(flatten)]
        which: Which,
    },
}

impl Args {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::Check { .. } => "config check",
            Verb::Show { .. } => "config show",
            Verb::Schema { .. } => "config schema",
        }
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    match args.verb {
        Verb::Check { which } => check(&which, session),
        Verb::Show { effective: false, which, .. } => {
            let loaded = which.load()?;
            let text = show::render(&show::without_secrets(&loaded.fleet.whole, &loaded.recipes), "");
            print(session, &text)
        }
        Verb::Show { select, which, .. } => {
            let loaded = which.load()?;
            let chosen = Select::parse(select.iter().map(String::as_str))?;
            let mut text = String::new();
            for service in loaded.fleet.selected(&chosen, &select)? {
                let table = show::app_without_secrets(&service.effective, &loaded.recipes);
                let (server, vm) = service.machine();
                let relpath = service.name().splitn(3, '/').nth(2).unwrap_or_default();
                let mut path = read::join("servers", server);
                if vm != "-" {
                    path = read::join(&read::join(&path, "vms"), vm);
                }
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&show::render(&table, &read::join(&read::join(&path, "apps"), relpath)));
            }
            print(session, &text)
        }
        Verb::Schema { which } => {
            // Editors want it before there is a configuration.
            let recipes = match which.path().exists() {
                true => which.read()?.1,
                false => crate::fleet::recipe::Recipes::builtin(),
            };
            let text = serde_json::to_string_pretty(&json_schema::of(&recipes)).map_err(io::Error::other)?;
            writeln!(io::stdout().lock(), "{text}")?;
            Ok(Done::good(serde_json::Value::Null))
        }
    }
}

fn print(session: &Session, text: &str) -> Result<Done, Failure> {
    if !session.screen.json {
        io::stdout().lock().write_all(text.as_bytes())?;
    }
    Ok(Done::good(json!({ "toml": text })))
}

fn check(which: &Which, session: &Session) -> Result<Done, Failure> {
    let (whole, recipes) = which.read()?;
    let mut faults: Vec<String> = check::faults(&whole, &recipes).iter().map(ToString::to_string).collect();
    let mut apps = 0;
    if faults.is_empty() {
        match conf::of_table(whole, &recipes) {
            Ok(fleet) => apps = fleet.services.len(),
            Err(error) => faults.push(error.to_string()),
        }
    }
    if !session.screen.json {
        for fault in &faults {
            writeln!(io::stdout().lock(), "{fault}")?;
        }
        if faults.is_empty() {
            let path = which.path();
            let shown = Shown(path.as_os_str().as_bytes());
            let apps = human::counted(apps as u64, "application", "applications");
            session.print_result(|| session.screen.print(&format!("{shown} is as it should be; {apps}")));
        }
    }
    Ok(Done::unless(!faults.is_empty(), json!({ "faults": faults, "applications": apps })))
}
