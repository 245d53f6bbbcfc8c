//! Constants and variables of a PHP configuration file, as far as they can be told without running it.

use regex::Regex;
use std::collections::BTreeMap;

/// What `define('NAME', …)` and `$name = …` give; names of variables with their `$`.
pub fn constants(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // Texts, in which any sign may stand, and what stands between them.
    let value = r#"((?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^'";])+?)"#;
    let define = format!(r#"(?i:define)\s*\(\s*['"](\w+)['"]\s*,\s*{value}\s*\)\s*;"#);
    let variable = format!(r"^\s*(\$\w+)\s*=\s*{value}\s*;");
    let patterns: Vec<Regex> = [define, variable].iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
    for line in text.lines() {
        let line = line.trim_start();
        if ["//", "#", "*", "/*"].iter().any(|comment| line.starts_with(comment)) {
            continue;
        }
        for pattern in &patterns {
            for hit in pattern.captures_iter(line) {
                let (Some(name), Some(value)) = (hit.get(1), hit.get(2)) else { continue };
                if let Some(value) = value_of(value.as_str()) {
                    // The first definition counts in PHP.
                    found.entry(name.as_str().to_owned()).or_insert(value);
                }
            }
        }
    }
    found
}

/// A text; or the default of what is taken from the environment: `getenv('X') ?: 'y'`, `getenv_docker('X', 'y')`.
fn value_of(code: &str) -> Option<String> {
    let code = code.trim();
    if let Some(text) = text(code) {
        return Some(text);
    }
    let code = match code.split_once("?:").or_else(|| code.split_once("??")) {
        Some((_, default)) => default.trim(),
        None => code,
    };
    if code.starts_with("getenv_docker") {
        let (_, default) = code.split_once(',')?;
        return text(default.trim().trim_end_matches(')').trim());
    }
    text(code)
}

fn text(code: &str) -> Option<String> {
    // One text, not several with something between them.
    let ends = |inner: &str, quote: char| !inner.replace("\\\\", "").replace(&format!("\\{quote}"), "").contains(quote);
    if let Some(inner) = code.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).filter(|it| ends(it, '\'')) {
        return Some(inner.replace("\\'", "'").replace("\\\\", "\\"));
    }
    if let Some(inner) = code.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|it| ends(it, '"')) {
        // A variable in it would be computed.
        let computed = inner.replace("\\$", "").contains('$');
        return (!computed).then(|| inner.replace("\\\"", "\"").replace("\\$", "$").replace("\\\\", "\\"));
    }
    (!code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_read_however_they_are_written() {
        let text = r#"<?php
// define('DB_NAME', 'old');
define( 'DB_NAME', 'blog' );
define("DB_USER", "bl\$og"); define('DB_PASSWORD', 'it\'s (a); \\ b');
define( 'DB_HOST', getenv_docker('WORDPRESS_DB_HOST', 'mysql') );
define('DB_CHARSET', getenv('X') ?: 'utf8'); define('AUTH_KEY', 'a??b?:c');
define('COMPUTED', __DIR__ . '/x');
$table_prefix = 'wp_';
"#;
        let found = constants(text);
        let value = |name: &str| found[name].as_str();
        assert_eq!((value("DB_NAME"), value("DB_USER"), value("DB_PASSWORD")), ("blog", "bl$og", r"it's (a); \ b"));
        assert_eq!((value("DB_HOST"), value("DB_CHARSET"), value("$table_prefix")), ("mysql", "utf8", "wp_"));
        assert_eq!(value("AUTH_KEY"), "a??b?:c");
        assert!(!found.contains_key("COMPUTED"));
    }
}
