use crate::world::{Load, World, feed};
use vault::fleet::database::{Server, scratch::Scratch};

pub fn psql(server: &Server, database: &str, sql: &str) -> String {
    let (host, user) = (server.host.as_deref().unwrap(), server.user.as_deref().unwrap());
    feed(&["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", host, "-U", user, "-d", database], sql)
}

const SCHEMA: &str = r#"
CREATE ROLE shop LOGIN PASSWORD 'geheim';
CREATE DATABASE "shop prod" OWNER shop;
\connect "shop prod"
CREATE SCHEMA "odd schema";
CREATE TABLE orders(id serial PRIMARY KEY, what text NOT NULL, at timestamptz DEFAULT now());
CREATE TABLE "odd schema"."ta""ble"(x int);
CREATE TABLE parts(id int, at int) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM orders;
ALTER TABLE orders OWNER TO shop;
INSERT INTO orders(what) SELECT repeat('Bestellung ' || i, 5) FROM generate_series(1, 20000) i;
INSERT INTO "odd schema"."ta""ble" VALUES (1), (2);
INSERT INTO parts SELECT i, i FROM generate_series(0, 99) i;
"#;

fn made(world: &World) -> (Scratch, Server) {
    let scratch = world.server("postgresql");
    let server = scratch.server("");
    psql(&server, "postgres", SCHEMA);
    (scratch, server)
}

fn lines(server: &Server) -> String {
    format!(
        "type = \"postgresql\"\ndatabases = \"shop prod\"\nhost = \"{}\"\nuser = \"{}\"",
        server.host.as_deref().unwrap(),
        server.user.as_deref().unwrap()
    )
}

#[test]
fn a_server_under_load_comes_back_elsewhere() {
    let world = World::new();
    let (scratch, server) = made(&world);
    let app = world.app(&lines(&server));
    let at = server.clone();
    let load = Load::new(move |n| {
        let sql = format!(
            "INSERT INTO orders(what) SELECT 'more {n}' FROM generate_series(1, 50); DELETE FROM parts WHERE id = {n};"
        );
        psql(&at, "shop prod", &sql);
    });
    let listed = world.snapshot(&app);
    assert!(load.end() > 3);
    // All is lost.
    drop(scratch);
    let other = world.server("postgresql");
    let report = world.restore(&app, &listed, "back", Some(("postgresql", other.server(""))));
    assert_eq!(report.databases.len(), 2);
    let rows: u64 = psql(&other.server(""), "shop prod", "SELECT count(*) FROM orders").trim().parse().unwrap();
    assert!(rows >= 20_000, "{rows}");
    let owner = psql(&other.server(""), "shop prod", "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'");
    assert_eq!(owner.trim(), "shop");
    let drilled = world.passes(&app, &listed);
    assert_eq!(drilled.databases.iter().map(|it| it.tables).sum::<u64>(), 3);
}

#[test]
fn dumps_of_unchanged_data_are_the_same_bytes() {
    let world = World::new();
    let (_scratch, server) = made(&world);
    let app = world.app(&lines(&server));
    let first = world.bytes(&world.snapshot(&app), "db.sql");
    let second = world.bytes(&world.snapshot(&app), "db.sql");
    assert!(first == second);
    let facts = String::from_utf8(world.bytes(&world.snapshot(&app), "vault.facts")).unwrap();
    for fact in
        ["\"public.orders\": 20000", "\"\\\"odd schema\\\".\\\"ta\\\"\\\"ble\\\"\": 2", "\"public.parts_1\": 100"]
    {
        assert!(facts.contains(fact), "{facts}");
    }
    assert!(!facts.contains("public.parts\""), "a partitioned table holds no rows itself: {facts}");
}

#[test]
fn damaged_dumps_are_found() {
    let world = World::new();
    let (_scratch, server) = made(&world);
    let app = world.app(&lines(&server));
    let good = world.snapshot(&app);
    world.passes(&app, &good);
    let lines_less = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .filter(|line| !line.contains("Bestellung 777B"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let listed = world.damaged(&app, &good, "db.sql", |bytes| lines_less(bytes).into_bytes());
    world.fails(&app, &listed, "public.orders has 19999 rows, 20000 were dumped");
    let listed = world.damaged(&app, &good, "db.sql", |bytes| bytes[..bytes.len() / 2].to_vec());
    world.fails(&app, &listed, "db.sql");
}

#[test]
fn a_dump_that_fails_fails_the_snapshot_visibly() {
    let world = World::new();
    let (scratch, server) = made(&world);
    let app = world.app(&lines(&server));
    let sources = world.sources(&app);
    let mut with_files = vec![vault::ops::snapshot::SourceRequest {
        name: vault::name::Name::new(*b"app").unwrap(),
        input: vault::ops::snapshot::Input::Path(b"/etc/hostname".to_vec()),
    }];
    with_files.extend(sources);
    drop(scratch);
    let listed = world.take(&app, with_files);
    assert!(!listed.snapshot.head.complete);
    let said = format!("{:?}", listed.snapshot.problems);
    assert!(said.contains("db.sql") || said.contains("psql"), "{said}");
    world.fails(&app, &listed, "the snapshot is incomplete");
    // One that ends in the middle, too: a table that cannot be read.
    let (_scratch, server) = made(&world);
    psql(&server, "shop prod", "CREATE ROLE reader LOGIN; GRANT SELECT ON orders TO reader;");
    let app = world.app(&format!(
        "type = \"postgresql\"\ndatabases = \"shop prod\"\nhost = \"{}\"\nuser = \"reader\"\nroles = false",
        server.host.as_deref().unwrap()
    ));
    let listed = world.take(&app, world.sources(&app));
    assert!(!listed.snapshot.head.complete);
    let said = format!("{:?}", listed.snapshot.problems);
    assert!(said.contains("permission denied"), "{said}");
}

#[test]
fn a_database_that_is_there_is_not_overwritten() {
    let world = World::new();
    let (_scratch, server) = made(&world);
    let app = world.app(&lines(&server));
    let listed = world.snapshot(&app);
    let (index, _) = world.repo.load_index(true).unwrap();
    let reader = vault::repo::BlobReader::new(&world.repo, &index);
    let recipe = world.recipes.find("postgresql").unwrap();
    let mut servers = vec![("postgresql".to_owned(), server.clone())];
    let target = world.path("back");
    let request = vault::fleet::recovery::Request {
        target: &target,
        databases: &mut servers,
        owners: Default::default(),
        verify: false,
        prove: true,
        protect: None,
    };
    let report =
        vault::fleet::recovery::restore_app(&reader, &listed, &app, &*recipe, request, &vault::monitor::Silent)
            .unwrap();
    assert!(report.wrong().iter().any(|line| line.contains("holds tables")), "{:?}", report.wrong());
    assert_eq!(psql(&server, "shop prod", "SELECT count(*) FROM orders").trim(), "20000");
}

#[test]
fn a_dump_that_was_made_up_runs_no_commands() {
    let world = World::new();
    let (_scratch, server) = made(&world);
    let app = world.app(&lines(&server));
    let good = world.snapshot(&app);
    let trace = world.path("trace");
    for line in [format!("\\! touch {}", trace.display()), format!("\\unrestrict vault\n\\! touch {}", trace.display())]
    {
        for source in ["db.sql", "db-roles.sql"] {
            let listed = world.damaged(&app, &good, source, |bytes| {
                [line.as_bytes(), b"\n", &bytes, line.as_bytes(), b"\n"].concat()
            });
            world.drill(&app, &listed);
            assert!(!trace.exists(), "{line}");
        }
    }
}
