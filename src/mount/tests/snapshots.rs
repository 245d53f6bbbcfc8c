//! Where snapshots are found.

use super::*;

#[test]
fn snapshots_are_found_by_series_id_and_date() {
    let fixture = Fixture::new();
    let old = fixture.snapshot("h/vm/srv/wiki", 5, vec![("app", fixture::dir(vec![("f", fixture::file(b"old"))]))]);
    let new = fixture.snapshot("h/vm/srv/wiki", 7, vec![("app", fixture::dir(vec![("f", fixture::file(b"new"))]))]);
    fixture.snapshot("h/vm/srv", 6, vec![("db.sql", fixture::file(b"dump"))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = all(&borrowed, &reader);
    assert_eq!(names(&view, ""), ["by-date", "ids", "servers"]);
    assert_eq!(names(&view, "servers/h/vm/srv"), ["latest", "t6", "wiki"]);
    assert_eq!(contents(&view, "servers/h/vm/srv/wiki/t5/app/f"), Ok(b"old".to_vec()));
    assert_eq!(contents(&view, "servers/h/vm/srv/wiki/t7/app/f"), Ok(b"new".to_vec()));
    assert_eq!(contents(&view, "servers/h/vm/srv/t6/db.sql"), Ok(b"dump".to_vec()));
    assert_eq!(view.link(number(&view, "servers/h/vm/srv/wiki/latest")), Ok(b"t7".to_vec()));
    let to_old = Ok(b"../servers/h/vm/srv/wiki/t5".to_vec());
    assert_eq!(view.link(number(&view, &format!("ids/{}", old.id.short()))), to_old);
    assert_eq!(view.link(number(&view, &format!("by-date/t5_{}", old.id.short()))), to_old);
    assert_eq!(walk(&view, "servers/h/vm/srv/wiki/t6").unwrap_err(), No::EntryYet);
    assert_eq!(walk(&view, "servers/h/vm/srv/wiki/t5/app/g").unwrap_err(), No::Entry);
    // What will never be another may be kept, the rest not.
    let lasting = |path: &str| walk(&view, path).unwrap().lasting;
    assert!(lasting("servers/h/vm/srv/wiki/t5/app") && lasting("servers/h/vm/srv/wiki/t5/app/f"));
    assert!(!lasting("servers/h/vm/srv/wiki/latest") && !lasting("servers/h/vm/srv"));
    assert_eq!(names(&one(&borrowed, &reader, &new, ""), ""), ["app"]);
}

#[test]
fn a_snapshot_that_may_be_the_newest_and_cannot_be_read_leaves_no_latest() {
    let fixture = Fixture::new();
    let source = || vec![("app", fixture::dir(vec![("f", fixture::file(b"f"))]))];
    let first = fixture.snapshot("h/-/s", 1, source());
    let second = fixture.snapshot("h/-/s", 2, source());
    let damage = |listed: &Listed| {
        let tag = fixture.repo.keys().series_tag(&crate::series::Series::parse("h/-/s").unwrap());
        // The head stays whole, so that its number is known.
        fixture.store.tamper(&crate::repo::snapshots::object_name(&tag, &listed.id), |bytes| bytes[2000] ^= 1);
    };
    damage(&first);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    assert_eq!(names(&all(&borrowed, &reader), "servers/h/-/s"), ["latest", "t2"]);
    damage(&second);
    let third = fixture.snapshot("h/-/s", 3, source());
    assert_eq!(names(&all(&borrowed, &reader), "servers/h/-/s"), ["latest", "t3"]);
    let fourth = fixture.snapshot("h/-/s", 4, source());
    damage(&fourth);
    assert_eq!(names(&all(&borrowed, &reader), "servers/h/-/s"), ["t3"]);
    let problems = borrowed.monitor.problems();
    assert!(problems.iter().any(|text| text.contains(&fourth.id.to_string())), "{problems:?}");
    assert!(!problems.iter().any(|text| text.contains(&third.id.to_string())), "{problems:?}");
}
