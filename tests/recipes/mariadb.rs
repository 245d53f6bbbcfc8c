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

pub fn lines(server: &Server) -> String {
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

const ACCOUNTS: &str = r#"
CREATE ROLE reader; CREATE ROLE boss; GRANT SELECT ON blog.wp_posts TO reader; GRANT reader TO boss;
CREATE USER app@localhost IDENTIFIED BY 'geheim' WITH MAX_QUERIES_PER_HOUR 900;
GRANT ALL ON blog.* TO app@localhost WITH GRANT OPTION; GRANT boss TO app@localhost; SET DEFAULT ROLE boss FOR app@localhost;
CREATE USER 'we`ird''x\\y'@'10.%' IDENTIFIED VIA mysql_native_password USING '*81F5E21E35407D884A6CD4A731AEBFB6AF209E1B' OR unix_socket;
GRANT SELECT (v), UPDATE (v) ON blog.wp_posts TO 'we`ird''x\\y'@'10.%';
GRANT EXECUTE ON PROCEDURE blog.p TO 'we`ird''x\\y'@'10.%'; GRANT RELOAD ON *.* TO 'we`ird''x\\y'@'10.%' WITH GRANT OPTION;
CREATE USER locked@'%' IDENTIFIED VIA ed25519 USING PASSWORD('x') ACCOUNT LOCK;
CREATE USER shared@localhost IDENTIFIED BY 'old'; GRANT ALL ON *.* TO shared@localhost;
"#;

/// How an account is made, and all that it may do.
fn rights(server: &Server, account: &str) -> String {
    let create = if account.contains('@') { format!("SHOW CREATE USER {account};") } else { String::new() };
    mysql(server, "", &format!("{create} SHOW GRANTS FOR {account};"))
}

#[test]
fn accounts_come_back_with_what_they_may_do_and_those_that_are_there_stay() {
    let world = World::new();
    let scratch = world.server("mysql");
    let server = scratch.server("");
    mysql(&server, "", SCHEMA);
    mysql(&server, "", ACCOUNTS);
    let app = world.app(&lines(&server));
    let listed = world.snapshot(&app);
    let dump = String::from_utf8(world.bytes(&listed, "db-accounts.sql")).unwrap();
    assert!(!dump.contains("mariadb.sys") && !dump.contains("PUBLIC"), "{dump}");
    assert!(dump.lines().all(|line| !line.starts_with("GRANT") || !line.contains("IDENTIFIED")), "{dump}");
    assert!(
        world.bytes(&world.snapshot(&app), "db-accounts.sql") == dump.as_bytes(),
        "it differs from one night to the next"
    );
    let all = ["app@localhost", r"'we`ird''x\\y'@'10.%'", "locked@'%'", "reader", "boss"];
    let before = all.map(|account| rights(&server, account));
    drop(scratch);

    let other = world.server("mysql");
    let at = other.server("");
    let own = "CREATE USER shared@localhost IDENTIFIED BY 'new'; GRANT SELECT ON mysql.* TO shared@localhost;";
    mysql(&at, "", own);
    let kept = ["shared@localhost", "root@localhost"].map(|account| rights(&at, account));
    world.restore(&app, &listed, "back", Some(("mysql", at.clone())));
    assert_eq!(all.map(|account| rights(&at, account)), before);
    for (account, kept) in ["shared@localhost", "root@localhost"].iter().zip(kept) {
        // Who makes a role may hand it on.
        let now = rights(&at, account);
        let now: Vec<&str> = now.lines().filter(|line| !line.contains("WITH ADMIN OPTION")).collect();
        assert_eq!(now, kept.lines().collect::<Vec<_>>());
    }
    let socket = format!("--socket={}", at.host.as_deref().unwrap());
    let words = ["mariadb", "--no-defaults", &socket, "-u", "app", "-pgeheim", "-N", "blog"];
    assert_eq!(feed(&words, "SELECT count(*) FROM wp_posts").trim(), "20000");
    world.passes(&app, &listed);

    // One that cannot be made stops none of the others, and is told, without its password.
    let listed = world.damaged(&app, &listed, "db-accounts.sql", |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        text.replacen("IDENTIFIED VIA ed25519", "IDENTIFIED VIA no_such", 1).into_bytes()
    });
    let told = format!("{:?}", world.drill(&app, &listed).wrong);
    assert!(told.contains("Plugin 'no_such' is not loaded") && !told.contains("USING"), "{told}");
    let listed = world.damaged(&app, &listed, "db-accounts.sql", |bytes| bytes[..bytes.len() - 40].to_vec());
    world.fails(&app, &listed, "the dump was cut short");
}

#[test]
fn whoever_may_not_see_the_accounts_leaves_them_out() {
    let world = World::new();
    let scratch = world.server("mysql");
    let server = scratch.server("");
    let few = "CREATE DATABASE blog; CREATE TABLE blog.t(x int); CREATE USER few@localhost; GRANT ALL ON blog.* TO few@localhost;";
    mysql(&server, "", few);
    let lines = lines(&server).replace("\"root\"", "\"few\"");
    let app = world.app(&lines);
    let listed = world.take(&app, world.sources(&app));
    let told = format!("{:?}", listed.snapshot.problems);
    assert!(!listed.snapshot.head.complete && told.contains("roles = false leaves them out"), "{told}");
    let app = world.app(&format!("{lines}\nroles = false"));
    let listed = world.snapshot(&app);
    assert_eq!(listed.snapshot.sources.len(), 2, "a dump and the facts");
}
