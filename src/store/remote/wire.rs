//! What goes over the link, byte by byte. Integers are little endian.
//!
//! ```text
//! greeting   "VLTLINK" ‖ 0 ‖ version: u16 ‖ 0: u16                              each side sends its own first
//! frame      length: u32 (of all that follows) ‖ kind: u8 ‖ request: u32 ‖ body
//!
//! requests   1 list: prefix      2 stat: name      3 read: offset u64 ‖ length u32 ‖ name      4 now
//! answers    16 entries: (length u64 ‖ stored i64 ‖ size u8 ‖ name)*      17 bytes: total u64 ‖ bytes
//!            18 time: i64       19 end       20 failed: fault u8 ‖ text
//! ```
//!
//! The server first says whether it serves: *end*, or *failed*, for request 0. A list is answered by any number of *entries* and an
//! *end*; stat by *entries* of one, or *end*; read by *bytes*, which are fewer than asked for only where the object ends; now by *time*,
//! or *end* where there is no clock. Each may be answered by *failed*. Requests may be sent ahead; answers need not come in their order.
//!
//! Nothing here trusts the other side: a length is held against its limit before memory is taken, a name must be one of an object.

use crate::{
    name::cut_text,
    store::{Entry, ObjectName},
};
use std::io::{self, Read, Write};

/// What both sides speak. One number: a side that does not know the other's says so.
pub const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"VLTLINK\0";
/// Length of a greeting in bytes.
pub const GREETING_LEN: usize = 12;
/// Most bytes that are read at a time.
pub const PIECE: usize = 1 << 20;
/// Longest request in bytes, without its length.
pub const REQUEST_MAX: usize = 512;
/// Longest answer in bytes, without its length: a piece, and what stands in front of it.
pub const ANSWER_MAX: usize = PIECE + 64;
/// Entries are sent once they fill so many bytes.
pub const ENTRIES_FILL: usize = 32 << 10;
/// Longest text of a failure in bytes; the rest is cut.
pub const TEXT_MAX: usize = 1024;
const HEAD_LEN: usize = 5;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The objects under a prefix, which is empty or a folder's name with a slash at its end.
    List { prefix: String },
    /// One object's entry.
    Stat { name: ObjectName },
    /// Bytes of an object, at most [`PIECE`].
    Read { name: ObjectName, offset: u64, len: u32 },
    /// The store's clock.
    Now,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Objects.
    Entries(Vec<Entry>),
    /// Bytes of an object, and how many it has in all.
    Bytes { total: u64, bytes: Piece },
    /// Seconds since 1970.
    Time(i64),
    /// There is nothing, or nothing more.
    End,
    /// It does not work, and why.
    Failed { fault: Fault, text: String },
}

/// Bytes as they came, behind the total that stands in front of them: megabytes are not moved to lose eight bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece(Vec<u8>);

impl Piece {
    /// Room for `len` bytes, to be filled.
    pub fn zeroed(len: usize) -> Self {
        Piece(vec![0; len.min(PIECE) + 8])
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.get(8..).unwrap_or_default()
    }

    /// The bytes, to be filled.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.get_mut(8..).unwrap_or_default()
    }
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// The object is not there.
    Missing = 1,
    /// The object is damaged.
    Corrupt = 2,
    /// The store fails.
    Store = 3,
    /// There is no repository.
    NoRepository = 4,
    /// Not served, whatever is asked.
    Refused = 5,
}

impl Fault {
    fn of(byte: u8) -> Option<Self> {
        [Fault::Missing, Fault::Corrupt, Fault::Store, Fault::NoRepository, Fault::Refused]
            .into_iter()
            .find(|fault| *fault as u8 == byte)
    }
}

/// The greeting of this program.
pub fn greeting() -> [u8; GREETING_LEN] {
    greeting_of(VERSION)
}

/// The greeting of a program that speaks this version.
pub fn greeting_of(version: u16) -> [u8; GREETING_LEN] {
    let mut out = [0; GREETING_LEN];
    out[..8].copy_from_slice(&MAGIC);
    out[8..10].copy_from_slice(&version.to_le_bytes());
    out
}

/// The version that the other side speaks; `None` when this is no greeting.
pub fn read_greeting(bytes: &[u8; GREETING_LEN]) -> Option<u16> {
    let mut cursor = Cursor(bytes);
    let version = (cursor.array()? == MAGIC).then(|| cursor.array().map(u16::from_le_bytes))??;
    // Reserved for what a later version of the same number may want to say.
    Some(version)
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    kind: u8,
    /// Which request this is, or answers.
    pub request: u32,
    body: Vec<u8>,
}

/// The next frame of at most `max` bytes; `None` at the end of the stream.
pub fn read_frame(from: &mut impl Read, max: usize) -> io::Result<Option<Frame>> {
    let mut len = [0; 4];
    match from.read(&mut len)? {
        0 => return Ok(None),
        read => from.read_exact(len.get_mut(read..).unwrap_or_default())?,
    }
    let len = u32::from_le_bytes(len) as usize;
    if len < HEAD_LEN || len > max {
        return Err(wrong(format!("a frame of {len} bytes, where {HEAD_LEN} to {max} may be")));
    }
    let mut head = [0; HEAD_LEN];
    from.read_exact(&mut head)?;
    let [kind, request @ ..] = head;
    let mut body = vec![0; len - HEAD_LEN];
    from.read_exact(&mut body)?;
    Ok(Some(Frame { kind, request: u32::from_le_bytes(request), body }))
}

/// The error for bytes that are none of this protocol.
pub fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn write_frame(to: &mut impl Write, kind: u8, request: u32, parts: &[&[u8]]) -> io::Result<()> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut head = [0; 4 + HEAD_LEN];
    head[..4].copy_from_slice(&((len + HEAD_LEN) as u32).to_le_bytes());
    head[4] = kind;
    head[5..].copy_from_slice(&request.to_le_bytes());
    to.write_all(&head)?;
    parts.iter().try_for_each(|part| to.write_all(part))
}

impl Request {
    /// Writes the request as one frame.
    pub fn write(&self, to: &mut impl Write, request: u32) -> io::Result<()> {
        match self {
            Request::List { prefix } => write_frame(to, 1, request, &[prefix.as_bytes()]),
            Request::Stat { name } => write_frame(to, 2, request, &[name.as_str().as_bytes()]),
            Request::Read { name, offset, len } => {
                let parts: [&[u8]; 3] = [&offset.to_le_bytes(), &len.to_le_bytes(), name.as_str().as_bytes()];
                write_frame(to, 3, request, &parts)
            }
            Request::Now => write_frame(to, 4, request, &[]),
        }
    }

    /// Reads a request.
    pub fn of(frame: Frame) -> io::Result<Self> {
        let mut body = Cursor(&frame.body);
        let request = match frame.kind {
            1 => text(body.0).filter(|prefix| is_prefix(prefix)).map(|prefix| Request::List { prefix }),
            2 => name(body.0).map(|name| Request::Stat { name }),
            3 => body.array().map(u64::from_le_bytes).and_then(|offset| {
                let len = body.array().map(u32::from_le_bytes).filter(|len| *len as usize <= PIECE)?;
                Some(Request::Read { name: name(body.0)?, offset, len })
            }),
            4 => body.0.is_empty().then_some(Request::Now),
            _ => None,
        };
        request.ok_or_else(|| wrong(format!("a request of kind {} that makes no sense", frame.kind)))
    }
}

impl Answer {
    /// Writes the answer as one frame.
    pub fn write(&mut self, to: &mut impl Write, request: u32) -> io::Result<()> {
        match self {
            Answer::Entries(entries) => {
                let mut body = Vec::new();
                entries.iter().for_each(|entry| push_entry(&mut body, entry));
                write_frame(to, 16, request, &[&body])
            }
            Answer::Bytes { total, bytes: Piece(bytes) } => {
                if let Some(front) = bytes.get_mut(..8) {
                    front.copy_from_slice(&total.to_le_bytes());
                }
                write_frame(to, 17, request, &[bytes])
            }
            Answer::Time(sec) => write_frame(to, 18, request, &[&sec.to_le_bytes()]),
            Answer::End => write_frame(to, 19, request, &[]),
            Answer::Failed { fault, text } => {
                write_frame(to, 20, request, &[&[*fault as u8], cut_text(text, TEXT_MAX).as_bytes()])
            }
        }
    }

    /// Reads an answer.
    pub fn of(frame: Frame) -> io::Result<Self> {
        let Frame { kind, body, .. } = frame;
        let mut cursor = Cursor(&body);
        let answer = match kind {
            16 => entries(&mut cursor).map(Answer::Entries),
            17 => {
                let total = cursor.array().map(u64::from_le_bytes);
                let fits = cursor.0.len() <= PIECE;
                total.filter(|_| fits).map(|total| Answer::Bytes { total, bytes: Piece(body) })
            }
            18 => cursor.array().map(i64::from_le_bytes).filter(|_| cursor.0.is_empty()).map(Answer::Time),
            19 => cursor.0.is_empty().then_some(Answer::End),
            20 => cursor.array().and_then(|[fault]| {
                let text = Some(cursor.0).filter(|text| text.len() <= TEXT_MAX).and_then(text)?;
                Some(Answer::Failed { fault: Fault::of(fault)?, text })
            }),
            _ => None,
        };
        answer.ok_or_else(|| wrong(format!("an answer of kind {kind} that makes no sense")))
    }
}

/// Bytes that an entry takes in an answer.
pub fn entry_len(entry: &Entry) -> usize {
    17 + entry.name.as_str().len()
}

fn push_entry(body: &mut Vec<u8>, entry: &Entry) {
    let name = entry.name.as_str().as_bytes();
    body.extend_from_slice(&entry.len.to_le_bytes());
    body.extend_from_slice(&entry.stored.to_le_bytes());
    // A name has 255 bytes at most.
    body.push(name.len() as u8);
    body.extend_from_slice(name);
}

fn entries(cursor: &mut Cursor<'_>) -> Option<Vec<Entry>> {
    // Each takes more bytes in the frame, which is bounded, than half of what it takes here.
    let mut out = Vec::new();
    while !cursor.0.is_empty() {
        let len = u64::from_le_bytes(cursor.array()?);
        let stored = i64::from_le_bytes(cursor.array()?);
        let [size] = cursor.array()?;
        let (front, rest) = cursor.0.split_at_checked(size.into())?;
        cursor.0 = rest;
        out.push(Entry { name: name(front)?, len, stored });
    }
    Some(out)
}

fn is_prefix(prefix: &str) -> bool {
    prefix.is_empty() || prefix.strip_suffix('/').is_some_and(|folder| ObjectName::new(folder).is_some())
}

fn text(bytes: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}

fn name(bytes: &[u8]) -> Option<ObjectName> {
    ObjectName::new(text(bytes)?)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry { name: ObjectName::new(name).unwrap(), len: 7, stored: -3 }
    }

    #[test]
    fn requests_and_answers_come_out_as_they_went_in() {
        let name = ObjectName::new("packs/3f/3f0").unwrap();
        let requests = [
            Request::List { prefix: String::new() },
            Request::List { prefix: "packs/3f/".into() },
            Request::Stat { name: name.clone() },
            Request::Read { name, offset: u64::MAX, len: PIECE as u32 },
            Request::Now,
        ];
        let mut bytes = Vec::new();
        for (id, request) in requests.iter().enumerate() {
            request.write(&mut bytes, id as u32).unwrap();
        }
        let mut from = &bytes[..];
        for (id, request) in requests.iter().enumerate() {
            let frame = read_frame(&mut from, REQUEST_MAX).unwrap().unwrap();
            assert_eq!((frame.request, &Request::of(frame).unwrap()), (id as u32, request));
        }
        assert_eq!(read_frame(&mut from, REQUEST_MAX).unwrap(), None);

        let mut piece = Piece::zeroed(3);
        piece.bytes_mut().copy_from_slice(b"abc");
        let answers = [
            Answer::Entries(vec![]),
            Answer::Entries(vec![entry("config"), entry("index/0a")]),
            Answer::Bytes { total: 5 << 40, bytes: piece },
            Answer::Time(-1),
            Answer::End,
            Answer::Failed { fault: Fault::Store, text: "ü".into() },
        ];
        for mut answer in answers {
            let mut bytes = Vec::new();
            answer.write(&mut bytes, 9).unwrap();
            let again = Answer::of(read_frame(&mut &bytes[..], ANSWER_MAX).unwrap().unwrap()).unwrap();
            match (&again, &answer) {
                (Answer::Bytes { total: a, bytes: b }, Answer::Bytes { total: c, bytes: d }) => {
                    assert_eq!((a, b.bytes()), (c, d.bytes()));
                }
                _ => assert_eq!(again, answer),
            }
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_before_memory_is_taken() {
        let frame = |len: u32, rest: &[u8]| [&len.to_le_bytes()[..], rest].concat();
        for bytes in
            [frame(u32::MAX, b"\x01\0\0\0\0"), frame(REQUEST_MAX as u32 + 1, &[0; 600]), frame(4, b"\x04\0\0\0")]
        {
            assert_eq!(read_frame(&mut &bytes[..], REQUEST_MAX).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        for cut in [&b"\x05\0"[..], b"\x09\0\0\0\x01\0\0\0\0abc"] {
            assert_eq!(read_frame(&mut &cut[..], 99).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
        let request = |kind, body: &[u8]| Request::of(Frame { kind, request: 0, body: body.to_vec() });
        for (kind, body) in [
            (0, &b""[..]),
            (1, b"../"),
            (1, b"packs"),
            (1, b"packs//"),
            (1, b"\xff/"),
            (2, b"/etc/passwd"),
            (2, b"a/../b"),
            (2, b""),
            (3, b"\0\0\0\0\0\0\0\0\x01\0\x10\0a"),
            (3, b"\0\0\0\0\0\0\0\0\0\0\0\0"),
            (4, b"x"),
            (5, b""),
        ] {
            assert!(request(kind, body).is_err(), "{kind} {body:?}");
        }
        let answer = |kind, body: &[u8]| Answer::of(Frame { kind, request: 0, body: body.to_vec() });
        let entry = |name: &[u8]| [&[0; 16][..], &[name.len() as u8], name].concat();
        for (kind, body) in [
            (16, &entry(b"../x")[..]),
            (16, &entry(b"a b")),
            (16, &entry(b"config")[..20]),
            (17, b"\0\0\0"),
            (17, &[0; PIECE + 9]),
            (18, b"123456789"),
            (19, b"x"),
            (20, b"\x09text"),
            (20, b"\x01\xff"),
            (20, &[b'a'; TEXT_MAX + 2]),
            (21, b""),
        ] {
            assert!(answer(kind, body).is_err(), "{kind}");
        }
        assert!(answer(16, &entry(b"config")).is_ok());
    }

    #[test]
    fn a_greeting_is_told_from_other_text() {
        assert_eq!(read_greeting(&greeting()), Some(VERSION));
        assert_eq!(read_greeting(&greeting_of(7)), Some(7));
        assert_eq!(read_greeting(b"Last login: "), None);
    }
}
