//! `vault recipe`

use super::{
    exit::{Done, Failure},
    human::{self, Align, Table},
    session::Session,
};
use crate::{
    error::Error,
    fleet::recipe::{Directions, Key, KeyKind, Recipes},
};
use clap::ValueHint;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  vault recipe list
  vault recipe show rails
  vault recipe show tickets --recipes /etc/vault/recipes.d";

/// Where recipes of the user's own lie.
const FOLDER: &str = "/etc/vault/recipes.d";

/// Show what is known of each type of application
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the recipes
    #[command(after_help = "Example:\n  vault recipe list")]
    List(Folder),
    /// Print a recipe in all its directions: what it reads, leaves out, dumps, restores and verifies
    #[command(after_help = "Example:\n  vault recipe show wordpress")]
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        folder: Folder,
    },
}

/// Recipes of the user's own.
#[derive(Debug, Clone, clap::Args)]
pub struct Folder {
    /// Folder with recipes of your own (NAME.toml) [default: /etc/vault/recipes.d]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    recipes: Option<PathBuf>,
}

impl Folder {
    /// All recipes, when a folder was named.
    pub fn named(&self) -> Result<Option<Recipes>, Error> {
        self.recipes.as_ref().map(|_| self.recipes()).transpose()
    }

    /// All recipes.
    pub fn recipes(&self) -> Result<Recipes, Error> {
        match &self.recipes {
            Some(folder) if !folder.is_dir() => Err(Error::usage(format!(
                "{} is no folder: --recipes names one with NAME.toml files",
                crate::name::Shown(folder.as_os_str().as_encoded_bytes())
            ))),
            Some(folder) => Recipes::builtin().with_folder(folder),
            None => Recipes::builtin().with_folder(Path::new(FOLDER)),
        }
    }
}

impl Args {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::List(_) => "recipe list",
            Verb::Show { .. } => "recipe show",
        }
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    match args.verb {
        Verb::List(folder) => list(&folder.recipes()?, session),
        Verb::Show { name, folder } => show(&folder.recipes()?, &name, session),
    }
}

fn list(recipes: &Recipes, session: &Session) -> Result<Done, Failure> {
    if !session.screen.json {
        let mut table = Table::new(&[("NAME", Align::Left), ("WHAT IT IS FOR", Align::Left)]);
        recipes.iter().for_each(|recipe| table.row(vec![recipe.name().to_owned(), recipe.about().to_owned()]));
        let out = &mut io::stdout().lock();
        table.print(out, session.screen.stdout_colours())?;
    }
    let all: Vec<Value> =
        recipes.iter().map(|recipe| json!({ "name": recipe.name(), "about": recipe.about() })).collect();
    Ok(Done::good(json!({ "recipes": all })))
}

fn show(recipes: &Recipes, name: &str, session: &Session) -> Result<Done, Failure> {
    let recipe = recipes.find(name)?;
    let directions = recipe.directions();
    if !session.screen.json {
        let out = &mut io::BufWriter::new(io::stdout().lock());
        writeln!(out, "{}: {}", recipe.name(), recipe.about())?;
        print_directions(out, &directions)?;
        writeln!(out, "\nkeys")?;
        for key in recipe.keys() {
            print_key(out, key, 2)?;
        }
        out.flush()?;
    }
    let keys: Vec<Value> = recipe.keys().iter().map(key_json).collect();
    Ok(Done::good(json!({
        "name": recipe.name(),
        "about": recipe.about(),
        "reads": directions.reads,
        "leaves_out": directions.leaves_out,
        "dumps": directions.dumps,
        "restores": directions.restores,
        "verifies": directions.verifies,
        "keys": keys,
    })))
}

fn print_directions(out: &mut dyn Write, directions: &Directions) -> io::Result<()> {
    let parts = [
        ("reads", &directions.reads),
        ("leaves out", &directions.leaves_out),
        ("dumps", &directions.dumps),
        ("restores", &directions.restores),
        ("verifies", &directions.verifies),
    ];
    for (title, lines) in parts {
        if !lines.is_empty() {
            writeln!(out, "\n{title}")?;
        }
        for line in lines {
            writeln!(out, "  {}", crate::name::Shown(line.as_bytes()))?;
        }
    }
    Ok(())
}

fn print_key(out: &mut dyn Write, key: &Key, indent: usize) -> io::Result<()> {
    let required = if key.required { " (required)" } else { "" };
    writeln!(out, "{:indent$}{:<18} {}{required}", "", key.name, key.about)?;
    if let KeyKind::Table(keys) | KeyKind::Tables(keys) = key.kind {
        for key in keys {
            print_key(out, key, indent + 4)?;
        }
    }
    Ok(())
}

fn key_json(key: &Key) -> Value {
    let mut object = json!({
        "name": key.name,
        "about": key.about,
        "required": key.required,
        "wanted": key.kind.wanted(),
    });
    if let KeyKind::Table(keys) | KeyKind::Tables(keys) = key.kind {
        object["keys"] = keys.iter().map(key_json).collect::<Vec<_>>().into();
    }
    object
}

/// Facts of what was found, for people: ticks and crosses.
pub fn print_findings(out: &mut dyn Write, findings: &[crate::fleet::recipe::Finding]) -> io::Result<()> {
    for finding in findings {
        match &finding.wrong {
            None => writeln!(out, "  ok     {}", finding.what)?,
            Some(why) => writeln!(out, "  WRONG  {}: {why}", finding.what)?,
        }
    }
    Ok(())
}

/// The same as JSON.
pub fn findings_json(findings: &[crate::fleet::recipe::Finding]) -> Vec<Value> {
    let one = |finding: &crate::fleet::recipe::Finding| json!({ "what": finding.what, "wrong": finding.wrong });
    findings.iter().map(one).collect()
}

/// Databases that were loaded, for people.
pub fn print_loaded(out: &mut dyn Write, loaded: &[crate::fleet::recovery::Loaded]) -> io::Result<()> {
    for one in loaded {
        let name = crate::name::Shown(one.name.as_bytes());
        let tables = human::counted(one.tables, "table", "tables");
        let rows = human::counted(one.rows, "row", "rows");
        writeln!(out, "  {name} ({}) into {}: {tables}, {rows}", one.engine, one.into)?;
    }
    Ok(())
}

/// The same as JSON.
pub fn loaded_json(loaded: &[crate::fleet::recovery::Loaded]) -> Vec<Value> {
    let one = |one: &crate::fleet::recovery::Loaded| json!({ "name": one.name, "engine": one.engine, "into": one.into, "tables": one.tables, "rows": one.rows });
    loaded.iter().map(one).collect()
}
