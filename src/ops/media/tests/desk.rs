//! A machine whose media are folders.

use super::*;
use std::{os::unix::fs::MetadataExt, sync::Mutex};

/// A machine whose media are folders: mounting one moves it to its mount point, as far as anybody can tell.
#[derive(Default)]
pub(super) struct Desk {
    /// Folder of the medium, UUID, and whether it is mounted.
    media: Mutex<Vec<(PathBuf, String, bool)>>,
    free: Mutex<u64>,
    /// Where else the medium is mounted.
    pub(super) elsewhere: Mutex<Vec<PathBuf>>,
}

impl Desk {
    pub(super) fn plug(&self, folder: &Path, uuid: &str, mounted: bool) {
        *self.free.lock().unwrap() = 1 << 30;
        self.media.lock().unwrap().push((folder.to_owned(), uuid.to_owned(), mounted));
    }

    pub(super) fn unplug(&self, folder: &Path) {
        self.media.lock().unwrap().retain(|(other, ..)| other != folder);
    }
}

impl Host for Desk {
    fn mounts(&self) -> Result<Vec<Mounted>> {
        let media = self.media.lock().unwrap();
        let mounted = |(folder, _, _): &(PathBuf, String, bool)| Mounted {
            device: std::fs::metadata(folder).map_or(0, |meta| meta.dev()),
            point: folder.canonicalize().unwrap(),
            source: folder.clone(),
            read_only: false,
        };
        Ok(media.iter().filter(|one| one.2).map(mounted).collect())
    }
    fn points(&self, device: u64) -> Result<Vec<PathBuf>> {
        let mut points: Vec<PathBuf> =
            self.mounts()?.into_iter().filter(|one| one.device == device).map(|one| one.point).collect();
        points.extend(self.elsewhere.lock().unwrap().iter().cloned());
        Ok(points)
    }
    fn uuid(&self, mounted: &Mounted) -> Option<String> {
        self.media.lock().unwrap().iter().find(|one| one.0 == mounted.source).map(|one| one.1.clone())
    }
    fn devices(&self, uuid: &str) -> Vec<PathBuf> {
        self.media.lock().unwrap().iter().filter(|one| one.1 == uuid).map(|one| one.0.clone()).collect()
    }
    fn mount(&self, device: &Path, _at: &Path) -> Result<()> {
        self.media.lock().unwrap().iter_mut().filter(|one| one.0 == device).for_each(|one| one.2 = true);
        Ok(())
    }
    fn unmount(&self, at: &Path) -> Result<()> {
        self.elsewhere.lock().unwrap().retain(|point| point != at || point.ends_with("held"));
        self.media
            .lock()
            .unwrap()
            .iter_mut()
            .filter(|one| one.0.canonicalize().unwrap() == at)
            .for_each(|one| one.2 = false);
        Ok(())
    }
    fn space(&self, _at: &Path) -> Result<(u64, u64)> {
        Ok((*self.free.lock().unwrap(), 2 << 30))
    }
}
