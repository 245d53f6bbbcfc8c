//! The command line: the only place that prints, and that asks for environment, clock and terminal.
//!
//! ```text
//! args ─▶ a command's file ─▶ session (open the repository) ─▶ ops, with a board as monitor ─▶ report ─▶ human or json
//!                                                                  └─▶ progress (bars, lines, JSON)      └─▶ exit code
//! ```

mod address;
mod allocator;
mod args;
mod board;
mod bootstrap;
mod browse;
mod check;
mod completions;
mod copy;
mod diff;
mod drill;
mod dump;
mod entry;
mod exit;
mod find;
mod fleet;
mod forget;
mod guide;
mod host;
mod human;
mod init;
pub mod json;
mod key;
mod log;
mod losses;
mod ls;
mod man;
mod media;
mod mount;
mod parity;
mod private;
mod progress;
mod prune;
mod pull;
mod recipe;
mod rekey;
mod relocate;
mod repair;
mod restore;
mod restore_app;
mod rewrite;
mod screen;
mod secrets;
mod serve;
mod session;
mod sheet;
mod signals;
mod snapshot;
mod snapshots;
mod stats;
mod tag;

use args::{Cli, Command};
use clap::Parser;
use exit::{Done, Failure};
use screen::Screen;
use serde_json::Value;
use session::Session;
use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
};

/// Runs the program.
pub fn main() -> ExitCode {
    allocator::set_up();
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // That nobody reads it is no reason for another code.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    raise_file_limit();
    let screen = Arc::new(Screen::new(global.json, global.quiet));
    let interrupts = match signals::Interrupts::listen(screen.clone()) {
        Ok(interrupts) => interrupts,
        Err(error) => {
            screen.warn(&format!("cannot listen for signals: {error}"));
            Arc::default()
        }
    };
    let name = command.name();
    let session = Session {
        global,
        screen,
        interrupts,
        command: name,
        told_absent: Default::default(),
        passed_over: Default::default(),
        media: Default::default(),
    };
    let result = run(command, &session).map(|mut done| {
        if session.passed_over.load(Ordering::Relaxed) && done.outcome == exit::Outcome::Good {
            done.outcome = exit::Outcome::Bad;
        }
        done
    });
    ExitCode::from(finish(&session.screen, name, result))
}

fn run(command: Command, session: &Session) -> Result<Done, Failure> {
    match command {
        Command::Init(args) => init::run(args, session),
        Command::Snapshot(args) => snapshot::run(*args, session),
        Command::Snapshots(args) => snapshots::run(args, session),
        Command::Ls(args) => ls::run(args, session),
        Command::Diff(args) => diff::run(args, session),
        Command::Find(args) => find::run(*args, session),
        Command::Log(args) => log::run(args, session),
        Command::Browse(args) => browse::run(args, session),
        Command::Restore(args) => restore::run(args, session),
        Command::Bootstrap(args) => bootstrap::run(args, session),
        Command::Recipe(args) => recipe::run(args, session),
        Command::Drill(args) => drill::run(args, session),
        Command::Dump(args) => dump::run(args, session),
        Command::Mount(args) => mount::run(args, session),
        Command::Forget(args) => forget::run(*args, session),
        Command::Prune(args) => prune::run(args, session),
        Command::Tag(args) => tag::tag(args, session),
        Command::Pin(args) => tag::pin(args, session),
        Command::Unpin(args) => tag::unpin(args, session),
        Command::Stats(args) => stats::run(args, session),
        Command::Check(args) => check::run(args, session),
        Command::Repair(args) => repair::run(args, session),
        Command::Rewrite(args) => rewrite::run(args, session),
        Command::Copy(args) => copy::run(args, session),
        Command::Move(args) => relocate::run(args, session),
        Command::Media(args) => media::run(args, session),
        Command::Parity(args) => parity::run(args, session),
        Command::Pull(args) => pull::run(args, session),
        Command::Serve(args) => serve::run(args, session),
        Command::Key(args) => key::run(args, session),
        Command::Run(args) => fleet::run::run(args, session),
        Command::Status(args) => fleet::status::run(args, session),
        Command::History(args) => fleet::history::run(args, session),
        Command::Schedule(args) => fleet::schedule::run(args, session),
        Command::Config(args) => fleet::config::run(args, session),
        Command::Guide(args) => guide::run(args, session),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

/// Tells how it ended, and gives the exit code.
fn finish(screen: &Screen, name: &str, result: Result<Done, Failure>) -> u8 {
    let (result, fields) = match result {
        Ok(Done { outcome, result }) => (Ok(outcome), result),
        Err(failure) => {
            let error = serde_json::json!({ "kind": failure.kind(), "message": failure.to_string() });
            (Err(failure), serde_json::json!({ "error": error }))
        }
    };
    let code = exit::code(&result);
    if let Err(failure) = &result
        && !failure.is_quiet()
    {
        screen.error(&failure.to_string());
    }
    // Of a command whose output is data there is no result.
    if screen.json && !fields.is_null() {
        let mut event = serde_json::json!({ "event": "result", "command": name, "exit_code": code });
        if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
            event.extend(fields);
        }
        screen.event(&event);
    }
    code
}

/// As many open files as the system allows: the default of 1024 is a relic of select(2).
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}
