//! Structures to bytes and back: the only use of `bincode`. The bytes are defined in `format-spec/09-encoding.md`.

use bincode::{
    BorrowDecode, Decode, Encode,
    config::{Configuration, LittleEndian, Varint},
    enc::{EncoderImpl, write::SizeWriter},
};
use std::fmt;

/// Bytes that do not decode.
#[derive(Debug)]
pub struct Malformed(String);

impl Malformed {
    /// Says what is wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Malformed(what.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

// The layout is pinned by name: little-endian, variable-length integers.
type Layout<L> = Configuration<LittleEndian, Varint, L>;
const LAYOUT: Layout<bincode::config::NoLimit> = bincode::config::standard();

/// Appends the value's bytes to `out`.
pub fn encode_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    // Encoding into memory fails only for types that are never used here (RefCell, SystemTime, unsized sequences).
    let done = bincode::encode_into_std_write(value, out, LAYOUT);
    debug_assert!(done.is_ok(), "{done:?}");
}

/// The value's bytes.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Reads a value that fills `bytes` exactly, and is encoded in the only way that there is: an integer in a longer form than the
/// shortest is refused, so that what is equal has equal bytes.
///
/// Memory: collections are only made when their claimed length, in memory, fits a limit of 64 to 256 times the input,
/// so a short input cannot claim a large allocation.
pub fn decode<T: Decode<()> + Encode>(bytes: &[u8]) -> Result<T, Malformed> {
    let (value, used) = decode_prefix(bytes)?;
    if used != bytes.len() {
        return Err(Malformed(format!("{} bytes follow the end", bytes.len() - used)));
    }
    Ok(value)
}

/// Reads a value that `bytes` begin with; returns how many it takes.
pub fn decode_front<T: Decode<()> + Encode>(bytes: &[u8]) -> Result<(T, usize), Malformed> {
    decode_prefix(bytes)
}

/// The same for a value that borrows from `bytes`, and allocates nothing. Longer forms of integers pass: for a look at what is decoded
/// whole before it counts.
pub fn borrow_front<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(T, usize), Malformed> {
    bincode::borrow_decode_from_slice(bytes, LAYOUT).map_err(|e| Malformed(e.to_string()))
}

fn decode_prefix<T: Decode<()> + Encode>(bytes: &[u8]) -> Result<(T, usize), Malformed> {
    let (value, used) = decode_loosely(bytes)?;
    // Everything else about an encoding follows from its value: a second one can only be longer.
    match encoded_len(&value) == used {
        true => Ok((value, used)),
        false => Err(Malformed::new("an integer is not in its shortest form")),
    }
}

fn encoded_len<T: Encode>(value: &T) -> usize {
    let mut encoder = EncoderImpl::new(SizeWriter::default(), LAYOUT);
    let done = value.encode(&mut encoder);
    debug_assert!(done.is_ok(), "{done:?}");
    encoder.into_writer().bytes_written
}

fn decode_loosely<T: Decode<()>>(bytes: &[u8]) -> Result<(T, usize), Malformed> {
    macro_rules! within {
        ($($limit:expr),*) => {
            $(if bytes.len() <= $limit / 64 {
                return bincode::decode_from_slice(bytes, LAYOUT.with_limit::<{ $limit }>())
                    .map_err(|e| Malformed(e.to_string()));
            })*
        };
    }
    within!(1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30, 1 << 32);
    Err(Malformed("longer than 64 MiB".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_the_one_of_the_specification() {
        assert_eq!(encode(&(1u8, 250u32, 251u32, 65536u64)), [1, 250, 251, 251, 0, 252, 0, 0, 1, 0]);
        assert_eq!(encode(&(-1i64, 1i64, Some(7u8), None::<u8>)), [1, 2, 1, 7, 0]);
        assert_eq!(encode(&(vec![9u8, 8], [7u8; 3], "é")), [2, 9, 8, 7, 7, 7, 2, 0xc3, 0xa9]);
    }

    #[test]
    fn there_is_one_encoding_of_each_value() {
        for longer in
            [&[251, 250, 0][..], &[252, 250, 0, 0, 0], &[252, 0xff, 0xff, 0, 0], &[253, 1, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert!(decode::<u64>(longer).is_err(), "{longer:?}");
            assert!(decode_front::<u64>(longer).is_err(), "{longer:?}");
        }
        // The number of a list's items, and the variant of an enum.
        assert!(decode::<Vec<u8>>(&[251, 1, 0, 7]).is_err());
        assert!(decode::<Option<u8>>(&[2, 7]).is_err() && decode::<bool>(&[2]).is_err());
        assert_eq!(decode::<Vec<u8>>(&[1, 7]).unwrap(), [7]);
        assert_eq!(decode::<u64>(&[251, 251, 0]).unwrap(), 251);
    }

    #[test]
    fn trailing_bytes_and_false_lengths_are_refused() {
        assert!(decode::<u8>(&[1, 2]).is_err());
        assert!(decode::<Vec<u64>>(&[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]).is_err());
        assert!(decode::<Vec<[u8; 32]>>(&[252, 0, 0, 0, 1]).is_err());
    }
}
