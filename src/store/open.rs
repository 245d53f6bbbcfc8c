//! From what a user calls a place to a store.

use super::{
    SharedStore,
    local::LocalStore,
    remote::{
        self, Stop,
        ssh::{Reach, SCHEME, SshPlace},
    },
    retry::Sleeper,
};
use crate::{
    error::{Error, Result},
    name::Shown,
};
use std::{
    fmt,
    io::ErrorKind,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a folder.
    Local(PathBuf),
    /// On another machine, where vault runs: only to be read.
    Ssh(SshPlace),
}

impl Place {
    /// The folder of a place on this machine; an error that says so for another.
    pub fn local(&self) -> Result<&Path> {
        match self {
            Place::Local(path) => Ok(path),
            Place::Ssh(place) => {
                Err(Error::usage(format!("{place} is only read from here: run vault there to change it")))
            }
        }
    }
}

/// How other machines are reached.
pub struct Route {
    /// By which command.
    pub reach: Reach,
    /// Whether the user wants to stop.
    pub stop: Stop,
    /// How to wait before a broken link is made anew.
    pub sleep: Sleeper,
}

impl Default for Route {
    fn default() -> Self {
        Route { reach: Reach::default(), stop: Arc::new(|| false), sleep: Box::new(std::thread::sleep) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Local(path) => Shown(path.as_os_str().as_bytes()).fmt(f),
            Place::Ssh(place) => place.fmt(f),
        }
    }
}

/// Kinds of places that have a name of their own but no store as yet.
const PLANNED: [(&str, &str); 6] = [
    ("sftp:", "SFTP"),
    ("s3:", "S3"),
    ("https:", "HTTP"),
    ("http:", "HTTP"),
    ("rest:", "HTTP"),
    ("usb:", "USB media by label"),
];

/// Reads a place as users write it: a path, or `kind:…` for other kinds of stores. A path that looks like one of those
/// is written with `./` in front.
pub fn parse_place(text: &str) -> Result<Place> {
    let shown = Shown(text.as_bytes());
    if text.is_empty() {
        return Err(Error::usage("the place of the repository is empty; give a folder"));
    }
    if let Some(rest) = text.strip_prefix(SCHEME) {
        return SshPlace::parse(rest).map(Place::Ssh);
    }
    if let Some((_, kind)) = PLANNED.iter().find(|(start, _)| text.starts_with(start)) {
        return Err(Error::usage(format_args!(
            "{shown}: stores of this kind ({kind}) are not built yet; give a folder, such as a mounted file system \
             (a folder of that very name: ./{shown})"
        )));
    }
    if let Some((kind, _)) = text.split_once("://")
        && !kind.is_empty()
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'))
    {
        return Err(Error::usage(format_args!("{shown}: no such kind of store as {kind}; give a folder")));
    }
    if text.contains('\0') {
        return Err(Error::usage(format_args!("{shown} is not a path")));
    }
    Ok(Place::Local(text.into()))
}

/// Opens a store that is there; other machines are reached in the usual way.
pub fn open(place: &Place) -> Result<SharedStore> {
    open_by(place, Route::default())
}

/// Opens a store that is there.
pub fn open_by(place: &Place, route: Route) -> Result<SharedStore> {
    let path = match place {
        Place::Local(path) => path,
        Place::Ssh(place) => {
            return Ok(Arc::new(place.open(route.reach, route.stop)?.patient(remote::PATIENCE, route.sleep)));
        }
    };
    match LocalStore::open(path) {
        Ok(store) => Ok(Arc::new(store)),
        Err(e) => Err(not_there(path, e)),
    }
}

/// Opens a store that is there, or makes one where it may be made, for who puts many objects and looks at none of them before the
/// next sync ([`LocalStore::gathering`]).
pub fn gathering(place: &Place, create: bool) -> Result<SharedStore> {
    let path = place.local()?;
    let store = if create { LocalStore::create(path) } else { LocalStore::open(path).map_err(|e| not_there(path, e)) };
    Ok(Arc::new(store?.gathering()))
}

/// Opens a store that is there, only to read what is left of it: nothing is cleaned up.
pub fn open_untouched(place: &Place) -> Result<SharedStore> {
    let path = place.local()?;
    match LocalStore::open_untouched(path) {
        Ok(store) => Ok(Arc::new(store)),
        Err(e) => Err(not_there(path, e)),
    }
}

/// Opens a store, which is made where it is missing.
pub fn create(place: &Place) -> Result<SharedStore> {
    Ok(Arc::new(LocalStore::create(place.local()?)?))
}

// Tells apart that there is no repository from a store that fails.
fn not_there(path: &Path, e: Error) -> Error {
    let kind = match &e {
        Error::Store { source, .. } => source.kind(),
        _ => return e,
    };
    let why = match kind {
        ErrorKind::NotFound => match path.ancestors().skip(1).find(|above| above.exists()) {
            Some(above) if !above.as_os_str().is_empty() => format!(
                "there is no such folder, only {}; is the medium mounted? `vault init` makes a repository",
                Shown(above.as_os_str().as_bytes())
            ),
            _ => "there is no such folder; check the path, or make a repository with `vault init`".into(),
        },
        ErrorKind::NotADirectory => "it is not a folder; give the folder that holds the repository".into(),
        _ => return e,
    };
    Error::NoRepository { place: Shown(path.as_os_str().as_bytes()).to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_folders_of_this_machine() {
        for path in ["/srv/backup", "backup", "./usb:BLUE", "../a b", "c:/x", "a:b", "/x/s3:y", "ü", "://"] {
            assert_eq!(parse_place(path).unwrap(), Place::Local(path.into()));
        }
    }

    #[test]
    fn kinds_that_are_not_built_are_said_to_be_so() {
        for place in ["sftp://h/p", "sftp:u@h:/p", "s3://bucket", "https://h/", "http://h", "usb:BLUE", "rest:x"] {
            let e = parse_place(place).unwrap_err();
            assert!(matches!(&e, Error::Usage { what } if what.contains("not built") && what.contains(place)), "{e}");
        }
        for place in ["ftp://h/p", "b2://x", "", "a\0b"] {
            assert!(matches!(parse_place(place), Err(Error::Usage { .. })), "{place}");
        }
    }

    #[test]
    fn messages_do_not_steer_a_terminal() {
        let e = parse_place("usb:\u{1b}[31m").unwrap_err().to_string();
        assert!(!e.contains('\u{1b}'), "{e:?}");
    }

    #[test]
    fn a_place_without_a_folder_has_no_repository() {
        let dir = tempfile::tempdir().unwrap();
        let (file, absent) = (dir.path().join("file"), dir.path().join("no/such"));
        std::fs::write(&file, "").unwrap();
        let whys = [file.clone(), absent, file.join("below")].map(|path| match open(&Place::Local(path)).map(|_| ()) {
            Err(Error::NoRepository { why, .. }) => why,
            other => panic!("{other:?}"),
        });
        assert!(whys[0].contains("not a folder") && whys[2].contains("not a folder"), "{whys:?}");
        assert!(whys[1].contains("only ") && whys[1].contains("mounted"), "{whys:?}");
    }

    #[test]
    fn what_was_created_opens() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Local(dir.path().join("deep/er"));
        assert_eq!(create(&place).unwrap().place(), place.to_string());
        create(&place).unwrap();
        open(&place).unwrap();
    }
}
