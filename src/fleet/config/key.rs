//! What may be written: a table of keys. One table serves the checks, `vault config show`, the JSON schema and the documentation.

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// As it is written: `root`.
    pub name: &'static str,
    /// What may be written.
    pub kind: KeyKind,
    /// Its table makes no sense without it.
    pub required: bool,
    /// One line for people.
    pub about: &'static str,
}

/// What may be written for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Text,
    /// An absolute path.
    Path,
    Integer,
    Flag,
    /// A number and a unit: `26h`, `30d`.
    Duration,
    /// How much of a kind of periods is kept: a number, or a duration.
    Reach,
    /// How often something is done: a duration, or `never`.
    Pause,
    /// A number of bytes: `20M`.
    Size,
    /// A share: `5%`.
    Share,
    /// How hard to compress: `none`, `auto`, or a level from 1 to 19.
    Compression,
    /// A text or a list of texts.
    Texts,
    /// A text that opens something, and so is not shown.
    Secret,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table, or a list of tables, with these keys.
    Tables(&'static [Key]),
    /// Tables with these keys, each under a name of the user's.
    Named(&'static [Key]),
    /// Applications, each under its path below server and VM: the keys of all applications, and those of its `type`.
    Apps,
    /// A table of free names.
    Free,
}

impl Key {
    /// A key that may be left out.
    pub const fn new(name: &'static str, kind: KeyKind, about: &'static str) -> Self {
        Key { name, kind, required: false, about }
    }

    /// The same, which may not be left out.
    pub const fn required(self) -> Self {
        Key { required: true, ..self }
    }
}

impl KeyKind {
    /// What is to be written, for messages.
    pub fn wanted(&self) -> String {
        match self {
            KeyKind::Text | KeyKind::Secret => "a text in quotes".into(),
            KeyKind::Path => "an absolute path in quotes".into(),
            KeyKind::Integer => "a whole number that is not negative".into(),
            KeyKind::Flag => "true or false".into(),
            KeyKind::Duration => {
                "a duration in quotes, such as \"90s\", \"15m\", \"26h\", \"30d\", \"2w\" or \"1y\"".into()
            }
            KeyKind::Reach => "a number of periods, or a duration such as \"30d\"; 0 for none".into(),
            KeyKind::Pause => "a duration in quotes, such as \"7d\", or \"never\"".into(),
            KeyKind::Size => "a size in quotes, such as \"500K\" or \"20M\"".into(),
            KeyKind::Share => "a share in quotes, such as \"5%\"".into(),
            KeyKind::Compression => "\"none\", \"auto\", or a level from 1 to 19".into(),
            KeyKind::Texts => "a text in quotes, or a list of texts".into(),
            KeyKind::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("one of {}", words.join(", "))
            }
            KeyKind::Table(_) | KeyKind::Named(_) | KeyKind::Apps | KeyKind::Free => "a table".into(),
            KeyKind::Tables(_) => "a table, or a list of tables".into(),
        }
    }
}

/// The key of this name.
pub fn find<'a>(keys: &'a [Key], name: &str) -> Option<&'a Key> {
    keys.iter().find(|key| key.name == name)
}

/// What was probably meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let usual = |text: &str| text.to_lowercase().replace('_', "-");
    let wanted = usual(name);
    let scored = known.into_iter().map(|one| {
        let plain = usual(one);
        // A beginning, or what differs by an s, is as good as a slip of the fingers.
        let starts = plain.starts_with(&wanted) || wanted.starts_with(&plain);
        let slip = wanted.len() > 2 && (starts || strsim::damerau_levenshtein(&wanted, &plain) == 1);
        let score = strsim::jaro_winkler(&wanted, &plain).max(if slip { 0.9 } else { 0.0 });
        (score, one)
    });
    scored.filter(|(score, _)| *score >= 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_guessed_and_nonsense_is_not() {
        let known = ["retention", "exclude", "every", "password-file", "slo"];
        for (typed, meant) in [
            ("retentoin", Some("retention")),
            ("excludes", Some("exclude")),
            ("Exclude", Some("exclude")),
            ("password_file", Some("password-file")),
            ("evry", Some("every")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }
}
