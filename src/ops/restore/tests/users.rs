//! What a restore of somebody who is not root may change, and what it leaves.

use super::{super::*, build::*};
use rustix::{fs::Uid, thread::set_thread_res_uid};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

const SOMEBODY: u32 = 65534;

/// Restores as somebody else. Identities belong to threads: the others stay root.
fn restore_as_somebody(place: &Place, listed: &Listed, request: &Request) -> Report {
    let restore = || {
        let uid = Uid::from_raw(SOMEBODY);
        set_thread_res_uid(uid, uid, uid).unwrap();
        place.run(listed, &Request { owners: Owners::Skip, ..request.clone() }).unwrap()
    };
    std::thread::scope(|scope| scope.spawn(restore).join().unwrap())
}

/// Gives these to somebody, with the folder around them; false where nobody can.
fn give(place: &Place, paths: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let paths = paths.iter().map(|path| place.at(path));
    paths.chain([place.base.path().into()]).for_each(|path| chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap());
    true
}

#[test]
fn a_folder_that_is_only_looked_at_keeps_its_mode() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![dir("d", vec![file("f", "1"), file("g", "2")])])]);
    place.restore(&listed, &place.request());
    if !give(&place, &["", "d", "d/f", "d/g"]) {
        return;
    }
    std::fs::set_permissions(place.at("d"), PermissionsExt::from_mode(0o300)).unwrap();
    let looks = Request { dry_run: true, ..place.in_place() };
    let leads = Request { include: vec!["f".into()], ..place.in_place() };
    for request in [looks, leads] {
        assert_eq!(restore_as_somebody(&place, &listed, &request).problem_count, 1);
        assert_eq!(std::fs::metadata(place.at("d")).unwrap().mode() & 0o7777, 0o300);
    }
}

#[test]
fn what_a_killed_restore_left_goes_when_it_is_ones_own() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("f", "1")])]);
    place.restore(&listed, &place.request());
    let left = ["a", "b"].map(|digit| format!(".vault-restore-{}", digit.repeat(32)));
    left.iter().for_each(|name| std::fs::write(place.at(name), "beg").unwrap());
    if !give(&place, &["", "f", &left[0]]) {
        return;
    }
    // One that another user may be writing where locks do not reach is his.
    std::fs::set_permissions(place.at(&left[1]), PermissionsExt::from_mode(0o666)).unwrap();
    let report = restore_as_somebody(&place, &listed, &place.in_place());
    assert_eq!((report.deleted, report.problem_count), (1, 0));
    assert_eq!(left.each_ref().map(|name| place.at(name).exists()), [false, true]);
    std::fs::write(place.at(&left[0]), "beg").unwrap();
    chown(place.at(&left[0]), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    assert_eq!(place.restore(&listed, &place.in_place()).deleted, 2, "root takes them all");
}

/// Entries of this tree bear the name `root`.
#[test]
fn numbers_become_those_that_their_names_have_here() {
    let place = Place::new();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let stranger = |mut entry: Entry| {
        entry.meta.uid = 4242;
        entry
    };
    let mut listed = place.snapshot(vec![stranger(dir("app", vec![stranger(file("f", "1"))]))]);
    listed.snapshot.sources[0].owner = (Some("root".into()), None);
    let owners = || ["", "f"].map(|path| std::fs::metadata(place.at(path)).unwrap().uid());
    place.restore(&listed, &Request { owners: Owners::ByName, ..place.request() });
    assert_eq!(owners(), [0, 0]);
    place.restore(&listed, &Request { owners: Owners::Numeric, ..place.in_place() });
    assert_eq!(owners(), [4242, 4242]);
    // Somebody of whom only the folder knows the name.
    let mut other = place.snapshot(vec![stranger(dir("app", vec![]))]);
    other.snapshot.sources[0].owner = (Some("root".into()), None);
    place.restore(&other, &Request { owners: Owners::ByName, ..place.in_place() });
    assert_eq!(owners(), [0, 4242]);
}
