//! Files under temporary names: as long as one is written it is locked, so that what a killed restore left can be told from what another
//! one is at.

use super::{Existing, Kind, TargetDir, beneath};
use crate::{
    fs::{error::PathError, held},
    id,
    name::Name,
    world::{KernelEntropy, random},
};
use rustix::{fs::AtFlags, io::Errno};
use std::{fs::File, io};

/// How the names of unfinished files begin. Whole: this and 32 random hexadecimal digits, which no snapshot can have
/// foreseen.
const TEMPORARY: &[u8] = b".vault-restore-";
const RANDOM: usize = 16;

/// A name that nothing has.
pub(super) fn random_name() -> io::Result<Name> {
    let bytes: [u8; RANDOM] = random(&KernelEntropy).map_err(io::Error::other)?;
    let name = [TEMPORARY, id::hex(&bytes).as_bytes()].concat();
    Name::new(name).map_err(|bad| io::Error::other(bad.to_string()))
}

/// True for a name that [`random_name`] may have made.
fn is_temporary(name: &[u8]) -> bool {
    let random = name.strip_prefix(TEMPORARY).and_then(|random| std::str::from_utf8(random).ok());
    random.is_some_and(|random| id::unhex::<RANDOM>(random).is_ok())
}

/// A file that is written under a temporary name: ends in [`TargetDir::rename_over`] or [`TargetDir::discard`].
#[derive(Debug)]
#[must_use = "the file stays in the target until it is renamed or discarded"]
pub struct TempFile {
    file: File,
    name: Name,
}

impl TempFile {
    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl TargetDir {
    /// Creates a file under a temporary name beside the others, with mode 0600.
    pub fn temp_file(&self) -> Result<TempFile, PathError> {
        let failed = |source| self.failed_itself("create a file in", source);
        for _ in 0..held::TRIES {
            let name = random_name().map_err(failed)?;
            let file = self.create_file(&name)?;
            if held::hold_new(&file, self.fd(), name.as_bytes()) {
                return Ok(TempFile { file, name });
            }
            // Whoever has it may have looked only.
            let _ = rustix::fs::unlinkat(self.fd(), name.as_bytes(), AtFlags::empty());
        }
        Err(failed(Errno::AGAIN.into()))
    }

    /// Gives a temporary file of this directory its name, in place of any entry but a directory that has it. A
    /// symbolic link is replaced, not followed.
    pub fn rename_over(&self, temp: TempFile, name: &Name) -> Result<File, PathError> {
        match rustix::fs::renameat(self.fd(), temp.name.as_bytes(), self.fd(), name.as_bytes()) {
            Ok(()) => Ok(temp.file),
            Err(errno) => {
                // Nothing is lost when this fails too: the name tells what it is.
                let _ = self.discard(temp);
                Err(self.failed(name, "replace", errno))
            }
        }
    }

    /// Removes a temporary file of this directory.
    pub fn discard(&self, temp: TempFile) -> Result<(), PathError> {
        rustix::fs::unlinkat(self.fd(), temp.name.as_bytes(), AtFlags::empty())
            .map_err(|errno| self.failed(&temp.name, "remove", errno))
    }

    /// The names in this directory that unfinished files have, sorted.
    pub fn unfinished(&self) -> io::Result<Vec<Name>> {
        let mut names = beneath::names_that(self.fd(), is_temporary)?;
        names.sort_unstable();
        Ok(names)
    }

    /// The file with such a name, locked, when it is this user's, or he is root, and nobody is writing it: a restore that was killed has left it.
    /// Whoever removes it holds it until it is gone: it may be a new one that another restore is about to lock.
    pub fn left(&self, name: &Name, found: &Existing) -> Option<File> {
        if !is_temporary(name.as_bytes()) || found.kind != Kind::File {
            return None;
        }
        let me = rustix::process::geteuid();
        let file = (me.is_root() || found.uid == me.as_raw()).then(|| self.open_existing(name).ok()).flatten()?;
        held::hold_left(&file).then_some(file)
    }
}
