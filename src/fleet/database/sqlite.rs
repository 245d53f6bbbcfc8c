//! SQLite, by its shell.
//!
//! A copy is made inside of one read transaction and streamed from there: it takes a temporary file as long as the database, since
//! the copy's pages are not written in order. The copy keeps the pages where they are, so that the next night's differs only where
//! something changed (`VACUUM INTO` would move them), and a writer cannot make it begin again (as it does outside of a transaction).

use super::{
    Contents,
    client::Client,
    facts::{DumpFacts, SharedFacts},
};
use crate::{
    error::{Error, Result, reason},
    monitor::{Monitor, Silent},
    name::Shown,
    ops::snapshot::Open,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// How the copy is called in its folder.
const COPY: &str = "copy.db";

/// Tables that rows are counted of, as statements that count them. Virtual ones hold none of their own, and may need an extension.
const TABLES: &str = "SELECT 'SELECT json_array(' || quote(name) || ', count(*)) FROM \"' || replace(name, '\"', '\"\"') || '\";' \
    FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY 1;\n";

/// A database's copy.
pub(super) struct Dump {
    pub path: PathBuf,
    pub scratch: PathBuf,
    pub name: String,
    pub facts: SharedFacts,
}

fn shell(path: &Path) -> Client {
    Client::new("sqlite3").args(["-batch", "-bail", "-noheader", "-list"]).arg(path)
}

impl Open for Dump {
    fn command(&self) -> Vec<Vec<u8>> {
        vec![b"sqlite3".to_vec(), self.path.as_os_str().as_encoded_bytes().to_vec(), b".backup".to_vec()]
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.facts.begin(&self.name);
        let said = |error: Error| io::Error::other(error.to_string());
        if !self.path.is_file() {
            // The shell would make an empty one.
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such database"));
        }
        let folder = Folder::make(&self.scratch)?;
        // The transaction begins with the first read; what is copied after it is of the same moment.
        let script = format!(".timeout 60000\nBEGIN;\nSELECT count(*) FROM sqlite_master;\n.backup {COPY}\nCOMMIT;\n");
        shell(&self.path).folder(&folder.0).answer(script.as_bytes(), &Silent).map_err(said)?;
        let copy = folder.0.join(COPY);
        // Whether the database is sound is for the drill to tell: of a damaged one a copy is better than none.
        let rows = rows(&copy, &Silent).map_err(said)?;
        let database = self.path.to_string_lossy().into_owned();
        let facts = DumpFacts { engine: "sqlite".into(), database, rows, ..DumpFacts::default() };
        self.facts.dumped(&self.name, facts);
        Ok(Box::new(Copy { file: File::open(&copy)?, _folder: folder }))
    }
}

/// A private folder, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn make(within: &Path) -> io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = within.join(format!("vault-sqlite-{}-{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Folder(path)),
            Err(e) => {
                let shown = Shown(path.as_os_str().as_encoded_bytes());
                Err(io::Error::new(e.kind(), format!("cannot make {shown} for the copy: {}", reason(&e))))
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Copy {
    file: File,
    _folder: Folder,
}

impl Read for Copy {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.file.read(room)
    }
}

pub(super) fn load(path: &Path, contents: Contents<'_>) -> Result<()> {
    let failed = |source| Error::Target { path: Shown(path.as_os_str().as_encoded_bytes()).to_string(), source };
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    contents(&mut file)?;
    file.flush().and_then(|()| file.sync_all()).map_err(failed)
}

/// Counts, after a look at the whole file: a page that does not belong where it is makes counts worthless.
pub(super) fn count(path: &Path, monitor: &dyn Monitor) -> Result<BTreeMap<String, u64>> {
    let failed = |why: String| Error::Command { command: "sqlite3".into(), why };
    if !path.is_file() {
        return Err(failed(format!("{} is missing", Shown(path.as_os_str().as_encoded_bytes()))));
    }
    let sound = shell(path).answer(b"PRAGMA integrity_check(3);\n", monitor)?;
    if sound.trim() != "ok" {
        let first = sound.lines().next().unwrap_or("it does not answer");
        return Err(failed(format!("the database is damaged: {}", Shown(first.as_bytes()))));
    }
    rows(path, monitor)
}

fn rows(path: &Path, monitor: &dyn Monitor) -> Result<BTreeMap<String, u64>> {
    let failed = |why: String| Error::Command { command: "sqlite3".into(), why };
    let statements = shell(path).answer(TABLES.as_bytes(), monitor)?;
    let answer = shell(path).answer(statements.as_bytes(), monitor)?;
    let read = |line: &str| serde_json::from_str::<(String, u64)>(line);
    let rows: Result<_, _> = answer.lines().map(read).collect();
    rows.map_err(|e| failed(format!("its answer makes no sense: {e}")))
}
