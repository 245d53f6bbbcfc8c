//! Exit codes, which are API.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed, or done with problems (`restore`, `check`, `ls`, `diff`, `find`, `log`, `snapshots`, `forget`) |
//! | 2 | the request makes no sense or names nothing |
//! | 3 | the snapshot was made, but some of its sources could not be read; something went wrong in a run or a drill, or is red |
//! | 10 | there is no repository |
//! | 12 | wrong passphrase or key |
//! | 13 | written by a newer program |
//! | 14 | the store shows an older state than this machine has seen, or hides snapshots |
//! | 20 | the store is full |
//! | 75 | a medium is absent, or another run is under way: try again later |
//! | 130 | cancelled |

use crate::{
    error::{Error, reason},
    repo::Rollback,
};
use serde_json::Value;
use std::{fmt, io};

/// How a command ended that did what it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Good,
    /// Something is wrong, and was told.
    Bad,
    /// A snapshot was made of which something is missing.
    Incomplete,
    /// The store shows an older state than before.
    RolledBack,
}

/// What a command hands back: how it ended, and what its last JSON line says.
pub struct Done {
    /// How it ended.
    pub outcome: Outcome,
    /// The fields of the result.
    pub result: Value,
}

impl Done {
    /// All is well.
    pub fn good(result: Value) -> Self {
        Done { outcome: Outcome::Good, result }
    }

    /// Good, unless something is wrong.
    pub fn unless(wrong: bool, result: Value) -> Self {
        Done { outcome: if wrong { Outcome::Bad } else { Outcome::Good }, result }
    }

    /// The same, unless series are not what they were, which weighs more.
    pub fn unless_rolled_back(self, rollbacks: &[Rollback]) -> Self {
        if rollbacks.is_empty() { self } else { Done { outcome: Outcome::RolledBack, ..self } }
    }
}

/// Why a command did not get to its end.
#[derive(Debug)]
pub enum Failure {
    /// The library says so.
    Vault(Error),
    /// The result cannot be printed.
    Output(io::Error),
    /// Data that the command is for did not reach whoever was to have it.
    Undelivered(io::Error),
    /// The user asked to stop; says how to go on.
    Stopped(&'static str),
    /// The user gave up at a question, before anything was done.
    GaveUp,
    /// A file of the user's own (a key, a list of patterns, a sheet) cannot be read or made.
    File { doing: &'static str, path: String, source: io::Error },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Vault(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Vault(error) => error.fmt(f),
            Failure::Output(error) | Failure::Undelivered(error) => {
                write!(f, "cannot write the output: {}", reason(error))
            }
            Failure::Stopped(how) => f.write_str(how),
            Failure::GaveUp => f.write_str("cancelled; nothing was done"),
            Failure::File { doing, path, source } => {
                write!(f, "cannot {doing} {path}: {}", reason(source))
            }
        }
    }
}

impl Failure {
    /// True when whoever read the output has gone: nobody wants a message.
    pub fn is_quiet(&self) -> bool {
        matches!(self, Failure::Output(error) | Failure::Undelivered(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Failure::Vault(error) if error.is_store_full() => "store-full",
            Failure::Vault(error) => match error {
                Error::NoRepository { .. } => "no-repository",
                Error::WrongKey { .. } => "wrong-key",
                Error::NotPermitted { .. } => "not-permitted",
                Error::Unsupported { .. } => "unsupported",
                Error::Corrupt { .. } => "corrupt",
                Error::Missing { .. } => "missing",
                Error::Store { .. } => "store",
                Error::Rollback { .. } => "rollback",
                Error::Absent { .. } => "absent",
                Error::Busy { .. } => "busy",
                Error::Target { .. } => "target",
                Error::Command { .. } => "command",
                Error::Usage { .. } => "usage",
                Error::Refused { .. } => "refused",
                Error::Overtaken => "overtaken",
                Error::Cancelled => "cancelled",
                Error::Hardware { .. } => "hardware",
            },
            Failure::Output(_) | Failure::Undelivered(_) => "output",
            Failure::GaveUp | Failure::Stopped(_) => "cancelled",
            Failure::File { .. } => "file",
        }
    }
}

/// Cancelled by the user: also the code of a second Ctrl-C.
pub const CANCELLED: u8 = 130;
/// The store is not what it was.
const ROLLED_BACK: u8 = 14;
/// A medium is absent; schedulers know it as "try again later" (EX_TEMPFAIL).
const ABSENT: u8 = 75;
/// Usage: also the code that clap gives.
pub const USAGE: u8 = 2;

/// The code for what came of a command.
pub fn code(result: &Result<Outcome, Failure>) -> u8 {
    match result {
        Ok(Outcome::Good) => 0,
        Ok(Outcome::Bad) => 1,
        Ok(Outcome::Incomplete) => 3,
        Ok(Outcome::RolledBack) => ROLLED_BACK,
        // A reader that has read enough of a list; of data every byte counts.
        Err(failure @ Failure::Output(_)) if failure.is_quiet() => 0,
        Err(Failure::Output(_) | Failure::Undelivered(_) | Failure::File { .. }) => 1,
        Err(Failure::GaveUp | Failure::Stopped(_)) => CANCELLED,
        Err(Failure::Vault(error)) => match error {
            Error::Usage { .. } => USAGE,
            Error::NoRepository { .. } => 10,
            Error::WrongKey { .. } => 12,
            Error::Unsupported { .. } => 13,
            Error::Rollback { .. } => ROLLED_BACK,
            Error::Absent { .. } | Error::Busy { .. } => ABSENT,
            error if error.is_store_full() => 20,
            Error::Cancelled => CANCELLED,
            _ => 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_table() {
        let text = || "x".to_owned();
        let io = |kind| io::Error::from(kind);
        let store = |kind| Error::store("write", "packs/1", io(kind));
        for (error, expected) in [
            (Error::NoRepository { place: text(), why: text() }, 10),
            (Error::WrongKey { why: text() }, 12),
            (Error::unsupported("config", "x"), 13),
            (store(io::ErrorKind::StorageFull), 20),
            (store(io::ErrorKind::QuotaExceeded), 20),
            (store(io::ErrorKind::PermissionDenied), 1),
            (Error::Target { path: text(), source: io(io::ErrorKind::StorageFull) }, 1),
            (Error::usage("x"), 2),
            (Error::refused("x"), 1),
            (Error::Overtaken, 1),
            (Error::Cancelled, 130),
            (Error::corrupt("x", "y"), 1),
            (Error::Missing { object: text() }, 1),
            (Error::NotPermitted { what: text(), role: "writer", needs: "an owner key" }, 1),
            (Error::Rollback { what: text() }, 14),
            (Error::Absent { what: text() }, 75),
            (Error::Busy { what: text() }, 75),
            (Error::Command { command: text(), why: text() }, 1),
            (Error::Hardware { what: text() }, 1),
        ] {
            let said = error.to_string();
            assert_eq!(code(&Err(error.into())), expected, "{said}");
        }
        assert_eq!(code(&Ok(Outcome::Good)), 0);
        assert_eq!(code(&Ok(Outcome::Bad)), 1);
        assert_eq!(code(&Ok(Outcome::Incomplete)), 3);
        assert_eq!(code(&Ok(Outcome::RolledBack)), 14);
        assert_eq!(code(&Err(io(io::ErrorKind::BrokenPipe).into())), 0);
        assert_eq!(code(&Err(io(io::ErrorKind::StorageFull).into())), 1);
        let undelivered = Failure::Undelivered(io(io::ErrorKind::BrokenPipe));
        assert!(undelivered.is_quiet());
        assert_eq!(code(&Err(Failure::Stopped("x"))), CANCELLED);
        assert_eq!(code(&Err(undelivered)), 1);
    }
}
