//! How long segments become: a longer one is smaller, and costs more to take one blob from.

use crate::{model::config::Config, object::Kind};

/// What a segment is filled with, which decides how long it may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Whole small files: alike ones lie side by side, and are mostly restored together.
    Files,
    /// Parts of large files, which databases and virtual machines read here and there.
    Parts,
    /// What is tried to lean on earlier blobs. Of each version it is a part only, and of that fewer and fewer is needed by later ones: what a
    /// long one is opened for, after many versions, is a blob or two. A short one also leans on just what is below it.
    Leaning,
}

impl Room {
    /// Plaintext at which a segment is closed, where whole files fill `target` bytes. Parts that are `dense` repeat one another so
    /// much that twice as many of them cost little to take one from, and shrink further.
    pub(super) fn target(self, kind: Kind, target: u32, dense: bool) -> usize {
        let target = target as usize;
        match self {
            Room::Files if kind == Kind::DataPack => target,
            Room::Parts if dense => target,
            Room::Parts => target / 2,
            // Pages of trees: each is opened for little.
            Room::Files => target / 4,
            Room::Leaning => target / 16,
        }
    }
}

/// What a segment of parts takes that do not shrink, in bytes: a tag more than they, or a frame's little. Where there are large files most
/// segments take as much, so that the room of one is kept for the next.
pub(super) fn sealed_part(config: &Config) -> usize {
    Room::Parts.target(Kind::DataPack, config.segment_target, false) + 4096
}
