//! Media on a machine that is made up, and one on a real file system in a loop device.

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
use std::{
    os::unix::fs::MetadataExt,
    process::Command,
    sync::{Arc, Mutex},
};

const SERIES: &str = "mail/-/home";

/// A machine whose media are folders: mounting one moves it to its mount point, as far as anybody can tell.
#[derive(Default)]
struct Desk {
    /// Folder of the medium, UUID, and whether it is mounted.
    media: Mutex<Vec<(PathBuf, String, bool)>>,
    free: Mutex<u64>,
    /// Where else the medium is mounted.
    elsewhere: Mutex<Vec<PathBuf>>,
}

impl Desk {
    fn plug(&self, folder: &Path, uuid: &str, mounted: bool) {
        *self.free.lock().unwrap() = 1 << 30;
        self.media.lock().unwrap().push((folder.to_owned(), uuid.to_owned(), mounted));
    }

    fn unplug(&self, folder: &Path) {
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

fn instant(text: &str) -> Result<i64> {
    Ok(text.get(8..10).and_then(|day| day.parse::<i64>().ok()).map_or(0, |day| 1_600_000_000 + day * 86400 + 3600))
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

#[test]
fn a_sync_brings_everything_and_reads_it_back() {
    let world = World::new();
    let root = world.medium("blue");
    let report = world.sync("blue");
    assert_eq!((report.snapshots, report.held, report.generation), (1, 1, 2));
    assert!(report.bytes > 4_000 && report.read_back == report.bytes && !report.unmounted);
    let copy = world.copy_on(&root);
    assert_eq!(copy.snapshots(None).unwrap().listed, world.fixture.repo.snapshots(None).unwrap().listed);
    night(&world.fixture, 2);
    let report = world.sync("blue");
    assert_eq!((report.snapshots, report.held, report.generation), (1, 2, 3));
    assert_eq!(std::fs::read_dir(root.join("vault/media")).unwrap().count(), 1, "one marker is left");
    let report = world.sync("blue");
    assert_eq!((report.snapshots, report.bytes, report.objects), (0, 0, 0));
    let around = Around { clock: &SystemClock, entropy: &KernelEntropy, cache: None };
    let medium = world.catalogue().find("blue").unwrap();
    let checked = check(&world.catalogue(), &world.desk, &medium, ReadData::None, &around, &Silent).unwrap();
    assert!(checked.findings.is_empty() && checked.notes.is_empty(), "{:?} {:?}", checked.findings, checked.notes);
    assert_eq!(world.catalogue().find("blue").unwrap().checked.map(|checked| checked.findings), Some(0));
}

fn sidecars(root: &Path) -> (u64, u64) {
    let status = crate::ops::parity::status(&LocalStore::open(&root.join("vault")).unwrap(), &Silent).unwrap();
    assert_eq!((status.covered, status.missing), (status.objects, 0), "{status:?}");
    (status.sidecars, status.mirrored)
}

fn packs_on(root: &Path) -> Vec<crate::store::ObjectName> {
    let mut packs = Vec::new();
    let mut each = |entry: crate::store::Entry| {
        packs.push(entry.name);
        Ok(())
    };
    LocalStore::open(&root.join("vault")).unwrap().list("packs/", &mut each).unwrap();
    packs
}

#[test]
fn a_medium_gets_parity_and_second_copies_by_itself() {
    use crate::ops::parity::{self, Examine, MendRequest};
    let world = World::new();
    let root = world.medium("blue");
    let report = world.sync("blue");
    assert!(report.parity.0 > 1 && report.parity.1 < report.bytes && report.read_back == report.bytes, "{report:?}");
    let (first, mirrored) = sidecars(&root);
    assert!(first == 1 && mirrored > 3, "{mirrored}");
    assert_eq!((world.sync("blue").objects, sidecars(&root)), (0, (first, mirrored)), "a new marker is nothing new");
    night(&world.fixture, 2);
    world.sync("blue");
    let after = sidecars(&root);
    assert!(after.0 == 2 && after.1 > mirrored, "{after:?}");
    // What is lost of any of it comes back from the disk itself.
    let store = LocalStore::open(&root.join("vault")).unwrap();
    let packs = packs_on(&root);
    for name in packs {
        let path = root.join("vault").join(name.as_str());
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let request = MendRequest {
            examine: Examine::All,
            named: &Default::default(),
            wants: &|_| true,
            all_missing: false,
            dry_run: false,
        };
        let report = parity::mend(&store, &request, &Silent).unwrap();
        assert!(report.lost.is_empty() && std::fs::read(&path).unwrap() == whole, "{name}: {report:?}");
    }
}

#[test]
fn damage_of_what_lay_on_it_is_told_and_who_wants_no_parity_gets_none() {
    let world = World::new();
    let root = world.medium("blue");
    world.sync("blue");
    // Parity that is lost is made anew, of what is whole: a rotten pack is told.
    std::fs::remove_dir_all(root.join("vault/parity")).unwrap();
    let packs = packs_on(&root);
    let path = root.join("vault").join(packs[0].as_str());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(world.sync("blue").unfit, 1);
    let bare = world.path("bare");
    std::fs::create_dir(&bare).unwrap();
    world.desk.plug(&bare, "uuid-bare", true);
    let folder = bare.join("vault");
    let new = New { parity: false, ..world.new_medium(&folder, "bare") };
    add(&world.catalogue(), &world.desk, &new).unwrap();
    assert_eq!(world.sync("bare").parity, (0, 0));
    assert!(!folder.join("parity").exists() && !folder.join("mirror").exists());
}

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

#[test]
fn another_disk_at_the_same_place_gets_nothing() {
    let world = World::new();
    let root = world.medium("blue");
    let (folder, away) = (root.join("vault"), root.join("away"));
    let swap = || {
        std::fs::rename(&folder, &away).unwrap();
        std::fs::create_dir(&folder).unwrap();
    };
    world.sync_with("blue", false, &swap, &Silent).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(world.copy_on(&root).snapshots(None).unwrap().listed.len(), 1);
    // A copy that was there is not made anew where it is missing.
    std::fs::remove_file(folder.join("config")).unwrap();
    assert!(world.try_sync("blue", false).is_err());
    assert!(!folder.join("config").exists());
}

#[test]
fn what_others_note_of_a_medium_meanwhile_stays() {
    let world = World::new();
    world.medium("blue");
    let meanwhile = || {
        let catalogue = world.catalogue();
        retire(&catalogue, &catalogue.find("blue").unwrap()).unwrap();
    };
    world.sync_with("blue", false, &meanwhile, &Silent).unwrap();
    let known = world.catalogue().media().unwrap().remove(0);
    assert!(known.retired && known.synced().is_some(), "{known:?}");
}

#[test]
fn clones_that_went_on_apart_and_lost_snapshots_are_recognised() {
    let world = World::new();
    let root = world.medium("blue");
    world.sync("blue");
    let (clone, other) = (world.path("clone"), world.path("other"));
    copy_tree(&root, &clone);
    // The clone is synced on another machine, to the same number.
    std::fs::rename(&root, &other).unwrap();
    std::fs::rename(&clone, &root).unwrap();
    let elsewhere = world.path("state-2");
    copy_tree(&world.path("state"), &elsewhere);
    world.sync("blue");
    std::fs::rename(&root, &clone).unwrap();
    std::fs::rename(&other, &root).unwrap();
    let catalogue = Catalogue::open(&world.fixture.repo, &elsewhere).unwrap();
    let medium = catalogue.find("blue").unwrap();
    let around = |store: SharedStore| store;
    let request = Request { medium: &medium, accept_rollback: false, around: &around, client: "other" };
    sync(&catalogue, &world.desk, &request, &Silent).unwrap();
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Rollback { what } if what.contains("clone")), "{error}");
    world.try_sync("blue", true).unwrap();
    // Its snapshots vanished, and its marker did not.
    std::fs::remove_dir_all(root.join("vault/snapshots")).unwrap();
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Rollback { what } if what.contains("lost")), "{error}");
    assert_eq!(world.catalogue().find("blue").unwrap().snapshots.len(), 1, "what it held is still known");
    world.try_sync("blue", true).unwrap();
}

#[test]
fn a_medium_that_is_away_is_absent_and_nothing_is_written_to_its_place() {
    let world = World::new();
    let root = world.medium("blue");
    world.desk.unplug(&root);
    // The mount point is still there, as an empty folder.
    std::fs::remove_dir_all(root.join("vault")).unwrap();
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Absent { what } if what.contains("safe")), "{error}");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    // Another one at the same place is not it either.
    world.desk.plug(&root, "uuid-other", true);
    assert!(matches!(world.try_sync("blue", false), Err(Error::Absent { .. })));
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    // The same file system, emptied.
    world.desk.unplug(&root);
    world.desk.plug(&root, "uuid-blue", true);
    assert!(matches!(world.try_sync("blue", false), Err(Error::Refused { .. })));
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    std::fs::create_dir(root.join("vault")).unwrap();
    let error = world.try_sync("blue", false).unwrap_err().to_string();
    assert!(error.contains("no marker"), "{error}");
}

#[test]
fn one_that_is_plugged_in_is_mounted_and_unmounted_again() {
    let world = World::new();
    let root = world.path("blue");
    std::fs::create_dir(&root).unwrap();
    world.desk.plug(&root, "uuid-blue", true);
    let point = world.path("point");
    let folder = root.join("vault");
    let new = New { mount_at: Some(&point), ..world.new_medium(&folder, "blue") };
    add(&world.catalogue(), &world.desk, &new).unwrap();
    world.desk.unmount(&root.canonicalize().unwrap()).unwrap();
    assert!(world.sync("blue").unmounted);
    assert!(world.desk.mounts().unwrap().is_empty());
    // Also when it fails.
    std::fs::remove_dir_all(folder.join("media")).unwrap();
    assert!(world.try_sync("blue", false).is_err());
    assert!(world.desk.mounts().unwrap().is_empty());
}

#[test]
fn one_that_is_mounted_in_several_places_is_unmounted_in_all_or_not_called_safe() {
    let world = World::new();
    let root = world.medium("blue");
    let catalogue = world.catalogue();
    let medium = catalogue.find("blue").unwrap();
    let elsewhere = |points: &[&str]| {
        *world.desk.elsewhere.lock().unwrap() = points.iter().map(PathBuf::from).collect();
    };
    elsewhere(&["/mnt/b", "/srv/folder of it"]);
    let points = eject(&catalogue, &world.desk, &medium).unwrap();
    let root = root.canonicalize().unwrap();
    assert_eq!(points, [Path::new("/srv/folder of it"), Path::new("/mnt/b"), &root]);
    assert!(world.desk.mounts().unwrap().is_empty() && world.desk.elsewhere.lock().unwrap().is_empty());

    world.desk.unplug(&world.path("blue"));
    world.desk.plug(&world.path("blue"), "uuid-blue", true);
    elsewhere(&["/mnt/held"]);
    let error = eject(&catalogue, &world.desk, &medium).unwrap_err().to_string();
    assert!(error.contains("still mounted at /mnt/held"), "{error}");
}

#[test]
fn clones_and_older_states_are_recognised() {
    let world = World::new();
    let root = world.medium("blue");
    world.sync("blue");
    let clone = world.path("clone");
    copy_tree(&root, &clone);
    night(&world.fixture, 2);
    world.sync("blue");
    // Both at once.
    world.desk.plug(&clone, "uuid-blue", true);
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Refused { what } if what.contains("clone")), "{error}");
    // The older one alone.
    world.desk.unplug(&root);
    let error = world.try_sync("blue", false).unwrap_err();
    assert!(matches!(&error, Error::Rollback { what } if what.contains("sync 2 of 3")), "{error}");
    assert_eq!(world.copy_on(&clone).snapshots(None).unwrap().listed.len(), 1, "nothing was written");
    let report = world.try_sync("blue", true).unwrap();
    assert_eq!((report.generation, report.held), (4, 2));
    // One with the same UUID and the marker of another medium.
    world.desk.unplug(&clone);
    let other = world.medium("red");
    world.desk.unplug(&other);
    world.desk.plug(&other, "uuid-blue", true);
    let error = world.try_sync("blue", false).unwrap_err().to_string();
    assert!(error.contains("marker of another medium (red)"), "{error}");
}

#[test]
fn other_peoples_media_are_refused() {
    let world = World::new();
    let root = world.path("m");
    std::fs::create_dir_all(root.join("vault")).unwrap();
    world.desk.plug(&root, "uuid-m", true);
    let add_it = |name: &str, folder: &Path| add(&world.catalogue(), &world.desk, &world.new_medium(folder, name));
    assert!(matches!(add_it("two words", &root.join("vault")), Err(Error::Usage { .. })));
    assert!(matches!(add_it("m", &root), Err(Error::Usage { .. })), "the root of a medium");
    let other = Fixture::with_seed(7);
    let store = LocalStore::open(&root.join("vault")).unwrap();
    let config = crate::store::ObjectName::new("config").unwrap();
    store.put(&config, &other.store.get(&config, 1 << 20).unwrap()).unwrap();
    let error = add_it("m", &root.join("vault")).unwrap_err();
    assert!(matches!(&error, Error::Refused { what } if what.contains("another repository")), "{error}");
    add_it("m", &root.join("mine")).unwrap();
    assert!(matches!(add_it("n", &root.join("mine")), Err(Error::Usage { .. })), "known already");
    // Somebody's letter in the folder of the copy.
    let letter = crate::store::ObjectName::new("letter.txt").unwrap();
    LocalStore::open(&root.join("mine")).unwrap().put(&letter, b"dear").unwrap();
    let error = world.try_sync("m", false).unwrap_err();
    assert!(error.to_string().contains("letter.txt"), "{error}");
}

#[test]
fn what_lies_where_is_known_while_all_media_are_away() {
    let world = World::new();
    let (blue, red) = (world.medium("blue"), world.medium("red"));
    world.sync("blue");
    night(&world.fixture, 2);
    world.sync("red");
    world.desk.unplug(&blue);
    world.desk.unplug(&red);
    std::fs::rename(&blue, world.path("safe-1")).unwrap();
    std::fs::rename(&red, world.path("safe-2")).unwrap();
    let catalogue = world.catalogue();
    let names = |address: &str| -> Vec<(String, i64)> {
        let places = find(&catalogue, &Address::parse(address.as_bytes()).unwrap(), &instant, &mut |medium, error| {
            panic!("{}: {error}", medium.name)
        })
        .unwrap();
        let day = |place: &Place| (place.listed.snapshot.head.time.sec - 1_600_000_000) / 86400;
        places.iter().map(|place| (place.medium.name.clone(), day(place))).collect()
    };
    let both = |blue, red| vec![("red".to_owned(), red), ("blue".to_owned(), blue)];
    assert_eq!(names(SERIES), both(1, 2));
    assert_eq!(names(&format!("{SERIES}:data/inbox")), both(1, 2));
    let mut of_the_first = names(&format!("{SERIES}@2020-09-01:data"));
    of_the_first.sort();
    assert_eq!(of_the_first, [("blue".to_owned(), 1), ("red".to_owned(), 1)]);
    assert_eq!(names(&format!("{SERIES}:data/none")), []);
    assert_eq!(names("other/-/x"), []);
    // What is damaged of one says nothing of the other.
    let snapshots = catalogue.skeleton(&catalogue.find("blue").unwrap()).join("snapshots");
    let moved = snapshots.with_extension("away");
    std::fs::rename(&snapshots, &moved).unwrap();
    std::fs::write(&snapshots, b"no folder").unwrap();
    let mut told = Vec::new();
    let address = Address::parse(SERIES.as_bytes()).unwrap();
    let places = find(&catalogue, &address, &instant, &mut |medium, _| told.push(medium.name.clone())).unwrap();
    assert_eq!((places.len(), told), (1, vec!["blue".to_owned()]));
    std::fs::remove_file(&snapshots).unwrap();
    std::fs::rename(&moved, &snapshots).unwrap();
    // The files of an absent medium are listed, and not read.
    let medium = catalogue.find("red").unwrap();
    let skeleton = world.fixture.repo.at(Arc::new(LocalStore::open(&catalogue.skeleton(&medium)).unwrap()));
    let (index, _) = skeleton.load_index(true).unwrap();
    let reader = crate::repo::BlobReader::new(&skeleton, &index);
    let listed = skeleton.snapshots(None).unwrap().listed;
    let mut paths = Vec::new();
    let mut each = |entry: &crate::ops::ls::Entry<'_>| {
        paths.push(String::from_utf8_lossy(entry.path).into_owned());
        Ok(())
    };
    assert!(crate::ops::ls::ls(&reader, &listed[0], None, true, &mut each).unwrap().is_empty());
    assert_eq!(paths, ["data", "data/inbox", "data/secret-name"]);
    // By its name, before any key is known.
    let place = catalogue::place_of(&world.path("state"), &world.desk, "red").unwrap();
    assert_eq!((&place.folder, place.present), (&catalogue.skeleton(&medium), false));
    assert!(catalogue::place_of(&world.path("state"), &world.desk, "green").is_err());
    world.desk.plug(&world.path("safe-2"), "uuid-red", true);
    let there = catalogue::place_of(&world.path("state"), &world.desk, "red").unwrap();
    assert_eq!((there.folder, there.present), (world.path("safe-2").canonicalize().unwrap().join("vault"), true));
    assert_eq!((there.id, place.id), (crate::id::hex(&medium.id), crate::id::hex(&medium.id)));
}

fn each_file(folder: &Path, each: &mut dyn FnMut(&[u8])) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { each_file(&entry.path(), each) } else { each(&std::fs::read(entry.path()).unwrap()) }
    }
}

#[test]
fn the_catalogue_tells_no_names_to_who_lacks_the_key() {
    let world = World::new();
    world.medium("blue");
    world.sync("blue");
    let mut files = 0;
    each_file(&world.path("state"), &mut |bytes| {
        files += 1;
        for secret in ["secret-name", "secret contents", "inbox", SERIES, "safe"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
    });
    assert!(files > 5, "{files}");
    let writer = world.fixture.as_writer();
    assert!(matches!(Catalogue::open(&writer, &world.path("state")), Err(Error::NotPermitted { .. })));
}

#[test]
fn lists_say_what_is_overdue_and_when_it_is_full() {
    let world = World::new();
    world.medium("blue");
    world.sync("blue");
    let mut medium = world.catalogue().find("blue").unwrap();
    let synced = medium.synced().unwrap();
    assert!(!medium.is_overdue(synced + 8 * 86400) && medium.is_overdue(synced + 8 * 86400 + 1));
    assert_eq!(medium.days_until_full(), None, "one sync tells nothing");
    let day = |day: i64, bytes| Sync { time: synced + day * 86400, bytes };
    medium.syncs = vec![day(0, 1 << 40), day(1, 1 << 20), day(2, 3 << 20)];
    medium.space = (100 << 20, 1 << 30);
    assert_eq!(medium.days_until_full(), Some(50));
    assert_eq!(medium.newest().iter().map(|held| held.series.as_str()).collect::<Vec<_>>(), [SERIES]);
    retire(&world.catalogue(), &medium).unwrap();
    assert!(world.catalogue().find("blue").is_err());
    assert!(!world.catalogue().media().unwrap()[0].is_overdue(i64::MAX));
}

#[test]
fn a_medium_that_was_pruned_is_synced_with_the_key() {
    let world = World::new();
    let root = world.medium("blue");
    world.sync("blue");
    world.copy_on(&root).note(crate::model::gc::Step::Mark, vec![]).unwrap();
    night(&world.fixture, 2);
    let report = world.sync("blue");
    assert_eq!((report.snapshots, report.held, report.failed), (1, 2, 0));
    assert_eq!(
        world.copy_on(&root).snapshots(None).unwrap().listed,
        world.fixture.repo.snapshots(None).unwrap().listed
    );
}

/// A file system in a file, mounted; `None` where that takes more rights than there are, which is told by name.
struct Loop {
    device: String,
    point: PathBuf,
}

fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Loop {
    fn new(dir: &Path, name: &str, megabytes: u64) -> Option<Loop> {
        let (image, point) = (dir.join(format!("{name}.img")), dir.join(name));
        std::fs::create_dir(&point).ok()?;
        std::fs::File::create(&image).ok()?.set_len(megabytes << 20).ok()?;
        run("/usr/sbin/mkfs.ext4", &["-q", "-m0", image.to_str()?])?;
        let device = run("losetup", &["-f", "--show", image.to_str()?])?;
        let made = Loop { device, point };
        made.mount().then_some(made)
    }

    fn mount(&self) -> bool {
        run("mount", &[&self.device, self.point.to_str().unwrap()]).is_some()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("umount", &["-l", self.point.to_str().unwrap()]);
        run("losetup", &["-d", &self.device]);
    }
}

/// Tests that need root and a loop device say so where they cannot run.
macro_rules! or_skip {
    ($made:expr) => {
        match $made {
            Some(made) => made,
            None => {
                let at = std::thread::current();
                eprintln!("SKIPPED {}: it takes root, losetup and mkfs.ext4", at.name().unwrap_or_default());
                return;
            }
        }
    };
}

#[test]
fn a_real_file_system_is_known_synced_and_full_without_harm() {
    let world = World::new();
    let stick = or_skip!(Loop::new(world.dir.path(), "stick", 8));
    let folder = stick.point.join("vault");
    let catalogue = world.catalogue();
    let new = New { mount_at: Some(&stick.point), ..world.new_medium(&folder, "stick") };
    let medium = add(&catalogue, &System, &new).unwrap();
    assert_eq!(medium.uuid.len(), 36, "{}", medium.uuid);
    let sync_it = || {
        let medium = catalogue.find("stick").unwrap();
        let around = |store: SharedStore| store;
        let request = Request { medium: &medium, accept_rollback: false, around: &around, client: "h" };
        sync(&catalogue, &System, &request, &Silent)
    };
    let report = sync_it().unwrap();
    assert_eq!((report.held, report.read_back), (1, report.bytes));
    assert_eq!(eject(&catalogue, &System, &medium).unwrap(), std::slice::from_ref(&stick.point).to_vec());
    assert_eq!(std::fs::read_dir(&stick.point).unwrap().count(), 0, "it is unmounted");
    night(&world.fixture, 2);
    let report = sync_it().unwrap();
    assert!(report.unmounted && report.held == 2, "mounted for the sync, and unmounted");
    assert_eq!(std::fs::read_dir(&stick.point).unwrap().count(), 0);
    // More than fits: told, and what was there is whole.
    let big = fixture::dir(vec![(
        "big",
        fixture::pieces((0..3).map(|i| fixture::Piece::Data(fixture::noise(4 << 20, i))).collect()),
    )]);
    world.fixture.snapshot(SERIES, 1_700_000_000, vec![("data", big)]);
    let error = sync_it().unwrap_err();
    assert!(error.is_store_full() && error.to_string().contains("still to be copied"), "{error}");
    assert!(stick.mount());
    let copy = world.fixture.repo.at(Arc::new(LocalStore::open(&folder).unwrap()));
    let findings = crate::ops::check::check(&copy, ReadData::Percent(100.0), 1, &Silent).unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(copy.snapshots(None).unwrap().listed.len(), 2);
    drop(copy);
    // Read-only, as after an error of the file system.
    assert!(run("mount", &["-o", "remount,ro", stick.point.to_str().unwrap()]).is_some());
    assert!(matches!(sync_it(), Err(Error::Store { .. })));
    // Gone: not its mount point.
    assert!(run("umount", &[stick.point.to_str().unwrap()]).is_some());
    assert!(run("losetup", &["-d", &stick.device]).is_some());
    assert!(matches!(sync_it(), Err(Error::Absent { .. })));
}
