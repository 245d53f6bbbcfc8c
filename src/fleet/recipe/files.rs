//! Looks at an application's files: what recipes find their way by.

use crate::{
    error::{Error, Result, reason},
    name::Shown,
};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Longest configuration file that is looked at, in bytes.
const CONFIG_MAX: u64 = 4 << 20;
/// How deep repositories and mailboxes are looked for, and how many folders at most.
const DEPTH_MAX: usize = 12;
const FOLDERS_MAX: usize = 1_000_000;

/// A path, safe to print.
pub fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_encoded_bytes()).to_string()
}

/// What cannot be done with a path.
pub fn failed(doing: &str, path: &Path, source: &std::io::Error) -> Error {
    Error::refused(format!("cannot {doing} {}: {}", shown(path), reason(source)))
}

/// A configuration file, as text.
pub fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(CONFIG_MAX).read_to_end(&mut bytes));
    read.map_err(|e| failed("read", path, &e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A folder that a link may lead to, without links in its path.
pub fn real_folder(path: &Path) -> Result<PathBuf> {
    let real = fs::canonicalize(path).map_err(|e| failed("find", path, &e))?;
    match real.is_dir() {
        true => Ok(real),
        false => Err(Error::refused(format!("{} is no folder", shown(path)))),
    }
}

/// Entries of a folder in the order of their names; nothing for one that cannot be read.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// A folder that is no link.
pub fn is_plain_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// A file that is no link.
pub fn is_plain_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

/// All folders at or below `root` that `is` says yes to, sorted; what is below one is looked at when `within`. Links are not followed.
pub fn find_folders(root: &Path, within: bool, is: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let (mut found, mut left, mut seen) = (Vec::new(), vec![(root.to_owned(), 0)], 0);
    while let Some((folder, depth)) = left.pop() {
        seen += 1;
        if seen > FOLDERS_MAX {
            return Err(Error::refused(format!("{} has more than {FOLDERS_MAX} folders", shown(root))));
        }
        let hit = is(&folder);
        if hit {
            found.push(folder.clone());
        }
        if depth < DEPTH_MAX && (within || !hit) {
            let below = fs::read_dir(&folder).map_err(|e| failed("read", &folder, &e))?;
            for entry in below.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    left.push((entry.path(), depth + 1));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path below another, as text for facts and messages; `.` for itself.
pub fn below(root: &Path, path: &Path) -> String {
    let rest = path.strip_prefix(root).unwrap_or(path);
    if rest.as_os_str().is_empty() { ".".into() } else { shown(rest) }
}

/// A path below a tree as a pattern that leaves exactly it out.
pub fn pattern(path: &Path) -> String {
    let mut pattern = String::from("/");
    for c in path.to_string_lossy().chars() {
        match c {
            // What is no UTF-8 came out as this.
            '\u{fffd}' => pattern.push('?'),
            '*' | '?' | '[' | ']' | '\\' | '{' | '}' | '!' | '#' | ' ' => pattern.extend(['\\', c]),
            c => pattern.push(c),
        }
    }
    pattern
}
