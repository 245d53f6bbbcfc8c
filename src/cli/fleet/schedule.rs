//! `vault schedule`

use super::Which;
use crate::{
    cli::{
        exit::{Done, Failure},
        session::Session,
    },
    error::{Error, Result},
    fleet::schedule::{self as op, Schedule, Scheduler},
    name::Shown,
    series::parse_age,
};
use clap::ValueHint;
use serde_json::json;
use std::{
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const EXAMPLES: &str = "\
Examples:
  vault schedule install                            each night at half past one, by systemd, or by cron where there is none
  vault schedule install --at 03:00 --jitter 1h
  vault schedule show
  vault schedule remove";

/// Have the system run `vault run` each night
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write the timer and its service, or lines for cron
    #[command(
        after_help = "Examples:\n  vault schedule install\n  vault schedule install --at 03:00 --jitter 1h --by cron"
    )]
    Install(Install),
    /// Show what is installed
    #[command(after_help = "Examples:\n  vault schedule show\n  vault schedule show --config /srv/other/vault.toml")]
    Show {
        /// Only when it runs this configuration
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
        #[command(flatten)]
        root: Root,
    },
    /// Take it away
    #[command(after_help = "Example:\n  vault schedule remove")]
    Remove {
        #[command(flatten)]
        root: Root,
    },
}

#[derive(Debug, clap::Args)]
struct Root {
    /// Below this folder, for an image of a system
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = ValueHint::DirPath)]
    root: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Install {
    /// When
    #[arg(long, value_name = "HH:MM", default_value = "01:30", value_parser = clock)]
    at: (u8, u8),
    /// Put off by a random time up to this, so that not all machines begin at once
    #[arg(long, value_name = "AGE", default_value = "20m", value_parser = age)]
    jitter: u64,
    /// By whom [default: systemd where it runs, else cron]
    #[arg(long, value_name = "WHO", value_parser = ["systemd", "cron"])]
    by: Option<String>,
    /// Write it although the configuration is not as it should be
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    root: Root,
    #[command(flatten)]
    which: Which,
}

fn clock(text: &str) -> Result<(u8, u8), String> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)));
    parsed.filter(|(hour, minute)| *hour < 24u8 && *minute < 60u8).ok_or_else(|| "write hour and minute: 01:30".into())
}

fn age(text: &str) -> Result<u64, String> {
    parse_age(text)
        .filter(|jitter| *jitter < 86400)
        .ok_or_else(|| "write a number and a unit below a day: 20m, 1h".into())
}

impl Args {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::Install(_) => "schedule install",
            Verb::Show { .. } => "schedule show",
            Verb::Remove { .. } => "schedule remove",
        }
    }
}

fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_bytes()).to_string()
}

/// A path as a schedule has it.
fn text(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.to_str().map(str::to_owned).ok_or_else(|| Error::usage(format!("{} is not UTF-8", shown(&path))))
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    match args.verb {
        Verb::Install(args) => install(args, session),
        Verb::Show { config, root } => {
            let mut found = op::installed(&root.root)?;
            let mut nothing = "nothing is installed: see `vault schedule install`".to_owned();
            if let Some(config) = &config
                && !found.is_empty()
                && !op::runs(&found, &text(config)?)
            {
                nothing = format!(
                    "nothing is installed for {}: what is installed runs another configuration, see `vault schedule show`",
                    shown(config)
                );
                found.clear();
            }
            if !session.screen.json {
                let out = &mut io::stdout().lock();
                for (path, text) in &found {
                    writeln!(out, "## {}\n{text}", shown(path))?;
                }
                if found.is_empty() {
                    writeln!(out, "{nothing}")?;
                }
            }
            let files: Vec<_> = found.iter().map(|(path, text)| json!({ "path": shown(path), "text": text })).collect();
            Ok(Done::good(json!({ "files": files })))
        }
        Verb::Remove { root } => {
            let live = root.root == Path::new("/") && Scheduler::of_system(&root.root) == Scheduler::Systemd;
            if live && !op::installed(&root.root)?.is_empty() {
                tell(session, &["disable", "--now", "vault.timer"]);
            }
            let gone = op::remove(&root.root)?;
            if live && !gone.is_empty() {
                tell(session, &["daemon-reload"]);
            }
            session.print_result(|| match gone.is_empty() {
                true => session.screen.print("nothing was installed"),
                false => gone.iter().try_for_each(|path| session.screen.print(&format!("removed {}", shown(path)))),
            });
            let gone: Vec<String> = gone.iter().map(|path| shown(path)).collect();
            Ok(Done::good(json!({ "removed": gone })))
        }
    }
}

fn install(args: Install, session: &Session) -> Result<Done, Failure> {
    // A timer for what cannot run would be found out in the morning.
    if !args.force {
        args.which.load()?;
    }
    let root = &args.root.root;
    let scheduler = match args.by.as_deref() {
        Some("systemd") => Scheduler::Systemd,
        Some(_) => Scheduler::Cron,
        None => Scheduler::of_system(root),
    };
    let program =
        std::env::current_exe().map_err(|e| Error::refused(format!("where this program lies is not known: {e}")))?;
    let mut environment = Vec::new();
    environment.push((op::CONFIG.to_owned(), text(&args.which.path())?));
    // Where a run by hand remembers things, the night is to as well.
    for (name, given) in
        [("VAULT_STATE_DIR", &session.global.state_dir), ("VAULT_CACHE_DIR", &session.global.cache_dir)]
    {
        let set = given.clone().or_else(|| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from));
        if let Some(path) = set {
            environment.push((name.to_owned(), text(&path)?));
        }
    }
    let schedule = Schedule { program, at: args.at, jitter: args.jitter, environment, user: crate::cli::host::user() };
    let written = op::install(root, &schedule, scheduler)?;
    if scheduler == Scheduler::Systemd && root == Path::new("/") {
        tell(session, &["daemon-reload"]);
        tell(session, &["start", "vault.timer"]);
    }
    session
        .print_result(|| written.iter().try_for_each(|path| session.screen.print(&format!("wrote {}", shown(path)))));
    let written: Vec<String> = written.iter().map(|path| shown(path)).collect();
    Ok(Done::good(json!({ "scheduler": scheduler.word(), "written": written })))
}

/// Tells systemd. That it does not listen is told: the files are there all the same.
fn tell(session: &Session, args: &[&str]) {
    let named = format!("systemctl {}", args.join(" "));
    match Command::new("systemctl").args(args).stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        Ok(status) => session.screen.warn(&format!("{named} failed ({status})")),
        Err(error) => session.screen.warn(&format!("{named}: {error}")),
    }
}
