//! Where a file has data and where it has holes, so that holes are never read.

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};
use std::fs::File;

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// Bytes to be read, also when they should all be zeros.
    Data { offset: u64, len: u64 },
    /// Bytes that were never written and read as zeros.
    Hole { offset: u64, len: u64 },
}

/// The stretches of a file, in order and without gaps: one system call for each, none for a file without holes.
///
/// Never more than `size` bytes in all, and less when the file was cut short meanwhile, as it is with reading. Where the
/// system does not tell holes, all is data. Moves the file's own position: read with `read_at`.
#[derive(Debug)]
pub struct Ranges<'a> {
    file: &'a File,
    at: u64,
    size: u64,
    knows: Knows,
}

/// What is known of the place that has been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    Nothing,
    /// Data begins here.
    Data,
    /// From here to the end is data, or must be taken for it.
    AllData,
}

/// The stretches of a file of `size` bytes which takes `blocks` units of 512 bytes on its disk; both as `stat` told.
pub fn data_ranges(file: &File, size: u64, blocks: u64) -> Ranges<'_> {
    let dense = blocks.saturating_mul(512) >= size;
    Ranges { file, at: 0, size, knows: if dense { Knows::AllData } else { Knows::Nothing } }
}

impl Ranges<'_> {
    fn data(&mut self, end: u64) -> Option<Stretch> {
        let offset = std::mem::replace(&mut self.at, end.min(self.size));
        Some(Stretch::Data { offset, len: self.at - offset })
    }

    fn hole(&mut self, end: u64) -> Option<Stretch> {
        let offset = std::mem::replace(&mut self.at, end.min(self.size));
        Some(Stretch::Hole { offset, len: self.at - offset })
    }
}

impl Iterator for Ranges<'_> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        if self.at >= self.size {
            return None;
        }
        if self.knows == Knows::Nothing {
            match seek(self.file, SeekFrom::Data(self.at)) {
                Ok(data) if data > self.at => {
                    self.knows = Knows::Data;
                    return self.hole(data);
                }
                Ok(data) if data == self.at => self.knows = Knows::Data,
                // No data from here on: a hole up to the end, which may have come nearer.
                Err(Errno::NXIO) => {
                    self.size = self.size.min(seek(self.file, SeekFrom::End(0)).unwrap_or(self.at));
                    return if self.at < self.size { self.hole(self.size) } else { None };
                }
                Ok(_) | Err(_) => self.knows = Knows::AllData,
            }
        }
        if self.knows == Knows::AllData {
            return self.data(self.size);
        }
        match seek(self.file, SeekFrom::Hole(self.at)) {
            Ok(hole) if hole > self.at => {
                self.knows = Knows::Nothing;
                self.data(hole)
            }
            // Whatever else is wrong, reading will tell.
            Ok(_) | Err(_) => {
                self.knows = Knows::AllData;
                self.data(self.size)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    const MIB: u64 = 1 << 20;

    fn ranges(file: &File) -> Vec<Stretch> {
        let meta = file.metadata().unwrap();
        data_ranges(file, meta.len(), meta.blocks()).collect()
    }

    #[test]
    fn huge_file_of_nothing_is_one_hole() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 30).unwrap();
        assert_eq!(ranges(&file), [Stretch::Hole { offset: 0, len: 64 << 30 }]);
    }

    #[test]
    fn data_between_holes_is_found() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 * MIB).unwrap();
        file.write_all_at(&[1; 4096], 4 * MIB).unwrap();
        file.write_all_at(&[1; 4096], 8 * MIB).unwrap();
        let found = ranges(&file);
        let mut at = 0;
        for stretch in &found {
            let (Stretch::Data { offset, len } | Stretch::Hole { offset, len }) = *stretch;
            assert_eq!(offset, at);
            assert_ne!(len, 0);
            at += len;
        }
        assert_eq!(at, 10 * MIB);
        for written in [4 * MIB, 8 * MIB] {
            let covers = |s: &Stretch| matches!(*s, Stretch::Data { offset, len } if offset <= written && written + 4096 <= offset + len);
            assert!(found.iter().any(covers), "{written}: {found:?}");
        }
        assert_eq!(found[0], Stretch::Hole { offset: 0, len: 4 * MIB });
        assert!(matches!(found[found.len() - 1], Stretch::Hole { .. }), "{found:?}");
    }

    #[test]
    fn dense_and_empty_files_cost_no_call() {
        // This file would tell that it is empty; it is not asked.
        let file = tempfile::tempfile().unwrap();
        let all: Vec<_> = data_ranges(&file, 1000, 2).collect();
        assert_eq!(all, [Stretch::Data { offset: 0, len: 1000 }]);
        assert_eq!(data_ranges(&file, 0, 0).next(), None);
    }

    #[test]
    fn where_holes_are_not_told_all_is_data() {
        // A pipe cannot seek at all.
        let (reader, _writer) = std::io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let all: Vec<_> = data_ranges(&file, 1000, 0).collect();
        assert_eq!(all, [Stretch::Data { offset: 0, len: 1000 }]);
    }

    #[test]
    fn file_cut_short_has_no_hole_in_place_of_its_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(MIB).unwrap();
        assert_eq!(data_ranges(&file, 4 * MIB, 0).collect::<Vec<_>>(), [Stretch::Hole { offset: 0, len: MIB }]);
        file.set_len(0).unwrap();
        assert_eq!(data_ranges(&file, 4 * MIB, 0).next(), None);
    }

    #[test]
    fn growth_meanwhile_is_not_reported() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 9000], 0).unwrap();
        assert_eq!(data_ranges(&file, 5000, 0).collect::<Vec<_>>(), [Stretch::Data { offset: 0, len: 5000 }]);
    }
}
