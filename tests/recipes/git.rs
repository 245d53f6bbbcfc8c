use crate::world::{Load, World, run};
use std::{fs, path::Path};

fn repository(world: &World, name: &str) {
    let bare = world.path("git").join(name);
    fs::create_dir_all(&bare).unwrap();
    run(&bare, &["git", "init", "-q", "--bare", "."]);
    let work = world.folder(&format!("work-{}", name.replace('/', "-")));
    run(&work, &["git", "init", "-q", "-b", "main", "."]);
    for n in 0..5 {
        fs::write(work.join(format!("file-{n}")), format!("{n}").repeat(3000)).unwrap();
        run(&work, &["git", "add", "."]);
        run(&work, &["git", "commit", "-q", "-m", "one"]);
    }
    run(&work, &["git", "push", "-q", bare.to_str().unwrap(), "main"]);
}

fn push(work: &Path, bare: &Path, n: u64) {
    fs::write(work.join("more"), format!("{n}")).unwrap();
    run(work, &["git", "add", "."]);
    run(work, &["git", "commit", "-q", "-m", "more"]);
    run(work, &["git", "push", "-q", bare.to_str().unwrap(), "HEAD:main", &format!("HEAD:refs/heads/b{n}")]);
}

#[test]
fn repositories_that_are_pushed_to_come_back_whole() {
    let world = World::new();
    for name in ["shop.git", "team/wiki.git"] {
        repository(&world, name);
    }
    let app = world.app(&format!("type = \"git\"\nroot = \"{}\"", world.path("git").display()));
    let (work, bare) = (world.path("work-shop.git"), world.path("git/shop.git"));
    let pushed = bare.clone();
    let load = Load::new(move |n| push(&work, &pushed, n));
    let listed = world.snapshot(&app);
    load.end();
    let before = run(&bare, &["git", "rev-parse", "main~2"]);
    fs::remove_dir_all(world.path("git")).unwrap();
    world.restore(&app, &listed, "back", None);
    let back = world.path("back/repositories/shop.git");
    run(&back, &["git", "-c", "safe.directory=*", "fsck", "--full"]);
    assert!(!before.is_empty() && !run(&back, &["git", "rev-parse", "main"]).is_empty());
    world.passes(&app, &listed);
}

/// What a push between reading the objects and reading the references leaves: a reference to what was not read.
#[test]
fn references_that_moved_on_are_set_back() {
    let world = World::new();
    repository(&world, "shop.git");
    let (work, bare) = (world.path("work-shop.git"), world.path("git/shop.git"));
    let app = world.app(&format!("type = \"git\"\nroot = \"{}\"", world.path("git").display()));
    let main = run(&bare, &["git", "rev-parse", "main"]);
    let sources = world.sources(&app);
    let objects = world.path("objects");
    run(&bare, &["cp", "-a", "objects", objects.to_str().unwrap()]);
    push(&work, &bare, 1);
    fs::remove_dir_all(bare.join("objects")).unwrap();
    fs::rename(&objects, bare.join("objects")).unwrap();
    let listed = world.take(&app, sources);
    let report = world.restore(&app, &listed, "back", None);
    assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
    let back = world.path("back/repositories/shop.git");
    assert_eq!(run(&back, &["git", "rev-parse", "main"]), main);
    assert_eq!(run(&back, &["git", "for-each-ref"]).lines().count(), 1);
    world.passes(&app, &listed);
}

#[test]
fn broken_objects_and_missing_repositories_are_found() {
    let world = World::new();
    for name in ["a.git", "b.git"] {
        repository(&world, name);
    }
    let app = world.app(&format!("type = \"git\"\nroot = \"{}\"", world.path("git").display()));
    world.passes(&app, &world.snapshot(&app));
    let sources = world.sources(&app);
    let folder = world.path("git/a.git/objects");
    let object = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().len() == 2)
        .flat_map(|path| fs::read_dir(path).unwrap())
        .map(|entry| entry.unwrap().path())
        .next()
        .unwrap();
    let mut bytes = fs::read(&object).unwrap();
    // Its checksum: in the middle of what compresses well, a flip may change nothing.
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&object, bytes).unwrap();
    let listed = world.take(&app, sources);
    // Files that were written in the same moment as the snapshot before are read again, too.
    assert!(listed.snapshot.work.files_read >= 1, "{}", object.display());
    world.fails(&app, &listed, "git fsck a.git");
    let sources = world.sources(&app);
    fs::remove_dir_all(world.path("git/a.git")).unwrap();
    let listed = world.take(&app, sources);
    world.fails(&app, &listed, "1 are there, 2 were there");
}
