//! The files of a history.

use super::{Entry, LINE_MAX, parse};
use crate::error::{Error, Result};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Longest name of a series within a file's name, in bytes; with `backup-` and the day it fits a file's name.
const NAME_MAX: usize = 180;
/// Longest file that is read, in bytes: some hundred thousand runs a day.
const FILE_MAX: u64 = 64 << 20;

/// What a file tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Backups.
    Backup,
    /// Restores for a test.
    Drill,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Backup => "backup",
            Kind::Drill => "drill",
        }
    }
}

/// A series as a part of a file's name.
fn escaped(series: &str) -> String {
    let mut out = String::new();
    for byte in series.bytes() {
        match byte {
            b'/' => out.push('+'),
            b if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_') => out.push(b.into()),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    if out.len() > NAME_MAX {
        let hash = blake3::hash(series.as_bytes()).to_hex();
        // It is ASCII.
        out.truncate(NAME_MAX - 17);
        out.push('%');
        out.push_str(hash.get(..16).unwrap_or_default());
    }
    out
}

/// The series that a file is of; `None` for other files, and for names that were cut.
pub fn series_of(name: &str) -> Option<String> {
    let name = name.strip_prefix("backup-").or_else(|| name.strip_prefix("drill-"))?;
    let (name, day) = name.rsplit_once('-')?;
    if day.len() != 8 || !day.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b'/',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The name of the file that holds what was done for a series at a time.
pub fn file_name(kind: Kind, series: &str, time: i64, zone: &TimeZone) -> String {
    let day = Timestamp::from_second(time).unwrap_or_default().to_zoned(zone.clone()).strftime("%Y%m%d").to_string();
    format!("{}-{}-{day}", kind.word(), escaped(series))
}

/// Adds a line. It is durable when this returns.
pub fn append(folder: &Path, kind: Kind, entry: &Entry, zone: &TimeZone) -> Result<()> {
    let path = folder.join(file_name(kind, &entry.series, entry.time, zone));
    let failed = |e| Error::store("write", path.display(), e);
    fs::create_dir_all(folder).map_err(failed)?;
    let write = || {
        let mut file = File::options().append(true).read(true).create(true).mode(0o644).open(&path)?;
        // Of a line that a crash has cut the next is none.
        let text = match ends_a_line(&path)? {
            true => format!("{entry}\n"),
            false => format!("\n{entry}\n"),
        };
        file.write_all(text.as_bytes())?;
        file.sync_data()
    };
    write().map_err(failed)
}

fn ends_a_line(path: &Path) -> io::Result<bool> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// What was done for the series that are `wanted`, since a time; oldest first. Lines that are none are passed over.
pub fn read(folder: &Path, kind: Kind, since: i64, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Entry>> {
    let failed = |path: &Path, e| Error::store("read", path.display(), e);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(folder, e)),
    };
    // A day of slack on either side for time zones.
    let first = Timestamp::from_second(since.saturating_sub(2 * 86400)).unwrap_or(Timestamp::MIN);
    let first = first.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
    let mut out = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| failed(folder, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let of_kind = name.strip_prefix(kind.word()).is_some_and(|rest| rest.starts_with('-'));
        let day = name.rsplit_once('-').map_or("", |(_, day)| day);
        let cut = name.len() >= NAME_MAX;
        if !of_kind || day < first.as_str() || !(cut || series_of(name).is_some_and(|series| wanted(&series))) {
            continue;
        }
        let file = File::open(&path).map_err(|e| failed(&path, e))?;
        lines(BufReader::new(file.take(FILE_MAX)), &mut |line| {
            out.extend(parse(line).filter(|entry| entry.time >= since && wanted(&entry.series)));
        })
        .map_err(|e| failed(&path, e))?;
    }
    out.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.series.cmp(&b.series)));
    Ok(out)
}

/// Each line that is not too long, and is text.
fn lines(mut from: impl BufRead, each: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut from).take(LINE_MAX as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if let Ok(text) = std::str::from_utf8(&line) {
            each(text);
        }
    }
}
