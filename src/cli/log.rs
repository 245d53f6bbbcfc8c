//! `vault log`

use super::{
    entry,
    exit::{Done, Failure},
    find::version,
    human::{self, Align, Table},
    json, restore,
    session::Session,
};
use crate::{
    error::Error,
    ops::log::{self as op, Log, Revision},
    repo::BlobReader,
    series::{Address, Series, Version},
};
use clap::ValueHint;
use serde_json::{Map, Value, json};
use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

const EXAMPLES: &str = "\
Examples:
  vault log alpha/web1/shop:app/config/database.yml           all its versions
  vault log alpha/web1/shop:app/config/database.yml --restore 3 --target /tmp/old
  vault log 1a2b3c4d:wiki/data                                of the series that the snapshot is of";

/// Show the versions of a file or folder: when each appeared, changed, was gone
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// SERIES:PATH or ID:PATH
    address: OsString,
    /// Restore version N, as it is numbered here
    #[arg(long, value_name = "N", requires = "target")]
    restore: Option<usize>,
    /// Folder to restore into; made when it is not there
    #[arg(long, short = 'T', value_name = "DIR", requires = "restore", value_hint = ValueHint::DirPath)]
    target: Option<PathBuf>,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let address = Address::parse(args.address.as_bytes())?;
    let series = match (&address.series, &address.version) {
        (Some(series), Version::Latest) => {
            let now = session.moved_to(&repo, series)?;
            now.unwrap_or_else(|| series.clone())
        }
        (Some(_), _) => {
            let what = "all versions are shown: give the series without a version, SERIES:PATH";
            return Err(Error::usage(what).into());
        }
        (None, _) => Series::parse(&session.resolve(&repo, &args.address)?.0.snapshot.series)?,
    };
    session.accept_rollback(&repo, Some(&series))?;
    let rollbacks = repo.look(Some(&series), false)?;
    let path = address.path.unwrap_or_default();
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    let progress = session.progress();
    let log = op::log(&repo, &reader, &series, &path, progress.monitor());
    drop(progress);
    let log = log?;
    if !session.screen.json {
        for error in &log.unreadable {
            session.screen.warn(&format!("{error}; what it held is not shown: see `vault check`"));
        }
        session.tell_rollbacks(&rollbacks);
    }
    if let (Some(number), Some(target)) = (args.restore, args.target) {
        let revision = number.checked_sub(1).and_then(|at| log.revisions.get(at));
        let Some(revision) = revision.filter(|revision| revision.facts.is_some()) else {
            let what = format!("there is no version {number} to restore: see `vault log` without --restore");
            return Err(Error::usage(what).into());
        };
        let listed = repo.read_snapshot(&repo.keys().series_tag(&series), &revision.since.id)?;
        return restore::bring_back(session, &reader, &listed, restore::Plan::new(path, target));
    }
    if !session.screen.json {
        print(session, &log)?;
    }
    let revisions: Vec<Value> =
        log.revisions.iter().enumerate().map(|(at, revision)| event(at + 1, revision)).collect();
    let unreadable: Vec<String> = log.unreadable.iter().map(Error::to_string).collect();
    let mut result = Map::new();
    result.insert("series".into(), series.as_str().into());
    json::put_bytes(&mut result, "path", &path);
    result.insert("snapshots".into(), log.snapshots.into());
    result.insert("versions".into(), revisions.into());
    result.insert("unreadable".into(), unreadable.into());
    let done = Done::unless(!log.unreadable.is_empty(), Value::Object(result));
    Ok(done.unless_rolled_back(&rollbacks))
}

/// What happened with the revision of this number, in words.
pub fn happened(number: usize, revision: &Revision, before: Option<&Revision>) -> String {
    match (&revision.facts, before.and_then(|before| before.facts)) {
        (None, _) => "gone".into(),
        (Some(_), None) if number > 1 => "back".into(),
        (Some(_), None) => "appeared".into(),
        (Some(_), Some(_)) => {
            let mut what = revision.what.clone();
            if what.len() > 1 && what.first() == Some(&"content") {
                // That contents have another time goes without saying.
                what.retain(|word| *word != "time");
            }
            what.join(", ")
        }
    }
}

fn print(session: &Session, log: &Log) -> io::Result<()> {
    let mut table = Table::new(&[
        ("N", Align::Right),
        ("SNAPSHOT", Align::Left),
        ("SINCE", Align::Left),
        ("SNAPSHOTS", Align::Right),
        ("MODE", Align::Left),
        ("SIZE", Align::Right),
        ("CHANGED", Align::Left),
        ("", Align::Left),
    ]);
    let befores = std::iter::once(None).chain(log.revisions.iter().map(Some));
    for ((at, revision), before) in log.revisions.iter().enumerate().zip(befores) {
        let facts = revision.facts.as_ref();
        let or_none = |text: Option<String>| text.unwrap_or_default();
        table.row(vec![
            (at + 1).to_string(),
            revision.since.id.short(),
            human::local_time(revision.since.time.sec),
            human::count(revision.snapshots as u64),
            or_none(facts.map(|facts| entry::mode_of(facts.kind.ls_letter(), facts.mode))),
            or_none(facts.map(|facts| human::bytes(facts.size))),
            or_none(facts.map(|facts| human::local_time(facts.mtime.sec))),
            happened(at + 1, revision, before),
        ]);
    }
    let out = &mut io::BufWriter::new(io::stdout().lock());
    table.print(out, session.screen.stdout_colours())?;
    out.flush()
}

fn event(number: usize, revision: &Revision) -> Value {
    let mut object = json!({
        "version": number,
        "since": version(&revision.since),
        "until": version(&revision.until),
        "snapshots": revision.snapshots,
        "gone": revision.facts.is_none(),
        "what": revision.what,
    });
    if let Some(facts) = &revision.facts {
        object["type"] = facts.kind.word().into();
        object["size"] = facts.size.into();
        object["mode"] = format!("{:04o}", facts.mode).into();
        object["uid"] = facts.uid.into();
        object["gid"] = facts.gid.into();
        object["mtime"] = json::time(facts.mtime);
    }
    object
}
