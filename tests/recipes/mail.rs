use crate::world::{Load, World};
use std::{fs, io::Write, path::Path};

fn deliver(maildir: &Path, n: u64) {
    let name = format!("17000{n:05}.M1P1.alpha");
    let tmp = maildir.join("tmp").join(&name);
    fs::write(&tmp, format!("From: a@example.org\nSubject: {n}\n\n{}\n", "text ".repeat(200))).unwrap();
    fs::rename(tmp, maildir.join("new").join(name)).unwrap();
}

#[test]
fn a_maildir_under_delivery_comes_back() {
    let world = World::new();
    let maildir = world.path("vmail/anna");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(part)).unwrap();
    }
    (0..500).for_each(|n| deliver(&maildir, n));
    fs::write(maildir.join("tmp/unfinished"), "x").unwrap();
    fs::write(maildir.join("dovecot.index.cache"), "x").unwrap();
    let app = world.app(&format!("type = \"maildir\"\nroot = \"{}\"", world.path("vmail").display()));
    let at = maildir.clone();
    let load = Load::new(move |n| deliver(&at, 1000 + n));
    let listed = world.snapshot(&app);
    load.end();
    fs::remove_dir_all(&maildir).unwrap();
    world.restore(&app, &listed, "back", None);
    let back = world.path("back/mail/anna");
    assert!(fs::read_dir(back.join("new")).unwrap().count() >= 503);
    assert!(
        back.join("tmp").is_dir()
            && !back.join("tmp/unfinished").exists()
            && !back.join("dovecot.index.cache").exists()
    );
    world.passes(&app, &listed);
    // Mails that are gone.
    fs::rename(world.path("back/mail/anna"), &maildir).unwrap();
    let sources = world.sources(&app);
    for n in 0..50 {
        fs::remove_file(maildir.join(format!("new/17000{n:05}.M1P1.alpha"))).unwrap();
    }
    let listed = world.take(&app, sources);
    world.fails(&app, &listed, "mails");
}

#[test]
fn mailboxes_under_delivery_come_back() {
    let world = World::new();
    let root = world.folder("mail");
    let path = root.join("anna");
    let append = |path: &Path, n: u64| {
        let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
        write!(file, "From a@example.org Mon Jan  1 00:00:00 2026\nSubject: {n}\n\n{}\n\n", "text ".repeat(500))
            .unwrap();
    };
    (0..1500).for_each(|n| append(&path, n));
    let app = world.app(&format!("type = \"mbox\"\nroot = \"{}\"", root.display()));
    let at = path.clone();
    let load = Load::new(move |n| append(&at, 2000 + n));
    let listed = world.snapshot(&app);
    load.end();
    fs::remove_file(&path).unwrap();
    world.restore(&app, &listed, "back", None);
    world.passes(&app, &listed);
    fs::rename(world.path("back/mail/anna"), &path).unwrap();
    let sources = world.sources(&app);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let listed = world.take(&app, sources);
    world.fails(&app, &listed, "were there when the snapshot was made");
}
