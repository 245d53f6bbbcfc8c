//! The program whose input and output are the link: `ssh`, as a rule.

use super::link::{Link, Over, Stop};
use crate::{name::Shown, store::lock};
use std::{
    ffi::{OsStr, OsString},
    io::{BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// Of what it says on its error output, the end is kept: so many bytes.
const SAID_MAX: usize = 2048;
/// How long a program whose output has ended may take to end.
const ENDING: Duration = Duration::from_secs(3);
/// A shell's codes for a program that is not there, or is none.
const NO_PROGRAM: [i32; 2] = [126, 127];
/// The code by which ssh says that the failure is its own.
const OF_SSH: i32 = 255;
/// The code of wrong usage.
const USAGE: i32 = 2;

/// A running program.
pub struct Program {
    child: Mutex<Child>,
    said: Arc<Mutex<Vec<u8>>>,
    listener: Mutex<Option<thread::JoinHandle<()>>>,
}

/// Runs a command line of the shell with arguments behind it, and takes its input and output for a link.
pub fn link(command: &OsStr, args: &[OsString], stop: &Stop) -> Result<Link, Over> {
    let mut line = command.to_owned();
    line.push(" \"$@\"");
    let spawned = Command::new("/bin/sh")
        .arg("-c")
        .arg(line)
        .arg("vault")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let unable = |why: &dyn std::fmt::Display| Over::Unable(format!("cannot run {}: {why}", command.display()));
    let mut child = spawned.map_err(|e| unable(&e))?;
    let (Some(input), Some(output), Some(errors)) = (child.stdout.take(), child.stdin.take(), child.stderr.take())
    else {
        return Err(unable(&"it has no input and output"));
    };
    let said = Arc::new(Mutex::new(Vec::new()));
    let kept = said.clone();
    let listener = thread::Builder::new().name("link errors".into()).spawn(move || keep_end(errors, &kept));
    let program = Program { child: Mutex::new(child), said, listener: Mutex::new(listener.ok()) };
    Link::open(BufReader::with_capacity(64 << 10, input), output, Some(program), stop)
}

fn keep_end(mut from: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut piece = [0; 512];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        let kept = &mut *lock(kept);
        kept.extend_from_slice(piece.get(..read).unwrap_or_default());
        let surplus = kept.len().saturating_sub(SAID_MAX);
        kept.drain(..surplus);
    }
}

impl Program {
    /// Ends it, if it has not ended.
    pub fn kill(&self) {
        let child = &mut *lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Waits a moment for its end: how it ended, and what it last said, for people.
    fn ending(&self) -> (Option<ExitStatus>, String) {
        let step = Duration::from_millis(20);
        let mut status = None;
        for _ in 0..ENDING.as_millis() / step.as_millis() {
            status = lock(&self.child).try_wait().ok().flatten();
            if status.is_some() {
                break;
            }
            thread::sleep(step);
        }
        // What it said last may still be on its way; a grandchild may hold the other end for ever.
        let listener = lock(&self.listener).take();
        if let Some(listener) = listener {
            for _ in 0..25 {
                if listener.is_finished() {
                    break;
                }
                thread::sleep(step);
            }
        }
        let said = lock(&self.said).clone();
        let lines: Vec<String> = said
            .split(|byte| *byte == b'\n')
            .map(|line| Shown(line.strip_suffix(b"\r").unwrap_or(line)).to_string())
            .filter(|line| !line.trim().is_empty())
            .collect();
        (status, lines.join("; "))
    }

    /// Why it ended, for people.
    pub fn why_it_ended(&self) -> String {
        match self.ending() {
            (None, said) if said.is_empty() => "the other end closed it".into(),
            (Some(status), said) if said.is_empty() => status.to_string(),
            (_, said) => said,
        }
    }

    /// Why nothing answered.
    pub fn why_it_does_not_serve(&self) -> Over {
        let (status, said) = self.ending();
        let code = status.and_then(|status| status.code());
        let said = if said.is_empty() { status.map_or_else(String::new, |s| s.to_string()) } else { said };
        match code {
            Some(OF_SSH) => Over::Lost(format!("ssh does not get there: {said}")),
            Some(code) if NO_PROGRAM.contains(&code) => Over::Unable(format!(
                "vault is not found there ({said}): install it, or say where it is with --remote-vault"
            )),
            Some(USAGE) => Over::Unable(format!("the vault there cannot serve, it may be older than this one: {said}")),
            _ => Over::Unable(format!("nothing answers there: {said}")),
        }
    }
}
