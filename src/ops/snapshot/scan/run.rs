//! Files that one reader reads one after another.

use crate::ops::snapshot::flow::Task;
use std::sync::Arc;

/// Files that are read one after another go to one reader: neighbours end in one segment. A run ends at so many bytes or files.
const BYTES: u64 = 1 << 20;
const FILES: usize = 256;
/// Or when its files lie in so many directories, which stay open until they are read: with all runs that wait, fewer than the 1024
/// files that a process may usually open, where one source is read at a time and not from a rotational disk, whose reader looks further ahead.
pub const DIRS: usize = 32;

/// The run that is being gathered.
#[derive(Default)]
pub struct Run {
    tasks: Vec<Task>,
    bytes: u64,
    dirs: usize,
}

impl Run {
    /// Adds a file of so many bytes.
    pub fn push(&mut self, task: Task, bytes: u64) {
        if self.tasks.last().is_none_or(|last| !Arc::ptr_eq(&last.dir, &task.dir)) {
            self.dirs += 1;
        }
        self.bytes += bytes;
        self.tasks.push(task);
    }

    /// True when it is to be handed on.
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES || self.tasks.len() >= FILES || self.dirs >= DIRS
    }

    /// What was gathered; a new run begins.
    pub fn take(&mut self) -> Vec<Task> {
        std::mem::take(self).tasks
    }
}
