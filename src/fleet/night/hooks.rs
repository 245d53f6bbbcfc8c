//! Commands of the user's. Values reach them by their environment, never by their text: no name of an application can become a command.

use crate::{
    error::{Error, Result},
    monitor::Monitor,
    name::Shown,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::VecDeque,
    io::{self, Read},
    process::{Child, Command, ExitStatus, Stdio},
};

/// Passphrases in the environment, which are no business of other programs.
pub const SECRETS: [&str; 3] = ["VAULT_PASSWORD", "VAULT_NEW_PASSWORD", "VAULT_TO_PASSWORD"];
/// What is kept of what a command says: its last bytes.
const SAID_MAX: usize = 4096;

/// When a hook is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Before,
    After,
    OnError,
}

impl When {
    /// As `VAULT_HOOK` has it.
    pub fn word(self) -> &'static str {
        match self {
            When::Before => "before",
            When::After => "after",
            When::OnError => "on-error",
        }
    }
}

/// What commands find in their environment, and what not.
pub struct Around<'a> {
    /// Variables with their values.
    pub environment: &'a [(&'a str, &'a str)],
    /// Variables that hold passphrases, beside those that the program itself reads.
    pub secrets: &'a [&'a str],
}

/// Runs the commands one after another, and ends at the first that fails. What they say is told as notes.
pub fn run(when: When, commands: &[String], around: &Around<'_>, monitor: &dyn Monitor) -> Result<()> {
    for command in commands {
        one(when, command, around, monitor)?;
    }
    Ok(())
}

fn one(when: When, text: &str, around: &Around<'_>, monitor: &dyn Monitor) -> Result<()> {
    let named = || format!("the hook {} \"{}\"", when.word(), Shown(text.as_bytes()));
    let failed = |e: io::Error| Error::Command { command: named(), why: e.to_string() };
    let (from, to) = io::pipe().map_err(failed)?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(text).stdin(Stdio::null());
    command.stdout(to.try_clone().map_err(failed)?).stderr(to);
    for secret in SECRETS.iter().chain(around.secrets) {
        command.env_remove(secret);
    }
    command.env("VAULT_HOOK", when.word()).envs(around.environment.iter().copied());
    let mut child = command.spawn().map_err(failed)?;
    // Our copies of the pipe's other end.
    drop(command);
    let (status, said) = match wait(&mut child, from, monitor) {
        Ok(ended) => ended,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error.unwrap_or_else(|| failed(io::ErrorKind::Other.into())));
        }
    };
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    if status.success() {
        for line in lines {
            monitor.note(&format!("{}: {}", when.word(), Shown(line.as_bytes())));
        }
        return Ok(());
    }
    let last = lines.last().map(|line| format!(": {}", Shown(line.trim().as_bytes()))).unwrap_or_default();
    Err(Error::Command { command: named(), why: format!("failed ({status}){last}") })
}

/// Reads what a command says until it ends. What it left running may keep the pipe open: nobody waits for that.
fn wait(
    child: &mut Child,
    mut from: io::PipeReader,
    monitor: &dyn Monitor,
) -> Result<(ExitStatus, String), Option<Error>> {
    const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let mut said: VecDeque<u8> = VecDeque::new();
    let mut open = true;
    loop {
        monitor.check().map_err(Some)?;
        let mut any = false;
        if open {
            let ready = poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&PATIENCE)).map_err(|_| None)?;
            if ready > 0 {
                let mut room = [0; 4096];
                let read = from.read(&mut room).map_err(|_| None)?;
                (any, open) = (read > 0, read > 0);
                said.extend(room.iter().take(read));
                while said.len() > SAID_MAX {
                    said.pop_front();
                }
            }
        } else {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        if !any && let Some(status) = child.try_wait().map_err(|_| None)? {
            let said: Vec<u8> = said.into();
            return Ok((status, String::from_utf8_lossy(&said).into_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Recording;

    const NOTHING: Around<'_> = Around { environment: &[], secrets: &[] };

    fn run_one(text: &str, environment: &[(&str, &str)]) -> (Result<()>, Vec<String>) {
        let monitor = Recording::default();
        let around = Around { environment, secrets: &[] };
        let done = run(When::Before, &[text.to_owned()], &around, &monitor);
        (done, monitor.notes())
    }

    #[test]
    fn values_come_by_the_environment_alone() {
        let (done, notes) =
            run_one("echo \"$VAULT_HOOK $VAULT_SERIES\"", &[("VAULT_SERIES", "a/-/$(touch /tmp/x);`id`")]);
        done.unwrap();
        assert_eq!(notes, ["before: before a/-/$(touch /tmp/x);`id`"]);
    }

    #[test]
    fn passphrases_are_not_for_hooks() {
        let monitor = Recording::default();
        // A variable that every test has stands for one that holds a passphrase.
        let around = Around { environment: &[], secrets: &["PATH"] };
        run(When::Before, &["/usr/bin/env".to_owned()], &around, &monitor).unwrap();
        let from_outside = std::env::var("PATH").unwrap();
        assert!(!monitor.notes().iter().any(|note| note.ends_with(&from_outside)), "{:?}", monitor.notes());
    }

    #[test]
    fn a_failure_says_what_the_command_said_last() {
        let (done, _) = run_one("echo first; echo 'no \x1b[31mroom' >&2; exit 3", &[]);
        let error = done.unwrap_err().to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no \\x1b[31mroom") && !error.contains("first\n"),
            "{error}"
        );
        let monitor = Recording::default();
        let commands = ["exit 1".to_owned(), "echo second".to_owned()];
        assert!(run(When::After, &commands, &NOTHING, &monitor).is_err());
        assert!(monitor.notes().is_empty());
    }

    #[test]
    fn what_it_leaves_running_and_what_it_says_at_length_hold_nobody_up() {
        let (done, _) = run_one("sleep 1000 & exit 0", &[]);
        done.unwrap();
        let (done, notes) = run_one("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done", &[]);
        done.unwrap();
        assert_eq!(notes.last().map(String::as_str), Some("before: line 2999"));
    }

    #[test]
    fn it_ends_when_the_user_wants_to_stop() {
        let monitor = Recording::default();
        monitor.cancel();
        assert!(matches!(run(When::Before, &["sleep 1000".to_owned()], &NOTHING, &monitor), Err(Error::Cancelled)));
    }
}
