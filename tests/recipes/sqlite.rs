use crate::world::{Load, World, feed};
use std::fs;

#[test]
fn databases_that_are_written_to_are_copied_whole() {
    for mode in ["wal", "delete"] {
        let world = World::new();
        let root = world.folder("srv/app");
        let path = root.join("store.db");
        fs::write(root.join("app.py"), "print()").unwrap();
        let text = path.to_str().unwrap().to_owned();
        let schema = format!(
            "PRAGMA journal_mode={mode}; CREATE TABLE a(id integer primary key, t text); CREATE TABLE b(n int);
             WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<20000)
             INSERT INTO a SELECT x, 'text number ' || x FROM c; PRAGMA user_version=42;"
        );
        feed(&["sqlite3", &text], &schema);
        let app = world.app(&format!(
            "type = \"generic\"\nroot = \"{}\"\ndatabase = {{ type = \"sqlite\", path = \"{text}\" }}",
            root.display()
        ));
        // Both tables grow together: a copy of two moments would tell.
        let db = text.clone();
        let load = Load::new(move |n| {
            let sql = format!(
                ".timeout 60000\nBEGIN IMMEDIATE; INSERT INTO a(t) VALUES ('{n}'); INSERT INTO b VALUES ({n}); UPDATE a SET t = t || 'x' WHERE id % 100 = 7; COMMIT;"
            );
            feed(&["sqlite3", "-batch", "-bail", &db], &sql);
        });
        let listed = world.snapshot(&app);
        let written = load.end();
        assert!(written > 3);
        fs::remove_dir_all(&root).unwrap();
        world.restore(&app, &listed, "back", None);
        let back = world.path("back/app/store.db");
        let back = back.to_str().unwrap();
        let ask =
            "SELECT (SELECT count(*) FROM a) - (SELECT count(*) FROM b); PRAGMA integrity_check; PRAGMA user_version;";
        assert_eq!(feed(&["sqlite3", back], ask), "20000\nok\n42\n", "{mode}");
        world.passes(&app, &listed);
        assert_eq!(listed.snapshot.sources[0].totals.files, 1, "the live database is no file of the tree");
    }
}

#[test]
fn a_damaged_copy_is_found() {
    let world = World::new();
    let path = world.path("store.db");
    let text = path.to_str().unwrap();
    feed(
        &["sqlite3", text],
        "CREATE TABLE a(t text); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<5000) INSERT INTO a SELECT hex(x) || 'abcdefgh' FROM c;",
    );
    let app = world.app(&format!("type = \"sqlite\"\npath = \"{text}\""));
    let good = world.snapshot(&app);
    world.passes(&app, &good);
    let listed = world.damaged(&app, &good, "db.sqlite", |bytes| bytes[..bytes.len() / 2].to_vec());
    world.fails(&app, &listed, "db.sqlite");
    // Sound as a database, but another one.
    let other = world.path("other.db");
    feed(&["sqlite3", other.to_str().unwrap()], "CREATE TABLE a(t text); INSERT INTO a VALUES (1);");
    let listed = world.damaged(&app, &good, "db.sqlite", |_| fs::read(&other).unwrap());
    world.fails(&app, &listed, "a has 1 rows, 5000 were dumped");
}
