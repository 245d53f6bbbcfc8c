//! `vault guide`: one page a task, in the program itself, since on the worst day there is no network to read it from.
//!
//! `tests/guide.rs` runs what stands in their `sh` blocks.

use super::{
    exit::{Done, Failure},
    session::Session,
};
use crate::{error::Error, name::Shown};
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use std::{
    io::{self, IsTerminal, Write},
    process::{Command, Stdio},
};

const EXAMPLES: &str = "\
Examples:
  vault guide                  which pages are there?
  vault guide disaster         all is lost but a disk and the recovery sheet
  vault guide pull | less      plain text, Markdown";

/// A page's name and its text.
const PAGES: [(&str, &str); 8] = [
    ("first-night", include_str!("first-night.md")),
    ("restore-a-file", include_str!("restore-a-file.md")),
    ("restore-an-app", include_str!("restore-an-app.md")),
    ("disaster", include_str!("disaster.md")),
    ("drill", include_str!("drill.md")),
    ("offsite", include_str!("offsite.md")),
    ("pull", include_str!("pull.md")),
    ("move-an-app", include_str!("move-an-app.md")),
];

/// Read how a task is done, step by step
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The page [default: their list]
    #[arg(value_parser = PossibleValuesParser::new(PAGES.map(|(name, _)| name)), hide_possible_values = true)]
    page: Option<String>,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let Some(wanted) = args.page else {
        let mut out = io::stdout().lock();
        for (name, text) in PAGES {
            writeln!(out, "{name:<16}{}", title(text))?;
        }
        return Ok(Done::good(Value::Null));
    };
    let page = PAGES.iter().find(|(name, _)| *name == wanted);
    let (_, text) = page.ok_or_else(|| Error::usage(format!("there is no page {}", Shown(wanted.as_bytes()))))?;
    if !(io::stdout().is_terminal() && !session.screen.json && paged(text)) {
        io::stdout().write_all(text.as_bytes())?;
    }
    Ok(Done::good(Value::Null))
}

fn title(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_start_matches("# ")
}

/// Shows it by the user's pager; false when there is none.
fn paged(text: &str) -> bool {
    let pager = std::env::var_os("PAGER").filter(|pager| !pager.is_empty()).unwrap_or_else(|| "less".into());
    let spawned = Command::new("/bin/sh").arg("-c").arg(pager).env("LESS", "FRX").stdin(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else { return false };
    if let Some(mut to) = child.stdin.take() {
        // Who has read enough leaves.
        let _ = to.write_all(text.as_bytes());
    }
    child.wait().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_title_and_something_to_do() {
        for (name, text) in PAGES {
            assert!(text.starts_with("# ") && text.contains("\n```sh\n") && text.contains("\nvault "), "{name}");
            assert!(text.lines().all(|line| line.len() <= 150), "{name}");
        }
    }
}
