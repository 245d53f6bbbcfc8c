//! What the user wants left out of a snapshot.

use super::dir::Dir;
use crate::{
    error::{Error, Result},
    name::Shown,
};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::{ffi::OsStr, io::Read, os::unix::ffi::OsStrExt};

/// The file that marks its directory as one of caches (<https://bford.info/cachedir/>). It is kept, so that a restored
/// cache is one again.
pub const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";

/// How a cache's tag begins.
const CACHE_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What the user asked to leave out.
#[derive(Debug, Clone, Default)]
pub struct ExcludeOptions {
    /// Patterns as gitignore(5) has them, relative to each source's root; of those that match an entry the last counts.
    /// Beyond git's, `{a,b}` stands for either.
    pub patterns: Vec<String>,
    /// Files of such patterns. They come before `patterns`, which may thus take them back with `!`.
    pub files: Vec<PatternFile>,
    /// Leave out what is in directories that are marked as caches.
    pub caches: bool,
    /// Leave out regular files with more bytes than this.
    pub larger_than: Option<u64>,
    /// Stay on the file system of each source's root.
    pub one_file_system: bool,
}

/// A file of patterns, one a line; empty lines and those that begin with `#` say nothing.
#[derive(Debug, Clone)]
pub struct PatternFile {
    /// What the user called it.
    pub name: String,
    /// What it holds.
    pub contents: Vec<u8>,
}

/// What is left out.
#[derive(Debug)]
pub struct Excludes {
    matcher: Gitignore,
    patterns: Vec<String>,
    caches: bool,
    larger_than: Option<u64>,
    one_file_system: bool,
}

impl Excludes {
    /// [`Error::Usage`] for a pattern that makes no sense. Unlike git, which lets such a pattern match nothing: whoever
    /// mistypes `cache[` should not find out from a full disk.
    pub fn new(options: &ExcludeOptions) -> Result<Self> {
        let mut builder = GitignoreBuilder::new("");
        builder.allow_unclosed_class(false);
        let mut patterns = Vec::new();
        let mut add = |pattern: &str, place: &str| {
            let refuse =
                |why: &str| Error::usage(format!("the exclude pattern \"{}\"{place} {why}", Shown(pattern.as_bytes())));
            if pattern.trim_start_matches('!').trim_matches(['/', ' ', '\t']).is_empty() {
                return Err(refuse("matches nothing"));
            }
            builder.add_line(None, pattern).map_err(|e| refuse(&format!("makes no sense: {}", reason(e))))?;
            patterns.push(pattern.to_owned());
            Ok(())
        };
        for file in &options.files {
            let contents = file.contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&file.contents);
            for (number, line) in (1..).zip(contents.split(|&b| b == b'\n')) {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                    continue;
                }
                let place = format!(" in line {number} of {}", Shown(file.name.as_bytes()));
                match str::from_utf8(line) {
                    Ok(line) => add(line, &place)?,
                    Err(_) => {
                        let shown = Shown(line);
                        return Err(Error::usage(format!(
                            "the exclude pattern \"{shown}\"{place} is not UTF-8; write ? for such a byte"
                        )));
                    }
                }
            }
        }
        for pattern in &options.patterns {
            // An argument is no comment: `#*#` are an editor's leftovers.
            let escaped = pattern.starts_with('#').then(|| format!("\\{pattern}"));
            add(escaped.as_deref().unwrap_or(pattern), "")?;
        }
        let matcher =
            builder.build().map_err(|e| Error::usage(format!("the exclude patterns make no sense: {}", reason(e))))?;
        Ok(Excludes {
            matcher,
            patterns,
            caches: options.caches,
            larger_than: options.larger_than,
            one_file_system: options.one_file_system,
        })
    }

    /// True when a pattern leaves out the entry at this path, relative to the source's root and without a slash at
    /// either end. The entries of a directory that is left out are not asked for, so none of them can be taken back.
    pub fn leaves_out(&self, rel_path: &[u8], is_dir: bool) -> bool {
        !self.matcher.is_empty()
            && !rel_path.is_empty()
            && self.matcher.matched(OsStr::from_bytes(rel_path), is_dir).is_ignore()
    }

    /// True when a regular file of this many bytes is left out.
    pub fn too_large(&self, size: u64) -> bool {
        self.larger_than.is_some_and(|limit| size > limit)
    }

    /// True when only the directory itself and its [`CACHE_TAG`] are kept. A tag that cannot be read marks nothing:
    /// better a cache too many than a directory too few.
    pub fn is_cache_dir(&self, dir: &Dir) -> bool {
        let mut start = [0; CACHE_SIGNATURE.len()];
        self.caches
            && dir.open_file(CACHE_TAG).is_ok_and(|(mut tag, _)| tag.read_exact(&mut start).is_ok())
            && start == *CACHE_SIGNATURE
    }

    /// True when other file systems below a source's root are left out.
    pub fn one_file_system(&self) -> bool {
        self.one_file_system
    }

    /// All patterns in the order in which they count, for the snapshot to tell.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }
}

/// What is wrong, without the pattern, which the message names already.
fn reason(error: ignore::Error) -> String {
    let text = match error {
        ignore::Error::Glob { err, .. } => err,
        other => other.to_string(),
    };
    Shown(text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes(patterns: &[&str]) -> Excludes {
        let patterns = patterns.iter().map(|&p| p.to_owned()).collect();
        Excludes::new(&ExcludeOptions { patterns, ..Default::default() }).unwrap()
    }

    fn file(contents: &[u8]) -> Result<Excludes> {
        let files = vec![PatternFile { name: "list".into(), contents: contents.to_vec() }];
        Excludes::new(&ExcludeOptions { files, patterns: vec!["!keep".into()], ..Default::default() })
    }

    #[test]
    fn patterns_match_as_in_gitignore() {
        let excludes = excludes(&["*.log", "!main.log", "/tmp", "cache/", "a/**/z", "doc/*.txt", "**/node_modules"]);
        for (path, is_dir, out) in [
            ("x.log", false, true),
            ("deep/er/x.log", false, true),
            ("deep/main.log", false, false),
            ("tmp", true, true),
            ("tmp", false, true),
            ("deep/tmp", true, false),
            ("deep/cache", true, true),
            ("cache", false, false),
            ("a/z", false, true),
            ("a/b/c/z", false, true),
            ("doc/x.txt", false, true),
            ("doc/sub/x.txt", false, false),
            ("deep/doc/x.txt", false, false),
            ("app/node_modules", true, true),
            ("", true, false),
            ("plain", false, false),
        ] {
            assert_eq!(excludes.leaves_out(path.as_bytes(), is_dir), out, "{path}");
        }
    }

    #[test]
    fn paths_need_not_be_utf8() {
        let excludes = excludes(&["*.tmp", "/d?/x", "ä*"]);
        assert!(excludes.leaves_out(b"\xff\xfe/\xff.tmp", false));
        assert!(excludes.leaves_out(b"d\xff/x", false));
        assert!(excludes.leaves_out("ä".as_bytes(), false));
        assert!(excludes.leaves_out(b"\xc3\xa4\xff", false));
        assert!(!excludes.leaves_out(b"\xff", false));
    }

    #[test]
    fn nothing_is_left_out_unasked() {
        let excludes = excludes(&[]);
        assert!(!excludes.leaves_out(b"x", false));
        assert!(!excludes.too_large(u64::MAX));
        assert!(!excludes.one_file_system());
        assert!(excludes.patterns().is_empty());
    }

    #[test]
    fn files_have_comments_and_arguments_have_none() {
        let excludes = file(b"\xef\xbb\xbf# note\r\n*.o\r\n\n  \n\\#x\nkeep\n").unwrap();
        assert_eq!(excludes.patterns(), ["*.o", "\\#x", "keep", "!keep"]);
        assert!(excludes.leaves_out(b"a/b.o", false));
        assert!(excludes.leaves_out(b"#x", false));
        assert!(!excludes.leaves_out(b"keep", false));
        let argument = super::tests::excludes(&["#*#"]);
        assert!(argument.leaves_out(b"d/#notes#", false));
        assert!(!argument.leaves_out(b"d/notes", false));
    }

    #[test]
    fn senseless_patterns_are_refused_by_name() {
        for bad in ["cache[", "a[z-a]b", "", "/", "!", "  "] {
            let options = ExcludeOptions { patterns: vec![bad.into()], ..Default::default() };
            match Excludes::new(&options) {
                Err(Error::Usage { what }) => assert!(what.contains(&format!("\"{bad}\"")), "{what}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
        let what = file(b"ok\n\xff\n").unwrap_err().to_string();
        assert!(what.contains("\"\\xff\" in line 2 of list"), "{what}");
    }

    #[test]
    fn size_limit_is_exclusive() {
        let excludes = Excludes::new(&ExcludeOptions { larger_than: Some(10), ..Default::default() }).unwrap();
        assert!(!excludes.too_large(10));
        assert!(excludes.too_large(11));
    }

    #[test]
    fn caches_are_known_by_their_signature() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path().as_os_str().as_bytes()).unwrap();
        let tag = temp.path().join("CACHEDIR.TAG");
        let asked = Excludes::new(&ExcludeOptions { caches: true, ..Default::default() }).unwrap();
        assert!(!asked.is_cache_dir(&dir));
        std::fs::write(&tag, &CACHE_SIGNATURE[..42]).unwrap();
        assert!(!asked.is_cache_dir(&dir));
        std::fs::write(&tag, [&CACHE_SIGNATURE[..], b"\n# by hand"].concat()).unwrap();
        assert!(asked.is_cache_dir(&dir));
        assert!(!excludes(&[]).is_cache_dir(&dir));
    }
}
