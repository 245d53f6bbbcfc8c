use crate::world::{Load, World, feed};
use std::{fs, os::unix::fs::symlink};
use vault::fleet::database::Server;

pub fn mysql(server: &Server, database: &str, sql: &str) -> String {
    let socket = format!("--socket={}", server.host.as_deref().unwrap());
    let mut words =
        vec!["mariadb", "--no-defaults", &socket, "-u", "root", "-N", "-B", "--default-character-set=utf8mb4"];
    words.extend(Some(database).filter(|name| !name.is_empty()));
    feed(&words, sql)
}

const SCHEMA: &str = r#"
CREATE DATABASE blog CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE blog;
CREATE TABLE wp_options(id int AUTO_INCREMENT PRIMARY KEY, v text) ENGINE=InnoDB;
CREATE TABLE wp_posts(id int AUTO_INCREMENT PRIMARY KEY, v text, b blob) ENGINE=InnoDB;
CREATE TABLE wp_users(id int AUTO_INCREMENT PRIMARY KEY, v text) ENGINE=InnoDB;
CREATE TABLE `empty ``t` (x int) ENGINE=InnoDB;
CREATE VIEW posts_view AS SELECT id FROM wp_posts;
INSERT INTO wp_options(v) VALUES ('a'), ('it''s; (x), (y)');
INSERT INTO wp_users(v) VALUES ('admin');
INSERT INTO wp_posts(v, b) SELECT CONCAT('Beitrag \\ '' " ) ( ; ', seq, '\n'), UNHEX('00FF27') FROM seq_1_to_20000;
DELIMITER ;;
CREATE TRIGGER t AFTER DELETE ON wp_users FOR EACH ROW BEGIN INSERT INTO wp_options(v) VALUES ('gone'); END;;
CREATE PROCEDURE p() BEGIN INSERT INTO wp_options VALUES (1000, 'x'); END;;
DELIMITER ;
"#;

fn lines(server: &Server) -> String {
    format!("type = \"mysql\"\nhost = \"{}\"\nuser = \"root\"", server.host.as_deref().unwrap())
}

#[test]
fn a_server_under_load_comes_back_elsewhere() {
    let world = World::new();
    let scratch = world.server("mysql");
    let server = scratch.server("");
    mysql(&server, "", SCHEMA);
    let app = world.app(&lines(&server));
    let at = server.clone();
    let load = Load::new(move |n| {
        mysql(&at, "blog", &format!("INSERT INTO wp_posts(v) SELECT 'more {n}' FROM seq_1_to_50;"));
    });
    let listed = world.snapshot(&app);
    assert!(load.end() > 3);
    let facts = String::from_utf8(world.bytes(&listed, "vault.facts")).unwrap();
    for fact in ["\"empty `t\": 0", "\"wp_options\": 2", "\"collation\": \"utf8mb4_unicode_ci\""] {
        assert!(facts.contains(fact), "{facts}");
    }
    drop(scratch);
    let other = world.server("mysql");
    world.restore(&app, &listed, "back", Some(("mysql", other.server(""))));
    let rows: u64 = mysql(&other.server(""), "blog", "SELECT count(*) FROM wp_posts").trim().parse().unwrap();
    assert!(rows >= 20_000, "{rows}");
    assert_eq!(mysql(&other.server(""), "blog", "SELECT HEX(b) FROM wp_posts WHERE id = 7").trim(), "00FF27");
    world.passes(&app, &listed);
}

#[test]
fn damaged_dumps_are_found() {
    let world = World::new();
    let scratch = world.server("mysql");
    let server = scratch.server("");
    mysql(&server, "", SCHEMA);
    let app = world.app(&lines(&server));
    let good = world.snapshot(&app);
    assert!(
        world.bytes(&good, "db.sql") == world.bytes(&world.snapshot(&app), "db.sql"),
        "dumps of the same data differ"
    );
    drop(scratch);
    let cut = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let at = text.find("INSERT INTO `wp_users`").unwrap();
        text.as_bytes()[..at].to_vec()
    };
    let listed = world.damaged(&app, &good, "db.sql", cut);
    world.fails(&app, &listed, "wp_users has 0 rows, 1 were dumped");
    // One that was made up runs no commands.
    let trace = world.path("trace");
    let line = format!("\\! touch {0}\nsystem touch {0}\n", trace.display());
    let listed = world.damaged(&app, &good, "db.sql", |bytes| [line.as_bytes(), &bytes].concat());
    world.drill(&app, &listed);
    assert!(!trace.exists());
}

/// WordPress as Debian installs it, with its database.
#[test]
fn wordpress_comes_back_with_its_database() {
    let world = World::new();
    let scratch = world.server("mysql");
    let server = scratch.server("");
    mysql(&server, "", SCHEMA);
    let root = world.folder("www/blog");
    let content = world.folder("hdd/wp-content/uploads/2026");
    fs::write(content.join("bild.jpg"), vec![7; 100_000]).unwrap();
    let cache = world.folder("hdd/wp-content/cache");
    fs::write(cache.join("page.html"), "x").unwrap();
    for part in ["index.php", "wp-includes", "wp-admin", "wp-load.php", "wp-settings.php"] {
        crate::world::run(&root, &["cp", "-rL", &format!("/usr/share/wordpress/{part}"), "."]);
    }
    symlink(world.path("hdd/wp-content"), root.join("wp-content")).unwrap();
    let config = format!(
        "<?php\ndefine('DB_NAME', 'blog');\ndefine('DB_USER', 'root');\ndefine('DB_PASSWORD', '');\n\
         define('DB_HOST', 'localhost:{}');\n$table_prefix = 'wp_';\nrequire_once 'wp-settings.php';\n",
        server.host.as_deref().unwrap()
    );
    fs::write(root.join("wp-config.php"), config).unwrap();
    let app = world.app(&format!("type = \"wordpress\"\nroot = \"{}\"", root.display()));
    let at = server.clone();
    let uploads = content.clone();
    let load = Load::new(move |n| {
        mysql(&at, "blog", &format!("INSERT INTO wp_posts(v) VALUES ('more {n}');"));
        fs::write(uploads.join(format!("{n}.txt")), "new").unwrap();
    });
    let listed = world.snapshot(&app);
    load.end();
    drop(scratch);
    let other = world.server("mysql");
    world.restore(&app, &listed, "back", Some(("mysql", other.server("neu"))));
    assert!(world.path("back/data/uploads/2026/bild.jpg").is_file() && !world.path("back/data/cache").exists());
    assert!(world.path("back/app/wp-includes/version.php").is_file());
    let rows: u64 = mysql(&other.server(""), "neu", "SELECT count(*) FROM wp_posts").trim().parse().unwrap();
    assert!(rows >= 20_000);
    world.passes(&app, &listed);
    // A dump of the wrong database.
    mysql(&other.server(""), "", "CREATE DATABASE wrong; CREATE TABLE wrong.x(y int);");
    let database = format!(
        "database = {{ type = \"mysql\", name = \"wrong\", user = \"root\", host = \"{}\" }}",
        other.server("").host.as_deref().unwrap()
    );
    let app = world.app(&format!("type = \"wordpress\"\nroot = \"{}\"\n{database}", root.display()));
    let listed = world.snapshot(&app);
    world.fails(&app, &listed, "table options: it is not in the dump");
}
