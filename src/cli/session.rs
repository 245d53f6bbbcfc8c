//! What commands share: the repository's place, opening it, where output goes.

use super::{
    address,
    args::Global,
    exit::Failure,
    human,
    progress::Progress,
    screen::Screen,
    secrets::{self, Source},
    signals::Interrupts,
};
use crate::{
    error::{Error, Result},
    index::BlobIndex,
    keys::slot::Secret,
    name::Shown,
    ops::{
        media::{System, catalogue::place_of},
        relocate,
    },
    repo::{Listed, Repository, Rollback, Surroundings, Unlock, snapshots::Resolved},
    series::{Address, Series},
    store::{
        SharedStore,
        open::{self as stores, Place, Route},
        remote::ssh::Reach,
        retry::Sleeper,
    },
    world::{KernelEntropy, SystemClock},
};
use std::{
    ffi::OsStr,
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How often a passphrase may be mistyped.
const TRIES: usize = 3;

/// Commands that open no files, and so can do with what is known of an absent medium.
const LISTING: [&str; 8] = ["snapshots", "ls", "stats", "find", "log", "diff", "media list", "media find"];

/// One run of the program.
pub struct Session {
    /// Options that every command has.
    pub global: Global,
    /// Where lines go.
    pub screen: Arc<Screen>,
    /// Whether the user wants to stop.
    pub interrupts: Arc<Interrupts>,
    /// The command that runs.
    pub command: &'static str,
    /// Set when it was said that a medium is absent.
    pub told_absent: AtomicBool,
    /// Set when a damaged snapshot was passed over that may have been meant: no command then ends well.
    pub passed_over: AtomicBool,
    /// Media that were asked for by name: the folder of each, and its own id.
    pub media: Mutex<Vec<(PathBuf, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// The same with another repository.
    pub fn at(&self, repo: std::ffi::OsString) -> Session {
        Session {
            global: Global { repo: Some(repo), ..self.global.clone() },
            screen: self.screen.clone(),
            interrupts: self.interrupts.clone(),
            command: self.command,
            told_absent: AtomicBool::default(),
            passed_over: AtomicBool::default(),
            media: Mutex::default(),
        }
    }

    /// Where the repository is, or is to be.
    pub fn place(&self) -> Result<Place> {
        let given = match &self.global.repo {
            Some(repo) => repo.clone(),
            None => std::env::var_os("VAULT_REPO")
                .ok_or_else(|| Error::usage("which repository? Give --repo DIR, or set VAULT_REPO"))?,
        };
        self.place_at(&given)
    }

    /// A place as the user wrote it; `usb:NAME` is the medium of that name, or, while it is away and for commands that open no
    /// files, what is known of it.
    pub fn place_at(&self, given: &OsStr) -> Result<Place> {
        let Some(name) = given.to_str().and_then(|text| text.strip_prefix("usb:")) else {
            return Session::parse_place(given);
        };
        let state = self
            .state_folder()
            .ok_or_else(|| Error::usage("which media there are is not known: set HOME, or give --state-dir"))?;
        let medium = place_of(&state, &System, name)?;
        lock(&self.media).push((medium.folder.clone(), medium.id));
        match (medium.folder, medium.present) {
            (folder, true) => Ok(Place::Local(folder)),
            (folder, false) if LISTING.contains(&self.command) && folder.is_dir() => {
                if !self.told_absent.swap(true, Ordering::Relaxed) {
                    self.screen.note(&format!("medium {name} is absent: this is what was on it after its last sync"));
                }
                Ok(Place::Local(folder))
            }
            _ => Err(Error::Absent {
                what: format!(
                    "medium {name} is absent: plug it in and mount it (`vault media list` says where it is kept)"
                ),
            }),
        }
    }

    /// Opens a store that is there.
    pub fn open_store(&self, place: &Place) -> Result<SharedStore> {
        self.open_store_by(place, None, None)
    }

    /// The same, where another machine is reached in a way of its own, unless the command line says another: by this command, and with
    /// vault called this there.
    pub fn open_store_by(&self, place: &Place, ssh: Option<&str>, program: Option<&str>) -> Result<SharedStore> {
        let default = Reach::default();
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let said = self.global.ssh.clone().or_else(|| ssh.map(Into::into));
        let ssh = said.or_else(|| set("VAULT_SSH")).unwrap_or(default.ssh);
        let said = self.global.remote_vault.clone().or_else(|| program.map(Into::into));
        let program = said.unwrap_or(default.program);
        let interrupts = self.interrupts.clone();
        let stop = Arc::new(move || interrupts.stop.load(Ordering::Relaxed));
        stores::open_by(place, Route { reach: Reach { ssh, program }, stop, sleep: self.sleeper() })
    }

    /// Waits, unless the user wants to stop.
    pub fn sleeper(&self) -> Sleeper {
        let interrupts = self.interrupts.clone();
        Box::new(move |wait: Duration| {
            let until = Instant::now() + wait;
            while !interrupts.stop.load(Ordering::Relaxed)
                && let Some(left) = until.checked_duration_since(Instant::now())
            {
                std::thread::sleep(left.min(Duration::from_millis(100)));
            }
        })
    }

    /// A place as the user wrote it.
    pub fn parse_place(given: &OsStr) -> Result<Place> {
        match given.to_str() {
            Some(text) => stores::parse_place(text),
            // What is not UTF-8 can only be a path.
            None => Ok(Place::Local(PathBuf::from(given))),
        }
    }

    /// Device and inode of the folder that holds the repository, which snapshots leave out and restores do not touch; `None` for one
    /// that is not local.
    pub fn repository_identity(&self) -> Option<(u64, u64)> {
        let place = self.place().ok()?;
        std::fs::metadata(place.local().ok()?).ok().map(|folder| (folder.dev(), folder.ino()))
    }

    /// The clock, random bytes, and the folders of what is remembered.
    pub fn surroundings(&self) -> Surroundings {
        let place = self.place().ok();
        let state = place.and_then(|place| self.state_of(&place));
        Surroundings { clock: Arc::new(SystemClock), entropy: Arc::new(KernelEntropy), cache: self.cache(), state }
    }

    /// The same for a second repository. It may have the id of the first: its tables lie elsewhere, or they would drive those out.
    pub fn surroundings_of_other(&self, place: &Place, what: &str) -> Surroundings {
        let cache = self.cache().map(|cache| cache.join(what));
        Surroundings { cache, state: self.state_of(place), ..self.surroundings() }
    }

    /// What surrounds a repository at a place, whatever the command line says; `below`: a folder of its own for its tables.
    pub fn surroundings_at(&self, place: &Place, below: Option<&str>) -> Surroundings {
        let cache = self.cache().map(|cache| below.map_or(cache.clone(), |below| cache.join(below)));
        Surroundings { cache, state: self.state_of(place), ..self.surroundings() }
    }

    fn cache(&self) -> Option<PathBuf> {
        let given = self.global.cache_dir.clone();
        folder(given, "VAULT_CACHE_DIR", "XDG_CACHE_HOME", ".cache")
    }

    /// What is to be remembered and is not to be deleted.
    pub fn state_folder(&self) -> Option<PathBuf> {
        folder(self.global.state_dir.clone(), "VAULT_STATE_DIR", "XDG_STATE_HOME", ".local/state")
    }

    /// One folder a place: a replica elsewhere may lag behind. Of media that are asked for by name one each: they are mounted in one place
    /// in turn.
    pub fn state_of(&self, place: &Place) -> Option<PathBuf> {
        let folder = self.state_folder()?;
        let known_as = match place {
            Place::Local(path) => {
                let media = lock(&self.media);
                let medium = media.iter().rev().find(|(folder, _)| folder == path).map(|(_, id)| format!("usb:{id}"));
                let named =
                    || path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.clone());
                medium.map_or_else(|| named().into_os_string().into_encoded_bytes(), String::into_bytes)
            }
            Place::Ssh(place) => place.to_string().into_bytes(),
        };
        let place = blake3::hash(&known_as).to_hex();
        Some(folder.join(place.get(..16).unwrap_or(&place)))
    }

    /// When the user said so, takes what the store shows of a series, or of all, for what is to be there, and says what is missing.
    pub fn accept_rollback(&self, repo: &Repository, series: Option<&Series>) -> Result<()> {
        if !self.global.accept_rollback {
            return Ok(());
        }
        if self.state_folder().is_none() {
            return Err(Error::usage("--accept-rollback has nowhere to be remembered: give --state-dir, or set HOME"));
        }
        for rollback in repo.look(series, true)? {
            self.screen.warn(&format!("{rollback}; accepted"));
        }
        Ok(())
    }

    /// Opens the repository with what the user gave.
    pub fn open(&self) -> Result<Repository, Failure> {
        self.open_keeping_secret().map(|(repo, _)| repo)
    }

    /// Opens the repository, and tells what opened it.
    pub fn open_keeping_secret(&self) -> Result<(Repository, Unlock), Failure> {
        let store = self.open_store(&self.place()?)?;
        // Before anybody is asked for a passphrase.
        Repository::identify(&*store)?;
        self.unlock(store)
    }

    /// Opens the repository that a store is known to hold.
    pub fn unlock(&self, store: SharedStore) -> Result<(Repository, Unlock), Failure> {
        self.unlock_with(store, secrets::source(&self.global, &self.screen)?, self.surroundings())
    }

    /// The same with what `source` says, which may be a prompt.
    pub fn unlock_with(
        &self,
        store: SharedStore,
        source: Source,
        around: Surroundings,
    ) -> Result<(Repository, Unlock), Failure> {
        let place = store.place();
        let open = |unlock: &Unlock| Repository::open(store.clone(), unlock, around.clone());
        if let Source::Given(unlock) = source {
            return Ok((open(&unlock)?, unlock));
        }
        for left in (0..TRIES).rev() {
            let passphrase = secrets::prompt(&format!("passphrase for {place}: "), &self.interrupts)?;
            let unlock = Unlock::Secret(Secret::Passphrase(passphrase));
            match open(&unlock) {
                Ok(repo) => return Ok((repo, unlock)),
                Err(Error::WrongKey { .. }) if left > 0 => self.screen.say("wrong passphrase, try again"),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::WrongKey { why: "no passphrase was right; try again, or give --key-file or --recovery-file".into() }
            .into())
    }

    /// Prints what was done, for people. It counts, whether or not anybody reads of it.
    pub fn print_result(&self, print: impl FnOnce() -> io::Result<()>) {
        if self.screen.json || self.global.quiet {
            return;
        }
        match print() {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                self.screen.warn(&format!("cannot write the output: {e}"));
            }
            _ => {}
        }
    }

    /// Asks before something that cannot be undone. Where nobody can be asked, the user has to say so beforehand.
    pub fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.screen.json || !secrets::can_prompt(&self.screen) {
            return Err(Error::usage(format!("{question} Nobody can be asked here: give --yes")).into());
        }
        if secrets::ask(&format!("{question} [y/N] "))? { Ok(()) } else { Err(Failure::GaveUp) }
    }

    /// Shows an operation's progress until it is dropped.
    pub fn progress(&self) -> Progress {
        Progress::start(&self.screen, &self.interrupts)
    }

    /// The index; what of it cannot be read is told, and goes on as unknown.
    pub fn index(&self, repo: &Repository) -> Result<BlobIndex> {
        let (index, unreadable) = repo.load_index(false)?;
        for (object, error) in &unreadable {
            self.screen
                .warn(&format!("{}; what it lists cannot be found: see `vault check`", human::about(object, error)));
        }
        Ok(index)
    }

    /// The snapshot that an argument names, and the path below it.
    pub fn resolve(&self, repo: &Repository, text: &OsStr) -> Result<(Listed, Option<Vec<u8>>)> {
        self.resolve_address(repo, Address::parse(text.as_bytes())?)
    }

    fn resolve_address(&self, repo: &Repository, address: Address) -> Result<(Listed, Option<Vec<u8>>)> {
        if let Some(series) = &address.series {
            self.accept_rollback(repo, Some(series))?;
        }
        match repo.resolve(&address, &|text| address::instant(text, jiff::tz::TimeZone::system())) {
            Ok(Resolved { listed, passed_over }) => {
                for error in passed_over {
                    self.screen.warn(&format!("{error}; going on with snapshot {}", Session::name_of(&listed)));
                    self.passed_over.store(true, Ordering::Relaxed);
                }
                Ok((listed, address.path))
            }
            Err(Error::Usage { what }) => {
                if let Some(series) = &address.series
                    && let Some(now) = self.moved_to(repo, series)?
                {
                    return self.resolve_address(repo, Address { series: Some(now), ..address });
                }
                let hint = address.series.and_then(|series| address::suggestion(repo, &series));
                Err(Error::usage(format!("{what}{}", hint.unwrap_or_default())))
            }
            Err(error) => Err(error),
        }
    }

    /// Where a series is now, if it was moved, which the user is told.
    pub fn moved_to(&self, repo: &Repository, series: &Series) -> Result<Option<Series>> {
        let now = relocate::follow(repo, series)?;
        if let Some(now) = &now {
            let (old, new) = (Shown(series.as_str().as_bytes()), Shown(now.as_str().as_bytes()));
            self.screen.note(&format!("{old} was moved to {new}"));
        }
        Ok(now)
    }

    /// What series are to be under: where a whole name that was moved leads, else as it was given.
    pub fn prefix(&self, repo: &Repository, given: Option<String>) -> Result<Option<String>> {
        let Some(series) = given.as_deref().and_then(|text| Series::parse(text).ok()) else { return Ok(given) };
        Ok(self.moved_to(repo, &series)?.map(|now| now.to_string()).or(given))
    }

    /// Says which series are not what they were.
    pub fn tell_rollbacks(&self, rollbacks: &[Rollback]) {
        for rollback in rollbacks {
            self.screen.error(&Error::from(rollback.clone()).to_string());
        }
    }

    /// A snapshot as a line names it: `1a2b3c4d of alpha/-/srv/wiki, 2026-03-02 04:05:06`.
    pub fn name_of(listed: &Listed) -> String {
        let series = Shown(listed.snapshot.series.as_bytes());
        let time = human::local_time(listed.snapshot.head.time.sec);
        format!("{} of {series}, {time}", listed.id.short())
    }
}

/// The folder that was given, or else the program's own below the user's.
fn folder(given: Option<PathBuf>, own: &str, xdg: &str, below_home: &str) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // A relative one is to be ignored, says the specification of these variables.
    let of_user = || set(xdg).filter(|path| path.is_absolute()).map(|path| path.join("vault"));
    let of_home = || set("HOME").map(|home| home.join(below_home).join("vault"));
    given.or_else(|| set(own)).or_else(of_user).or_else(of_home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        global: Global,
    }

    #[test]
    fn the_repository_is_known_by_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let identity = |path: &std::path::Path| session(path).repository_identity();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(identity(dir.path()).is_some());
        assert_eq!(identity(&link), identity(dir.path()));
        assert_eq!(identity(&dir.path().join("none")), None);
    }

    #[test]
    fn what_is_remembered_of_media_is_no_matter_of_where_they_are_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Local(dir.path().to_owned());
        let state = |medium: Option<&str>| {
            let mut session = session(dir.path());
            session.global.state_dir = Some(dir.path().join("state"));
            lock(&session.media).extend(medium.map(|id| (dir.path().to_owned(), id.to_owned())));
            session.state_of(&place).unwrap()
        };
        let all = [state(None), state(Some("aa")), state(Some("bb"))];
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert_eq!(state(Some("aa")), all[1]);
    }

    fn session(path: &std::path::Path) -> Session {
        let global = Only::parse_from([OsStr::new("vault"), OsStr::new("--repo"), path.as_os_str()]).global;
        let screen = Arc::new(Screen::new(false, true));
        Session {
            global,
            screen,
            interrupts: Arc::default(),
            command: "ls",
            told_absent: AtomicBool::default(),
            passed_over: AtomicBool::default(),
            media: Mutex::default(),
        }
    }
}
