//! `vault mount`

use super::{
    args,
    exit::{Done, Failure, Outcome},
    human,
    screen::Screen,
    secrets,
    session::Session,
    signals::Interrupts,
};
use crate::{
    error::Error,
    keys::Role,
    monitor::Monitor,
    mount::{self as op, Catalog, Owners, Root, View},
    repo::{BlobReader, Repository},
};
use clap::ValueHint;
use rustix::{
    fs::{FileType, fstat},
    process::{getegid, geteuid},
};
use serde_json::json;
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
};

const EXAMPLES: &str = "\
Examples:
  vault mount /mnt                                       until Ctrl-C, or `umount /mnt`
  ls /mnt/servers/alpha.example.org/-/srv/wiki/latest
  vault mount --background --owner me ~/backups
  vault mount /mnt alpha.example.org/-/srv/wiki@3d:wiki/data";

/// Set for the process that goes on in the background.
const DETACHED: &str = "VAULT_MOUNT_DETACHED";
/// By which that process says, as the last but one byte, that it is mounted. The last one is what it found until then.
const READY: u8 = 0;
/// Outcomes by the byte that stands for them.
const OUTCOMES: [Outcome; 3] = [Outcome::Good, Outcome::Bad, Outcome::RolledBack];
/// Decoded pages get this part of the cache, and at most so many bytes.
const PAGES: (usize, usize) = (8, 32 << 20);
/// The same of what is opened ahead of a reader.
const AHEAD: (usize, usize) = (8, 16 << 20);
/// Opened segments below this many bytes would be opened over and over.
const CACHE_MIN: u64 = 16 << 20;

/// Show the repository, or one snapshot, as a folder
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder to mount at; it must be there
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Only this: SERIES[@VERSION][:PATH] or ID[:PATH]
    address: Option<OsString>,
    /// Whose the files are: by number as on the source, or the one's who mounts
    #[arg(long, value_enum, default_value_t = Owner::Numeric)]
    owner: Owner,
    /// Let other users in, each to what owner, mode and ACL allow (fusermount3 wants `user_allow_other` in /etc/fuse.conf); not with `--owner me`
    #[arg(long)]
    allow_other: bool,
    /// Return when it is mounted, and go on in the background
    #[arg(long, short)]
    background: bool,
    /// Memory for what was read: 256M, 1G
    #[arg(long, value_name = "SIZE", value_parser = args::size, default_value = "256M")]
    cache: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Owner {
    Numeric,
    Me,
}

/// Tells what cannot be read, and whether to stop.
struct Listener {
    screen: Arc<Screen>,
    interrupts: Arc<Interrupts>,
    has_told: AtomicBool,
}

impl Monitor for Listener {
    fn problem(&self, text: &str) {
        self.has_told.store(true, Ordering::Relaxed);
        if self.screen.json {
            self.screen.event(&json!({ "event": "problem", "message": text }));
        } else {
            self.screen.error(text);
        }
    }

    fn cancelled(&self) -> bool {
        self.interrupts.stop.load(Ordering::SeqCst)
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    if args.allow_other && args.owner == Owner::Me {
        // What a file's group and list let others read would go to other ones.
        let text =
            "--allow-other shows each user what is theirs by number, which --owner me hides: leave one of them out";
        return Err(Error::usage(text).into());
    }
    // A variable that was left behind alone makes nobody leave the terminal.
    let is_detached = args.background && std::env::var_os(DETACHED).is_some();
    if args.background && !is_detached {
        return in_background(&args, session);
    }
    // The kernel's requests come in threads that end with the process, and so does what they work with.
    let repo: &'static Repository = Box::leak(Box::new(session.open()?));
    repo.keys().expect(Role::Owner, "mount contents of files")?;
    op::expect_mountable(&args.dir)?;
    let listener = Arc::new(Listener {
        screen: session.screen.clone(),
        interrupts: session.interrupts.clone(),
        has_told: AtomicBool::default(),
    });
    let mut rollbacks = Vec::new();
    let root = match &args.address {
        Some(address) => {
            let (listed, path) = session.resolve(repo, address)?;
            Root::One(Box::new(listed), path.unwrap_or_default())
        }
        None => {
            session.accept_rollback(repo, None)?;
            rollbacks = repo.look(None, false)?;
            session.tell_rollbacks(&rollbacks);
            let rolled_back: HashSet<String> = rollbacks.iter().map(|rollback| rollback.series.clone()).collect();
            Root::All(Box::new(Catalog::new(repo, Box::new(human::version_time), rolled_back, &*listener)?))
        }
    };
    let cache = usize::try_from(args.cache.max(CACHE_MIN)).unwrap_or(usize::MAX);
    let share = |(part, most): (usize, usize)| (cache / part).min(most);
    let index = Box::leak(Box::new(session.index(repo)?));
    let reader = Box::leak(Box::new(BlobReader::with_cache(repo, index, cache - share(PAGES))));
    let owners = match args.owner {
        Owner::Numeric => Owners::Numeric,
        Owner::Me => Owners::Fixed(geteuid().as_raw(), getegid().as_raw()),
    };
    let settings = op::Settings { pages: share(PAGES), ahead: share(AHEAD) as u64, owners };
    let view = View::new(reader, root, settings, listener.clone())?;
    let cores = available_parallelism().map_or(2, |n| n.get());
    let place = op::Place {
        folder: args.dir.clone(),
        allow_other: args.allow_other,
        threads: (2 * cores).clamp(4, 16),
        ahead: cores.clamp(2, 8),
    };
    session.interrupts.patient.store(true, Ordering::SeqCst);
    let done = || {
        let result = json!({ "folder": secrets::shown(&args.dir) });
        Done::unless(listener.has_told.load(Ordering::Relaxed), result).unless_rolled_back(&rollbacks)
    };
    op::serve(view, &place, &*listener, || {
        if is_detached {
            return detach(done().outcome);
        }
        tell_mounted(&args, session);
        Ok(())
    })?;
    Ok(done())
}

fn tell_mounted(args: &Args, session: &Session) {
    let dir = secrets::shown(&args.dir);
    let end = if geteuid().is_root() { "umount" } else { "fusermount3 -u" };
    let or = if args.background { "" } else { "Ctrl-C, or " };
    let text = format!("mounted at {dir}; to end it: {or}{end} {dir}");
    if session.screen.json {
        session.screen.event(&json!({ "event": "note", "message": text }));
    } else {
        session.screen.note(&text);
    }
}

/// Runs the same command once more, which asks for the passphrase and mounts, and leaves it alone once it has.
fn in_background(args: &Args, session: &Session) -> Result<Done, Failure> {
    let failed = |source| Failure::File { doing: "start", path: "vault in the background".into(), source };
    let mut child = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(DETACHED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut said = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_end(&mut said).map_err(failed)?;
    }
    if let Some((told, outcome)) = ready(&said) {
        io::stdout().write_all(told).map_err(Failure::Output)?;
        tell_mounted(args, session);
        return Ok(Done { outcome, result: json!({ "folder": secrets::shown(&args.dir) }) });
    }
    // It has told why.
    io::stdout().write_all(&said).map_err(Failure::Output)?;
    let code = child.wait().map_err(failed)?.code();
    std::process::exit(code.unwrap_or(super::exit::CANCELLED.into()))
}

/// What the process in the background wrote before it was ready, and what it found; `None` when it never was.
fn ready(said: &[u8]) -> Option<(&[u8], Outcome)> {
    match said {
        [told @ .., READY, outcome] => OUTCOMES.get(usize::from(*outcome)).map(|outcome| (told, *outcome)),
        _ => None,
    }
}

/// Leaves the terminal, and whoever waits for the end of what is written. What is wrong is told when standard error is a file.
fn detach(outcome: Outcome) -> io::Result<()> {
    rustix::process::setsid()?;
    // Those that are not listed are not a mount's; they count as something wrong.
    let outcome = OUTCOMES.iter().position(|one| *one == outcome).unwrap_or(1);
    io::stdout().write_all(&[READY, outcome as u8])?;
    io::stdout().flush()?;
    let null = File::options().read(true).write(true).open(OsStr::new("/dev/null"))?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    if !FileType::from_raw_mode(fstat(io::stderr())?.st_mode).is_file() {
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}
