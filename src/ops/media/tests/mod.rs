//! Media on a machine that is made up, and one on a real file system.

mod desk;
mod identity;
mod known;
mod mounting;
mod read_back;
mod syncs;
mod with_parity;

use super::*;
use crate::{
    monitor::Silent,
    ops::{
        check::keyless::Around,
        fixture::{self, Fixture},
    },
    series::Address,
    store::SharedStore,
    world::{KernelEntropy, SystemClock},
};
use desk::Desk;
use std::sync::Arc;

const SERIES: &str = "mail/-/home";

struct World {
    dir: tempfile::TempDir,
    fixture: Fixture,
    desk: Desk,
}

impl World {
    fn new() -> Self {
        let fixture = Fixture::new();
        night(&fixture, 1);
        World { dir: tempfile::tempdir().unwrap(), fixture, desk: Desk::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn catalogue(&self) -> Catalogue<'_> {
        Catalogue::open(&self.fixture.repo, &self.path("state")).unwrap()
    }

    fn new_medium<'a>(&self, folder: &'a Path, name: &'a str) -> New<'a> {
        New { folder, name, site: "safe", mount_at: None, parity: true, overdue_after: 8 * 86400, client: "h" }
    }

    /// A medium that is plugged in, mounted, and known.
    fn medium(&self, name: &str) -> PathBuf {
        let root = self.path(name);
        std::fs::create_dir(&root).unwrap();
        self.desk.plug(&root, &format!("uuid-{name}"), true);
        add(&self.catalogue(), &self.desk, &self.new_medium(&root.join("vault"), name)).unwrap();
        root
    }

    fn try_sync(&self, name: &str, accept_rollback: bool) -> Result<Report> {
        self.sync_with(name, accept_rollback, &|| {}, &Silent)
    }

    /// Does something once the medium is known to be the one, before anything is copied.
    fn sync_with(&self, name: &str, accept_rollback: bool, then: &dyn Fn(), monitor: &dyn Monitor) -> Result<Report> {
        let catalogue = self.catalogue();
        let medium = catalogue.find(name)?;
        let begun = std::cell::Cell::new(false);
        let around = |store: SharedStore| {
            if !begun.replace(true) {
                then();
            }
            store
        };
        let request = Request { medium: &medium, accept_rollback, around: &around, client: "h" };
        sync(&catalogue, &self.desk, &request, monitor)
    }

    fn sync(&self, name: &str) -> Report {
        self.try_sync(name, false).unwrap()
    }

    fn copy_on(&self, root: &Path) -> Repository {
        self.fixture.repo.at(Arc::new(LocalStore::open(&root.join("vault")).unwrap()))
    }
}

fn night(fixture: &Fixture, number: u64) {
    let inbox = fixture::file(&fixture::noise(4_000, number));
    let tree = fixture::dir(vec![("inbox", inbox), ("secret-name", fixture::file(b"secret contents"))]);
    fixture.snapshot(SERIES, 1_600_000_000 + number as i64 * 86400, vec![("data", tree)]);
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)
        } else {
            drop(std::fs::copy(entry.path(), target))
        }
    }
}
