//! Directories, an entry at a time.

use super::{
    entry::{Address, Dir, Parent, What},
    number::ROOT,
    pages::Leaves,
    view::{Answer, No, Told, View},
};
use std::sync::{Arc, Mutex, PoisonError};

/// Offsets below stand for the beginning, and for what is behind `.` and `..`.
const FIRST: u64 = 3;
/// A leaf's entries are counted in so many bits; a page of 4 MiB holds fewer.
const LEAF_BITS: u32 = 24;

/// An open directory.
pub struct Listing {
    number: u64,
    parent: u64,
    entries: Entries,
}

enum Entries {
    /// Of a folder that only the mount has, as it was when it was opened.
    Made(Arc<str>, Vec<(Box<[u8]>, What)>),
    /// A snapshot's sources.
    Sources(Parent, Arc<Vec<crate::model::snapshot::Source>>),
    Stored(Arc<Dir>, Mutex<Leaves>),
}

/// One entry of a directory that is listed.
pub struct Item<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Where the listing goes on behind it.
    pub next: u64,
    /// What it is.
    pub told: Told,
}

impl Listing {
    /// True when it will never be another one.
    pub fn is_lasting(&self) -> bool {
        matches!(self.entries, Entries::Stored(..))
    }
}

impl View<'_> {
    /// Opens a directory.
    pub fn open_directory(&self, number: u64) -> Answer<Listing> {
        let what = self.what(number)?;
        let parent = if number == ROOT { ROOT } else { self.parent_number(&what) };
        let entries = match what {
            What::Dir(dir) => {
                let leaves = Leaves::new(dir.tree);
                Entries::Stored(dir, Mutex::new(leaves))
            }
            What::Folder(path) => {
                self.refresh();
                let folders = self.folders();
                let folder = folders.as_ref().and_then(|folders| folders.get(&path)).ok_or(No::Stale)?;
                Entries::Made(path, folder.entries.iter().map(|(name, what)| (name.clone(), what.clone())).collect())
            }
            What::Shot(shot) => {
                let sources = self.sources(&shot).map_err(|error| self.unreadable(&shot.id.short(), error))?;
                Entries::Sources(Parent::Shot(shot), sources)
            }
            _ => return Err(No::Directory),
        };
        Ok(Listing { number, parent, entries })
    }

    /// Calls `each` with the entries behind `offset`, until it has no room for one more. When they are `counted`, the kernel is told
    /// of all but `.` and `..`, and has to forget them again. What was given before something could not be read stands: who goes on
    /// behind it meets the failure.
    pub fn list(
        &self,
        listing: &Listing,
        offset: u64,
        counted: bool,
        each: &mut dyn FnMut(Item<'_>) -> bool,
    ) -> Answer<()> {
        let mut was_given = false;
        let listed = self.list_from(listing, offset, counted, &mut |item| {
            let has_room = each(item);
            was_given |= has_room;
            has_room
        });
        if was_given { Ok(()) } else { listed }
    }

    fn list_from(
        &self,
        listing: &Listing,
        offset: u64,
        counted: bool,
        each: &mut dyn FnMut(Item<'_>) -> bool,
    ) -> Answer<()> {
        for (at, name, number) in [(0, &b"."[..], listing.number), (1, b"..", listing.parent)] {
            if offset <= at {
                // The parent may be unknown by now; its number is all that is asked here.
                let told = self.attributes(number).or_else(|_| self.attributes(listing.number))?;
                let told = Told { attr: fuser::FileAttr { ino: fuser::INodeNo(number), ..told.attr }, ..told };
                if !each(Item { name, next: at + 1, told }) {
                    return Ok(());
                }
            }
        }
        let behind = offset.checked_sub(FIRST).map(|at| at + 1);
        let mut give = |name: &[u8], at: u64, told: Told| {
            let has_room = each(Item { name, next: FIRST + at, told });
            if !has_room && counted {
                self.forget(told.attr.ino.0, 1);
            }
            has_room
        };
        match &listing.entries {
            Entries::Made(folder, entries) => {
                for (at, (name, what)) in (0u64..).zip(entries).skip(behind.unwrap_or(0) as usize) {
                    let told = if counted { Self::enter_made_up } else { Self::tell_made_up };
                    match told(self, folder, name, what) {
                        Ok(told) if !give(name, at, told) => return Ok(()),
                        // A folder may have gone since.
                        _ => {}
                    }
                }
            }
            Entries::Sources(parent, sources) => {
                for (at, source) in (0u64..).zip(sources.iter()).skip(behind.unwrap_or(0) as usize) {
                    let told = self.told_of(parent, &source.root, counted);
                    if !give(source.root.name.as_bytes(), at, told) {
                        return Ok(());
                    }
                }
            }
            Entries::Stored(dir, leaves) => {
                let parent = Parent::Dir(dir.clone());
                let mut number = behind.map_or(0, |at| at >> LEAF_BITS);
                let mut first = behind.map_or(0, |at| at & ((1 << LEAF_BITS) - 1)) as usize;
                loop {
                    let leaf = leaves.lock().unwrap_or_else(PoisonError::into_inner).get(self.pages(), number as usize);
                    let leaf = leaf.map_err(|error| {
                        let place = What::Dir(dir.clone());
                        place
                            .place()
                            .map_or(No::Unreadable, |(parent, name)| self.unreadable(&Address(&parent, name), error))
                    })?;
                    let Some(leaf) = leaf else { return Ok(()) };
                    for (at, node) in (0u64..).zip(&leaf.nodes).skip(first) {
                        let told = self.told_of(&parent, node, counted);
                        if !give(node.name.as_bytes(), number << LEAF_BITS | at, told) {
                            return Ok(());
                        }
                    }
                    (number, first) = (number + 1, 0);
                }
            }
        }
        Ok(())
    }

    fn told_of(&self, parent: &Parent, node: &crate::model::node::Node, counted: bool) -> Told {
        if counted { self.enter_node(parent, node) } else { self.tell_node(parent.identity_of(node).number, node) }
    }
}
