//! Entries that are no directories: what is taken over from before, and what has to be read.

use super::{Scan, links::Met};
use crate::{
    fs::{
        PathError,
        dir::Dir,
        metadata,
        stat::{Kind, Stat},
    },
    model::node::{Body, Content, Meta, Node, Xattr},
    monitor::Counter,
    name::Name,
    ops::snapshot::flow::{Step, Stopped, Task},
    repo::files::{ListKey, Place},
};
use std::sync::{Arc, atomic::Ordering};

/// Shorter files are stored by themselves: a segment full of them would lean on a segment for each.
const LEAN_MIN: u64 = 256 << 10;

/// A file that has not changed.
struct Unchanged {
    content: Content,
    /// None where they have to be read.
    xattrs: Option<Vec<Xattr>>,
    list: ListKey,
}

impl Scan<'_> {
    pub(super) fn attributes(&self, found: Result<Vec<Xattr>, PathError>) -> Vec<Xattr> {
        found.unwrap_or_else(|error| {
            self.control.lost(&error, self.habits);
            Vec::new()
        })
    }

    /// Deals with an entry that is no directory: `name` is the one it gets, `entry` its name in `dir` where that is another.
    pub(super) fn entry(
        &mut self,
        dir: &Arc<Dir>,
        entry: Option<Name>,
        name: Name,
        stat: &Stat,
        before: Option<Node>,
    ) -> Result<(), Stopped> {
        self.control.monitor.add(Counter::Entries, 1);
        if stat.kind == Kind::File {
            return self.file(dir, entry, name, stat, before);
        }
        let there = entry.as_ref().unwrap_or(&name).as_bytes();
        let unchanged = match (&before, self.parent) {
            (Some(node), Some(parent)) => parent.knows_attributes && parent.is_unchanged(stat, node),
            _ => false,
        };
        let body = match stat.kind {
            Kind::Symlink => match dir.read_link(there) {
                Ok(target) => Body::Symlink { target },
                Err(error) => return self.lost(&error),
            },
            Kind::Fifo => Body::Fifo,
            Kind::Socket => Body::Socket,
            Kind::Char => Body::CharDevice { major: stat.rdev.0, minor: stat.rdev.1 },
            Kind::Block => Body::BlockDevice { major: stat.rdev.0, minor: stat.rdev.1 },
            Kind::Dir | Kind::File => {
                self.control.problem(&dir.path_of(there), "it was replaced while it was looked at");
                return Ok(());
            }
        };
        let xattrs = match before {
            Some(node) if unchanged => node.meta.xattrs,
            _ => self.attributes(metadata::xattrs(dir, there)),
        };
        let node = self.node(name, stat, xattrs, body);
        self.step(Step::Entry(node))
    }

    fn file(
        &mut self,
        dir: &Arc<Dir>,
        entry: Option<Name>,
        name: Name,
        stat: &Stat,
        mut before: Option<Node>,
    ) -> Result<(), Stopped> {
        let device = self.device(stat.device);
        let place = self.recall.map(|recall| recall.places.of(&self.state.source, &self.state.rel));
        if let Some(unchanged) = self.unchanged(place.as_ref(), stat, &mut before) {
            self.control.files_unchanged.fetch_add(1, Ordering::Relaxed);
            self.control.monitor.add(Counter::Bytes, stat.size);
            let xattrs = match unchanged.xattrs {
                Some(xattrs) => xattrs,
                None => self.attributes(metadata::xattrs(dir, entry.as_ref().unwrap_or(&name).as_bytes())),
            };
            let body = Body::File { size: stat.size, content: unchanged.content };
            let node = self.node(name, stat, xattrs, body);
            if let (Some(recall), Some(place)) = (self.recall, &place) {
                recall.remember(place, &node, unchanged.list);
            }
            return self.step(Step::Entry(node));
        }
        match self.state.links.meet((device, stat.inode), stat) {
            Met::New => {}
            Met::Again { ticket, more } => {
                let node = Box::new(self.node(name, stat, Vec::new(), empty_file()));
                return self.step(Step::File { node, ticket, more, place });
            }
            Met::Replaced { ticket } => self.step(Step::Forget { ticket })?,
        }
        let before = match before.map(|node| node.body) {
            Some(Body::File { size, content }) if stat.size >= LEAN_MIN => Some(Box::new((size, content))),
            _ => None,
        };
        let ticket = self.state.next_ticket;
        self.state.next_ticket += 1;
        let more = self.state.links.expect_more((device, stat.inode), stat, ticket);
        let entry = entry.unwrap_or_else(|| name.clone());
        let node = Box::new(self.node(name, stat, Vec::new(), empty_file()));
        self.state.run.push(Task { ticket, dir: dir.clone(), name: entry, before }, stat.size);
        if self.state.run.is_full() {
            self.flush_run()?;
        }
        self.step(Step::File { node, ticket, more, place })
    }

    /// What is known of a file that need not be read: from the snapshot before, which is used up, or from what was remembered in its place.
    fn unchanged(&self, place: Option<&Place>, stat: &Stat, before: &mut Option<Node>) -> Option<Unchanged> {
        if let (Some(recall), Some(place)) = (self.recall, place) {
            let kept = recall.unchanged(place, stat)?;
            let xattrs = kept.bare.then(Vec::new);
            return Some(Unchanged { content: kept.content, xattrs, list: kept.list.unwrap_or_default() });
        }
        let parent = self.parent?;
        let Node { meta, body, .. } = before.take_if(|node| parent.still_holds(stat, node))?;
        let Body::File { content, .. } = body else { return None };
        Some(Unchanged { content, xattrs: parent.knows_attributes.then_some(meta.xattrs), list: ListKey::default() })
    }

    fn device(&mut self, device: u64) -> u32 {
        let devices = &mut self.state.devices;
        let at = devices.iter().position(|&known| known == device).unwrap_or_else(|| {
            devices.push(device);
            devices.len() - 1
        });
        at as u32
    }

    pub(super) fn node(&mut self, name: Name, stat: &Stat, xattrs: Vec<Xattr>, body: Body) -> Node {
        let device = self.device(stat.device);
        Node { name, meta: meta_of(stat, device, xattrs, self.with_atime), body }
    }
}

/// What every kind of entry has, from what the system told.
pub fn meta_of(stat: &Stat, device: u32, xattrs: Vec<Xattr>, with_atime: bool) -> Meta {
    Meta {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        mtime: stat.mtime,
        ctime: stat.ctime,
        atime: with_atime.then_some(stat.atime),
        inode: stat.inode,
        device,
        links: stat.links,
        xattrs,
    }
}

fn empty_file() -> Body {
    Body::File { size: 0, content: Content::Extents(Vec::new()) }
}
