//! Names of things: one type for each, so that a pack's name is never taken for a blob's.

use std::fmt;

/// Length in bytes of the id of an object.
pub const ID_LEN: usize = 32;
/// Length in bytes of the id of a blob: there are so many that their ids are a part of what a repository of small files takes. They are
/// keyed, and as long as a tag that nobody forges; what that is worth is said in `format-spec/10-threats.md`.
pub const BLOB_ID_LEN: usize = 20;

/// Text that is not the hexadecimal form of the id that was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: lower-case hexadecimal digits of the right number are expected")
    }
}

impl std::error::Error for NotAnId {}

/// Writes bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Reads exactly `N` bytes from `2 * N` lower-case hexadecimal digits.
pub fn unhex<const N: usize>(text: &str) -> Result<[u8; N], NotAnId> {
    fn digit(c: u8) -> Result<u8, NotAnId> {
        match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            _ => Err(NotAnId),
        }
    }
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return Err(NotAnId);
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(out)
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Reads the full hexadecimal form.
            pub fn parse(text: &str) -> Result<Self, NotAnId> {
                unhex(text).map(Self)
            }

            /// The first eight hexadecimal digits, for people.
            pub fn short(&self) -> String {
                hex(&self.0[..4])
            }

            /// The id's bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
    };
}

id_type!(
    /// A blob: keyed hash of its plaintext. The unit of deduplication.
    BlobId, BLOB_ID_LEN
);
id_type!(
    /// A pack: hash of its bytes.
    PackId, ID_LEN
);
id_type!(
    /// An index object: hash of its bytes.
    IndexId, ID_LEN
);
id_type!(
    /// A snapshot: hash of its bytes.
    SnapshotId, ID_LEN
);
id_type!(
    /// An annotation: hash of its bytes.
    AnnotationId, ID_LEN
);
id_type!(
    /// A session of a writer, or one of its renewals: hash of its bytes.
    SessionId, ID_LEN
);
id_type!(
    /// A note of prune: hash of its bytes.
    NoteId, ID_LEN
);
id_type!(
    /// A key slot: hash of its bytes.
    KeyId, ID_LEN
);
id_type!(
    /// A repository: random, in clear in the header of each of its objects.
    RepoId, 16
);
id_type!(
    /// A series as the store sees it: keyed hash of `server/vm/relpath`, so that no name leaks.
    SeriesTag, 16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_form_reads_back() {
        let id = BlobId(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(BlobId::parse(&id.to_string()), Ok(id));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "00", &"g".repeat(64), &"A".repeat(64), &"0".repeat(65), &"ä".repeat(32)] {
            assert_eq!(PackId::parse(text), Err(NotAnId), "{text}");
        }
    }
}
