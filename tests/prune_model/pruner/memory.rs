//! What a pruner remembers, by its place.

// Of a survey.
pub const INTENTS: usize = 0;
pub const NOTES_SEEN: usize = 1;
pub const NAMED: usize = 2;
pub const SNAPSHOTS: usize = 3;
pub const GONE: usize = 4;
pub const INDEXES_SEEN: usize = 5;
pub const LISTED: usize = 6;
// And of S1.
pub const MARKS: usize = 7;
pub const OLD: usize = 8;
pub const EXPIRED: usize = 9;
/// And what it knows to be marked.
pub const MARKED: usize = 7;
pub const MARKED_BESIDE: usize = 11;
// The plan, in the place of the survey.
pub const PUBLISH: usize = 0;
pub const DROP: usize = 1;
pub const FORGOTTEN: usize = 2;
pub const COPY: usize = 3;
pub const CONDEMNED: usize = 4;
/// The copies hold what is damaged.
pub const TAINTED: usize = 5;
pub const REMOVE: usize = 0;
pub const ENTRIES: usize = 1;
pub const NOTES_DONE: usize = 2;
