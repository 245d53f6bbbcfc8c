//! A repository for others: `vault serve --stdio` answers one client over its input and output, and only reads.
//!
//! It needs no key and gives nothing away that the store's folder would not: sealed objects and their names. What is no object of a
//! repository is neither listed nor read. `store::remote` is the client.

#[cfg(test)]
mod tests;

use crate::{
    error::{Error, Result, reason},
    store::{
        Entry, ObjectName, Store,
        remote::wire::{self, Answer, ENTRIES_FILL, Fault, GREETING_LEN, Piece, Request},
    },
};
use std::io::{self, BufWriter, Read, Write};

/// Answers until the client has gone. `admits` says which objects there are for the client; an error in place of the store is told to
/// the client, which says it to its user. One request after the other, and never more than a piece in memory.
pub fn serve(
    store: Result<&dyn Store>,
    admits: &dyn Fn(&ObjectName) -> bool,
    input: &mut impl Read,
    output: impl Write,
) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(64 << 10, output);
    output.write_all(&wire::greeting())?;
    output.flush()?;
    let mut greeting = [0; GREETING_LEN];
    match input.read_exact(&mut greeting) {
        // A client that does not like this one's greeting.
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        read => read?,
    }
    let mut served = match wire::read_greeting(&greeting) {
        Some(wire::VERSION) => store.map_err(|error| failure(&error)),
        // It has seen the greeting, and says what is wrong.
        Some(_) => return Ok(()),
        None => return Err(wire::wrong("this is no client of vault: run `vault pull` at the other end".into())),
    };
    let first = served.as_mut().err().map_or(Answer::End, |failed| failed.clone());
    send(&mut output, first, 0)?;
    let Ok(store) = served else { return Ok(()) };
    let server = Server { store, admits };
    while let Some(frame) = wire::read_frame(input, wire::REQUEST_MAX)? {
        let id = frame.request;
        match server.answer(Request::of(frame)?, &mut |answer| answer.write(&mut output, id)) {
            Ok(()) => {}
            Err(Stopped::Output(e)) => return Err(e),
            Err(Stopped::Store(error)) => failure(&error).write(&mut output, id)?,
        }
        output.flush()?;
    }
    Ok(())
}

fn send(output: &mut impl Write, mut answer: Answer, id: u32) -> io::Result<()> {
    answer.write(output, id)?;
    output.flush()
}

/// What keeps a request from being answered.
enum Stopped {
    Store(Error),
    Output(io::Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Stopped::Store(error)
    }
}

struct Server<'a> {
    store: &'a dyn Store,
    admits: &'a dyn Fn(&ObjectName) -> bool,
}

impl Server<'_> {
    fn answer(&self, request: Request, send: &mut dyn FnMut(&mut Answer) -> io::Result<()>) -> Result<(), Stopped> {
        let mut last = match request {
            Request::List { prefix } => self.list(&prefix, send)?,
            Request::Stat { name } => match self.entry(&name)? {
                Some(entry) => Answer::Entries(vec![entry]),
                None => Answer::End,
            },
            Request::Read { name, offset, len } => self.read(&name, offset, len)?,
            Request::Now => self.store.now()?.map_or(Answer::End, Answer::Time),
        };
        send(&mut last).map_err(Stopped::Output)
    }

    fn entry(&self, name: &ObjectName) -> Result<Option<Entry>> {
        if (self.admits)(name) { self.store.stat(name) } else { Ok(None) }
    }

    fn list(&self, prefix: &str, send: &mut dyn FnMut(&mut Answer) -> io::Result<()>) -> Result<Answer, Stopped> {
        let (mut found, mut fill, mut unsent) = (Vec::new(), 0, None);
        self.store
            .list(prefix, &mut |entry| {
                if !(self.admits)(&entry.name) {
                    return Ok(());
                }
                fill += wire::entry_len(&entry);
                found.push(entry);
                if fill < ENTRIES_FILL {
                    return Ok(());
                }
                fill = 0;
                send(&mut Answer::Entries(std::mem::take(&mut found))).map_err(|e| {
                    unsent = Some(e);
                    // Any error ends the listing.
                    Error::Cancelled
                })
            })
            .map_err(|error| unsent.take().map_or(Stopped::Store(error), Stopped::Output))?;
        if !found.is_empty() {
            send(&mut Answer::Entries(found)).map_err(Stopped::Output)?;
        }
        Ok(Answer::End)
    }

    fn read(&self, name: &ObjectName, offset: u64, len: u32) -> Result<Answer> {
        let Some(Entry { len: total, .. }) = self.entry(name)? else {
            return Err(Error::Missing { object: name.to_string() });
        };
        let mut bytes = Piece::zeroed(total.saturating_sub(offset).min(len.into()) as usize);
        if !bytes.bytes().is_empty() {
            self.store.get_range(name, offset, bytes.bytes_mut())?;
        }
        Ok(Answer::Bytes { total, bytes })
    }
}

/// What a client is told of a failure.
fn failure(error: &Error) -> Answer {
    let (fault, text) = match error {
        Error::Missing { .. } => (Fault::Missing, error.to_string()),
        Error::Corrupt { what, .. } => (Fault::Corrupt, what.clone()),
        Error::Store { source, .. } => (Fault::Store, reason(source)),
        Error::NoRepository { why, .. } => (Fault::NoRepository, why.clone()),
        error => (Fault::Refused, error.to_string()),
    };
    Answer::Failed { fault, text }
}
