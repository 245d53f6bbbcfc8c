//! Servers that are started to load a dump into and thrown away: in a folder of their own, reached by a socket only, run by a user that
//! is not root (the servers refuse root), and ended with us, however we end.

mod mysql;
mod postgresql;

use super::{Server, client};
use crate::{
    error::{Error, Result, reason},
    monitor::Monitor,
    name::Shown,
};
use std::{
    fs,
    io::Read,
    os::unix::{
        fs::{DirBuilderExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// How often a server is asked whether it is there, and how long to wait between.
const TRIES: u32 = 1200;
const PAUSE: Duration = Duration::from_millis(50);
/// A socket's path may not be longer than some 107 bytes; the server puts its own name at the end.
const SOCKET_MAX: usize = 80;

/// Runs scratch servers when we are root. A dump may hold anything that its server obeys, so it is not the user who owns the machine's
/// own databases.
const NOBODY: &str = "nobody";

/// Waits for its input to end, which it does when whoever holds it ends, and takes the server and its folder away. `$0` is the
/// folder, `$1` the signal that ends the server at once.
const KEEPER: &str = r#"
signal=$1; shift
"$@" < /dev/null > "$0/log" 2>&1 & server=$!
read -r _
kill -"$signal" "$server" 2> /dev/null
wait "$server"
rm -rf "$0"
"#;

/// A server that is thrown away when this is dropped.
pub struct Scratch {
    server: Server,
    folder: PathBuf,
    keeper: Child,
    /// Ends the keeper when it is dropped.
    line: Option<ChildStdin>,
}

/// A folder for a server, and who is to run it.
struct Place {
    folder: PathBuf,
    ids: Option<(u32, u32)>,
}

impl Scratch {
    /// Starts a server of this kind (as [`super::Engine::word`] has it) in a folder of its own below `within`.
    pub fn start(engine: &str, within: &Path, monitor: &dyn Monitor) -> Result<Scratch> {
        match engine {
            "postgresql" | "postgresql-roles" => postgresql::start(within, monitor),
            "mysql" | "mysql-roles" => mysql::start(within, monitor),
            _ => Err(Error::usage(format!("there are no servers of kind \"{}\"", Shown(engine.as_bytes())))),
        }
    }

    /// How it is reached; the database is to be filled in.
    pub fn server(&self, database: &str) -> Server {
        Server { database: database.to_owned(), ..self.server.clone() }
    }

    /// Starts `command` (program, arguments), and waits until `answers` says that it is there.
    fn run(
        place: Place,
        signal: &str,
        command: Vec<std::ffi::OsString>,
        server: Server,
        monitor: &dyn Monitor,
        answers: impl Fn(&Server) -> Result<bool>,
    ) -> Result<Scratch> {
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(KEEPER).arg(&place.folder).arg(signal).args(&command);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        keeper.current_dir("/").process_group(0).env("HOME", &place.folder).env("TMPDIR", &place.folder);
        for secret in ["VAULT_PASSWORD", "VAULT_NEW_PASSWORD"] {
            keeper.env_remove(secret);
        }
        if let Some((user, group)) = place.ids {
            keeper.uid(user).gid(group);
        }
        let program = command.first().map(|word| Shown(word.as_encoded_bytes()).to_string()).unwrap_or_default();
        let failed = |why: String| Error::Command { command: program.clone(), why };
        let mut keeper = keeper.spawn().map_err(|e| {
            let _ = fs::remove_dir_all(&place.folder);
            failed(format!("cannot be started: {}", reason(&e)))
        })?;
        let line = keeper.stdin.take();
        let scratch = Scratch { server, folder: place.folder, keeper, line };
        for _ in 0..TRIES {
            monitor.check()?;
            if answers(&scratch.server)? {
                return Ok(scratch);
            }
            if scratch.has_ended() {
                return Err(failed(format!("the scratch server ended: {}", scratch.log())));
            }
            thread::sleep(PAUSE);
        }
        Err(failed(format!("the scratch server does not answer: {}", scratch.log())))
    }

    /// True once the server that the keeper keeps has gone.
    fn has_ended(&self) -> bool {
        // The keeper has the server as its only child, and asks what became of it in the end only.
        let id = self.keeper.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let stat = |child: &str| fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let is_dead =
            |child: &str| stat(child).rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
        children.split_whitespace().any(is_dead)
    }

    /// The last of what it said. Safe to print.
    fn log(&self) -> String {
        let text = fs::read(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
        last.iter().map(|line| Shown(line).to_string()).collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.line = None;
        let _ = self.keeper.wait();
        // What another user could not remove.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Makes a folder for a server below `within`, owned by whoever is to run it.
fn place(within: &Path, name: &str) -> Result<Place> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = within.join(format!("vault-{name}-{}-{number}", std::process::id()));
    let shown = Shown(folder.as_os_str().as_encoded_bytes()).to_string();
    if folder.as_os_str().len() > SOCKET_MAX {
        return Err(Error::usage(format!(
            "{shown} is too long for a server's socket: choose a shorter scratch folder"
        )));
    }
    let ids = match rustix::process::geteuid().is_root() {
        false => None,
        true => Some(client::user_of_system(NOBODY)?),
    };
    let failed = |source| Error::Target { path: shown.clone(), source };
    fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
    if let Some((user, group)) = ids
        && let Err(source) = chown(&folder, Some(user), Some(group))
    {
        let _ = fs::remove_dir_all(&folder);
        return Err(failed(source));
    }
    Ok(Place { folder, ids })
}

impl Place {
    /// Runs what prepares the folder; it is removed when that fails.
    fn prepare(&self, client: client::Client, monitor: &dyn Monitor) -> Result<()> {
        let client =
            client.run_as_ids(self.ids).folder(&self.folder).env("HOME", &self.folder).env("TMPDIR", &self.folder);
        let done = client.answer(b"", monitor).map(|_| ());
        if done.is_err() {
            let _ = fs::remove_dir_all(&self.folder);
        }
        done
    }
}

/// The first of these programs that is there.
fn program(candidates: &[PathBuf], what: &str) -> Result<PathBuf> {
    candidates
        .iter()
        .find(|path| fs::File::open(path).is_ok_and(|mut file| file.read(&mut [0]).is_ok()))
        .cloned()
        .ok_or_else(|| Error::refused(format!("{what} is not installed here: dumps cannot be tried without a server")))
}
