//! What damage costs: the paths that are lost, by a second pass over the trees, which only damage calls for.

use super::{
    findings::{Damage, Findings, Number, stem},
    losses::{LostPath, SnapshotLoss, Unseen},
    objects::Root,
};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::{BlobId, SnapshotId},
    model::{
        node::{Body, Extent, Node},
        paging::{PageSource, each_extent},
    },
    name::Shown,
    ops::walk::{Event, TreeWalk},
    repo::BlobReader,
};
use std::{
    cell::Cell,
    collections::{BTreeSet, HashSet},
};

/// Names what each finding costs.
pub(super) fn name_losses(found: &Findings<'_>, reader: &BlobReader<'_>, snapshots: &[Root]) -> Result<()> {
    let damage = std::mem::take(&mut *found.damage());
    if damage.is_empty() {
        return Ok(());
    }
    let pages = Pages { damage: &damage, reader, blamed: Cell::new(None), last: Cell::new(None) };
    let mut losses =
        Losses { found, pages: &pages, intact: HashSet::new(), of: SnapshotLoss::new(SnapshotId([0; 32]), None) };
    for root in snapshots {
        losses.of = SnapshotLoss::new(root.id, Some(root.time));
        for source in &root.sources {
            losses.source(root, source)?;
        }
        found.lose_of(&root.series, losses.of.clone());
    }
    *found.damage() = damage;
    Ok(())
}

/// Pages that can be used; says which finding is to blame for one that cannot.
struct Pages<'a, 'r> {
    damage: &'a Damage,
    reader: &'a BlobReader<'r>,
    blamed: Cell<Option<Number>>,
    /// The page that was read last.
    last: Cell<Option<BlobId>>,
}

impl PageSource for Pages<'_, '_> {
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        match self.damage.loss(self.reader.index(), id) {
            None => {
                self.last.set(Some(*id));
                self.reader.page(kind, id)
            }
            blamed => {
                self.blamed.set(blamed);
                Err(Error::Missing { object: format!("{kind} {}", id.short()) })
            }
        }
    }
}

/// A directory that the walk is in.
struct Level {
    tree: BlobId,
    /// What is below it and was not seen yet.
    unseen: Unseen,
    /// The first finding through which pages of it are lost.
    lost: Option<Number>,
    intact: bool,
}

struct Losses<'a, 'r> {
    found: &'a Findings<'a>,
    pages: &'a Pages<'a, 'r>,
    /// Directories below which nothing is lost, by the stem of the id of their root page: looked through once.
    intact: HashSet<[u8; 16]>,
    /// What is lost of the snapshot that is looked at.
    of: SnapshotLoss,
}

impl Losses<'_, '_> {
    fn lose(&self, number: Number, root: &Root, path: &[u8], count: u64) {
        self.found.lose(number, || format!("{}:{}", root.label, Shown(path)), count);
    }

    fn source(&mut self, root: &Root, node: &Node) -> Result<()> {
        let name = node.name.as_bytes();
        self.file(root, node, name)?;
        let Body::Directory { tree, entries, bytes } = node.body else { return Ok(()) };
        if self.intact.contains(&stem(&tree)) {
            return Ok(());
        }
        let level =
            |tree, entries, bytes| Level { tree, unseen: Unseen::below(entries, bytes), lost: None, intact: true };
        let mut levels = vec![level(tree, entries, bytes)];
        let mut walk = TreeWalk::salvaging(self.pages, tree, name);
        while let Some(event) = walk.next_event() {
            self.found.monitor.check()?;
            match event {
                Event::Entry { node, .. } => {
                    let kept = self.file(root, &node, walk.path())?;
                    if let Some(parent) = levels.last_mut() {
                        parent.unseen.see(&node);
                        parent.intact &= kept;
                    }
                    match node.body {
                        Body::Directory { tree, .. } if self.intact.contains(&stem(&tree)) => walk.skip(),
                        Body::Directory { tree, entries, bytes } => levels.push(level(tree, entries, bytes)),
                        _ => {}
                    }
                }
                Event::Unreadable(error) => {
                    let number = self.blame(walk.path(), error)?;
                    if let Some(level) = levels.last_mut() {
                        level.intact = false;
                        level.lost.get_or_insert(number);
                    }
                }
                Event::Leave => {
                    let Some(left) = levels.pop() else { continue };
                    if let Some(number) = left.lost {
                        let lost = left.unseen.lost(walk.path());
                        self.lose(number, root, &lost.path, lost.entries);
                        self.of.add(lost);
                    }
                    if left.intact {
                        self.intact.insert(stem(&left.tree));
                    } else if let Some(parent) = levels.last_mut() {
                        parent.intact = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// The finding behind a page that could not be read.
    fn blame(&self, path: &[u8], error: Error) -> Result<Number> {
        let misfits = &self.pages.damage.misfits;
        let misfit = || self.pages.last.get().and_then(|id| misfits.get(&id));
        // Of two pages that overlap either may have been found; several such are a writer's work, and one of them will do.
        let number = self.pages.blamed.take().or_else(|| misfit().or(misfits.values().min()).copied());
        match number {
            Some(number) => Ok(number),
            // Damage that came since.
            None => self.found.judge("index", Error::corrupt(Shown(path), error)),
        }
    }

    /// False when contents of a file are lost; true for what is no file.
    fn file(&mut self, root: &Root, node: &Node, path: &[u8]) -> Result<bool> {
        let Body::File { size, content } = &node.body else { return Ok(true) };
        let (mut numbers, mut had) = (BTreeSet::new(), 0);
        let whole = each_extent(self.pages, content, *size, &mut |extent| {
            match self.extent(&extent) {
                Some(number) => drop(numbers.insert(number)),
                None => had += extent.len(),
            }
            Ok(())
        });
        if let Err(error) = whole {
            numbers.insert(self.blame(path, error)?);
        }
        if !numbers.is_empty() {
            let lost = size.saturating_sub(had);
            self.of.add(LostPath { path: path.to_vec(), entries: 1, size: *size, lost });
        }
        for number in &numbers {
            self.lose(*number, root, path, 1);
        }
        Ok(numbers.is_empty())
    }

    fn extent(&self, extent: &Extent) -> Option<Number> {
        let Extent::Data { id, len, .. } = extent else { return None };
        let damage = self.pages.damage;
        damage.extents.get(&(*id, *len)).copied().or_else(|| damage.loss(self.pages.reader.index(), id))
    }
}
