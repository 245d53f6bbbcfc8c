//! What was written is read back from the disk, until it is right.

use super::*;

/// A pack on a medium of which a byte turns over when all is written and nothing is read back yet.
struct Rots {
    folder: PathBuf,
    stop: bool,
    stopped: std::sync::atomic::AtomicBool,
}

impl Rots {
    fn new(root: &Path, stop: bool) -> Self {
        Rots { folder: root.join("vault/packs"), stop, stopped: Default::default() }
    }
}

impl Monitor for Rots {
    fn phase(&self, phase: crate::monitor::Phase) {
        if phase == crate::monitor::Phase::Verifying {
            let mut folder = self.folder.clone();
            while folder.is_dir() {
                let mut all: Vec<PathBuf> =
                    std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
                all.sort();
                folder = all.remove(0);
            }
            let mut bytes = std::fs::read(&folder).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&folder, bytes).unwrap();
            self.stopped.store(self.stop, std::sync::atomic::Ordering::Relaxed);
        }
    }
    fn cancelled(&self) -> bool {
        self.stopped.load(std::sync::atomic::Ordering::Relaxed)
    }
}

fn is_clean(repo: &Repository) {
    let findings = crate::ops::check::check(repo, ReadData::Percent(100.0), 1, &Silent).unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn what_was_never_read_back_is_read_until_it_is_right() {
    let world = World::new();
    let root = world.medium("blue");
    let rots = |stop| world.sync_with("blue", false, &|| {}, &Rots::new(&root, stop));
    let error = rots(false).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { what, .. } if what.contains("next sync brings")), "{error}");
    assert_eq!(world.catalogue().find("blue").unwrap().synced(), None);
    // Brought anew, and wrong again.
    assert!(matches!(rots(false), Err(Error::Corrupt { .. })));
    // Killed before it was read back.
    assert!(matches!(rots(true), Err(Error::Cancelled)));
    assert!(matches!(world.try_sync("blue", false), Err(Error::Corrupt { .. })));
    let report = world.sync("blue");
    assert!(report.objects == 1 && report.read_back == report.bytes && report.bytes > 0, "{report:?}");
    is_clean(&world.copy_on(&root));
    assert_eq!(world.sync("blue").read_back, 0, "what was right is not read again");
    // One that is pruned on its own is told each time.
    world.copy_on(&root).note(crate::model::gc::Step::Mark, vec![]).unwrap();
    night(&world.fixture, 2);
    assert!(matches!(rots(true), Err(Error::Cancelled)));
    for _ in 0..2 {
        // The pack that rots may be one that was right before, so all is read.
        std::fs::remove_file(
            world.catalogue().skeleton(&world.catalogue().find("blue").unwrap()).with_extension("read"),
        )
        .ok();
        let error = world.try_sync("blue", false).unwrap_err();
        assert!(error.to_string().contains("vault repair"), "{error}");
    }
}
