//! The program itself: drill, restore of an application, bootstrap.

use crate::{
    mariadb::{self, mysql},
    postgresql::psql,
    world::{World, feed},
};
use serde_json::Value;
use std::{fs, process::Command};
use vault::{
    fleet::{
        config::{self, StoredConfig},
        recipe::Recipes,
    },
    monitor::Silent,
    ops::snapshot::{Request, snapshot},
    series::Series,
};

fn vault(world: &World, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vault"))
        .args(words)
        .current_dir(world.dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", world.path("home"))
        .env("VAULT_REPO", world.path("repo"))
        .env("VAULT_PASSWORD", "right")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A snapshot as the nightly job takes it, with the application's configuration.
fn night(world: &World, lines: &str) {
    let fleet = world.fleet(lines);
    let service = &fleet.services[0];
    let plan = world.plan(&service.app);
    let recipe = world.recipes.find(&service.app.recipe).unwrap();
    let stored = StoredConfig::of(&fleet, service, recipe.own(), plan.facts.clone()).encode();
    let sources = plan.sources(&service.app.exclude, &world.scratch()).unwrap();
    let request = Request {
        configuration: Some(stored),
        threads: 2,
        ..Request::new(service.app.series.clone(), sources, "alpha", "root")
    };
    assert!(snapshot(&world.repo, request, &Silent).unwrap().snapshot.head.complete);
}

#[test]
fn from_a_repository_and_its_key_alone() {
    let world = World::on_disk();
    let scratch = world.server("postgresql");
    let server = scratch.server("");
    psql(&server, "postgres", "CREATE DATABASE shop; ");
    psql(&server, "shop", "CREATE TABLE orders(t text); INSERT INTO orders SELECT 'x' FROM generate_series(1, 300);");
    let root = world.folder("srv/shop");
    fs::write(root.join("run.rb"), "puts").unwrap();
    night(
        &world,
        &format!(
            "type = \"generic\"\nroot = \"{}\"\nslo = {{ rto = \"1h\" }}\ndatabase = {{ type = \"postgresql\", name = \"shop\", host = \"{}\", user = \"{}\" }}",
            root.display(),
            server.host.as_deref().unwrap(),
            server.user.as_deref().unwrap()
        ),
    );
    drop(scratch);
    fs::remove_dir_all(world.path("srv")).unwrap();

    let (code, out, err) = vault(&world, &["bootstrap", "--to", "etc"]);
    assert_eq!(code, 0, "{err}");
    let restore = "vault restore --app alpha/-/it --target DIR --database-server postgresql://USER@HOST\n";
    assert!(out.contains(restore), "{out}");
    let fleet = config::load(&world.path("etc/vault.toml"), &world.recipes).unwrap();
    assert_eq!((fleet.services[0].name(), fleet.services[0].slo.rto), ("alpha/-/it", Some(3600)));
    assert_eq!(vault(&world, &["bootstrap", "--to", "etc"]).0, 1, "what is there is not written over");

    let other = world.server("postgresql");
    let at = other.server("");
    let place = format!("postgresql://{}@{}", at.user.as_deref().unwrap(), at.host.as_deref().unwrap());
    let (code, out, err) =
        vault(&world, &["restore", "--app", "alpha/-/it", "--target", "back", "--database-server", &place]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(world.path("back/app/run.rb").is_file());
    assert_eq!(psql(&at, "shop", "SELECT count(*) FROM orders").trim(), "300");
    // Without a server the dump is a file.
    let (code, out, _) = vault(&world, &["restore", "--app", "alpha/-/it", "--target", "files"]);
    assert_eq!(code, 0, "{out}");
    assert!(fs::read_to_string(world.path("files/db.sql")).unwrap().contains("COPY public.orders"));
    // Not over what is there.
    assert_eq!(vault(&world, &["restore", "--app", "alpha/-/it", "--target", "files"]).0, 1);

    let (code, out, err) = vault(&world, &["drill", "--scratch", world.scratch().to_str().unwrap(), "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let drill = &last["drills"][0];
    assert_eq!((drill["passed"].as_bool(), drill["databases"][0]["rows"].as_u64()), (Some(true), Some(300)), "{drill}");
    let scratch = world.scratch();
    let late = ["drill", "alpha", "--scratch", scratch.to_str().unwrap(), "--rto", "0s", "--at", "random"];
    let (code, out, _) = vault(&world, &late);
    assert_eq!(code, 3);
    assert!(out.contains("FAILED") && out.contains("(RTO)"), "{out}");
    assert_eq!(fs::read_dir(world.scratch()).unwrap().count(), 0);
    assert_eq!(vault(&world, &["drill", "type:rails"]).0, 2);
}

#[test]
fn a_bare_machine_is_told_of_the_server_that_it_needs() {
    let world = World::on_disk();
    let path = world.path("store.db");
    feed(&["sqlite3", path.to_str().unwrap()], "CREATE TABLE a(t text); INSERT INTO a VALUES ('x');");
    night(&world, &format!("type = \"sqlite\"\npath = \"{}\"", path.display()));
    let (code, out, err) = vault(&world, &["bootstrap", "--to", "etc"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("vault restore --app alpha/-/it --target DIR\n"), "a copy of a file goes into none: {out}");
    assert!(!out.contains("--database-server"), "{out}");

    let world = World::on_disk();
    let scratch = world.server("mysql");
    let server = scratch.server("");
    mysql(&server, "", "CREATE DATABASE blog; CREATE TABLE blog.posts(n int); INSERT INTO blog.posts VALUES (1);");
    night(&world, &mariadb::lines(&server));
    let (code, out, err) = vault(&world, &["bootstrap", "--to", "etc"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("--target DIR --database-server mysql://USER@HOST\n"), "{out}");
}

#[test]
fn a_drill_that_is_interrupted_leaves_nothing() {
    let world = World::on_disk();
    let root = world.folder("srv/big");
    for n in 0..200 {
        fs::write(root.join(format!("{n}")), vec![n as u8; 1 << 20]).unwrap();
    }
    night(&world, &format!("type = \"generic\"\nroot = \"{}\"", root.display()));
    let scratch = world.scratch();
    let script = "\"$0\" drill --scratch \"$1\" --quiet & p=$!\n\
        while ! ls \"$1\" | grep -q .; do sleep 0.01; done\nkill -TERM $p\nwait $p\necho $?";
    let out = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_vault"), scratch.to_str().unwrap()])
        .env("VAULT_REPO", world.path("repo"))
        .env("VAULT_PASSWORD", "right")
        .env("HOME", world.path("home"))
        .output()
        .unwrap();
    let code = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    assert_eq!(code, "130", "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "the scratch place is not empty");
}

#[test]
fn recipes_are_shown() {
    let world = World::new();
    let (code, out, _) = vault(&world, &["recipe", "list"]);
    assert_eq!(code, 0);
    let names: Vec<&str> = out.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names.len(), 14, "{out}");
    for name in names {
        let (code, out, _) = vault(&world, &["recipe", "show", name]);
        assert_eq!(code, 0);
        assert!(out.contains("restores") && out.contains("verifies") && out.contains("keys"), "{out}");
    }
    let (code, _, err) = vault(&world, &["recipe", "show", "wordpres"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean"), "{err}");
}

/// Its check leaves a trace when it is run.
const TICKETS: &str = "about = \"tickets\"\n[[tree]]\nname = \"app\"\npath = \"{root}\"\n\
    [[verify]]\nwhat = \"the schema is there\"\nrun = [\"sh\", \"-c\", \"touch TRACE; test -s app/schema\"]\n";

#[test]
fn a_recipe_of_the_users_own_comes_back_with_its_application() {
    let mut world = World::on_disk();
    let (folder, trace) = (world.folder("old/recipes.d"), world.path("trace"));
    let text = TICKETS.replace("TRACE", trace.to_str().unwrap());
    fs::write(folder.join("tickets.toml"), &text).unwrap();
    world.recipes = Recipes::builtin().with_folder(&folder).unwrap();
    let root = world.folder("srv/tickets");
    fs::write(root.join("schema"), "x").unwrap();
    night(&world, &format!("type = \"tickets\"\nroot = \"{}\"", root.display()));
    fs::remove_dir_all(world.path("old")).unwrap();
    fs::remove_dir_all(world.path("srv")).unwrap();

    // On a machine that knows nothing, the snapshot's own recipe is used, without the commands in it.
    let (code, out, err) = vault(&world, &["restore", "--app", "alpha/-/it", "--target", "back"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(world.path("back/app/schema").is_file() && !trace.exists());
    assert!(err.contains("the recipe \"tickets\" is the snapshot's"), "{err}");
    assert!(out.contains("was not run: its commands are those of whoever wrote the snapshot"), "{out}");
    let scratch = world.scratch();
    let drill = ["drill", "--scratch", scratch.to_str().unwrap()];
    let (code, out, err) = vault(&world, &drill);
    assert!(code == 0 && out.contains("was not run") && !trace.exists(), "{out}{err}");

    // Written back, it is the machine's own again, as a night needs it.
    let (code, out, err) = vault(&world, &["bootstrap", "--to", "etc"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("tickets.toml written") && out.contains("--recipes etc/recipes.d"), "{out}");
    assert_eq!(fs::read_to_string(world.path("etc/recipes.d/tickets.toml")).unwrap(), text);
    assert_eq!(vault(&world, &["config", "check", "--config", "etc/vault.toml"]).0, 0);
    let (code, out, err) = vault(&world, &[&drill[..], &["--recipes", "etc/recipes.d"]].concat());
    assert!(code == 0 && !out.contains("was not run") && trace.exists(), "{out}{err}");
    assert!(!err.contains("the recipe"), "{err}");

    // What somebody has written here counts, and stays.
    let mended = text.replace("test -s app/schema", "false");
    fs::write(world.path("etc/recipes.d/tickets.toml"), &mended).unwrap();
    let (code, _, err) = vault(&world, &[&drill[..], &["--recipes", "etc/recipes.d"]].concat());
    assert_eq!(code, 3);
    assert!(err.contains("the recipe \"tickets\" is this machine's"), "{err}");
    fs::remove_file(world.path("etc/vault.toml")).unwrap();
    let (code, out, err) = vault(&world, &["bootstrap", "--to", "etc"]);
    assert!(code == 0 && !out.contains("tickets.toml written"), "{out}");
    assert!(err.contains("tickets.toml is there already, and is not as the snapshot has it"), "{err}");
    assert_eq!(fs::read_to_string(world.path("etc/recipes.d/tickets.toml")).unwrap(), mended);
}

#[test]
fn what_a_snapshot_calls_a_recipe_leaves_its_folder_alone() {
    let world = World::on_disk();
    let root = world.folder("srv/it");
    fs::write(root.join("file"), "x").unwrap();
    let fleet = world.fleet(&format!("type = \"generic\"\nroot = \"{}\"", root.display()));
    let service = &fleet.services[0];
    // A second one is good, so that there is something to write.
    for (series, name, recipe) in [
        ("alpha/-/up", "../../escaped", TICKETS),
        ("alpha/-/root", "/escaped", TICKETS),
        ("alpha/-/nonsense", "nonsense", "colour = 1"),
        ("alpha/-/good", "good", TICKETS),
    ] {
        let stored = StoredConfig::of(&fleet, service, Some(recipe), Default::default());
        let text = String::from_utf8(stored.encode()).unwrap();
        let text = text.replace("type = \"generic\"", &format!("type = \"{name}\""));
        let sources = world.sources(&service.app);
        let request = Request {
            configuration: Some(text.into_bytes()),
            threads: 2,
            ..Request::new(Series::parse(series).unwrap(), sources, "alpha", "root")
        };
        snapshot(&world.repo, request, &Silent).unwrap();
    }
    let (code, out, err) = vault(&world, &["bootstrap", "--to", "etc"]);
    assert_eq!(code, 0, "{out}{err}");
    for said in ["alpha/-/up: ", "alpha/-/root: ", "its recipe's name is none", "alpha/-/nonsense: "] {
        assert!(err.contains(said), "{said}: {err}");
    }
    let names: Vec<_> =
        fs::read_dir(world.path("etc/recipes.d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["good.toml"]);
    assert!(!world.path("escaped.toml").exists() && !std::path::Path::new("/escaped.toml").exists());
    let (code, _, err) = vault(&world, &["restore", "--app", "alpha/-/up", "--target", "back"]);
    assert!(code != 0 && err.contains("its recipe's name is none"), "{err}");
}
