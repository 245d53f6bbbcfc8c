//! `vault ls`

use super::{
    exit::{Done, Failure},
    human, json,
    session::Session,
};
use crate::{
    error::Error,
    model::node::{Body, Node},
    name::Shown,
    ops::ls as op,
    repo::BlobReader,
};
use serde_json::{Map, Value, json};
use std::{
    ffi::OsString,
    io::{self, BufWriter, Write},
};

const EXAMPLES: &str = "\
Examples:
  vault ls alpha.example.org/-/srv/wiki                  the sources of the newest snapshot
  vault ls -l alpha.example.org/-/srv/wiki@3d:wiki/data
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
    /// End names with NUL and escape nothing
    #[arg(long, short = '0', conflicts_with_all = ["json", "long"])]
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
    let mut each = |path: &[u8], node: &Node, user: Option<&str>, group: Option<&str>| {
        entries += 1;
        let printed = if json {
            writeln!(out, "{}", entry(path, node, user, group))
        } else if args.null {
            out.write_all(path).and_then(|()| out.write_all(b"\0"))
        } else if args.long {
            writeln!(out, "{}", long_line(path, node, user, group, &mut widths))
        } else {
            writeln!(out, "{}{}", Shown(path), if node.is_dir() { "/" } else { "" })
        };
        // Whoever reads has gone, or its disk is full: no need to read on.
        printed.map_err(|e| {
            broken = Some(e);
            Error::Cancelled
        })
    };
    let result = op::ls(&reader, &listed, path.as_deref(), args.recursive, &mut each);
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

fn kind(body: &Body) -> (char, &'static str) {
    match body {
        Body::File { .. } => ('-', "file"),
        Body::Directory { .. } => ('d', "dir"),
        Body::Symlink { .. } => ('l', "symlink"),
        Body::Fifo => ('p', "fifo"),
        Body::Socket => ('s', "socket"),
        Body::CharDevice { .. } => ('c', "char"),
        Body::BlockDevice { .. } => ('b', "block"),
    }
}

/// `drwxr-sr-t`, as ls(1) has it.
fn mode(node: &Node) -> String {
    let mode = node.meta.mode;
    let mut text = String::from(kind(&node.body).0);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// `widths` are those of owner and group: lines are printed as they come, so they grow with the longest name so far.
fn long_line(path: &[u8], node: &Node, user: Option<&str>, group: Option<&str>, widths: &mut [usize; 2]) -> String {
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
        mode(node),
        if meta.xattrs.is_empty() { ' ' } else { '@' },
        meta.links,
        human::local_time(meta.mtime.sec),
        Shown(path)
    )
}

fn entry(path: &[u8], node: &Node, user: Option<&str>, group: Option<&str>) -> Value {
    let mut object = Map::new();
    object.insert("event".into(), "entry".into());
    json::put_bytes(&mut object, "path", path);
    let meta = &node.meta;
    for (field, value) in [
        ("type", json!(kind(&node.body).1)),
        ("size", json!(node.bytes())),
        ("mode", json!(format!("{:04o}", meta.mode))),
        ("uid", json!(meta.uid)),
        ("gid", json!(meta.gid)),
        ("user", json!(user)),
        ("group", json!(group)),
        ("mtime", json::time(meta.mtime)),
        ("links", json!(meta.links)),
        ("inode", json!(meta.inode)),
    ] {
        object.insert(field.into(), value);
    }
    if let Body::Symlink { target } = &node.body {
        json::put_bytes(&mut object, "target", target);
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::node::{Content, Meta},
        name::Name,
        world::Time,
    };

    fn node(mode: u32, body: Body) -> Node {
        let meta = Meta {
            mode,
            uid: 1000,
            gid: 5,
            mtime: Time::from_sec(0),
            ctime: Time::default(),
            atime: None,
            inode: 1,
            device: 0,
            links: 1,
            xattrs: Vec::new(),
        };
        Node { name: Name::new(&b"x"[..]).unwrap(), meta, body }
    }

    #[test]
    fn modes_are_those_of_ls() {
        let file = || Body::File { size: 0, content: Content::Extents(Vec::new()) };
        for (bits, text) in [
            (0o755, "-rwxr-xr-x"),
            (0o4711, "-rws--x--x"),
            (0o2644, "-rw-r-Sr--"),
            (0o1777, "-rwxrwxrwt"),
            (0o1000, "---------T"),
        ] {
            assert_eq!(mode(&node(bits, file())), text);
        }
        assert_eq!(mode(&node(0o777, Body::Symlink { target: b"y".to_vec() })), "lrwxrwxrwx");
    }

    #[test]
    fn hostile_names_are_escaped() {
        let link = node(0o777, Body::Symlink { target: b"\x1b[31m".to_vec() });
        let line = long_line(b"a\nb", &link, Some("\x07"), None, &mut [8; 2]);
        assert!(line.ends_with("a\\nb -> \\x1b[31m") && line.contains("\\x07") && line.contains(" 5 "), "{line}");
        let entry = entry(b"\xff", &link, None, None);
        assert_eq!((&entry["path"], &entry["path_hex"]), (&json!("\\xff"), &json!("ff")));
    }
}
