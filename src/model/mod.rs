//! What the sealed payloads say: configuration, trees, snapshots, what became of them. Layouts: `format-spec/05-trees.md`,
//! `06-snapshots.md`, `12-prune.md`, `13-forgetting.md`.

pub mod annotation;
pub mod codec;
pub mod config;
pub mod gc;
pub mod lazy;
pub mod medium;
pub mod node;
pub mod paging;
pub mod snapshot;
pub mod tombstone;
pub mod tree;

/// Bounds that readers enforce (`format-spec/08-limits.md`). Units are bytes unless the name says otherwise.
pub mod limits {
    /// A blob's plaintext.
    pub const BLOB_MAX: usize = 4 << 20;
    /// A segment's plaintext.
    pub const SEGMENT_MAX: usize = 16 << 20;
    /// A segment as it lies in a pack: a frame may be a little longer than what it holds.
    pub const STORED_MAX: usize = 17 << 20;
    /// The plaintext of all base blobs of one segment.
    pub const BASES_MAX: usize = 16 << 20;
    /// Base blobs of one segment, in number.
    pub const BASES_COUNT_MAX: usize = 4096;
    /// Versions between a segment and one that leans on none.
    pub const GENERATION_MAX: u8 = 35;
    /// Segments in a chain in which each leans on the next, the first and the last included.
    pub const DELTA_DEPTH_MAX: usize = 8;
    /// Segments that must be opened to read one, itself included.
    pub const BASE_SEGMENTS_MAX: usize = 64;
    /// The plaintext of all these segments together.
    pub const BASE_BYTES_MAX: usize = 64 << 20;
    /// Key slots of a repository.
    pub const SLOTS_MAX: usize = 32;
    /// A whole pack.
    pub const PACK_MAX: u64 = 1 << 30;
    /// A sealed metadata object (index, snapshot).
    pub const META_MAX: u64 = 64 << 20;
    /// A pack's sealed directory: half of the index object that must hold a copy of it.
    pub const DIRECTORY_MAX: u64 = 32 << 20;
    /// A symbolic link's target.
    pub const LINK_MAX: usize = 64 << 10;
    /// All extended attributes of one entry: names and values.
    pub const XATTRS_MAX: usize = 1 << 20;
    /// Directories inside one another.
    pub const DEPTH_MAX: usize = 16_384;
    /// Pages of one directory or one list of extents on top of one another.
    pub const LEVELS_MAX: usize = 16;
    /// A tombstone or an annotation.
    pub const MARK_MAX: u64 = 1 << 20;
    /// Changes of one annotation, in number.
    pub const CHANGES_MAX: usize = 1000;
    /// A tag.
    pub const TAG_MAX: usize = 255;
    /// Why a snapshot is pinned or was forgotten.
    pub const REASON_MAX: usize = 1024;
    /// Names of host and program in a session.
    pub const SESSION_TEXT_MAX: usize = 1024;
    /// Packs that one note names, and notes that one session has seen, in number.
    pub const NAMED_MAX: usize = 1 << 20;
    /// Problems listed in a snapshot; the rest is only counted.
    pub const PROBLEMS_MAX: usize = 1000;
}
