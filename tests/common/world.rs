//! The program itself, run in a folder of its own.

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_vault");

/// A folder for one test, with a repository in `repo` once it is made, and an environment of its own.
pub struct World(tempfile::TempDir);

/// What a run came to.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The last line, which must be JSON like all others.
    pub fn result(&self) -> Value {
        let lines: Vec<Value> =
            self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        let last = lines.last().unwrap_or_else(|| panic!("no output; {}", self.err)).clone();
        assert_eq!(last["event"], "result", "{last}");
        assert_eq!(last["exit_code"], self.code, "{last}");
        last
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "\"{text}\" is not in: {}", self.err);
        self
    }
}

impl World {
    /// An empty folder.
    pub fn new() -> Self {
        World(tempfile::tempdir().unwrap())
    }

    /// With a repository whose passphrase is `right`.
    pub fn with_repository() -> Self {
        let world = World::new();
        world.run(&["init", "--kdf", "low"]).expect(0);
        world
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    /// Gives a command the environment of this folder and nothing else.
    pub fn surround(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("VAULT_CACHE_DIR", self.path("cache"))
            .env("VAULT_STATE_DIR", self.path("state"))
            .env("VAULT_REPO", self.repo())
            .env("VAULT_PASSWORD", "right")
            .current_dir(self.folder())
            .stdin(Stdio::null());
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        self.surround(command.args(args));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, |_| {})
    }

    pub fn run_with(&self, args: &[&str], change: impl FnOnce(&mut Command)) -> Ran {
        let mut command = self.command(args);
        change(&mut command);
        let Output { status, stdout, stderr } = command.output().unwrap();
        Ran {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// A file in this world.
    pub fn file(&self, name: &str, contents: &str, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Objects in a folder of the repository and below; all for an empty name.
    pub fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let (mut files, mut stack) = (Vec::new(), vec![self.repo().join(folder)]);
        while let Some(dir) = stack.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { stack.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }
}
