//! What this machine is called, who runs the program, and the series and sources that follow from paths.

use crate::{
    error::{Error, Result},
    fs::metadata::Owners,
    name::{Name, Shown},
    series::Series,
};
use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// This machine's full name, as far as it knows it without asking a network.
pub fn fqdn() -> String {
    let short = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let hosts = std::fs::read("/etc/hosts").unwrap_or_default();
    full_name(&short, &String::from_utf8_lossy(&hosts)).unwrap_or(short)
}

/// The full name that `/etc/hosts` has for a short one.
fn full_name(short: &str, hosts: &str) -> Option<String> {
    if short.contains('.') {
        return None;
    }
    hosts.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        if !names.contains(&short) {
            return None;
        }
        let own = names.iter().find(|name| name.strip_prefix(short).is_some_and(|rest| rest.starts_with('.')));
        let canonical = names.first().filter(|name| name.contains('.') && !name.starts_with("localhost"));
        own.or(canonical).map(|name| (*name).to_owned())
    })
}

/// The user who runs the program: a name, or the number where there is none.
pub fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    Owners::of_system().user(uid).map_or_else(|| uid.to_string(), str::to_owned)
}

/// The path from the root, without `.` and `..`.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    if absolute.components().any(|part| part == Component::ParentDir) {
        // What `..` means is for the file system to say.
        return std::fs::canonicalize(&absolute);
    }
    Ok(absolute)
}

/// The series of a path that the user gave no series for: this host, no vm, the path.
pub fn default_series(host: &str, path: &Path) -> Result<Series> {
    let text = path.to_str().map(|path| path.trim_matches('/'));
    let refused = || {
        Error::usage(format!(
            "\"{}\" cannot be part of a series' name; choose one with --as, for example --as {}/-/data",
            Shown(path.as_os_str().as_bytes()),
            Shown(host.as_bytes())
        ))
    };
    let text = text.ok_or_else(refused)?;
    let relpath = if text.is_empty() { "root" } else { text };
    Series::parse(&format!("{host}/-/{relpath}")).map_err(|_| refused())
}

/// The name of a source that the user gave no name for: the last component of its path.
pub fn source_name(path: &Path) -> Result<Name> {
    let name = path.file_name().unwrap_or(OsStr::new("root"));
    Name::new(name.as_bytes()).map_err(Error::usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_name_is_found_in_hosts() {
        let hosts = "127.0.0.1 localhost.localdomain localhost\n# 1.2.3.4 no.example alpha\n\
                     10.0.0.1\talpha.example.org alpha # here\n10.0.0.2 www.example.org beta.example.org beta\n\
                     10.0.0.3 web.example.org gamma\n127.0.1.1 localhost.x delta\n";
        assert_eq!(full_name("alpha", hosts).as_deref(), Some("alpha.example.org"));
        assert_eq!(full_name("beta", hosts).as_deref(), Some("beta.example.org"));
        assert_eq!(full_name("gamma", hosts).as_deref(), Some("web.example.org"));
        assert_eq!(full_name("delta", hosts), None);
        assert_eq!(full_name("alpha.example.com", hosts), None);
    }

    #[test]
    fn paths_make_series() {
        let series = |path: &str| default_series("alpha", Path::new(path)).map(|series| series.as_str().to_owned());
        assert_eq!(series("/srv/wiki").unwrap(), "alpha/-/srv/wiki");
        assert_eq!(series("/srv/wiki/").unwrap(), "alpha/-/srv/wiki");
        assert_eq!(series("/").unwrap(), "alpha/-/root");
        for bad in ["/srv/a:b", "/srv/a@b", "/srv/a\nb"] {
            assert!(series(bad).unwrap_err().to_string().contains("--as"), "{bad}");
        }
        assert!(default_series("alpha", Path::new(OsStr::from_bytes(b"/\xff"))).is_err());
    }

    #[test]
    fn the_last_component_names_a_source() {
        assert_eq!(source_name(Path::new("/srv/wiki/")).unwrap().as_bytes(), b"wiki");
        assert_eq!(source_name(Path::new("/")).unwrap().as_bytes(), b"root");
        assert_eq!(source_name(Path::new(OsStr::from_bytes(b"/\xff\n"))).unwrap().as_bytes(), b"\xff\n");
    }
}
