//! Carries messages out.

use super::Message;
use crate::{
    error::{Error, Result},
    name::Shown,
};
use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// How long a message may take, with all attempts, in seconds.
const PATIENCE: u64 = 90;
/// Of what a command says, so many bytes are told.
const SAID_MAX: u64 = 1024;

/// Says it. Fails with what the command said, without the address.
pub fn send(message: &Message) -> Result<()> {
    match message {
        Message::Post { what, to, json, body } => {
            // By its input: arguments are to be seen in the process list.
            let kind = if *json { "application/json" } else { "text/plain; charset=utf-8" };
            let config = format!(
                "url = \"{}\"\nheader = \"Content-Type: {kind}\"\ndata-raw = \"{}\"\n",
                to.whole(),
                quoted(body)
            );
            let mut curl = Command::new("curl");
            curl.args([
                "--silent",
                "--show-error",
                "--fail",
                "--proto",
                "=http,https",
                "--max-time",
                "25",
                "--retry",
                "2",
            ])
            .args(["--output", "/dev/null", "--config", "-"]);
            run(curl, "curl", &config).map_err(|why| {
                let why = why.replace(to.whole(), &to.to_string());
                Error::Command { command: format!("{what} {to}"), why }
            })
        }
        Message::Mail { command, text } => {
            let mut shell = Command::new("/bin/sh");
            // Where sendmail is, which the search path of a service may not name.
            shell.arg("-c").arg(format!("PATH=\"$PATH:/usr/sbin:/usr/lib\"; {command}"));
            run(shell, command, text).map_err(|why| Error::Command { command: format!("mail by {command}"), why })
        }
    }
}

/// A text between the quotes of a configuration file of curl.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            c => out.push(c),
        }
    }
    out
}

/// Runs a command with this input; why it failed.
fn run(mut command: Command, name: &str, input: &str) -> Result<(), String> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|e| format!("cannot run {name}: {e}; is it installed?"))?;
    let (mut to, from) = (child.stdin.take(), child.stderr.take());
    thread::scope(|scope| {
        let said = scope.spawn(move || {
            let mut said = Vec::new();
            let Some(mut from) = from else { return said };
            let _ = Read::by_ref(&mut from).take(SAID_MAX).read_to_end(&mut said);
            // What it says beyond that must not stop it.
            let _ = std::io::copy(&mut from, &mut std::io::sink());
            said
        });
        // One that reads nothing tells by its end.
        scope.spawn(move || to.take().map(|mut to| to.write_all(input.as_bytes())));
        let ended = wait(&mut child);
        let said = said.join().unwrap_or_default();
        let said = Shown(said.trim_ascii()).to_string();
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) if said.is_empty() => Err(status.to_string()),
            Some(_) => Err(said),
            None => Err(format!("it did not end within {PATIENCE} s")),
        }
    })
}

fn wait(child: &mut Child) -> Option<std::process::ExitStatus> {
    let step = Duration::from_millis(20);
    for _ in 0..PATIENCE * 1000 / step.as_millis() as u64 {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(step);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
