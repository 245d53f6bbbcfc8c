use super::*;
use crate::fleet::{
    config::{of_table, read},
    recipe::Recipes,
};
use jiff::tz::TimeZone;

const NOW: i64 = 1_772_424_306;
const HOUR: i64 = 3600;

fn fleet() -> Fleet {
    let text = r#"
[defaults]
slo = { rpo = "26h", copies = 2, sites = 2, check = "30d", rto = "1h" }
[repositories]
local = { path = "/srv/vault", site = "A" }
hub = { path = "/hub", role = "copy", site = "B", hosts = ["hub"] }
[media.blue]
[servers.alpha.apps]
shop = { type = "generic", paths = "/srv/shop" }
wiki = { type = "generic", paths = "/srv/wiki", slo = { drill = "90d" } }
[servers.beta.apps]
blog = { type = "generic", paths = "/srv/blog" }
"#;
    of_table(read::parse(text, &read::From::Snapshot).unwrap(), &Recipes::builtin()).unwrap()
}

fn holder(fleet: &Fleet, name: &str, held: &[(&str, Option<i64>, Option<i64>)]) -> Holder {
    let error = crate::error::Error::refused("x");
    let mut holder = match fleet.repositories.get(name) {
        Some(repository) => Holder::lost(repository, &error),
        None => Holder::unknown_medium(&fleet.media[name], &error),
    };
    (holder.red, holder.lost) = (String::new(), false);
    for (series, good, newest) in held {
        let one = Held { good: *good, newest: *newest, count: 1, sizes: Vec::new() };
        holder.held.insert((*series).to_owned(), one);
    }
    holder
}

fn verdict(series: &str, holders: &[Holder], state: &State) -> Verdict {
    let fleet = fleet();
    judge(fleet.service(series).unwrap(), holders, state, NOW)
}

fn checked() -> State {
    let mut state = State::default();
    state.note("check local", NOW - 86400, None, 1.0);
    state
}

#[test]
fn what_is_absent_is_red() {
    let red = |holders: &[Holder], state: &State| verdict("alpha/-/shop", holders, state).red;
    let all = red(&[], &checked());
    assert_eq!(all, ["there is no snapshot", "0 of 2 copies", "at 0 of 2 sites"]);
    let fleet = fleet();
    let lost = Holder::lost(&fleet.repositories["local"], &crate::error::Error::refused("x"));
    assert_eq!(red(&[lost], &checked())[0], "no snapshot is known: local cannot be looked at");
    let fresh = Some(NOW - HOUR);
    let both = |good, newest| {
        [
            holder(&fleet, "local", &[("alpha/-/shop", good, newest)]),
            holder(&fleet, "hub", &[("alpha/-/shop", good, newest)]),
        ]
    };
    assert_eq!(red(&both(fresh, fresh), &checked()), Vec::<String>::new());
    assert_eq!(red(&both(fresh, fresh), &State::default()), ["it was never checked"]);
    assert_eq!(red(&both(fresh, fresh)[..1], &checked()), ["1 of 2 copies", "at 1 of 2 sites"]);
    let old = Some(NOW - 27 * HOUR);
    assert_eq!(red(&both(old, old), &checked()), ["the newest good snapshot is 1d 3h old, 1d 2h were promised"]);
    assert_eq!(red(&both(Some(NOW - 2 * HOUR), fresh), &checked()), ["the newest snapshot is incomplete"]);
    assert_eq!(red(&both(None, fresh), &checked())[0], "no snapshot is complete");
}

#[test]
fn a_medium_counts_while_it_is_not_overdue() {
    let fleet = fleet();
    let local = holder(&fleet, "local", &[("alpha/-/shop", Some(NOW), Some(NOW))]);
    let blue = |days: i64| {
        let time = Some(NOW - days * 86400);
        let medium = Holder { site: "safe".into(), ..holder(&fleet, "blue", &[("alpha/-/shop", time, time)]) };
        verdict("alpha/-/shop", &[local.clone(), medium], &checked()).red
    };
    assert_eq!(blue(7), Vec::<String>::new());
    assert_eq!(blue(12), ["1 of 2 copies", "at 1 of 2 sites"]);
}

#[test]
fn runs_checks_and_drills_that_went_wrong_are_told() {
    let fleet = fleet();
    let both = ["local", "hub"].map(|name| holder(&fleet, name, &[("alpha/-/wiki", Some(NOW), Some(NOW))]));
    let mut state = checked();
    let red = |state: &State| verdict("alpha/-/wiki", &both, state).red;
    assert_eq!(red(&state), ["it was never restored for a test"]);
    state.note("drill alpha/-/wiki", NOW - 100 * 86400, None, 60.0);
    assert_eq!(red(&state), ["it was last restored for a test 100d ago"]);
    state.note("drill alpha/-/wiki", NOW, None, 7200.0);
    assert_eq!(red(&state), ["a restore takes 2h, 1h were promised"]);
    state.note("drill alpha/-/wiki", NOW, None, 60.0);
    assert_eq!(red(&state), Vec::<String>::new());
    state.note("drill alpha/-/wiki", NOW, Some("rows differ"), 60.0);
    state.note("snapshot alpha/-/wiki", NOW, Some("no room"), 60.0);
    state.note("check local", NOW, Some("2 errors"), 60.0);
    assert_eq!(red(&state), ["the last run: no room", "the check of local: 2 errors", "the last drill: rows differ"]);
}

#[test]
fn sizes_that_jump_are_odd() {
    let mb = |n: u64| n << 20;
    assert_eq!(judge::anomaly(&[mb(10), mb(10), mb(11), mb(9)]), None);
    assert!(judge::anomaly(&[mb(3), mb(10), mb(11), mb(9)]).unwrap().contains("shrank to 30%"));
    assert!(judge::anomaly(&[mb(30), mb(10), mb(11), mb(9)]).unwrap().contains("grew to 300%"));
    assert_eq!(judge::anomaly(&[1, 1000, 1000, 1000]), None);
    assert_eq!(judge::anomaly(&[mb(3), mb(10)]), None);
}

#[test]
fn a_server_answers_for_its_own_and_a_backup_server_for_all() {
    let fleet = fleet();
    assert_eq!(concern(&fleet, "alpha").len(), 2);
    assert_eq!(concern(&fleet, "beta.example.org").len(), 1);
    assert_eq!(concern(&fleet, "hub").len(), 3);
    assert_eq!(concern(&fleet, "elsewhere").len(), 3);
}

#[test]
fn names_can_do_nothing_in_a_page_or_a_metric() {
    let mut verdict = verdict("alpha/-/shop", &[], &State::default());
    verdict.series = "a/-/<script>\"x\\\u{202e}".into();
    let status = Status {
        name: "<b>".into(),
        time: NOW,
        apps: vec![verdict],
        holders: Vec::new(),
        jobs: vec!["copy <i>".into()],
        run: None,
    };
    let page = page(&status, &TimeZone::UTC);
    assert!(
        !page.contains("<script") && !page.contains("<b>") && !page.contains("<i>") && !page.contains('\u{202e}'),
        "{page}"
    );
    assert!(page.contains("1 of 1 applications are red") && page.contains("there was no run yet"));
    let text = prometheus(&status);
    assert!(text.contains("vault_app_red{series=\"a/-/<script>\\\"x\\\\"), "{text}");
    assert!(text.lines().all(|line| line.starts_with('#') || line.rsplit(' ').next().unwrap().parse::<f64>().is_ok()));
}
