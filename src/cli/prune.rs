//! `vault prune`

use super::{
    args,
    exit::{Done, Failure},
    human::{self, Align, Table},
    json,
    session::Session,
};
use crate::{
    ops::prune::{self as op, Amount, Options, Plan, Report, Unused},
    series::parse_age,
    world::Time,
};
use serde_json::{Value, json};
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  vault prune --dry-run            what would be removed, and when
  vault prune                      after every `vault forget`, or once a day
  vault prune --max-unused 0       take the last byte back, whatever it costs to move the rest

What no snapshot needs is marked first, and removed by a later run, when the grace time is over and every snapshot
that was under way has ended: nobody waits for anybody. Snapshots may be taken meanwhile.
What was stored together is kept or moved together: a part of 1 to 4 MiB of which anything is needed stays whole.";

/// Give the space back that forgotten snapshots took
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// How much may stay unused: a share of the repository (5%), a size (10G), or unlimited [default: 5%, or more where moving the rest
    /// would take more than twice the bytes that it wins]
    #[arg(long, value_name = "SHARE|SIZE", value_parser = unused)]
    max_unused: Option<Unused>,
    /// Move at most so much in this run
    #[arg(long, value_name = "SIZE", value_parser = args::size)]
    max_repack: Option<u64>,
    /// How long packs stay after nothing needs them any more (12h, 3d)
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "1d")]
    grace: i64,
    /// Go on although snapshots seem to be lost, or most of the packs would go
    #[arg(long)]
    force: bool,
    /// Nobody else is at work: pass over damaged sessions and notes where the store has no clock that would tell their age
    #[arg(long)]
    alone: bool,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

fn age(text: &str) -> Result<i64, String> {
    let seconds = if text == "0" { Some(0) } else { parse_age(text) };
    seconds.and_then(|age| i64::try_from(age).ok()).ok_or_else(|| "write an age such as 12h, 3d or 0".into())
}

fn unused(text: &str) -> Result<Unused, String> {
    if text == "unlimited" {
        return Ok(Unused::Unlimited);
    }
    match text.strip_suffix('%').map(|share| share.trim().parse::<f64>()) {
        Some(Ok(share)) if (0.0..=100.0).contains(&share) => Ok(Unused::Percent(share)),
        Some(_) => Err("write a share from 0% to 100%".into()),
        None => args::size(text).map(Unused::Bytes),
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let options = Options {
        max_unused: args.max_unused,
        max_repack: args.max_repack,
        grace: args.grace,
        force: args.force,
        alone: args.alone,
        threads: args.threads,
    };
    let progress = session.progress();
    let done = if args.dry_run {
        op::plan(&repo, &options, progress.monitor()).map(|plan| (plan, None))
    } else {
        op::prune(&repo, &options, progress.monitor()).map(|(plan, report)| (plan, Some(report)))
    };
    drop(progress);
    let (plan, report) = done?;
    if !session.screen.json && !session.global.quiet {
        print(session, &plan, report.as_ref())?;
    }
    let damaged = report.as_ref().is_some_and(|report| !report.damaged.is_empty());
    Ok(Done::unless(damaged, result(&plan, report.as_ref())))
}

fn amount(amount: &Amount) -> Value {
    json!({ "packs": amount.packs, "bytes": amount.bytes })
}

fn result(plan: &Plan, report: Option<&Report>) -> Value {
    let numbers = &plan.numbers;
    let ids = |ids: &[crate::id::SnapshotId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "dry_run": report.is_none(),
        "snapshots": numbers.snapshots,
        "stored": amount(&numbers.stored),
        "live": amount(&numbers.live),
        "live_blobs": numbers.live_blobs,
        "dead_bytes": numbers.dead_bytes,
        "dead_beside_live": numbers.dead_beside_live,
        "removed": amount(&numbers.removed),
        "moved": amount(&numbers.moved),
        "merged": amount(&numbers.merged),
        "condemned": amount(&numbers.condemned),
        "unused_after": numbers.unused_after,
        "removable_after": json::time(Time::from_sec(plan.ripe)),
        "done": report.map(|report| json!({
            "removed": amount(&report.removed),
            "moved": amount(&report.moved),
            "marked": report.marked,
            "index_objects_replaced": report.indexes_replaced,
            "snapshots_finished": ids(&report.published),
            "damaged": report.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })),
    })
}

fn print(session: &Session, plan: &Plan, report: Option<&Report>) -> io::Result<()> {
    let out = &mut io::stdout().lock();
    let numbers = &plan.numbers;
    let mut table = Table::new(&[("", Align::Left), ("PACKS", Align::Right), ("SIZE", Align::Right)]);
    let mut row = |what: &str, packs: Option<u64>, bytes: u64| {
        table.row(vec![what.into(), packs.map(human::count).unwrap_or_default(), human::bytes(bytes)]);
    };
    let dry = report.is_none();
    row("stored", Some(numbers.stored.packs), numbers.stored.bytes);
    row("needed", Some(numbers.live.packs), numbers.live.bytes);
    row("not needed", None, numbers.dead_bytes);
    row(if dry { "would be removed now" } else { "removed now" }, Some(numbers.removed.packs), numbers.removed.bytes);
    row(if dry { "would be moved" } else { "moved" }, Some(numbers.moved.packs), numbers.moved.bytes);
    if numbers.merged.packs > 0 {
        row("of these small ones put together", Some(numbers.merged.packs), numbers.merged.bytes);
    }
    let later = if numbers.condemned.packs > 0 {
        format!("{} after {}", if dry { "would go" } else { "will go" }, human::local_time(plan.ripe))
    } else {
        "will go later".to_owned()
    };
    row(&later, Some(numbers.condemned.packs), numbers.condemned.bytes);
    row("stays unused", None, numbers.unused_after);
    table.print(out, session.screen.stdout_colours())?;
    if numbers.dead_beside_live > 0 {
        let size = human::bytes(numbers.dead_beside_live);
        writeln!(out, "{size} (before compression) are not needed, and stay beside what is needed.")?;
    }
    if let Some(report) = report {
        if !report.published.is_empty() {
            let count = human::counted(report.published.len() as u64, "snapshot", "snapshots");
            writeln!(out, "{count} of runs that were killed just before their end were finished.")?;
        }
        if numbers.condemned.packs > 0 {
            writeln!(out, "Run vault prune again after that time to get the space.")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stay_is_a_share_or_a_size() {
        assert_eq!(unused("5%"), Ok(Unused::Percent(5.0)));
        assert_eq!((unused("0"), unused("10K")), (Ok(Unused::Bytes(0)), Ok(Unused::Bytes(10 << 10))));
        assert_eq!(unused("unlimited"), Ok(Unused::Unlimited));
        assert!(unused("101%").is_err() && unused("x%").is_err() && unused("-1").is_err());
        assert_eq!((age("0"), age("1d")), (Ok(0), Ok(86_400)));
        assert!(age("soon").is_err());
    }
}
