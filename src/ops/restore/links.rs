//! Files with several names: restored once, then linked.

use super::{
    collect::Collector,
    dirs::{DirId, Way},
    window::{Link, LinkKey, weight_of_node},
};
use crate::{
    error::Result,
    fs::{
        PathError,
        target::{Identity, Kind},
    },
    model::node::Node,
    monitor::Counter,
    name::Name,
};
use std::{collections::HashMap, io, sync::Arc};

/// The first name of an inode of the source.
#[derive(Debug)]
struct First {
    way: Option<Arc<Way>>,
    name: Name,
    /// Names that are still to come.
    left: u32,
    /// The inode here, once it is made.
    id: Option<Identity>,
}

/// The inodes of a source with several names that were met, without those of which all names were seen.
#[derive(Debug, Default)]
pub(super) struct Firsts(HashMap<LinkKey, First>);

impl Firsts {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The inode is made; or it was not, and the next name has to be the first.
    pub fn settle(&mut self, key: LinkKey, id: Option<Identity>) {
        match (id, self.0.get_mut(&key)) {
            (Some(id), Some(first)) => first.id = Some(id),
            (None, _) => drop(self.0.remove(&key)),
            _ => {}
        }
    }

    fn seen(&mut self, key: LinkKey) {
        if let Some(first) = self.0.get_mut(&key) {
            first.left = first.left.saturating_sub(1);
            if first.left == 0 {
                self.0.remove(&key);
            }
        }
    }
}

/// True for a failure of linking as such: the entry can be made anew.
fn can_be_made(error: &PathError) -> bool {
    matches!(
        error.source.kind(),
        io::ErrorKind::CrossesDevices | io::ErrorKind::TooManyLinks | io::ErrorKind::PermissionDenied
    )
}

impl Collector<'_> {
    /// Places an entry that is no directory, or notes it as another name of one that is.
    pub fn leaf(&mut self, dir: DirId, fresh: bool, node: Node) -> Result<()> {
        if node.meta.links < 2 {
            return self.place(dir, fresh, node, None);
        }
        let key = node.link_key();
        if !self.firsts.0.contains_key(&key) {
            return self.place_first(dir, fresh, node, key);
        }
        self.window.bytes += weight_of_node(&node);
        self.window.links.push(Link { dir, fresh, key, node });
        Ok(())
    }

    fn place_first(&mut self, dir: DirId, fresh: bool, node: Node, key: LinkKey) -> Result<()> {
        let first = First {
            way: self.dirs.way(dir),
            name: node.name.clone(),
            left: node.meta.links.saturating_sub(1),
            id: None,
        };
        self.firsts.0.insert(key, first);
        self.place(dir, fresh, node, Some(key))
    }

    /// Makes another name; gives it back when the first one is still to come, in the next round of this window.
    pub fn link(&mut self, link: Link) -> Result<Option<Link>> {
        let dry_run = self.job.request.dry_run;
        let made = match self.firsts.0.get(&link.key) {
            None if !dry_run => {
                // The first was not restored: it was refused or damaged.
                self.place_first(link.dir, link.fresh, link.node, link.key)?;
                return Ok(None);
            }
            Some(First { id: None, .. }) if !dry_run => return Ok(Some(link)),
            _ => self.try_link(&link),
        };
        match made {
            Ok(()) => {
                self.firsts.seen(link.key);
                self.job.monitor.add(Counter::Bytes, link.node.bytes());
            }
            Err(error) if can_be_made(&error) => {
                self.job.monitor.note(&format!("{error}; it is restored as a file of its own"));
                self.place_first(link.dir, link.fresh, link.node, link.key)?;
                return Ok(None);
            }
            Err(error) => self.job.tally.path_error(error),
        }
        self.job.monitor.add(Counter::Entries, 1);
        Ok(None)
    }

    fn try_link(&self, link: &Link) -> Result<(), PathError> {
        let (dry_run, name) = (self.job.request.dry_run, &link.node.name);
        let act = |verb| self.job.tally.action(verb, &self.dirs.relative(link.dir, Some(name)));
        let first = self.firsts.0.get(&link.key);
        let id = first.and_then(|first| first.id);
        if !link.fresh {
            let dir = self.dirs.get(link.dir)?;
            match dir.stat(name)? {
                Some(found) if Some(found.id) == id => return Ok(()),
                Some(found) if found.kind == Kind::Directory => self.clear(&dir, link.dir, name, &found)?,
                Some(_) if dry_run => {
                    act("update");
                    return Ok(());
                }
                Some(_) => dir.remove(name)?,
                None => {}
            }
        }
        if dry_run {
            act("create");
            return Ok(());
        }
        let (Some(first), Some(id)) = (first, id) else { return Ok(()) };
        let from = self.dirs.follow(first.way.as_ref())?;
        self.dirs.get(link.dir)?.hard_link((&from, &first.name), id, name)
    }
}
