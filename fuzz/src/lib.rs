//! What the targets share: the keys of the specification's sample repository, so that its objects open and fuzzed payloads
//! can be sealed where a real one would be.

use bincode::{Decode, Encode};
use std::{fmt::Debug, sync::OnceLock};
use vault::{
    error::{Error, Result},
    hash::BlobKind,
    id::{BLOB_ID_LEN, BlobId, SeriesTag},
    keys::{Keyring, recovery},
    model::{codec, paging::PageSource},
    object::{self, Kind},
    seal::{self, SealKey},
    series::Series,
};

/// The sample's recovery sheet.
pub const SHEET: &str = include_str!("../../format-spec/tiny/recovery-sheet.txt");
const CONFIG: &[u8] = include_bytes!("../../format-spec/tiny/repository/config");

/// The sample's keys.
pub fn keys() -> &'static Keyring {
    static KEYS: OnceLock<Keyring> = OnceLock::new();
    KEYS.get_or_init(|| {
        let repo = object::read_header(CONFIG, Kind::Config, &"config").unwrap();
        Keyring::owner(repo, recovery::parse(SHEET).unwrap())
    })
}

/// The folder of the sample's series.
pub fn series_tag() -> SeriesTag {
    keys().series_tag(&Series::parse("alpha/web1/sample").unwrap())
}

/// Asserts that a decoded value goes to bytes and back, and that it was decoded from exactly those bytes unless they hold
/// integers in longer forms than they need.
pub fn assert_canonical<T: Encode + Decode<()> + PartialEq + Debug>(value: &T, bytes: &[u8]) {
    let again = codec::encode(value);
    assert!(again.len() < bytes.len() || again == bytes, "{value:?} has two encodings of one length");
    assert_eq!(&codec::decode::<T>(&again).unwrap(), value);
}

/// `nonce ‖ ciphertext ‖ tag` under a nonce of zeros.
pub fn sealed(key: &SealKey, ad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 24];
    seal::seal_append(key, &[0; 24], ad, plain, &mut out);
    out
}

/// Takes fuzzed bytes apart from the front; what is missing reads as zeros.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let (front, rest) = self.0.split_at(N.min(self.0.len()));
        out[..front.len()].copy_from_slice(front);
        self.0 = rest;
        out
    }

    /// A stretch that begins with its length in two bytes.
    pub fn part(&mut self) -> &'a [u8] {
        let len = usize::from(u16::from_le_bytes(self.array()));
        let (part, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        part
    }
}

/// Puts a stretch where [`Input::part`] finds it.
pub fn put_part(part: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(part.len() as u16).to_le_bytes());
    out.extend_from_slice(part);
}

/// Pages that refer to one another: an id's first byte is a page's number, counted around. The last one is the root.
pub struct Pages<'a>(pub Vec<&'a [u8]>);

impl<'a> Pages<'a> {
    /// One page or more, each with its length in front.
    pub fn read(data: &'a [u8]) -> Self {
        let mut input = Input(data);
        let mut pages = vec![input.part()];
        while !input.0.is_empty() && pages.len() < 256 {
            pages.push(input.part());
        }
        Pages(pages)
    }

    /// The root's name.
    pub fn root(&self) -> BlobId {
        BlobId([(self.0.len() - 1) as u8; BLOB_ID_LEN])
    }
}

impl PageSource for Pages<'_> {
    fn page(&self, _: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        let page = self.0.get(usize::from(id.0[0]) % self.0.len());
        page.map(|page| page.to_vec()).ok_or_else(|| Error::Missing { object: id.to_string() })
    }
}
