//! `vault parity`

use super::{
    exit::{Done, Failure},
    human,
    session::Session,
};
use crate::{
    name::Shown,
    ops::parity::{self as op, Added, Addition, Status},
    parity::Percent,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault parity add                   cover what is new with 3 % of parity; after each snapshot, sync or prune
  vault parity add --percent 10      ten of a hundred sectors may be lost
  vault parity status
  vault parity remove

No key or passphrase is needed. What parity brings back, `vault repair` brings back.";

/// Make up for sectors that a disk will lose: parity for the objects of a repository, second copies of its metadata
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Cover what is not covered yet
    Add(Add),
    /// Take all sidecars and second copies away
    #[command(after_help = "Example:\n  vault parity remove --repo /mnt/usb/vault")]
    Remove,
    /// What is covered, and how well
    #[command(after_help = "Example:\n  vault parity status --repo /mnt/usb/vault")]
    Status,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vault parity add
  vault parity add --percent 5 --mirror --repo /mnt/usb/vault
  vault parity add --drop-missing    after a prune: what is gone is to stay gone")]
struct Add {
    /// How many of a hundred sectors may be lost, from 0.1 to 50; for what is new, what is covered stays as it is
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "3")]
    percent: Percent,
    /// Also keep second copies of all but file contents, in mirror/
    #[arg(long)]
    mirror: bool,
    /// What is covered and no longer there was removed by a prune: give up being able to bring it back
    #[arg(long)]
    drop_missing: bool,
}

fn percent(text: &str) -> Result<Percent, String> {
    let share = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    let hundredths = share.map(|share| (share * 100.0).round()).filter(|share| (0.0..=5000.0).contains(share));
    hundredths
        .and_then(|share| Percent::new(share as u16))
        .ok_or_else(|| "write a share from 0.1 to 50, such as 3".into())
}

impl Args {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::Add(_) => "parity add",
            Verb::Remove => "parity remove",
            Verb::Status => "parity status",
        }
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    match args.verb {
        Verb::Add(args) => add(args, session),
        Verb::Remove => remove(session),
        Verb::Status => status(session),
    }
}

fn add(args: Add, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    let store = session.open_store(&session.place()?)?;
    let progress = session.progress();
    let request = Addition {
        percent: args.percent,
        mirror: args.mirror,
        drop_missing: args.drop_missing,
        replace: BTreeSet::new(),
    };
    let added = op::add(&*store, &request, progress.monitor());
    drop(progress);
    let added = added?;
    if !session.screen.json && !session.global.quiet {
        print_added(session, &added, begun.elapsed())?;
    }
    let unfit: Vec<Value> =
        added.unfit.iter().map(|(object, what)| json!({ "object": object, "what": what })).collect();
    let result = json!({
        "sidecars": added.sidecars,
        "objects": added.objects,
        "bytes": added.bytes,
        "parity_bytes": added.parity_bytes,
        "removed": added.removed,
        "mirrored": added.mirrored,
        "mirrored_bytes": added.mirrored_bytes,
        "unmirrored": added.unmirrored,
        "missing": added.missing,
        "unfit": unfit,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    Ok(Done::unless(!added.unfit.is_empty(), result))
}

fn print_added(session: &Session, added: &Added, took: Duration) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let verdict = match (added.objects, added.unfit.len() as u64) {
        (0, 0) => "everything is covered".into(),
        (n, 0) => format!("{} covered", human::counted(n, "object is", "objects are")),
        (n, bad) => {
            let bad = human::counted(bad, "damaged one is not", "damaged ones are not");
            format!("{} covered; {bad}: see `vault repair`", human::counted(n, "object is", "objects are"))
        }
    };
    writeln!(out, "{verdict}")?;
    let mut facts = vec![
        ("read", human::bytes(added.bytes)),
        ("parity", format!("{} in {}", human::bytes(added.parity_bytes), sidecars(added.sidecars))),
    ];
    if added.mirrored > 0 || added.unmirrored > 0 {
        let gone = match added.unmirrored {
            0 => String::new(),
            n => format!(", {} removed", human::count(n)),
        };
        let made = human::counted(added.mirrored, "second copy", "second copies");
        facts.push(("mirror", format!("{made}, {}{gone}", human::bytes(added.mirrored_bytes))));
    }
    if added.removed > 0 {
        facts.push(("removed", format!("{} of which little was left", sidecars(added.removed))));
    }
    facts.push(("time", human::duration(took)));
    human::print_facts(out, &facts)?;
    tell_missing(session, added.missing);
    Ok(())
}

fn tell_missing(session: &Session, missing: u64) {
    if missing > 0 {
        session.screen.note(&format!(
            "{} covered that {} not there: if a prune removed {}, say `vault parity add --drop-missing`, else `vault repair`",
            human::counted(missing, "object is", "objects are"),
            if missing == 1 { "is" } else { "are" },
            if missing == 1 { "it" } else { "them" },
        ));
    }
}

fn sidecars(n: u64) -> String {
    human::counted(n, "sidecar", "sidecars")
}

fn status(session: &Session) -> Result<Done, Failure> {
    let store = session.open_store(&session.place()?)?;
    let progress = session.progress();
    let status = op::status(&*store, progress.monitor());
    drop(progress);
    let status = status?;
    if !session.screen.json {
        print_status(session, &status)?;
    }
    let damaged: Vec<Value> =
        status.damaged.iter().map(|(object, what)| json!({ "object": object, "what": what })).collect();
    let result = json!({
        "objects": status.objects,
        "bytes": status.bytes,
        "covered": status.covered,
        "covered_bytes": status.covered_bytes,
        "sidecars": status.sidecars,
        "parity_bytes": status.parity_bytes,
        "weak": status.weak,
        "damaged": damaged,
        "least_percent": status.least,
        "missing": status.missing,
        "mirrored": status.mirrored,
        "mirrored_bytes": status.mirrored_bytes,
        "aside": status.aside,
        "aside_bytes": status.aside_bytes,
    });
    Ok(Done::unless(!status.damaged.is_empty(), result))
}

fn print_status(session: &Session, status: &Status) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    for (object, what) in &status.damaged {
        writeln!(out, "{object}: {}", Shown(what.as_bytes()))?;
    }
    let of = |n, bytes| format!("{}, {}", human::counted(n, "object", "objects"), human::bytes(bytes));
    let mut facts = vec![
        ("repository", of(status.objects, status.bytes)),
        ("covered", of(status.covered, status.covered_bytes)),
        ("parity", format!("{}, {}", sidecars(status.sidecars), human::bytes(status.parity_bytes))),
        ("mirror", of(status.mirrored, status.mirrored_bytes)),
    ];
    if let Some(least) = status.least {
        facts.push(("survives", format!("{least:.2} % of the sectors of any group lost")));
    }
    if status.weak > 0 {
        facts.push(("weak", format!("{}: `vault parity add` covers what is left of them anew", sidecars(status.weak))));
    }
    if status.aside > 0 {
        facts.push(("damaged", format!("{}, put aside in damaged/", of(status.aside, status.aside_bytes))));
    }
    human::print_facts(out, &facts)?;
    if session.global.quiet {
        return Ok(());
    }
    if !status.damaged.is_empty() {
        session.screen.note("`vault repair --read-data` makes damaged sidecars anew");
    }
    if status.covered < status.objects {
        session.screen.note("`vault parity add` covers the rest");
    }
    tell_missing(session, status.missing);
    Ok(())
}

fn remove(session: &Session) -> Result<Done, Failure> {
    let store = session.open_store(&session.place()?)?;
    let progress = session.progress();
    let removed = op::remove(&*store, progress.monitor());
    drop(progress);
    let removed = removed?;
    if !session.screen.json && !session.global.quiet {
        let copies = human::counted(removed.mirrored, "second copy", "second copies");
        writeln!(
            io::stdout().lock(),
            "removed {} and {copies}, {}",
            sidecars(removed.sidecars),
            human::bytes(removed.bytes)
        )?;
    }
    let result = json!({ "sidecars": removed.sidecars, "mirrored": removed.mirrored, "bytes": removed.bytes });
    Ok(Done::good(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        for (text, hundredths) in [("3", 300), ("3%", 300), ("0.1", 10), ("50 %", 5000), ("2.25", 225)] {
            assert_eq!(percent(text), Ok(Percent::new(hundredths).unwrap()), "{text}");
        }
        for bad in ["0", "0.05", "51", "-1", "x", "", "NaN", "1e9"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
