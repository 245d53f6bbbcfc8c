//! `vault snapshots`

use super::{
    exit::{Done, Failure},
    human::{self, Align, Table},
    json,
    session::Session,
};
use crate::{name::Shown, repo::Listed};
use serde_json::{Value, json};
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  vault snapshots
  vault snapshots alpha.example.org/web1
  vault snapshots --json | jq -r '.snapshots[] | select(.complete | not) | .id'";

/// List the snapshots
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only series under this one: server, server/vm, server/vm/relpath
    prefix: Option<String>,
    /// Only snapshots with this tag
    #[arg(long, short, value_name = "TAG")]
    tag: Option<String>,
}

impl Args {
    fn wants(&self, listed: &Listed) -> bool {
        let under = |prefix: &str| {
            crate::series::Series::parse(&listed.snapshot.series).is_ok_and(|series| series.is_under(prefix))
        };
        self.prefix.as_deref().is_none_or(under)
            && self.tag.as_ref().is_none_or(|tag| listed.snapshot.tags.contains(tag))
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let all = session.open()?.snapshots(None)?;
    let wanted: Vec<&Listed> = all.listed.iter().filter(|listed| args.wants(listed)).collect();
    if !session.screen.json {
        match print(session, &wanted) {
            // That nobody reads on makes none of them readable.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            printed => printed?,
        }
        for (object, error) in &all.unreadable {
            session.screen.warn(&human::about(object, error));
        }
        if wanted.is_empty() && all.unreadable.is_empty() {
            session.screen.note("there are no such snapshots");
        }
    }
    let unreadable: Vec<Value> = all
        .unreadable
        .iter()
        .map(|(object, error)| json!({ "object": object, "message": error.to_string() }))
        .collect();
    let snapshots: Vec<Value> = wanted.iter().map(|listed| json::listed(listed)).collect();
    Ok(Done::unless(!unreadable.is_empty(), json!({ "snapshots": snapshots, "unreadable": unreadable })))
}

fn print(session: &Session, wanted: &[&Listed]) -> io::Result<()> {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("TIME", Align::Left),
        ("SERIES", Align::Left),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("NEW", Align::Right),
        ("TAGS", Align::Left),
        ("", Align::Left),
    ]);
    for Listed { id, snapshot, .. } in wanted {
        let tags: Vec<String> = snapshot.tags.iter().map(|tag| Shown(tag.as_bytes()).to_string()).collect();
        table.row(vec![
            id.short(),
            human::local_time(snapshot.head.time.sec),
            Shown(snapshot.series.as_bytes()).to_string(),
            human::count(snapshot.totals.files),
            human::bytes(snapshot.totals.bytes),
            human::bytes(snapshot.work.bytes_stored),
            tags.join(" "),
            if snapshot.head.complete { String::new() } else { "incomplete".into() },
        ]);
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let out = &mut io::stdout().lock();
    table.print(out, session.screen.stdout_colours())?;
    if !session.global.quiet && session.screen.stdout_terminal {
        let mut series: Vec<&str> = wanted.iter().map(|listed| listed.snapshot.series.as_str()).collect();
        series.dedup();
        let snapshots = human::counted(wanted.len() as u64, "snapshot", "snapshots");
        writeln!(out, "{snapshots} of {} series", human::count(series.len() as u64))?;
    }
    Ok(())
}
