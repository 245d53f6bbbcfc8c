//! Names and paths: what is made, replaced and removed, and that nothing leads outside.

use super::beneath;
use super::*;

#[test]
fn planted_symbolic_links_lead_nowhere() {
    let place = Place::new();
    symlink(place.outside(""), place.inside("dir")).unwrap();
    symlink(place.outside("precious"), place.inside("file")).unwrap();
    symlink(place.outside("new"), place.inside("dangling")).unwrap();
    let root = &place.root;
    assert!(root.open_dir(&name("dir")).is_err());
    assert!(root.make_dir(&name("dir")).is_err());
    assert!(root.descend(&[name("dir")]).is_err());
    fs::create_dir(place.inside("real")).unwrap();
    symlink("..", place.inside("real/up")).unwrap();
    assert!(root.descend(&[name("real"), name("up"), name("real")]).is_err());
    assert!(root.create_file(&name("file")).is_err());
    assert!(root.create_file(&name("dangling")).is_err());
    assert!(root.open_existing(&name("file")).is_err());
    assert!(root.open_to_compare(&name("file")).is_err());
    assert!(root.apply_to(&name("file"), Kind::File, &plain(0o777), &Policy::default()).is_err());
    assert_eq!(root.stat(&name("file")).unwrap().unwrap().kind, Kind::Symlink);

    let temp = root.temp_file().unwrap();
    write_at(temp.file(), b"new", 0).unwrap();
    root.rename_over(temp, &name("file")).unwrap();
    assert_eq!(fs::read(place.inside("file")).unwrap(), b"new");
    assert!(place.inside("file").symlink_metadata().unwrap().is_file());
    root.remove(&name("dir")).unwrap();
    place.assert_outside_untouched();
    assert_eq!(fs::metadata(place.outside("precious")).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn without_openat2_the_same_holds() {
    let place = Place::new();
    fs::create_dir_all(place.inside("a/b")).unwrap();
    symlink(place.outside(""), place.inside("a/link")).unwrap();
    let root = place.root.fd();
    assert!(beneath::chain_by_component(root, &[name("a"), name("b")], false).unwrap().is_some());
    assert!(beneath::chain_by_component(root, &[name("a"), name("link")], false).is_err());
    let a = beneath::open_by_component(root, &name("a"), beneath::DIRECTORY, Mode::empty()).unwrap();
    assert!(beneath::open_by_component(a.as_fd(), &name("link"), beneath::DIRECTORY, Mode::empty()).is_err());
    let create = OFlags::RDWR | OFlags::CREATE;
    assert!(beneath::open_by_component(a.as_fd(), &name("link"), create, Mode::RUSR).is_err());
    place.assert_outside_untouched();
    // Nor into what is mounted, for whoever removes.
    assert!(beneath::same_mount_by_component(root, &name("a")).is_ok());
    let system = Target::open(b"/").unwrap();
    let mounted = beneath::same_mount_by_component(system.root().fd(), &name("proc")).unwrap_err();
    assert_eq!(Errno::from_io_error(&mounted), Some(Errno::XDEV));
}

#[test]
fn no_name_leads_up() {
    for bad in [&b".."[..], b".", b"/etc", b"a/../..", b""] {
        assert!(Name::new(bad).is_err());
    }
}

#[test]
fn a_file_with_other_names_is_not_written_in_place() {
    let place = Place::new();
    fs::hard_link(place.outside("precious"), place.inside("file")).unwrap();
    let error = place.root.open_existing(&name("file")).unwrap_err().to_string();
    assert!(error.contains("other names"), "{error}");
    assert!(place.root.apply_to(&name("file"), Kind::File, &plain(0o777), &Policy::default()).is_err());
    assert!(place.root.open_to_compare(&name("file")).is_ok());
    assert!(!place.root.xattrs_differ(&name("file"), &plain(0o777), &Policy::default()).unwrap());

    let temp = place.root.temp_file().unwrap();
    write_at(temp.file(), b"other", 0).unwrap();
    place.root.rename_over(temp, &name("file")).unwrap();
    assert_eq!(fs::read(place.inside("file")).unwrap(), b"other");
    assert_eq!(place.root.list().unwrap(), [name("file")]);
    place.assert_outside_untouched();
}

#[test]
fn only_regular_files_are_opened() {
    let place = Place::new();
    assert!(place.root.special(&name("pipe"), Special::Fifo).unwrap().is_some());
    assert!(place.root.open_existing(&name("pipe")).is_err());
    assert!(place.root.open_to_compare(&name("pipe")).is_err());
    place.root.make_dir(&name("dir")).unwrap();
    assert!(place.root.open_existing(&name("dir")).is_err());
    assert!(place.root.open_existing(&name("none")).is_err());
}

#[test]
fn nothing_is_created_over_anything() {
    let place = Place::new();
    let root = &place.root;
    root.create_file(&name("a")).unwrap();
    assert_eq!(root.create_file(&name("a")).unwrap_err().source.kind(), io::ErrorKind::AlreadyExists);
    assert!(root.symlink(&name("a"), b"x").is_err());
    assert!(root.special(&name("a"), Special::Fifo).is_err());
    assert!(root.make_dir(&name("a")).is_err());
    assert!(root.make_dir(&name("d")).unwrap().is_new());
    assert!(!root.make_dir(&name("d")).unwrap().is_new());
    let temp = root.temp_file().unwrap();
    assert!(root.rename_over(temp, &name("d")).is_err());
    assert_eq!(root.list().unwrap(), [name("a"), name("d")]);
    assert_eq!(fs::metadata(place.inside("a")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(place.inside("d")).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn a_hard_link_is_made_to_the_inode_that_was_made_and_no_other() {
    let place = Place::new();
    let root = &place.root;
    let id = Identity::of(&root.create_file(&name("a")).unwrap()).unwrap();
    assert_eq!(root.stat(&name("a")).unwrap().unwrap().id, id);
    let dir = root.make_dir(&name("dir")).unwrap();
    dir.hard_link((root, &name("a")), id, &name("b")).unwrap();
    assert_eq!(dir.stat(&name("b")).unwrap().unwrap().id, id);
    assert_eq!(dir.stat(&name("b")).unwrap().unwrap().links, 2);

    fs::remove_file(place.inside("a")).unwrap();
    fs::hard_link(place.outside("precious"), place.inside("a")).unwrap();
    assert!(dir.hard_link((root, &name("a")), id, &name("c")).is_err());
    assert!(dir.stat(&name("c")).unwrap().is_none());
    fs::remove_file(place.inside("a")).unwrap();
    symlink(place.outside("precious"), place.inside("a")).unwrap();
    assert!(dir.hard_link((root, &name("a")), id, &name("c")).is_err());
    assert!(dir.stat(&name("c")).unwrap().is_none());
    fs::remove_file(place.inside("a")).unwrap();
    place.assert_outside_untouched();

    let link = root.symlink(&name("s"), b"anything").unwrap();
    root.hard_link((root, &name("s")), link, &name("t")).unwrap();
    assert_eq!(root.read_link(&name("t")).unwrap(), b"anything");
}

#[test]
fn paths_longer_than_the_system_takes_are_made_and_removed() {
    let place = Place::new();
    let names: Vec<Name> = (0..600).map(|i| name(format!("{i}-{}", "x".repeat(100 + i % 150)))).collect();
    let mut dir = place.root.clone();
    for n in &names {
        dir = dir.make_dir(n).unwrap();
        dir.symlink(&name("out"), place.outside("").as_os_str().as_bytes()).unwrap();
    }
    dir.create_file(&name("end")).unwrap();
    assert!(dir.path().len() > 60_000);
    let again = place.root.descend(&names).unwrap();
    assert_eq!(again.path(), dir.path());
    assert!(again.stat(&name("end")).unwrap().is_some());
    assert!(beneath::chain_by_component(place.root.fd(), &names, false).unwrap().is_some());
    place.root.remove(&names[0]).unwrap();
    assert!(place.root.list().unwrap().is_empty());
    place.assert_outside_untouched();
}

#[test]
fn a_tree_is_removed_and_what_it_points_to_is_not() {
    let place = Place::new();
    for i in 0..50 {
        fs::create_dir_all(place.inside(&format!("t/{}/{i}/sub", i % 7))).unwrap();
        fs::write(place.inside(&format!("t/{}/{i}/sub/file", i % 7)), b"x").unwrap();
        symlink(place.outside(""), place.inside(&format!("t/{}/{i}/link", i % 7))).unwrap();
    }
    fs::hard_link(place.outside("precious"), place.inside("t/precious")).unwrap();
    fs::write(place.inside("kept"), b"x").unwrap();
    place.root.remove(&name("t")).unwrap();
    assert_eq!(place.root.list().unwrap(), [name("kept")]);
    assert_eq!(place.root.remove(&name("t")).unwrap_err().source.kind(), io::ErrorKind::NotFound);
    place.assert_outside_untouched();
}

#[test]
fn names_are_bytes() {
    let place = Place::new();
    let mut names = vec![name(b"\xff\xfe\n\x1b[31m"), name([b'x'; 255]), name(b"-rf"), name("ä")];
    for n in &names {
        place.root.create_file(n).unwrap();
    }
    names.sort();
    assert_eq!(place.root.list().unwrap(), names);
    let error = place.root.create_file(&name(b"\xff\xfe\n\x1b[31m")).unwrap_err().to_string();
    assert!(error.contains("/\\xff\\xfe\\n\\x1b[31m: "), "{error}");
    for n in &names {
        place.root.remove(n).unwrap();
    }
}

#[test]
fn case_is_probed_and_leaves_nothing() {
    let place = Place::new();
    // The temporary directory of a test machine on Linux does not fold; `vault` is told otherwise by folding ones.
    assert!(!place.root.folds_case().unwrap());
    assert!(place.root.list().unwrap().is_empty());
    assert_eq!(folded(&name("README")), folded(&name("ReadMe")));
    assert_eq!(folded(&name("ÄΣ")), folded(&name("äς")));
    assert_ne!(folded(&name(b"\xffA")), folded(&name(b"\xfea")));
    assert_ne!(folded(&name("a")), folded(&name("b")));
    let temp = place.root.temp_file().unwrap();
    assert!(place.root.list().unwrap()[0].as_bytes().starts_with(b".vault-restore-"));
    place.root.discard(temp).unwrap();
}

/// By what is there already, before anything is tried out.
#[test]
fn an_entry_tells_whether_case_counts() {
    let place = Place::new();
    let root = &place.root;
    assert_eq!(root.entry_tells(), None);
    root.create_file(&name("12-34")).unwrap();
    assert_eq!(root.entry_tells(), None, "it has no letters");
    // One file with both names says nothing: where case did not count, it could not have them.
    let id = Identity::of(&root.create_file(&name("both")).unwrap()).unwrap();
    root.hard_link((root, &name("both")), id, &name("BOTH")).unwrap();
    assert_eq!(root.entry_tells(), None);
    let other = root.make_dir(&name("one")).unwrap();
    for n in ["readme", "README"] {
        other.create_file(&name(n)).unwrap();
    }
    assert_eq!(other.entry_tells(), Some(false));
    root.make_dir(&name("alone")).unwrap().create_file(&name("@[`{a")).unwrap();
    assert_eq!(root.open_dir(&name("alone")).unwrap().entry_tells(), Some(false));
}

#[test]
fn a_target_that_is_no_directory_is_an_error() {
    let place = Place::new();
    let file = place.outside("precious");
    assert!(matches!(Target::create_or_open(file.as_os_str().as_bytes()), Err(Error::Target { .. })));
    assert!(matches!(Target::open(file.as_os_str().as_bytes()), Err(Error::Target { .. })));
    assert!(matches!(Target::open(b"/nonexistent/x"), Err(Error::Target { .. })));
    assert!(Target::create_or_open(b"a\0b").is_err());
    // The user's own links are followed.
    symlink(place.outside(""), place.inside("mine")).unwrap();
    let target = Target::create_or_open(place.inside("mine").as_os_str().as_bytes()).unwrap();
    assert_eq!(target.root().list().unwrap(), [name("precious")]);
    target.sync().unwrap();
    let _: &File = &target.root().open_to_compare(&name("precious")).unwrap();
}

/// As much of a path goes to the system at once as it takes, and not a byte more.
#[test]
fn a_path_that_is_a_byte_too_long_for_one_call_takes_two() {
    let place = Place::new();
    for last in 253..=255 {
        // With the slashes between them 15 names of 255 bytes and one of 254 are as long as a path may be (4095 bytes).
        let mut names: Vec<Name> = (0..15).map(|_| name([b'x'; 255])).collect();
        names.push(name(vec![b'y'; last]));
        let mut dir = place.root.clone();
        for n in &names {
            dir = dir.make_dir(n).unwrap();
        }
        assert_eq!(place.root.descend(&names).unwrap().stat_itself().unwrap().id, dir.stat_itself().unwrap().id);
    }
}

/// What is restored into a repository, or below, would end it.
#[test]
fn what_lies_in_a_folder_is_told_whatever_way_leads_there() {
    let place = Place::new();
    fs::create_dir_all(place.inside("a/b/c")).unwrap();
    symlink(place.inside("a/b"), place.outside("precious").with_file_name("link")).unwrap();
    let id_of = |path: &str| place.root.stat(&name(path)).unwrap().unwrap().id;
    let a = id_of("a");
    let lies_in_a = |path: PathBuf| Target::lies_in(path.as_os_str().as_bytes(), a).unwrap();
    for within in ["a", "a/b", "a/b/c", "a/new", "a/b/new/er", "a/b/.."] {
        assert!(lies_in_a(place.inside(within)), "{within}");
    }
    assert!(lies_in_a(place.outside("link")) && lies_in_a(place.outside("link/c/new")));
    for beside in ["", "ab", "b/new", "a/.."] {
        assert!(!lies_in_a(place.inside(beside)), "{beside}");
    }
    assert!(!lies_in_a(place.outside("new")));
    assert!(!Target::lies_in(b"/", a).unwrap());
    // From where the user is.
    let here = Target::open(b".").unwrap().root().stat_itself().unwrap().id;
    for within in ["no-such-folder", "no/such/folder", "."] {
        assert!(Target::lies_in(within.as_bytes(), here).unwrap(), "{within}");
    }
    assert!(Target::lies_in(place.inside("a/b/c/precious/no").as_os_str().as_bytes(), a).unwrap());
    fs::write(place.inside("a/file"), b"").unwrap();
    assert!(Target::lies_in(place.inside("a/file/new").as_os_str().as_bytes(), a).is_err(), "it is no folder");
}

#[test]
fn only_what_is_empty_is_removed_as_empty() {
    let place = Place::new();
    fs::create_dir_all(place.inside("full/of")).unwrap();
    assert!(place.root.remove_empty(&name("full")).is_err());
    let full = place.root.open_dir(&name("full")).unwrap();
    full.remove_empty(&name("of")).unwrap();
    place.root.remove_empty(&name("full")).unwrap();
    assert!(!place.inside("full").exists());
}
