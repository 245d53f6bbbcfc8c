//! The names in one directory, sorted: all of them in one run of bytes, since a directory may hold millions.

use super::stat::Kind;

/// What a listing tells of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name. A few file systems (vfat, ntfs) give names longer than [`crate::name::NAME_MAX`]: such a name is here
    /// as it is, and [`crate::name::Name::new`] refuses it.
    pub name: &'a [u8],
    /// Inode number as the directory tells it. A hint, for reading order: of a mount point it is the covered one.
    pub inode: u64,
    /// What it is, where the directory tells. A hint: it may be something else by the time it is opened.
    pub kind: Option<Kind>,
}

/// A list of fewer entries takes little memory even where it has taken too much.
const MANY: usize = 1024;

/// The entries of a directory without `.` and `..`, sorted by the bytes of their names, each name once.
#[derive(Debug, Default)]
pub struct Listing {
    names: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    inode: u64,
    start: u32,
    len: u16,
    kind: Option<Kind>,
}

// A million entries are 16 MB and their names.
const _: () = assert!(size_of::<Slot>() == 16);

impl Slot {
    fn name<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        let start = self.start as usize;
        names.get(start..start + usize::from(self.len)).unwrap_or_default()
    }
}

impl Listing {
    /// Adds an entry; false when the names would exceed 4 GiB.
    #[must_use]
    pub(super) fn push(&mut self, name: &[u8], inode: u64, kind: Option<Kind>) -> bool {
        let (Ok(start), Ok(len)) = (u32::try_from(self.names.len()), u16::try_from(name.len())) else { return false };
        self.names.extend_from_slice(name);
        self.slots.push(Slot { inode, start, len, kind });
        true
    }

    /// Sorts, once all are there. A directory that changes while it is read may show a name twice.
    pub(super) fn finish(mut self) -> Self {
        let names = &self.names;
        self.slots.sort_unstable_by(|a, b| a.name(names).cmp(b.name(names)));
        self.slots.dedup_by(|a, b| a.name(names) == b.name(names));
        if self.slots.len() >= MANY {
            self.slots.shrink_to_fit();
            self.names.shrink_to_fit();
        }
        self
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True for an empty directory.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The entry at `index`, from 0.
    pub fn get(&self, index: usize) -> Option<Entry<'_>> {
        self.slots.get(index).map(|slot| self.entry(slot))
    }

    /// The name at `index`, from 0.
    pub fn name(&self, index: usize) -> Option<&[u8]> {
        self.slots.get(index).map(|slot| slot.name(&self.names))
    }

    /// Where `name` is, if it is there.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.slots.binary_search_by(|slot| slot.name(&self.names).cmp(name)).ok()
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        self.slots.iter().map(|slot| self.entry(slot))
    }

    fn entry(&self, slot: &Slot) -> Entry<'_> {
        Entry { name: slot.name(&self.names), inode: slot.inode, kind: slot.kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&[u8]]) -> Listing {
        let mut listing = Listing::default();
        for (inode, name) in names.iter().enumerate() {
            assert!(listing.push(name, inode as u64, Some(Kind::File)));
        }
        listing.finish()
    }

    #[test]
    fn names_come_sorted_by_byte_and_once() {
        let listing = listing(&[b"b", b"\xff", b"a", b"ab", b"b", b"B"]);
        let names: Vec<_> = listing.iter().map(|entry| entry.name).collect();
        assert_eq!(names, [&b"B"[..], b"a", b"ab", b"b", b"\xff"]);
        assert_eq!(listing.get(1), Some(Entry { name: b"a", inode: 2, kind: Some(Kind::File) }));
        assert_eq!(listing.name(4), Some(&b"\xff"[..]));
        assert_eq!(listing.get(5), None);
    }

    #[test]
    fn finds_what_is_there() {
        let listing = listing(&[b"c", b"a"]);
        assert_eq!(listing.find(b"c"), Some(1));
        assert_eq!(listing.find(b"b"), None);
        assert!(!listing.is_empty());
    }
}
