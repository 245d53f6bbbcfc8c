//! Keeps a dump from running commands. `psql` obeys `\! COMMAND` in what it reads, as whoever runs it, and a snapshot holds what its
//! writer put there. In its restricted mode it obeys nothing but the end of that mode, which takes a key: ours, which is random, in
//! the place of the one in the dump.

use std::io::{self, Write};

/// The dump's own key stands in this part of it, in bytes.
const HEAD: usize = 8192;
/// And its end in this part.
const TAIL: usize = 512;

/// Passes a dump on without the lines that begin and end its own restricted mode.
pub(super) struct Restricted<'a> {
    out: &'a mut dyn Write,
    /// What is held back: the beginning, then always the end.
    held: Vec<u8>,
    begun: bool,
}

impl<'a> Restricted<'a> {
    /// Begins the mode.
    pub fn begin(out: &'a mut dyn Write, key: &str) -> io::Result<Self> {
        writeln!(out, "\\restrict {key}")?;
        Ok(Restricted { out, held: Vec::new(), begun: false })
    }

    /// Writes what is left, and ends the mode.
    pub fn end(mut self, key: &str) -> io::Result<()> {
        if !self.begun {
            without_line(&mut self.held, b"\\restrict ", true);
        }
        without_line(&mut self.held, b"\\unrestrict ", false);
        self.out.write_all(&self.held)?;
        writeln!(self.out, "\n\\unrestrict {key}")
    }
}

impl Write for Restricted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if !self.begun && self.held.len() >= HEAD {
            without_line(&mut self.held, b"\\restrict ", true);
            self.begun = true;
        }
        if self.begun {
            let ready = self.held.len().saturating_sub(TAIL);
            self.out.write_all(self.held.get(..ready).unwrap_or_default())?;
            self.held.drain(..ready);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Takes the first line that begins so, or the last one when nothing but blanks follows it.
fn without_line(held: &mut Vec<u8>, begins: &[u8], first: bool) {
    let at_start = |at: &usize| *at == 0 || held.get(at - 1) == Some(&b'\n');
    let mut found = held.windows(begins.len()).enumerate().filter(|(_, window)| *window == begins).map(|(at, _)| at);
    let at = if first { found.find(at_start) } else { found.rfind(at_start) };
    let Some(at) = at else { return };
    let end = held.iter().skip(at).position(|&b| b == b'\n').map_or(held.len(), |len| at + len + 1);
    let is_last = held.get(end..).unwrap_or_default().trim_ascii().is_empty();
    if first || is_last {
        held.drain(at..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(dump: &str, step: usize) -> String {
        let mut out = Vec::new();
        let mut filter = Restricted::begin(&mut out, "ours").unwrap();
        dump.as_bytes().chunks(step).for_each(|part| filter.write_all(part).unwrap());
        filter.end("ours").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_our_key_is_left() {
        let data = "a\\N\tb\n".repeat(5000);
        for middle in ["", &data] {
            let dump = format!("--\n\n\\restrict vault\n\nCOPY x;\n{middle}\\.\n--\n\n\\unrestrict vault\n\n");
            for step in [1, 100, 1 << 20] {
                let want = format!("\\restrict ours\n--\n\n\nCOPY x;\n{middle}\\.\n--\n\n\n\n\\unrestrict ours\n");
                assert!(through(&dump, step) == want, "{step}");
            }
        }
    }

    #[test]
    fn what_is_no_end_stays() {
        let hostile = "SELECT 1;\n\\unrestrict vault\n\\! id\n";
        assert_eq!(through(hostile, 7), format!("\\restrict ours\n{hostile}\n\\unrestrict ours\n"));
    }
}
