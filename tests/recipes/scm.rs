use crate::world::{Load, World, run};
use std::fs;

#[test]
fn a_cvs_repository_that_is_committed_to_comes_back() {
    let world = World::new();
    let root = world.path("cvs");
    let place = root.to_str().unwrap().to_owned();
    run(world.dir.path(), &["cvs", "-d", &place, "init"]);
    let import = world.folder("import");
    for n in 0..20 {
        fs::write(import.join(format!("file{n}.c")), format!("int n = {n};\n").repeat(50)).unwrap();
    }
    run(&import, &["cvs", "-Q", "-d", &place, "import", "-m", "first", "module", "vendor", "start"]);
    run(world.dir.path(), &["cvs", "-Q", "-d", &place, "checkout", "module"]);
    let app = world.app(&format!("type = \"cvs\"\nroot = \"{place}\""));
    let work = world.path("module");
    let load = Load::new(move |n| {
        fs::write(work.join(format!("file{}.c", n % 20)), format!("int n = {n} * 2;\n")).unwrap();
        run(&work, &["cvs", "-Q", "commit", "-m", "more"]);
    });
    let listed = world.snapshot(&app);
    load.end();
    fs::remove_dir_all(&root).unwrap();
    world.restore(&app, &listed, "back", None);
    let back = world.path("back/repository").to_str().unwrap().to_owned();
    let out = world.folder("out");
    run(&out, &["cvs", "-Q", "-d", &back, "checkout", "module"]);
    assert!(out.join("module/file19.c").is_file());
    world.passes(&app, &listed);
    // A history that was cut short.
    fs::rename(world.path("back/repository"), &root).unwrap();
    let sources = world.sources(&app);
    let history = root.join("module/file3.c,v");
    let bytes = fs::read(&history).unwrap();
    fs::set_permissions(&history, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&history, &bytes[..bytes.len() / 2]).unwrap();
    let listed = world.take(&app, sources);
    world.fails(&app, &listed, "cvs checkout module");
}

#[test]
fn subversion_repositories_that_are_committed_to_come_back() {
    let world = World::new();
    let root = world.folder("svn");
    let repository = root.join("shop");
    let place = format!("file://{}", repository.display());
    run(&root, &["svnadmin", "create", "shop"]);
    let work = world.path("work");
    let text = work.to_str().unwrap().to_owned();
    run(world.dir.path(), &["svn", "-q", "checkout", &place, &text]);
    for n in 0..5 {
        fs::write(work.join(format!("file{n}")), format!("{n}").repeat(2000)).unwrap();
    }
    run(&work, &["sh", "-c", "svn -q add file* && svn -q commit -m first"]);
    let app = world.app(&format!("type = \"svn\"\nroot = \"{}\"", root.display()));
    let load = Load::new(move |n| {
        fs::write(work.join("file0"), format!("{n}")).unwrap();
        run(&work, &["svn", "-q", "commit", "-m", "more"]);
    });
    let listed = world.snapshot(&app);
    load.end();
    fs::remove_dir_all(&root).unwrap();
    world.restore(&app, &listed, "back", None);
    let back = world.path("back/repositories/shop");
    let place = format!("file://{}", back.display());
    run(world.dir.path(), &["svn", "-q", "checkout", &place, "out"]);
    assert!(world.path("out/file4").is_file());
    world.passes(&app, &listed);
    // What was committed after the snapshot began, in part: the newest revision is named, but not there.
    fs::rename(world.path("back/repositories"), &root).unwrap();
    let sources = world.sources(&app);
    let current = repository.join("db/current");
    let newest: u64 = fs::read_to_string(&current).unwrap().trim().parse().unwrap();
    fs::write(&current, format!("{}\n", newest + 1)).unwrap();
    let listed = world.take(&app, sources);
    world.passes(&app, &listed);
    fs::write(&current, format!("{newest}\n")).unwrap();
    fs::rename(&root, world.path("back/repositories")).unwrap();
    // A revision that is gone.
    fs::rename(world.path("back/repositories"), &root).unwrap();
    let sources = world.sources(&app);
    fs::remove_file(repository.join("db/revs/0/1")).unwrap();
    let listed = world.take(&app, sources);
    world.fails(&app, &listed, "svnadmin verify shop");
}
