use crate::{
    postgresql::psql,
    world::{Load, World},
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use vault::fleet::database::Engine;

/// A tree as Capistrano makes it, with its data on another disk.
fn tree(world: &World, database: &str) -> PathBuf {
    let root = world.folder("srv/shop");
    for release in ["20260101", "20260301"] {
        let folder = world.folder(&format!("srv/shop/releases/{release}"));
        for (name, text) in [("config.ru", "run X"), ("config/application.rb", "module Shop"), ("app/a.rb", "1")] {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), text).unwrap();
        }
        symlink(root.join("shared/log"), folder.join("log")).unwrap();
    }
    for name in ["shared/log", "shared/tmp/pids", "shared/config", "shared/tmp/sockets", "repo", "../../hdd/shop/files"]
    {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for (name, text) in [
        ("shared/log/production.log", "line"),
        ("shared/tmp/pids/puma.pid", "1"),
        ("repo/HEAD", "ref"),
        ("../../hdd/shop/files/1", "upload"),
        ("shared/.env", "export DB_PASSWORD='geheim'\n"),
        ("shared/config/database.yml", database),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
    symlink(world.path("hdd/shop"), root.join("shared/var")).unwrap();
    symlink(root.join("releases/20260301"), root.join("current")).unwrap();
    root
}

fn app_lines(root: &Path) -> String {
    format!("type = \"rails\"\nroot = \"{}\"", root.display())
}

#[test]
fn an_application_comes_back_with_its_data_and_database() {
    let world = World::new();
    let scratch = world.server("postgresql");
    let server = scratch.server("");
    psql(&server, "postgres", "CREATE DATABASE shop_production;");
    psql(
        &server,
        "shop_production",
        "CREATE TABLE orders(id serial, t text); INSERT INTO orders(t) SELECT 'x' FROM generate_series(1, 500);",
    );
    let database = format!(
        "default: &default\n  adapter: postgresql\n  host: {}\n  username: {}\n  password: <%= ENV[\"DB_PASSWORD\"] %>\n\
         production:\n  <<: *default\n  database: shop_production\n",
        server.host.as_deref().unwrap(),
        server.user.as_deref().unwrap()
    );
    let root = tree(&world, &database);
    let app = world.app(&app_lines(&root));
    let (at, files) = (server.clone(), world.path("hdd/shop/files"));
    let load = Load::new(move |n| {
        psql(&at, "shop_production", "INSERT INTO orders(t) VALUES ('more')");
        fs::write(files.join(format!("up{n}")), "x").unwrap();
    });
    let listed = world.snapshot(&app);
    load.end();
    fs::remove_dir_all(world.path("srv")).unwrap();
    drop(scratch);
    let other = world.server("postgresql");
    world.restore(&app, &listed, "back", Some(("postgresql", other.server(""))));
    let back = |name: &str| world.path("back").join(name);
    assert!(back("data/files/1").is_file() && back("app/releases/20260301/config.ru").is_file());
    for gone in ["app/releases/20260101", "app/shared/log/production.log", "app/shared/tmp/pids/puma.pid", "app/repo"] {
        assert!(!back(gone).exists(), "{gone}");
    }
    assert!(back("app/shared/log").is_dir() && back("app/shared/tmp/pids").is_dir());
    let rows: u64 = psql(&other.server(""), "shop_production", "SELECT count(*) FROM orders").trim().parse().unwrap();
    assert!(rows >= 500);
    world.passes(&app, &listed);
}

#[test]
fn promises_that_are_not_kept_fail_a_drill() {
    let world = World::new();
    let root = tree(&world, "production:\n  adapter: sqlite3\n  database: db/x.sqlite3\n");
    let app = world.app(&format!("{}\ndatabase = []\nreleases = \"all\"", app_lines(&root)));
    let listed = world.snapshot(&app);
    world.passes(&app, &listed);
    assert_eq!(world.drill_within(&app, &listed, Some(3600), Some(3600)).wrong, Vec::<String>::new());
    let late = world.drill_within(&app, &listed, Some(0), None).wrong;
    assert!(late.iter().any(|line| line.contains("(RTO)")), "{late:?}");
    // The current release is missing.
    let sources = world.sources(&app);
    fs::remove_dir_all(root.join("releases/20260301")).unwrap();
    let listed = world.take(&app, sources);
    world.fails(&app, &listed, "releases/20260301: it is missing");
}

#[test]
fn databases_are_found_in_the_applications_own_configuration() {
    let world = World::new();
    let text = "
production:
  primary:
    adapter: mysql2
    database: shop
    username: <%= ENV.fetch('DB_USER') { 'shop' } %>
    password: <%= ENV['DB_PASSWORD'] %>
    socket: /run/mysqld/mysqld.sock
  replica:
    adapter: mysql2
    database: shop
    replica: true
  cache:
    adapter: postgresql
    url: postgresql://u:p%40x@db.example.org:5433/cache?pool=5
";
    let root = tree(&world, text);
    let plan = world.plan(&world.app(&app_lines(&root)));
    let names: Vec<String> = plan.databases.iter().map(|it| it.name.to_string()).collect();
    assert_eq!(names, ["db-cache.sql", "db-shop.sql"]);
    let Engine::Mysql(server) = &plan.databases[1].engine else { panic!("{plan:?}") };
    assert_eq!((server.user.as_deref(), server.host.as_deref()), (Some("shop"), Some("/run/mysqld/mysqld.sock")));
    assert!(!format!("{plan:?}").contains("geheim"), "a password is printed");
    fs::write(root.join("shared/config/database.yml"), "production:\n  adapter: mysql2\n  database: <%= compute %>\n")
        .unwrap();
    let said = world.refused(&world.app(&app_lines(&root)));
    assert!(said.contains("database = {"), "{said}");
}
