//! What can be typed. What a command takes stands in the command's own file.

use super::{
    bootstrap, browse, check, completions, copy, diff, drill, dump, find, fleet, forget, guide, init, key, log, ls,
    man, media, mount, parity, prune, pull, recipe, relocate, repair, restore, rewrite, serve, snapshot, snapshots,
    stats, tag,
};
use clap::{Args, Parser, Subcommand, ValueHint, builder::Styles, builder::styling::AnsiColor};
use std::{ffi::OsString, path::PathBuf};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  vault snapshot --init --repo /mnt/backup /srv/wiki     make a repository, and the first snapshot
  export VAULT_REPO=/mnt/backup                          say once where it is
  vault snapshots                                        what is there
  vault restore alpha.example.org/-/srv/wiki@3d --target /tmp/wiki

An ADDRESS is SERIES[@VERSION][:PATH] or a snapshot's ID[:PATH]. A SERIES is server/vm/relpath.
A VERSION is latest, an id, a date (2026-03-02), a time (2026-03-02T04:05) or an age (3d, 12h, 2w).

Exit codes: 0 done, 1 failed, 2 usage, 3 snapshot made but incomplete (run, status, drill: something is wrong),
10 no repository, 12 wrong key, 13 newer format, 14 store rolled back, 20 store full,
75 medium absent or another run under way, 130 cancelled.";

/// Encrypted, deduplicated backups for people who run servers
#[derive(Debug, Parser)]
#[command(name = "vault", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES,
    arg_required_else_help = true, subcommand_required = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The repository: a folder, usb:NAME, or, to read only, ssh://[USER@]HOST[:PORT]/PATH [env: VAULT_REPO]
    #[arg(long, short = 'r', global = true, value_name = "REPO", value_hint = ValueHint::DirPath)]
    pub repo: Option<OsString>,
    /// Read the passphrase from FILE (a newline at its end is cut) [env: VAULT_PASSWORD, the passphrase itself]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath,
        conflicts_with_all = ["password_command", "key_file", "recovery_file"])]
    pub password_file: Option<PathBuf>,
    /// Run CMD in a shell and take what it prints as the passphrase
    #[arg(long, global = true, value_name = "CMD", conflicts_with_all = ["key_file", "recovery_file"])]
    pub password_command: Option<OsString>,
    /// Open the repository with a key file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "recovery_file")]
    pub key_file: Option<PathBuf>,
    /// Open the repository with a recovery sheet that was typed into FILE
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub recovery_file: Option<PathBuf>,
    /// Folder for derived tables; may be deleted at any time [env: VAULT_CACHE_DIR; default: ~/.cache/vault]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
    /// Folder that remembers how far each series had come; keep it [env: VAULT_STATE_DIR; default: ~/.local/state/vault]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
    /// How to reach ssh:// places: a command line for a shell [env: VAULT_SSH; default: ssh]
    #[arg(long, global = true, value_name = "CMD", hide_short_help = true)]
    pub ssh: Option<OsString>,
    /// What vault is called at ssh:// places [default: vault]
    #[arg(long, global = true, value_name = "PATH", hide_short_help = true)]
    pub remote_vault: Option<String>,
    /// Go on although the store shows an older state than this machine has seen, or lacks snapshots
    #[arg(long, global = true)]
    pub accept_rollback: bool,
    /// Print progress and results as JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, no notes, no summary: only what was asked for, and problems
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::Args),
    Snapshot(Box<snapshot::Args>),
    Snapshots(snapshots::Args),
    Ls(ls::Args),
    Diff(diff::Args),
    Find(Box<find::Args>),
    Log(log::Args),
    Browse(browse::Args),
    Restore(restore::Args),
    Drill(drill::Args),
    Bootstrap(bootstrap::Args),
    Recipe(recipe::Args),
    Dump(dump::Args),
    Mount(mount::Args),
    Forget(Box<forget::Args>),
    Prune(prune::Args),
    Tag(tag::TagArgs),
    Pin(tag::PinArgs),
    Unpin(tag::UnpinArgs),
    Stats(stats::Args),
    Check(check::Args),
    Repair(repair::Args),
    Rewrite(rewrite::Args),
    Copy(copy::Args),
    Move(relocate::Args),
    Parity(parity::Args),
    Media(media::Args),
    Pull(pull::Args),
    Serve(serve::Args),
    Key(key::Args),
    Run(fleet::run::Args),
    Status(fleet::status::Args),
    History(fleet::history::Args),
    Schedule(fleet::schedule::Args),
    Config(fleet::config::Args),
    Guide(guide::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Init(_) => "init",
            Command::Snapshot(_) => "snapshot",
            Command::Snapshots(_) => "snapshots",
            Command::Ls(_) => "ls",
            Command::Diff(_) => "diff",
            Command::Find(_) => "find",
            Command::Log(_) => "log",
            Command::Browse(_) => "browse",
            Command::Restore(_) => "restore",
            Command::Drill(_) => "drill",
            Command::Bootstrap(_) => "bootstrap",
            Command::Recipe(args) => args.name(),
            Command::Dump(_) => "dump",
            Command::Mount(_) => "mount",
            Command::Forget(_) => "forget",
            Command::Prune(_) => "prune",
            Command::Tag(tag) => tag.name(),
            Command::Pin(_) => "pin",
            Command::Unpin(_) => "unpin",
            Command::Stats(_) => "stats",
            Command::Check(_) => "check",
            Command::Repair(_) => "repair",
            Command::Rewrite(_) => "rewrite",
            Command::Copy(_) => "copy",
            Command::Move(_) => "move",
            Command::Media(media) => media.name(),
            Command::Parity(args) => args.name(),
            Command::Pull(_) => "pull",
            Command::Serve(_) => "serve",
            Command::Key(key) => key.name(),
            Command::Run(_) => "run",
            Command::Status(_) => "status",
            Command::History(_) => "history",
            Command::Schedule(args) => args.name(),
            Command::Config(args) => args.name(),
            Command::Guide(_) => "guide",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
        }
    }
}

pub use crate::units::parse_size as size;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn look(command: &clap::Command) {
            for sub in command.get_subcommands() {
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("vault ") && help.contains("Example"), "{}", sub.get_name());
                assert!(sub.get_about().is_some(), "{}", sub.get_name());
                look(sub);
            }
        }
        look(&Cli::command());
    }
}
