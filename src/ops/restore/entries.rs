//! Entries other than files: directories, links, pipes and devices.

use super::{collect::Collector, dirs::DirId, remove::Extras, tally::count, window::LinkKey};
use crate::{
    error::Result,
    fs::{
        PathError,
        target::{Existing, Identity, Kind, Shortfall, Special, TargetDir},
    },
    model::node::{Body, Meta, Node},
    monitor::Counter,
    name::Name,
};
use std::io;

/// A directory of the target.
pub(super) struct Made {
    pub dir: DirId,
    /// Nothing was in it.
    pub fresh: bool,
    /// Whether it folds case; as the one around it when not told.
    pub folds: Option<bool>,
    pub extras: Option<Extras>,
}

impl Collector<'_> {
    pub fn act(&self, verb: &str, dir: DirId, name: &Name) {
        if self.job.request.dry_run {
            self.job.tally.action(verb, &self.dirs.relative(dir, Some(name)));
        }
    }

    /// Makes a directory, or opens the one that is there; nothing when it is to be left alone.
    pub fn directory(
        &mut self,
        (parent, fresh): (DirId, bool),
        name: &Name,
        meta: &Meta,
        leading: bool,
    ) -> Result<Option<Made>, PathError> {
        let dry_run = self.job.request.dry_run;
        let mut found = None;
        if !fresh {
            let around = self.dirs.get(parent)?;
            found = around.stat(name)?;
            if let Some(other) = found.take_if(|found| found.kind != Kind::Directory) {
                self.clear(&around, parent, name, &other)?;
            }
        }
        let Some(found) = found else {
            self.act("create", parent, name);
            let open = if dry_run {
                None
            } else {
                let made = self.dirs.get(parent)?.make_dir(name)?;
                if !made.is_new() {
                    let two = io::Error::other("it is there already: the target may take two names for one");
                    return Err(PathError::new(self.dirs.path(parent, Some(name)), "create directory", two));
                }
                Some(made)
            };
            let dir = self.dirs.add(parent, name, open);
            return Ok(Some(Made { dir, fresh: true, folds: None, extras: None }));
        };
        if self.is_protected(parent, name, &found) {
            return Ok(None);
        }
        let around = self.dirs.get(parent)?;
        // One that only leads to something would keep the permissions it gets here.
        let open = if dry_run || leading { around.open_dir(name)? } else { around.open_own_dir(name, &found)? };
        if dry_run && !leading && self.differs(&open, None, &found, meta)? {
            self.act("update", parent, name);
        }
        let folds = Some(!dry_run && open.folds_case().unwrap_or(false));
        let extras = self.extras_of(&open);
        let dir = self.dirs.add(parent, name, Some(open));
        Ok(Some(Made { dir, fresh: false, folds, extras }))
    }

    /// True for the directory that is to be left alone, which is said.
    pub fn is_protected(&self, dir: DirId, name: &Name, found: &Existing) -> bool {
        let protected = Some(found.id) == self.job.request.protect;
        if protected {
            self.job.tally.protected(&self.dirs.path(dir, Some(name)));
        }
        protected
    }

    /// Removes an entry of another kind. A directory with something in it goes only where what the snapshot does not
    /// have is to go.
    pub fn clear(&self, at: &TargetDir, dir: DirId, name: &Name, found: &Existing) -> Result<(), PathError> {
        let path = self.dirs.relative(dir, Some(name));
        let in_the_way = |what| Err(PathError::new(at.path_of(name), "replace", io::Error::other(what)));
        if self.is_protected(dir, name, found) {
            return in_the_way("the repository is in the way");
        }
        if found.kind == Kind::Directory {
            if !self.job.request.delete && !at.open_dir(name)?.list()?.is_empty() {
                return in_the_way("a directory with something in it is in the way (see --delete)");
            }
            if self.must_sweep() {
                return match self.sweep(at, name, dir, path)? {
                    true => in_the_way("something in the directory that is in the way has to stay"),
                    false => Ok(()),
                };
            }
        }
        self.remove_one(at, name, &path)
    }

    /// True when an entry's metadata are not as in the snapshot. (Attributes of directories are only looked at when they
    /// are set.)
    pub fn differs(
        &mut self,
        dir: &TargetDir,
        name: Option<&Name>,
        found: &Existing,
        meta: &Meta,
    ) -> Result<bool, PathError> {
        let policy = self.names.policy();
        let differs = found.metadata_differs(meta, &policy.ownership);
        Ok(differs || name.map_or(Ok(false), |name| dir.xattrs_differ(name, meta, policy))?)
    }

    /// Restores an entry that is no directory; `link` when it may be the first of several names.
    pub fn place(&mut self, dir: DirId, fresh: bool, node: Node, link: Option<LinkKey>) -> Result<()> {
        match node.body {
            Body::File { .. } => return self.file(dir, fresh, node, link),
            Body::Socket => {
                count(&self.job.tally.sockets, 1);
                if let Some(key) = link {
                    self.firsts.settle(key, None);
                }
            }
            _ => {
                let made = self.try_place(dir, fresh, &node).unwrap_or_else(|error| {
                    self.job.tally.path_error(error);
                    None
                });
                if let Some(key) = link {
                    self.firsts.settle(key, made);
                }
            }
        }
        self.job.monitor.add(Counter::Entries, 1);
        Ok(())
    }

    fn try_place(&mut self, dir: DirId, fresh: bool, node: &Node) -> Result<Option<Identity>, PathError> {
        let (dry_run, name, kind) = (self.job.request.dry_run, &node.name, Kind::of(&node.body));
        if !fresh {
            let at = self.dirs.get(dir)?;
            if let Some(found) = at.stat(name)? {
                let same = found.is_kind_of(node)
                    && match &node.body {
                        Body::Symlink { target } => at.read_link(name)? == *target,
                        _ => true,
                    };
                let differs = self.differs(&at, Some(name), &found, &node.meta)?;
                // One with other names may be another file's elsewhere: it is not changed but made anew.
                if same && (found.links < 2 || !differs) {
                    if differs {
                        self.act("update", dir, name);
                    }
                    if differs && !dry_run {
                        self.job.tally.applied(at.apply_to(name, kind, &node.meta, self.names.policy()));
                    }
                    return Ok(Some(found.id));
                }
                self.clear(&at, dir, name, &found)?;
            }
        }
        self.act("create", dir, name);
        if dry_run {
            return Ok(None);
        }
        let at = self.dirs.get(dir)?;
        let made = match (&node.body, Special::of(&node.body)) {
            (Body::Symlink { target }, _) => Some(at.symlink(name, target)?),
            (_, Some(special)) => at.special(name, special)?,
            _ => return Ok(None),
        };
        self.job.tally.applied(match made {
            Some(_) => at.apply_to(name, kind, &node.meta, self.names.policy()),
            None => Ok(Shortfall::DEVICE),
        });
        Ok(made)
    }
}
