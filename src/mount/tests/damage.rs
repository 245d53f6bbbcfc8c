//! Objects that are damaged, and a store that is away.

use super::*;

fn packs(fixture: &Fixture, before: &[ObjectName]) -> Vec<ObjectName> {
    let new = fixture.store.names().into_iter().filter(|name| !before.contains(name));
    new.filter(|name| name.as_str().starts_with("packs/")).collect()
}

#[test]
fn a_damaged_object_costs_its_files_only_and_is_told_once() {
    let fixture = Fixture::new();
    fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("good", fixture::file(&fixture::noise(5000, 1)))]))]);
    let before = fixture.store.names();
    let files =
        |seed| [("bad", fixture::file(&fixture::noise(5000, seed))), ("good", fixture::file(&fixture::noise(5000, 1)))];
    let entries = files(2).into_iter().chain([("worse", fixture::file(&fixture::noise(5000, 3)))]).collect();
    let listed = fixture.snapshot("h/-/s", 2, vec![("app", fixture::dir(entries))]);
    let damaged: Vec<ObjectName> = packs(&fixture, &before)
        .into_iter()
        .filter(|name| {
            let bytes = fixture.store.get(name, limits::PACK_MAX).unwrap();
            crate::object::header(crate::object::Kind::DataPack, fixture.repo.keys().repo())
                == bytes[..crate::object::HEADER_LEN]
        })
        .collect();
    assert_eq!(damaged.len(), 1);
    // Every segment of it.
    fixture.store.tamper(&damaged[0], |bytes| (200..10_000).step_by(1000).for_each(|at| bytes[at] ^= 1));
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    for _ in 0..3 {
        for name in ["bad", "worse"] {
            assert_eq!(contents(&view, name).map(|bytes| bytes.len()), Err(No::Unreadable), "{name}");
        }
    }
    assert!(contents(&view, "good") == Ok(fixture::noise(5000, 1)));
    assert_eq!(names(&view, ""), ["bad", "good", "worse"]);
    let problems = borrowed.monitor.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains(damaged[0].as_str()), "{problems:?}");
    assert!(problems[0].contains(&format!("{}:app/bad", listed.id.short())), "{problems:?}");
}

#[test]
fn without_the_store_requests_fail_and_what_is_known_stays() {
    let fixture = Fixture::new();
    let app = fixture::dir(vec![("f", fixture::file(&fixture::noise(100, 1))), ("g", fixture::file(b"g"))]);
    fixture.snapshot("h/-/s", 1, vec![("app", app)]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = all(&borrowed, &reader);
    let app = number(&view, "servers/h/-/s/t1/app");
    fixture.store.names().iter().for_each(|name| fixture.store.remove(name).unwrap());
    assert_eq!(list(&view, app, 10, false).map(|_| ()).unwrap_err(), No::Unreadable);
    // What was given before stands, and who goes on is told.
    let listing = view.open_directory(app).unwrap();
    let mut given = 0;
    let mut each = |_: crate::mount::listing::Item<'_>| {
        given += 1;
        true
    };
    assert_eq!(view.list(&listing, 0, true, &mut each), Ok(()));
    assert_eq!(view.list(&listing, 2, true, &mut each), Err(No::Unreadable));
    assert_eq!(given, 2);
    assert_eq!(view.lookup(app, b"f").unwrap_err(), No::Unreadable);
    assert_eq!(list(&view, ROOT, 10, false).unwrap().len(), 5);
    assert!(!borrowed.monitor.problems().is_empty());
}
