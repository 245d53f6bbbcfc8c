//! What is searched for.

use crate::{
    error::{Error, Result},
    name::Shown,
    ops::history::{Facts, Kind},
};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::ops::RangeInclusive;

/// What a search is told. An entry matches when any pattern does, and all the rest.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Shell patterns: with a slash for the whole path below the snapshot, else for the name. Empty: everything.
    pub patterns: Vec<String>,
    /// The patterns are regular expressions, for any part of the path.
    pub regex: bool,
    /// Upper and lower case are the same.
    pub ignore_case: bool,
    /// Bytes of a file.
    pub size: Option<RangeInclusive<u64>>,
    /// Changed at this second or later.
    pub newer: Option<i64>,
    /// Changed at this second or earlier.
    pub older: Option<i64>,
    /// What it is; empty for anything.
    pub kinds: Vec<Kind>,
}

/// The same, ready to be asked.
pub struct Query {
    names: Globs,
    paths: Globs,
    regex: Option<RegexSet>,
    any_path: bool,
    wanted: Wanted,
}

/// Patterns without anything special are looked up by hash, which is what most searches are.
struct Globs(GlobSet);

impl Globs {
    fn new(patterns: &[&String], ignore_case: bool) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern.trim_matches('/'))
                .literal_separator(true)
                .backslash_escape(true)
                .case_insensitive(ignore_case)
                .build();
            set.add(glob.map_err(|e| wrong(pattern, e.kind()))?);
        }
        set.build().map(Globs).map_err(|e| Error::usage(format!("the patterns cannot be used: {e}")))
    }

    fn matches(&self, bytes: &[u8]) -> bool {
        use std::os::unix::ffi::OsStrExt;
        !self.0.is_empty() && self.0.is_match(std::path::Path::new(std::ffi::OsStr::from_bytes(bytes)))
    }
}

fn wrong(pattern: &str, why: impl std::fmt::Display) -> Error {
    Error::usage(format!("\"{}\" is no pattern: {why}", Shown(pattern.as_bytes())))
}

impl Query {
    /// Reads the patterns.
    pub fn new(wanted: Wanted) -> Result<Self> {
        let (mut paths, mut names): (Vec<&String>, Vec<&String>) = (Vec::new(), Vec::new());
        let mut regex = None;
        if wanted.regex {
            for pattern in &wanted.patterns {
                // One by one, so that the wrong one is named.
                regex::bytes::Regex::new(pattern).map_err(|e| wrong(pattern, e))?;
            }
            let set = RegexSetBuilder::new(&wanted.patterns).case_insensitive(wanted.ignore_case).unicode(true).build();
            regex = Some(set.map_err(|e| Error::usage(format!("the patterns cannot be used: {e}")))?);
        } else {
            (paths, names) = wanted.patterns.iter().partition(|pattern| pattern.trim_end_matches('/').contains('/'));
        }
        Ok(Query {
            paths: Globs::new(&paths, wanted.ignore_case)?,
            names: Globs::new(&names, wanted.ignore_case)?,
            regex,
            any_path: wanted.patterns.is_empty(),
            wanted,
        })
    }

    /// True for a path that is searched for. With slashes between its parts, its source's name first.
    pub fn matches_path(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        self.any_path
            || self.names.matches(name)
            || self.paths.matches(path)
            || self.regex.as_ref().is_some_and(|regex| regex.is_match(path))
    }

    /// True for an entry that is searched for, supposed that its path is.
    pub fn matches_facts(&self, facts: &Facts) -> bool {
        let Wanted { size, newer, older, kinds, .. } = &self.wanted;
        (kinds.is_empty() || kinds.contains(&facts.kind))
            && size.as_ref().is_none_or(|size| facts.kind == Kind::File && size.contains(&facts.size))
            && newer.is_none_or(|newer| facts.mtime.sec >= newer)
            && older.is_none_or(|older| facts.mtime.sec <= older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Time;

    fn query(patterns: &[&str], change: impl FnOnce(&mut Wanted)) -> Query {
        let mut wanted =
            Wanted { patterns: patterns.iter().map(|text| (*text).to_owned()).collect(), ..Wanted::default() };
        change(&mut wanted);
        Query::new(wanted).unwrap()
    }

    #[test]
    fn names_and_paths_are_matched_as_a_shell_does() {
        for (pattern, path, matches) in [
            ("page.md", "wiki/data/page.md", true),
            ("page.md", "wiki/page.md/x", false),
            ("*.md", "wiki/data/page.md", true),
            ("*.md", "wiki/a.md.gz", false),
            ("page.?d", "wiki/page.xd", true),
            ("{a,b}[0-9]", "x/b7", true),
            ("wiki/*.md", "wiki/page.md", true),
            ("wiki/*.md", "wiki/data/page.md", false),
            ("wiki/**/*.md", "wiki/data/x/page.md", true),
            ("**/data/*", "wiki/data/page.md", true),
            ("/wiki/page.md", "wiki/page.md", true),
            ("PAGE.md", "wiki/page.md", false),
            ("\\*", "x/*", true),
            ("\\*", "x/y", false),
        ] {
            assert_eq!(query(&[pattern], |_| ()).matches_path(path.as_bytes()), matches, "{pattern} {path}");
        }
        assert!(query(&["PAGE.md"], |wanted| wanted.ignore_case = true).matches_path(b"wiki/page.md"));
        assert!(query(&["a", "b"], |_| ()).matches_path(b"x/b"));
        assert!(query(&[], |_| ()).matches_path(b"anything"));
        assert!(query(&["?"], |_| ()).matches_path(b"x/\xff"), "names are bytes");
    }

    #[test]
    fn regular_expressions_match_any_part_of_the_path() {
        let regex = |pattern: &str| query(&[pattern], |wanted| wanted.regex = true);
        assert!(regex("data/.*\\.md$").matches_path(b"wiki/data/page.md"));
        assert!(!regex("^data").matches_path(b"wiki/data/page.md"));
        assert!(regex("(?-u)\\xff").matches_path(b"wiki/\xff"));
        let wrong = Query::new(Wanted { patterns: vec!["(".into()], regex: true, ..Wanted::default() });
        assert!(matches!(wrong, Err(Error::Usage { .. })));
        let wrong = Query::new(Wanted { patterns: vec!["[".into()], ..Wanted::default() });
        assert!(wrong.err().unwrap().to_string().contains("\"[\" is no pattern"));
    }

    #[test]
    fn all_else_must_match_too() {
        let facts = |kind, size, sec| Facts {
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Time::from_sec(sec),
            size,
            content: [0; 8],
            attributes: 0,
        };
        let small = query(&[], |wanted| wanted.size = Some(0..=10));
        assert!(small.matches_facts(&facts(Kind::File, 10, 0)) && !small.matches_facts(&facts(Kind::File, 11, 0)));
        assert!(!small.matches_facts(&facts(Kind::Directory, 5, 0)), "sizes are those of files");
        let recent = query(&[], |wanted| (wanted.newer, wanted.older) = (Some(5), Some(9)));
        let within: Vec<bool> = (4..=10).map(|sec| recent.matches_facts(&facts(Kind::Fifo, 0, sec))).collect();
        assert_eq!(within, [false, true, true, true, true, true, false]);
        let links = query(&[], |wanted| wanted.kinds = vec![Kind::Symlink]);
        assert!(links.matches_facts(&facts(Kind::Symlink, 0, 0)) && !links.matches_facts(&facts(Kind::File, 0, 0)));
    }
}
