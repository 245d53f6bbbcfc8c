//! Exclude patterns: a file of them, a NUL, paths to ask about.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault::fs::exclude::{ExcludeOptions, Excludes, PatternFile};

fuzz_target!(|data: &[u8]| {
    let (patterns, paths) = data.split_at(data.iter().position(|&b| b == 0).unwrap_or(data.len()));
    let lines = || patterns.split(|&b| b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let from_file = ExcludeOptions {
        files: vec![PatternFile { name: "list".into(), contents: patterns.to_vec() }],
        ..Default::default()
    };
    let from_arguments =
        ExcludeOptions { patterns: lines().take(64).map(str::to_owned).collect(), ..Default::default() };
    for options in [from_file, from_arguments] {
        match Excludes::new(&options) {
            Ok(excludes) => {
                for path in paths.split(|&b| b == 0).take(64) {
                    // As the walk makes them: names between single slashes.
                    let plain = path.split(|&b| b == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
                    if plain {
                        excludes.leaves_out(path, false);
                        excludes.leaves_out(path, true);
                    }
                }
            }
            Err(e) => assert!(!e.to_string().chars().any(char::is_control), "a message steers a terminal: {e:?}"),
        }
    }
});
