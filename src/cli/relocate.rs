//! `vault move`

use super::{
    exit::{Done, Failure},
    host, human,
    session::Session,
};
use crate::{
    error::Error,
    name::Shown,
    ops::{
        forget::Actor,
        relocate::{self as op, Report},
    },
    series::Series,
};
use serde_json::json;
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  vault move alpha/-/srv/wiki beta/web1/srv/wiki -n     what would be done
  vault move alpha/-/srv/wiki beta/web1/srv/wiki        the application lives there now

All snapshots of the old name are those of the new one from then on, with their tags and pins: the next night finds in the last one what
has not changed, and rules count them together. Nothing but a few KiB a snapshot is written. The old name leads to the new one. Move the
application's table in the configuration too. In copies that keep their own retention, run it there as well: --repo.
It takes the key of a maintainer or an owner.";

/// Let an application's history go on under another name
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The series as it was called
    #[arg(value_name = "OLD")]
    old: String,
    /// The series as it is called from now on
    #[arg(value_name = "NEW")]
    new: String,
    /// Change nothing, tell what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let (from, to) = (Series::parse(&args.old)?, Series::parse(&args.new)?);
    let repo = session.open()?;
    session.accept_rollback(&repo, Some(&from))?;
    session.accept_rollback(&repo, Some(&to))?;
    let actor = Actor { host: host::fqdn(), user: host::user() };
    let request = op::Request { from: &from, to: &to, actor: &actor, dry_run: args.dry_run };
    let progress = session.progress();
    let report = op::relocate(&repo, &request, progress.monitor());
    drop(progress);
    let report = match report {
        Err(Error::Usage { what }) => {
            let hint = super::address::suggestion(&repo, &from);
            return Err(Error::usage(format!("{what}{}", hint.unwrap_or_default())).into());
        }
        report => report?,
    };
    session.print_result(|| print(&args, &report));
    let moved: Vec<_> = report
        .moved
        .iter()
        .map(|one| {
            json!({
                "series": one.series,
                "snapshot": one.original.to_string(),
                "new": one.new.map(|id| id.to_string()),
                "sequence": one.head.sequence,
            })
        })
        .collect();
    Ok(Done::good(json!({
        "dry_run": args.dry_run,
        "from": from.as_str(),
        "to": to.as_str(),
        "moved": moved,
        "reordered": report.reordered,
    })))
}

fn print(args: &Args, report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let count = human::counted(report.moved.len() as u64 - report.reordered, "snapshot", "snapshots");
    let (old, new) = (Shown(args.old.as_bytes()), Shown(args.new.as_bytes()));
    match args.dry_run {
        true => writeln!(out, "dry run: {count} of {old} would be moved to {new}")?,
        false => writeln!(out, "moved {count} of {old} to {new}")?,
    }
    if report.reordered > 0 {
        let later = human::counted(report.reordered, "snapshot", "snapshots");
        writeln!(out, "{later} that {new} had already stand behind them, under new ids")?;
    }
    Ok(())
}
