//! A repository, a configuration, and a scratch place; all of it is gone when the test is over.

use std::{
    fs,
    io::{Cursor, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use vault::{
    fleet::{
        app::App,
        config::{self, read, read::From},
        database::{Server, scratch::Scratch},
        drill,
        recipe::{Plan, Recipes},
        recovery,
    },
    keys::slot::{Costs, Secret},
    model::config::Config,
    monitor::{Recording, Silent},
    name::Name,
    ops::{
        dump,
        restore::Owners,
        snapshot::{Input, Request, SourceRequest, snapshot},
    },
    repo::{BlobReader, Listed, Repository, Surroundings},
    seal::SealKey,
    series::{Address, Series, Version},
    store::memory::MemoryStore,
    world::{KernelEntropy, SystemClock},
};

pub struct World {
    pub dir: tempfile::TempDir,
    pub repo: Repository,
    pub recipes: Recipes,
}

impl World {
    pub fn new() -> World {
        World::with(|_, around| {
            let secret = Secret::KeyFile(SealKey::new([7; 32]));
            let store = Arc::new(MemoryStore::new());
            Repository::init(store, &secret, Costs::LOW, "test", Config::default(), around).unwrap()
        })
    }

    /// With a repository in the folder `repo`, whose passphrase is `right`.
    pub fn on_disk() -> World {
        World::with(|dir, around| {
            let place = vault::store::open::parse_place(dir.join("repo").to_str().unwrap()).unwrap();
            let store = vault::store::open::create(&place).unwrap();
            let secret = Secret::Passphrase(b"right".to_vec().into());
            Repository::init(store, &secret, Costs::LOW, "test", Config::default(), around).unwrap()
        })
    }

    fn with(make: impl FnOnce(&Path, Surroundings) -> Repository) -> World {
        // Servers run as users of their own: they have to get in.
        let dir = tempfile::Builder::new().prefix("vr").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("scratch")).unwrap();
        let around =
            Surroundings { clock: Arc::new(SystemClock), entropy: Arc::new(KernelEntropy), cache: None, state: None };
        let repo = make(dir.path(), around);
        World { dir, repo, recipes: Recipes::builtin() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder, made with those above it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn scratch(&self) -> PathBuf {
        self.path("scratch")
    }

    pub fn server(&self, engine: &str) -> Scratch {
        Scratch::start(engine, self.dir.path(), &Silent).unwrap()
    }

    /// An application with these lines in its table: not more than five, as a user would write them.
    pub fn app(&self, lines: &str) -> App {
        self.fleet(lines).services[0].app.clone()
    }

    /// The configuration that has it.
    pub fn fleet(&self, lines: &str) -> config::Fleet {
        assert!(lines.trim().lines().count() <= 5, "{lines}");
        let text = format!("[repositories.local]\npath = \"/srv/vault\"\n[servers.alpha.apps.it]\n{lines}\n");
        config::of_table(read::parse(&text, &From::Snapshot).unwrap(), &self.recipes).unwrap()
    }

    pub fn plan(&self, app: &App) -> Plan {
        self.recipes.find(&app.recipe).unwrap().plan(app).unwrap()
    }

    pub fn refused(&self, app: &App) -> String {
        self.recipes.find(&app.recipe).unwrap().plan(app).unwrap_err().to_string()
    }

    /// The sources of an application.
    pub fn sources(&self, app: &App) -> Vec<SourceRequest> {
        self.plan(app).sources(&app.exclude, &self.scratch()).unwrap()
    }

    /// A snapshot of an application, which must be complete.
    pub fn snapshot(&self, app: &App) -> Listed {
        let listed = self.take(app, self.sources(app));
        assert!(listed.snapshot.head.complete, "{:?}", listed.snapshot.problems);
        listed
    }

    /// A snapshot of these sources.
    pub fn take(&self, app: &App, sources: Vec<SourceRequest>) -> Listed {
        let request = Request { threads: 2, ..Request::new(app.series.clone(), sources, "alpha", "root") };
        snapshot(&self.repo, request, &Silent).unwrap();
        self.newest(&app.series)
    }

    fn newest(&self, series: &Series) -> Listed {
        let address = Address { series: Some(series.clone()), version: Version::Latest, path: None };
        self.repo.resolve(&address, &|_| unreachable!()).unwrap().listed
    }

    /// What a source of a snapshot holds.
    pub fn bytes(&self, listed: &Listed, source: &str) -> Vec<u8> {
        let (index, _) = self.repo.load_index(true).unwrap();
        let mut out = Vec::new();
        dump::dump(&BlobReader::new(&self.repo, &index), listed, Some(source.as_bytes()), &mut out, &Silent).unwrap();
        out
    }

    /// The snapshot with another content of one source: what damages it without anybody having noticed.
    pub fn damaged(&self, app: &App, good: &Listed, source: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Listed {
        let changed = change(self.bytes(good, source));
        let streams = good.snapshot.sources.iter().map(|it| it.root.name.to_string());
        let mut sources = Vec::new();
        for name in streams {
            let bytes = if name == source { changed.clone() } else { self.bytes(good, &name) };
            let input = Input::Stream(Box::new(Cursor::new(bytes)));
            sources.push(SourceRequest { name: Name::new(name.as_bytes()).unwrap(), input });
        }
        self.take(app, sources)
    }

    /// A drill.
    pub fn drill(&self, app: &App, listed: &Listed) -> drill::Report {
        self.drill_within(app, listed, None, None)
    }

    pub fn drill_within(&self, app: &App, listed: &Listed, rto: Option<u64>, rpo: Option<u64>) -> drill::Report {
        let (index, _) = self.repo.load_index(true).unwrap();
        let reader = BlobReader::new(&self.repo, &index);
        let recipe = self.recipes.find(&app.recipe).unwrap();
        let scratch = self.scratch();
        let request = drill::Request { scratch: &scratch, rto, rpo };
        let report =
            drill::drill(&reader, listed, app, &*recipe, request, &SystemClock, &Recording::default()).unwrap();
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "the scratch place is not empty");
        report
    }

    /// A drill that passes.
    #[track_caller]
    pub fn passes(&self, app: &App, listed: &Listed) -> drill::Report {
        let report = self.drill(app, listed);
        assert!(report.passed(), "{:?}", report.wrong);
        assert!(!report.findings.is_empty());
        report
    }

    /// A drill that fails, and says this.
    #[track_caller]
    pub fn fails(&self, app: &App, listed: &Listed, why: &str) {
        let report = self.drill(app, listed);
        assert!(
            report.wrong.iter().any(|line| line.contains(why)),
            "no \"{why}\" in {:?}; {:?}",
            report.wrong,
            report.findings
        );
    }

    /// Brings an application back.
    pub fn restore(&self, app: &App, listed: &Listed, to: &str, server: Option<(&str, Server)>) -> recovery::Report {
        let (index, _) = self.repo.load_index(true).unwrap();
        let reader = BlobReader::new(&self.repo, &index);
        let recipe = self.recipes.find(&app.recipe).unwrap();
        let mut servers: Vec<(String, Server)> = server.into_iter().map(|(kind, it)| (kind.into(), it)).collect();
        let target = self.path(to);
        let request = recovery::Request {
            target: &target,
            databases: &mut servers,
            owners: Owners::Numeric,
            verify: true,
            prove: true,
            protect: None,
        };
        let report = recovery::restore_app(&reader, listed, app, &*recipe, request, &Silent).unwrap();
        assert_eq!(report.wrong(), Vec::<String>::new());
        report
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder).stdin(Stdio::null());
    for (name, value) in [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "A"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_NAME", "A"),
        ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ("CVSREAD", ""),
    ] {
        command.env(name, value);
    }
    let output = command.output().unwrap_or_else(|e| panic!("{}: {e}", words[0]));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program with input.
#[track_caller]
pub fn feed(words: &[&str], input: &str) -> String {
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success(), "{words:?}");
    let _ = writer.join();
    out
}

/// Does something again and again until it is dropped; and counts.
pub struct Load {
    stop: Arc<AtomicBool>,
    pub done: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Load {
    /// Begins; returns when it has been done a few times.
    pub fn new(mut one: impl FnMut(u64) + Send + 'static) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), done.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                one(count.fetch_add(1, Ordering::Relaxed));
            }
        });
        while done.load(Ordering::Relaxed) < 3 && !thread.is_finished() {
            thread::sleep(Duration::from_millis(2));
        }
        Load { stop, done, thread: Some(thread) }
    }

    /// Ends it, once it was done again since it began; whatever went wrong in it goes wrong here.
    pub fn end(mut self) -> u64 {
        // On a busy machine it may have had no turn meanwhile.
        while self.done.load(Ordering::Relaxed) < 5 && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
        {
            thread::sleep(Duration::from_millis(2));
        }
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
