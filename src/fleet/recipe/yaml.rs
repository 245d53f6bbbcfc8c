//! YAML as configuration files of Rails applications use it: sections that take over others (`<<: *default`), and values with ERB.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use yaml_rust2::{Yaml, YamlLoader};

/// How deep sections are merged: hostile aliases may nest.
const DEPTH_MAX: usize = 16;

/// A section of a file: its plain values, and sections below.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    pub values: BTreeMap<String, String>,
    pub sections: BTreeMap<String, Section>,
}

/// Reads a file's text. `lookup` knows the environment that the application has.
pub fn read(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Section> {
    let plain: Vec<String> = text.lines().map(|line| erb(line, lookup)).collect::<Result<_>>()?;
    let loaded = YamlLoader::load_from_str(&plain.join("\n"));
    let documents = loaded.map_err(|e| Error::usage(format!("it is no YAML: {e}")))?;
    Ok(documents.first().map(|yaml| section(yaml, 0)).unwrap_or_default())
}

fn section(yaml: &Yaml, depth: usize) -> Section {
    let mut read = Section::default();
    let Yaml::Hash(hash) = yaml else { return read };
    if depth > DEPTH_MAX {
        return read;
    }
    // What is taken over counts less than what is said here, wherever it stands.
    for (_, taken) in hash.iter().filter(|(key, _)| key.as_str() == Some("<<")) {
        let many = match taken {
            Yaml::Array(many) => many.as_slice(),
            one => std::slice::from_ref(one),
        };
        for one in many {
            let taken = section(one, depth + 1);
            read.values.extend(taken.values);
            read.sections.extend(taken.sections);
        }
    }
    for (key, value) in hash {
        let Some(key) = scalar(key).filter(|key| key != "<<") else { continue };
        match value {
            Yaml::Hash(_) => {
                read.sections.insert(key, section(value, depth + 1));
            }
            value => {
                // `key:` alone takes a value back.
                let _ = match scalar(value) {
                    Some(text) => read.values.insert(key, text),
                    None => read.values.remove(&key),
                };
            }
        }
    }
    read
}

fn scalar(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Puts the value of each `<%= … %>` in its place: `ENV["X"]`, `ENV.fetch("X")` with a default (`{ 5 }`, `, "x"`, `|| "x"`). What is
/// not known becomes a placeholder, which whoever needs the value finds.
fn erb(line: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let pattern = regex::Regex::new(
        r#"^\s*ENV(?:\.fetch\(\s*["'](\w+)["']\s*(?:,\s*(.+?))?\)\s*(?:\{\s*(.+?)\s*\})?|\[\s*["'](\w+)["']\s*\])\s*(?:\|\|\s*(.+?))?\s*$"#,
    )
    .map_err(Error::usage)?;
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once("<%") {
        let Some((code, behind)) = after.split_once("%>") else { break };
        out.push_str(before);
        if let Some(code) = code.strip_prefix('=') {
            let found = pattern.captures(code).and_then(|found| {
                let name = found.get(1).or(found.get(4))?.as_str();
                let default = found.get(2).or(found.get(3)).or(found.get(5)).map(|it| it.as_str());
                lookup(name).or_else(|| literal(default?))
            });
            match found {
                Some(value) if before.trim_end().ends_with(':') && behind.trim().is_empty() => {
                    out.push_str(&format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")));
                }
                Some(value) => out.push_str(&value),
                None => out.push_str(UNKNOWN),
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// Stands where a value is computed.
pub const UNKNOWN: &str = "__computed__";

/// A text or number as Ruby has it.
fn literal(code: &str) -> Option<String> {
    let code = code.trim();
    let quoted = ['"', '\''].iter().find_map(|quote| code.strip_prefix(*quote)?.strip_suffix(*quote));
    match quoted {
        Some(text) => Some(text.to_owned()),
        None if code == "nil" => Some(String::new()),
        None => {
            (!code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')).then(|| code.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_take_over_others_and_values_come_from_the_environment() {
        let text = r#"
default: &default
  adapter: postgresql
  pool: <%= ENV.fetch("RAILS_MAX_THREADS") { 5 } %>
  host: <%= ENV["DB_HOST"] || "localhost" %>
production:
  <<: *default
  adapter: mysql2
  database: shop_production
  username: <%= ENV.fetch('DB_USER', 'shop') %>
  password: <%= ENV["DB_PASSWORD"] %>
  secret: <%= Rails.application.credentials.x %>
multi:
  primary:
    <<: *default
    database: a
"#;
        let lookup = |name: &str| (name == "DB_PASSWORD").then(|| "p\"w: #1".to_owned());
        let file = read(text, &lookup).unwrap();
        let values = &file.sections["production"].values;
        let value = |key: &str| values[key].as_str();
        assert_eq!(
            (value("adapter"), value("pool"), value("host"), value("username")),
            ("mysql2", "5", "localhost", "shop")
        );
        assert_eq!((value("password"), value("secret")), ("p\"w: #1", UNKNOWN));
        assert_eq!(file.sections["multi"].sections["primary"].values["adapter"], "postgresql");
    }

    #[test]
    fn what_is_no_yaml_is_refused() {
        assert!(read("a: [", &|_| None).is_err());
    }
}
