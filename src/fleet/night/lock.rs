//! One run at a time: a lock that the kernel takes back when its process ends, however that ends.

use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{DirBuilder, File},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock is on the open file")] File);

/// Takes the lock of this folder; [`Error::Busy`] when another process has it.
pub fn take(folder: &Path) -> Result<Lock> {
    let path = folder.join("run.lock");
    let failed = |e: io::Error| Error::store("lock", path.display(), e);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut who = String::new();
            let _ = file.take(32).read_to_string(&mut who);
            let who = who.trim();
            let who = if who.is_empty() || !who.bytes().all(|b| b.is_ascii_digit()) {
                String::new()
            } else {
                format!(" (process {who})")
            };
            return Err(Error::Busy { what: format!("another run is under way{who}: it does what is due") });
        }
        Err(e) => return Err(failed(e.into())),
    }
    // Who it is helps whoever waits; that it cannot be written is no reason not to go on.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("fleet");
        let lock = take(&folder).unwrap();
        let error = take(&folder).unwrap_err();
        assert!(matches!(error, Error::Busy { .. }));
        assert!(error.to_string().contains(&format!("(process {})", std::process::id())), "{error}");
        drop(lock);
        take(&folder).unwrap();
    }
}
