//! Numbers, sizes, times and tables for people.

use crate::error::Error;
use jiff::{Timestamp, tz::TimeZone};
use std::{
    io::{self, Write},
    time::Duration,
};

/// A size in bytes: `999 B`, `1.25 KiB`, `34.5 MiB`, `120 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // 1023.6 KiB would be printed with four digits.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A count with its thousands apart: `78 579`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `78 579 files`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A span of time: `0.4 s`, `12 s`, `2m 10s`, `1h 02m`, `3d 04h`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// A time where the user is: `2026-03-02 04:05:06`.
pub fn local_time(sec: i64) -> String {
    time_in(sec, TimeZone::system())
}

/// A point in time, local, as an address takes it for a version and as a name in a mount: `2026-03-02T04:05:06`.
pub fn version_time(sec: i64) -> String {
    local_time(sec).replace(' ', "T")
}

fn time_in(sec: i64, zone: TimeZone) -> String {
    match Timestamp::from_second(sec) {
        Ok(time) => time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("@{sec}"),
    }
}

/// An error about an object, which most errors name themselves.
pub fn about(object: &str, error: &Error) -> String {
    let error = error.to_string();
    if error.contains(object) { error } else { format!("{object}: {error}") }
}

/// The middle cut out of a text that has more than `width` characters.
pub fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let Some(kept) = width.checked_sub(1) else { return String::new() };
    let head = kept / 3;
    let front = text.chars().take(head);
    let back = text.chars().skip(length - (kept - head));
    front.chain(['…']).chain(back).collect()
}

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows in aligned columns. The cells are safe to print already.
pub struct Table {
    head: Vec<(String, Align)>,
    rows: Vec<Row>,
}

enum Row {
    Cells(Vec<String>),
    /// A line that has nothing to do with the columns.
    Text(String),
}

impl Table {
    /// An empty table.
    pub fn new(head: &[(&str, Align)]) -> Self {
        Table { head: head.iter().map(|(title, align)| ((*title).to_owned(), *align)).collect(), rows: Vec::new() }
    }

    /// Appends a row.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(Row::Cells(cells));
    }

    /// Appends a line of its own, about the row before it.
    pub fn text(&mut self, line: String) {
        self.rows.push(Row::Text(line));
    }

    /// Prints head and rows; the head in bold where there are colours.
    pub fn print(&self, out: &mut dyn Write, colours: bool) -> io::Result<()> {
        let head: Vec<String> = self.head.iter().map(|(title, _)| title.clone()).collect();
        let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            if let Row::Cells(cells) = row {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
        }
        let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        writeln!(out, "{bold}{}{plain}", self.line(&head, &widths))?;
        for row in &self.rows {
            match row {
                Row::Cells(cells) => writeln!(out, "{}", self.line(cells, &widths))?,
                Row::Text(line) => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, &width), (_, align)) in cells.iter().zip(widths).zip(&self.head) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            match align {
                Align::Left => line.push_str(&format!("{cell:<width$}")),
                Align::Right => line.push_str(&format!("{cell:>width$}")),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Facts, one a line, their values aligned.
pub fn print_facts(out: &mut dyn Write, facts: &[(&str, String)]) -> io::Result<()> {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in facts {
        writeln!(out, "  {name:<width$}  {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1280, "1.25 KiB"),
            (34 << 20, "34.0 MiB"),
            (1023 << 10, "1.00 MiB"),
            (120 << 30, "120 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1234567, "1 234 567")] {
            assert_eq!(count(n), text);
        }
        assert_eq!(counted(1, "file", "files"), "1 file");
    }

    #[test]
    fn spans_have_two_units() {
        for (ms, text) in [(420, "0.4 s"), (12_900, "12 s"), (130_000, "2m 10s"), (3_720_000, "1h 02m")] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
        assert_eq!(duration(Duration::from_secs(3 * 86400 + 4 * 3600)), "3d 04h");
    }

    #[test]
    fn times_that_no_calendar_has_are_shown_all_the_same() {
        assert_eq!(time_in(1772424306, TimeZone::UTC), "2026-03-02 04:05:06");
        assert_eq!(time_in(i64::MAX, TimeZone::UTC), format!("@{}", i64::MAX));
    }

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("srv/www/shop/image.jpg", 13), "srv/…mage.jpg");
        assert_eq!(shorten("äöü", 2), "…ü");
        assert_eq!(shorten("abc", 0), "");
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right), ("TAGS", Align::Left)]);
        table.row(vec!["ä".into(), "5 B".into(), String::new()]);
        table.text("  a line may be longer than all columns".into());
        table.row(vec!["longer".into(), "1 234 B".into(), "x".into()]);
        let mut out = Vec::new();
        table.print(&mut out, false).unwrap();
        let expected =
            "NAME       SIZE  TAGS\nä           5 B\n  a line may be longer than all columns\nlonger  1 234 B  x\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
