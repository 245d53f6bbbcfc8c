//! An entry as a line, and back.

use super::{Entry, Outcome};
use crate::{id::SnapshotId, name::cut_text};
use jiff::Timestamp;
use std::fmt;

/// Longest line that is read, in bytes.
pub const LINE_MAX: usize = 64 << 10;
/// Longest reason that is written, in bytes.
const WHY_MAX: usize = 4096;

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Timestamp::from_second(self.time).unwrap_or_default();
        write!(f, "time={time} series={} outcome={}", value(&self.series), self.outcome.word())?;
        if let Some(id) = &self.snapshot {
            write!(f, " snapshot={id}")?;
        }
        let mb = self.bytes as f64 / 1e6;
        write!(
            f,
            " files={} mb={mb:.1} bytes={} new={} stored={} seconds={:.1} problems={}",
            self.files, self.bytes, self.new, self.stored, self.seconds, self.problems
        )?;
        match self.why.is_empty() {
            true => Ok(()),
            false => write!(f, " why={}", value(cut_text(&self.why, WHY_MAX))),
        }
    }
}

/// A value, in quotes where it needs them. Control characters become blanks: a line stays a line.
fn value(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\\' | '=');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The pairs of a line; `None` when it is none.
fn pairs(line: &str) -> Option<Vec<(&str, String)>> {
    let mut rest = line.trim();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '"') {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                let (value, after) = after.split_at_checked(end)?;
                (value.to_owned(), after)
            }
        };
        if !after.is_empty() && !after.starts_with(char::is_whitespace) {
            return None;
        }
        out.push((key, value));
        rest = after.trim_start();
    }
    Some(out)
}

/// What stands before the closing quote, and what behind.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, text.get(at + 1..)?)),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}

/// Reads a line. `None` for one that is none: a file may end in the middle of one, and people write into files.
pub fn parse(line: &str) -> Option<Entry> {
    if line.len() > LINE_MAX {
        return None;
    }
    let pairs = pairs(line)?;
    let find = |key: &str| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str());
    let number = |key: &str| find(key).map_or(Some(0), |value| value.parse::<u64>().ok());
    let snapshot = match find("snapshot") {
        Some(id) => Some(SnapshotId::parse(id).ok()?),
        None => None,
    };
    let seconds = find("seconds").map_or(Some(0.0), |value| value.parse::<f64>().ok())?;
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    Some(Entry {
        time: find("time")?.parse::<Timestamp>().ok()?.as_second(),
        series: find("series")?.to_owned(),
        outcome: Outcome::parse(find("outcome")?)?,
        snapshot,
        files: number("files")?,
        bytes: number("bytes")?,
        new: number("new")?,
        stored: number("stored")?,
        seconds,
        problems: number("problems")?,
        why: find("why").unwrap_or_default().to_owned(),
    })
}
