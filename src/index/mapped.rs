//! The one place where a file is mapped into memory.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::{fs::File, io};

/// Maps a whole file for reading.
///
/// For our own derived tables only: they are private to the user (0600 below a 0700 folder), are written under a
/// temporary name, and never change after they got their final one.
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the file is one of our tables, which nobody changes or truncates once it has its name: replacing one
    // replaces the directory entry and leaves mapped bytes as they were. Every value read from the bytes is checked, so
    // even a table that is changed against this promise gives wrong answers at worst, which the check of blob ids
    // notices.
    unsafe { Mmap::map(file) }
}
