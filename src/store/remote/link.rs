//! One connection: requests go out from any thread, one thread takes the answers in and gives each to who waits for it.
//!
//! A server that is hostile can lie, and stop. It cannot make this side hold more than was asked for, nor more than
//! [`LIST_MAX`] entries: what was not asked for ends the link.

use super::{
    program::Program,
    wire::{self, Answer, Fault, GREETING_LEN, Request, VERSION},
};
use crate::store::lock;
use std::{
    collections::HashMap,
    io::{self, Read, Write},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

/// Most objects that one listing may tell of: some 400 MB here. At 64 MiB a pack that is 128 TiB.
pub const LIST_MAX: usize = 2_000_000;
/// How often who waits looks whether the user wants to stop.
const TICK: Duration = Duration::from_millis(200);
/// A link on which nothing comes for so long, although something was asked, is dead. A cold disk may take minutes to list folders.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// True once the user wants to stop.
pub type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

/// Why there is no link, or none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// It broke: the next may hold.
    Lost(String),
    /// It will not work like this.
    Unable(String),
    /// There is no repository at the other end.
    NoRepository(String),
    /// The other side does not keep to the protocol.
    Wrong(String),
    /// The user wants to stop.
    Cancelled,
}

/// A connection.
pub struct Link {
    output: Mutex<Box<dyn Write + Send>>,
    shared: Arc<Shared>,
    program: Option<Arc<Program>>,
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: HashMap<u32, Waiting>,
    next: u32,
    over: Option<Over>,
    /// Frames that came.
    heard: u64,
}

/// A request that is not answered in full.
struct Waiting {
    request: Request,
    answers: Sender<Answer>,
    /// Entries that came.
    entries: usize,
}

/// A request on its way. Who drops it does not want the answer any more.
pub struct Ticket {
    shared: Arc<Shared>,
    answers: Receiver<Answer>,
    program: Option<Arc<Program>>,
}

impl Link {
    /// Greets the other side over what is open, and asks whether it serves. `program` is what keeps it open, if something has to.
    pub fn open(
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
        program: Option<Program>,
        stop: &Stop,
    ) -> Result<Self, Over> {
        let program = program.map(Arc::new);
        let shared = Arc::new(Shared::default());
        // Of the server's first word.
        let (answers, first) = channel();
        let waiting = Waiting { request: Request::Stat { name: never() }, answers, entries: 0 };
        lock(&shared.0).waiting.insert(0, waiting);
        lock(&shared.0).next = 1;
        let (of_thread, of_program) = (shared.clone(), program.clone());
        let listening = move || of_thread.listen(input, of_program.as_deref());
        if let Err(e) = thread::Builder::new().name("link".into()).spawn(listening) {
            return Err(Over::Unable(format!("no thread can be started: {e}")));
        }
        let link = Link { output: Mutex::new(Box::new(output)), shared, program };
        link.write(&wire::greeting());
        let ticket = Ticket { shared: link.shared.clone(), answers: first, program: link.program.clone() };
        match ticket.wait(stop)? {
            Answer::End => Ok(link),
            Answer::Failed { fault: Fault::NoRepository, text } => Err(Over::NoRepository(text)),
            Answer::Failed { text, .. } => Err(Over::Unable(text)),
            _ => Err(Over::Wrong("it answers before it was asked".into())),
        }
    }

    /// Sends a request.
    pub fn ask(&self, request: Request) -> Ticket {
        let (answers, receiver) = channel();
        let id = {
            let state = &mut *lock(&self.shared.0);
            let id = state.next;
            // After four thousand million requests the numbers begin anew; those of then have long been answered.
            state.next = state.next.wrapping_add(1);
            // Who sends nothing any more is told when it waits: the other end of `answers` is gone.
            if state.over.is_none() {
                state.waiting.insert(id, Waiting { request: request.clone(), answers, entries: 0 });
            }
            id
        };
        let mut frame = Vec::new();
        // Into memory it does not fail.
        let _ = request.write(&mut frame, id);
        self.write(&frame);
        Ticket { shared: self.shared.clone(), answers: receiver, program: self.program.clone() }
    }

    /// True when no request will be answered any more.
    pub fn is_over(&self) -> bool {
        lock(&self.shared.0).over.is_some()
    }

    // A failure is told to who waits for an answer, by the thread that listens if it knows more.
    fn write(&self, frame: &[u8]) {
        let mut output = lock(&self.output);
        let written = output.write_all(frame).and_then(|()| output.flush());
        match (&self.program, written) {
            // That the program ended comes to the listening thread.
            (Some(_), _) | (None, Ok(())) => {}
            (None, Err(e)) => self.shared.end(Over::Lost(e.to_string())),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.end(Over::Lost("it is closed".into()));
        if let Some(program) = &self.program {
            program.kill();
        }
    }
}

/// No object: the place of a name in a request that is never sent.
fn never() -> crate::store::ObjectName {
    crate::store::ObjectName::of_parts(&["-"])
}

impl Shared {
    /// The first reason stays.
    fn end(&self, over: Over) {
        let state = &mut *lock(&self.0);
        state.over.get_or_insert(over);
        state.waiting.clear();
    }

    fn listen(&self, mut input: impl Read, program: Option<&Program>) {
        let over = match greet(&mut input) {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Over::Unable(e.to_string()),
            // What it said instead tells more.
            Err(e) => match program {
                Some(program) => program.why_it_does_not_serve(),
                None => Over::Lost(e.to_string()),
            },
            Ok(()) => match self.take_in(&mut input) {
                Err(e) if e.kind() == io::ErrorKind::InvalidData => Over::Wrong(e.to_string()),
                Err(e) => Over::Lost(program.map_or_else(|| e.to_string(), Program::why_it_ended)),
                Ok(()) => Over::Lost(program.map_or_else(|| "it was closed".into(), Program::why_it_ended)),
            },
        };
        self.end(over);
    }

    fn take_in(&self, input: &mut impl Read) -> io::Result<()> {
        while let Some(frame) = wire::read_frame(input, wire::ANSWER_MAX)? {
            let request = frame.request;
            let answer = Answer::of(frame)?;
            let state = &mut *lock(&self.0);
            if state.over.is_some() {
                return Ok(());
            }
            state.heard += 1;
            let Some(waiting) = state.waiting.get_mut(&request) else {
                return Err(wire::wrong("an answer that nobody asked for".into()));
            };
            let is_last = waiting.is_last(&answer)?;
            // Nobody may want it any more.
            let _ = waiting.answers.send(answer);
            if is_last {
                state.waiting.remove(&request);
            }
        }
        Ok(())
    }
}

fn greet(input: &mut impl Read) -> io::Result<()> {
    let mut greeting = [0; GREETING_LEN];
    input.read_exact(&mut greeting)?;
    match wire::read_greeting(&greeting) {
        Some(VERSION) => Ok(()),
        Some(other) => {
            let older = if other < VERSION { "there" } else { "here" };
            Err(wire::wrong(format!(
                "the vault there speaks version {other} of the link, this one version {VERSION}: upgrade the one {older}"
            )))
        }
        None => Err(wire::wrong(
            "something else than vault answers: does a login script there print to its standard output?".into(),
        )),
    }
}

impl Waiting {
    /// True when nothing comes after this answer; fails when it is none to the request.
    fn is_last(&mut self, answer: &Answer) -> io::Result<bool> {
        let fits = match (&self.request, answer) {
            (_, Answer::Failed { .. }) => true,
            (Request::List { prefix }, Answer::Entries(entries)) => {
                self.entries = self.entries.saturating_add(entries.len().max(1));
                if self.entries > LIST_MAX {
                    return Err(wire::wrong(format!("a listing of more than {LIST_MAX} objects")));
                }
                if entries.iter().all(|entry| entry.name.as_str().starts_with(prefix)) {
                    return Ok(false);
                }
                false
            }
            (Request::List { .. } | Request::Now | Request::Stat { .. }, Answer::End) => true,
            (Request::Stat { name }, Answer::Entries(entries)) => {
                matches!(&entries[..], [entry] if entry.name == *name)
            }
            (Request::Read { offset, len, .. }, Answer::Bytes { total, bytes }) => {
                bytes.bytes().len() as u64 == total.saturating_sub(*offset).min(u64::from(*len))
            }
            (Request::Now, Answer::Time(_)) => true,
            _ => false,
        };
        if fits { Ok(true) } else { Err(wire::wrong("an answer that is none to what was asked".into())) }
    }
}

impl Ticket {
    /// The next answer.
    pub fn wait(&self, stop: &Stop) -> Result<Answer, Over> {
        let heard = || lock(&self.shared.0).heard;
        let (mut silent, mut before) = (Duration::ZERO, heard());
        loop {
            match self.answers.recv_timeout(TICK) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => {
                    let over = lock(&self.shared.0).over.clone();
                    return Err(over.unwrap_or_else(|| Over::Wrong("an answer that ends too early".into())));
                }
                Err(RecvTimeoutError::Timeout) if stop() => return Err(Over::Cancelled),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = heard();
            silent = if now == before { silent + TICK } else { Duration::ZERO };
            before = now;
            if silent >= SILENCE_MAX {
                self.shared.end(Over::Lost(format!("nothing came for {} s", SILENCE_MAX.as_secs())));
                if let Some(program) = &self.program {
                    program.kill();
                }
            }
        }
    }
}
