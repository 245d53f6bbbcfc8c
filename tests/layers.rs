//! Modules import only those above them, and the library keeps to itself: read off the source text.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A top-level module, and those of its own rank that it may import. Those of earlier ranks it may import anyway.
type Module = (&'static str, &'static [&'static str]);

const VOCABULARY: &[&str] = &["id", "error", "world", "name", "series", "units", "monitor"];

#[rustfmt::skip]
const RANKS: &[&[Module]] = &[
    // Vocabulary: no IO.
    &[("id", VOCABULARY), ("error", VOCABULARY), ("world", VOCABULARY),
      ("name", VOCABULARY), ("series", VOCABULARY), ("units", VOCABULARY), ("monitor", VOCABULARY)],
    // Transforms: bytes in, bytes out.
    &[("chunk", &[]), ("hash", &[]), ("compress", &[]),
      ("seal", &[]), ("object", &["seal"]), ("keys", &["chunk", "hash", "seal", "object"]),
      ("segment", &["chunk", "hash", "compress", "seal", "object", "keys"])],
    // Places and layouts.
    &[("model", &[]), ("fs", &["model"]), ("store", &["fs"]),
      ("pack", &["store", "model"]), ("index", &["store", "model", "pack"]), ("parity", &["store"])],
    // The repository, then one verb each.
    &[("repo", &[])],
    &[("ops", &[])],
    // Surfaces.
    &[("mount", &[]), ("fleet", &[]), ("server", &["fleet"]), ("dashboard", &["fleet", "server"]),
      ("cli", &["mount", "fleet", "server", "dashboard"])],
];

/// Imports that go up all the same: `(who, whom, why)`.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("chunk", "model", "the limits and layouts of payloads are stated once, in model::limits and model::codec"),
    ("hash", "model", "the same"),
    ("compress", "model", "the same"),
    ("seal", "model", "the same"),
    ("keys", "model", "the same"),
    ("segment", "model", "the same"),
];

/// What only the surfaces may do, except in unit tests: `(text, what to do in its place, the one module that may)`.
const RESERVED: &[(&str, &str, &str)] = &[
    ("println!", "tell the monitor", ""),
    ("print!", "tell the monitor", ""),
    ("eprintln!", "tell the monitor", ""),
    ("eprint!", "tell the monitor", ""),
    ("dbg!", "tell the monitor", ""),
    ("std::env", "let the caller pass it in", ""),
    ("env::var", "let the caller pass it in", ""),
    ("SystemTime::now", "ask a world::Clock", "world"),
];

/// Modules that may do it.
const SURFACES: &[&str] = &["cli", "main"];

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.iter().any(|(name, _)| *name == module))
}

fn may_import(who: &str, whom: &str) -> bool {
    let beside = RANKS.iter().copied().flatten().any(|(name, beside)| *name == who && beside.contains(&whom));
    let above = rank(whom).zip(rank(who)).is_some_and(|(whom, who)| whom < who);
    who == whom || above || beside || EXCEPTIONS.iter().any(|(a, b, _)| (*a, *b) == (who, whom))
}

/// The source without comments, so that links in documentation are no imports. Strings stay: a `//` in one only hides
/// the rest of its line.
fn without_comments(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The part before the unit tests, which stand at the end of a file.
fn without_tests(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod tests").next().unwrap_or(source)
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The places where `text` stands as words of their own.
fn finds<'a>(source: &'a str, text: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bounded = move |at: usize| {
        let open = |c: Option<char>| !c.is_some_and(is_ident);
        let begins = !text.starts_with(is_ident) || open(source[..at].chars().next_back());
        begins && (!text.ends_with(is_ident) || open(source[at + text.len()..].chars().next()))
    };
    source.match_indices(text).map(|(at, _)| at).filter(move |at| bounded(*at))
}

/// The first names of a `use` tree or a path: `a::b` gives `a`; `{a::{x, y}, b as c}` gives `a` and `b`.
fn heads(tree: &str) -> Vec<String> {
    let tree = tree.trim_start();
    let head = |text: &str| text.trim_start().chars().take_while(|c| is_ident(*c) || *c == '*').collect::<String>();
    let Some(inside) = tree.strip_prefix('{') else { return vec![head(tree)] };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(head(&inside[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// The top-level modules that a source names, with `crate::` or by going up with as many `super::` as it is deep.
fn imports(source: &str, depth: usize) -> BTreeSet<String> {
    let source = without_comments(source);
    let mut found = BTreeSet::new();
    for at in finds(&source, "crate::") {
        found.extend(heads(&source[at + "crate::".len()..]));
    }
    let up = "super::".repeat(depth);
    for at in finds(&source, &up) {
        // Inside of nested modules this does not reach the top, so only names of top-level modules count.
        let reached = heads(&source[at + up.len()..]);
        found.extend(reached.into_iter().filter(|name| rank(name).is_some()));
    }
    found
}

/// What is wrong with the file at `path` below `src`.
fn faults(path: &Path, source: &str) -> Vec<String> {
    let parts: Vec<String> = path.with_extension("").iter().map(|p| p.to_string_lossy().into_owned()).collect();
    let module = parts[0].as_str();
    let shown = path.display();
    let mut faults = Vec::new();
    if module == "main" {
        let others = finds(source, "vault::").flat_map(|at| heads(&source[at + "vault::".len()..]));
        faults.extend(others.filter(|m| m != "cli").map(|m| format!("{shown}: may use vault::cli only, not {m}")));
    } else if module != "lib" {
        if rank(module).is_none() {
            faults.push(format!("{shown}: the module {module} has no rank; give it one in tests/layers.rs"));
        }
        let depth = if parts.last().is_some_and(|last| last == "mod") { parts.len() - 1 } else { parts.len() };
        for whom in imports(source, depth).iter().filter(|whom| !may_import(module, whom)) {
            faults.push(format!("{shown}: {module} may not import {whom}"));
        }
    }
    let is_test = parts.iter().any(|part| part == "tests");
    if !SURFACES.contains(&module) && !is_test {
        let source = without_comments(source);
        for (text, instead, _) in RESERVED.iter().filter(|(.., only)| *only != module) {
            if finds(without_tests(&source), text).next().is_some() {
                faults.push(format!("{shown}: the library does not use {text}; {instead}"));
            }
        }
    }
    faults
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn modules_import_only_what_stands_above_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    assert!(found.len() > 10, "only {} files under {}", found.len(), src.display());
    let wrong: Vec<String> = found
        .iter()
        .flat_map(|path| faults(path.strip_prefix(&src).unwrap(), &fs::read_to_string(path).unwrap()))
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_rules_name_only_modules_that_have_a_rank() {
    for (name, beside) in RANKS.iter().copied().flatten() {
        assert!(beside.iter().all(|other| rank(other) == rank(name)), "{name}");
    }
    for (who, whom, _) in EXCEPTIONS {
        assert!(rank(who) < rank(whom), "{who} may import {whom} without an exception");
    }
}

fn all_faults(path: &str, source: &str) -> String {
    faults(Path::new(path), source).join("; ")
}

#[test]
fn upward_imports_are_found_however_they_are_written() {
    for source in [
        "use crate::repo::Repository;",
        "use crate::{error::Result, repo};",
        "use crate::{\n    error::{Error, Result},\n    repo::{self, Reader},\n};",
        "pub use crate::repo as r;",
        "fn f() { crate::repo::open() }",
        "use super::super::repo::Reader;",
        "use super::super::{name, repo::Reader};",
        "#[cfg(test)]\nmod tests {\n    use crate::repo::Reader;\n}",
    ] {
        assert_eq!(all_faults("store/local.rs", source), "store/local.rs: store may not import repo", "{source}");
    }
    assert_eq!(all_faults("chunk.rs", "use super::hash;"), "chunk.rs: chunk may not import hash");
    assert_eq!(all_faults("model/mod.rs", "use super::pack::Pack;"), "model/mod.rs: model may not import pack");
    assert_eq!(all_faults("ops/a.rs", "use crate::*;"), "ops/a.rs: ops may not import *");
    assert_eq!(
        all_faults("main.rs", "use vault::repo::X; vault::cli::main()"),
        "main.rs: may use vault::cli only, not repo"
    );
    assert!(all_faults("util.rs", "").contains("has no rank"));
}

#[test]
fn downward_imports_and_mere_mentions_are_fine() {
    for (path, source) in [
        ("store/local.rs", "use crate::{error::{Error, Result}, name::Shown};\nuse super::{Store, lock};"),
        ("store/local.rs", "//! See [`crate::repo::Repository`].\nuse crate::store::Put; // not crate::repo"),
        ("store/local/tests.rs", "use super::super::memory;"),
        ("segment.rs", "use crate::{hash, model::limits, seal::{self, Key}};"),
        ("index/mod.rs", "use crate::{model::codec, pack::Pack, segment};"),
        ("world.rs", "fn now() { SystemTime::now() }"),
        ("cli/args.rs", "fn f() { println!(\"{:?}\", std::env::args()) }"),
        ("ops/a.rs", "fn f() { my_println!(); env!(\"X\") }\n#[cfg(test)]\nmod tests { fn f() { dbg!(1) } }"),
    ] {
        assert_eq!(all_faults(path, source), "", "{source}");
    }
}

#[test]
fn a_library_that_talks_or_looks_around_is_found() {
    for source in [
        "println!(\"x\")",
        "std::eprintln!(\"x\")",
        "print!(\"x\")",
        "dbg!(x)",
        "std::env::var(\"HOME\")",
        "use std::env;",
        "std::time::SystemTime::now()",
    ] {
        assert!(all_faults("ops/a.rs", source).contains("the library does not use"), "{source}");
    }
}
