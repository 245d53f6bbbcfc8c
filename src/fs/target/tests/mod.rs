//! What a hostile tree or target tries, and what must come back exactly.

mod attributes;
mod contents;
mod paths;
mod unfinished;

use super::*;
use crate::{model::node::Meta, world::Time};
use rustix::process::geteuid;
use std::{
    fs::File,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
};

fn name(bytes: impl AsRef<[u8]>) -> Name {
    Name::new(bytes.as_ref()).unwrap()
}

/// A target beside a place that must never be touched.
struct Place {
    base: tempfile::TempDir,
    root: TargetDir,
}

impl Place {
    fn new() -> Place {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("outside")).unwrap();
        fs::write(base.path().join("outside/precious"), b"precious").unwrap();
        let path = base.path().join("deep/er/target");
        let target = Target::create_or_open(path.as_os_str().as_bytes()).unwrap();
        assert!(target.is_empty().unwrap());
        Place { root: target.root().clone(), base }
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.base.path().join("deep/er/target").join(path)
    }

    fn outside(&self, path: &str) -> PathBuf {
        self.base.path().join("outside").join(path)
    }

    fn assert_outside_untouched(&self) {
        assert_eq!(fs::read_dir(self.outside("")).unwrap().count(), 1);
        assert_eq!(fs::read(self.outside("precious")).unwrap(), b"precious");
        assert_eq!(fs::metadata(self.outside("precious")).unwrap().nlink(), 1);
    }
}

fn plain(mode: u32) -> Meta {
    Meta {
        mode,
        uid: geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime: Time { sec: -5, nsec: 123_456_789 },
        ctime: Time::default(),
        atime: None,
        inode: 1,
        device: 0,
        links: 1,
        xattrs: Vec::new(),
    }
}
