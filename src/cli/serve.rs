//! `vault serve`

use super::{
    exit::{Done, Failure},
    session::Session,
};
use crate::{
    error::{Error, Result},
    ops::naming::class,
    repo::Repository,
    server,
    store::{Store, local::LocalStore, open as stores},
};
use clap::ValueHint;
use serde_json::Value;
use std::{ffi::OsString, io};

const EXAMPLES: &str = "\
Example:
  vault serve --stdio --read-only --repo /srv/backup/local

Nobody types this: `vault pull`, and --repo ssh://…, run it at the other end. To let a backup server do this and nothing else, in
~/.ssh/authorized_keys of a user here who may read the repository:
  command=\"vault serve --stdio --read-only --repo /srv/backup/local\",restrict ssh-ed25519 AAAA… backup

It takes no key. Who reads sees what a copy of the folder would show: sealed objects, their number, sizes and times.";

/// Let another machine read this repository, over standard input and output
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Answer one client over standard input and output
    #[arg(long, required = true)]
    stdio: bool,
    /// Change nothing, whatever is asked
    #[arg(long, required = true)]
    read_only: bool,
    /// Not used: a repository is served whole
    #[arg(hide = true, value_hint = ValueHint::Other)]
    rest: Vec<OsString>,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    if !args.rest.is_empty() {
        return Err(Error::usage("serve takes options only").into());
    }
    let store = open(session);
    let store = store.as_ref().map(|store| store as &dyn Store);
    let admits = |name: &crate::store::ObjectName| class(name.as_str()).is_some();
    let store = store.map_err(|error| Error::NoRepository { place: String::new(), why: error.to_string() });
    let mut input = io::stdin().lock();
    match server::serve(store, &admits, &mut input, io::stdout().lock()) {
        // The client has gone.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
        served => served.map_err(Failure::Undelivered)?,
    }
    Ok(Done::good(Value::Null))
}

/// The store, of which nothing is changed, also not what a killed run left.
fn open(session: &Session) -> Result<LocalStore> {
    let place = session.place()?;
    let store = stores::open_untouched(&place)?;
    Repository::identify(&*store)?;
    LocalStore::open_untouched(place.local()?)
}
