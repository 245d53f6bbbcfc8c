//! Entries of a tar archive: POSIX pax, as GNU tar and libarchive read it. Contents are written by the caller.

use crate::{
    error::{Error, Result},
    model::{
        codec,
        node::{Body, Node},
    },
    name::Shown,
    world::Time,
};
use std::{collections::HashMap, io};
use tar::{Builder, EntryType, Header};

/// Contents are padded to a multiple of this many bytes.
pub(super) const BLOCK: u64 = 512;
/// Numbers that the header's octal fields hold: 7 and 11 digits.
const OCTAL_7: u64 = 0o7777777;
const OCTAL_11: u64 = 0o77777777777;

/// An archive that is being written.
pub(super) struct Archive {
    builder: Builder<Vec<u8>>,
    /// Files with several names, by device and inode, within one source.
    links: HashMap<(u32, u64), FirstName>,
}

/// The name under which a file with several was met first.
struct FirstName {
    path: Vec<u8>,
    /// What the node said of its contents, hashed.
    body: blake3::Hash,
    /// Names that are still to come.
    left: u32,
}

/// What stands before an entry's contents.
pub(super) struct EntryHead {
    /// The header blocks.
    pub(super) header: Vec<u8>,
    /// True when the contents follow, and padding.
    pub(super) has_data: bool,
    /// What the archive cannot hold of it. Safe to print.
    pub(super) left_out: Vec<String>,
}

fn failed(source: io::Error) -> Error {
    Error::Target { path: "the archive".into(), source }
}

/// Decimal seconds, as pax wants them.
fn pax_time(time: Time) -> String {
    let Time { sec, nsec } = time;
    let (sign, sec, nsec) = match (sec < 0, nsec) {
        (true, 0) => ("-", sec.unsigned_abs(), 0),
        (true, _) => ("-", sec.unsigned_abs() - 1, 1_000_000_000 - nsec),
        (false, _) => ("", sec.unsigned_abs(), nsec),
    };
    format!("{sign}{sec}.{nsec:09}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Fills a field with text and zeros; false when a pax record must say it, since it does not fit, or is UTF-8 beyond ASCII, which
/// fields have no word for. What is no UTF-8 stands in the field if it can: GNU tar does the same, and it needs no `hdrcharset`,
/// which GNU tar grumbles at.
fn fill(field: &mut [u8], text: &[u8]) -> bool {
    for (to, from) in field.iter_mut().zip(text.iter().chain(std::iter::repeat(&0))) {
        *to = *from;
    }
    text.len() <= field.len() && (text.is_ascii() || std::str::from_utf8(text).is_err())
}

/// Pax records of one entry.
#[derive(Default)]
struct Records(Vec<(String, Vec<u8>)>);

impl Records {
    fn add(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), value.into()));
    }

    /// Text of any bytes. Pax calls for UTF-8 and has a word for what is not.
    fn add_text(&mut self, key: &str, value: &[u8]) {
        if std::str::from_utf8(value).is_err() && !self.0.iter().any(|(key, _)| key == "hdrcharset") {
            self.0.insert(0, ("hdrcharset".into(), b"BINARY".to_vec()));
        }
        self.add(key, value);
    }
}

impl Archive {
    pub(super) fn new() -> Self {
        Archive { builder: Builder::new(Vec::new()), links: HashMap::new() }
    }

    /// Hard links do not cross sources.
    pub(super) fn next_source(&mut self) {
        self.links.clear();
    }

    /// The name that an entry is a hard link to, when it is not the first of its inode.
    fn link_target(&mut self, path: &[u8], node: &Node) -> Option<Vec<u8>> {
        if node.meta.links < 2 || node.is_dir() {
            return None;
        }
        let key = (node.meta.device, node.meta.inode);
        let body = blake3::hash(&codec::encode(&node.body));
        match self.links.get_mut(&key) {
            None => {
                self.links.insert(key, FirstName { path: path.to_vec(), body, left: node.meta.links - 1 });
                None
            }
            // The file changed while it was read: a link would lose one of its states.
            Some(first) if first.body != body => None,
            Some(first) if first.left > 1 => {
                first.left -= 1;
                Some(first.path.clone())
            }
            Some(_) => self.links.remove(&key).map(|first| first.path),
        }
    }

    /// The header blocks of an entry that is not a socket.
    pub(super) fn entry(
        &mut self,
        path: &[u8],
        node: &Node,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<EntryHead> {
        let link = self.link_target(path, node);
        let mut header = Header::new_ustar();
        let mut records = Records::default();
        let mut left_out = Vec::new();
        let (kind, size, target) = match (&node.body, &link) {
            (_, Some(first)) => (EntryType::Link, 0, Some(&first[..])),
            (Body::File { size, .. }, None) => (EntryType::Regular, *size, None),
            (Body::Directory { .. }, None) => (EntryType::Directory, 0, None),
            (Body::Symlink { target }, None) => (EntryType::Symlink, 0, Some(&target[..])),
            (Body::CharDevice { .. }, None) => (EntryType::Char, 0, None),
            (Body::BlockDevice { .. }, None) => (EntryType::Block, 0, None),
            (Body::Fifo | Body::Socket, None) => (EntryType::Fifo, 0, None),
        };
        header.set_entry_type(kind);
        header.set_mode(node.meta.mode);
        if let Body::CharDevice { major, minor } | Body::BlockDevice { major, minor } = node.body {
            if u64::from(major.max(minor)) > OCTAL_7 {
                left_out.push(format!("{}: its device numbers are too large for an archive", Shown(path)));
            }
            header.set_device_major(major).map_err(failed)?;
            header.set_device_minor(minor).map_err(failed)?;
        }
        self.numbers(node, size, &mut header, &mut records);
        let mut name = path.to_vec();
        if node.is_dir() {
            name.push(b'/');
        }
        if let Some(fields) = header.as_ustar_mut() {
            if !fill(&mut fields.name, &name) {
                records.add_text("path", &name);
            }
            if let Some(target) = target
                && !fill(&mut fields.linkname, target)
            {
                records.add_text("linkpath", target);
            }
            for (field, key, text) in [(&mut fields.uname, "uname", user), (&mut fields.gname, "gname", group)] {
                // The last byte of these must be zero.
                let (text, last) = (text.unwrap_or_default().as_bytes(), field.len() - 1);
                if !fill(field.get_mut(..last).unwrap_or_default(), text) {
                    records.add_text(key, text);
                }
            }
        }
        if kind != EntryType::Link {
            for xattr in &node.meta.xattrs {
                match std::str::from_utf8(&xattr.name) {
                    // As GNU tar writes them, whose reader would take the first = for the end of the name.
                    Ok(key) => records.add(
                        format!("SCHILY.xattr.{}", key.replace('%', "%25").replace('=', "%3D")),
                        xattr.value.clone(),
                    ),
                    Err(_) => left_out.push(format!(
                        "{}: the attribute \"{}\" is left out: its name is not UTF-8",
                        Shown(path),
                        Shown(&xattr.name)
                    )),
                }
            }
        }
        header.set_cksum();
        let records = records.0.iter().map(|(key, value)| (key.as_str(), &value[..]));
        self.builder.append_pax_extensions(records).map_err(failed)?;
        // Only the header: what the builder is given as contents decides how much it pads.
        self.builder.append(&header, io::empty()).map_err(failed)?;
        let header = std::mem::take(self.builder.get_mut());
        Ok(EntryHead { header, has_data: kind == EntryType::Regular, left_out })
    }

    /// Numbers go into the header, and into records where they do not fit.
    fn numbers(&self, node: &Node, size: u64, header: &mut Header, records: &mut Records) {
        let meta = &node.meta;
        header.set_size(size.min(OCTAL_11));
        if size > OCTAL_11 {
            records.add("size", size.to_string());
        }
        for (key, id) in [("uid", u64::from(meta.uid)), ("gid", u64::from(meta.gid))] {
            match key {
                "uid" => header.set_uid(id.min(OCTAL_7)),
                _ => header.set_gid(id.min(OCTAL_7)),
            }
            if id > OCTAL_7 {
                records.add(key, id.to_string());
            }
        }
        let seconds = u64::try_from(meta.mtime.sec).unwrap_or(0).min(OCTAL_11);
        header.set_mtime(seconds);
        if (Time { sec: seconds as i64, nsec: 0 }) != meta.mtime {
            records.add("mtime", pax_time(meta.mtime));
        }
        if let Some(atime) = meta.atime {
            records.add("atime", pax_time(atime));
        }
    }

    /// The end of the archive.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.builder.finish().map_err(failed)?;
        Ok(std::mem::take(self.builder.get_mut()))
    }
}
