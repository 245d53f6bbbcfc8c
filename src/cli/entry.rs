//! Entries of snapshots, for people and as JSON.

use super::json;
use crate::{
    model::node::{Body, Node},
    ops::history::Kind,
};
use serde_json::{Map, Value, json};

/// A word for what an entry is.
pub fn word(body: &Body) -> &'static str {
    Kind::of(body).word()
}

/// `drwxr-sr-t`, as ls(1) has it.
pub fn mode(node: &Node) -> String {
    mode_of(Kind::of(&node.body).ls_letter(), node.meta.mode)
}

/// The same of its parts.
pub fn mode_of(letter: char, mode: u32) -> String {
    let mut text = String::from(letter);
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

/// An entry as an event.
pub fn json(event: &str, path: &[u8], node: &Node, user: Option<&str>, group: Option<&str>) -> Value {
    let mut object = Map::new();
    object.insert("event".into(), event.into());
    json::put_bytes(&mut object, "path", path);
    let meta = &node.meta;
    for (field, value) in [
        ("type", json!(word(&node.body))),
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
pub mod tests {
    use super::*;
    use crate::{
        model::node::{Content, Meta},
        name::Name,
        world::Time,
    };

    /// An entry called `x`.
    pub fn node(mode: u32, body: Body) -> Node {
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
    fn bytes_that_are_no_text_are_exact_in_json() {
        let link = node(0o777, Body::Symlink { target: b"\xfe".to_vec() });
        let entry = json("entry", b"\xff", &link, None, None);
        assert_eq!((&entry["path"], &entry["path_hex"]), (&json!("\\xff"), &json!("ff")));
        assert_eq!((&entry["type"], &entry["target_hex"]), (&json!("symlink"), &json!("fe")));
    }
}
