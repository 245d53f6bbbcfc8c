//! Shows a board while an operation runs: bars on a terminal, a line a minute elsewhere, JSON once a second.

use super::{
    board::{Board, Reading, phase_name},
    human, json,
    screen::Screen,
    signals::Interrupts,
};
use crate::{
    model::snapshot::Problem,
    monitor::{Counter, Monitor, Phase},
    name::Shown,
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Between two looks on a terminal: ten a second.
const REDRAW: Duration = Duration::from_millis(100);
const JSON_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(60);
/// Rates are those of so many last seconds.
const WINDOW: Duration = Duration::from_secs(30);
/// No estimate before the rate has been seen for so long.
const ESTIMATE_AFTER: Duration = Duration::from_secs(3);

/// An operation that is being shown; ends when dropped.
pub struct Progress {
    board: Arc<Board>,
    screen: Arc<Screen>,
    interrupts: Arc<Interrupts>,
    shower: Option<Shower>,
}

impl Progress {
    /// Begins to show.
    pub fn start(screen: &Arc<Screen>, interrupts: &Arc<Interrupts>) -> Self {
        let board = Arc::new(Board::new(screen.clone(), interrupts.clone()));
        interrupts.patient.store(true, Ordering::SeqCst);
        let (every, show): (_, Show) = if screen.json {
            let screen = screen.clone();
            (JSON_EVERY, Box::new(move |board, pace| screen.event(&event(board, pace))))
        } else if screen.quiet {
            (LINE_EVERY, Box::new(|_, _| {}))
        } else if screen.stderr_terminal {
            let bars = Bars::new(screen);
            (REDRAW, Box::new(move |board, pace| bars.draw(board, pace)))
        } else {
            let screen = screen.clone();
            (LINE_EVERY, Box::new(move |board, pace| screen.say(&line(&board.read(), pace))))
        };
        let shower = spawn(board.clone(), every, show);
        Progress { board, screen: screen.clone(), interrupts: interrupts.clone(), shower }
    }

    /// What the operation tells.
    pub fn monitor(&self) -> &dyn Monitor {
        &*self.board
    }

    /// Problems are not shown as they occur: the command tells them at its end.
    pub fn hold_problems(&self) {
        self.board.hold_problems();
    }

    /// Ends; the problems that were shown, or held.
    pub fn end(self) -> Vec<String> {
        self.board.take_told()
    }
}

/// Shows the problems that were only counted while the operation ran. Says how many there are, and how many of them are
/// above.
pub fn tell_rest(screen: &Screen, told: &[String], problems: &[Problem], count: u64) -> String {
    let shown: HashSet<&str> = told.iter().map(String::as_str).collect();
    let mut above = told.len() as u64;
    for problem in problems {
        let text = format!("{}: {}", Shown(&problem.path), problem.what);
        if above < count && !shown.contains(text.as_str()) {
            screen.warn(&text);
            above += 1;
        }
    }
    let all = human::counted(count, "problem", "problems");
    if above >= count {
        format!("{all}, listed above")
    } else {
        format!("{all}, {} of them listed above", human::count(above))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.shower.take() {
            drop(stop);
            let _ = thread.join();
        }
        self.screen.set_bars(None);
        self.interrupts.patient.store(false, Ordering::SeqCst);
    }
}

/// Shows the board once.
type Show = Box<dyn FnMut(&Board, &Pace) + Send>;
/// The thread that shows, and what stops it when dropped.
type Shower = (std::sync::mpsc::Sender<()>, JoinHandle<()>);

fn spawn(board: Arc<Board>, every: Duration, mut show: Show) -> Option<Shower> {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let run = move || {
        let mut pace = Pace::new(Instant::now());
        let mut next = Instant::now() + every;
        // Looked at once a second at least, whatever is shown, so that rates are those of the last seconds.
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(every.min(JSON_EVERY)) {
            pace.see(&board.read(), Instant::now());
            if Instant::now() + Duration::from_millis(5) >= next {
                show(&board, &pace);
                next = Instant::now() + every;
            }
        }
    };
    // Without a thread to show it the operation goes on all the same.
    let thread = std::thread::Builder::new().name("progress".into()).spawn(run).ok()?;
    Some((stop, thread))
}

/// How fast it goes: what the leading counter did in the last seconds.
struct Pace {
    begun: Instant,
    seen: VecDeque<(Instant, u64)>,
    of: Option<(Phase, Counter)>,
}

impl Pace {
    fn new(begun: Instant) -> Self {
        Pace { begun, seen: VecDeque::new(), of: None }
    }

    fn see(&mut self, reading: &Reading, now: Instant) {
        let counter = reading.leading();
        if self.of != Some((reading.phase, counter)) {
            self.of = Some((reading.phase, counter));
            self.seen.clear();
        }
        if self.seen.back().is_none_or(|(last, _)| now - *last >= Duration::from_millis(500)) {
            self.seen.push_back((now, reading.count(counter)));
        }
        while self.seen.front().is_some_and(|(first, _)| now - *first > WINDOW) {
            self.seen.pop_front();
        }
    }

    /// Of the leading counter, each second.
    fn rate(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (self.seen.front()?, self.seen.back()?);
        let seconds = (*last - *first).as_secs_f64();
        (seconds >= 1.0).then(|| to.saturating_sub(*from) as f64 / seconds)
    }

    /// What is left at this rate; `None` while that would be a guess.
    fn left(&self, reading: &Reading) -> Option<Duration> {
        let ((first, _), (last, done)) = (self.seen.front()?, self.seen.back()?);
        let total = reading.expected(reading.leading())?;
        let rate = self.rate().filter(|&rate| rate > 0.0)?;
        let seconds = total.checked_sub(*done).filter(|&left| left > 0)? as f64 / rate;
        (*last - *first >= ESTIMATE_AFTER && seconds < 30.0 * 86400.0).then(|| Duration::from_secs_f64(seconds))
    }
}

fn amount(counter: Counter, n: u64) -> String {
    match counter {
        Counter::Objects => human::counted(n, "object", "objects"),
        Counter::Entries => human::counted(n, "entry", "entries"),
        _ => human::bytes(n),
    }
}

/// How far, how fast, how long: of the leading counter.
fn headline(reading: &Reading, pace: &Pace) -> String {
    let counter = reading.leading();
    let mut text = match reading.expected(counter) {
        Some(total) => format!("{} of {}", amount(counter, reading.count(counter)), amount(counter, total)),
        None => amount(counter, reading.count(counter)),
    };
    if let Some(rate) = pace.rate() {
        text.push_str(&format!("  {}/s", amount(counter, rate as u64)));
    }
    if let Some(left) = pace.left(reading) {
        match left.as_secs() {
            // More exact would be a lie.
            0..10 => text.push_str("  seconds left"),
            _ => text.push_str(&format!("  {} left", human::duration(left))),
        }
    }
    text
}

/// What else was counted.
fn details(reading: &Reading) -> String {
    let mut parts = Vec::new();
    for (counter, what) in [
        (Counter::Entries, ""),
        (Counter::Read, " read"),
        (Counter::New, " new"),
        (Counter::Stored, if reading.phase == Phase::Storing { " stored" } else { " transferred" }),
        (Counter::Objects, ""),
    ] {
        if reading.count(counter) > 0 && counter != reading.leading() {
            parts.push(format!("{}{what}", amount(counter, reading.count(counter))));
        }
    }
    if reading.problems > 0 {
        parts.push(human::counted(reading.problems, "problem", "problems"));
    }
    parts.join(", ")
}

fn share(reading: &Reading) -> Option<f64> {
    let counter = reading.leading();
    reading.expected(counter).map(|total| (reading.count(counter) as f64 / total as f64).min(1.0))
}

/// All on one line, for logs.
fn line(reading: &Reading, pace: &Pace) -> String {
    let percent = share(reading).map(|share| format!(" {:.0} %,", share * 100.0)).unwrap_or_default();
    let (headline, details) = (headline(reading, pace), details(reading));
    let comma = if details.is_empty() { "" } else { ", " };
    let after = human::duration(pace.begun.elapsed());
    format!("{} (after {after}):{percent} {headline}{comma}{details}", phase_name(reading.phase))
}

/// All for programs.
fn event(board: &Board, pace: &Pace) -> Value {
    let reading = board.read();
    let mut event = serde_json::Map::new();
    event.insert("event".into(), "progress".into());
    event.insert("phase".into(), phase_name(reading.phase).into());
    event.insert("seconds".into(), json!(pace.begun.elapsed().as_secs()));
    for (counter, name) in [
        (Counter::Entries, "entries"),
        (Counter::Bytes, "bytes"),
        (Counter::Read, "read"),
        (Counter::New, "new"),
        (Counter::Stored, "stored"),
        (Counter::Objects, "objects"),
    ] {
        event.insert(name.into(), reading.count(counter).into());
        if let Some(total) = reading.expected(counter) {
            event.insert(format!("{name}_expected"), total.into());
        }
    }
    if let Some(left) = pace.left(&reading) {
        event.insert("eta_seconds".into(), left.as_secs().into());
    }
    let path = board.take_path();
    if !path.is_empty() {
        json::put_bytes(&mut event, "path", &path);
    }
    Value::Object(event)
}

/// What stands before the lines' contents.
const INDENT: usize = 12;

/// Three lines at the bottom of a terminal: how far, what, where.
struct Bars {
    lines: [ProgressBar; 3],
    colours: bool,
}

impl Bars {
    fn new(screen: &Screen) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let lines = std::array::from_fn(|_| all.add(ProgressBar::no_length().with_style(style.clone())));
        screen.set_bars(Some(all));
        Bars { lines, colours: screen.stderr_colours() }
    }

    fn draw(&self, board: &Board, pace: &Pace) {
        let reading = board.read();
        let width =
            rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col)).max(20);
        let room = width - INDENT - 1;
        let path = human::shorten(&Shown(&board.take_path()).to_string(), room);
        let [first, second, third] = &self.lines;
        first.set_message(first_line(self.colours, &reading, pace, room));
        second.set_message(format!("{:INDENT$}{}", "", human::shorten(&details(&reading), room)));
        third.set_message(format!("{:INDENT$}{path}", ""));
    }
}

fn first_line(colours: bool, reading: &Reading, pace: &Pace, room: usize) -> String {
    const WIDTH: usize = 20;
    const PERCENT: usize = 8;
    let (bold, green, plain) = if colours { ("\x1b[1m", "\x1b[32m", "\x1b[0m") } else { ("", "", "") };
    let headline = headline(reading, pace);
    let needed = headline.chars().count();
    let bar = share(reading).map(|share| {
        let full = (share * WIDTH as f64) as usize;
        let bar = format!("{green}{}{plain}{}", "━".repeat(full), "─".repeat(WIDTH - full));
        // Cut, not rounded: not 100 before all is done.
        let percent = format!(" {:3} %  ", (share * 100.0) as u32);
        // Numbers tell more than a picture: where there is not room for both, the picture goes.
        if needed + PERCENT + WIDTH <= room {
            bar + &percent
        } else if needed + PERCENT <= room {
            percent
        } else {
            String::new()
        }
    });
    let headline = human::shorten(&headline, room);
    format!("{bold}{:<INDENT$}{plain}{}{headline}", phase_name(reading.phase), bar.unwrap_or_default())
}

impl Drop for Bars {
    fn drop(&mut self) {
        for line in &self.lines {
            line.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let board = Board::new(Arc::new(Screen::new(false, true)), Arc::default());
        board.phase(Phase::Storing);
        board
    }

    #[test]
    fn what_is_left_follows_from_the_last_seconds() {
        let (board, begun) = (board(), Instant::now());
        let mut pace = Pace::new(begun);
        board.expect(Counter::Bytes, 100 << 20);
        for second in 0..=10 {
            pace.see(&board.read(), begun + Duration::from_secs(second));
            assert_eq!(pace.left(&board.read()).is_some(), second >= 3, "{second}");
            board.add(Counter::Bytes, 1 << 20);
        }
        assert_eq!(pace.rate(), Some((1 << 20) as f64));
        assert_eq!(pace.left(&board.read()), Some(Duration::from_secs(90)));
        assert!(headline(&board.read(), &pace).ends_with("1.00 MiB/s  1m 30s left"));
    }

    #[test]
    fn a_new_phase_has_a_rate_of_its_own() {
        let (board, begun) = (board(), Instant::now());
        let mut pace = Pace::new(begun);
        board.add(Counter::Bytes, 1 << 30);
        pace.see(&board.read(), begun);
        pace.see(&board.read(), begun + Duration::from_secs(5));
        assert!(pace.rate().is_some());
        board.phase(Phase::Publishing);
        pace.see(&board.read(), begun + Duration::from_secs(6));
        assert_eq!(pace.rate(), None);
    }

    #[test]
    fn numbers_are_not_cut() {
        let board = board();
        board.expect(Counter::Bytes, 4 << 20);
        board.add(Counter::Bytes, 1 << 20);
        let pace = Pace::new(Instant::now());
        let line = |room| first_line(false, &board.read(), &pace, room);
        assert_eq!(line(60), "storing     ━━━━━───────────────  25 %  1.00 MiB of 4.00 MiB");
        assert_eq!(line(40), "storing       25 %  1.00 MiB of 4.00 MiB");
        assert_eq!(line(20), "storing     1.00 MiB of 4.00 MiB");
        assert_eq!(line(10), "storing     1.0…00 MiB");
    }

    #[test]
    fn problems_that_were_only_counted_are_told() {
        let problem = |i: usize| Problem { path: format!("p{i}").into_bytes(), what: "bad".into() };
        let problems: Vec<Problem> = (0..5).map(problem).collect();
        let told: Vec<String> = (0..2).map(|i| format!("p{i}: bad")).collect();
        let screen = Screen::new(false, true);
        assert_eq!(tell_rest(&screen, &told, &problems, 5), "5 problems, listed above");
        assert_eq!(tell_rest(&screen, &told, &problems, 9), "9 problems, 5 of them listed above");
    }

    #[test]
    fn a_line_says_it_all() {
        let board = board();
        board.expect(Counter::Bytes, 4 << 20);
        for (counter, n) in [(Counter::Bytes, 1 << 20), (Counter::Entries, 1234), (Counter::New, 2048)] {
            board.add(counter, n);
        }
        let pace = Pace::new(Instant::now());
        let expected = "storing (after 0.0 s): 25 %, 1.00 MiB of 4.00 MiB, 1 234 entries, 2.00 KiB new";
        assert_eq!(line(&board.read(), &pace), expected);
        let event = event(&board, &pace);
        assert_eq!((&event["bytes_expected"], &event["entries"]), (&json!(4 << 20), &json!(1234)));
    }
}
