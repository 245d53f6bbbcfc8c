//! `vault dump`

use super::{
    exit::{Done, Failure},
    secrets,
    session::Session,
};
use crate::{error::Error, id::hex, name::Shown, ops::dump as op, repo::BlobReader, world::random};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  vault dump alpha.example.org/-/db:db.sql | psql shop
  vault dump alpha.example.org/-/srv/wiki@3d:wiki | tar -tv          a folder comes as a tar archive
  vault dump 1a2b3c4d:wiki/data/page.md --output page.md";

/// Write a file, or a folder as a tar archive, to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// SERIES[@VERSION]:PATH or ID:PATH
    address: OsString,
    /// Write to FILE, which must not be there yet
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// Counts what goes through, and remembers why nothing more does.
struct Tracked<W> {
    inner: W,
    bytes: u64,
    failure: Option<io::Error>,
}

impl<W: Write> Tracked<W> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(e) = &result
            && e.kind() != io::ErrorKind::Interrupted
        {
            self.failure = Some(match e.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::from(e.kind()),
            });
        }
        result
    }
}

impl<W: Write> Write for Tracked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        let written = self.note(result)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.note(result)
    }
}

/// Gives a file its name, unless something else has it.
fn publish(part: &Path, output: &Path) -> io::Result<()> {
    use rustix::{
        fs::{CWD, RenameFlags, renameat_with},
        io::Errno,
    };
    match renameat_with(CWD, part, CWD, output, RenameFlags::NOREPLACE) {
        // File systems that cannot: a link takes no name that is taken either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            match std::fs::hard_link(part, output) {
                Ok(()) => std::fs::remove_file(part),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists || output.symlink_metadata().is_ok() => Err(e),
                // exFAT and its like have no links either: to look is all that is left.
                Err(_) => std::fs::rename(part, output),
            }
        }
        result => result.map_err(io::Error::from),
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    if args.output.is_none() && session.screen.stdout_terminal {
        return Err(Error::usage(
            "this would write to the terminal; pipe it into a program, redirect it, or give --output FILE",
        )
        .into());
    }
    let repo = session.open()?;
    let (listed, path) = session.resolve(&repo, &args.address)?;
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    let run = |inner: Box<dyn Write>| {
        let mut out = Tracked { inner, bytes: 0, failure: None };
        // Events of progress would get among the data.
        let progress = (!session.screen.json).then(|| session.progress());
        let monitor =
            progress.as_ref().map_or(&crate::monitor::Silent as &dyn crate::monitor::Monitor, |p| p.monitor());
        let mut buffered = BufWriter::with_capacity(256 << 10, &mut out);
        let result = op::dump(&reader, &listed, path.as_deref(), &mut buffered, monitor);
        let flushed = buffered.flush();
        drop(buffered);
        match (result, out.failure) {
            (Ok(()), None) => flushed.map_err(Failure::Undelivered).map(|()| out.bytes),
            (_, Some(failure)) => Err(Failure::Undelivered(failure)),
            (Err(error), None) => Err(error.into()),
        }
    };
    let Some(output) = &args.output else {
        run(Box::new(io::stdout().lock()))?;
        return Ok(Done::good(Value::Null));
    };
    // A part of a file, or a file that is damaged, must not be taken for the whole.
    let failed = |source| Failure::File { doing: "write", path: secrets::shown(output), source };
    if output.symlink_metadata().is_ok() {
        return Err(Error::refused(format!("{} is there already", secrets::shown(output))).into());
    }
    // A name that is nobody's: a file or a link of the user's is not touched.
    let token: [u8; 8] = random(repo.entropy())?;
    let part = output.with_file_name(format!(".vault-{}.part", hex(&token)));
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(&part)
        .map_err(failed)?;
    let written = file.try_clone().map_err(failed).and_then(|handle| run(Box::new(handle)));
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(failure) => {
            let _ = std::fs::remove_file(&part);
            return Err(failure);
        }
    };
    if let Err(error) = file.sync_all().and_then(|()| publish(&part, output)) {
        let _ = std::fs::remove_file(&part);
        return Err(failed(error));
    }
    if !session.global.quiet {
        let what = path.as_deref().map(|path| Shown(path).to_string()).unwrap_or_default();
        session.screen.note(&format!(
            "{what} of {}: {bytes} bytes in {}",
            Session::name_of(&listed),
            secrets::shown(output)
        ));
    }
    Ok(Done::good(json!({ "snapshot": listed.id.to_string(), "bytes": bytes, "output": secrets::shown(output) })))
}
