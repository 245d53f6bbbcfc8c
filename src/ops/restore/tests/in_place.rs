//! Over what is there: only what differs is written.

use super::{super::*, build::*};
use crate::monitor::Recording;
use std::os::unix::fs::{MetadataExt, symlink};

fn data(numbers: impl IntoIterator<Item = u64>) -> Vec<Piece> {
    numbers.into_iter().map(|n| Piece::Data(noise(n, 7000))).collect()
}

fn bytes(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(|n| noise(n, 7000)).collect()
}

#[test]
fn only_what_differs_is_fetched() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![pieces("big", data(0..20)), file("small", "s")])]);
    place.restore(&listed, &place.request());
    let untouched = listing(&place.target());
    let report = place.restore(&listed, &place.in_place());
    assert_eq!((report.files_unchanged, report.files_written, report.bytes_fetched), (2, 0, 0));

    let inode = std::fs::metadata(place.at("big")).unwrap().ino();
    let mut changed = bytes(0..20);
    changed[50_000] ^= 1;
    changed.extend_from_slice(b"and more");
    std::fs::write(place.at("big"), &changed).unwrap();
    let report = place.restore(&listed, &place.in_place());
    assert_eq!((report.files_unchanged, report.files_written, report.bytes_written), (1, 1, 7000));
    assert!(report.bytes_fetched < 20_000, "{}", report.bytes_fetched);
    assert_eq!(std::fs::metadata(place.at("big")).unwrap().ino(), inode);
    assert_eq!(listing(&place.target()), untouched);

    std::fs::write(place.at("big"), &bytes(0..20)[..9000]).unwrap();
    place.restore(&listed, &place.in_place());
    assert_eq!(listing(&place.target()), untouched);
}

#[test]
fn what_the_snapshot_has_stays_when_something_before_it_is_missing() {
    let place = Place::new();
    let tree = vec![file("a", "1"), dir("b", vec![file("f", "2")]), file("c", "3")];
    let listed = place.snapshot(vec![dir("app", tree)]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    let inodes = || ["b", "b/f", "c"].map(|path| std::fs::metadata(place.at(path)).unwrap().ino());
    let before = inodes();
    std::fs::remove_file(place.at("a")).unwrap();
    let report = place.restore(&listed, &Request { delete: true, ..place.in_place() });
    assert_eq!((report.deleted, inodes(), listing(&place.target())), (0, before, good));
}

#[test]
fn what_only_grew_is_cut() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![pieces("big", data(0..3)), file("none", "")])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    for verify in [false, true] {
        std::fs::write(place.at("big"), bytes(0..4)).unwrap();
        std::fs::write(place.at("none"), "some").unwrap();
        let would = place.restore(&listed, &Request { dry_run: true, verify, ..place.in_place() });
        assert_eq!(
            (would.actions.as_slice(), would.files_written),
            (&["update big".into(), "update none".into()][..], 2)
        );
        let report = place.restore(&listed, &Request { verify, ..place.in_place() });
        assert_eq!((report.files_written, report.bytes_written), (2, 0));
        assert_eq!(listing(&place.target()), good);
    }
}

#[test]
fn the_mode_of_a_file_that_is_right_otherwise_is_set() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("f", "1"), dir("d", vec![])])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    for name in ["f", "d"] {
        std::fs::set_permissions(place.at(name), PermissionsExt::from_mode(0o700)).unwrap();
    }
    let before = listing(&place.target());
    let would = place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
    assert_eq!((would.actions, listing(&place.target())), (vec!["update d".into(), "update f".into()], before));
    assert_eq!(place.restore(&listed, &place.in_place()).files_unchanged, 1);
    assert_eq!(listing(&place.target()), good);
}

#[test]
fn a_change_that_size_and_time_hide_is_found_by_verify() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![pieces("big", data(0..5))])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    let time = std::fs::metadata(place.at("big")).unwrap().modified().unwrap();
    let mut changed = bytes(0..5);
    changed[0] ^= 1;
    std::fs::write(place.at("big"), &changed).unwrap();
    std::fs::File::options().write(true).open(place.at("big")).unwrap().set_modified(time).unwrap();
    assert_eq!(place.restore(&listed, &place.in_place()).files_written, 0);
    let report = place.restore(&listed, &Request { verify: true, ..place.in_place() });
    assert_eq!(report.files_written, 1);
    assert_eq!(listing(&place.target()), good);
}

#[test]
fn holes_are_made_where_bytes_are() {
    let place = Place::new();
    let sparse = vec![Piece::Data(noise(1, 4096)), Piece::Hole(4 << 20), Piece::Data(noise(2, 4096))];
    let listed = place.snapshot(vec![dir("app", vec![pieces("sparse", sparse)])]);
    std::fs::create_dir(place.target()).unwrap();
    std::fs::write(place.at("sparse"), vec![7; (4 << 20) + 8192]).unwrap();
    let before = listing(&place.target());
    let would = place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
    assert_eq!((would.files_written, listing(&place.target())), (1, before));
    place.restore(&listed, &place.in_place());
    let good = [noise(1, 4096), vec![0; 4 << 20], noise(2, 4096)].concat();
    assert!(std::fs::read(place.at("sparse")).unwrap() == good);
    assert!(std::fs::metadata(place.at("sparse")).unwrap().blocks() < 64);
}

#[test]
fn files_with_other_names_are_replaced_and_links_made_again() {
    let place = Place::new();
    let tree = vec![
        pieces("a", data(0..3)).linked(5, 2),
        pieces("b", data(0..3)).linked(5, 2),
        pieces("c", data(3..6)),
        pieces("d", data(6..9)),
    ];
    let listed = place.snapshot(vec![dir("app", tree)]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    // Right, all of it: nothing is touched.
    let report = place.restore(&listed, &place.in_place());
    assert_eq!((report.files_written, report.bytes_fetched), (0, 0));
    // The links are torn, and others that are none are made.
    std::fs::remove_file(place.at("b")).unwrap();
    std::fs::remove_file(place.at("d")).unwrap();
    std::fs::hard_link(place.at("c"), place.at("b")).unwrap();
    std::fs::hard_link(place.at("c"), place.at("d")).unwrap();
    let report = place.restore(&listed, &place.in_place());
    assert_eq!(listing(&place.target()), good);
    assert!(report.bytes_fetched < 50_000, "{}", report.bytes_fetched);
    // A changed one of two names.
    std::fs::write(place.at("a"), &bytes(0..3)[1..]).unwrap();
    place.restore(&listed, &place.in_place());
    assert_eq!(listing(&place.target()), good);
}

#[test]
fn other_kinds_give_way() {
    let place = Place::new();
    let tree = vec![
        file("file", "1"),
        dir("dir", vec![file("in", "2")]),
        link("link", "to"),
        other("pipe", crate::model::node::Body::Fifo),
    ];
    let listed = place.snapshot(vec![dir("app", tree)]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    std::fs::remove_file(place.at("file")).unwrap();
    std::fs::create_dir_all(place.at("file/deep/er")).unwrap();
    std::fs::remove_dir_all(place.at("dir")).unwrap();
    std::fs::write(place.at("dir"), "").unwrap();
    std::fs::remove_file(place.at("link")).unwrap();
    symlink("elsewhere", place.at("link")).unwrap();
    std::fs::remove_file(place.at("pipe")).unwrap();
    std::fs::create_dir(place.at("pipe")).unwrap();
    // A folder with something in it is no entry of another kind, but many that the snapshot lacks.
    let report = place.run(&listed, &place.in_place()).unwrap();
    assert_eq!((report.problem_count, place.at("file/deep/er").exists()), (1, true));
    assert!(report.problems[0].what.contains("see --delete"), "{:?}", report.problems);
    let keep = Request { delete: true, exclude: vec!["er".into()], ..place.in_place() };
    assert_eq!(place.run(&listed, &keep).unwrap().problem_count, 1);
    assert!(place.at("file/deep/er").exists());
    assert_eq!(place.restore(&listed, &Request { delete: true, ..place.in_place() }).deleted, 1);
    assert_eq!(listing(&place.target()), good);
}

#[test]
fn a_folder_in_the_way_of_a_link_stays_too() {
    let place = Place::new();
    let tree = vec![file("a", "1").linked(5, 2), file("b", "1").linked(5, 2)];
    let listed = place.snapshot(vec![dir("app", tree)]);
    std::fs::create_dir_all(place.at("b/precious")).unwrap();
    for dry_run in [true, false] {
        let report = place.run(&listed, &Request { dry_run, ..place.in_place() }).unwrap();
        assert_eq!((report.problem_count, place.at("b/precious").exists()), (1, true));
    }
    assert_eq!(place.restore(&listed, &Request { delete: true, ..place.in_place() }).deleted, 1);
}

#[test]
fn the_repository_that_it_comes_from_survives() {
    let place = Place::new();
    let tree = || dir("vault", vec![file("config", "old")]);
    let listed = place.snapshot(vec![dir("home", vec![tree(), file("f", "1"), dir("x", vec![])])]);
    place.restore(&listed, &place.request());
    std::fs::write(place.at("vault/object"), "new").unwrap();
    std::fs::write(place.at("vault/config"), "newer").unwrap();
    let protect = |path: &std::path::Path| {
        let found = std::fs::metadata(path).unwrap();
        Some(crate::fs::target::Identity { device: found.dev(), inode: found.ino() })
    };
    let delete = |path: &std::path::Path| Request { delete: true, protect: protect(path), ..place.in_place() };
    let whole = |path: &str| {
        assert_eq!(std::fs::read(place.at(path).join("config")).unwrap(), b"newer");
        assert_eq!(std::fs::read(place.at(path).join("object")).unwrap(), b"new");
    };
    // Where the snapshot has it too; deep in what the snapshot lacks; and where the snapshot has a file.
    place.restore(&listed, &delete(&place.at("vault")));
    whole("vault");
    std::fs::create_dir_all(place.at("lost/deep")).unwrap();
    std::fs::write(place.at("lost/deep/g"), "").unwrap();
    std::fs::rename(place.at("vault"), place.at("lost/deep/vault")).unwrap();
    place.restore(&listed, &delete(&place.at("lost/deep/vault")));
    whole("lost/deep/vault");
    assert!(!place.at("lost/deep/g").exists());
    std::fs::rename(place.at("lost/deep/vault"), place.at("beside")).unwrap();
    place.restore(&listed, &delete(&place.at("beside")));
    whole("beside");
    assert!(!place.at("lost").exists());
    std::fs::remove_file(place.at("f")).unwrap();
    std::fs::rename(place.at("beside"), place.at("f")).unwrap();
    assert_eq!(place.run(&listed, &delete(&place.at("f"))).unwrap().problem_count, 1);
    whole("f");
    // What is beside it, and comes after it, is restored all the same.
    let beside = place.snapshot(vec![dir("app", vec![dir("f", vec![file("g", "1")]), file("z", "2")])]);
    let done = place.run(&beside, &delete(&place.at("f"))).unwrap();
    assert_eq!((done.problem_count, std::fs::read(place.at("z")).unwrap()), (0, b"2".to_vec()));
    whole("f");
    // The target is it, or is or would be in it.
    for target in [place.at("f"), place.at("f/new/er"), place.at("f/object/..")] {
        let protect = protect(&place.at("f"));
        let target = std::os::unix::ffi::OsStringExt::into_vec(target.into_os_string());
        for in_place in [true, false] {
            let request = Request { target: target.clone(), protect, in_place, ..place.request() };
            assert!(place.run(&listed, &request).is_err());
        }
    }
    assert!(!place.at("f/new").exists());
    whole("f");
}

#[test]
fn what_the_snapshot_lacks_goes_only_on_request() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("b", "1"), dir("d", vec![file("x", "2")])])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    let mess = || {
        for path in ["a", "c", "d/w", "d/y", "zz/deep/f"] {
            std::fs::create_dir_all(place.at(path).parent().unwrap()).unwrap();
            std::fs::write(place.at(path), path).unwrap();
        }
    };
    mess();
    assert_eq!(place.restore(&listed, &place.in_place()).deleted, 0);
    assert!(place.at("zz/deep/f").exists());
    let before = listing(&place.target());
    let delete = Request { delete: true, ..place.in_place() };
    let report = place.restore(&listed, &Request { dry_run: true, ..delete.clone() });
    assert_eq!(listing(&place.target()), before);
    assert_eq!(report.actions, ["delete a", "delete c", "delete d/w", "delete d/y", "delete zz"]);
    assert_eq!(place.restore(&listed, &delete).deleted, 5);
    assert_eq!(listing(&place.target()), good);
    mess();
    std::fs::create_dir_all(place.at("yy/g")).unwrap();
    let exclude = vec!["/d".into(), "deep".into(), "/a".into()];
    let delete = Request { exclude, ..delete };
    let before = listing(&place.target());
    let report = place.restore(&listed, &Request { dry_run: true, ..delete.clone() });
    assert_eq!(listing(&place.target()), before);
    assert_eq!(report.actions, ["update .", "delete c", "delete yy/g", "delete yy"]);
    assert_eq!(report.deleted, 3);
    assert_eq!(place.restore(&listed, &delete).deleted, 3);
    assert!(!place.at("yy").exists());
    for (path, there) in [("a", true), ("c", false), ("d/w", true), ("zz/deep/f", true)] {
        assert_eq!(place.at(path).exists(), there, "{path}");
    }
}

#[test]
fn what_leads_to_a_match_is_not_taken_for_what_the_snapshot_lacks() {
    let place = Place::new();
    let deep = dir("d", vec![dir("e", vec![file("m", "1"), file("n", "2")]), file("m", "3"), file("z", "4")]);
    let listed = place.snapshot(vec![dir("app", vec![deep, file("y", "5")])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    for include in [&["m"][..], &["/d/e"], &["/d/e/m"], &["e", "m"], &["d/e/"]] {
        let include = include.iter().map(|&pattern| pattern.into()).collect();
        let report = place.restore(&listed, &Request { delete: true, include, ..place.in_place() });
        assert_eq!(report.deleted, 0);
        assert_eq!(listing(&place.target()), good);
    }
    std::fs::write(place.at("d/e/o"), "extra").unwrap();
    let include = vec!["/d/e".into()];
    assert_eq!(place.restore(&listed, &Request { delete: true, include, ..place.in_place() }).deleted, 1);
    assert!(!place.at("d/e/o").exists());
}

/// In a mount namespace of its own; not where one cannot be had.
#[test]
fn what_is_mounted_in_the_target_is_not_emptied() {
    if !in_own_mounts("in_place::what_is_mounted_in_the_target_is_not_emptied") {
        return;
    }
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("b", "1")])]);
    place.restore(&listed, &place.request());
    let mount = place.at("extra/mnt");
    std::fs::create_dir_all(&mount).unwrap();
    std::fs::write(place.at("extra/gone"), "").unwrap();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    std::fs::create_dir(mount.join("deep")).unwrap();
    std::fs::write(mount.join("deep/precious"), "precious").unwrap();
    let exclude = vec!["other".into()];
    let report = place.run(&listed, &Request { delete: true, exclude, ..place.in_place() }).unwrap();
    let there = mount.join("deep/precious").exists();
    std::process::Command::new("umount").arg(&mount).status().unwrap();
    assert!(there);
    assert!(report.problems.iter().any(|problem| problem.what.contains("mounted")), "{:?}", report.problems);
    assert_eq!((report.problem_count, report.deleted, place.at("extra/gone").exists()), (1, 1, false));
}

#[test]
fn directories_on_the_way_keep_their_times() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![dir("1", vec![dir("2", vec![dir("3", vec![])])])])]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    place.restore(&listed, &Request { include: vec!["3".into()], ..place.in_place() });
    assert_eq!(listing(&place.target()), good);
    // And what else they have: only what was asked for is as in the snapshot.
    for path in ["", "1", "1/2", "1/2/3"] {
        std::fs::set_permissions(place.at(path), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    }
    place.restore(&listed, &Request { include: vec!["3".into()], ..place.in_place() });
    let mode = |path| std::fs::metadata(place.at(path)).unwrap().mode() & 0o7777;
    assert_eq!(["", "1", "1/2", "1/2/3"].map(mode), [0o711, 0o711, 0o711, 0o755]);
}

#[test]
fn who_is_not_root_restores_over_what_he_made_read_only() {
    use rustix::{fs::Uid, thread};
    use std::os::unix::fs::{PermissionsExt, chown};
    let place = Place::new();
    let tree = vec![file("ro", "1").mode(0o444), file("none", "2").mode(0), dir("d", vec![file("f", "3")]).mode(0o555)];
    let listed = place.snapshot(vec![dir("app", tree)]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());
    let change = |path: &str, mode| {
        std::fs::write(place.at(path), "changed").unwrap();
        std::fs::set_permissions(place.at(path), PermissionsExt::from_mode(mode)).unwrap();
    };
    change("ro", 0o444);
    change("none", 0);
    change("d/f", 0o400);
    std::fs::set_permissions(place.at("d"), PermissionsExt::from_mode(0o100)).unwrap();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mine = ["", "ro", "none", "d", "d/f"].map(|path| place.at(path));
    for path in mine.iter().map(|path| path.as_path()).chain(place.target().parent()) {
        chown(path, Some(65534), Some(65534)).unwrap();
    }
    // Identities belong to threads: the others stay root.
    let report = std::thread::scope(|scope| {
        let restore = || {
            let uid = Uid::from_raw(65534);
            thread::set_thread_res_uid(uid, uid, uid).unwrap();
            place.run(&listed, &Request { owners: Owners::Skip, ..place.in_place() }).unwrap()
        };
        scope.spawn(restore).join().unwrap()
    });
    assert_eq!(report.problems, []);
    assert_eq!(listing(&place.target()), good);
}

#[test]
fn a_dry_run_tells_all_and_changes_nothing() {
    let place = Place::new();
    let tree = vec![
        file("same", "same"),
        pieces("changed", data(0..4)),
        dir("new\n", vec![file("f", noise(9, 500))]),
        file("moded", "m"),
        link("l", "x"),
    ];
    let listed = place.snapshot(vec![dir("app", tree)]);
    let all = place.restore(&listed, &Request { dry_run: true, ..place.request() });
    assert!(!place.target().exists());
    let expected = ["changed", "l", "moded", "new\\n", "new\\n/f", "same"].map(|path| format!("create {path}"));
    assert_eq!(all.actions, expected);
    let done = place.restore(&listed, &place.request());
    assert_eq!((all.bytes_fetched, all.files_written), (done.bytes_fetched, done.files_written));
    assert_eq!((all.bytes_written, all.totals), (done.bytes_written, done.totals));

    let mut changed = bytes(0..4);
    changed[8000] ^= 1;
    std::fs::write(place.at("changed"), &changed).unwrap();
    std::fs::remove_dir_all(place.at("new\n")).unwrap();
    let locked = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(place.at("moded"), locked).unwrap();
    std::fs::remove_file(place.at("l")).unwrap();
    std::fs::create_dir(place.at("l")).unwrap();
    let before = listing(&place.target());
    let would = place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
    assert_eq!(listing(&place.target()), before);
    let expected =
        ["update .", "update changed", "delete l", "create l", "update moded", "create new\\n", "create new\\n/f"];
    assert_eq!(would.actions, expected);
    let done = place.restore(&listed, &place.in_place());
    assert_eq!((would.bytes_fetched, would.bytes_written), (done.bytes_fetched, done.bytes_written));
    assert_eq!((would.files_written, would.files_unchanged), (done.files_written, done.files_unchanged));
}

#[test]
fn damage_does_not_let_an_old_file_pass_for_restored() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![pieces("big", data(0..20))])]);
    std::fs::create_dir(place.target()).unwrap();
    std::fs::write(place.at("big"), bytes(20..40)).unwrap();
    place.damage(&noise(7, 7000));
    let report = place.run(&listed, &place.in_place()).unwrap();
    assert_eq!((report.problem_count, report.files_written), (1, 0));
    assert_ne!(std::fs::metadata(place.at("big")).unwrap().mtime(), 1_500_000_000);
}

#[test]
fn what_a_killed_restore_left_goes_and_nothing_else_does() {
    use rustix::fs::{FlockOperation, flock};
    let temporary = |n: u8| format!(".vault-restore-{}", format!("{n:02x}").repeat(16));
    let place = Place::new();
    let deep = vec![file("m", "1"), dir("e", vec![file("n", "2")]), file(temporary(0), "of the snapshot")];
    let tree = vec![dir("d", deep), file("f", "3")];
    let listed = place.snapshot(vec![dir("app", tree)]);
    place.restore(&listed, &place.request());
    let good = listing(&place.target());

    let left = ["".to_owned(), "d/".into(), "d/e/".into()].map(|folder| folder + &temporary(0xa1));
    let leave = || left.iter().for_each(|path| std::fs::write(place.at(path), "beg").unwrap());
    let at_work = std::fs::File::create(place.at(temporary(2))).unwrap();
    flock(&at_work, FlockOperation::NonBlockingLockExclusive).unwrap();
    let others =
        [temporary(0xab).replace("ab", "AB"), temporary(3) + "0", temporary(3)[..46].to_owned(), "d/.vault".into()];
    others.iter().for_each(|path| std::fs::write(place.at(path), "mine").unwrap());
    std::fs::create_dir(place.at(temporary(4))).unwrap();
    symlink("f", place.at(temporary(5))).unwrap();
    std::fs::write(place.at(temporary(6)), "two names").unwrap();
    std::fs::hard_link(place.at(temporary(6)), place.at("other")).unwrap();
    place.restore(&listed, &place.in_place());
    let kept = listing(&place.target());

    leave();
    let before = listing(&place.target());
    let report = place.restore(&listed, &Request { dry_run: true, ..place.in_place() });
    assert_eq!(listing(&place.target()), before);
    let mut actions: Vec<_> = report.actions.iter().filter_map(|action| action.strip_prefix("delete ")).collect();
    actions.sort();
    assert_eq!((actions, report.deleted), (left.iter().map(String::as_str).collect(), 3));
    let monitor = Recording::default();
    let report = place.run_with(&listed, &place.in_place(), &monitor).unwrap();
    assert_eq!((report.deleted, report.problem_count, listing(&place.target())), (3, 0, kept.clone()));
    assert_eq!(monitor.notes().iter().filter(|note| note.contains("killed")).count(), 3, "{:?}", monitor.notes());

    // Only where all is asked for: elsewhere not all that is there is compared with the tree.
    leave();
    let with = |pattern: &str| Request { include: vec![pattern.into()], ..place.in_place() };
    assert_eq!(place.restore(&listed, &with("n")).deleted, 0);
    assert_eq!(place.restore(&listed, &Request { path: Some(b"app/f".to_vec()), ..place.in_place() }).deleted, 0);
    assert_eq!(place.restore(&listed, &with("/d/e")).deleted, 1);
    let exclude = vec!["/.vault-restore-*".into()];
    assert_eq!(place.restore(&listed, &Request { exclude, ..place.in_place() }).deleted, 1);
    assert_eq!(place.restore(&listed, &place.in_place()).deleted, 1);
    assert_eq!(listing(&place.target()), kept);

    // Once nobody is at it any more.
    drop(at_work);
    assert_eq!(place.restore(&listed, &place.in_place()).deleted, 1);
    assert!(place.restore(&listed, &Request { delete: true, ..place.in_place() }).deleted > 5);
    assert_eq!(listing(&place.target()), good);
}
