//! A store at the other end of a link: `vault serve --stdio` there, reached by `ssh` or any other program that connects two ends.
//!
//! ```text
//! RemoteStore ─▶ link ─▶ wire ═══ program (ssh HOST vault serve --stdio …) ═══ wire ─▶ server ─▶ the store there
//!       └ ahead: pieces that are sent before they are asked for
//! ```
//!
//! It reads and changes nothing. Any number of threads ask at once over the one link. When that breaks, the operations that were
//! under way fail in a way that [`RetryStore`] repeats, and the first one after that connects anew.

mod ahead;
mod link;
mod program;
pub mod ssh;
pub mod wire;

pub use link::{LIST_MAX, Link, Over, Stop};

use super::{
    Capabilities, Entry, ObjectName, Put, Store, Upload, lock, missing,
    retry::{Patience, RetryStore, Sleeper},
    too_long, too_short,
};
use crate::{
    error::{Error, Result},
    name::Shown,
};
use ahead::Ahead;
use link::Ticket;
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use wire::{Answer, Fault, PIECE, Piece, Request};

/// Makes a new link.
pub type Connect = Box<dyn Fn() -> Result<Link, Over> + Send + Sync>;

/// A store that is read over a link.
pub struct RemoteStore {
    place: String,
    connect: Connect,
    stop: Stop,
    line: Mutex<Line>,
    /// Links that were made, or not: read before the line is waited for.
    attempts: AtomicU64,
    ahead: Mutex<Ahead>,
    /// Whether the store there tells the time.
    clock: bool,
}

/// The link, and how the last attempt to make one ended.
struct Line {
    link: Option<Arc<Link>>,
    failure: Option<Over>,
}

impl RemoteStore {
    /// Connects. `place` is for messages.
    pub fn open(place: String, connect: Connect, stop: Stop) -> Result<Self> {
        let line = Mutex::new(Line { link: None, failure: None });
        let (attempts, ahead) = Default::default();
        let mut store = RemoteStore { place, connect, stop, line, attempts, ahead, clock: false };
        store.link().map_err(|over| match over {
            Over::Lost(why) => store.unable(&why),
            over => store.error(over, None),
        })?;
        store.clock = store.now()?.is_some();
        Ok(store)
    }

    /// The same, which connects again for as long as `patience` lasts when the link breaks.
    pub fn patient(self, patience: Patience, sleep: Sleeper) -> RetryStore<Self> {
        RetryStore::new(self, patience, sleep)
    }

    fn unable(&self, why: &str) -> Error {
        Error::Command { command: self.place.clone(), why: why.to_owned() }
    }

    /// The link, made when there is none. Of threads that find it broken one connects, and its failure is that of all.
    fn link(&self) -> Result<Arc<Link>, Over> {
        let seen = self.attempts.load(Ordering::SeqCst);
        let line = &mut *lock(&self.line);
        if let Some(link) = line.link.as_ref().filter(|link| !link.is_over()) {
            return Ok(link.clone());
        }
        if self.attempts.load(Ordering::SeqCst) != seen
            && let Some(failure) = &line.failure
        {
            return Err(failure.clone());
        }
        if (self.stop)() {
            return Err(Over::Cancelled);
        }
        lock(&self.ahead).clear();
        line.link = None;
        let made = (self.connect)();
        self.attempts.fetch_add(1, Ordering::SeqCst);
        line.failure = made.as_ref().err().cloned();
        let link = Arc::new(made?);
        line.link = Some(link.clone());
        Ok(link)
    }

    fn error(&self, over: Over, name: Option<&ObjectName>) -> Error {
        match over {
            Over::Lost(why) => {
                let why = format!("the link broke: {why}; what has come is kept: run it again to go on");
                let object = name.map_or_else(|| self.place.clone(), |name| format!("{}/{name}", self.place));
                Error::store("read", object, io::Error::new(io::ErrorKind::ConnectionReset, why))
            }
            Over::Unable(why) => self.unable(&why),
            Over::NoRepository(why) => {
                Error::NoRepository { place: self.place.clone(), why: Shown(why.as_bytes()).to_string() }
            }
            Over::Wrong(why) => Error::Store {
                doing: "read",
                object: self.place.clone(),
                source: wire::wrong(format!("it does not keep to the protocol ({why}): do not trust it")),
            },
            Over::Cancelled => Error::Cancelled,
        }
    }

    fn failed(&self, fault: Fault, text: &str, name: Option<&ObjectName>) -> Error {
        let text = Shown(text.as_bytes()).to_string();
        match (fault, name) {
            (Fault::Missing, Some(name)) => missing(name),
            (Fault::Corrupt, Some(name)) => Error::corrupt(name, text),
            _ => {
                let object = name.map_or_else(|| self.place.clone(), |name| format!("{}/{name}", self.place));
                Error::store("read", object, io::Error::other(text))
            }
        }
    }

    /// The one answer to a request.
    fn answer(&self, ticket: &Ticket, name: Option<&ObjectName>) -> Result<Answer> {
        match ticket.wait(&self.stop) {
            Ok(Answer::Failed { fault, text }) => Err(self.failed(fault, &text, name)),
            Ok(answer) => Ok(answer),
            Err(over) => Err(self.error(over, name)),
        }
    }

    fn ask(&self, request: Request, name: Option<&ObjectName>) -> Result<Answer> {
        let link = self.link().map_err(|over| self.error(over, name))?;
        self.answer(&link.ask(request), name)
    }

    fn not_of(&self, name: &ObjectName) -> Error {
        self.error(Over::Wrong("an answer that is none to what was asked".into()), Some(name))
    }

    /// At most a piece of an object, and the object's length. What is read in whole pieces from its beginning is read ahead.
    fn piece(&self, name: &ObjectName, offset: u64, len: usize) -> Result<(u64, Piece)> {
        let link = self.link().map_err(|over| self.error(over, Some(name)))?;
        let ahead = lock(&self.ahead).take(&link, name, offset, len);
        let ticket =
            ahead.unwrap_or_else(|| link.ask(Request::Read { name: name.clone(), offset, len: len.min(PIECE) as u32 }));
        match self.answer(&ticket, Some(name)) {
            Ok(Answer::Bytes { total, bytes }) => {
                if offset == 0 && len == PIECE {
                    lock(&self.ahead).begin(&link, name, total);
                }
                Ok((total, bytes))
            }
            Ok(_) => Err(self.not_of(name)),
            Err(error) => {
                lock(&self.ahead).forget(name);
                Err(error)
            }
        }
    }

    fn read_only(&self) -> Error {
        Error::refused(format!("{} is only read over this link: run vault there to change it", self.place))
    }
}

impl Store for RemoteStore {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { exclusive_create: false, clock: self.clock, remove: false }
    }

    fn get(&self, name: &ObjectName, max: u64) -> Result<Vec<u8>> {
        let (total, first) = self.piece(name, 0, max.min(PIECE as u64) as usize)?;
        if total > max {
            return Err(too_long(name, total, max));
        }
        let mut bytes = first.bytes().to_vec();
        // What is there is believed a piece at a time: a length that is only said takes no memory.
        while (bytes.len() as u64) < total {
            let len = (total - bytes.len() as u64).min(PIECE as u64) as usize;
            let (again, piece) = self.piece(name, bytes.len() as u64, len)?;
            if again != total || piece.bytes().is_empty() {
                return Err(too_short(name, again, bytes.len() as u64, len));
            }
            bytes.extend_from_slice(piece.bytes());
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, out: &mut [u8]) -> Result<()> {
        let wanted = out.len();
        // Also of no bytes it is asked whether they are there.
        let (mut at, mut rest) = (offset, out);
        loop {
            let (part, after) = rest.split_at_mut(rest.len().min(PIECE));
            let (total, piece) = self.piece(name, at, part.len())?;
            if offset.checked_add(wanted as u64).is_none_or(|end| end > total) {
                return Err(too_short(name, total, offset, wanted));
            }
            // A link takes no answer of another length than this.
            let Some(bytes) = piece.bytes().get(..part.len()) else { return Err(self.not_of(name)) };
            part.copy_from_slice(bytes);
            at += part.len() as u64;
            rest = after;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>> {
        Err(self.read_only())
    }

    /// The whole list is fetched before the first entry is told, so that `each` may call the store, and a link that breaks meanwhile is
    /// no harm.
    fn list(&self, prefix: &str, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        if !prefix.is_empty() && prefix.strip_suffix('/').is_none_or(|folder| ObjectName::new(folder).is_none()) {
            return Err(Error::store("list", format!("{}/{prefix}", self.place), io::ErrorKind::InvalidInput.into()));
        }
        let link = self.link().map_err(|over| self.error(over, None))?;
        let ticket = link.ask(Request::List { prefix: prefix.to_owned() });
        let mut found = Vec::new();
        while let Answer::Entries(entries) = self.answer(&ticket, None)? {
            found.extend(entries);
        }
        found.into_iter().try_for_each(each)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Entry>> {
        match self.ask(Request::Stat { name: name.clone() }, Some(name))? {
            Answer::Entries(mut entries) => Ok(entries.pop()),
            _ => Ok(None),
        }
    }

    fn remove(&self, _name: &ObjectName) -> Result<()> {
        Err(self.read_only())
    }

    fn rename(&self, _from: &ObjectName, _to: &ObjectName) -> Result<Put> {
        Err(self.read_only())
    }

    /// Nothing was put through this store.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn now(&self) -> Result<Option<i64>> {
        match self.ask(Request::Now, None)? {
            Answer::Time(sec) => Ok(Some(sec)),
            _ => Ok(None),
        }
    }
}

/// For a link that is to outlive a router that starts anew: eight attempts within a minute and a half.
pub const PATIENCE: Patience =
    Patience { attempts: 8, first: Duration::from_secs(1), longest: Duration::from_secs(30) };
