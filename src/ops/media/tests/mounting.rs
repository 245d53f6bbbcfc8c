//! Media that are mounted for a sync and unmounted to be unplugged: on the machine that is made up, and a real file system in a loop device.

use super::*;
use std::process::Command;

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
