//! Sources that are not there, change or fail: recorded, and the rest is kept.

use super::*;

fn command(name: &str, words: &[&str]) -> SourceRequest {
    let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    SourceRequest { name: Name::new(name.as_bytes()).unwrap(), input: Input::Command(words) }
}

#[test]
fn missing_paths_are_recorded_and_nothing_at_all_is_an_error() {
    let dir = tree();
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut both = request(dir.path());
    both.sources.push(fixture::path("gone", Path::new("/nonexistent/path")));
    let report = snapshot(&repo, both, &Silent).unwrap();
    assert!(!report.snapshot.head.complete);
    assert_eq!(report.snapshot.problems[0].path, b"/nonexistent/path");
    assert_eq!(report.snapshot.sources.len(), 1);
    let nothing = snapshot(&repo, request(Path::new("/nonexistent/path")), &Silent);
    assert!(matches!(nothing, Err(Error::Refused { .. })));
}

#[test]
fn streams_count_only_when_their_command_succeeds() {
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut fine = request(Path::new("/"));
    fine.sources =
        vec![command("dump.sql", &["sh", "-c", "seq 1 500000"]), command("bad", &["sh", "-c", "seq 9; exit 3"])];
    let report = snapshot(&repo, fine, &Silent).unwrap();
    assert!(!report.snapshot.head.complete);
    assert_eq!(report.snapshot.sources.len(), 1);
    let want: String = (1..=500_000).map(|n| format!("{n}\n")).collect();
    assert!(contents(&repo, &report.snapshot)[&b"dump.sql"[..]] == want.as_bytes());
    assert!(report.snapshot.problems[0].what.contains("exit status: 3"), "{:?}", report.snapshot.problems);
}

#[test]
fn files_that_may_grow_are_kept_as_they_were() {
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut grown = request(Path::new("/"));
    // A file of the kernel claims to be empty, which is what growing while it is read looks like.
    let tree = TreeInput { path: b"/proc/version".to_vec(), grows: true, ..TreeInput::default() };
    grown.sources = vec![SourceRequest { name: Name::new(*b"mbox").unwrap(), input: Input::Tree(tree) }];
    let report = snapshot(&repo, grown, &Silent).unwrap();
    assert!(report.snapshot.head.complete, "{:?}", report.snapshot.problems);
}

#[test]
fn a_tree_may_leave_out_more_than_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.log", "b.tmp", "c.txt"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let path = dir.path().as_os_str().as_encoded_bytes().to_vec();
    let tree = TreeInput { path: path.clone(), exclude: vec!["*.log".into()], ..TreeInput::default() };
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut both = request(Path::new("/"));
    both.excludes.patterns = vec!["*.tmp".into()];
    both.sources = vec![
        SourceRequest { name: Name::new(*b"all").unwrap(), input: Input::Path(path.clone()) },
        SourceRequest { name: Name::new(*b"few").unwrap(), input: Input::Tree(tree) },
    ];
    let report = snapshot(&repo, both, &Silent).unwrap();
    let files = |at: usize| report.snapshot.sources[at].totals.files;
    assert_eq!((files(0), files(1)), (2, 1));
    assert_eq!(report.snapshot.sources[1].excludes, ["*.tmp", "*.log"]);
    let mut senseless = request(Path::new("/"));
    let tree = TreeInput { path, exclude: vec!["a[".into()], ..TreeInput::default() };
    senseless.sources = vec![SourceRequest { name: Name::new(*b"few").unwrap(), input: Input::Tree(tree) }];
    assert!(matches!(snapshot(&repo, senseless, &Silent), Err(Error::Usage { .. })));
}

/// Writes three lines, then ends or fails.
struct Lines(Option<&'static str>, std::sync::atomic::AtomicU64);

impl Open for Lines {
    fn command(&self) -> Vec<Vec<u8>> {
        vec![b"lines".to_vec()]
    }
    fn open(&self) -> std::io::Result<Box<dyn Read + Send>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let text = std::io::Cursor::new(b"a\nb\nc\n");
        match self.0 {
            None => Ok(Box::new(text)),
            Some(why) => Ok(Box::new(text.chain(Broken(why)))),
        }
    }
}

struct Broken(&'static str);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other(self.0))
    }
}

#[test]
fn a_stream_that_ends_with_an_error_is_not_taken() {
    let repo = repository(Arc::new(MemoryStore::default()));
    let mut both = request(Path::new("/"));
    let opened = |name: &str, why| SourceRequest {
        name: Name::new(name.as_bytes()).unwrap(),
        input: Input::Opened(Arc::new(Lines(why, Default::default()))),
    };
    both.sources = vec![opened("good", None), opened("bad", Some("the dump was cut short"))];
    let report = snapshot(&repo, both, &Silent).unwrap();
    assert!(!report.snapshot.head.complete);
    assert_eq!(report.snapshot.sources.len(), 1);
    assert_eq!(report.snapshot.problems[0].path, b"bad");
    assert!(report.snapshot.problems[0].what.contains("cut short"));
    assert_eq!(contents(&repo, &report.snapshot)[&b"good"[..]], b"a\nb\nc\n");
}

#[test]
fn files_that_grow_or_shrink_are_recorded() {
    let repo = repository(Arc::new(MemoryStore::default()));
    // Files of the kernel claim other lengths than they have, which is what a change while reading looks like.
    let mut grown = request(Path::new("/proc/version"));
    grown.sources.push(fixture::path("shrunk", Path::new("/sys/kernel/uevent_seqnum")));
    let report = snapshot(&repo, grown, &Silent).unwrap();
    assert!(!report.snapshot.head.complete);
    let said: Vec<&str> = report.snapshot.problems.iter().map(|problem| &problem.what[..]).collect();
    assert!(
        said.iter().any(|what| what.contains("grew")) && said.iter().any(|what| what.contains("shrank")),
        "{said:?}"
    );
    let shrunk = contents(&repo, &report.snapshot)[&b"shrunk"[..]].clone();
    assert!(!shrunk.is_empty() && shrunk.len() < 100);
}

#[test]
fn files_that_change_while_they_are_read_are_recorded() {
    for size in [100, 3 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, noise(size, 1)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        struct Rewrite(std::path::PathBuf);
        impl Monitor for Rewrite {
            fn add(&self, counter: Counter, _: u64) {
                if counter == Counter::Read {
                    fs::OpenOptions::new().write(true).open(&self.0).unwrap().write_all_at(b"x", 50).unwrap();
                }
            }
        }
        let repo = repository(Arc::new(MemoryStore::default()));
        let report = snapshot(&repo, request(dir.path()), &Rewrite(file)).unwrap();
        assert!(!report.snapshot.head.complete);
        assert!(
            report.snapshot.problems[0].what.contains("changed while it was read"),
            "{:?}",
            report.snapshot.problems
        );
        assert_eq!(report.snapshot.totals.files, 1);
    }
}

#[test]
fn files_that_turn_into_something_else_are_recorded_and_those_that_vanish_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["gone", "kept", "pipe"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    struct Meddle(std::path::PathBuf, AtomicU64);
    impl Monitor for Meddle {
        fn add(&self, counter: Counter, n: u64) {
            // After the walk has seen them all and before any is read: a run of files is handed on at its end.
            if counter == Counter::Entries && self.1.fetch_add(n, Ordering::Relaxed) == 3 {
                fs::remove_file(self.0.join("gone")).unwrap();
                fs::remove_file(self.0.join("pipe")).unwrap();
                let made = std::process::Command::new("mkfifo").arg(self.0.join("pipe")).status().unwrap();
                assert!(made.success());
            }
        }
    }
    let repo = repository(Arc::new(MemoryStore::default()));
    let monitor = Meddle(dir.path().to_owned(), AtomicU64::new(0));
    let report = snapshot(&repo, request(dir.path()), &monitor).unwrap();
    assert!(!report.snapshot.head.complete);
    assert_eq!((report.snapshot.problem_count, report.files_gone), (1, 1), "{:?}", report.snapshot.problems);
    assert_eq!(contents(&repo, &report.snapshot).into_keys().collect::<Vec<_>>(), [b"kept"]);
}

/// Calls its function once, when the first entry is dealt with.
struct After<F>(std::sync::Mutex<Option<F>>);

impl<F: FnOnce() + Send> Monitor for After<F> {
    fn add(&self, counter: Counter, _: u64) {
        if counter == Counter::Entries
            && let Some(act) = self.0.lock().unwrap().take()
        {
            act();
        }
    }
}

#[test]
fn what_vanishes_where_files_are_moved_is_a_problem_unless_it_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let repo = repository(Arc::new(MemoryStore::default()));
    for (exclude, problems) in [("*.log", 1), ("*.tmp", 0)] {
        for name in ["a", "b.tmp"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let gone = dir.path().join("b.tmp");
        let act = move || fs::remove_file(gone).unwrap();
        let tree = TreeInput {
            path: dir.path().as_os_str().as_encoded_bytes().to_vec(),
            exclude: vec![exclude.to_owned()],
            moves: true,
            ..TreeInput::default()
        };
        let sources = vec![SourceRequest { name: Name::new(*b"data").unwrap(), input: Input::Tree(tree) }];
        let monitor = After(Some(act).into());
        let report = snapshot(&repo, fixture::request("h/-/moves", sources), &monitor).unwrap();
        assert_eq!((report.snapshot.problem_count, report.files_gone), (problems, 0), "{:?}", report.snapshot.problems);
    }
}

#[test]
fn a_source_that_vanishes_is_a_problem_and_what_vanishes_below_it_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let make = || {
        for n in 0..3000 {
            fs::create_dir_all(root.join(format!("{:02}", n % 40))).unwrap();
            fs::write(root.join(format!("{:02}/{n}", n % 40)), noise(50, n)).unwrap();
        }
        fs::write(root.join("last"), "x").unwrap();
    };
    make();
    let repo = repository(Arc::new(MemoryStore::default()));
    let below = root.clone();
    let act = move || {
        for n in 1..40 {
            for file in fs::read_dir(below.join(format!("{n:02}"))).unwrap() {
                fs::remove_file(file.unwrap().path()).unwrap();
            }
        }
    };
    let report = snapshot(&repo, request(&root), &After(Some(act).into())).unwrap();
    assert!(report.snapshot.head.complete, "{:?}", report.snapshot.problems);
    // A whole tree that vanishes may have got another name.
    make();
    let below = root.clone();
    let act =
        move || (1..40).for_each(|n| fs::rename(below.join(format!("{n:02}")), below.join(format!("0-{n}"))).unwrap());
    let report = snapshot(&repo, request(&root), &After(Some(act).into())).unwrap();
    assert!(!report.snapshot.head.complete);
    fs::remove_dir_all(&root).unwrap();
    make();
    let all = root.clone();
    let act = move || fs::remove_dir_all(&all).unwrap();
    let report = snapshot(&repo, request(&root), &After(Some(act).into())).unwrap();
    assert!(!report.snapshot.head.complete);
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let gone = file.clone();
    let act = move || fs::remove_file(&gone).unwrap();
    let both = crate::ops::snapshot::Request {
        sources: vec![fixture::path("kept", dir.path()), fixture::path("file", &file)],
        ..request(dir.path())
    };
    let report = snapshot(&repo, both, &After(Some(act).into())).unwrap();
    assert!(!report.snapshot.head.complete);
}
