//! `vault browse`
//!
//! ```text
//! terminal ─▶ key ─▶ state (what is shown, what is to be done) ─▶ library (a repository) ─▶ state ─▶ view ─▶ terminal
//! ```

mod library;
mod state;
#[cfg(test)]
mod tests;
mod view;

use super::{
    exit::{Done, Failure},
    session::Session,
};
use crate::{error::Error, fs::target::Identity, monitor::Monitor, repo::BlobReader};
use library::Shelves;
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        event, execute,
        terminal::{EnterAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use serde_json::json;
use state::{Browser, Key};
use std::{
    io,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault browse
  vault browse alpha/web1                   only series under this one";

/// Look around in the repository, on the terminal
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only series under this one: server, server/vm, server/vm/relpath
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
}

/// How long to wait for a key before looking whether the program is to end.
const PATIENCE: Duration = Duration::from_millis(500);

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    if session.screen.json || !session.screen.stdout_terminal {
        return Err(Error::usage("this needs a terminal; `vault ls`, `vault find` and `vault log` do without").into());
    }
    let repo = session.open()?;
    session.accept_rollback(&repo, None)?;
    let rollbacks = repo.look(None, false)?;
    let mut all = repo.snapshots(None)?;
    for (object, error) in &all.unreadable {
        session.screen.warn(&super::human::about(object, error));
    }
    session.tell_rollbacks(&rollbacks);
    let is_wanted = |series: &str| crate::series::Series::parse(series).is_ok_and(|one| one.is_under(&args.prefix));
    all.listed.retain(|listed| is_wanted(&listed.snapshot.series));
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    let protect = session.repository_identity().map(|(device, inode)| Identity { device, inode });
    let ends = Ends::new(session.interrupts.clone());
    let mut browser = Browser::new(Shelves::new(&reader, all.listed, protect, &ends));
    let shown = FullScreen::enter(session).and_then(|screen| show(&mut browser, &ends, session, screen));
    shown?;
    Ok(Done::unless(!all.unreadable.is_empty(), json!({})).unless_rolled_back(&rollbacks))
}

/// Work in the browser ends when the program is asked to, and by a key: the terminal is in raw mode, where no key is a signal.
struct Ends {
    interrupts: Arc<super::signals::Interrupts>,
    keys: Mutex<Keys>,
}

/// What was typed while it works.
struct Keys {
    looked: Instant,
    stop: bool,
}

/// How often the terminal is asked.
const LOOK: Duration = Duration::from_millis(100);

impl Ends {
    fn new(interrupts: Arc<super::signals::Interrupts>) -> Self {
        Ends { interrupts, keys: Mutex::new(Keys { looked: Instant::now(), stop: false }) }
    }

    /// Other work begins.
    fn begin(&self) {
        if let Ok(mut keys) = self.keys.lock() {
            *keys = Keys { looked: Instant::now(), stop: false };
        }
    }
}

impl Keys {
    /// Reads what was typed since. Other keys than those that stop are of no meaning meanwhile.
    fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        while event::poll(Duration::ZERO)? {
            self.stop |= matches!(view::key(&event::read()?), Some(Key::Escape | Key::Interrupt));
        }
        Ok(())
    }
}

impl Monitor for Ends {
    fn cancelled(&self) -> bool {
        if self.interrupts.stop.load(Ordering::Relaxed) {
            return true;
        }
        // Who does not get in asks again soon.
        let Ok(mut keys) = self.keys.try_lock() else { return false };
        // A terminal that is gone ends the program elsewhere.
        if !keys.stop && keys.looked.elapsed() >= LOOK {
            let _ = keys.look();
        }
        keys.stop
    }
}

fn show(browser: &mut Browser<Shelves<'_>>, ends: &Ends, session: &Session, _screen: FullScreen<'_>) -> io::Result<()> {
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let colours = session.screen.stdout_colours();
    while !browser.done {
        // Only what differs from what is there goes to the terminal, and nothing while nothing happens.
        terminal.draw(|frame| view::draw(browser, colours, frame))?;
        if browser.work.is_some() {
            ends.begin();
            browser.run();
            continue;
        }
        while !event::poll(PATIENCE)? {}
        let event = event::read()?;
        if let Some(key) = view::key(&event) {
            browser.key(key);
        }
    }
    Ok(())
}

/// The whole terminal, given back when it is dropped: also by a panic, and by a signal.
struct FullScreen<'s>(&'s Session);

impl<'s> FullScreen<'s> {
    fn enter(session: &'s Session) -> io::Result<Self> {
        session.interrupts.take_terminal();
        let screen = FullScreen(session);
        let (interrupts, before) = (session.interrupts.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            interrupts.give_back_terminal();
            before(panic);
        }));
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }
}

impl Drop for FullScreen<'_> {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
        self.0.interrupts.give_back_terminal();
    }
}
