//! What a configuration means, and what is wrong with one.

use super::{
    key::{Key, KeyKind},
    read::{self, From},
    value::{Origin, Table},
    *,
};
use crate::{
    fleet::{app::Quiesce, recipe::RECIPE_MAX},
    ops::forget::policy::{Every, Reach, Rule},
    series::Series,
};
use std::path::Path;

struct Known;

const GENERIC: &[Key] = &[
    Key::new("root", KeyKind::Path, "the files").required(),
    Key::new("database", KeyKind::Tables(&[Key::new("name", KeyKind::Text, "its name").required()]), "databases"),
    Key::new("token", KeyKind::Secret, "opens something"),
];

impl Types for Known {
    fn keys(&self, name: &str) -> Option<&[Key]> {
        matches!(name, "generic" | "rails").then_some(GENERIC)
    }
    fn names(&self) -> Vec<&str> {
        vec!["generic", "rails"]
    }
}

fn table(text: &str) -> Table {
    read::parse(text, &From::File(Path::new("vault.toml").into())).unwrap()
}

fn fleet(text: &str) -> Result<Fleet> {
    of_table(table(text), &Known)
}

#[track_caller]
fn refused(text: &str) -> String {
    fleet(text).map(|_| ()).unwrap_err().to_string()
}

const WHOLE: &str = r#"
version = 1
fleet = { name = "acme", history = "/var/history" }
[defaults]
exclude = ["*.tmp"]
retention = { daily = 14, monthly = 12 }
slo = { rpo = "26h", rto = "4h", copies = 3 }
[repositories]
local = { path = "/srv/vault", site = "A", key-file = "/etc/vault/key" }
hub = { path = "/mnt/hub", role = "copy", site = "B" }
[media]
blue = { overdue = "10d" }
[servers.alpha]
site = "A"
hosts = ["alpha.example.org"]
tags = ["gold"]
[servers.alpha.vms.web1]
exclude = "log/"
quiesce = "lvm"
[servers.alpha.vms.web1.apps]
"demo.example.org/hydro" = { type = "rails", root = "/srv/hydro", slo = { rpo = "6h" }, retention = { daily = "30d", weekly = 0 } }
shop = { type = "rails", root = "/srv/shop", tags = "shop", token = "geheim" }
[servers.beta.apps.wiki]
type = "generic"
root = "/srv/wiki"
[[copy]]
to = "hub"
select = ["server:alpha", "type:rails"]
"#;

#[test]
fn the_nearer_word_counts_and_lists_add_up() {
    let fleet = fleet(WHOLE).unwrap();
    let names: Vec<&str> = fleet.services.iter().map(|one| one.name()).collect();
    assert_eq!(names, ["alpha/web1/demo.example.org/hydro", "alpha/web1/shop", "beta/-/wiki"]);
    let [hydro, shop, wiki] = &fleet.services[..] else { panic!() };
    assert_eq!((hydro.slo.rpo, hydro.slo.rto, hydro.slo.copies, hydro.slo.sites), (6 * 3600, Some(4 * 3600), 3, 1));
    assert_eq!(hydro.app.exclude, ["*.tmp", "log/"]);
    let rule = |every, reach| Rule { every, reach };
    let (monthly, month) = (rule(Every::Month, Reach::Count(12)), rule(Every::Day, Reach::Within(30 * 86400)));
    assert_eq!(hydro.retention.rules, [month, monthly]);
    assert_eq!(wiki.retention.rules, [rule(Every::Day, Reach::Count(14)), monthly]);
    assert_eq!((shop.tags.clone(), wiki.tags.len()), (vec!["gold".to_owned(), "shop".into()], 0));
    assert_eq!((&shop.quiesce, &wiki.quiesce), (&Quiesce::Lvm { size: "10%ORIGIN".into() }, &Quiesce::None));
    assert!(shop.is_on("alpha") && !shop.is_on("beta") && wiki.is_on("beta.example.org"));
    assert_eq!((wiki.repository.as_str(), shop.site.as_str()), ("local", "A"));
    // A recipe is told of its own keys only.
    assert_eq!(shop.app.settings.0.keys().collect::<Vec<_>>(), ["root", "token"]);
    let place =
        |service: &crate::fleet::app::Service, key: &str| service.effective.get(key).unwrap().origin.to_string();
    assert_eq!((place(shop, "root"), place(shop, "quiesce")), ("vault.toml:22".into(), "vault.toml:19".into()));
    assert_eq!(place(wiki, "quiesce"), "default");
    assert_eq!(fleet.checks, [Check { repository: "local".into(), every: 86400, read: Some(4.0) }]);
    assert_eq!(fleet.media["blue"].overdue, 10 * 86400);
}

#[test]
fn words_select() {
    let fleet = fleet(WHOLE).unwrap();
    let chosen = |words: &[&str]| -> Vec<String> {
        let select = Select::parse(words.iter().copied()).unwrap();
        fleet.services.iter().filter(|one| select.matches(one)).map(|one| one.name().to_owned()).collect()
    };
    assert_eq!(chosen(&[]).len(), 3);
    assert_eq!(chosen(&["alpha/web1/shop"]), ["alpha/web1/shop"]);
    assert_eq!(chosen(&["alpha/web1", "beta"]).len(), 3);
    assert_eq!(chosen(&["type:rails", "server:beta"]).len(), 0);
    assert_eq!(chosen(&["server:alpha", "server:beta"]).len(), 3);
    assert_eq!(chosen(&["vm:-"]), ["beta/-/wiki"]);
    assert_eq!(chosen(&["tag:shop"]), ["alpha/web1/shop"]);
    assert!(Select::parse(["colour:red"]).is_err() && Select::parse(["type:"]).is_err());
    let words = ["alpha/web1/shpo".to_owned()];
    let error = fleet.selected(&Select::parse(["alpha/web1/shpo"]).unwrap(), &words).unwrap_err().to_string();
    assert!(error.contains("did you mean alpha/web1/shop?"), "{error}");
}

#[test]
fn each_fault_is_told_with_its_place_and_what_was_meant() {
    let base = "[repositories.local]\npath = \"/srv\"\n";
    for (text, said) in [
        ("[defualts]\n", "vault.toml:3: defualts: there is no such key; did you mean defaults?"),
        (
            "[defaults]\nretentoin = {}\n",
            "vault.toml:4: defaults.retentoin: there is no such key; did you mean retention?",
        ),
        (
            "[servers.a.apps.x]\ntype = \"rials\"\nroot = \"/x\"\n",
            "vault.toml:4: servers.a.apps.x.type: there is no recipe \"rials\"; did you mean \"rails\"?",
        ),
        ("[servers.a.apps.x]\nroot = \"/x\"\n", "vault.toml:3: servers.a.apps.x: the type is missing"),
        (
            "[servers.a.apps.x]\ntipe = \"rails\"\n",
            "vault.toml:3: servers.a.apps.x: the type is missing; did you mean \"type\" by \"tipe\"?",
        ),
        ("[servers.a.apps.demo.example.org]\ntype = \"rails\"\n", "written in quotes"),
        ("[servers.a.apps.x]\ntype = \"rails\"\n", "vault.toml:3: servers.a.apps.x: root is missing: the files"),
        (
            "[servers.a.apps.x]\ntype = \"rails\"\nroot = \"x\"\n",
            "vault.toml:5: servers.a.apps.x.root: write an absolute path in quotes",
        ),
        (
            "[servers.a.apps.x]\ntype = \"rails\"\nroot = \"/x\"\ndatabase = [{ nam = \"y\" }]\n",
            "vault.toml:6: servers.a.apps.x.database.nam: there is no such key; did you mean name?",
        ),
        ("[servers.a.apps.\"x@y\"]\ntype = \"rails\"\nroot = \"/x\"\n", "vault.toml:3: \"a/-/x@y\" is no series"),
        ("[defaults]\nslo = { rpo = 26 }\n", "vault.toml:4: defaults.slo.rpo: write a duration in quotes"),
        (
            "[defaults]\ncompression = 20\n",
            "vault.toml:4: defaults.compression: write \"none\", \"auto\", or a level from 1 to 19",
        ),
        (
            "[defaults]\nretention = { daily = -1 }\n",
            "vault.toml:4: defaults.retention.daily: write a number of periods",
        ),
        ("[defaults]\nexclude = [1]\n", "vault.toml:4: defaults.exclude: write a text in quotes, or a list of texts"),
        ("[[check]]\nread-data = \"0%\"\n", "vault.toml:4: check.read-data: write a share"),
        (
            "[[copy]]\nto = \"hbu\"\n[repositories.hub]\npath = \"/h\"\nrole = \"copy\"\n",
            "vault.toml:4: to: there is no repository \"hbu\"; did you mean \"hub\"?",
        ),
        ("[[copy]]\nto = \"local\"\n", "not copied to itself"),
        (
            "[[copy]]\nselect = [\"x:y\"]\nto = \"hub\"\n[repositories.hub]\npath = \"/h\"\nrole = \"copy\"\n",
            "vault.toml:4: select: \"x:y\" selects nothing",
        ),
        (
            "[repositories.two]\npath = \"/h\"\n[servers.a.apps.x]\ntype = \"rails\"\nroot = \"/x\"\n",
            "There are several with role = \"local\"",
        ),
        (
            "[repositories.x]\npath = \"/h\"\nkey-file = \"/k\"\npassword-env = \"P\"\n",
            "not by key-file and password-env",
        ),
        ("[repositories.x]\npath = \"h\"\n", "is no absolute path"),
        (
            "[defaults]\ntags = [\"a b\"]\n[servers.a.apps.x]\ntype = \"rails\"\nroot = \"/x\"\n",
            "vault.toml:4: tags: a tag is one word",
        ),
    ] {
        let error = refused(&format!("{base}{text}"));
        assert!(error.contains(said), "{text}\n{error}\n{said}");
    }
    assert!(refused("version = 2\n").contains("version 1 only"));
    assert!(refused("x = 1\ny = 2\n").contains("(and 1 more: see `vault config check`)"));
    assert_eq!(check::faults(&table("x = 1\ny = 2\n"), &Known).len(), 2);
}

#[test]
fn secrets_are_not_shown_and_places_are() {
    let whole = table(
        "[notify]\nwebhook = \"https://geheim\"\nmail = \"a@b\"\n[servers.a.apps.x]\ntype = \"rails\"\nroot = \"/x\"\ntoken = \"geheim\"\n",
    );
    let text = show::render(&show::without_secrets(&whole, &Known), "");
    assert!(!text.contains("geheim"), "{text}");
    assert!(text.contains("mail = \"a@b\"             # vault.toml:3\n"), "{text}");
    let again = read::parse(&text, &From::Default).unwrap();
    assert_eq!(again.table("servers").unwrap().unwrap().0.len(), 1);
}

#[test]
fn what_a_snapshot_holds_is_a_configuration_again() {
    let fleet = fleet(WHOLE).unwrap();
    let facts = [("rows db.sql \"x\"".to_owned(), "12\n".to_owned())].into();
    for service in &fleet.services {
        let stored = StoredConfig::of(&fleet, service, None, Clone::clone(&facts));
        let back = StoredConfig::decode(&service.app.series, &stored.encode()).unwrap();
        assert_eq!(back.facts, facts);
        assert_eq!((&back.app.recipe, &back.app.exclude), (&service.app.recipe, &service.app.exclude));
        assert_eq!(back.app.settings.text("root").unwrap(), service.app.settings.text("root").unwrap());
        assert_eq!(back.app.settings.0.len(), service.app.settings.0.len());
        assert_eq!(back.app.origin, Origin::Snapshot);
        assert!(back.text.contains("# vault.toml:"), "{}", back.text);
        // By itself it says what was said then.
        let again = of_table(read::parse(&back.text, &From::Snapshot).unwrap(), &Known).unwrap();
        let one = again.service(service.name()).unwrap();
        assert_eq!((one.slo, &one.retention, &one.hosts), (service.slo, &service.retention, &service.hosts));
        assert_eq!((&one.tags, &one.quiesce, &one.site), (&service.tags, &service.quiesce, &service.site));
    }
    // One that was moved since: what was said of its old server does not count for the new one.
    for name in ["gamma/-/other", "gamma/vm/a/b"] {
        let other = Series::parse(name).unwrap();
        for service in &fleet.services {
            let stored = StoredConfig::of(&fleet, service, None, Clone::clone(&facts)).encode();
            let moved = StoredConfig::decode(&other, &stored).unwrap();
            assert_eq!((&moved.app.series, &moved.app.recipe), (&other, &service.app.recipe));
            assert_eq!((&moved.app.exclude, &moved.facts), (&service.app.exclude, &facts));
            // Found by a fuzzer: what was renamed is as if it had been read.
            assert_eq!(StoredConfig::decode(&other, &moved.encode()).unwrap().table, moved.table);
            let again = of_table(read::parse(&moved.text, &From::Snapshot).unwrap(), &Known).unwrap();
            let names: Vec<&str> = again.services.iter().map(|one| one.name()).collect();
            assert_eq!(names, [name], "{}", moved.text);
            let servers = moved.table.table("servers").unwrap().unwrap();
            let own = servers.table("gamma").unwrap().unwrap();
            assert!(servers.0.len() == 1 && own.0.len() == 1, "{}", moved.text);
        }
    }
    let other = Series::parse("alpha/-/other").unwrap();
    let two = "[servers.a.apps]\nx = { type = \"rails\" }\ny = { type = \"rails\" }\n";
    for text in [two, "version = 1\n", "servers = 1\n", "[servers.a.apps]\nx = 1\n"] {
        assert!(matches!(StoredConfig::decode(&other, text.as_bytes()), Err(Error::Corrupt { .. })), "{text}");
    }
    assert!(StoredConfig::decode(&other, b"\xff").is_err() && StoredConfig::decode(&other, b"= 1").is_err());
}

#[test]
fn a_recipe_of_the_users_own_is_stored_whole_and_nothing_else_in_its_place() {
    let fleet = fleet(WHOLE).unwrap();
    let service = &fleet.services[1];
    let series = &service.app.series;
    let own = "about = \"x\"\n[facts]\n\"\"\"\r\t\u{1b}\u{202e}ä\n";
    let facts: std::collections::BTreeMap<_, _> = [("a".to_owned(), "b".to_owned())].into();
    let stored = StoredConfig::of(&fleet, service, Some(own), facts.clone());
    let back = StoredConfig::decode(series, &stored.encode()).unwrap();
    assert_eq!((back.recipe.as_deref(), &back.facts, &back.text), (Some(own), &facts, &stored.text));
    let moved = StoredConfig::decode(&Series::parse("gamma/-/other").unwrap(), &stored.encode()).unwrap();
    assert_eq!(moved.recipe.as_deref(), Some(own));
    assert_eq!(StoredConfig::decode(&moved.app.series, &moved.encode()).unwrap().recipe.as_deref(), Some(own));

    // In whatever order its parts stand, all of it is kept.
    let rest = stored.text.split_once('[').unwrap().1;
    let turned = format!("[facts]\na = \"b\"\n[recipe]\ntext = \"c\"\n[{rest}");
    let turned = StoredConfig::decode(series, turned.as_bytes()).unwrap();
    let again = StoredConfig::decode(series, &turned.encode()).unwrap();
    assert_eq!((again.table, again.recipe, again.facts), (turned.table, Some("c".into()), facts));

    let long = format!("[recipe]\ntext = \"{}\"", "x".repeat(RECIPE_MAX + 1));
    for part in ["recipe = 1", "[recipe]", "[recipe]\ntext = 1", "[recipe]\ntext = \"\"\nname = \"../x\"", &long] {
        let hostile = format!("{part}\n[servers.alpha.vms.web1.apps.shop]\ntype = \"rails\"\n");
        assert!(matches!(StoredConfig::decode(series, hostile.as_bytes()), Err(Error::Corrupt { .. })), "{part:.60}");
    }
    for name in ["../../etc/cron.d/x", "/x", ".x", "a\\u0000b", ""] {
        let hostile = format!("[servers.alpha.vms.web1.apps.shop]\ntype = \"{name}\"\n[recipe]\ntext = \"\"\n");
        assert!(matches!(StoredConfig::decode(series, hostile.as_bytes()), Err(Error::Corrupt { .. })), "{name}");
    }
}

#[test]
fn the_json_schema_has_all_keys_of_all_types() {
    let schema = json_schema::of(&Known);
    let apps = schema["$defs"]["app"]["oneOf"].as_array().unwrap();
    assert_eq!(apps[1]["properties"]["type"]["const"], "rails");
    assert!(apps[1]["properties"]["root"].is_object() && apps[1]["properties"]["slo"]["properties"]["rpo"].is_object());
    assert_eq!(schema["properties"]["servers"]["additionalProperties"]["additionalProperties"], false);
}

proptest::proptest! {
    /// Whatever is put into a configuration: it is read or refused, and what is shown of it is read again.
    #[test]
    fn nothing_in_a_file_makes_it_fall_over(cut in 0..900usize, junk in ".{0,12}", len in 0..40usize) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        let cut = cut.min(text.len());
        let end = (cut + len).min(text.len());
        text.splice(cut..end, junk.chars());
        let text: String = text.into_iter().collect();
        if let Ok(table) = read::parse(&text, &From::Snapshot) {
            for fault in check::faults(&table, &Known) {
                proptest::prop_assert!(!fault.to_string().chars().any(char::is_control), "{fault}");
            }
            let _ = of_table(table.clone(), &Known);
            let shown = show::render(&table, "");
            proptest::prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
            proptest::prop_assert!(read::parse(&shown, &From::Snapshot).is_ok(), "{shown}");
        }
        let series = Series::parse("alpha/web1/shop").unwrap();
        let _ = StoredConfig::decode(&series, text.as_bytes());
    }
}
