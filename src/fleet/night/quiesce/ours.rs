//! What a run calls the things that it makes, and how the next knows those that one which was killed has left.

use crate::id;

/// Begins the names.
const BEGIN: &str = "vault-";
/// Bytes of a series' hash in a name.
const SERIES: usize = 6;

/// The name of what is made for this tree of a series: `vault-0123456789ab-0`.
pub(super) fn name(series: &str, tree: usize) -> String {
    let hash = blake3::hash(series.as_bytes());
    format!("{BEGIN}{}-{tree}", id::hex(&hash.as_bytes()[..SERIES]))
}

/// True for a name that [`name`] may have made.
pub(super) fn is_name(text: &str) -> bool {
    let parts = text.strip_prefix(BEGIN).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(series, tree)| {
        id::unhex::<SERIES>(series).is_ok() && !tree.is_empty() && tree.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_known_and_nothing_else() {
        for tree in [0, 7, 12] {
            let name = name("a/-/b", tree);
            assert!(is_name(&name), "{name}");
            assert!(
                name.ends_with(&format!("-{tree}"))
                    && name.len() == "vault-0123456789ab-".len() + tree.to_string().len()
            );
        }
        assert_eq!(name("a/-/b", 0)[6..18], blake3::hash(b"a/-/b").to_hex()[..12]);
        for other in [
            "vault-data",
            "vault-0123456789ab",
            "vault-0123456789ab-",
            "vault-0123456789ab-x",
            "vault-0123456789a-0",
            "vault-0123456789abc-0",
            "vault-0123456789AB-0",
            ".vault-0123456789ab-0",
            "",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }
}
