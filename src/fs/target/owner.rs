//! Whom restored entries belong to.

use crate::model::node::Meta;
use std::{collections::HashMap, fs, io};

/// How owners and groups are chosen.
///
/// The default is the numbers as stored: they are what the source had, on every entry and in every ACL, and a restore
/// onto a fresh machine, where few of the names exist yet, must come out the same as onto the old one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ownership {
    /// By number, as stored.
    #[default]
    Numeric,
    /// Numbers whose names mean other numbers on this machine become those; the rest by number.
    ByName(NameMap),
    /// Whoever restores owns everything.
    Skip,
}

/// Which numbers of the source are which here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameMap {
    users: HashMap<u32, u32>,
    groups: HashMap<u32, u32>,
}

impl NameMap {
    /// Looks the source's names up in this machine's `/etc/passwd` and `/etc/group`. (Not in directory services, which
    /// a statically linked program cannot ask.) Each is a number at the source with its name there.
    pub fn from_system<'a>(
        users: impl IntoIterator<Item = (u32, &'a str)>,
        groups: impl IntoIterator<Item = (u32, &'a str)>,
    ) -> io::Result<NameMap> {
        Ok(NameMap::new(users, groups, &fs::read("/etc/passwd")?, &fs::read("/etc/group")?))
    }

    /// The same with the text of both files given.
    pub fn new<'a>(
        users: impl IntoIterator<Item = (u32, &'a str)>,
        groups: impl IntoIterator<Item = (u32, &'a str)>,
        passwd: &[u8],
        group: &[u8],
    ) -> NameMap {
        NameMap { users: here(users, passwd), groups: here(groups, group) }
    }
}

/// Pairs numbers with the numbers that their names have in a file of lines `name:x:number:…`.
fn here<'a>(names: impl IntoIterator<Item = (u32, &'a str)>, file: &[u8]) -> HashMap<u32, u32> {
    let mut known: HashMap<&[u8], u32> = HashMap::new();
    for line in file.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b':');
        let (name, number) = (fields.next(), fields.nth(1));
        let number = number.and_then(|n| std::str::from_utf8(n).ok()).and_then(|n| n.parse().ok());
        if let (Some(name), Some(number)) = (name, number) {
            // The first line of a name counts, as for the system.
            known.entry(name).or_insert(number);
        }
    }
    names.into_iter().filter_map(|(number, name)| Some((number, *known.get(name.as_bytes())?))).collect()
}

impl Ownership {
    /// Owner and group that an entry is to have, or `None` when they are not to be set.
    pub fn of(&self, meta: &Meta) -> Option<(u32, u32)> {
        match self {
            Ownership::Skip => None,
            _ => Some((self.user(meta.uid), self.group(meta.gid))),
        }
    }

    /// The number here of a user of the source.
    pub(super) fn user(&self, uid: u32) -> u32 {
        match self {
            Ownership::ByName(map) => map.users.get(&uid).copied().unwrap_or(uid),
            _ => uid,
        }
    }

    /// The number here of a group of the source.
    pub(super) fn group(&self, gid: u32) -> u32 {
        match self {
            Ownership::ByName(map) => map.groups.get(&gid).copied().unwrap_or(gid),
            _ => gid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_where_they_exist_here() {
        let map = NameMap::new(
            [(1000, "app"), (1001, "gone"), (5, "bad")],
            [(50, "staff")],
            b"root:x:0:0:r:/root:/bin/sh\napp:x:2000:2000::/:\napp:x:3000:1::/:\nbad:x:many:0\nshort\n",
            b"staff:x:60:\n",
        );
        let ownership = Ownership::ByName(map);
        assert_eq!((ownership.user(1000), ownership.user(1001), ownership.user(5)), (2000, 1001, 5));
        assert_eq!((ownership.group(50), ownership.group(1000)), (60, 1000));
    }

    #[test]
    fn this_machine_is_asked_for_its_names() {
        let ownership = Ownership::ByName(NameMap::from_system([(1234, "root")], [(5678, "root")]).unwrap());
        assert_eq!((ownership.user(1234), ownership.group(5678), ownership.user(5678)), (0, 0, 5678));
    }
}
