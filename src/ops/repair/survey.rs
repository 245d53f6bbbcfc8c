//! Through all trees: which snapshots have lost something, and what only another repository has.

use super::health::{Sound, of_one};
use crate::{
    error::{Error, Result},
    hash::BlobKind,
    id::BlobId,
    model::{
        node::{Body, Extent, Node},
        paging::{PageSource, each_extent},
    },
    monitor::{Counter, Monitor},
    ops::walk::{Event, TreeWalk},
    repo::{BlobReader, Listed, Repository},
};
use std::{cell::RefCell, collections::HashSet};

/// Pages from here or, when they cannot be had, from the other repository.
pub(super) struct Pages<'a, 'r> {
    here: &'a BlobReader<'r>,
    there: Option<&'a BlobReader<'r>>,
    /// Pages that came from there since somebody asked.
    came: RefCell<Vec<BlobId>>,
}

impl<'a, 'r> Pages<'a, 'r> {
    pub(super) fn new(here: &'a BlobReader<'r>, there: Option<&'a BlobReader<'r>>) -> Self {
        Pages { here, there, came: RefCell::default() }
    }
}

impl PageSource for Pages<'_, '_> {
    fn page(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        let here = self.here.page(kind, id);
        match (here, self.there) {
            (Err(error), Some(there)) => {
                let bytes = there.page(kind, id).map_err(|_| error)?;
                self.came.borrow_mut().push(*id);
                Ok(bytes)
            }
            (here, _) => here,
        }
    }
}

/// What came of it.
#[derive(Default)]
pub(super) struct Survey {
    /// For each snapshot, in their order, whether something of it is lost.
    pub(super) damaged: Vec<bool>,
    /// Blobs that are needed and cannot be read here.
    pub(super) wanted: HashSet<BlobId>,
}

/// An error that spoils one page is a loss; one of the whole store ends the run.
pub(super) fn judge(repo: &Repository, error: Error) -> Result<String> {
    match error {
        // What it leans on, or where it lies, is in the message.
        error @ (Error::Corrupt { .. } | Error::Missing { .. }) => Ok(error.to_string()),
        error => of_one(repo, error),
    }
}

struct Level {
    tree: BlobId,
    intact: bool,
}

/// Walks all snapshots; below a directory without losses once.
pub(super) fn survey<'l>(
    repo: &Repository,
    pages: &Pages<'_, '_>,
    sound: &Sound<'_>,
    snapshots: impl Iterator<Item = &'l Listed>,
    monitor: &dyn Monitor,
) -> Result<Survey> {
    let mut out = Survey::default();
    let mut intact: HashSet<BlobId> = HashSet::new();
    for listed in snapshots {
        let mut whole = true;
        for source in &listed.snapshot.sources {
            whole &= file(repo, pages, sound, &source.root, &mut out)?;
            let Body::Directory { tree, .. } = source.root.body else { continue };
            if intact.contains(&tree) {
                continue;
            }
            let mut levels = vec![Level { tree, intact: true }];
            let mut walk = TreeWalk::salvaging(pages, tree, source.root.name.as_bytes());
            while let Some(event) = walk.next_event() {
                monitor.check()?;
                let came = std::mem::take(&mut *pages.came.borrow_mut());
                if !came.is_empty() {
                    out.wanted.extend(came);
                    levels.iter_mut().for_each(|level| level.intact = false);
                }
                match event {
                    Event::Entry { node, .. } => {
                        monitor.add(Counter::Entries, 1);
                        if !file(repo, pages, sound, &node, &mut out)?
                            && let Some(level) = levels.last_mut()
                        {
                            level.intact = false;
                        }
                        match node.body {
                            Body::Directory { tree, .. } if intact.contains(&tree) => walk.skip(),
                            Body::Directory { tree, .. } => levels.push(Level { tree, intact: true }),
                            _ => {}
                        }
                    }
                    Event::Unreadable(error) => {
                        judge(repo, error)?;
                        if let Some(level) = levels.last_mut() {
                            level.intact = false;
                        }
                    }
                    Event::Leave => {
                        let Some(left) = levels.pop() else { continue };
                        if left.intact {
                            intact.insert(left.tree);
                        } else {
                            match levels.last_mut() {
                                Some(parent) => parent.intact = false,
                                None => whole = false,
                            }
                        }
                    }
                }
            }
        }
        out.damaged.push(!whole);
    }
    Ok(out)
}

/// True when all of a file can be read; true for what is no file.
fn file(repo: &Repository, pages: &Pages<'_, '_>, sound: &Sound<'_>, node: &Node, out: &mut Survey) -> Result<bool> {
    let wanted = &mut out.wanted;
    let lost = lost_of(repo, pages, sound, node, &mut |id| wanted.extend([*id]))?;
    let came = std::mem::take(&mut *pages.came.borrow_mut());
    let all_here = came.is_empty();
    out.wanted.extend(came);
    Ok(lost.is_none() && all_here)
}

/// Bytes of a file that cannot be read; `None` when there are none, or it is no file. `each` is told of the blobs.
pub(super) fn lost_of(
    repo: &Repository,
    pages: &dyn PageSource,
    sound: &Sound<'_>,
    node: &Node,
    each: &mut dyn FnMut(&BlobId),
) -> Result<Option<u64>> {
    let Body::File { size, content } = &node.body else { return Ok(None) };
    let (mut had, mut whole) = (0u64, true);
    let read = each_extent(pages, content, *size, &mut |extent| {
        match extent {
            Extent::Data { id, .. } if !sound.is_readable(&id) => {
                whole = false;
                each(&id);
            }
            extent => had += extent.len(),
        }
        Ok(())
    });
    if let Err(error) = read {
        judge(repo, error)?;
        whole = false;
    }
    Ok((!whole).then(|| size.saturating_sub(had)))
}
