//! `vault tag`, `vault pin`, `vault unpin`

use super::{
    exit::{Done, Failure},
    host, human,
    session::Session,
};
use crate::{
    error::Error,
    model::annotation::Change,
    name::Shown,
    ops::{annotate::annotate, forget::Actor},
};
use serde_json::json;
use std::{ffi::OsString, os::unix::ffi::OsStrExt};

const TAG_EXAMPLES: &str = "\
Examples:
  vault tag add release alpha/-/srv/wiki@2026-03-02 1a2b3c4d
  vault tag remove release 1a2b3c4d
  vault forget --keep-daily 14 --keep-tag release
  vault snapshots --tag release";

const PIN_EXAMPLES: &str = "\
Examples:
  vault pin alpha/-/srv/wiki@latest --reason 'before the move'
  vault unpin 1a2b3c4d";

/// Give tags to snapshots, and take them away
#[derive(Debug, clap::Args)]
#[command(after_help = TAG_EXAMPLES, arg_required_else_help = true)]
pub struct TagArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Give a tag to snapshots
    #[command(after_help = "Example:\n  vault tag add release alpha/-/srv/wiki@2026-03-02 1a2b3c4d")]
    Add(Tagged),
    /// Take a tag away from snapshots
    #[command(after_help = "Example:\n  vault tag remove release 1a2b3c4d")]
    Remove(Tagged),
}

#[derive(Debug, clap::Args)]
struct Tagged {
    /// The tag, one word
    tag: String,
    /// Snapshots: SERIES[@VERSION] or ID
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<OsString>,
}

impl TagArgs {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::Add(_) => "tag add",
            Verb::Remove(_) => "tag remove",
        }
    }
}

/// Keep snapshots whatever rules say, until they are unpinned
#[derive(Debug, clap::Args)]
#[command(after_help = PIN_EXAMPLES)]
pub struct PinArgs {
    /// Snapshots: SERIES[@VERSION] or ID
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<OsString>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let rules decide again what becomes of snapshots
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault unpin 1a2b3c4d")]
pub struct UnpinArgs {
    /// Snapshots: SERIES[@VERSION] or ID
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<OsString>,
}

pub fn tag(args: TagArgs, session: &Session) -> Result<Done, Failure> {
    let (Tagged { tag, addresses }, on) = match args.verb {
        Verb::Add(tagged) => (tagged, true),
        Verb::Remove(tagged) => (tagged, false),
    };
    if on {
        crate::model::annotation::check_tag(&tag)
            .map_err(|e| Error::usage(format!("\"{}\": {e}", Shown(tag.as_bytes()))))?;
    }
    let (did, already) = if on { ("tagged", "had the tag") } else { ("untagged", "did not have the tag") };
    say(session, &addresses, Change::Tag { tag, on }, did, already)
}

pub fn pin(args: PinArgs, session: &Session) -> Result<Done, Failure> {
    say(session, &args.addresses, Change::Pin { on: true, reason: args.reason }, "pinned", "pinned already")
}

pub fn unpin(args: UnpinArgs, session: &Session) -> Result<Done, Failure> {
    say(session, &args.addresses, Change::Pin { on: false, reason: None }, "unpinned", "not pinned")
}

fn say(session: &Session, addresses: &[OsString], change: Change, did: &str, already: &str) -> Result<Done, Failure> {
    let repo = session.open()?;
    let mut snapshots = Vec::new();
    for address in addresses {
        let (listed, path) = session.resolve(&repo, address)?;
        if path.is_some() {
            let shown = Shown(address.as_bytes());
            return Err(Error::usage(format!("\"{shown}\" names files: give whole snapshots")).into());
        }
        snapshots.push(listed);
    }
    let actor = Actor { host: host::fqdn(), user: host::user() };
    let progress = session.progress();
    let report = annotate(&repo, &snapshots, &[change], &actor, progress.monitor());
    progress.end();
    let report = report?;
    if !session.global.quiet {
        for (ids, what) in [(&report.changed, did), (&report.unchanged, already)] {
            let many = human::counted(ids.len() as u64, "snapshot", "snapshots");
            let short: Vec<String> = ids.iter().map(|id| id.short()).collect();
            if !ids.is_empty() {
                session.screen.print(&format!("{what}: {many} ({})", short.join(" ")))?;
            }
        }
    }
    let ids = |ids: &[crate::id::SnapshotId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    Ok(Done::good(json!({ "changed": ids(&report.changed), "unchanged": ids(&report.unchanged) })))
}
