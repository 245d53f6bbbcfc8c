//! Which application, which version, which path: `server/vm/relpath[@VERSION][:PATH]`.

use crate::error::{Error, Result};
use std::fmt;

/// Longest series in bytes.
pub const SERIES_MAX: usize = 1024;
/// Fewest hexadecimal digits that are taken for the beginning of a snapshot's id.
pub const ID_PREFIX_MIN: usize = 6;

/// All snapshots of one application: `server/vm/relpath`. `vm` is `-` where there is none; `relpath` may contain `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series(String);

/// A part between slashes: not empty, not `.` or `..`, no `@`, `:`, control characters, at most 255 bytes.
fn is_component(part: &str) -> bool {
    !part.is_empty()
        && part != "."
        && part != ".."
        && part.len() <= crate::name::NAME_MAX
        && !part.chars().any(|c| c == '@' || c == ':' || c.is_control())
}

impl Series {
    /// Reads `server/vm/relpath`.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() < 3 || text.len() > SERIES_MAX || !parts.iter().all(|part| is_component(part)) {
            return Err(Error::usage(format!(
                "\"{}\" is no series: write server/vm/relpath, with - for no vm, and without @ and : (for example alpha/-/srv/wiki)",
                crate::name::Shown(text.as_bytes())
            )));
        }
        Ok(Series(text.to_owned()))
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when `prefix` is this series or names whole leading parts of it.
    pub fn is_under(&self, prefix: &str) -> bool {
        let prefix = prefix.trim_end_matches('/');
        match self.0.strip_prefix(prefix) {
            Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which snapshot of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The newest.
    Latest,
    /// The one whose id begins so (lower-case hexadecimal digits).
    Id(String),
    /// The newest taken at or before this date or time, as the user wrote it: `2026-03-02`, `2026-03-02T04:05`.
    At(String),
    /// The newest that is at least this many seconds old: `3d`, `12h`, `2w`.
    Age(u64),
}

fn is_id_prefix(text: &str) -> bool {
    (ID_PREFIX_MIN..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Version {
    /// Reads what stands after `@`.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "latest" {
            return Ok(Version::Latest);
        }
        if is_id_prefix(text) {
            return Ok(Version::Id(text.to_owned()));
        }
        if let Some(age) = parse_age(text) {
            return Ok(Version::Age(age));
        }
        let dated = text.len() >= 10
            && text
                .bytes()
                .enumerate()
                .take(10)
                .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
        if dated {
            return Ok(Version::At(text.to_owned()));
        }
        Err(Error::usage(format!(
            "\"{}\" is no version: write latest, at least {ID_PREFIX_MIN} digits of an id, a date (2026-03-02), a time (2026-03-02T04:05) or an age (3d, 12h, 2w)",
            crate::name::Shown(text.as_bytes())
        )))
    }
}

/// Reads an age such as `90s`, `15m`, `12h`, `3d`, `2w`, `1y` as seconds.
pub fn parse_age(text: &str) -> Option<u64> {
    let unit = match text.bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => 86400,
        b'w' => 7 * 86400,
        b'y' => 365 * 86400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A place in the repository's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The series; absent when the address begins with a snapshot's id.
    pub series: Option<Series>,
    /// Which snapshot.
    pub version: Version,
    /// Path below the snapshot: the source's name first. Bytes, since names of files are.
    pub path: Option<Vec<u8>>,
}

/// How many bytes of `rest`, which begins with a colon, belong to the time at the end of `head`: `:05` or `:05:06` after
/// `…@2026-03-02T04`, with a zone after it (`Z`, `+01:00`). A path that looks so is written with a slash in front.
fn clock_len(head: &[u8], rest: &[u8]) -> usize {
    let Some(at) = head.iter().rposition(|&b| b == b'@') else { return 0 };
    let two = |text: &[u8]| matches!(text, [b':', a, b, ..] if a.is_ascii_digit() && b.is_ascii_digit());
    let ends = |len: usize| matches!(rest.get(len), None | Some(b':'));
    let zone = |len: usize| match rest.get(len) {
        Some(b'Z') => 1,
        Some(b'+' | b'-') if rest.get(len + 3..).is_some_and(two) => 6,
        _ => 0,
    };
    let hour = &head[at + 1..];
    if hour.len() != 13 || !matches!(hour[10], b'T' | b't' | b' ') || !two(rest) {
        return 0;
    }
    let len = if rest.get(3..).is_some_and(two) && (ends(6) || zone(6) > 0) { 6 } else { 3 };
    let len = len + zone(len);
    if ends(len) { len } else { 0 }
}

impl Address {
    /// Reads `SERIES[@VERSION][:PATH]` or `ID[:PATH]`.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let (head, path) = match text.iter().position(|&b| b == b':') {
            Some(colon) => {
                let colon = colon + clock_len(&text[..colon], &text[colon..]);
                (&text[..colon], text.get(colon + 1..).map(<[u8]>::to_vec))
            }
            None => (text, None),
        };
        let head = std::str::from_utf8(head)
            .map_err(|_| Error::usage(format!("\"{}\" is no address: a series is UTF-8", crate::name::Shown(text))))?;
        if is_id_prefix(head) {
            return Ok(Address { series: None, version: Version::Id(head.to_owned()), path });
        }
        let (series, version) = match head.split_once('@') {
            Some((series, version)) => (series, Version::parse(version)?),
            None => (head, Version::Latest),
        };
        Ok(Address { series: Some(Series::parse(series)?), version, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(address("alpha/-/srv/wiki").version, Version::Latest);
        assert_eq!(address("alpha/-/wiki@3d").version, Version::Age(3 * 86400));
        assert_eq!(address("alpha/-/wiki@2026-03-02:data/a:b").path, Some(b"data/a:b".to_vec()));
        assert_eq!(address("a1b2c3").series, None);
        assert_eq!(address("a1b2c3:app/x").version, Version::Id("a1b2c3".into()));
        assert_eq!(address("alpha/vm1/a/b/c@a1b2c3d4").series.unwrap().as_str(), "alpha/vm1/a/b/c");
    }

    #[test]
    fn the_colons_of_a_time_begin_no_path() {
        for (text, version, path) in [
            ("a/b/c@2026-03-02T04:05", "2026-03-02T04:05", None),
            ("a/b/c@2026-03-02T04:05:06", "2026-03-02T04:05:06", None),
            ("a/b/c@2026-03-02T04:05:06Z:x", "2026-03-02T04:05:06Z", Some("x")),
            ("a/b/c@2026-03-02T04:05:06+01:00:x", "2026-03-02T04:05:06+01:00", Some("x")),
            ("a/b/c@2026-03-02T04:05:app/x", "2026-03-02T04:05", Some("app/x")),
            ("a/b/c@2026-03-02T04:app", "2026-03-02T04", Some("app")),
            ("a/b/c@2026-03-02T04:05x", "2026-03-02T04", Some("05x")),
            ("a/b/c@2026-03-02T04:/05", "2026-03-02T04", Some("/05")),
            ("a/b/c@2026-03-02:05", "2026-03-02", Some("05")),
        ] {
            let address = address(text);
            assert_eq!(address.version, Version::At(version.into()), "{text}");
            assert_eq!(address.path, path.map(|path| path.as_bytes().to_vec()), "{text}");
        }
        assert_eq!(address("a/b/c:x@2026-03-02T04:05").path, Some(b"x@2026-03-02T04:05".to_vec()));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in
            ["", "alpha", "alpha/vm", "alpha//x", "a/b/../c", "a/b/c@", "a/b/c@yesterday", "a/b/c@12q", "a/b/c\n"]
        {
            assert!(matches!(Address::parse(bad.as_bytes()), Err(Error::Usage { .. })), "{bad}");
        }
    }

    #[test]
    fn prefixes_end_at_slashes() {
        let series = Series::parse("alpha/web1/shop").unwrap();
        assert!(
            series.is_under("alpha")
                && series.is_under("alpha/web1/")
                && series.is_under("")
                && series.is_under("alpha/web1/shop")
        );
        assert!(!series.is_under("alp") && !series.is_under("alpha/web1/shop/x"));
    }
}
