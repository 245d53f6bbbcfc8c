//! Ctrl-C, SIGTERM, SIGHUP: once asks an operation to come to a good end, twice stops at once.

use super::{exit::CANCELLED, screen::Screen};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What the signals found the program doing.
#[derive(Default)]
pub struct Interrupts {
    /// The user asked to stop.
    pub stop: AtomicBool,
    /// An operation is under way that looks at `stop`.
    pub patient: AtomicBool,
    /// The terminal as it was before a passphrase is asked for: given back before the program ends.
    terminal: Mutex<Option<(File, Termios)>>,
    /// All of the terminal is drawn on.
    full_screen: AtomicBool,
}

/// Leaves the alternate screen and shows the cursor.
const PLAIN_SCREEN: &[u8] = b"\x1b[?1049l\x1b[?25h";

impl Interrupts {
    /// Listens from now on, in a thread of its own.
    pub fn listen(screen: Arc<Screen>) -> io::Result<Arc<Self>> {
        let interrupts = Arc::new(Interrupts::default());
        // A signal that the caller has ignored (nohup, jobs in the background of a script) stays ignored.
        let ignored = ignored();
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let mut signals = Signals::new(wanted)?;
        let heard = interrupts.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                if !heard.patient.load(Ordering::SeqCst) || heard.stop.swap(true, Ordering::SeqCst) {
                    heard.restore_terminal();
                    std::process::exit(CANCELLED.into());
                }
                if signal == SIGINT {
                    screen.take_back_echo();
                }
                screen.say("finishing what is open; again to stop at once");
            }
        })?;
        Ok(interrupts)
    }

    fn terminal(&self) -> MutexGuard<'_, Option<(File, Termios)>> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `ask`, during which the terminal does not show what is typed.
    pub fn guarding_terminal<T>(&self, ask: impl FnOnce() -> T) -> T {
        let saved = File::open("/dev/tty").ok().and_then(|tty| tcgetattr(&tty).ok().map(|state| (tty, state)));
        *self.terminal() = saved;
        let answer = ask();
        *self.terminal() = None;
        answer
    }

    /// Remembers what the terminal is like, since all of it is about to be drawn on.
    pub fn take_terminal(&self) {
        let saved = File::open("/dev/tty").ok().and_then(|tty| tcgetattr(&tty).ok().map(|state| (tty, state)));
        *self.terminal() = saved;
        self.full_screen.store(true, Ordering::SeqCst);
    }

    /// Makes the terminal what it was then.
    pub fn give_back_terminal(&self) {
        self.restore_terminal();
        *self.terminal() = None;
    }

    fn restore_terminal(&self) {
        if self.full_screen.swap(false, Ordering::SeqCst) {
            let _ = io::stdout().write_all(PLAIN_SCREEN).and_then(|()| io::stdout().flush());
        }
        if let Some((tty, state)) = &*self.terminal() {
            let _ = tcsetattr(tty, OptionalActions::Now, state);
        }
    }
}

/// The signals that this process was started to ignore: bit `n - 1` for signal `n`.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
