//! `vault config` and `vault schedule`.

use super::Fleet;
use std::fs;

const SOME: &str = r#"
version = 1
[defaults]
slo = { rpo = "26h" }
[notify]
webhook = "https://example.org/geheim"
[repositories.local]
path = "{dir}/repo"
[servers.alpha.vms.web1.apps]
shop = { type = "generic", root = "{dir}/shop", slo = { rto = "1h" } }
"#;

#[test]
fn unknown_keys_are_told_with_their_place_and_what_was_meant() {
    let fleet = Fleet::new(
        "[repositories.local]\npath = \"/x\"\n[defualts]\nretention = { dayly = 3 }\n[defaults]\nretention = { dayly = 3 }\n",
    );
    let ran = fleet.run(&["config", "check"]).expect(1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.out);
    assert!(
        lines[0].ends_with("etc/vault.toml:7: defaults.retention.dayly: there is no such key; did you mean daily?"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].ends_with("etc/vault.toml:4: defualts: there is no such key; did you mean defaults?"),
        "{}",
        lines[1]
    );
    // Nothing is done with such a configuration.
    fleet.run(&["run"]).expect(2).says("did you mean daily? (and 1 more: see `vault config check`)");
    fleet.run(&["status"]).expect(2).says("did you mean daily?");
}

#[test]
fn each_effective_value_is_shown_with_the_place_that_it_came_from() {
    let fleet = Fleet::new(SOME);
    fs::create_dir(fleet.path("etc/vault.d")).unwrap();
    fs::write(fleet.path("etc/vault.d/web.toml"), "[servers.alpha.vms.web1]\ntags = [\"gold\"]\n").unwrap();
    fleet.run(&["config", "check"]).expect(0);
    let shown = fleet.run(&["config", "show", "--effective", "alpha/web1/shop"]).expect(0).out;
    let line = |key: &str| {
        shown.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap_or_else(|| panic!("{key}\n{shown}"))
    };
    assert!(line("type").ends_with("etc/vault.toml:11") && line("rto").ends_with("etc/vault.toml:11"), "{shown}");
    assert!(line("rpo").ends_with("etc/vault.toml:5"), "{shown}");
    assert!(line("tags").ends_with("etc/vault.d/web.toml:2"), "{shown}");
    assert!(line("compression").ends_with("# default"), "{shown}");
    assert!(shown.starts_with("[servers.alpha.vms.web1.apps.shop]\n"), "{shown}");
    // It is a configuration again.
    let again = format!("{shown}\n[repositories.local]\npath = \"/x\"\n");
    fs::write(fleet.path("again.toml"), again).unwrap();
    fleet.0.run(&["config", "check", "--config", "again.toml"]).expect(0);

    let all = fleet.run(&["config", "show"]).expect(0).out;
    assert!(!all.contains("geheim") && all.contains("webhook = \"(not shown)\""), "{all}");
    fleet.run(&["config", "show", "--effective", "alpha/web1/shpo"]).expect(2).says("did you mean alpha/web1/shop?");
}

#[test]
fn a_key_that_two_files_say_is_an_error_that_names_both() {
    let fleet = Fleet::new(SOME);
    fs::create_dir(fleet.path("etc/vault.d")).unwrap();
    fs::write(fleet.path("etc/vault.d/x.toml"), "[servers.alpha.vms.web1.apps.shop]\ntype = \"rails\"\n").unwrap();
    let ran = fleet.run(&["config", "check"]).expect(2);
    assert!(
        ran.err.contains("x.toml:2: servers.alpha.vms.web1.apps.shop.type was said before, at ")
            && ran.err.contains("vault.toml:11"),
        "{}",
        ran.err
    );
}

/// Every application of the usual kinds, in at most five lines.
const USUAL: &str = r#"
[repositories.local]
path = "/srv/vault"

[servers.alpha.vms.web1.apps.shop]
type = "rails"
root = "/srv/shop"
database = { type = "postgresql", name = "shop_production", credential = "/etc/vault/shop.pgpass" }
slo = { rpo = "6h", rto = "1h" }

[servers.alpha.vms.web1.apps.wiki]
type = "moinmoin"
root = "/srv/moin"

[servers.alpha.vms.web1.apps.blog]
type = "wordpress"
root = "/var/www/blog"

[servers.alpha.vms.web1.apps.draw]
type = "drawmgt"
root = "/srv/draw"

[servers.alpha.vms.scm.apps.git]
type = "git"
root = "/srv/git"
verify-level = "fsck"

[servers.alpha.vms.scm.apps.cvs]
type = "cvs"
root = "/srv/cvs"

[servers.alpha.vms.scm.apps.svn]
type = "svn"
root = "/srv/svn"

[servers.beta.vms.mail.apps.maildir]
type = "maildir"
root = "/var/vmail"

[servers.beta.vms.mail.apps.mbox]
type = "mbox"
root = "/var/mail"

[servers.beta.vms.esb.apps.apim]
type = "wso2"
home = "/opt/wso2am"

[servers.beta.apps.pg]
type = "postgresql"

[servers.beta.apps.maria]
type = "mysql"

[servers.beta.apps.lite]
type = "sqlite"
path = "/srv/lite.db"

[servers.beta.apps.other]
type = "generic"
paths = ["/srv/other", "/etc/other"]
"#;

#[test]
fn each_usual_application_takes_at_most_five_lines() {
    for app in USUAL.split("\n\n").skip(1) {
        assert!(app.trim().lines().count() <= 5, "{app}");
    }
    let fleet = Fleet::new(USUAL);
    let ran = fleet.run(&["config", "check"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let schema = fleet.run(&["config", "schema"]).expect(0).out;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let types: Vec<&str> = schema["$defs"]["app"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["properties"]["type"]["const"].as_str().unwrap())
        .collect();
    for line in USUAL.lines().filter_map(|line| line.strip_prefix("type = \"")) {
        assert!(types.contains(&line.trim_end_matches('"')), "{line}");
    }
}

#[test]
fn a_schedule_is_installed_shown_and_removed() {
    let fleet = Fleet::new(SOME);
    let root = fleet.path("root");
    let root = root.to_str().unwrap();
    fleet.run(&["schedule", "install", "--root", root, "--by", "systemd", "--at", "02:15", "--jitter", "1h"]).expect(0);
    let shown = fleet.0.run(&["schedule", "show", "--root", root]).expect(0).out;
    for words in [
        "OnCalendar=*-*-* 02:15:00",
        "RandomizedDelaySec=3600",
        "Persistent=true",
        "etc/vault.toml\"",
        "VAULT_STATE_DIR=",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    // Of another configuration nothing is installed.
    let config = fleet.path("etc/vault.toml");
    let of = |config: &str| fleet.0.run(&["schedule", "show", "--root", root, "--config", config]).expect(0).out;
    assert!(of(config.to_str().unwrap()).contains("OnCalendar") && of("etc/vault.toml").contains("OnCalendar"));
    let other = of("etc/other.toml");
    assert!(other.contains("nothing is installed for etc/other.toml") && !other.contains("OnCalendar"), "{other}");
    fleet.run(&["schedule", "install", "--root", root]).expect(0);
    assert!(of("etc/vault.toml").contains("30 1 * * * ") && of("etc/other.toml").contains("another configuration"));
    let shown = fleet.0.run(&["schedule", "show", "--root", root]).expect(0).out;
    assert!(shown.contains("30 1 * * * ") && !shown.contains("OnCalendar"), "{shown}");
    fleet.0.run(&["schedule", "remove", "--root", root]).expect(0);
    assert!(fleet.0.run(&["schedule", "show", "--root", root]).expect(0).out.contains("nothing is installed"));
    // A timer for what cannot run helps nobody.
    fleet.write("[servers.alpha.apps.x]\ntype = \"rails\"\n");
    fleet.run(&["schedule", "install", "--root", root]).expect(2);
}
