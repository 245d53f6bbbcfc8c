//! A directory that folds case. No file system here does: but where two names are one directory, it is taken for one that does.

use super::{super::*, build::*};

#[test]
fn what_folds_to_a_name_of_the_snapshot_is_not_removed() {
    if !in_own_mounts("folding::what_folds_to_a_name_of_the_snapshot_is_not_removed") {
        return;
    }
    let place = Place::new();
    let inner = vec![dir("a", vec![file("f", "new")]), file("B", "first"), file("b", "second")];
    let listed = place.snapshot(vec![dir("app", vec![dir("d", inner)])]);
    for name in ["d/A", "d/a"] {
        std::fs::create_dir_all(place.at(name)).unwrap();
    }
    std::fs::write(place.at("d/A/f"), "old").unwrap();
    std::fs::write(place.at("d/1"), "extra").unwrap();
    let mounted = std::process::Command::new("mount").arg("--bind").args([place.at("d/A"), place.at("d/a")]).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    let report = place.run(&listed, &Request { delete: true, ..place.in_place() }).unwrap();
    let found = std::fs::read(place.at("d/A/f"));
    std::process::Command::new("umount").arg(place.at("d/a")).status().unwrap();
    assert_eq!(found.unwrap(), b"new");
    assert_eq!((report.deleted, place.at("d/1").exists()), (1, false));
    assert_eq!((std::fs::read(place.at("d/B")).unwrap(), place.at("d/b").exists()), (b"first".to_vec(), false));
    assert_eq!(report.problem_count, 1);
    assert!(report.problems[0].what.contains("of another entry for one"), "{:?}", report.problems);
}
