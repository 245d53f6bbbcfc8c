//! Where lines go: people's to stderr and stdout, programs' as JSON to stdout.

use super::json;
use indicatif::MultiProgress;
use serde_json::Value;
use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What the user wants to see, and where it goes.
pub struct Screen {
    /// Results and events as JSON lines.
    pub json: bool,
    /// Nothing but results that were asked for, and failures.
    pub quiet: bool,
    /// stderr is a terminal.
    pub stderr_terminal: bool,
    /// stdout is a terminal.
    pub stdout_terminal: bool,
    no_color: bool,
    bars: Mutex<Option<MultiProgress>>,
}

impl Screen {
    /// Looks at the terminals and at `NO_COLOR`.
    pub fn new(json: bool, quiet: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen {
            json,
            quiet,
            stderr_terminal: io::stderr().is_terminal(),
            stdout_terminal: io::stdout().is_terminal(),
            no_color,
            bars: Mutex::new(None),
        }
    }

    /// True when stdout takes colours.
    pub fn stdout_colours(&self) -> bool {
        self.stdout_terminal && !self.no_color
    }

    /// True when stderr takes colours.
    pub fn stderr_colours(&self) -> bool {
        self.stderr_terminal && !self.no_color
    }

    fn bars(&self) -> MutexGuard<'_, Option<MultiProgress>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on bars are drawn on the terminal, and lines go above them; `None` ends that.
    pub fn set_bars(&self, bars: Option<MultiProgress>) {
        *self.bars() = bars;
    }

    /// A line for people, to stderr. That nobody reads it any more is no reason to stop.
    pub fn say(&self, text: &str) {
        let _ = match &*self.bars() {
            Some(bars) => bars.println(text),
            None => writeln!(io::stderr(), "{text}"),
        };
    }

    /// Undoes what a terminal did that showed ^C: below bars, whose last line is full, it began a line of which they do
    /// not know.
    pub fn take_back_echo(&self) {
        if self.bars().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[2K\x1b[A\x1b[999C");
        }
    }

    /// A warning for people.
    pub fn warn(&self, text: &str) {
        self.say(&self.labelled("warning", "33", text));
    }

    /// A failure for people.
    pub fn error(&self, text: &str) {
        self.say(&self.labelled("error", "31", text));
    }

    /// Something worth knowing, for people.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(&self.labelled("note", "36", text));
        }
    }

    fn labelled(&self, label: &str, colour: &str, text: &str) -> String {
        if self.stderr_colours() {
            format!("\x1b[1;{colour}m{label}:\x1b[0m {text}")
        } else {
            format!("{label}: {text}")
        }
    }

    /// An event for programs, to stdout. That nobody reads it any more is no reason to stop.
    pub fn event(&self, event: &Value) {
        let _ = json::print(&mut io::stdout().lock(), event);
    }

    /// A line of a result for people, to stdout, unless they want JSON.
    pub fn print(&self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(io::stdout(), "{text}") }
    }
}
