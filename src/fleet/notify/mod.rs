//! Who is told of a run, and what: mail, a webhook, and a healthcheck that notices when nothing comes at all.
//!
//! What is said to whom is plain data ([`messages`]); [`send`] carries it out by the system's `curl` and its `sendmail`, since this
//! program speaks no HTTP and no SMTP itself.
//!
//! | | when | what |
//! |---|---|---|
//! | healthcheck | begin: `ADDRESS/start`; good end: `ADDRESS`; else `ADDRESS/fail` | the text, as far as it ended |
//! | webhook | the end; with `on = "problems"` only when something went wrong | JSON |
//! | mail | the same | the text |
//!
//! An address may let whoever knows it speak in the fleet's name: it is never printed, and stands in no process list. In the
//! configuration it is written itself, or as `file:/path` of a file that holds it.

mod send;
#[cfg(test)]
mod tests;

pub use send::send;

use super::{
    config::Notify,
    night::{Came, Job, Report},
};
use crate::{
    error::{Error, Result},
    name::Shown,
};
use serde_json::json;
use std::path::Path;

/// Jobs that a message names; the rest is counted.
const JOBS_MAX: usize = 50;
/// Longest text that is told of a job, in characters.
const TEXT_MAX: usize = 300;
/// Longest file that holds an address, in bytes.
const ADDRESS_MAX: u64 = 4096;

/// What is told.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A run begins.
    Begins,
    /// A run has ended.
    Ended(&'a Report),
    /// A run could not be begun.
    Failed(&'a str),
}

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'a> {
    /// The fleet's name.
    pub fleet: &'a str,
    /// This machine.
    pub host: &'a str,
}

/// An address of the web that is not to be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({self})")
    }
}

/// The part that may be seen: scheme and host.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", ""));
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        write!(f, "{scheme}://{}/…", Shown(host.as_bytes()))
    }
}

impl Address {
    /// Reads what the configuration has: an address, or `file:/path` of a file that holds one.
    pub fn read(said: &str, what: &str) -> Result<Self> {
        let wrong = |why: &str| Error::usage(format!("notify.{what}: {why}"));
        let text = match said.strip_prefix("file:") {
            None => said.to_owned(),
            Some(path) => {
                let failed = |e: std::io::Error| {
                    wrong(&format!("cannot read {}: {}", Shown(path.as_bytes()), crate::error::reason(&e)))
                };
                let len = std::fs::metadata(Path::new(path)).map_err(failed)?.len();
                if len > ADDRESS_MAX {
                    return Err(wrong("the file is too long for an address"));
                }
                std::fs::read_to_string(path).map_err(failed)?.trim().to_owned()
            }
        };
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        if !is_web || text.bytes().any(|b| b.is_ascii_control() || b == b' ' || b == b'"' || b == b'\\') {
            return Err(wrong(
                "write an address that begins with https:// or http://, or file:/PATH of a file that holds one",
            ));
        }
        Ok(Address(text))
    }

    /// The same with a word behind its path.
    fn below(&self, word: &str) -> Self {
        let end = self.0.find(['?', '#']).unwrap_or(self.0.len());
        let (path, query) = self.0.split_at(end);
        Address(format!("{}/{word}{query}", path.trim_end_matches('/')))
    }

    /// All of it.
    fn whole(&self) -> &str {
        &self.0
    }
}

/// What is said to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Posted to an address.
    Post { what: &'static str, to: Address, json: bool, body: String },
    /// Handed to a command that sends mail, with its headers.
    Mail { command: String, text: String },
}

/// What is to be said, and why something cannot be.
pub fn messages(notify: &Notify, speaker: Speaker<'_>, event: Event<'_>) -> (Vec<Message>, Vec<Error>) {
    let (mut out, mut wrong) = (Vec::new(), Vec::new());
    let bad = match event {
        Event::Begins => false,
        Event::Ended(report) => report.wrong() > 0 || report.cancelled,
        Event::Failed(_) => true,
    };
    let (subject, text) = said(speaker, event);
    if let Some(address) = &notify.healthcheck {
        match Address::read(address, "healthcheck") {
            Ok(address) => {
                let to = match (event, bad) {
                    (Event::Begins, _) => address.below("start"),
                    (_, true) => address.below("fail"),
                    (_, false) => address,
                };
                out.push(Message::Post { what: "healthcheck", to, json: false, body: text.clone() });
            }
            Err(error) => wrong.push(error),
        }
    }
    if matches!(event, Event::Begins) || !(bad || notify.always) {
        return (out, wrong);
    }
    if let Some(address) = &notify.webhook {
        match Address::read(address, "webhook") {
            Ok(to) => {
                out.push(Message::Post { what: "webhook", to, json: true, body: as_json(speaker, event, &subject) })
            }
            Err(error) => wrong.push(error),
        }
    }
    if !notify.mail.is_empty() {
        match mail(notify, &subject, &text) {
            Ok(message) => out.push(message),
            Err(error) => wrong.push(error),
        }
    }
    (out, wrong)
}

/// A line, and a text for people.
fn said(speaker: Speaker<'_>, event: Event<'_>) -> (String, String) {
    let who = format!("{} on {}", Shown(speaker.fleet.as_bytes()), Shown(speaker.host.as_bytes()));
    match event {
        Event::Begins => (format!("vault: {who}: a run begins"), String::new()),
        Event::Failed(why) => (
            format!("vault: {who}: the run failed"),
            format!("The run was not begun:\n\n  {}\n", Shown(why.as_bytes())),
        ),
        Event::Ended(report) => {
            let told: Vec<&Job> = report.jobs.iter().filter(|job| !matches!(job.came, Came::Skipped(_))).collect();
            let wrong = report.wrong();
            let how = match (report.cancelled, wrong) {
                (true, _) => "the run was stopped".to_owned(),
                (false, 0) => format!("all {} jobs are done", told.len()),
                (false, wrong) => format!("{wrong} of {} jobs went wrong", told.len()),
            };
            let mut text = format!("{how}, in {:.0} s.\n\n", report.seconds());
            // What went wrong comes first.
            let is_wrong = |job: &&&Job| matches!(job.came, Came::Failed(_) | Came::Incomplete { .. });
            let first = told.iter().filter(|job| is_wrong(job)).chain(told.iter().filter(|job| !is_wrong(job)));
            for job in first.take(JOBS_MAX) {
                text += &format!("  {:<10}  {}{}\n", job.came.word(), job.what, why(&job.came));
            }
            if told.len() > JOBS_MAX {
                text += &format!("  and {} more\n", told.len() - JOBS_MAX);
            }
            report.notes.iter().take(JOBS_MAX).for_each(|note| text += &format!("\n  note: {note}\n"));
            text += "\nvault status says what is red, vault history how it came to be.\n";
            (format!("vault: {who}: {how}"), text)
        }
    }
}

fn why(came: &Came) -> String {
    match came {
        Came::Incomplete { why, .. } | Came::Failed(why) | Came::Absent(why) => {
            let short: String = why.chars().take(TEXT_MAX).collect();
            format!(": {short}")
        }
        _ => String::new(),
    }
}

fn as_json(speaker: Speaker<'_>, event: Event<'_>, subject: &str) -> String {
    let empty = Report::default();
    let (report, error) = match event {
        Event::Ended(report) => (report, None),
        Event::Failed(why) => (&empty, Some(why)),
        Event::Begins => (&empty, None),
    };
    let jobs: Vec<_> = report
        .jobs
        .iter()
        .filter(|job| !matches!(job.came, Came::Skipped(_)))
        .map(|job| {
            json!({
                "job": job.what.verb(),
                "object": job.what.object(),
                "outcome": job.came.word(),
                "message": job.came.wrong(),
                "seconds": job.seconds,
            })
        })
        .collect();
    json!({
        "event": "run",
        // What chats show.
        "text": subject,
        "fleet": speaker.fleet,
        "host": speaker.host,
        "good": error.is_none() && report.wrong() == 0 && !report.cancelled,
        "wrong": report.wrong(),
        "error": error,
        "jobs": jobs,
        "seconds": report.seconds(),
    })
    .to_string()
}

fn mail(notify: &Notify, subject: &str, text: &str) -> Result<Message> {
    let is_plain = |to: &String| {
        !to.is_empty()
            && !to.starts_with('-')
            && to.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b'<' | b'>'))
    };
    if let Some(bad) = notify.mail.iter().find(|to| !is_plain(to)) {
        return Err(Error::usage(format!("notify.mail: \"{}\" is no mail address", Shown(bad.as_bytes()))));
    }
    // Names in it may hold anything but control characters, which are shown in another way before.
    let subject = if subject.is_ascii() { subject.to_owned() } else { encoded(subject) };
    let text = format!(
        "To: {}\nSubject: {subject}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\n{text}",
        notify.mail.join(", ")
    );
    Ok(Message::Mail { command: notify.mail_command.clone(), text })
}

/// Encoded words of RFC 2047, each short enough for a line.
fn encoded(subject: &str) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in subject.chars() {
        let mut bytes = [0; 4];
        let one: String = c.encode_utf8(&mut bytes).bytes().map(|b| format!("={b:02X}")).collect();
        if word.len() + one.len() > 60 {
            words.push(std::mem::take(&mut word));
        }
        word += &one;
    }
    words.push(word);
    words.iter().map(|word| format!("=?utf-8?Q?{word}?=")).collect::<Vec<_>>().join("\n ")
}
