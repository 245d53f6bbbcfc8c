//! `ssh://[user@]host[:port]/path`: a repository on another machine, read by `vault` there.

use super::{Over, RemoteStore, Stop, link::Link, program};
use crate::{
    error::{Error, Result},
    name::Shown,
};
use std::{ffi::OsString, fmt};

/// How a place of this kind begins.
pub const SCHEME: &str = "ssh://";

/// A repository's folder on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshPlace {
    /// `host` or `user@host`, as ssh takes it.
    pub host: String,
    /// A port, when it is said.
    pub port: Option<u16>,
    /// The folder there; absolute.
    pub path: String,
}

/// How one gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The command line of ssh, for a shell: `ssh -i key`.
    pub ssh: OsString,
    /// What vault is called there, for the shell there.
    pub program: String,
}

impl Default for Reach {
    /// By what is in the search path here and there; a dead line is noticed within a minute.
    fn default() -> Self {
        Reach { ssh: "ssh -o ServerAliveInterval=15 -o ServerAliveCountMax=4".into(), program: "vault".into() }
    }
}

impl fmt::Display for SshPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.host.rsplit_once('@') {
            Some((user, host)) if host.contains(':') => format!("{user}@[{host}]"),
            None if self.host.contains(':') => format!("[{}]", self.host),
            _ => self.host.clone(),
        };
        write!(f, "{SCHEME}{}", Shown(host.as_bytes()))?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        Shown(self.path.as_bytes()).fmt(f)
    }
}

impl SshPlace {
    /// Reads what stands behind `ssh://`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Err(Error::usage(format!(
                "{SCHEME}{}: {what}; write ssh://[USER@]HOST[:PORT]/PATH",
                Shown(text.as_bytes())
            )))
        };
        let Some((host, path)) = text.split_once('/').map(|(host, path)| (host, format!("/{path}"))) else {
            return wrong("there is no path");
        };
        if path == "/" || path.contains('\0') || path.contains('\n') {
            return wrong("this is no path");
        }
        let (user, host) = match host.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, host),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or("-"))),
            None => match host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        let port = match port.map(str::parse::<u16>) {
            Some(Err(_) | Ok(0)) => return wrong("the port is no number from 1 to 65535"),
            port => port.and_then(Result::ok),
        };
        // What begins with a dash would be an option of ssh.
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%'))
        };
        if !plain(host) {
            return wrong("this is no host name");
        }
        match user {
            Some(user) if !plain(user) => wrong("this is no user name"),
            Some(user) => Ok(SshPlace { host: format!("{user}@{host}"), port, path }),
            None => Ok(SshPlace { host: host.to_owned(), port, path }),
        }
    }

    /// What follows ssh's own command line.
    fn arguments(&self, program: &str) -> Vec<OsString> {
        let mut out: Vec<OsString> = vec!["-T".into()];
        if let Some(port) = self.port {
            out.extend(["-p".into(), port.to_string().into()]);
        }
        let command = format!("{program} serve --stdio --read-only --repo {}", quoted(&self.path));
        out.extend([self.host.clone().into(), command.into()]);
        out
    }

    /// Connects, and connects anew when the link breaks.
    pub fn open(&self, reach: Reach, stop: Stop) -> Result<RemoteStore> {
        let (arguments, of_link) = (self.arguments(&reach.program), stop.clone());
        let connect = move || -> Result<Link, Over> { program::link(&reach.ssh, &arguments, &of_link) };
        RemoteStore::open(self.to_string(), Box::new(connect), stop)
    }
}

/// The text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_shown() {
        for (text, host, port, path) in [
            ("ssh://alpha/srv/backup", "alpha", None, "/srv/backup"),
            ("ssh://ann@alpha.example.org:2222/a b", "ann@alpha.example.org", Some(2222), "/a b"),
            ("ssh://[fe80::1%eth0]:22/x", "fe80::1%eth0", Some(22), "/x"),
            ("ssh://ann@[::1]/x", "ann@::1", None, "/x"),
        ] {
            let place = SshPlace::parse(text.strip_prefix(SCHEME).unwrap()).unwrap();
            assert_eq!((place.host.as_str(), place.port, place.path.as_str()), (host, port, path), "{text}");
            assert_eq!(place.to_string(), text);
        }
    }

    #[test]
    fn what_would_be_an_option_or_no_place_is_refused() {
        for bad in [
            "",
            "alpha",
            "alpha/",
            "/x",
            "-oProxyCommand=x/y",
            "a@-o/y",
            "-x@a/y",
            "a:0/x",
            "a:x/y",
            "a b/x",
            "$(x)/y",
            "[::1]x/y",
            "a/b\nc",
        ] {
            assert!(matches!(SshPlace::parse(bad), Err(Error::Usage { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_one_word_there() {
        let place = SshPlace::parse("alpha:7/it's $(here)").unwrap();
        let arguments = place.arguments("/opt/vault");
        let line = arguments.last().unwrap().to_str().unwrap();
        assert_eq!(line, r"/opt/vault serve --stdio --read-only --repo '/it'\''s $(here)'");
        assert_eq!(arguments[..4], ["-T", "-p", "7", "alpha"].map(OsString::from));
    }
}
