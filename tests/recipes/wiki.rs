use crate::world::{Load, World};
use std::{fs, os::unix::fs::symlink, path::Path};

fn save(pages: &Path, page: &str, revision: u64) {
    let folder = pages.join(page);
    fs::create_dir_all(folder.join("revisions")).unwrap();
    fs::write(folder.join("revisions").join(format!("{revision:08}")), format!("= {page} =\n{revision}\n")).unwrap();
    fs::write(folder.join("current.new"), format!("{revision:08}\n")).unwrap();
    fs::rename(folder.join("current.new"), folder.join("current")).unwrap();
    let log = fs::File::options().append(true).create(true).open(pages.join("../event-log"));
    std::io::Write::write_all(&mut log.unwrap(), b"17\tSAVEPAGE\n").unwrap();
}

#[test]
fn a_wiki_that_is_written_in_comes_back() {
    let world = World::new();
    let root = world.folder("srv/wiki");
    let pages = world.folder("srv/wiki/data/pages");
    for n in 0..200 {
        save(&pages, &format!("Page{n}"), 1);
    }
    for (name, text) in [
        ("data/pages/Page1/attachments/a.pdf", "pdf"),
        ("data/pages/Page1/cache/text_html", "x"),
        ("data/cache/x", "x"),
        ("underlay/pages/HelpContents/current", "00000001"),
        ("data/user/1.2", "name=anna"),
        ("wikiconfig.py", "class Config: pass"),
    ] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
    }
    let app = world.app(&format!("type = \"moinmoin\"\nroot = \"{}\"", root.display()));
    let at = pages.clone();
    let load = Load::new(move |n| save(&at, &format!("Page{}", n % 200), 2 + n / 200));
    let listed = world.snapshot(&app);
    load.end();
    fs::remove_dir_all(&root).unwrap();
    world.restore(&app, &listed, "back", None);
    let back = |name: &str| world.path("back/app").join(name);
    assert!(back("data/pages/Page1/attachments/a.pdf").is_file() && back("data/event-log").is_file());
    for gone in ["underlay", "data/cache", "data/pages/Page1/cache"] {
        assert!(!back(gone).exists(), "{gone}");
    }
    world.passes(&app, &listed);
    fs::rename(world.path("back/app"), &root).unwrap();
    // A page that was saved after its revisions were read.
    let sources = world.sources(&app);
    fs::write(pages.join("Page9/current"), "00000999\n").unwrap();
    let listed = world.take(&app, sources);
    assert!(world.passes(&app, &listed).notes.iter().any(|note| note.starts_with("Page9: set back to revision")));
    let sources = world.sources(&app);
    fs::remove_dir_all(pages.join("Page7/revisions")).unwrap();
    let listed = world.take(&app, sources);
    world.fails(&app, &listed, "1 pages lack it: Page7");
}

#[test]
fn large_data_behind_a_link_come_back() {
    let world = World::new();
    let root = world.folder("srv/draw");
    fs::write(root.join("run.sh"), "x").unwrap();
    let data = world.folder("hdd/draw");
    for n in 0..20 {
        fs::write(data.join(format!("{n}.dwg")), vec![n; 50_000]).unwrap();
    }
    symlink(&data, root.join("var")).unwrap();
    let app = world.app(&format!("type = \"drawmgt\"\nroot = \"{}\"", root.display()));
    let listed = world.snapshot(&app);
    let report = world.restore(&app, &listed, "back", None);
    assert_eq!(report.files, 21);
    assert!(world.path("back/data/19.dwg").is_file());
    world.passes(&app, &listed);
    let sources = world.sources(&app);
    fs::remove_file(data.join("3.dwg")).unwrap();
    let listed = world.take(&app, sources);
    world.fails(&app, &listed, "entries in data");
}
