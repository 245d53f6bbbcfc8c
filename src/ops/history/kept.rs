//! What of a history is kept in the local catalogue: its blocks, and what makes one follow on another.

use super::{Facts, Version};
use crate::{
    error::Result,
    id::SnapshotId,
    model::codec,
    repo::{Repository, catalogue::Catalogue},
};
use bincode::{Decode, Encode};

/// What became of an entry. Its path is the front of the path before it, and more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Change {
    pub shared: u32,
    pub suffix: Vec<u8>,
    /// What it is now; `None` when it is gone.
    pub facts: Option<Facts>,
}

/// Changes in a block, about: half a megabyte, and at most that of memory while they are collected.
pub(super) const BLOCK_CHANGES: usize = if cfg!(test) { 150 } else { 16_000 };

/// A block of the catalogue.
#[derive(Debug, Encode, Decode)]
struct Block {
    series: String,
    /// The newest snapshot of the blocks before, with which the first one here was compared.
    after: Option<SnapshotId>,
    /// The first changes go on with those of that snapshot.
    continues: bool,
    /// The last snapshot goes on in the next block.
    is_continued: bool,
    versions: Vec<Version>,
    /// A list of changes for each snapshot, encoded by themselves: whoever wants to know the snapshots need not decode them.
    changes: Vec<u8>,
}

/// The catalogue while it is read, and then written on.
pub(super) struct Kept {
    catalogue: Option<Catalogue>,
    series: String,
    /// The newest snapshot in it.
    newest: Option<SnapshotId>,
    is_continued: bool,
    /// Blocks before a snapshot that comes in parts.
    before_parts: usize,
    /// What is to become the next block.
    versions: Vec<Version>,
    changes: Vec<Vec<Change>>,
    held: usize,
}

impl Kept {
    /// Reads which snapshots are in it. What does not follow on what is before it is as good as not there.
    pub fn open(mut catalogue: Option<Catalogue>) -> (Self, Vec<Version>) {
        let (mut series, mut versions): (String, Vec<Version>) = (String::new(), Vec::new());
        // Blocks and snapshots up to where the last snapshot is whole.
        let (mut whole_blocks, mut whole_versions, mut is_continued) = (0, 0, false);
        while let Some(plain) = catalogue.as_mut().and_then(Catalogue::read_next) {
            let block = codec::decode::<Block>(&plain).ok().filter(|block| {
                block.after == versions.last().map(|version| version.id) && block.continues == is_continued
            });
            let Some(block) = block else { break };
            (series, is_continued) = (block.series, block.is_continued);
            versions.extend(block.versions);
            if !is_continued {
                whole_blocks = catalogue.as_ref().map_or(0, Catalogue::len);
                whole_versions = versions.len();
            }
        }
        if let Some(catalogue) = &mut catalogue {
            catalogue.truncate(whole_blocks);
        }
        versions.truncate(whole_versions);
        let newest = versions.last().map(|version| version.id);
        let kept = Kept {
            catalogue,
            series,
            newest,
            is_continued: false,
            before_parts: 0,
            versions: vec![],
            changes: vec![],
            held: 0,
        };
        (kept, versions)
    }

    /// Forgets all of it.
    pub fn restart(&mut self) {
        if let Some(catalogue) = &mut self.catalogue {
            catalogue.truncate(0);
        }
        self.newest = None;
    }

    /// The series that the blocks are of.
    pub fn series(&self) -> &str {
        &self.series
    }

    /// Says of which series the blocks are.
    pub fn set_series(&mut self, series: &str) {
        series.clone_into(&mut self.series);
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.catalogue.as_ref().map_or(0, Catalogue::len)
    }

    /// The changes in a block, by snapshot; and whether the first go on with those of the snapshot before.
    pub fn read(&self, number: usize) -> Option<(bool, Vec<Vec<Change>>)> {
        let plain = self.catalogue.as_ref()?.read(number)?;
        let block: Block = codec::decode(&plain).ok()?;
        Some((block.continues, codec::decode(&block.changes).ok()?))
    }

    /// Adds what a snapshot changed; with `more`, it goes on in the next call, which has no `version`.
    pub fn add(
        &mut self,
        repo: &Repository,
        version: Option<&Version>,
        changes: Vec<Change>,
        more: bool,
    ) -> Result<()> {
        if self.catalogue.is_none() {
            return Ok(());
        }
        let continues = version.is_none();
        // What comes in parts has blocks of its own.
        if more && !continues {
            self.finish(repo)?;
            self.before_parts = self.blocks();
        }
        self.held += changes.len() + 1;
        self.versions.extend(version.cloned());
        self.changes.push(changes);
        if continues || more || self.held >= BLOCK_CHANGES {
            self.write(repo, continues, more)?;
        }
        Ok(())
    }

    /// What comes from here on is not to be kept, since something was lost that may come back.
    pub fn stop(&mut self) {
        self.catalogue = None;
    }

    /// Takes back what came in parts last: something of it was lost, and may come back. Nothing more is kept.
    pub fn drop_parts(&mut self) {
        if let Some(catalogue) = &mut self.catalogue {
            catalogue.cut(self.before_parts);
        }
        self.catalogue = None;
    }

    /// Writes what is left.
    pub fn finish(&mut self, repo: &Repository) -> Result<()> {
        if self.changes.is_empty() { Ok(()) } else { self.write(repo, false, false) }
    }

    fn write(&mut self, repo: &Repository, continues: bool, is_continued: bool) -> Result<()> {
        let versions = std::mem::take(&mut self.versions);
        let changes = codec::encode(&std::mem::take(&mut self.changes));
        self.held = 0;
        let newest = versions.last().map(|version| version.id).or(self.newest);
        let block =
            Block { series: self.series.clone(), after: self.newest, continues, is_continued, versions, changes };
        (self.newest, self.is_continued) = (newest, is_continued);
        if let Some(catalogue) = &mut self.catalogue
            && !catalogue.append(repo, &codec::encode(&block))?
        {
            self.catalogue = None;
        }
        Ok(())
    }
}
