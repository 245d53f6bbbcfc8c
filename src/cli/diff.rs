//! `vault diff`

use super::{
    entry,
    exit::{Done, Failure},
    human, json,
    session::Session,
};
use crate::{
    error::Error,
    model::node::{Body, Node},
    name::Shown,
    ops::diff::{self as op, Change, Difference, Live, Report, Side},
    repo::BlobReader,
};
use clap::ValueHint;
use serde_json::{Map, Value, json};
use similar::TextDiff;
use std::{
    ffi::OsString,
    io::{self, BufWriter, Write},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

const EXAMPLES: &str = "\
Examples:
  vault diff alpha/-/srv/wiki@1w alpha/-/srv/wiki         what a week changed
  vault diff --patch alpha/web1/shop@3d:app/config alpha/web1/shop:app/config
  vault diff alpha/-/srv/wiki --live /srv/wiki            what changed since the last snapshot
  vault diff 1a2b3c4d --live /srv/wiki --content          the same by reading all files

+ new, - gone, M contents differ, m only what is named differs, > moved.";

/// Compare two snapshots, or a snapshot with what is there
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The older: SERIES[@VERSION][:PATH] or ID[:PATH]
    before: OsString,
    /// The newer; without a path of its own, the older's path counts
    #[arg(required_unless_present = "live", conflicts_with = "live")]
    after: Option<OsString>,
    /// Compare with this file or folder; of several sources, with what is in it under their names
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    live: Option<PathBuf>,
    /// Read files whose size is the same, rather than to trust their time
    #[arg(long, requires = "live")]
    content: bool,
    /// Show how small text files differ, as patch(1) takes it
    #[arg(long, short, conflicts_with_all = ["live", "json"])]
    patch: bool,
    /// Only sums
    #[arg(long, conflicts_with = "patch")]
    stat: bool,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let (before, path) = session.resolve(&repo, &args.before)?;
    let after = args.after.as_ref().map(|after| session.resolve(&repo, after)).transpose()?;
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut broken = None;
    let mut each = |difference: &Difference| {
        let printed = if session.screen.json {
            writeln!(out, "{}", json::Line(&event(difference)))
        } else if args.stat {
            Ok(())
        } else if args.patch {
            let patched = patch(&reader, difference, session.screen.stdout_terminal, &mut out);
            return patched.map_err(|failure| match failure {
                Failure::Vault(error) => error,
                Failure::Output(error) => {
                    broken = Some(error);
                    Error::Cancelled
                }
                _ => Error::Cancelled,
            });
        } else {
            writeln!(out, "{}", line(difference))
        };
        // Whoever reads has gone, or its disk is full: no need to compare on.
        printed.map_err(|e| {
            broken = Some(e);
            Error::Cancelled
        })
    };
    let progress = session.progress();
    let side = Side { listed: &before, path: path.as_deref() };
    let report = match (&after, &args.live) {
        (Some((after, own)), _) => {
            let after = Side { listed: after, path: own.as_deref().or(path.as_deref()) };
            let before = Side { path: path.as_deref().or(own.as_deref()), ..side };
            op::diff(&reader, before, after, &mut each, progress.monitor())
        }
        (None, Some(live)) => {
            let protect = session.repository_identity();
            let live = Live { path: live.as_os_str().as_bytes(), content: args.content, protect };
            op::diff_live(&reader, side, live, &mut each, progress.monitor())
        }
        (None, None) => return Err(Error::usage("compare with what? Give a second address, or --live PATH").into()),
    };
    drop(progress);
    if let Some(error) = broken {
        return Err(error.into());
    }
    let report = report?;
    if !session.screen.json && (args.stat || (session.screen.stdout_terminal && !session.global.quiet && !args.patch)) {
        sums(&report, &mut out)?;
    }
    out.flush()?;
    drop(out);
    if !session.screen.json {
        for problem in &report.unreadable {
            session.screen.warn(&format!("{}: {}", Shown(&problem.path), problem.what));
        }
    }
    let result = json!({
        "before": before.id.to_string(),
        "after": after.as_ref().map(|(after, _)| after.id.to_string()),
        "equal": report.is_equal(),
        "added": report.added,
        "removed": report.removed,
        "changed": report.changed,
        "metadata": report.metadata,
        "moved": report.moved,
        "bytes_added": report.bytes_added,
        "bytes_removed": report.bytes_removed,
        "unreadable": json::problems(&report.unreadable),
    });
    Ok(Done::unless(!report.unreadable.is_empty(), result))
}

fn sums(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    if report.is_equal() {
        return writeln!(out, "nothing differs");
    }
    human::print_facts(
        out,
        &[
            ("new", human::counted(report.added, "entry", "entries")),
            ("gone", human::counted(report.removed, "entry", "entries")),
            (
                "changed",
                format!(
                    "{}, and {} in metadata only",
                    human::counted(report.changed, "entry", "entries"),
                    human::count(report.metadata)
                ),
            ),
            ("moved", human::counted(report.moved, "entry", "entries")),
            (
                "bytes",
                format!(
                    "{} in new and changed files, in place of {}",
                    human::bytes(report.bytes_added),
                    human::bytes(report.bytes_removed)
                ),
            ),
        ],
    )
}

fn shown(path: &[u8], node: &Node) -> String {
    format!("{}{}", Shown(path), if node.is_dir() { "/" } else { "" })
}

/// One difference for people.
fn line(difference: &Difference) -> String {
    let path = &difference.path;
    match &difference.change {
        Change::Added(node) => format!("+ {}", shown(path, node)),
        Change::Removed(node) => format!("- {}", shown(path, node)),
        Change::Changed { before, after, what } => {
            let sign = if what.is_metadata_only() { 'm' } else { 'M' };
            format!("{sign} {}  ({})", shown(path, after), details(before, after, what))
        }
        Change::Moved { from, before, after, what } => {
            let details =
                if what.is_nothing() { String::new() } else { format!("  ({})", details(before, after, what)) };
            format!("> {} -> {}{details}", shown(from, before), shown(path, after))
        }
    }
}

/// `content 1.00 KiB -> 2.00 KiB, mode 0644 -> 0600`
fn details(before: &Node, after: &Node, what: &crate::ops::compare::What) -> String {
    let (was, is) = (&before.meta, &after.meta);
    let one = |word: &'static str| match word {
        "type" => format!("{} -> {}", entry::word(&before.body), entry::word(&after.body)),
        "content" if before.bytes() == after.bytes() => format!("content, {}", human::bytes(after.bytes())),
        "content" => format!("content {} -> {}", human::bytes(before.bytes()), human::bytes(after.bytes())),
        "mode" => format!("mode {:04o} -> {:04o}", was.mode, is.mode),
        "owner" => format!("owner {}:{} -> {}:{}", was.uid, was.gid, is.uid, is.gid),
        "time" => format!("time {} -> {}", human::local_time(was.mtime.sec), human::local_time(is.mtime.sec)),
        "target" => match (&before.body, &after.body) {
            (Body::Symlink { target: was }, Body::Symlink { target: is }) => format!("{} -> {}", Shown(was), Shown(is)),
            _ => word.into(),
        },
        word => word.into(),
    };
    let mut words = what.words();
    if !what.is_metadata_only() {
        // That contents have another time goes without saying.
        words.retain(|word| *word != "time");
    }
    words.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

fn event(difference: &Difference) -> Value {
    let mut object = Map::new();
    object.insert("event".into(), "difference".into());
    json::put_bytes(&mut object, "path", &difference.path);
    let (change, before, after, what) = match &difference.change {
        Change::Added(after) => ("added", None, Some(after), None),
        Change::Removed(before) => ("removed", Some(before), None, None),
        Change::Changed { before, after, what } => ("changed", Some(before), Some(after), Some(what)),
        Change::Moved { from, before, after, what } => {
            json::put_bytes(&mut object, "from", from);
            ("moved", Some(before), Some(after), Some(what))
        }
    };
    object.insert("change".into(), change.into());
    if let Some(what) = what {
        object.insert("what".into(), what.words().into());
    }
    for (field, node) in [("before", before), ("after", after)] {
        let Some(node) = node else { continue };
        let meta = &node.meta;
        object.insert(
            field.into(),
            json!({
                "type": entry::word(&node.body),
                "size": node.bytes(),
                "mode": format!("{:04o}", meta.mode),
                "uid": meta.uid,
                "gid": meta.gid,
                "mtime": json::time(meta.mtime),
            }),
        );
    }
    Value::Object(object)
}

/// A file's part of a patch; of what is no small text file a line.
fn patch(reader: &BlobReader<'_>, difference: &Difference, terminal: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let (before, after) = match &difference.change {
        Change::Added(after) => (None, Some(after)),
        Change::Removed(before) => (Some(before), None),
        Change::Changed { before, after, what } if !what.is_metadata_only() => (Some(before), Some(after)),
        Change::Changed { .. } | Change::Moved { .. } => return Ok(writeln!(out, "{}", line(difference))?),
    };
    let read = |node: Option<&Box<Node>>| -> Result<Option<Vec<u8>>, Error> {
        match node.map(|node| op::contents(reader, node)) {
            None => Ok(Some(Vec::new())),
            Some(contents) => contents.map(|bytes| bytes.filter(|bytes| op::is_text(bytes))),
        }
    };
    let (Some(was), Some(is)) = (read(before)?, read(after)?) else {
        return Ok(writeln!(out, "{}", line(difference))?);
    };
    let name = |side: &str, is_there: bool| match is_there {
        true => format!("{side}/{}", Shown(&difference.path)),
        false => "/dev/null".into(),
    };
    let text = TextDiff::from_lines(&was[..], &is[..]);
    let mut unified = text.unified_diff();
    let mut bytes = Vec::new();
    unified
        .context_radius(3)
        .header(&name("a", before.is_some()), &name("b", after.is_some()))
        .to_writer(&mut bytes)?;
    if terminal {
        // Contents of files may hold anything.
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let safe: Vec<String> = line.split(|&b| b == b'\t').map(safe).collect();
            writeln!(out, "{}", safe.join("\t"))?;
        }
        return Ok(());
    }
    Ok(out.write_all(&bytes)?)
}

/// The same as a name is shown, but with backslashes as they are.
fn safe(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.split(|&b| b == b'\\').map(|part| Shown(part).to_string()).collect();
    parts.join("\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::entry::tests::node, model::node::Content, ops::compare::What};

    fn file(size: u64) -> Box<Node> {
        Box::new(node(0o644, Body::File { size, content: Content::Extents(Vec::new()) }))
    }

    #[test]
    fn a_line_says_what_differs_and_steers_no_terminal() {
        let path = b"a\x1b[2J".to_vec();
        let said = |change| line(&Difference { path: path.clone(), change });
        assert_eq!(said(Change::Added(file(1))), "+ a\\x1b[2J");
        let (before, mut after) = (file(10), file(2048));
        after.meta.mode = 0o600;
        let mut what = What { content: true, mode: true, mtime: true, ..What::default() };
        let changed = |before: &Node, after: &Node, what| Change::Changed {
            before: Box::new(before.clone()),
            after: Box::new(after.clone()),
            what,
        };
        let line = said(changed(&before, &after, what));
        assert_eq!(line, "M a\\x1b[2J  (content 10 B -> 2.00 KiB, mode 0644 -> 0600)");
        what = What { mode: true, ..What::default() };
        assert_eq!(said(changed(&before, &after, what)), "m a\\x1b[2J  (mode 0644 -> 0600)");
        let moved = Change::Moved { from: b"\xff".to_vec(), before: file(1), after: file(1), what: What::default() };
        assert_eq!(said(moved), "> \\xff -> a\\x1b[2J");
        let link = |target: &str| Box::new(node(0o777, Body::Symlink { target: target.into() }));
        let what = What { target: true, ..What::default() };
        assert!(said(changed(&link("\x07"), &link("b"), what)).ends_with("(\\x07 -> b)"));
    }

    #[test]
    fn contents_for_a_terminal_are_made_safe() {
        assert_eq!(safe(b"C:\\new \x1b[31m"), "C:\\new \\x1b[31m");
    }
}
