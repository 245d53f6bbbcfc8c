//! A mount from its beginning to its end.

use super::{
    fuse::{Fuse, Stretch},
    view::View,
};
use crate::{
    error::{Error, Result, reason},
    monitor::Monitor,
    name::Shown,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use fuser::{Config, INodeNo, MountOption, Notifier, Session, SessionACL, SessionUnmounter};
use rustix::{fs::FileType, io::Errno};
use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

/// How soon a wish to stop is seen.
const TICK: Duration = Duration::from_millis(100);
/// How long requests that are under way are waited for when the mount is gone.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Stretches that wait to be opened ahead of their readers.
const AHEAD_MAX: usize = 64;
/// `f_type` of FUSE file systems.
const FUSE_MAGIC: u64 = 0x6573_5546;

/// Where, and for whom.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// Users other than the one who mounts may enter; what each may read there is what its owner, mode and access control lists say.
    pub allow_other: bool,
    /// Threads that answer the kernel.
    pub threads: usize,
    /// Threads that open files ahead of their readers.
    pub ahead: usize,
}

/// Fails when nothing can be mounted at a folder, and says what to do.
pub fn expect_mountable(folder: &Path) -> Result<()> {
    let shown = Shown(folder.as_os_str().as_bytes());
    // Not `stat`, which the kernel answers by itself for a while.
    let found = match rustix::fs::statfs(folder) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Err(Error::usage(format!("there is no {shown}: make it first, with mkdir"))),
        Err(Errno::NOTCONN | Errno::CONNABORTED) => {
            return Err(Error::refused(format!(
                "{shown} is what a mount left whose program died: clear it with `fusermount3 -uz {shown}` (as root: `umount -l {shown}`)"
            )));
        }
        Err(e) => return Err(Error::Target { path: shown.to_string(), source: e.into() }),
    };
    let is_dir = rustix::fs::stat(folder).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
    if !is_dir {
        return Err(Error::usage(format!("{shown} is no folder: mount at one")));
    }
    let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev);
    if found.f_type as u64 == FUSE_MAGIC && device(folder).ok() != device(&folder.join("..")).ok() {
        return Err(Error::refused(format!(
            "something is mounted at {shown} already: `fusermount3 -u {shown}` (as root: `umount {shown}`) ends it"
        )));
    }
    Ok(())
}

/// Mounts, calls `ready`, and answers the kernel until somebody unmounts, or asks to stop: then it unmounts, at once and whoever is
/// still there. The view stays with threads that may be stuck in a store which does not answer.
pub fn serve(
    view: View<'static>,
    place: &Place,
    monitor: &dyn Monitor,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<()> {
    let failed = |source| cannot_mount(&place.folder, source);
    expect_mountable(&place.folder)?;
    let view = Arc::new(view);
    let (ahead, stretches) = bounded(AHEAD_MAX);
    let (full, overflows) = bounded(1);
    let fuse = Fuse {
        view: view.clone(),
        ahead,
        full,
        enforce: place.allow_other,
        listings: Default::default(),
        opened: Default::default(),
    };
    for _ in 0..place.ahead.max(1) {
        let (view, stretches): (_, Receiver<Stretch>) = (view.clone(), stretches.clone());
        // They end when the last sender is gone, which the file system holds.
        spawn("mount-ahead", move || stretches.iter().for_each(|(number, stretch)| view.open_ahead(number, stretch)))
            .map_err(failed)?;
    }
    let mut session = Session::new(fuse, &place.folder, &options(place)).map_err(failed)?;
    let notifier = session.notifier();
    let mut unmounter = session.unmount_callable();
    spawn("mount-trim", move || overflows.iter().for_each(|()| trim(&view, &notifier))).map_err(failed)?;
    let (end, ended) = bounded(1);
    spawn("mount", move || {
        // Nobody listens any more when the program is about to end.
        let _ = end.send(session.run());
    })
    .map_err(failed)?;
    if let Err(source) = ready() {
        // Nobody else would end it, and a folder that hangs is what would be left.
        return Err(failed(match unmount(&mut unmounter, &place.folder) {
            Ok(_) => source,
            Err(e) => io::Error::other(format!("{source}; and what was mounted could not be unmounted: {e}")),
        }));
    }
    loop {
        match ended.recv_timeout(TICK) {
            Ok(done) => return done.map_err(failed),
            Err(RecvTimeoutError::Disconnected) => return Err(failed(io::Error::other("its thread died"))),
            Err(RecvTimeoutError::Timeout) if monitor.cancelled() => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    if unmount(&mut unmounter, &place.folder).map_err(failed)? {
        // The rest ends by itself, unless the store does not answer.
        let _ = ended.recv_timeout(LAST_WORDS);
    }
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(work).map(drop)
}

fn options(place: &Place) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("vault".into()),
        MountOption::Subtype("vault".into()),
        MountOption::RO,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoAtime,
    ];
    if place.allow_other {
        config.acl = SessionACL::All;
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    config.n_threads = Some(place.threads.max(1));
    config
}

fn cannot_mount(folder: &Path, source: io::Error) -> Error {
    let shown = Shown(folder.as_os_str().as_bytes());
    let why = match source.kind() {
        io::ErrorKind::NotFound => "neither /dev/fuse nor fusermount3 may be missing: install fuse3".into(),
        _ => Shown(reason(&source).trim_end().as_bytes()).to_string(),
    };
    Error::refused(format!("cannot mount at {shown}: {why}"))
}

/// Ends the mount. When it is in use its name goes at once, and `false` is returned: who still has a file open gets errors once this
/// process is gone.
fn unmount(unmounter: &mut SessionUnmounter, folder: &Path) -> io::Result<bool> {
    match unmounter.unmount() {
        Err(e) if Errno::from_io_error(&e) == Some(Errno::BUSY) => {
            rustix::mount::unmount(folder, rustix::mount::UnmountFlags::DETACH)?;
            Ok(false)
        }
        done => done.map(|()| true),
    }
}

/// Tells the kernel to let go of entries that nobody uses.
fn trim(view: &View<'_>, notifier: &Notifier) {
    for (_, what) in view.table().surplus() {
        if let Some((_, name)) = what.place()
            && notifier.inval_entry(INodeNo(view.parent_number(&what)), OsStr::from_bytes(name)).is_err()
        {
            break;
        }
    }
    view.table().settle();
}
