//! Mailboxes as files. A delivery appends to one: what it held at first is good, and the mail that is being delivered is still with
//! whoever delivers it.

use super::{
    Directions, Finding, Key, Plan, Recipe, Restored,
    common::{self, ROOT},
    files, lines,
};
use crate::{error::Result, fleet::app::App, monitor::Monitor};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

const KEYS: &[Key] = &[ROOT];
const LEFT_OUT: &[&str] = &["*.lock", "dovecot.index*", "*.imap/", ".imap/"];
/// Longest part of a line that is looked at.
const LINE: u64 = 64 << 10;

pub struct Mbox;

impl Recipe for Mbox {
    fn name(&self) -> &str {
        "mbox"
    }

    fn about(&self) -> &str {
        "mailboxes as files (mbox)"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&["root as source mail; a mailbox that grows meanwhile, as it was at first"]),
            leaves_out: lines(&["locks, indexes of Dovecot, which are made again"]),
            dumps: Vec::new(),
            restores: lines(&["the mailboxes as they were"]),
            verifies: lines(&["the number of mails: at least what was there when the snapshot began"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        let mails = count(&root)?;
        let mut plan = Plan::default();
        plan.facts.insert("mails".into(), mails.to_string());
        plan.notes.push(format!("{mails} mails"));
        plan.trees.push(super::Tree { grows: true, ..common::tree("mail", root, LEFT_OUT)? });
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        Ok(vec![common::at_least("mails", count(&restored.folder.join("mail"))?, restored, "mails")])
    }
}

/// Mails in all files that begin as a mailbox does.
fn count(root: &Path) -> Result<u64> {
    let mut mails = 0;
    for folder in files::find_folders(root, true, |_| true)? {
        for path in files::entries(&folder).into_iter().filter(|path| files::is_plain_file(path)) {
            mails += File::open(&path)
                .and_then(|file| mails_in(BufReader::with_capacity(LINE as usize, file)))
                .map_err(|e| files::failed("read", &path, &e))?;
        }
    }
    Ok(mails)
}

/// Lines that begin with `From ` at the start, and after an empty one.
fn mails_in(mut file: impl BufRead) -> std::io::Result<u64> {
    let (mut mails, mut line, mut after_empty, mut begins) = (0, Vec::new(), true, true);
    loop {
        line.clear();
        if (&mut file).take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(mails);
        }
        if begins && after_empty && line.starts_with(b"From ") {
            mails += 1;
        } else if mails == 0 {
            return Ok(0);
        }
        after_empty = begins && matches!(line.as_slice(), b"\n" | b"\r\n");
        begins = line.ends_with(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_begin_after_an_empty_line() {
        let text = b"From a\nX: y\n\ntext\nFrom here on\n\nFrom b\n\nx\n";
        assert_eq!(mails_in(&text[..]).unwrap(), 2);
        assert_eq!(mails_in(&b"no mailbox\n\nFrom x\n"[..]).unwrap(), 0);
    }
}
