//! A stick to plug in: takes root, losetup and a mkfs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a program printed, when it ended well.
pub fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A file system in a file. Unmounted, and detached, when it goes.
pub struct Stick {
    pub device: String,
    pub point: PathBuf,
}

impl Stick {
    /// Makes a device of it; `None` where that cannot be done.
    pub fn plug(image: &Path, point: &Path) -> Option<Stick> {
        let device = run("losetup", &["-f", "--show", image.to_str()?])?;
        Some(Stick { device, point: point.to_owned() })
    }

    pub fn mount(&self) {
        assert!(run("mount", &[&self.device, self.point.to_str().unwrap()]).is_some());
    }

    pub fn unmount(&self) {
        run("umount", &[self.point.to_str().unwrap()]);
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        self.unmount();
        run("losetup", &["-d", &self.device]);
    }
}
