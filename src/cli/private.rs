//! Files that only the user can read: keys and recovery sheets. Each is whole when it bears its name, and a key opens what it was made
//! for: until then it lies beside, where the next run clears away what a run that was killed has left.

use super::{exit::Failure, secrets::shown};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file that has its contents, and not yet its name. Without [`Self::finish`] it goes away again.
pub struct Unfinished {
    path: PathBuf,
    beside: PathBuf,
}

impl Unfinished {
    /// Fails when there is a file of that name.
    pub fn write(path: &Path, contents: &[u8]) -> Result<Self, Failure> {
        Self::begin(path, contents).map_err(|source| failed(path, source))
    }

    fn begin(path: &Path, contents: &[u8]) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".unfinished");
        let beside = path.with_file_name(hidden);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        let unfinished = Unfinished { path: path.to_owned(), beside };
        file.write_all(contents)?;
        file.sync_all()?;
        Ok(unfinished)
    }

    /// Gives it its name, durably. What has come to bear that name meanwhile is not overwritten.
    pub fn finish(self) -> Result<(), Failure> {
        self.rename().map_err(|source| failed(&self.path, source))
    }

    fn rename(&self) -> io::Result<()> {
        match renameat_with(CWD, &self.beside, CWD, &self.path, RenameFlags::NOREPLACE) {
            // Not every file system, nor every kernel, can tell.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                if self.path.symlink_metadata().is_ok() {
                    return Err(ErrorKind::AlreadyExists.into());
                }
                fs::rename(&self.beside, &self.path)?;
            }
            renamed => renamed?,
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let flushed = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        match flushed {
            // Some file systems flush no folders; who may not read one, only write to it, cannot either.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied
                ) =>
            {
                Ok(())
            }
            Err(error) => {
                // It is not to be relied on, and so must not be there.
                let _ = fs::remove_file(&self.path);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has its name, or is not wanted.
        let _ = fs::remove_file(&self.beside);
    }
}

fn failed(path: &Path, source: io::Error) -> Failure {
    Failure::File { doing: "make", path: shown(path), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_when_all_is_done_and_takes_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let names =
            || -> Vec<_> { fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
        // What was given up leaves nothing.
        drop(Unfinished::write(&path, b"one").unwrap());
        assert!(names().is_empty());
        // What was killed lies beside, and is in nobody's way.
        std::mem::forget(Unfinished::write(&path, b"two").unwrap());
        assert_eq!(names(), [".key.unfinished"]);
        Unfinished::write(&path, b"three").unwrap().finish().unwrap();
        assert_eq!(names(), ["key"]);
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert!(Unfinished::write(&path, b"four").is_err());
        // Somebody was faster.
        let other = dir.path().join("other");
        let late = Unfinished::write(&other, b"mine").unwrap();
        fs::write(&other, "theirs").unwrap();
        assert!(late.finish().is_err());
        assert_eq!(fs::read(&other).unwrap(), b"theirs");
        assert_eq!(names().len(), 2);
    }
}
