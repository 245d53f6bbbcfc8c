//! `vault ls`

use super::{
    entry,
    exit::{Done, Failure},
    human, json,
    session::Session,
};
use crate::{error::Error, model::node::Body, name::Shown, ops::ls as op, repo::BlobReader};
use serde_json::{Map, Value, json};
use std::{
    ffi::OsString,
    io::{self, BufWriter, Write},
};

const EXAMPLES: &str = "\
Examples:
  vault ls alpha.example.org/-/srv/wiki                  the sources of the newest snapshot
  vault ls -l alpha.example.org/-/srv/wiki@3d:wiki/data
  vault ls -l --tree 1a2b3c4d:wiki                       all of it, as a tree
  vault ls -R0 1a2b3c4d:wiki | xargs -0 …                exact names";

/// List what is in a snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// SERIES[@VERSION][:PATH] or ID[:PATH]
    address: OsString,
    /// Also what is in folders
    #[arg(long, short = 'R')]
    recursive: bool,
    /// With mode, owner, size and time
    #[arg(long, short)]
    long: bool,
    /// Also what is in folders, drawn as a tree
    #[arg(long, short, conflicts_with = "json")]
    tree: bool,
    /// End names with NUL and escape nothing
    #[arg(long, short = '0', conflicts_with_all = ["json", "long", "tree"])]
    null: bool,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let (listed, path) = session.resolve(&repo, &args.address)?;
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut entries, mut broken) = (0u64, None);
    let json = session.screen.json;
    let mut widths = [8; 2];
    let mut branches = Branches::default();
    let mut each = |entry: &op::Entry<'_>| {
        entries += 1;
        let printed = if json {
            let &op::Entry { path, node, user, group, .. } = entry;
            writeln!(out, "{}", json::Line(&entry::json("entry", path, node, user, group)))
        } else if args.null {
            out.write_all(entry.path).and_then(|()| out.write_all(b"\0"))
        } else {
            let name = if args.tree { branches.name(entry) } else { Shown(entry.path).to_string() };
            if args.long {
                writeln!(out, "{}", long_line(entry, &name, &mut widths))
            } else {
                writeln!(out, "{name}{}", if entry.node.is_dir() { "/" } else { "" })
            }
        };
        // Whoever reads has gone, or its disk is full: no need to read on.
        printed.map_err(|e| {
            broken = Some(e);
            Error::Cancelled
        })
    };
    let result = op::ls(&reader, &listed, path.as_deref(), args.recursive || args.tree, &mut each);
    if let Some(error) = broken {
        return Err(error.into());
    }
    let unreadable = result?;
    out.flush()?;
    drop(out);
    if !json {
        for (path, error) in &unreadable {
            session.screen.warn(&format!("{}: {error}", Shown(path)));
        }
    }
    let unreadable: Vec<Value> = unreadable
        .iter()
        .map(|(path, error)| {
            let mut object = Map::new();
            json::put_bytes(&mut object, "path", path);
            object.insert("message".into(), error.to_string().into());
            Value::Object(object)
        })
        .collect();
    let result = json!({ "snapshot": listed.id.to_string(), "entries": entries, "unreadable": unreadable });
    Ok(Done::unless(!unreadable.is_empty(), result))
}

/// The lines of a tree, drawn from the top down.
#[derive(Default)]
struct Branches(Vec<bool>);

impl Branches {
    /// The last name of a path behind the branches that lead to it.
    fn name(&mut self, entry: &op::Entry<'_>) -> String {
        self.0.truncate(entry.depth);
        let mut drawn = String::new();
        for last in self.0.iter().skip(1) {
            drawn.push_str(if *last { "    " } else { "│   " });
        }
        if entry.depth > 0 {
            drawn.push_str(if entry.last { "└── " } else { "├── " });
        }
        self.0.push(entry.last);
        let name = entry.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        drawn + &Shown(name).to_string()
    }
}

/// `widths` are those of owner and group: lines are printed as they come, so they grow with the longest name so far.
fn long_line(entry: &op::Entry<'_>, name: &str, widths: &mut [usize; 2]) -> String {
    let &op::Entry { node, user, group, .. } = entry;
    let owner = |name: Option<&str>, number: u32| match name {
        Some(name) => Shown(name.as_bytes()).to_string(),
        None => number.to_string(),
    };
    let size = match node.body {
        Body::CharDevice { major, minor } | Body::BlockDevice { major, minor } => format!("{major}, {minor}"),
        Body::File { .. } | Body::Directory { .. } => node.bytes().to_string(),
        _ => "0".into(),
    };
    let arrow = match &node.body {
        Body::Symlink { target } => format!(" -> {}", Shown(target)),
        Body::Directory { .. } => "/".into(),
        _ => String::new(),
    };
    let meta = &node.meta;
    let owners = [owner(user, meta.uid), owner(group, meta.gid)];
    for (width, owner) in widths.iter_mut().zip(&owners) {
        *width = (*width).max(owner.chars().count());
    }
    let ([user, group], [user_width, group_width]) = (owners, *widths);
    format!(
        "{}{} {:>3} {user:<user_width$} {group:<group_width$} {size:>12} {} {}{arrow}",
        entry::mode(node),
        if meta.xattrs.is_empty() { ' ' } else { '@' },
        meta.links,
        human::local_time(meta.mtime.sec),
        name
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::entry::tests::node, model::node::Node};

    fn listed<'a>(path: &'a [u8], node: &'a Node, depth: usize, last: bool) -> op::Entry<'a> {
        op::Entry { path, node, user: Some("\x07"), group: None, depth, last }
    }

    #[test]
    fn hostile_names_are_escaped() {
        let link = node(0o777, Body::Symlink { target: b"\x1b[31m".to_vec() });
        let line = long_line(&listed(b"a\nb", &link, 0, true), "a\\nb", &mut [8; 2]);
        assert!(line.ends_with("a\\nb -> \\x1b[31m") && line.contains("\\x07") && line.contains(" 5 "), "{line}");
        assert_eq!(Branches::default().name(&listed(b"d/\x1b[2J", &link, 0, true)), "\\x1b[2J");
    }

    #[test]
    fn branches_end_where_directories_do() {
        let fifo = node(0o644, Body::Fifo);
        let mut branches = Branches::default();
        let mut drawn = Vec::new();
        for (path, depth, last) in [
            ("a", 0, false),
            ("a/b", 1, false),
            ("a/b/c", 2, true),
            ("a/d", 1, true),
            ("a/d/e", 2, true),
            ("f", 0, true),
        ] {
            drawn.push(branches.name(&listed(path.as_bytes(), &fifo, depth, last)));
        }
        assert_eq!(drawn, ["a", "├── b", "│   └── c", "└── d", "    └── e", "f"]);
    }
}
