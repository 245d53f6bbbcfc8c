//! What can go wrong, with its operands. Each message names the object or path and what to do next.

use std::{fmt, io};

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of an operation on a repository.
///
/// Failures of single users' files are not here: they are `fs::PathError`, which does not convert into
/// this type, so that a full repository can never be handled as an unreadable source file.
#[derive(Debug)]
pub enum Error {
    /// There is no repository at the place.
    NoRepository { place: String, why: String },
    /// No key slot opens with what was given.
    WrongKey { why: String },
    /// The key lacks the role that the operation needs: `role` is the one it has, `needs` says which would do.
    NotPermitted { what: String, role: &'static str, needs: &'static str },
    /// Written by a newer program: intact for all we know, but not for us to read or touch.
    Unsupported { object: String, what: String },
    /// Bytes that are not what their name, tag or layout says.
    Corrupt { object: String, what: String },
    /// An object that others refer to is not in the store.
    Missing { object: String },
    /// The store failed.
    Store { doing: &'static str, object: String, source: io::Error },
    /// The place to restore to failed as a whole (single entries are reported, not returned).
    Target { path: String, source: io::Error },
    /// A command that was to write a stream failed.
    Command { command: String, why: String },
    /// The store shows an older state of a series than this client has seen, or hides some of it.
    Rollback { what: String },
    /// A medium is not there now: try again when it is.
    Absent { what: String },
    /// Somebody else is doing it: try again later.
    Busy { what: String },
    /// What the user asked for makes no sense or names nothing.
    Usage { what: String },
    /// Refused for safety; the message says how to insist.
    Refused { what: String },
    /// A writer relied on what prune has begun to remove: it has to begin again.
    Overtaken,
    /// The user asked to stop.
    Cancelled,
    /// The computer contradicts itself: a result that was just made does not prove.
    Hardware { what: String },
}

impl Error {
    /// An object whose bytes are wrong.
    pub fn corrupt(object: impl fmt::Display, what: impl fmt::Display) -> Self {
        Error::Corrupt { object: object.to_string(), what: what.to_string() }
    }

    /// An object of a later format.
    pub fn unsupported(object: impl fmt::Display, what: impl fmt::Display) -> Self {
        Error::Unsupported { object: object.to_string(), what: what.to_string() }
    }

    /// A failure of the store while `doing` something to `object`.
    pub fn store(doing: &'static str, object: impl fmt::Display, source: io::Error) -> Self {
        Error::Store { doing, object: object.to_string(), source }
    }

    /// A request that makes no sense.
    pub fn usage(what: impl fmt::Display) -> Self {
        Error::Usage { what: what.to_string() }
    }

    /// A request that is refused for safety.
    pub fn refused(what: impl fmt::Display) -> Self {
        Error::Refused { what: what.to_string() }
    }

    /// True when the store has no room left (no space, quota, no inodes).
    pub fn is_store_full(&self) -> bool {
        matches!(self, Error::Store { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// Why an operation of the system failed, in words: its number says nothing more.
pub fn reason(source: &io::Error) -> String {
    let why = source.to_string();
    match source.raw_os_error() {
        Some(code) => why.strip_suffix(&format!(" (os error {code})")).unwrap_or(&why).to_owned(),
        None => why,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoRepository { place, why } => write!(f, "no repository at {place}: {why}"),
            Error::WrongKey { why } => write!(f, "the repository does not open: {why}"),
            Error::NotPermitted { what, role, needs } => {
                write!(f, "this is a {role} key, which may not {what}: that takes {needs}")
            }
            Error::Unsupported { object, what } => {
                write!(f, "{object}: {what}; it was written by a newer vault, upgrade to read it")
            }
            Error::Corrupt { object, what } => write!(f, "{object} is damaged: {what}"),
            Error::Missing { object } => write!(f, "{object} is missing from the store"),
            Error::Store { doing, object, source } if self.is_store_full() => {
                write!(
                    f,
                    "the repository is full: cannot {doing} {object}: {}; earlier snapshots are whole; free space and run again",
                    reason(source)
                )
            }
            Error::Store { doing, object, source } => write!(f, "cannot {doing} {object}: {}", reason(source)),
            Error::Target { path, source } => write!(f, "cannot restore to {path}: {}", reason(source)),
            Error::Command { command, why } => write!(f, "{command}: {why}"),
            Error::Rollback { what } => write!(
                f,
                "{what}. Find out who could write to the store, and look for what is missing in a copy of it; to go on with what is there: --accept-rollback"
            ),
            Error::Overtaken => f.write_str(
                "nothing was published: prune has begun to remove packs that it would have relied on; run it again (what was stored is kept)",
            ),
            Error::Absent { what } | Error::Busy { what } | Error::Usage { what } | Error::Refused { what } => f.write_str(what),
            Error::Cancelled => f.write_str("stopped on request; what is done is kept: run it again to go on"),
            Error::Hardware { what } => {
                write!(
                    f,
                    "{what}; nothing was published. This points to faulty memory or a faulty processor: test this machine"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Store { source, .. } | Error::Target { source, .. } => Some(source),
            _ => None,
        }
    }
}
