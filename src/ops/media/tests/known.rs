//! What is known of media while they are away, by whom, and what lists say of them.

use super::*;

fn instant(text: &str) -> Result<i64> {
    Ok(text.get(8..10).and_then(|day| day.parse::<i64>().ok()).map_or(0, |day| 1_600_000_000 + day * 86400 + 3600))
}

#[test]
fn what_lies_where_is_known_while_all_media_are_away() {
    let world = World::new();
    let (blue, red) = (world.medium("blue"), world.medium("red"));
    world.sync("blue");
    night(&world.fixture, 2);
    world.sync("red");
    world.desk.unplug(&blue);
    world.desk.unplug(&red);
    std::fs::rename(&blue, world.path("safe-1")).unwrap();
    std::fs::rename(&red, world.path("safe-2")).unwrap();
    let catalogue = world.catalogue();
    let names = |address: &str| -> Vec<(String, i64)> {
        let places = find(&catalogue, &Address::parse(address.as_bytes()).unwrap(), &instant, &mut |medium, error| {
            panic!("{}: {error}", medium.name)
        })
        .unwrap();
        let day = |place: &Place| (place.listed.snapshot.head.time.sec - 1_600_000_000) / 86400;
        places.iter().map(|place| (place.medium.name.clone(), day(place))).collect()
    };
    let both = |blue, red| vec![("red".to_owned(), red), ("blue".to_owned(), blue)];
    assert_eq!(names(SERIES), both(1, 2));
    assert_eq!(names(&format!("{SERIES}:data/inbox")), both(1, 2));
    let mut of_the_first = names(&format!("{SERIES}@2020-09-01:data"));
    of_the_first.sort();
    assert_eq!(of_the_first, [("blue".to_owned(), 1), ("red".to_owned(), 1)]);
    assert_eq!(names(&format!("{SERIES}:data/none")), []);
    assert_eq!(names("other/-/x"), []);
    // What is damaged of one says nothing of the other.
    let snapshots = catalogue.skeleton(&catalogue.find("blue").unwrap()).join("snapshots");
    let moved = snapshots.with_extension("away");
    std::fs::rename(&snapshots, &moved).unwrap();
    std::fs::write(&snapshots, b"no folder").unwrap();
    let mut told = Vec::new();
    let address = Address::parse(SERIES.as_bytes()).unwrap();
    let places = find(&catalogue, &address, &instant, &mut |medium, _| told.push(medium.name.clone())).unwrap();
    assert_eq!((places.len(), told), (1, vec!["blue".to_owned()]));
    std::fs::remove_file(&snapshots).unwrap();
    std::fs::rename(&moved, &snapshots).unwrap();
    // The files of an absent medium are listed, and not read.
    let medium = catalogue.find("red").unwrap();
    let skeleton = world.fixture.repo.at(Arc::new(LocalStore::open(&catalogue.skeleton(&medium)).unwrap()));
    let (index, _) = skeleton.load_index(true).unwrap();
    let reader = crate::repo::BlobReader::new(&skeleton, &index);
    let listed = skeleton.snapshots(None).unwrap().listed;
    let mut paths = Vec::new();
    let mut each = |entry: &crate::ops::ls::Entry<'_>| {
        paths.push(String::from_utf8_lossy(entry.path).into_owned());
        Ok(())
    };
    assert!(crate::ops::ls::ls(&reader, &listed[0], None, true, &mut each).unwrap().is_empty());
    assert_eq!(paths, ["data", "data/inbox", "data/secret-name"]);
    // By its name, before any key is known.
    let place = catalogue::place_of(&world.path("state"), &world.desk, "red").unwrap();
    assert_eq!((&place.folder, place.present), (&catalogue.skeleton(&medium), false));
    assert!(catalogue::place_of(&world.path("state"), &world.desk, "green").is_err());
    world.desk.plug(&world.path("safe-2"), "uuid-red", true);
    let there = catalogue::place_of(&world.path("state"), &world.desk, "red").unwrap();
    assert_eq!((there.folder, there.present), (world.path("safe-2").canonicalize().unwrap().join("vault"), true));
    assert_eq!((there.id, place.id), (crate::id::hex(&medium.id), crate::id::hex(&medium.id)));
}

fn each_file(folder: &Path, each: &mut dyn FnMut(&[u8])) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { each_file(&entry.path(), each) } else { each(&std::fs::read(entry.path()).unwrap()) }
    }
}

#[test]
fn the_catalogue_tells_no_names_to_who_lacks_the_key() {
    let world = World::new();
    world.medium("blue");
    world.sync("blue");
    let mut files = 0;
    each_file(&world.path("state"), &mut |bytes| {
        files += 1;
        for secret in ["secret-name", "secret contents", "inbox", SERIES, "safe"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
    });
    assert!(files > 5, "{files}");
    let writer = world.fixture.as_writer();
    assert!(matches!(Catalogue::open(&writer, &world.path("state")), Err(Error::NotPermitted { .. })));
}

#[test]
fn lists_say_what_is_overdue_and_when_it_is_full() {
    let world = World::new();
    world.medium("blue");
    world.sync("blue");
    let mut medium = world.catalogue().find("blue").unwrap();
    let synced = medium.synced().unwrap();
    assert!(!medium.is_overdue(synced + 8 * 86400) && medium.is_overdue(synced + 8 * 86400 + 1));
    assert_eq!(medium.days_until_full(), None, "one sync tells nothing");
    let day = |day: i64, bytes| Sync { time: synced + day * 86400, bytes };
    medium.syncs = vec![day(0, 1 << 40), day(1, 1 << 20), day(2, 3 << 20)];
    medium.space = (100 << 20, 1 << 30);
    assert_eq!(medium.days_until_full(), Some(50));
    assert_eq!(medium.newest().iter().map(|held| held.series.as_str()).collect::<Vec<_>>(), [SERIES]);
    retire(&world.catalogue(), &medium).unwrap();
    assert!(world.catalogue().find("blue").is_err());
    assert!(!world.catalogue().media().unwrap()[0].is_overdue(i64::MAX));
}
