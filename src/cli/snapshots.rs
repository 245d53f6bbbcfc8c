//! `vault snapshots`

use super::{
    exit::{Done, Failure},
    human::{self, Align, Table},
    json,
    session::Session,
};
use crate::{
    name::Shown,
    repo::{Annotations, Listed, Pin, Repository, annotations::Rewriting},
    series::Series,
};
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

/// A snapshot as it is now: with what was said of it later.
struct Row<'a> {
    listed: &'a Listed,
    tags: Vec<String>,
    pin: Option<Pin>,
    rewritten: Vec<Rewriting>,
}

impl Args {
    /// The snapshot as a row, when it is wanted.
    fn row<'a>(&self, repo: &Repository, annotations: &Annotations, listed: &'a Listed) -> Option<Row<'a>> {
        let series = Series::parse(&listed.snapshot.series).ok()?;
        let marks = annotations.of(&repo.keys().series_tag(&series), &listed.id);
        let tags = marks.tags_with(&listed.snapshot.tags);
        let wanted = self.prefix.as_deref().is_none_or(|prefix| series.is_under(prefix))
            && self.tag.as_ref().is_none_or(|tag| tags.contains(tag));
        wanted.then_some(Row { listed, tags, pin: marks.pin, rewritten: marks.rewritten })
    }
}

impl Row<'_> {
    fn json(&self) -> Value {
        let mut object = json::listed(self.listed);
        object["tags"] = self.tags.clone().into();
        object["pinned"] = match &self.pin {
            None => Value::Null,
            Some(Pin { reason, time, user, host }) => {
                json!({ "reason": reason, "time": json::time(*time), "user": user, "host": host })
            }
        };
        let rewriting = |one: &Rewriting| {
            let Rewriting { from, what, time, user, host } = one;
            json!({ "from": from.to_string(), "what": what, "time": json::time(*time), "user": user, "host": host })
        };
        object["rewritten"] = self.rewritten.iter().map(rewriting).collect();
        object
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let args = Args { prefix: session.prefix(&repo, args.prefix)?, ..args };
    let mut all = repo.snapshots(None)?;
    let annotations = repo.annotations(None)?;
    session.accept_rollback(&repo, None)?;
    let rollbacks = repo.look(None, false)?;
    let wanted: Vec<Row<'_>> = all.listed.iter().filter_map(|listed| args.row(&repo, &annotations, listed)).collect();
    all.unreadable.append(&mut all.doubtful);
    all.unreadable.extend(annotations.illegible.into_iter().map(|one| (one.object, one.error)));
    if !session.screen.json {
        match print(session, &wanted) {
            // That nobody reads on makes none of them readable.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            printed => printed?,
        }
        for (object, error) in &all.unreadable {
            session.screen.warn(&human::about(object, error));
        }
        session.tell_rollbacks(&rollbacks);
        if wanted.is_empty() && rollbacks.is_empty() && all.unreadable.is_empty() {
            session.screen.note("there are no such snapshots");
        }
    }
    let unreadable: Vec<Value> = all
        .unreadable
        .iter()
        .map(|(object, error)| json!({ "object": object, "message": error.to_string() }))
        .collect();
    let snapshots: Vec<Value> = wanted.iter().map(Row::json).collect();
    let result = json!({ "snapshots": snapshots, "unreadable": unreadable, "rollbacks": json::rollbacks(&rollbacks) });
    Ok(Done::unless(!unreadable.is_empty(), result).unless_rolled_back(&rollbacks))
}

fn print(session: &Session, wanted: &[Row<'_>]) -> io::Result<()> {
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
    for Row { listed: Listed { id, snapshot, .. }, tags, pin, rewritten } in wanted {
        let tags: Vec<String> = tags.iter().map(|tag| Shown(tag.as_bytes()).to_string()).collect();
        table.row(vec![
            id.short(),
            human::local_time(snapshot.head.time.sec),
            Shown(snapshot.series.as_bytes()).to_string(),
            human::count(snapshot.totals.files),
            human::bytes(snapshot.totals.bytes),
            human::bytes(snapshot.work.bytes_stored),
            tags.join(" "),
            [
                (!snapshot.head.complete).then_some("incomplete"),
                pin.is_some().then_some("pinned"),
                (!rewritten.is_empty()).then_some("rewritten"),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
        ]);
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let out = &mut io::stdout().lock();
    table.print(out, session.screen.stdout_colours())?;
    if !session.global.quiet && session.screen.stdout_terminal {
        let mut series: Vec<&str> = wanted.iter().map(|row| row.listed.snapshot.series.as_str()).collect();
        series.dedup();
        let snapshots = human::counted(wanted.len() as u64, "snapshot", "snapshots");
        writeln!(out, "{snapshots} of {} series", human::count(series.len() as u64))?;
    }
    Ok(())
}
