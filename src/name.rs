//! Names of files as bytes: validated, ordered, and shown to people without letting them steer a terminal.

use bincode::de::read::Reader;
use smallvec::SmallVec;
use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt};

/// Longest name of one directory entry, in bytes (NAME_MAX of every Linux file system).
pub const NAME_MAX: usize = 255;

/// The name of one directory entry: not empty, not `.` or `..`, no `/` and no NUL, at most [`NAME_MAX`] bytes.
/// Ordered bytewise. Short ones, which nearly all are, take no memory of their own: names go from thread to thread, and an allocator
/// takes a lock for what another thread has allocated.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(SmallVec<[u8; 24]>);

const _: () = assert!(size_of::<Name>() == 32);

/// Bytes that cannot name a directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName(pub Vec<u8>);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" cannot be the name of a directory entry", Shown(&self.0))
    }
}

impl Name {
    /// Checks that the bytes are one plain path component.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, BadName> {
        let bytes = bytes.as_ref();
        let plain = !bytes.is_empty()
            && bytes.len() <= NAME_MAX
            && bytes != b"."
            && bytes != b".."
            && !bytes.iter().any(|&b| b == b'/' || b == 0);
        if plain { Ok(Name(SmallVec::from_slice(bytes))) } else { Err(BadName(bytes.to_vec())) }
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name for system calls.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Shown(&self.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(&self.0).fmt(f)
    }
}

impl bincode::Encode for Name {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        self.as_bytes().encode(encoder)
    }
}

impl<C> bincode::Decode<C> for Name {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
        // As `Vec<u8>` does it, without one.
        let len = usize::try_from(<u64 as bincode::Decode<C>>::decode(decoder)?).unwrap_or(usize::MAX);
        let mut bytes = [0; NAME_MAX];
        let bad = |what| bincode::error::DecodeError::OtherString(what);
        let name = bytes.get_mut(..len).ok_or_else(|| bad(format!("a name of {len} bytes")))?;
        decoder.claim_container_read::<u8>(len)?;
        decoder.reader().read(name)?;
        Name::new(&*name).map_err(|name| bad(name.to_string()))
    }
}

bincode::impl_borrow_decode!(Name);

/// Bytes from a backup, a file system or a peer, made safe to print: valid UTF-8 as it is; control characters,
/// direction overrides, backslashes and bytes that are not UTF-8 as escapes that can be read back.
pub struct Shown<'a>(pub &'a [u8]);

/// True for characters that would steer a terminal or disguise a name.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for part in self.0.utf8_chunks() {
            for c in part.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\t' => f.write_str("\\t")?,
                    '\r' => f.write_str("\\r")?,
                    c if is_unsafe(c) && c.is_ascii() => write!(f, "\\x{:02x}", c as u32)?,
                    c if is_unsafe(c) => write!(f, "\\u{{{:x}}}", c as u32)?,
                    c => f.write_char(c)?,
                }
            }
            for byte in part.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// As much of a text's front as fits `max` bytes.
pub fn cut_text(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_components_are_names() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
            assert!(Name::new(bad).is_err(), "{}", Shown(bad));
        }
        for good in [&b"..."[..], b"\xff\n", &[b'x'; 255], b"-rf"] {
            assert!(Name::new(good).is_ok(), "{}", Shown(good));
        }
    }

    #[test]
    fn names_keep_their_bytes_and_show_them_safely() {
        let bytes = b"a\x1b\xff".to_vec();
        let name = Name::new(bytes.clone()).unwrap();
        assert_eq!((name.as_bytes(), name.as_os_str().as_bytes()), (&bytes[..], &bytes[..]));
        assert_eq!((name.to_string(), format!("{name:?}")), ("a\\x1b\\xff".into(), "\"a\\x1b\\xff\"".into()));
        assert!(Name::new(*b"a/\n").unwrap_err().to_string().starts_with("\"a/\\n\" "));
    }

    /// Without a `Vec`, and yet as one is decoded: the same is taken, and as much of it used.
    #[test]
    fn names_are_decoded_as_their_bytes_are() {
        let config = bincode::config::standard().with_limit::<300>();
        let mut cases: Vec<Vec<u8>> = [0usize, 1, 22, 24, 25, 250, 251, 255, 256, 290, 300, 5000]
            .map(|len| bincode::encode_to_vec(vec![b'x'; len], config).unwrap())
            .to_vec();
        // Lengths in longer forms, some of which nothing follows.
        cases.extend([
            b"\xfb\x02\0ab".to_vec(),
            b"\xfc\xff\xff\xff\xff".to_vec(),
            [&[0xfd][..], &[0xff; 8]].concat(),
            vec![0xfe],
        ]);
        for case in cases {
            for len in [case.len(), case.len().saturating_sub(1), case.len().min(1)] {
                let bytes = &case[..len];
                let plain = bincode::decode_from_slice::<Vec<u8>, _>(bytes, config).ok();
                let expected = plain.and_then(|(plain, used)| Some((Name::new(plain).ok()?, used)));
                assert_eq!(bincode::decode_from_slice::<Name, _>(bytes, config).ok(), expected, "{bytes:?}");
            }
        }
    }

    /// What comes out of a repository is held against the same rules.
    #[test]
    fn only_plain_components_are_decoded() {
        let config = bincode::config::standard();
        let decode = |bytes: &[u8]| {
            let encoded = bincode::encode_to_vec(bytes, config).unwrap();
            bincode::decode_from_slice::<Name, _>(&encoded, config).map(|(name, _)| name)
        };
        let name = Name::new(*b"a").unwrap();
        assert_eq!(bincode::encode_to_vec(&name, config).unwrap(), [1, b'a']);
        assert_eq!(decode(b"a").unwrap(), name);
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
            assert!(decode(bad).is_err(), "{}", Shown(bad));
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((cut_text("aä", 3), cut_text("aä", 2), cut_text("ä", 1), cut_text("a", 9)), ("aä", "a", "", "a"));
    }

    #[test]
    fn escapes_reach_no_terminal() {
        let nasty = b"a\x1b[31m\n\xff\xe2\x80\xae\\ \xc3\xa4\xc2\x9b";
        assert_eq!(Shown(nasty).to_string(), "a\\x1b[31m\\n\\xff\\u{202e}\\\\ ä\\u{9b}");
    }
}
